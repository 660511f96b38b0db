"""Events and replies as the bytes that a client reads, each client with fresh ids of its own.

Source: the Messages API's streaming reference. Claude Code needs the ``event:`` lines, ``message_start``,
``input_json_delta`` and ``content_block_stop``; it loops for ever when a ``msg_`` or ``toolu_`` id comes twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import orjson

from workbench.reply import (
    Block,
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    RedactedThinking,
    Reply,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    replay,
)

PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def new_id(prefix: str) -> str:
    """A fresh id such as ``msg_3f…``."""
    return f"{prefix}_{uuid.uuid4().hex}"


class EventEncoder:
    """Turns one reply's events into SSE bytes under one fresh message id."""

    def __init__(self) -> None:
        self._message_id = new_id("msg")

    def encode(self, events: Iterable[Event]) -> bytes:
        """These events as SSE, in order."""
        return b"".join(map(self._encode_one, events))

    def _encode_one(self, event: Event) -> bytes:
        match event:
            case TextDelta(index, text):
                return _delta(index, {"type": "text_delta", "text": text})
            case InputJsonDelta(index, partial_json):
                return _delta(index, {"type": "input_json_delta", "partial_json": partial_json})
            case ThinkingDelta(index, thinking):
                return _delta(index, {"type": "thinking_delta", "thinking": thinking})
            case SignatureDelta(index, signature):
                return _delta(index, {"type": "signature_delta", "signature": signature})
            case BlockStart(index, block):
                return _sse("content_block_start", {"index": index, "content_block": _block(block)})
            case BlockStop(index):
                return _sse("content_block_stop", {"index": index})
            case MessageStart():
                return _sse("message_start", {"message": self._opening(event)})
            case MessageDelta(stop_reason, stop_sequence, usage):
                how = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
                return _sse("message_delta", {"delta": how, "usage": asdict(usage)})
            case MessageStop():
                return _sse("message_stop", {})

    def _opening(self, start: MessageStart) -> dict[str, Any]:
        return _message(self._message_id, start.model) | {"usage": asdict(start.usage)}


def reply_stream(reply: Reply) -> bytes:
    """A whole reply as one piece of SSE, with fresh ids."""
    return EventEncoder().encode(replay(reply))


def reply_json(reply: Reply) -> bytes:
    """A whole reply as the JSON body of a request that did not ask for a stream, with fresh ids."""
    message = _message(new_id("msg"), reply.model)
    message["content"] = [_block(block) for block in reply.content]
    message["stop_reason"] = reply.stop_reason
    message["stop_sequence"] = reply.stop_sequence
    message["usage"] = asdict(reply.usage)
    return orjson.dumps(message)


def comment(text: str) -> bytes:
    """A line that clients skip, for people who look at the stream."""
    return b": " + text.replace("\n", " ").encode() + b"\n\n"


def error_event(body: bytes) -> bytes:
    """An error after the headers have gone out; the client then knows that the reply is not complete."""
    return b"event: error\ndata: " + body + b"\n\n"


def _message(id: str, model: str) -> dict[str, Any]:
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(thinking, signature):
            return {"type": "thinking", "thinking": thinking, "signature": signature}
        case RedactedThinking(data):
            return {"type": "redacted_thinking", "data": data}
        case ToolUse(name, tool_input):
            return {"type": "tool_use", "id": new_id("toolu"), "name": name, "input": tool_input}


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _sse("content_block_delta", {"index": index, "delta": delta})


def _sse(event: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps({"type": event, **fields}))
