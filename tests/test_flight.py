"""One upstream call, any number of readers."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from workbench.errors import BackendError, BadReply, ThinkerUnavailable
from workbench.proxy.flight import REPLY_MAX_BYTES, Flights, Reader
from workbench.reply import Event, MessageDelta, MessageStop, Reply, Text, TextDelta, Usage, collect, replay

REPLY = Reply("m", (Text("hello"), Text("world")), "end_turn", None, Usage(3, 4))
EVENTS = list(replay(REPLY))
KEY = ("tenant", "digest")


class ScriptedCall:
    """A call that yields events as far as it is let, then ends or fails; counts how it ended."""

    thinker = "scripted:"
    followed = False
    reason = waits = ""
    queued_s = 0.0

    def __init__(self, events: list[Event], *, error: BackendError | None = None) -> None:
        self.script = events
        self.error = error
        self.allowed = asyncio.Semaphore(0)
        self.started = 0
        self.closed = asyncio.Event()

    def allow(self, count: int) -> None:
        for _ in range(count):
            self.allowed.release()

    async def events(self) -> AsyncGenerator[Event, None]:
        self.started += 1
        try:
            for event in self.script:
                await self.allowed.acquire()
                yield event
            if self.error:
                raise self.error
        finally:
            self.closed.set()


class Finished:
    """Counts what was finished."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    async def __call__(self, reply: Reply) -> None:
        self.replies.append(reply)


async def read_all(reader: Reader) -> list[Event]:
    events: list[Event] = []
    while more := await reader.read(timeout_s=5):
        events += more
    reader.close()
    return events


def test_ten_readers_share_one_call_and_each_gets_everything() -> None:
    async def scenario() -> None:
        call, finished = ScriptedCall(EVENTS), Finished()
        async with Flights() as flights:
            joined = [flights.join(KEY, lambda: call, finished) for _ in range(10)]
            assert [shared for _, shared in joined] == [False] + [True] * 9
            call.allow(len(EVENTS))
            for events in await asyncio.gather(*(read_all(reader) for reader, _ in joined)):
                assert collect(events) == REPLY
            assert call.started == 1
            assert finished.replies == [REPLY]
            assert flights.calls == flights.readers == 0

    asyncio.run(scenario())


def test_reader_that_joins_late_gets_it_from_the_beginning() -> None:
    async def scenario() -> None:
        call = ScriptedCall(EVENTS)
        async with Flights() as flights:
            first, _ = flights.join(KEY, lambda: call, Finished())
            call.allow(3)
            seen: list[Event] = []
            while len(seen) < 3:
                seen += await first.read(timeout_s=5)
            late, shared = flights.join(KEY, lambda: call, Finished())
            assert shared
            call.allow(len(EVENTS))
            assert collect(await read_all(late)) == REPLY
            first.close()

    asyncio.run(scenario())


def test_leader_may_leave_while_a_follower_stays() -> None:
    async def scenario() -> None:
        call = ScriptedCall(EVENTS)
        async with Flights() as flights:
            leader, _ = flights.join(KEY, lambda: call, Finished())
            follower, _ = flights.join(KEY, lambda: call, Finished())
            call.allow(1)
            await leader.read(timeout_s=5)
            leader.close()
            leader.close()  # closing twice counts once
            call.allow(len(EVENTS))
            assert collect(await read_all(follower)) == REPLY

    asyncio.run(scenario())


def test_call_is_cancelled_when_the_last_reader_leaves_and_nothing_is_finished() -> None:
    async def scenario() -> None:
        call, finished = ScriptedCall(EVENTS), Finished()
        async with Flights() as flights:
            readers = [flights.join(KEY, lambda: call, finished)[0] for _ in range(2)]
            call.allow(2)
            await readers[0].read(timeout_s=5)
            for reader in readers:
                reader.close()
            await asyncio.wait_for(call.closed.wait(), 5)
            assert finished.replies == []

    asyncio.run(scenario())


def test_newcomer_does_not_join_an_abandoned_flight() -> None:
    async def scenario() -> None:
        old, new = ScriptedCall(EVENTS), ScriptedCall(EVENTS)
        async with Flights() as flights:
            flights.join(KEY, lambda: old, Finished())[0].close()
            reader, shared = flights.join(KEY, lambda: new, Finished())
            assert not shared
            new.allow(len(EVENTS))
            assert collect(await read_all(reader)) == REPLY

    asyncio.run(scenario())


def test_failure_in_the_middle_reaches_every_reader_after_what_came_before() -> None:
    async def scenario() -> None:
        call, finished = ScriptedCall(EVENTS[:3], error=ThinkerUnavailable("gone")), Finished()
        async with Flights() as flights:
            readers = [flights.join(KEY, lambda: call, finished)[0] for _ in range(2)]
            call.allow(3)
            for reader in readers:
                seen: list[Event] = []
                with pytest.raises(ThinkerUnavailable, match="gone"):  # noqa: PT012  # reads as far as it comes
                    while True:
                        seen += await reader.read(timeout_s=5)
                assert seen == EVENTS[:3]
            assert finished.replies == []

    asyncio.run(scenario())


def test_truncated_stream_is_an_error_and_never_ends_cleanly() -> None:
    async def scenario() -> None:
        for length in range(len(EVENTS)):
            call, finished = ScriptedCall(EVENTS[:length]), Finished()
            async with Flights() as flights:
                reader, _ = flights.join(KEY, lambda call=call: call, finished)  # type: ignore[misc]  # binds the loop's value
                call.allow(length)
                with pytest.raises(BadReply):
                    await read_all(reader)
                assert finished.replies == []

    asyncio.run(scenario())


def test_end_is_told_only_after_the_reply_was_finished() -> None:
    async def scenario() -> None:
        call, stored = ScriptedCall(EVENTS), asyncio.Event()

        async def finish(_: Reply) -> None:
            await stored.wait()

        async with Flights() as flights:
            reader, _ = flights.join(KEY, lambda: call, finish)
            call.allow(len(EVENTS))
            seen: list[Event] = []
            while len(seen) < len(EVENTS) - 2:
                seen += await reader.read(timeout_s=5)
            assert not any(isinstance(event, MessageDelta | MessageStop) for event in seen)
            stored.set()
            assert await reader.read(timeout_s=5) == EVENTS[-2:]
            reader.close()

    asyncio.run(scenario())


def test_reply_without_an_end_is_cut_at_a_limit() -> None:
    async def scenario() -> None:
        piece = TextDelta(0, "x" * (REPLY_MAX_BYTES // 4))
        call, finished = ScriptedCall([*EVENTS[:2], *[piece] * 5, *EVENTS[3:]]), Finished()
        async with Flights() as flights:
            reader, _ = flights.join(KEY, lambda: call, finished)
            call.allow(20)
            with pytest.raises(BadReply, match=str(REPLY_MAX_BYTES)):
                await read_all(reader)
            assert finished.replies == []

    asyncio.run(scenario())


def test_how_it_ended_is_not_told_before_it_has() -> None:
    async def scenario() -> None:
        call = ScriptedCall(EVENTS[:-1])
        async with Flights() as flights:
            reader, _ = flights.join(KEY, lambda: call, Finished())
            call.allow(len(EVENTS))
            seen: list[Event] = []
            with pytest.raises(BadReply):  # noqa: PT012  # reads as far as it comes
                while True:
                    seen += await reader.read(timeout_s=5)
            assert not any(isinstance(event, MessageDelta) for event in seen)

    asyncio.run(scenario())


def test_slow_reader_stalls_nobody() -> None:
    async def scenario() -> None:
        call = ScriptedCall(EVENTS)
        async with Flights() as flights:
            slow, _ = flights.join(KEY, lambda: call, Finished())
            quick, _ = flights.join(KEY, lambda: call, Finished())
            call.allow(len(EVENTS))
            assert collect(await read_all(quick)) == REPLY
            assert collect(await read_all(slow)) == REPLY

    asyncio.run(scenario())


def test_read_times_out_while_nothing_comes() -> None:
    async def scenario() -> None:
        async with Flights() as flights:
            reader, _ = flights.join(KEY, lambda: ScriptedCall(EVENTS), Finished())
            with pytest.raises(TimeoutError):
                await reader.read(timeout_s=0.001)
            assert not await reader.wait(timeout_s=0.001)

    asyncio.run(scenario())


def test_leaving_the_flights_cancels_what_is_in_the_air() -> None:
    async def scenario() -> None:
        call = ScriptedCall(EVENTS)
        async with Flights() as flights:
            reader, _ = flights.join(KEY, lambda: call, Finished())
            call.allow(1)
            await reader.read(timeout_s=5)
        assert call.closed.is_set()

    asyncio.run(scenario())


def test_fault_of_ours_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def broken(_: Reply) -> None:
            raise ZeroDivisionError("secret detail")

        call = ScriptedCall(EVENTS)
        async with Flights() as flights:
            reader, _ = flights.join(KEY, lambda: call, broken)
            call.allow(len(EVENTS))
            with pytest.raises(BadReply) as told:
                await read_all(reader)
            assert "secret" not in str(told.value)
        assert "secret detail" in caplog.text

    asyncio.run(scenario())
