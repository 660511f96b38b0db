"""The scripts of the other scripted servers (`ollama_script`), told in Messages events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from benchmarks.stand_ins import anthropic
from benchmarks.stand_ins.anthropic import Answer, event
from benchmarks.stand_ins.ollama_script import (
    Calls,
    Cut,
    End,
    Endless,
    Fail,
    Raw,
    Refusal,
    Script,
    Silence,
    Step,
    Text,
    Thinking,
    Wait,
)

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def told(script: Script | Refusal, *, stop_sequence: str | None = None) -> Answer:
    """The script as an answer; at `stop_sequence` it ends, as a server that is asked for it does."""
    if isinstance(script, Refusal):
        return Answer((script.payload,), script.status, script.content_type, script.headers)
    return Answer(tuple(_Teller(script, stop_sequence).steps()))


class _Teller:
    """Numbers the blocks of one reply."""

    def __init__(self, script: Script, stop_sequence: str | None) -> None:
        self._script = script
        self._stop_sequence = stop_sequence
        self._index = -1
        self._open: type[Step] | None = None

    def steps(self) -> Iterator[anthropic.Step]:
        """The whole reply."""
        usage = {"input_tokens": self._script.prompt_tokens or 12, "output_tokens": 1}
        yield event({"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}})
        reason = _STOP_REASONS.get(self._script.done_reason or "", "end_turn")
        sequence = None
        for step in self._script.steps:
            if isinstance(step, Text) and self._stop_sequence and self._stop_sequence in step.text:
                yield self._piece(Text(step.text.partition(self._stop_sequence)[0]))
                reason, sequence = "stop_sequence", self._stop_sequence
                break
            if isinstance(step, End):
                return
            reason = "tool_use" if isinstance(step, Calls) else reason
            yield from self._tell(step)
        yield self._close()
        output = {"output_tokens": self._script.output_tokens or 1}
        yield event(
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": output}
        )
        yield event({"type": "message_stop"})

    def _tell(self, step: Step) -> Iterator[anthropic.Step]:
        match step:
            case Text() | Thinking():
                yield self._piece(step)
            case Calls(calls):
                for call in calls:
                    yield self._begin(Calls, {"type": "tool_use", "id": "toolu_1", "name": call.name, "input": {}})
                    yield self._delta("input_json_delta", "partial_json", orjson.dumps(dict(call.arguments)).decode())
            case Raw(data):
                yield data
            case Endless(data):
                yield anthropic.Endless(data)
            case Fail(error):
                yield event({"type": "error", "error": {"type": "api_error", "message": error}})
            case Cut():
                yield anthropic.Cut()
            case Wait() | Silence():
                yield anthropic.Hang()
            case _:
                raise AssertionError(f"{step} cannot be told in Messages events")

    def _piece(self, step: Text | Thinking) -> bytes:
        kind = "text" if isinstance(step, Text) else "thinking"
        begin = b"" if self._open is type(step) else self._begin(type(step), {"type": kind, kind: ""})
        return begin + self._delta(f"{kind}_delta", kind, step.text)

    def _begin(self, kind: type[Step], block: dict[str, Any]) -> bytes:
        closed = self._close()
        self._index += 1
        self._open = kind
        return closed + event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, kind: str, field: str, text: str) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": {"type": kind, field: text}})

    def _close(self) -> bytes:
        was_open, self._open = self._open, None
        return event({"type": "content_block_stop", "index": self._index}) if was_open else b""
