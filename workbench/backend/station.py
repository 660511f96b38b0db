"""What is known of one Thinker's work, without any I/O: who is served, who waits, what is warm, how fast it is.

The speeds and the parallelism are learned from when requests were passed on, began to be answered, and ended.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from workbench.backend.health import Breaker
from workbench.backend.prefixes import Prefix, WarmPrefixes
from workbench.backend.queue import Line, Turns
from workbench.backend.routing import Choice, Origin, View

ASSUMED_SLOTS = 4
"""KV slots, and requests at a time, of a Thinker that nobody has told about: both are learned."""

LOAD_S = 20.0
"""What it takes to load a model into memory, as long as nothing better is known."""

PREFILL_TOKENS_PER_S = 2500.0
REPLY_S = 5.0
"""How fast a prompt is read and how long an answer takes, until that has been measured."""

READ_AHEAD_S = 0.5
"""With so much still to read it is given no more: who waits here can still go elsewhere."""

LEARNS = 0.2
"""The weight of the newest measurement."""

MEASURED_TOKENS = 500
"""A shorter prefill says nothing about speed."""

SAMPLES = 8
"""After so many beginnings without the assumed parallelism it is taken to be less."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One request on its way: where it waits or is served, and since when."""

    origin: Origin
    prefix: Prefix
    model: str
    may_take: Callable[[Station], bool]
    granted: Callable[[], None]  # it is its turn now
    station: Station | None = None
    choice: Choice | None = None
    cold_tokens: int = 0
    arrived_s: float = 0.0
    started_s: float | None = None
    begun_s: float | None = None
    output_tokens: int = 0
    is_alone: bool = False  # nobody else's prompt was being read when it started

    @property
    def key(self) -> str:
        """Its session, or what its conversation begins with."""
        return self.origin.key or self.prefix.marks[:2][-1].hex()


class Station:
    """A Thinker's slots, its line, and what was measured. `slots` is None where it must be learned."""

    def __init__(
        self,
        id: str,
        *,
        clock: Callable[[], float],
        slots: int | None = None,
        usd_per_h: float | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.id = id
        self.warm = WarmPrefixes(clock)
        self.line: Line[Ticket] = Line(turns or Turns(), is_warm=lambda ticket: ticket.key in self.warm)
        self.running: list[Ticket] = []
        self.breaker = Breaker(clock)
        self.is_draining = False
        self.loaded: frozenset[str] | None = None  # the models in memory; None: not known
        self.prefill_tokens_per_s = PREFILL_TOKENS_PER_S
        self.reply_s = REPLY_S
        self.tokens_per_s: float | None = None
        self._usd_per_h = usd_per_h
        self._clock = clock
        self._known_slots = slots
        self._learned_slots = ASSUMED_SLOTS
        self._most_begun = 0
        self._beginnings = 0
        self._last_begun_s = 0.0

    # ── what it can take ────────────────────────────────────────────────────────────────────────────────────

    @property
    def slots(self) -> int:
        """Requests at a time, and sequences kept warm."""
        return self._known_slots or self._learned_slots

    @property
    def limit(self) -> int:
        """How many requests it is given at a time: one more than it seems to take, or that would never be learned."""
        whole = self._known_slots or self._learned_slots + 1
        return max(1, round(whole * self.breaker.share))

    @property
    def has_room(self) -> bool:
        """Whether a request can be passed on now."""
        return len(self.running) < self.limit and self.reading_s < READ_AHEAD_S and self.breaker.allows

    @property
    def reading_s(self) -> float:
        """How long it will still read the prompts that it was given: one after the other, at the measured speed."""
        unread = [ticket for ticket in self.running if ticket.begun_s is None]
        if not unread:
            return 0.0
        since_s = max(self._last_begun_s, min(ticket.started_s or 0.0 for ticket in unread))
        whole_s = sum(ticket.cold_tokens for ticket in unread) / self.prefill_tokens_per_s
        return max(0.0, whole_s - (self._clock() - since_s))

    @property
    def usd_per_token(self) -> float | None:
        """What a token costs here at full use; None where price or speed is not known."""
        if self._usd_per_h is None:
            return None
        return self._usd_per_h / 3600 / ((self.tokens_per_s or 1.0) * self.slots)

    def view(self, ticket: Ticket, *, queue_max: int) -> View:
        """What routing needs to know about this ticket here."""
        is_loaded = self.loaded is None or ticket.model in self.loaded
        is_home = ticket.key in self.warm and all(other.key != ticket.key for other in self.running)
        # Who stands in line will take a slot before a newcomer does.
        coming = len({other.key for other in self.line if other is not ticket and other.key not in self.warm})
        return View(
            id=self.id,
            wait_s=self.starts_s(but_not=ticket)[-1],
            load_s=0.0 if is_loaded else LOAD_S,
            warm_tokens=self.warm.shared_tokens(ticket.prefix) if is_loaded else 0,
            prefill_tokens_per_s=self.prefill_tokens_per_s,
            kv_slots=self.slots,
            sessions=self.warm.active + coming,
            is_home=is_home,
            evicted_tokens=self.warm.evicted_tokens(slots=self.slots - coming),
            in_flight=len(self.running) + len(self.line),
            usd_per_token=self.usd_per_token,
            has_room=len(self.line) < queue_max,
        )

    def starts_s(self, *, but_not: Ticket | None = None) -> list[float]:
        """In how many seconds the prompt of each who waits will begin to be read, and last that of a newcomer.

        Prompts are read one after the other, answers written side by side in the slots.
        """
        reading_s = self.reading_s
        slots = sorted(self._left_s(ticket, reading_s) for ticket in self.running)
        slots = [0.0] * max(0, self.limit - len(slots)) + slots
        del slots[: max(0, len(slots) - self.limit)]  # it was given more than it is thought to take now
        starts = []
        for ticket in self.line:
            if ticket is but_not:
                continue
            starts.append(max(heapq.heappop(slots), reading_s))
            reading_s = starts[-1] + ticket.cold_tokens / self.prefill_tokens_per_s
            heapq.heappush(slots, reading_s + self.reply_s)
        return [*starts, max(slots[0], reading_s)]

    def _left_s(self, ticket: Ticket, reading_s: float) -> float:
        if ticket.begun_s is None:
            return reading_s + self.reply_s
        return max(0.1 * self.reply_s, self.reply_s - (self._clock() - ticket.begun_s))

    # ── what happens ────────────────────────────────────────────────────────────────────────────────────────

    def start(self, ticket: Ticket) -> None:
        """It is passed on now."""
        ticket.started_s = self._clock()
        ticket.is_alone = all(other.begun_s is not None for other in self.running)
        ticket.cold_tokens = max(1, ticket.prefix.total_tokens - self.warm.shared_tokens(ticket.prefix))
        self.warm.note(ticket.key, ticket.prefix, slots=self.slots)
        self.running.append(ticket)
        self.line.served(ticket)
        self.breaker.asked()

    def begin(self, ticket: Ticket) -> None:
        """The first sign of an answer to it has come."""
        ticket.begun_s = self._last_begun_s = self._clock()
        took_s = ticket.begun_s - (ticket.started_s or ticket.begun_s)
        if ticket.is_alone and ticket.cold_tokens >= MEASURED_TOKENS and took_s > 0:
            self.prefill_tokens_per_s = _mix(self.prefill_tokens_per_s, ticket.cold_tokens / took_s)
        self._learn_slots()

    def end(self, ticket: Ticket) -> None:
        """It is over; its tokens are known when the answer was whole."""
        self.running.remove(ticket)
        if ticket.output_tokens and ticket.begun_s is not None:
            took_s = self._clock() - ticket.begun_s
            self.reply_s = _mix(self.reply_s, took_s)
            if took_s > 0:
                speed = ticket.output_tokens / took_s
                self.tokens_per_s = speed if self.tokens_per_s is None else _mix(self.tokens_per_s, speed)

    def overloaded(self) -> None:
        """It refused, having too much to do: it takes less than what it was given."""
        self._learned_slots = max(1, min(self._learned_slots, len(self.running) - 1))

    def _learn_slots(self) -> None:
        begun = sum(ticket.begun_s is not None for ticket in self.running)
        self._learned_slots = max(self._learned_slots, begun)
        self._most_begun = max(self._most_begun, begun)
        self._beginnings = self._beginnings + 1 if len(self.running) >= self._learned_slots else 0
        if not self._beginnings:
            self._most_begun = 0
        elif self._beginnings >= SAMPLES:
            self._learned_slots = max(1, self._most_begun)
            self._beginnings = self._most_begun = 0


def _mix(old: float, new: float) -> float:
    return (1 - LEARNS) * old + LEARNS * new
