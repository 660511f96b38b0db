"""Tickets to stations: who is passed on, who waits where, and who moves when a Thinker would idle. Pure: no I/O.

The pool drives it with the real clock, `benchmarks.routing` with a virtual one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress

from workbench.backend import routing
from workbench.backend.queue import Turns
from workbench.backend.routing import Choose
from workbench.backend.station import Station, Ticket
from workbench.errors import Overloaded, ThinkerUnavailable

MOVES_AFTER_S = 0.5
"""A ticket that waits moves to an idle Thinker when that saves at least so much."""


class Dispatcher:
    """All stations and their lines."""

    def __init__(
        self, *, clock: Callable[[], float], queue_max: int, choose: Choose = routing.choose, moves: bool = True
    ) -> None:
        self.stations: list[Station] = []
        self.turns = Turns()
        self._clock = clock
        self._queue_max = queue_max
        self._choose = choose
        self._moves = moves

    def arrive(self, ticket: Ticket, *, but_not: Iterable[Station] = ()) -> None:
        """Pass it on or let it wait; raises `ThinkerUnavailable` and, when all lines are full, `Overloaded`."""
        ticket.arrived_s = self._clock()
        self._place(ticket, set(but_not))

    def _place(self, ticket: Ticket, but_not: set[Station]) -> None:
        able = [station for station in self.stations if ticket.may_take(station) and not station.is_draining]
        if not able:
            raise ThinkerUnavailable(f"no Thinker takes {ticket.model} now")
        able = [station for station in able if station not in but_not] or able
        able = [station for station in able if station.breaker.allows] or able
        views = [station.view(ticket, queue_max=self._queue_max) for station in able]
        if not any(view.has_room for view in views):
            raise full(min(view.wait_s for view in views), waiting=sum(len(station.line) for station in able))
        choice = self._choose(views, ticket.origin.key, ticket.prefix.total_tokens)
        station = next(station for station in able if station.id == choice.id)
        ticket.station, ticket.choice = station, choice
        ticket.cold_tokens = max(1, ticket.prefix.total_tokens - station.warm.shared_tokens(ticket.prefix))
        # A closed circuit is no reason to wait for ever: whoever must be asked, since there is no other, is asked.
        if not station.line and (station.has_room or not station.breaker.allows):
            self._start(ticket, station)
        else:
            station.line.join(ticket)
            self.settle()

    def begin(self, ticket: Ticket) -> None:
        """The first sign of an answer has come."""
        if ticket.station:
            ticket.station.begin(ticket)
            self.settle()

    def end(self, ticket: Ticket) -> None:
        """It is over, or its client has left, in line or being served."""
        if ticket.station is None:
            return
        if ticket.started_s is None:
            ticket.station.line.leave(ticket)
        else:
            ticket.station.end(ticket)
        ticket.station = None
        self.settle()

    def evacuate(self, station: Station) -> None:
        """Send those who wait there elsewhere, where there is an elsewhere."""
        for ticket in list(station.line):
            if ticket.station is not station or ticket.started_s is not None:
                continue  # it was passed on while another one was placed
            with suppress(ThinkerUnavailable, Overloaded):
                station.line.leave(ticket)
                ticket.station = None
                self._place(ticket, {station})
            if ticket.station is None:
                station.line.join(ticket)
                ticket.station = station

    def settle(self) -> None:
        """Pass on whoever can be passed on; a Thinker that would idle takes over who waits elsewhere."""
        if not any(station.line for station in self.stations):
            return
        for station in self.stations:
            while station.line and station.has_room:
                self._start(station.line.take(), station)
        if self._moves:
            for station in self.stations:
                while station.has_room and not station.line and not station.is_draining:
                    if not (moved := self._worth_moving(station)):
                        break
                    assert moved.station is not None  # noqa: S101  # it waits somewhere
                    moved.station.line.leave(moved)
                    self._start(moved, station)

    def place(self, ticket: Ticket) -> tuple[int, int, float] | None:
        """While it waits: how many stand before it, how many there are, and in how many seconds it starts."""
        if ticket.station is None or ticket.started_s is not None:
            return None
        line = list(ticket.station.line)
        index = line.index(ticket)
        return index, len(line), ticket.station.starts_s()[index]

    def _start(self, ticket: Ticket, station: Station) -> None:
        if ticket.choice and ticket.choice.id != station.id:
            why = f"moved: {station.id} was idle; before: {ticket.choice.reason}"
            ticket.choice = routing.Choice(station.id, why, ticket.choice.first_token_s, ticket.choice.wait_s)
        ticket.station = station
        for other in self.stations:
            if other is not station:
                other.warm.moved(ticket.key)
        station.start(ticket)
        ticket.granted()

    def _worth_moving(self, idle: Station) -> Ticket | None:
        """Of all who wait elsewhere, the one that gains most by coming here; None when nobody gains enough."""
        most_s, found = MOVES_AFTER_S, None
        for station in self.stations:
            if station is idle or not station.line:
                continue
            for ticket, start_s in zip(list(station.line), station.starts_s(), strict=False):
                if not ticket.may_take(idle):
                    continue
                tokens, here = ticket.prefix.total_tokens, idle.view(ticket, queue_max=self._queue_max)
                there_s = start_s + ticket.cold_tokens / station.prefill_tokens_per_s
                gain_s = there_s - here.first_token_s(tokens) - here.eviction_s
                if gain_s > most_s:
                    most_s, found = gain_s, ticket
        return found


def full(wait_s: float, *, waiting: int) -> Overloaded:
    """What a client is told that cannot even wait."""
    return Overloaded(
        f"{waiting} requests wait already and the queue is full: try again in {math.ceil(wait_s)} s, or add a Thinker",
        retry_after_s=max(1.0, wait_s),
    )
