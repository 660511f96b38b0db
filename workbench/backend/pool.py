"""The Thinkers: which there are and which models they have, and who is passed on to whom when."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from workbench.backend.aliases import Aliases
from workbench.backend.backend import Backend, Model
from workbench.backend.call import Call
from workbench.backend.dispatch import Dispatcher, full
from workbench.backend.prefill import Prefills
from workbench.backend.prefixes import Prefix
from workbench.backend.routing import Origin
from workbench.backend.station import Station, Ticket
from workbench.backend.thinker import Source, Thinker
from workbench.errors import ConfigurationError, NotFound, ThinkerUnavailable
from workbench.messages import MessagesRequest

log = logging.getLogger(__name__)

SETTLE_EVERY_S = 1.0
"""How often it is looked whether somebody who waits should move, besides whenever something begins or ends."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many may wait for each Thinker, how long, and after what silence a second one is asked (None: never)."""

    queue_max: int = 64
    limit_s: float = 300.0
    hedge_after_s: float | None = None


@contextmanager
def _told(event: str) -> Iterator[None]:
    """What fails here is logged, and is no reason never to do it again."""
    try:
        yield
    except Exception:
        log.exception(event)


class Pool:
    """All Thinkers. An async context manager: it opens them, keeps their model lists fresh, and closes them."""

    def __init__(
        self,
        backends: list[Backend],
        *,
        refresh_every_s: float,
        aliases: Aliases | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.aliases = aliases or Aliases()
        self._waiting = waiting or Waiting()
        self.dispatcher = Dispatcher(clock=time.monotonic, queue_max=self._waiting.queue_max)
        self.prefills = Prefills(time.monotonic)
        self.thinkers: list[Thinker] = []
        self._at: dict[Station, Thinker] = {}
        self._left: tuple[Model, ...] = ()
        self._refresh_every_s = refresh_every_s
        self._tasks: set[asyncio.Task[None]] = set()
        for backend in backends:
            self._join(Thinker(backend, turns=self.dispatcher.turns))

    def _join(self, thinker: Thinker) -> None:
        self.thinkers.append(thinker)
        self._at[thinker.station] = thinker
        self.dispatcher.stations.append(thinker.station)

    async def __aenter__(self) -> Pool:
        try:
            for thinker in self.thinkers:
                await thinker.backend.open()
        except ConfigurationError:
            await self._close()
            raise
        await self.refresh()
        self._spawn(self._keep_fresh())
        self._spawn(self._keep_settled())
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        for thinker in self.thinkers:
            await thinker.backend.close()

    async def refresh(self) -> None:
        """Ask every Thinker for its models."""
        await asyncio.gather(*(thinker.refresh() for thinker in self.thinkers))
        for thinker in self.thinkers:
            if not thinker.station.breaker.allows:
                self.dispatcher.evacuate(thinker.station)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_every_s)
            with _told("pool.refresh_failed"):
                await self.refresh()

    async def _keep_settled(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_EVERY_S)
            with _told("pool.settle_failed"):
                self.dispatcher.settle()

    # ── Thinkers come and go ────────────────────────────────────────────────────────────────────────────────

    async def add(self, backend: Backend, *, source: Source = "api", is_warmed: bool = False) -> Thinker:
        """Open it and pass requests on to it; one with the same address that is here already stays instead.

        With `is_warmed` it first reads what prompts begin with lately, if others can take requests meanwhile.
        """
        for thinker in self.thinkers:
            if thinker.url == backend.url:
                thinker.station.is_draining = False
                return thinker
        await backend.open()
        thinker = Thinker(backend, turns=self.dispatcher.turns, source=source)
        try:
            await thinker.refresh()
            if is_warmed and any(other.state == "up" for other in self.thinkers):
                await self.prefills.warm(thinker)
        except BaseException:  # cancelled: nobody else would close it
            await backend.close()
            raise
        self._join(thinker)
        self.dispatcher.settle()
        return thinker

    def drain(self, id: str) -> Thinker:
        """Pass nothing new on to it, and let it go once it has answered what it has; raises `NotFound`."""
        thinker = self.find(id)
        if not thinker.station.is_draining:
            thinker.station.is_draining = True
            self.dispatcher.evacuate(thinker.station)
            self._spawn(self._let_go(thinker))
        return thinker

    def find(self, id: str) -> Thinker:
        """The Thinker with this id or address; raises `NotFound`."""
        for thinker in self.thinkers:
            if id in (thinker.id, thinker.url):
                return thinker
        raise NotFound(f"there is no Thinker {id}; GET /api/thinkers lists them")

    async def follow(self, urls: Iterable[str], make: Callable[[str], Backend]) -> None:
        """Have the Thinkers that the settings name now: new ones join, those that are gone are drained.

        What was added through the API stays. Raises `ConfigurationError`, and then nothing has changed.
        """
        wanted = list(urls)
        known = {thinker.url for thinker in self.thinkers}
        made = [make(url) for url in wanted if url not in known]
        for backend in made:
            await self.add(backend, source="settings")
        for thinker in list(self.thinkers):
            if thinker.source == "settings" and thinker.url not in wanted:
                self.drain(thinker.id)
            elif thinker.url in wanted:
                thinker.station.is_draining = False

    async def _let_go(self, thinker: Thinker) -> None:
        await thinker.idle()
        if thinker.station.is_draining:  # else it was added again meanwhile
            self._left = thinker.models or self._left
            self.thinkers.remove(thinker)
            self.dispatcher.stations.remove(thinker.station)
            del self._at[thinker.station]
            await thinker.backend.close()
            log.warning("thinker.removed url=%s", thinker.url)

    # ── models ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def models(self) -> list[Model]:
        """Every model that some Thinker has, the default one first; of the last one that left when none is there.

        Memory still answers for it.
        """
        unique: dict[tuple[str, str], Model] = {}
        for thinker in self.thinkers:
            for model in thinker.models:
                unique.setdefault((model.name, model.digest), model)
        return list(unique.values()) or list(self._left)

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

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────

    def call(
        self, request: MessagesRequest, model: Model, *, origin: Origin | None = None, idle_s: float | None = None
    ) -> Call:
        """A call of this model, see `Call`; nothing is sent before its events are read."""
        hedge_after_s = self._waiting.hedge_after_s
        return Call(self, request, model, origin=origin or Origin(), idle_s=idle_s, hedge_after_s=hedge_after_s)

    @asynccontextmanager
    async def turn(
        self,
        prefix: Prefix,
        model: Model,
        origin: Origin,
        *,
        but_not: Iterable[Station],
        watch: Callable[[Ticket], None],
    ) -> AsyncIterator[Ticket]:
        """Wait for a Thinker, and have a place there while the block runs; `watch` is told of the ticket at once.

        Raises `Overloaded` when too many wait already, or when the wait takes too long.
        """
        granted = asyncio.Event()
        ticket = Ticket(origin, prefix, model.name, lambda station: self._at[station].has(model), granted.set)
        if not self.able(model):
            raise ThinkerUnavailable(f"no Thinker has {model.name} any more: " + self.why_not)
        self.dispatcher.arrive(ticket, but_not=but_not)
        has_turn = False
        try:
            watch(ticket)
            try:
                async with asyncio.timeout(self._waiting.limit_s):
                    await granted.wait()
            except TimeoutError:
                place = self.dispatcher.place(ticket)
                raise full(place[2] if place else 1.0, waiting=place[1] if place else 1) from None
            has_turn = True
            yield ticket
        finally:
            if ticket.station and ticket.started_s is not None and not has_turn:
                ticket.station.breaker.unasked()  # it gave up in the moment in which its turn came
            self.dispatcher.end(ticket)

    def able(self, model: Model) -> list[Station]:
        """Who has this model and takes requests."""
        return [it.station for it in self.thinkers if it.has(model) and not it.station.is_draining]

    def thinker_at(self, ticket: Ticket) -> Thinker:
        """Who serves it."""
        assert ticket.station is not None  # noqa: S101  # it has its turn
        return self._at[ticket.station]

    def idle_in_s(self, model: Model, idle_s: float) -> float:
        """How long until a Thinker with this model has served no client for `idle_s`; 0 also when none has it."""
        return min((thinker.idle_in_s(idle_s) for thinker in self.thinkers if thinker.has(model)), default=0.0)

    def pick_idle(self, model: Model, *, idle_s: float, but_not: Iterable[Station]) -> Thinker:
        """Of those that have served no client for `idle_s` the least busy one, healthy and untried if possible."""
        able = [thinker for thinker in self.thinkers if thinker.has(model) and not thinker.idle_in_s(idle_s)]
        if not able:
            raise ThinkerUnavailable(f"every Thinker with {model.name} has served a client in the last {idle_s:g} s")
        tried = set(but_not)
        return min(able, key=lambda it: (it.station in tried, it.error is not None, it.in_flight))

    @property
    def why_not(self) -> str:
        """What is wrong with each Thinker."""
        return "; ".join(f"{thinker.url}: {thinker.error or 'it has none'}" for thinker in self.thinkers)
