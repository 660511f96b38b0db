"""Responses fed by a flight: a stream of events, or one JSON when the reply is complete.

Status and headers wait for the first upstream event, so that an early failure is an honest status. The client is
watched all the while: when it goes, its place in the flight is given up at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from workbench.errors import WorkbenchError
from workbench.proxy.envelope import error_body, error_response, status_and_type
from workbench.proxy.flight import Reader
from workbench.proxy.sse import PING, EventEncoder, comment, error_event, reply_json
from workbench.proxy.telemetry import Exchange

STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
CLIENT_LEFT = 499
"""The status noted, never sent, when the client went before the end."""


EVENTS_AT_ONCE = 256
"""How many events are turned into bytes at a time: a late reader gets a long reply in pieces."""


class ClientStalled(Exception):
    """The client does not read."""


class LiveResponse(Response):
    """What both kinds share: the watch for the client, and the end of the exchange."""

    def __init__(self, reader: Reader, exchange: Exchange, *, on_end: Callable[[Exchange], None]) -> None:
        super().__init__()
        self._reader = reader
        self._exchange = exchange
        self._on_end = on_end
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client until the end, its departure or a failure."""
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._serve(scope, receive, send))
                watching = tasks.create_task(self._cancel_when_gone(receive, serving))
                serving.add_done_callback(lambda _: watching.cancel())
        except* ClientStalled:
            self._exchange.status, self._exchange.error = CLIENT_LEFT, "the client does not read"
        finally:
            self._end()

    def _note_call(self) -> None:
        call = self._reader.flight.call
        self._exchange.thinker, self._exchange.route = call.thinker, call.reason
        self._exchange.queued_ms = round(call.queued_s * 1e3, 1)

    def _end(self) -> None:
        """The exchange is over; noted before the last byte goes, so that a client who has it can see it noted."""
        if not self._ended:
            self._ended = True
            self._note_call()  # once more: when the headers went out it may still have been waiting
            if self._exchange.content:
                self._exchange.content.reply = self._reader.flight.reply
            self._reader.close()
            self._on_end(self._exchange)

    async def _cancel_when_gone(self, receive: Receive, serving: asyncio.Task[None]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not serving.done():
            self._exchange.status, self._exchange.error = CLIENT_LEFT, "the client left"
            serving.cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    def _note_error(self, error: WorkbenchError) -> None:
        self._exchange.status, _ = status_and_type(error)
        self._exchange.error = str(error)

    def _refusal(self, error: WorkbenchError) -> Response:
        self._note_error(error)
        refusal = error_response(error, request_id=self._exchange.id, headers=self._head())
        self._end()
        return refusal

    def _head(self) -> dict[str, str]:
        self._exchange.thinker = self._reader.flight.call.thinker
        if self._reader.flight.call.followed:
            self._exchange.shared, self._exchange.reason = True, "shared-flight"
        self._note_call()
        self._exchange.mark("first_byte")
        return self._exchange.headers


class LiveJson(LiveResponse):
    """The whole reply as one JSON body."""

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reader.reply()
        except WorkbenchError as error:
            await self._refusal(error)(scope, receive, send)
            return
        self._exchange.usage = reply.usage
        response = Response(reply_json(reply), headers=self._head(), media_type="application/json")
        self._end()
        await response(scope, receive, send)


class LiveStream(LiveResponse):
    """The reply's events as they come, with pings in between."""

    def __init__(
        self,
        reader: Reader,
        exchange: Exchange,
        *,
        on_end: Callable[[Exchange], None],
        headers_after_s: float,
        ping_every_s: float,
        write_timeout_s: float,
    ) -> None:
        super().__init__(reader, exchange, on_end=on_end)
        self._headers_after_s = headers_after_s
        self._ping_every_s = ping_every_s
        self._write_timeout_s = write_timeout_s

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await self._reader.wait(timeout_s=self._headers_after_s) and (error := self._reader.failed_at_once):
            await self._refusal(error)(scope, receive, send)
            return
        headers = STREAM_HEADERS | self._head()
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        try:
            await self._send_events(send)
        except WorkbenchError as error:
            self._note_error(error)
            await self._write(send, error_event(error_body(error, request_id=self._exchange.id)))
        self._end()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, send: Send) -> None:
        encoder = EventEncoder()
        while True:
            try:
                events = await self._reader.read(timeout_s=self._ping_every_s)
            except TimeoutError:
                waits = self._reader.flight.call.waits
                await self._write(send, comment(waits) + PING if waits else PING)
                continue
            if not events:
                break
            for begin in range(0, len(events), EVENTS_AT_ONCE):
                await self._write(send, encoder.encode(events[begin : begin + EVENTS_AT_ONCE]))
        if reply := self._reader.flight.reply:
            self._exchange.usage = reply.usage

    async def _write(self, send: Send, body: bytes) -> None:
        """Send bytes; a client that has read nothing for too long is let go."""
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError:
            raise ClientStalled from None
