"""One flight a digest: identical requests at the same time share one upstream call.

Leader and followers are equal. Each reads the flight's growing list of events by an index of its own, so a
slow reader stalls nobody; the call is cancelled when its last reader has left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from workbench.errors import BadReply, WorkbenchError
from workbench.reply import BlockStop, Collector, Event, MessageDelta, MessageStop, Reply, ToolUse, size_bytes

log = logging.getLogger(__name__)


class Call(Protocol):
    """One upstream call; `thinker` names who answers it, once that is known, `reason` why it does.

    `queued_s` is how long it waited for its turn, `waits` where it stands while it does ("" when it does not).
    `followed` is whether another process made it, and this is only its reply.
    """

    @property
    def thinker(self) -> str:
        """See above."""

    @property
    def followed(self) -> bool:
        """See above."""

    @property
    def reason(self) -> str:
        """See above."""

    @property
    def queued_s(self) -> float:
        """See above."""

    @property
    def waits(self) -> str:
        """See above."""

    def events(self) -> AsyncGenerator[Event, None]:
        """The reply's events as they come."""


REPLY_MAX_BYTES = 32 * 1024 * 1024
"""A reply longer than this is a Thinker gone mad: the longest outputs of today's models are under 1 MB."""

Key = tuple[str, str]
"""Tenant and digest."""
Finish = Callable[[Reply], Awaitable[None]]
"""What is done with a complete reply before its readers see the end of it."""


class Flight:
    """An upstream call in progress, and everything that it has said so far."""

    def __init__(self, call: Call, finish: Finish) -> None:
        self.call = call
        self.reply: Reply | None = None
        self.error: WorkbenchError | None = None
        self._finish = finish
        self._events: list[Event] = []
        self.readers = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.reply is not None or self.error is not None

    @property
    def is_abandoned(self) -> bool:
        """Whether everybody has left."""
        return self.readers == 0

    def launch(self, tasks: asyncio.TaskGroup, on_end: Callable[[], None]) -> None:
        """Start the call; `on_end` is called when it is over, however it ended."""
        self._task = tasks.create_task(self._fly())
        self._task.add_done_callback(lambda _: on_end())

    def reader(self) -> Reader:
        """A new reader, from the first event on. Whoever takes one closes it."""
        self.readers += 1
        return Reader(self)

    def leave(self) -> None:
        """A reader has gone; the last one takes the call with it."""
        self.readers -= 1
        if self.is_abandoned:
            self.cancel()

    def cancel(self) -> None:
        """Stop the call, if it is not over."""
        if self._task and not self.is_over:
            self._task.cancel()

    async def news(self) -> None:
        """Wait until there are more events, or the end."""
        if not self.is_over:
            await self._news.wait()

    def events_from(self, index: int) -> list[Event]:
        """What has come since event number `index`."""
        return self._events[index:]

    async def _fly(self) -> None:
        try:
            self.reply = await self._collect()
        except WorkbenchError as error:
            self.error = error
        except Exception:
            log.exception("flight.failed")
            self.error = BadReply("the proxy could not read the Thinker's reply; its log says why")
        finally:
            if not self.is_over:
                self.error = BadReply("the server is stopping")
            self._wake()

    async def _collect(self) -> Reply:
        collector = Collector()
        held: list[Event] = []
        size = 0
        async with aclosing(self.call.events()) as events:
            async for event in events:
                collector.feed(event)
                size += size_bytes(event)
                if size > REPLY_MAX_BYTES:
                    raise BadReply(f"the Thinker's reply has more than {REPLY_MAX_BYTES} bytes")
                if held or _is_acted_upon(event, collector):
                    held.append(event)
                else:
                    self._publish(event)
        reply = collector.reply()
        await self._finish(reply)
        self._publish(*held)
        return reply

    def _publish(self, *events: Event) -> None:
        self._events += events
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _is_acted_upon(event: Event, collector: Collector) -> bool:
    """Whether clients act on this event, so that it waits until the whole reply is there and stored.

    Claude Code runs a tool as soon as its call is complete, even when an error follows in the stream.
    """
    match event:
        case MessageDelta() | MessageStop():
            return True
        case BlockStop(index):
            return isinstance(collector.block(index), ToolUse)
        case _:
            return False


class Reader:
    """One client's place in a flight."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self._index = 0
        self._closed = False

    async def read(self, *, timeout_s: float | None = None) -> list[Event]:
        """What has come since the last call, at least one event; an empty list is the clean end.

        Raises the flight's error once everything before it was read, and `TimeoutError` when nothing comes.
        """
        while not (events := self.flight.events_from(self._index)):
            if self.flight.error:
                raise self.flight.error
            if self.flight.is_over:
                return []
            async with asyncio.timeout(timeout_s):
                await self.flight.news()
        self._index += len(events)
        return events

    async def wait(self, *, timeout_s: float) -> bool:
        """Whether something has come (or the flight is over) within `timeout_s`; takes nothing."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.flight.events_from(self._index) and not self.flight.is_over:
                    await self.flight.news()
        except TimeoutError:
            return False
        return True

    @property
    def failed_at_once(self) -> WorkbenchError | None:
        """The flight's error, if it failed before this reader was given anything."""
        return None if self._index or self.flight.events_from(0) else self.flight.error

    async def reply(self) -> Reply:
        """The whole reply, once it is complete; raises the flight's error."""
        while await self.read():
            pass
        if self.flight.reply is None:
            raise BadReply("the Thinker's reply was cut off")
        return self.flight.reply

    def close(self) -> None:
        """Leave the flight; may be called twice."""
        if not self._closed:
            self._closed = True
            self.flight.leave()


class Flights:
    """The flights now in the air. An async context manager: leaving it cancels them all."""

    def __init__(self) -> None:
        self._flights: dict[Key, Flight] = {}
        self._tasks = asyncio.TaskGroup()
        self._all: set[Flight] = set()

    async def __aenter__(self) -> Flights:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()
        await self._tasks.__aexit__(None, None, None)

    @property
    def calls(self) -> int:
        """How many upstream calls are in the air."""
        return len(self._all)

    @property
    def readers(self) -> int:
        """How many clients they have."""
        return sum(flight.readers for flight in self._all)

    def cancel(self) -> None:
        """Stop all calls; their readers are told."""
        for flight in list(self._all):
            flight.cancel()

    def join(
        self, key: Key, call: Callable[[], Call], finish: Finish, *, on_end: Callable[[], None] | None = None
    ) -> tuple[Reader, bool]:
        """A reader of this key's flight, and whether somebody else's was joined.

        `on_end` is called when a flight of our own is over, however it ended.
        """
        flight = self._flights.get(key)
        if flight and not flight.is_over and not flight.is_abandoned:
            return flight.reader(), True
        return self._take_off(call(), finish, key, on_end), False

    def alone(self, call: Call, finish: Finish) -> Reader:
        """A reader of a flight that nobody else may join."""
        return self._take_off(call, finish, None)

    def _take_off(
        self, call: Call, finish: Finish, key: Key | None, on_end: Callable[[], None] | None = None
    ) -> Reader:
        flight = Flight(call, finish)
        self._all.add(flight)
        if key:
            self._flights[key] = flight
        flight.launch(self._tasks, lambda: self._land(flight, key, on_end))
        return flight.reader()

    def _land(self, flight: Flight, key: Key | None, on_end: Callable[[], None] | None) -> None:
        if on_end:
            on_end()
        self._all.discard(flight)
        if key and self._flights.get(key) is flight:
            del self._flights[key]
