"""One request on its way: the wait for a Thinker, other tries before anything was seen, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from workbench.backend.backend import Model
from workbench.backend.hedging import hedged
from workbench.backend.prefixes import Prefix, prefix_of
from workbench.backend.routing import Origin
from workbench.backend.station import Station, Ticket
from workbench.backend.thinker import Thinker
from workbench.errors import BackendError, MalformedToolCall, Overloaded, ThinkerUnavailable, WorkbenchError
from workbench.messages import MessagesRequest
from workbench.reply import Event, MessageDelta, MessageStart

if TYPE_CHECKING:  # the pool makes calls
    from workbench.backend.pool import Pool

log = logging.getLogger(__name__)

TRIES = 3
"""A call that failed before anything was seen of it is made again, elsewhere, up to so many times in all."""

TRIES_OF_ONE = 2
"""Where there is no elsewhere, the same is asked once more."""

JITTER_S = 0.05
"""At most so long before another try, so that what failed together does not come back together."""


class Call:
    """One request; `thinker` names who answers it, `reason` why it went there.

    With `idle_s` it is the proxy's own, and no client's: it goes only where no client was for so long.
    `is_altered`: it was answered with another sampling than was asked for.
    """

    def __init__(
        self,
        pool: Pool,
        request: MessagesRequest,
        model: Model,
        *,
        origin: Origin,
        idle_s: float | None = None,
        hedge_after_s: float | None = None,
    ) -> None:
        self.thinker = ""
        self.followed = False
        self.reason = ""
        self.queued_s = 0.0
        self.is_altered = False
        self._pool = pool
        self._request = request
        self._model = model
        self._origin = origin
        self._idle_s = idle_s
        self._hedge_after_s = hedge_after_s
        self._tried: list[Station] = []
        self._waiting: Ticket | None = None

    @property
    def waits(self) -> str:
        """Where it stands while it waits for a Thinker, in words; "" when it does not."""
        place = self._waiting and self._pool.dispatcher.place(self._waiting)
        if not place:
            return ""
        index, total, wait_s = place
        return f"queue: {index} of {total - 1} others before you, about {wait_s:.0f} s"

    async def events(self) -> AsyncGenerator[Event, None]:
        """The reply's events; a failure before the first visible one is tried again, a later one is raised."""
        prefix = prefix_of(self._request)
        if self._idle_s is None:
            self._pool.prefills.note(self._request, self._model, prefix)
        while True:
            begun, tried = False, len(self._tried)
            try:
                async with aclosing(self._once(prefix)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except BackendError as error:
                was_asked = len(self._tried) > tried  # else there was no place: waiting again would be for ever
                if begun or not was_asked or not self._may_try_again():
                    raise
                if isinstance(error, MalformedToolCall) and not self._elsewhere():
                    self._alter()
                log.warning("thinker.retry url=%s error=%r", self.thinker, str(error))
            await asyncio.sleep(random.uniform(0, JITTER_S))  # noqa: S311  # no secret

    def _once(self, prefix: Prefix) -> AsyncGenerator[Event, None]:
        """One try, and with hedging another one beside it when nothing comes."""
        if self._idle_s is not None:
            return self._ask_idle(self._idle_s)
        if self._hedge_after_s is None:
            return self._ask(prefix)

        def another() -> AsyncGenerator[Event, None] | None:
            is_free = any(station.has_room and not station.line for station in self._elsewhere())
            return self._ask(prefix) if is_free else None

        return hedged(self._ask(prefix), another, after_s=self._hedge_after_s)

    def _elsewhere(self) -> list[Station]:
        """Who has the model and was not tried."""
        return [station for station in self._pool.able(self._model) if station not in self._tried]

    def _may_try_again(self) -> bool:
        return 0 < len(self._tried) < (TRIES if self._elsewhere() else TRIES_OF_ONE)

    def _alter(self) -> None:
        """Ask with another temperature: with the same one, the same malformed call may well come again."""
        given = 1.0 if self._request.temperature is None else self._request.temperature
        self._request = self._request.model_copy(update={"temperature": 0.3 if given > 0.6 else 0.9})
        self.is_altered = True

    # ── one try ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, prefix: Prefix) -> AsyncGenerator[Event, None]:
        async with self._pool.turn(prefix, self._model, self._origin, but_not=self._tried, watch=self._watch) as ticket:
            self._waiting = None
            thinker = self._pool.thinker_at(ticket)
            self._tried.append(thinker.station)
            self._note(thinker, ticket)
            async with aclosing(self._judged(thinker, ticket)) as events:
                async for event in events:
                    if self.thinker != thinker.url:  # with hedging, the other try may have been noted last
                        self._note(thinker, ticket)
                    yield event

    def _watch(self, ticket: Ticket) -> None:
        self._waiting = ticket

    def _note(self, thinker: Thinker, ticket: Ticket) -> None:
        self.thinker = thinker.url
        self.reason = ticket.choice.reason if ticket.choice else ""
        self.queued_s = (ticket.started_s or ticket.arrived_s) - ticket.arrived_s

    async def _judged(self, thinker: Thinker, ticket: Ticket) -> AsyncGenerator[Event, None]:
        """The events, and what they say about the Thinker's health and speed."""
        breaker, is_judged = thinker.station.breaker, False
        try:
            async with aclosing(self._from(thinker)) as events:
                async for event in _visible(events):
                    if ticket.begun_s is None:
                        self._pool.dispatcher.begin(ticket)
                    if isinstance(event, MessageDelta):
                        ticket.output_tokens = event.usage.output_tokens
                    yield event
            breaker.succeeded()
            is_judged = True
        except WorkbenchError as error:
            is_judged = True
            self._blame(thinker, error)
            raise
        finally:
            if not is_judged:  # the client left
                breaker.unasked()

    def _blame(self, thinker: Thinker, error: WorkbenchError) -> None:
        station = thinker.station
        match error:
            case Overloaded():
                station.overloaded()
                station.breaker.unasked()
            case MalformedToolCall():
                station.breaker.succeeded()  # it is the model's fault, not the Thinker's
            case BackendError():
                station.breaker.failed(is_gone=isinstance(error, ThinkerUnavailable))
                if not station.breaker.allows:
                    station.warm.forget()
                    self._pool.dispatcher.evacuate(station)
            case _:
                station.breaker.succeeded()  # it answered: the request was at fault

    async def _ask_idle(self, idle_s: float) -> AsyncGenerator[Event, None]:
        """Ask where no client was for so long; nobody waits for that in line."""
        thinker = self._pool.pick_idle(self._model, idle_s=idle_s, but_not=self._tried)
        self._tried.append(thinker.station)
        self.thinker = thinker.url
        async with aclosing(self._from(thinker, is_clients=False)) as events:
            async for event in events:
                yield event

    async def _from(self, thinker: Thinker, *, is_clients: bool = True) -> AsyncGenerator[Event, None]:
        thinker.enter(is_clients=is_clients)
        try:
            async with aclosing(thinker.backend.stream(self._request, model=self._model.name)) as events:
                async for event in events:
                    yield event
        finally:
            thinker.leave(is_clients=is_clients)


async def _visible(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """The same events, the first held back until there is something to see: until then another Thinker may answer."""
    held: MessageStart | None = None
    async for event in events:
        if isinstance(event, MessageStart):
            held = event
            continue
        if held:
            yield held
            held = None
        yield event
    if held:
        yield held
