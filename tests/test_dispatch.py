"""Turns at their edges: draining, giving up, and failing at the very moment when something else happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from tests.test_failover import Slow
from tests.test_pool import EVENTS, OTHER, QWEN, REPLY, ScriptedBackend, ask, pool_of
from workbench.backend.dispatch import Dispatcher
from workbench.backend.hedging import hedged
from workbench.backend.pool import Pool, Waiting
from workbench.backend.prefixes import Prefix, WarmPrefixes
from workbench.backend.routing import Origin
from workbench.backend.station import Station, Ticket
from workbench.errors import BadReply, InvalidRequest, Overloaded, ThinkerUnavailable
from workbench.reply import Event

LIMIT_S = 10.0


class Desk:
    """A dispatcher of stations named by letters, each with so many slots, on a clock that is set by hand."""

    def __init__(self, *names: str, slots: int = 1) -> None:
        self.now_s = 0.0
        self.slots = slots
        self.dispatcher = Dispatcher(clock=lambda: self.now_s, queue_max=64)
        for name in names:
            self.add(name)

    def add(self, name: str) -> Station:
        station = Station(name, clock=lambda: self.now_s, slots=self.slots, turns=self.dispatcher.turns)
        self.dispatcher.stations.append(station)
        return station

    def ask(self, session: str, *, tokens: int = 100, may: Callable[[Station], bool] = lambda _: True) -> Ticket:
        ticket = Ticket(
            Origin("t", session), Prefix((session.encode(),), (tokens,)), "m", may_take=may, granted=lambda: None
        )
        self.dispatcher.arrive(ticket)
        return ticket


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what makes no event."""
    while not happened():  # noqa: ASYNC110  # there is none
        await asyncio.sleep(0)


async def queued(pool: Pool, count: int) -> list[asyncio.Task[object]]:
    """So many calls that stand in the first Thinker's line."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(ask(pool)) for _ in range(count)]
    await until(lambda: len(pool.dispatcher.stations[0].line) == count)
    return tasks


def test_nothing_warm_is_nothing_to_push_out() -> None:
    assert WarmPrefixes(lambda: 0.0).evicted_tokens(slots=0) == 0
    assert WarmPrefixes(lambda: 0.0).evicted_tokens(slots=-3) == 0


def test_thinker_that_forgot_its_prompts_still_takes_who_comes_and_lets_go_who_waits() -> None:
    desk = Desk("a")
    (station,) = desk.dispatcher.stations
    waiting = [desk.ask(f"session {number}") for number in range(4)]
    station.warm.forget()
    waiting.append(desk.ask("one more"))
    assert [ticket.station for ticket in waiting] == [station] * 5
    station.breaker.failed(is_gone=True)
    desk.dispatcher.evacuate(station)
    assert [ticket.station for ticket in waiting] == [station] * 5


def test_who_is_passed_on_while_others_are_sent_elsewhere_is_left_alone() -> None:
    desk = Desk("a", slots=2)
    (first,) = desk.dispatcher.stations
    desk.ask("long", tokens=5_000)
    waiting = [desk.ask("one"), desk.ask("two")]
    second = desk.add("b")
    desk.ask("busy", tokens=20_000, may=lambda station: station is second)
    desk.now_s = 1.9  # the long prompt is nearly read: there is room here again, before anybody has looked
    first.is_draining = True
    desk.dispatcher.evacuate(first)
    assert all(
        ticket.station and (ticket in ticket.station.running or ticket in ticket.station.line) for ticket in waiting
    )
    assert sum(len(station.running) + len(station.line) for station in (first, second)) == 4


def test_who_waits_for_a_thinker_that_is_drained_is_still_answered() -> None:
    async def story() -> None:
        only = Slow("a:?slots=1")
        async with asyncio.timeout(LIMIT_S), pool_of(only) as pool:
            first = asyncio.create_task(ask(pool))
            await only.asked.wait()
            others = await queued(pool, 1)
            pool.drain("a:?slots=1")
            only.go.set()
            assert await asyncio.gather(first, *others) == [(REPLY, "a:?slots=1")] * 2
            await until(lambda: not pool.thinkers)
            assert only.closed == 1

    asyncio.run(story())


class Crashing(Slow):
    """Says nothing until it may, and then fails."""

    async def stream(self, request: object, *, model: str) -> AsyncGenerator[Event, None]:
        self.calls += 1
        self.asked.set()
        await self.go.wait()
        raise BadReply("crashed")
        yield EVENTS[0]


def test_second_try_that_finds_nobody_is_the_last() -> None:
    async def story() -> None:
        only = Crashing("a:?slots=1")
        async with asyncio.timeout(LIMIT_S), pool_of(only) as pool:
            asking = asyncio.create_task(ask(pool))
            await only.asked.wait()
            pool.drain("a:?slots=1")
            only.go.set()
            with pytest.raises(ThinkerUnavailable):
                await asking
            assert only.calls == 1

    asyncio.run(story())


def test_second_try_that_waits_too_long_is_the_last() -> None:
    async def story() -> None:
        crashing, slow = Crashing("a:?slots=1"), Slow("b:?slots=1")
        async with (
            asyncio.timeout(LIMIT_S),
            Pool([crashing], refresh_every_s=3600, waiting=Waiting(limit_s=0.05)) as pool,
        ):
            asking = asyncio.create_task(ask(pool))
            await crashing.asked.wait()
            await pool.add(slow)
            pool.drain("a:?slots=1")
            busy = asyncio.create_task(ask(pool))
            await slow.asked.wait()
            crashing.go.set()
            with pytest.raises(Overloaded):
                await asking
            slow.go.set()
            await busy

    asyncio.run(story())


def test_refused_question_for_models_is_the_thinkers_fault_and_asked_again() -> None:
    async def story() -> None:
        thinker = ScriptedBackend("a:", QWEN)
        async with asyncio.timeout(LIMIT_S), Pool([thinker], refresh_every_s=0.01) as pool:
            for refusal in (InvalidRequest("plain HTTP to an HTTPS port"), RuntimeError("the client has been closed")):
                thinker.models_now = refusal
                thinker.listed.clear()
                await thinker.listed.wait()
                thinker.models_now = (QWEN, OTHER)
                await until(lambda: pool.models == [QWEN, OTHER] and not pool.thinkers[0].error)
                thinker.models_now = (QWEN,)
                await until(lambda: pool.models == [QWEN])

    asyncio.run(story())


def test_trial_whose_client_leaves_as_it_is_granted_is_no_trial() -> None:
    async def story() -> None:
        only = Slow("a:?slots=1")
        async with asyncio.timeout(LIMIT_S), pool_of(only) as pool:
            (station,) = pool.dispatcher.stations
            first = asyncio.create_task(ask(pool))
            await only.asked.wait()
            waiting = await queued(pool, 3)
            station.breaker.failed(is_gone=True)
            station.breaker.back()  # a trial is due
            (running,) = station.running
            first.cancel()
            await until(lambda: station.running != [running])  # another one is granted its turn …
            waiting[0].cancel()  # … and leaves before it could take it
            await asyncio.wait([first, waiting[0]])
            only.go.set()
            assert await asyncio.gather(*waiting[1:]) == [(REPLY, "a:?slots=1")] * 2
            assert station.breaker.state == "closed"

    asyncio.run(story())


def test_both_tries_that_fail_at_once_are_one_failure() -> None:
    async def story() -> None:
        dropped = asyncio.Event()

        async def stream() -> AsyncGenerator[int, None]:
            await dropped.wait()
            raise ThinkerUnavailable("the tunnel dropped")
            yield 1

        asyncio.get_running_loop().call_later(0.05, dropped.set)
        with pytest.raises(ThinkerUnavailable):
            _ = [event async for event in hedged(stream(), stream, after_s=0.01)]

    asyncio.run(story())
