"""A Messages SSE stream: bytes in, events out, without any I/O.

Formats: https://html.spec.whatwg.org/multipage/server-sent-events.html and the Messages streaming reference.
Event types that we do not know, pings and comments are ignored; ids are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import orjson

from workbench.backend import refusals
from workbench.errors import BadReply
from workbench.reply import (
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    RedactedThinking,
    SignatureDelta,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A line or an event longer than this is a fault and not a reply."""

_STOP_REASONS: dict[Any, StopReason] = {reason: reason for reason in get_args(StopReason)}
_USAGE_FIELDS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class LineSplitter:
    """Cuts bytes into lines, wherever the chunks end; raises `BadReply` on a line above the limit."""

    def __init__(self, *, max_line_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this chunk completes, without their ends."""
        first, *others = chunk.split(b"\n")
        self._rest += first
        for piece in others:
            yield self._line()
            self._rest += piece
        self._check()

    def _line(self) -> bytes:
        self._check()
        line = bytes(self._rest).removesuffix(b"\r")
        self._rest.clear()
        return line

    def _check(self) -> None:
        if len(self._rest) > self._max_line_bytes:
            raise BadReply(f"the Thinker sent a line of more than {self._max_line_bytes} bytes")


class EventReader:
    """Reads one reply; `done` once it has come to its end, `progress` counts its events. Implements `Reader`."""

    def __init__(self, *, model: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.done = False
        self.progress = 0
        self._model = model
        self._max_event_bytes = max_event_bytes
        self._lines = LineSplitter(max_line_bytes=max_event_bytes)
        self._data = bytearray()
        self._prompt_usage: dict[str, int] = {}
        self._ended = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes; raises `BadReply` or what the server's error event stands for."""
        for line in self._lines.feed(chunk):
            if self.done:
                return
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data += value.removeprefix(b" ") + b"\n"
                self._check()
            elif not line and self._data:
                for event in self._dispatch():
                    self.progress += 1
                    yield event

    def finish(self) -> Iterator[Event]:
        """Say that no more bytes will come; raises `BadReply` when the reply has no end."""
        if not self.done:
            raise BadReply("the Thinker's reply was cut off: the stream ended without message_stop")
        return iter(())

    def _check(self) -> None:
        if len(self._data) > self._max_event_bytes:
            raise BadReply(f"the Thinker sent an event of more than {self._max_event_bytes} bytes")

    def _dispatch(self) -> Iterator[Event]:
        data, self._data = bytes(self._data), bytearray()
        if data == b"[DONE]\n":  # vLLM ends its Messages streams as it ends its others
            return
        try:
            payload = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BadReply(f"the Thinker sent an event of {len(data)} bytes that is not JSON: {error}") from None
        yield from self._events(payload)

    def _events(self, payload: Any) -> Iterator[Event]:
        match payload:
            case {"type": "message_start", "message": {**message}}:
                self._prompt_usage = _usage_fields(message.get("usage"))
                yield MessageStart(self._model, Usage(**self._prompt_usage))
            case {"type": "content_block_start", "index": int(index), "content_block": {**block}}:
                yield from _block_start(index, block)
            case {"type": "content_block_delta", "index": int(index), "delta": {**delta}}:
                yield from _block_delta(index, delta)
            case {"type": "content_block_stop", "index": int(index)}:
                yield BlockStop(index)
            case {"type": "message_delta", "delta": {**delta}}:
                yield from self._message_delta(delta, payload.get("usage"))
            case {"type": "message_stop"} if self._ended:
                self.done = True
                yield MessageStop()
            case {"error": error}:  # llama.cpp sends it without a type
                raise refusals.from_event(error)
            case _:
                _refuse_malformed(payload)

    def _message_delta(self, delta: dict[Any, Any], usage: Any) -> Iterator[Event]:
        # Servers say what they know where they know it: whatever the end leaves out or has as 0 stands in the start.
        final = self._prompt_usage | {field: count for field, count in _usage_fields(usage).items() if count}
        self._prompt_usage = final
        reason, sequence = delta.get("stop_reason"), delta.get("stop_sequence")
        if reason is None:
            return
        if sequence is not None and reason == "end_turn":  # llama.cpp names the sequence but not the reason
            reason = "stop_sequence"
        stop_reason = _STOP_REASONS.get(str(reason))
        if stop_reason is None or not isinstance(sequence, str | None):
            raise BadReply(f"the Thinker ended with stop_reason {str(reason)[:40]!r}, which no reply can have")
        self._ended = True
        yield MessageDelta(stop_reason, sequence, Usage(**final))


def _block_start(index: int, block: dict[Any, Any]) -> Iterator[Event]:
    match block:
        case {"type": "text"}:
            yield BlockStart(index, Text())
            if isinstance(text := block.get("text"), str) and text:
                yield TextDelta(index, text)
        case {"type": "thinking"}:
            yield BlockStart(index, Thinking())
            if isinstance(thinking := block.get("thinking"), str) and thinking:
                yield ThinkingDelta(index, thinking)
            if isinstance(signature := block.get("signature"), str) and signature:
                yield SignatureDelta(index, signature)
        case {"type": "redacted_thinking", "data": str(data)}:
            yield BlockStart(index, RedactedThinking(data))
        case {"type": "tool_use", "name": str(name)} if name:
            yield BlockStart(index, ToolUse(name))
            if tool_input := block.get("input"):  # some servers send it whole, and no deltas
                yield InputJsonDelta(index, orjson.dumps(tool_input).decode())
        case _:
            raise BadReply(f"the Thinker began a block of type {str(block.get('type'))[:40]!r}, which cannot be read")


def _block_delta(index: int, delta: dict[Any, Any]) -> Iterator[Event]:
    match delta:
        case {"type": "text_delta", "text": str(text)}:
            yield TextDelta(index, text)
        case {"type": "input_json_delta", "partial_json": str(piece)}:
            yield InputJsonDelta(index, piece)
        case {"type": "thinking_delta", "thinking": str(thinking)}:
            yield ThinkingDelta(index, thinking)
        case {"type": "signature_delta", "signature": str(signature)}:
            yield SignatureDelta(index, signature)
        case {"type": "text_delta" | "input_json_delta" | "thinking_delta" | "signature_delta" as kind}:
            raise BadReply(f"the Thinker sent a {kind} without its text")


def _usage_fields(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    counts = {field: usage.get(field) for field in _USAGE_FIELDS}
    return {field: count for field, count in counts.items() if isinstance(count, int) and count >= 0}


def _refuse_malformed(payload: Any) -> None:
    """Raise `BadReply` for an event that we know but cannot read; others are none of our business."""
    match payload:
        case {"type": "message_start" | "message_delta" | "message_stop" | "error" as kind}:
            raise BadReply(f"the Thinker sent a {kind} event that is malformed or out of place")
        case {"type": "content_block_start" | "content_block_delta" | "content_block_stop" as kind}:
            raise BadReply(f"the Thinker sent a malformed {kind} event")
        case dict():
            return
        case _:
            raise BadReply(f"the Thinker sent a {type(payload).__name__} as an event, expected an object")
