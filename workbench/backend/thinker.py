"""One Thinker: its backend, which models it has, and how it is doing."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import Literal

from workbench.backend.backend import Backend, Model, SeesLoads
from workbench.backend.options import options_of
from workbench.backend.queue import Turns
from workbench.backend.station import Station
from workbench.errors import ThinkerUnavailable, WorkbenchError

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""How soon to ask again when a Thinker will be idle that answers a client now."""

Source = Literal["settings", "api"]
State = Literal["up", "half-open", "down", "draining"]


class Thinker:
    """A backend, what models it has, and how it is doing; `source` says who added it."""

    def __init__(self, backend: Backend, *, turns: Turns, source: Source = "settings") -> None:
        options = options_of(backend.url)
        self.backend = backend
        self.source = source
        self.station = Station(
            backend.url, clock=time.monotonic, slots=options.slots, usd_per_h=options.usd_per_h, turns=turns
        )
        self.models: tuple[Model, ...] = ()
        self.in_flight = 0
        self.clients = 0
        self.last_used_s = time.monotonic()  # who knows what another process, or this one before, asked of it
        self.error: str | None = "not asked yet"
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def url(self) -> str:
        """Its address, without secrets."""
        return self.backend.url

    @property
    def id(self) -> str:
        """What it is called in ``/api/thinkers/{id}``: the same wherever its address is the same."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:12]

    @property
    def state(self) -> State:
        """How it is doing, in a word."""
        if self.station.is_draining:
            return "draining"
        if self.error is not None or self.station.breaker.state == "open":
            return "down"
        return "up" if self.station.breaker.state == "closed" else "half-open"

    def has(self, model: Model) -> bool:
        """Whether it has this model at this revision, with whatever context."""
        return any((known.name, known.digest) == (model.name, model.digest) for known in self.models)

    def idle_in_s(self, idle_s: float) -> float:
        """How long until no client was served here for `idle_s`: then no session's prompt is warm in its memory."""
        if self.clients:
            return max(idle_s, LOOK_AGAIN_S)
        return max(0.0, self.last_used_s + idle_s - time.monotonic())

    def enter(self, *, is_clients: bool) -> None:
        """A request is being served here."""
        self.in_flight += 1
        self.clients += is_clients
        self._idle.clear()

    def leave(self, *, is_clients: bool) -> None:
        """That request is over."""
        self.in_flight -= 1
        self.clients -= is_clients
        if is_clients:
            self.last_used_s = time.monotonic()
        if not self.in_flight:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is served here, and nobody waits for it."""
        await self._idle.wait()
        while self.in_flight or self.station.running or self.station.line:  # running: who has just been given a turn
            await asyncio.sleep(LOOK_AGAIN_S / 20)
            await self._idle.wait()

    async def refresh(self) -> None:
        """Ask for its models; keeps the last known ones when it cannot be asked."""
        try:
            self.models = await self.backend.models()
            if isinstance(self.backend, SeesLoads):
                self.station.loaded = await self.backend.loaded()
        except WorkbenchError as error:  # a refusal too: nothing is wrong with the question
            if self.error is None:
                log.warning("thinker.down url=%s error=%r", self.url, str(error))
                self.station.warm.forget()
            self.error = str(error)
            self.station.breaker.failed(is_gone=isinstance(error, ThinkerUnavailable))
        else:
            if self.error is not None:
                self.station.breaker.back()
            self.error = None
