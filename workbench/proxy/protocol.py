"""HTTP/1.1 as uvicorn speaks it, with an end to what a client may send and to how long it may take.

uvicorn takes a request's head of any size and waits for the rest of a request for ever; and while a pipelined request
waits for its turn, it does not see the client of the running one leave.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from workbench.proxy.envelope import envelope
from workbench.proxy.sse import new_id


class Part(Enum):
    """What the next byte belongs to."""

    HEAD = auto()
    BODY = auto()
    NEXT = auto()
    """The head of another request, if there is one: this one is complete."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection; a subclass with other attributes has other limits."""

    head_max_bytes = 65_536
    """Of a head, and likewise of what comes with a body besides the body (trailers, extensions of chunks)."""
    head_timeout_s = 30.0
    """From a head's first byte, on a new connection from its beginning, to the head's end."""
    body_timeout_s = 60.0
    """Between one piece of a body and the next."""
    pipelined_max_bytes = 8192
    """Of what is sent ahead while a reply is made."""
    pipelined_max_requests = 16
    linger_s = 2.0
    """How long a refused client may go on sending, so that it finds the answer and not a reset connection."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._part = Part.HEAD
        self._idle_bytes = 0  # fed to the parser since a head began or a body's last piece came
        self._ahead_bytes = 0
        self._refused = False
        self._deadline_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None

    # ── the connection ──────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Wait for the first head, but not for ever."""
        super().connection_made(transport)
        self._begin_head()
        self._watch_until(self._deadline_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the running request, where uvicorn tells only the one that came last."""
        self._disconnect_running()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_watching()

    def data_received(self, data: bytes) -> None:
        """Feed the parser no more than what may come at this point."""
        while data and not self._refused and not self.transport.is_closing():
            room = self.head_max_bytes - self._idle_bytes
            piece, data = data[:room], data[room:]
            if not self.pipeline:
                self._ahead_bytes = 0
            if self.pipeline or (self._part is not Part.BODY and self._is_busy):
                self._ahead_bytes += len(piece)
            self._feed(piece)

    def _feed(self, piece: bytes) -> None:
        if self._part is Part.NEXT:
            self._begin_head()
        self._idle_bytes += len(piece)  # the parser's callbacks set it back
        super().data_received(piece)
        if self._refused:
            return
        if self._idle_bytes >= self.head_max_bytes:
            self._refuse(431, f"the request's header fields are longer than the {self.head_max_bytes} bytes allowed")
        elif self._part is not Part.NEXT:
            self._wait_for_more()
        else:
            self._stop_watching()
        if self.pipeline:
            self._keep_reading()

    def _keep_reading(self) -> None:
        """uvicorn stops here, and would not see the client leave: go on, within bounds."""
        if self._ahead_bytes > self.pipelined_max_bytes or len(self.pipeline) > self.pipelined_max_requests:
            self.transport.abort()
        else:
            self.flow.resume_reading()

    # ── what the parser finds ───────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """A head begins, perhaps in the middle of what was received."""
        self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        super().on_headers_complete()
        self._part, self._idle_bytes = Part.BODY, 0

    def on_body(self, body: bytes) -> None:
        """The body goes on."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._part, self._idle_bytes = Part.NEXT, 0
        super().on_message_complete()

    def _begin_head(self) -> None:
        self._part = Part.HEAD
        self._deadline_s = self.loop.time() + self.head_timeout_s

    # ── the running request ─────────────────────────────────────────────────────────────────────────────────

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _is_busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _disconnect_running(self) -> None:
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────

    def _wait_for_more(self) -> None:
        if self._part is Part.BODY:
            self._deadline_s = self.loop.time() + self.body_timeout_s
        if self._watch is None or self._watch.when() > self._deadline_s:
            self._stop_watching()
            self._watch_until(self._deadline_s)

    def _watch_until(self, when_s: float) -> None:
        self._watch = self.loop.call_at(when_s, self._look)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        """Close the connection if its time is up; one timer serves all pieces of a request."""
        self._watch = None
        now_s = self.loop.time()
        if self._refused:
            self.transport.abort()
        elif self._deadline_s > now_s:
            self._watch_until(self._deadline_s)
        elif self._is_ours_to_wait:
            self._watch_until(now_s + self.head_timeout_s)
        else:
            self.transport.abort()

    @property
    def _is_ours_to_wait(self) -> bool:
        """Whether the client is not to blame: we do not read its body, or still owe it a reply."""
        return self.flow.read_paused or (self._part is Part.HEAD and self._is_busy)

    # ── refusals ────────────────────────────────────────────────────────────────────────────────────────────

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the API's own form."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        """Answer, then read on for a moment and throw it away; without an answer in the middle of a reply."""
        if self._refused or self.transport.is_closing():
            return
        if not self._may_answer:
            self.transport.abort()
            return
        self._refused = True
        self._disconnect_running()
        self.transport.write(refusal(status, message))
        self.transport.write_eof()
        self._stop_watching()
        self._watch_until(self.loop.time() + self.linger_s)

    @property
    def _may_answer(self) -> bool:
        """Whether the client would take what we send now for the answer to the request it is sending."""
        if self._part is Part.BODY:
            return self.cycle is self._running and not self.cycle.response_started
        return not self._is_busy


def refusal(status: int, message: str) -> bytes:
    """A whole response with the API's error envelope, after which the connection ends."""
    request_id = new_id("req")
    body = envelope("invalid_request_error", message, request_id=request_id)
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nrequest-id: {request_id}\r\n"
    return STATUS_LINE[status] + f"{head}connection: close\r\n\r\n".encode() + body
