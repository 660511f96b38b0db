"""Sessions and Thinkers on virtual time, passed on by the workbench's own dispatcher: hours in seconds.

Everything is random from one seed and the same for every way of routing. Routing is told nothing that the proxy does
not see: when a request came, when its answer began and ended. Only `greedy` looks into the Thinkers.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from benchmarks.stand_ins.kv_cache import KvCache, Speed
from workbench.backend import routing
from workbench.backend.dispatch import Dispatcher
from workbench.backend.prefixes import Prefix
from workbench.backend.queue import Line
from workbench.backend.routing import Choice, Origin, View
from workbench.backend.station import Station, Ticket

Way = Literal["workbench", "round robin", "sticky", "greedy"]
WAYS: tuple[Way, ...] = ("workbench", "round robin", "sticky", "greedy")
SETTLE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked of how many Thinkers. Times in seconds, drawn evenly between half and one and a half of them."""

    sessions: int
    slots: int
    thinkers: int = 4
    turns: int = 20
    system_tokens: int = 11_000
    shared_tokens: int = 1_500  # of the system prompt, between sessions: folder and files come early
    turn_tokens: int = 600  # what a tool or the user says
    output_tokens: int = 200
    think_s: float = 5.0
    starts_within_s: float = 30.0
    speed: Speed = field(default_factory=Speed)
    seed: int = 0


@dataclass(slots=True)
class Asked:
    """One request: when it came, and when its first token did."""

    session: int
    at_s: float
    output_tokens: int
    ticket: Ticket
    read_s: float = 0.0  # when its prompt began to be read
    first_s: float = 0.0
    cold_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds to the first token of every request; the worst wait beside an idle Thinker, less the cost of moving.

    That cost: what more is to be read there, and what the session reads again that is pushed out, if it goes on.
    """

    ttft_s: list[float]
    idle_excess_s: float
    lasted_s: float
    cold_share: float


@dataclass(slots=True)
class _Machine:
    """The truth about one Thinker."""

    station: Station
    kv: KvCache
    speed: Speed
    reads_until_s: float = 0.0
    left: list[float] = field(default_factory=list)  # when each running answer ends

    def first_token_s(self, session: str, prompt_tokens: int, now_s: float) -> float:
        """How long a request would really take to its first token, were nobody else to come."""
        cold_s = self.kv.cold_tokens(session, prompt_tokens) / self.speed.prefill_tokens_per_s
        free_s, read_s = sorted(end_s for end_s in self.left if end_s > now_s), max(now_s, self.reads_until_s)
        waiting = list(self.station.line)
        slots = [now_s] * max(0, self.kv.slots - len(free_s)) + free_s
        for ticket in waiting:
            begin_s = max(heapq.heappop(slots), read_s)
            read_s = begin_s + self._cold_s(ticket)
            heapq.heappush(slots, read_s + 200 / self.speed.decode_tokens_per_s)
        return max(heapq.heappop(slots), read_s) + cold_s - now_s

    def _cold_s(self, ticket: Ticket) -> float:
        tokens = self.kv.cold_tokens(ticket.origin.session, ticket.prefix.total_tokens)
        return tokens / self.speed.prefill_tokens_per_s


class FirstCome(Line[Ticket]):
    """The line inside a Thinker, for ways that leave it to the Thinker."""

    def _in_turn(self) -> list[Ticket]:
        return list(self._waiting)


class Simulation:
    """One run."""

    def __init__(self, work: Work, way: Way) -> None:
        self._work = work
        self._now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._random = [random.Random(f"{work.seed}/{session}") for session in range(work.sessions)]  # noqa: S311  # reproducible
        self._asked: list[Asked] = []
        self._open = 0
        self._ended = {""}
        self._beside_idle: list[tuple[Asked, float, float]] = []
        self._waiting: dict[Ticket, Asked] = {}
        is_ours = way == "workbench"
        self._dispatcher = Dispatcher(
            clock=lambda: self._now_s, queue_max=10_000, choose=self._chooser(way), moves=is_ours
        )
        self._then: dict[int, Callable[[], None]] = {}
        self._machines: dict[Station, _Machine] = {}
        for number in range(work.thinkers):
            turns = self._dispatcher.turns
            station = Station(f"thinker-{number}", clock=lambda: self._now_s, slots=work.slots, turns=turns)
            if not is_ours:
                station.line = FirstCome(turns)
            self._dispatcher.stations.append(station)
            kv = KvCache(work.slots, shared_tokens=work.shared_tokens)
            self._machines[station] = _Machine(station, kv, work.speed)

    def run(self) -> Outcome:
        """All sessions to their end."""
        for session in range(self._work.sessions):
            start_s = self._random[session].uniform(0, self._work.starts_within_s)
            self._open += 1
            self._at(start_s, self._asker(session, 0, self._work.system_tokens, ()))
        self._at(SETTLE_EVERY_S, self._settle)
        while self._events:
            self._now_s, _, happen = heapq.heappop(self._events)
            happen()
            self._look_for_idlers()
        prompts = sum(asked.ticket.prefix.total_tokens for asked in self._asked)
        return Outcome(
            [asked.first_s - asked.at_s for asked in self._asked],
            max((asked.read_s - since_s - cost_s for asked, since_s, cost_s in self._beside_idle), default=0.0),
            self._now_s,
            sum(asked.cold_tokens for asked in self._asked) / prompts,
        )

    # ── a session ───────────────────────────────────────────────────────────────────────────────────────────

    def _asker(
        self, session: int, turn: int, before_tokens: int, marks: Sequence[tuple[bytes, int]]
    ) -> Callable[[], None]:
        draw, work = self._random[session], self._work
        name = str(session)
        head = ((b"shared", work.shared_tokens), (f"{name}/system".encode(), work.system_tokens))
        prompt_tokens = before_tokens + round(work.turn_tokens * draw.uniform(0.5, 1.5))
        known = (*(marks or head), (f"{name}/{turn}".encode(), prompt_tokens))
        output_tokens = round(work.output_tokens * draw.uniform(0.5, 1.5))
        think_s = work.think_s * draw.uniform(0.5, 1.5)

        def ask() -> None:
            prefix = Prefix(tuple(mark for mark, _ in known), tuple(tokens for _, tokens in known))
            ticket = Ticket(Origin(session=name), prefix, "model", lambda _: True, lambda: self._start(asked))
            asked = Asked(session, self._now_s, output_tokens, ticket)
            self._asked.append(asked)
            self._waiting[ticket] = asked
            self._dispatcher.arrive(ticket)

        def go_on() -> None:
            if turn + 1 < work.turns:
                self._at(self._now_s + think_s, self._asker(session, turn + 1, prompt_tokens + output_tokens, known))
            else:
                self._open -= 1
                self._ended.add(name)

        self._then[session] = go_on
        return ask

    def _start(self, asked: Asked) -> None:
        """Its Thinker has it: what happens there is settled now."""
        station = asked.ticket.station
        assert station is not None
        machine, name, prompt_tokens = self._machines[station], str(asked.session), asked.ticket.prefix.total_tokens
        self._waiting.pop(asked.ticket)
        asked.cold_tokens = machine.kv.read(name, prompt_tokens)
        asked.read_s = max(self._now_s, machine.reads_until_s)
        asked.first_s = machine.reads_until_s = asked.read_s + asked.cold_tokens / machine.speed.prefill_tokens_per_s
        end_s = asked.first_s + asked.output_tokens / machine.speed.decode_tokens_per_s
        machine.left = [other_s for other_s in machine.left if other_s > self._now_s] + [end_s]
        self._at(asked.first_s, lambda: self._dispatcher.begin(asked.ticket))
        self._at(end_s, lambda: self._end(asked, machine))

    def _end(self, asked: Asked, machine: _Machine) -> None:
        machine.kv.hold(str(asked.session), asked.ticket.prefix.total_tokens + asked.output_tokens)
        asked.ticket.output_tokens = asked.output_tokens
        self._dispatcher.end(asked.ticket)
        self._then[asked.session]()

    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────

    def _at(self, at_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), happen))

    def _settle(self) -> None:
        self._dispatcher.settle()
        if self._open:
            self._at(self._now_s + SETTLE_EVERY_S, self._settle)

    def _look_for_idlers(self) -> None:
        """Note who waits while a Thinker has nothing to do, and what moving there would cost."""
        idle = [machine for station, machine in self._machines.items() if not station.running and not station.line]
        for machine in idle:
            for ticket, asked in self._waiting.items():
                there = self._machines[ticket.station] if ticket.station else machine
                tokens, name = ticket.prefix.total_tokens, str(asked.session)
                more = machine.kv.cold_tokens(name, tokens) - there.kv.cold_tokens(name, tokens)
                pushed, pushed_tokens = machine.kv.pushed_out_by(name)
                if pushed not in self._ended:
                    more += pushed_tokens
                cost_s = more / machine.speed.prefill_tokens_per_s
                self._beside_idle.append((asked, self._now_s, cost_s))

    # ── other ways ──────────────────────────────────────────────────────────────────────────────────────────

    def _chooser(self, way: Way) -> routing.Choose:
        turns = count()

        def in_turn(views: Sequence[View], key: str, prompt_tokens: int) -> Choice:
            return _take(views[next(turns) % len(views)])

        def sticky(views: Sequence[View], key: str, prompt_tokens: int) -> Choice:
            return _take(views[int(key.split("/")[1]) % len(views)])

        def greedy(views: Sequence[View], key: str, prompt_tokens: int) -> Choice:
            session = key.split("/")[1]
            machines = list(self._machines.values())
            true_s = [machine.first_token_s(session, prompt_tokens, self._now_s) for machine in machines]
            return _take(views[true_s.index(min(true_s))])

        ways: dict[Way, routing.Choose] = {
            "workbench": routing.choose,
            "round robin": in_turn,
            "sticky": sticky,
            "greedy": greedy,
        }
        return ways[way]


def _take(view: View) -> Choice:
    return Choice(view.id, "", 0.0, 0.0)
