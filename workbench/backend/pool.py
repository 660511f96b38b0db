"""The Thinkers: which models they have, which one takes a request, and another try before the first event."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from workbench.backend.aliases import Aliases
from workbench.backend.backend import Backend, Model
from workbench.errors import BackendError, ConfigurationError, NotFound, ThinkerUnavailable
from workbench.messages import MessagesRequest
from workbench.reply import Event

log = logging.getLogger(__name__)

TRIES = 2
"""A call that failed before its first event is made once more: elsewhere if there is an elsewhere."""

LOOK_AGAIN_S = 1.0
"""How soon to ask again when a Thinker will be idle that answers a client now."""


class Thinker:
    """A backend, what models it has, and how it is doing."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.models: tuple[Model, ...] = ()
        self.in_flight = 0
        self.clients = 0
        self.last_used_s = time.monotonic()  # who knows what another process, or this one before, asked of it
        self.error: str | None = "not asked yet"

    @property
    def url(self) -> str:
        """Its address, without secrets."""
        return self.backend.url

    def has(self, model: Model) -> bool:
        """Whether it has this model at this revision, with whatever context."""
        return any((known.name, known.digest) == (model.name, model.digest) for known in self.models)

    def idle_in_s(self, idle_s: float) -> float:
        """How long until no client was served here for `idle_s`: then no session's prompt is warm in its memory."""
        if self.clients:
            return max(idle_s, LOOK_AGAIN_S)
        return max(0.0, self.last_used_s + idle_s - time.monotonic())

    async def refresh(self) -> None:
        """Ask for its models; keeps the last known ones when it cannot be asked."""
        try:
            self.models = await self.backend.models()
            self.error = None
        except BackendError as error:
            if self.error is None:
                log.warning("thinker.down url=%s error=%r", self.url, str(error))
            self.error = str(error)


class Call:
    """One request on its way to some Thinker; `thinker` names who answers it.

    With `idle_s` it is the proxy's own, and no client's: it goes only where no client was for so long.
    """

    def __init__(self, pool: Pool, request: MessagesRequest, model: Model, *, idle_s: float | None = None) -> None:
        self.thinker = ""
        self.followed = False
        self._idle_s = idle_s
        self._pool = pool
        self._request = request
        self._model = model

    async def events(self) -> AsyncGenerator[Event, None]:
        """The reply's events; a failure before the first one is tried again, a later one is raised."""
        tried: list[Thinker] = []
        while True:
            thinker = self._pool.pick(self._model, but_not=tried, idle_s=self._idle_s)
            tried.append(thinker)
            self.thinker = thinker.url
            begun = False
            try:
                async with aclosing(self._ask(thinker)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except BackendError as error:
                if begun or len(tried) == TRIES:
                    raise
                log.warning("thinker.retry url=%s error=%r", thinker.url, str(error))

    async def _ask(self, thinker: Thinker) -> AsyncGenerator[Event, None]:
        is_clients = self._idle_s is None
        thinker.in_flight += 1
        thinker.clients += is_clients
        try:
            stream = thinker.backend.stream(self._request, model=self._model.name)
            async with aclosing(stream) as events:
                async for event in events:
                    yield event
        finally:
            thinker.in_flight -= 1
            thinker.clients -= is_clients
            if is_clients:
                thinker.last_used_s = time.monotonic()


class Pool:
    """All Thinkers. An async context manager: it opens them, keeps their model lists fresh, and closes them."""

    def __init__(self, backends: list[Backend], *, refresh_every_s: float, aliases: Aliases | None = None) -> None:
        self.aliases = aliases or Aliases()
        self.thinkers = [Thinker(backend) for backend in backends]
        self._refresh_every_s = refresh_every_s
        self._refresher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pool:
        try:
            for thinker in self.thinkers:
                await thinker.backend.open()
        except ConfigurationError:
            await self._close()
            raise
        await self.refresh()
        self._refresher = asyncio.create_task(self._keep_fresh())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._refresher:
            self._refresher.cancel()
            await asyncio.wait([self._refresher])
        await self._close()

    async def _close(self) -> None:
        for thinker in self.thinkers:
            await thinker.backend.close()

    async def refresh(self) -> None:
        """Ask every Thinker for its models."""
        await asyncio.gather(*(thinker.refresh() for thinker in self.thinkers))

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_every_s)
            await self.refresh()

    @property
    def models(self) -> list[Model]:
        """Every model that some Thinker has, the default one first."""
        unique: dict[tuple[str, str], Model] = {}
        for thinker in self.thinkers:
            for model in thinker.models:
                unique.setdefault((model.name, model.digest), model)
        return list(unique.values())

    async def resolve(self, requested: str) -> Model:
        """The model that answers a request for `requested`.

        What its alias means; else its own name, or that with ``:latest``; else any ``claude…`` name means the
        default model. Raises `NotFound` for other names, and `ThinkerUnavailable` when no Thinker has ever said
        what it has.
        """
        name = self.aliases.meant(requested)
        if not self.models:
            await self.refresh()
        models = self.models
        if not models:
            raise ThinkerUnavailable("no Thinker has a model: " + self.why_not)
        for full_name in (name, f"{name}:latest"):
            for model in models:
                if model.name == full_name:
                    return model
        if name.startswith("claude"):
            return models[0]
        meant = "" if name == requested else f" (its alias means {name}, which no Thinker has)"
        there_is = ", ".join([*(model.name for model in models), *self.aliases.names])
        raise NotFound(f"model: {requested}{meant}. There is: {there_is}, or any claude name")

    def call(self, request: MessagesRequest, model: Model, *, idle_s: float | None = None) -> Call:
        """A call of this model, see `Call`; nothing is sent before its events are read."""
        return Call(self, request, model, idle_s=idle_s)

    def idle_in_s(self, model: Model, idle_s: float) -> float:
        """How long until a Thinker with this model has served no client for `idle_s`; 0 also when none has it."""
        return min((thinker.idle_in_s(idle_s) for thinker in self.thinkers if thinker.has(model)), default=0.0)

    def pick(self, model: Model, *, but_not: list[Thinker], idle_s: float | None = None) -> Thinker:
        """The least busy Thinker that has the model, a healthy one if possible, one not yet tried if possible.

        With `idle_s` only one that has served no client for so long.
        """
        able = [thinker for thinker in self.thinkers if thinker.has(model)]
        if not able:
            raise ThinkerUnavailable(f"no Thinker has {model.name} any more: " + self.why_not)
        if idle_s is not None:
            able = [thinker for thinker in able if not thinker.idle_in_s(idle_s)]
        if not able:
            raise ThinkerUnavailable(f"every Thinker with {model.name} has served a client in the last {idle_s:g} s")
        return min(able, key=lambda thinker: (thinker in but_not, thinker.error is not None, thinker.in_flight))

    @property
    def why_not(self) -> str:
        """What is wrong with each Thinker."""
        return "; ".join(f"{thinker.url}: {thinker.error or 'it has none'}" for thinker in self.thinkers)
