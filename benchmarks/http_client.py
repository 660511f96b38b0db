"""Just enough HTTP/1.1 to measure a server: one request at a time on a connection that is kept.

Stricter than a browser: an answer of unknown length, or with bytes too many, is a fault of the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast


class MalformedAnswer(ValueError):
    """The server sent something that is not an HTTP/1.1 answer of known length."""


class Answer:
    """One HTTP/1.1 answer as it comes in; it needs a content-length or the chunked coding."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.arrivals: list[tuple[float, int]] = []  # when bytes of the body came, and how many there were then
        self.is_whole = False
        self._raw = bytearray()
        self._missing_bytes = 0
        self._feed = self._feed_head

    @property
    def first_s(self) -> float:
        """When the first byte of the body came, 0 before that."""
        return self.arrivals[0][0] if self.arrivals else 0.0

    def feed(self, data: bytes) -> bool:
        """Take in more bytes; whether the answer is whole now. Raises `MalformedAnswer`."""
        self._raw += data
        had = len(self.body)
        while not self.is_whole and self._feed():
            pass
        if len(self.body) > had:
            self.arrivals.append((time.perf_counter(), len(self.body)))
        if self.is_whole and self._raw:
            raise MalformedAnswer("more bytes came than the answer has")
        return self.is_whole

    def _feed_head(self) -> bool:
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._take(end, end + 4).decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if version != "HTTP/1.1" or not rest[:3].isdigit():
            raise MalformedAnswer(f"the answer begins with {first[:40]!r}")
        self.status = int(rest[:3])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self._feed = self._feed_size
        elif self.headers.get("content-length", "").isdigit():
            self._missing_bytes = int(self.headers["content-length"])
            self._feed = self._feed_body
        else:
            raise MalformedAnswer("the answer has neither a content-length nor the chunked coding")
        return True

    def _feed_body(self) -> bool:
        self._take_body(self._missing_bytes)
        self.is_whole = self._missing_bytes == 0
        return False

    def _feed_size(self) -> bool:
        end = self._raw.find(b"\r\n")
        if end < 0:
            return False
        try:
            self._missing_bytes = int(self._take(end, end + 2).partition(b";")[0], 16)
        except ValueError:
            raise MalformedAnswer("a chunk has no size") from None
        self._feed = self._feed_chunk if self._missing_bytes else self._feed_trailer
        return True

    def _feed_chunk(self) -> bool:
        self._take_body(self._missing_bytes)
        if self._missing_bytes or len(self._raw) < 2:
            return False
        if self._take(2, 2) != b"\r\n":
            raise MalformedAnswer("a chunk is longer than its size")
        self._feed = self._feed_size
        return True

    def _feed_trailer(self) -> bool:
        end = self._raw.find(b"\r\n")
        if end >= 0:
            self.is_whole = not self._take(end, end + 2)  # an empty line; others are trailing headers
        return end >= 0

    def _take(self, length: int, dropped: int) -> bytes:
        """The first `length` bytes; the first `dropped` are gone afterwards."""
        taken = bytes(self._raw[:length])
        del self._raw[:dropped]
        return taken

    def _take_body(self, limit_bytes: int) -> None:
        taken = self._take(limit_bytes, limit_bytes)
        self.body += taken
        self._missing_bytes -= len(taken)


class Connection(asyncio.Protocol):
    """One connection, on which one request at a time is asked."""

    def __init__(self) -> None:
        self.is_lost = False
        self._answer = Answer()
        self._waiting: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send and wait for the whole answer; raises `ConnectionError` or `MalformedAnswer`."""
        if self.is_lost:
            raise ConnectionResetError("closed while idle")
        self._answer = Answer()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For the event loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """For the event loop."""
        try:
            if self._answer.feed(data):
                self._settle(lambda waiting: waiting.set_result(self._answer))
        except MalformedAnswer as error:
            self._fail(error)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """For the event loop."""
        self.is_lost = True
        self._fail(ConnectionResetError("closed in the middle of the answer"))

    def _fail(self, error: Exception) -> None:
        self._settle(lambda waiting: waiting.set_exception(error))

    def _settle(self, settle: Callable[[asyncio.Future[Answer]], None]) -> None:
        if self._waiting and not self._waiting.done():
            settle(self._waiting)
