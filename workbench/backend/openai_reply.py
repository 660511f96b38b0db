"""What an OpenAI-speaking server answers: its stream of chunks as reply events. Pure: no I/O.

Source: OpenAI's API reference; what vLLM, llama.cpp, LM Studio and Cerebras do beside it is said where it is handled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from workbench.backend import refusals
from workbench.backend.context_length import Lengths, too_long
from workbench.backend.openai_calls import ToolCalls, typed
from workbench.backend.sse_events import LineSplitter
from workbench.backend.stop_sequences import StopSequences
from workbench.errors import BadReply
from workbench.reply import (
    Block,
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    SignatureDelta,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)

SIGNATURE = "c2VsZi1ob3N0ZWQ="
"""Thinking needs a signature that the client sends back; nobody checks it."""

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "eos": "end_turn",
    "tool_calls": "end_turn",  # tool_use if there are any: some servers say it without
    "function_call": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
}


class OpenAIReply:
    """Reads one reply; implements `Reader`.

    Text and thinking go out as they come. Tool calls are held until the server says why it ended: their fragments
    may come by turns, a call that the limit cut in two can then be left out, and no client ever sees a whole call in
    a reply that breaks off. Stop sequences are found here; the reply then ends at once, with guessed token counts,
    as it does for servers that count nothing (`lengths` has the guess for the prompt).
    """

    def __init__(self, *, model: str, lengths: Lengths, stop_sequences: Sequence[str] = ()) -> None:
        self.done = False
        self.prompt_tokens = 0
        """As the server counted them; 0 until it said so."""
        self._model = model
        self._lengths = lengths
        self._lines = LineSplitter()
        self._stops = StopSequences(stop_sequences)
        self._started = False
        self._open: type[Block] | None = None
        self._blocks = 0
        self._pieces = 0
        self._calls = ToolCalls()
        self._finish_reason: str | None = None
        self._refused = False
        self._usage: Usage | None = None
        self._events: list[Event] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes; raises `BadReply` or what the server's error stands for."""
        for line in self._lines.feed(chunk):
            if self.done:
                return
            name, _, value = line.partition(b":")
            if name in (b"data", b"error") and value.strip():  # old llama.cpp writes `error: {…}`
                self._line(value.strip(), is_error=name == b"error")
            events, self._events = self._events, []
            yield from events

    @property
    def progress(self) -> int:
        """How many pieces of text, thinking and tool calls have come."""
        return self._pieces

    def finish(self) -> Iterator[Event]:
        """The end of a server that leaves out ``[DONE]``; raises `BadReply` when the reply has no end."""
        if not self.done:
            self._end()
        events, self._events = self._events, []
        return iter(events)

    # ── one line ────────────────────────────────────────────────────────────────────────────────────────────

    def _line(self, data: bytes, *, is_error: bool) -> None:
        if data == b"[DONE]":
            self._end()
            return
        try:
            part = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BadReply(f"the Thinker sent a line of {len(data)} bytes that is not JSON: {error}") from None
        if not isinstance(part, dict):
            raise BadReply(f"the Thinker sent a {type(part).__name__} as a chunk, expected an object")
        if is_error or part.get("error") or part.get("object") == "error":
            said = part.get("error") or part
            raise too_long(said, self._lengths) or refusals.from_event(said)
        for choice in typed(part, "choices", list)[:1]:
            self._choice(choice)
        self._count(typed(part, "usage", dict))
        if self._finish_reason and self._usage and not self.done:
            self._end()  # all is said; not every server closes

    def _choice(self, choice: Any) -> None:
        if not self._started:
            self._started = True
            self._events.append(MessageStart(self._model))
        delta = typed(choice, "delta", dict)
        # vLLM has called it both; where a server sends both, they say the same.
        self._think(typed(delta, "reasoning_content", str) or typed(delta, "reasoning", str))
        self._say(typed(delta, "content", str))
        if refusal := typed(delta, "refusal", str):
            self._refused = True
            self._say(refusal)
        for fragment in typed(delta, "tool_calls", list):
            self._pieces += self._calls.add(fragment)
        if reason := typed(choice, "finish_reason", str):
            self._usage = None  # a count on the way is not the last one
            self._finish_reason = reason

    def _count(self, usage: dict[str, Any]) -> None:
        prompt, output = _number(usage, "prompt_tokens"), _number(usage, "completion_tokens")
        if not prompt:
            return
        self.prompt_tokens = prompt
        cached = min(prompt, _number(typed(usage, "prompt_tokens_details", dict), "cached_tokens"))
        self._usage = Usage(prompt - cached, output or self._pieces, 0, cached)

    # ── text and thinking ───────────────────────────────────────────────────────────────────────────────────

    def _think(self, piece: str) -> None:
        if piece and not self.done:
            self._pieces += 1
            self._enter(Thinking())
            self._events.append(ThinkingDelta(self._blocks - 1, piece))

    def _say(self, piece: str) -> None:
        if not piece or self.done:
            return
        self._pieces += 1
        if certain := self._stops.feed(piece):
            self._write(certain)
        if self._stops.found is not None:
            self._usage = None
            self._finish("stop_sequence")

    def _write(self, text: str) -> None:
        self._enter(Text())
        self._events.append(TextDelta(self._blocks - 1, text))

    def _enter(self, block: Thinking | Text) -> None:
        """Make sure that a block of this kind is open."""
        if self._open is type(block):
            return
        if isinstance(block, Thinking):
            self._release()
        self._begin(block)

    def _begin(self, block: Block) -> None:
        self._close()
        self._open = type(block)
        self._events.append(BlockStart(self._blocks, block))
        self._blocks += 1

    def _release(self) -> None:
        if held := self._stops.release():
            self._write(held)

    def _close(self) -> None:
        if self._open is Thinking:
            self._events.append(SignatureDelta(self._blocks - 1, SIGNATURE))
        if self._open is not None:
            self._events.append(BlockStop(self._blocks - 1))
        self._open = None

    # ── tool calls ──────────────────────────────────────────────────────────────────────────────────────────

    def _tell_calls(self) -> bool:
        """All calls as blocks; whether there are any."""
        calls = self._calls.whole(may_be_cut=self._finish_reason == "length")
        for call in calls:
            self._begin(ToolUse(call.name))
            self._events.append(InputJsonDelta(self._blocks - 1, call.arguments))
        return bool(calls)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self) -> None:
        reason = self._finish_reason
        if reason is None:
            raise BadReply("the Thinker's reply was cut off: the stream ended without a finish_reason")
        stop_reason = _STOP_REASONS.get(reason)
        if stop_reason is None:
            raise BadReply(f"the Thinker ended with finish_reason {reason[:40]!r}, which no complete reply has")
        self._release()
        if self._tell_calls() and stop_reason == "end_turn":
            stop_reason = "tool_use"
        self._finish("refusal" if self._refused else stop_reason)

    def _finish(self, reason: StopReason) -> None:
        self._close()
        usage = self._usage or Usage(self.prompt_tokens or self._lengths.guessed_prompt_tokens, self._pieces)
        self._events += [MessageDelta(reason, self._stops.found, usage), MessageStop()]
        self.done = True


def _number(part: dict[str, Any], name: str) -> int:
    value = part.get(name)
    return value if isinstance(value, int) and value > 0 else 0
