"""What Ollama answers: its NDJSON lines as reply events, its refusals as errors. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson

from workbench.backend.stop_sequences import StopSequences
from workbench.errors import (
    BadReply,
    InvalidRequest,
    MalformedToolCall,
    Overloaded,
    PromptTooLong,
    ThinkerTimeout,
    ThinkerUnavailable,
    WorkbenchError,
)
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

MAX_LINE_BYTES = 16 * 1024 * 1024
"""No line of a real reply comes near this; whoever sends more is not Ollama."""

SIGNATURE = "c2VsZi1ob3N0ZWQ="
"""Thinking needs a signature that the client sends back; nobody checks it."""

_TOO_LONG = re.compile(
    r"exceed\w*\b.{0,40}\bcontext|context\b.{0,40}\bexceed|(prompt|input)( is)? too long", re.IGNORECASE | re.DOTALL
)
_MALFORMED_CALL = re.compile(r"XML syntax error|pars\w+ tool call|tool call pars", re.IGNORECASE)
"""What Ollama's parsers say (qwen3-coder's XML, gpt-oss' JSON) when a model's tool call breaks off or is malformed."""

_NUMBER = re.compile(r"\d{2,}")

T = TypeVar("T")


class Lines:
    """Cuts bytes into lines, holding back what is not yet complete, up to a limit."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now, without empty ones; raises `BadReply` when one grows too long."""
        *complete, rest = chunk.split(b"\n")
        if complete and self._pieces:
            complete[0] = b"".join((*self._pieces, complete[0]))
            self._pieces, self._held_bytes = [], 0
        if rest:
            self._hold(rest)
        return [line for line in complete if line]

    def _hold(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > self._max_line_bytes:
            raise BadReply(f"Ollama sent a line of more than {self._max_line_bytes} bytes")

    def rest(self) -> bytes:
        """What stands after the last line end: a whole line, or half of one."""
        return b"".join(self._pieces)


class OllamaReply:
    """Turns the lines of one reply into its events.

    Stop sequences are recognised here. Ollama would drop the sequence and say "stop" as for any other end, and a
    `stop` option would replace the model's own stop tokens; so it is not sent, and whoever reads `stopped` closes
    the connection, which aborts the generation. The counts that Ollama gives at the end are then missing: the
    output is taken as one token a line (as Ollama streams), the prompt as `guessed_prompt_tokens`.
    """

    def __init__(
        self, *, model: str, num_ctx: int, guessed_prompt_tokens: int, stop_sequences: Sequence[str] = ()
    ) -> None:
        self._model = model
        self._num_ctx = num_ctx
        self._guessed_prompt_tokens = guessed_prompt_tokens
        self._stops = StopSequences(stop_sequences)
        self._open: type[Block] | None = None
        self._blocks = 0
        self._lines = 0
        self._called = False
        self._events: list[Event] = []
        self.prompt_tokens = 0
        """As Ollama counted them; 0 until it said so."""
        self.started = False
        """Whether a line has come."""
        self.ended = False
        """Whether the reply is complete."""

    @property
    def stopped(self) -> bool:
        """Whether it ended at a stop sequence, while Ollama still generates."""
        return self._stops.found is not None

    def feed(self, line: bytes) -> list[Event]:
        """The events of the next line; raises `BadReply`, or `PromptTooLong` when Ollama says so on a 200."""
        if self.ended:
            return []  # lines that Ollama had sent before it noticed
        part = _parsed(line)
        if "error" in part:
            text = _error_text(part["error"])
            raise self._too_long(text) or _failure(f"Ollama failed while it answered: {text}")
        self._events = []
        if not self.started:
            self.started = True
            self._events.append(MessageStart(self._model))
        self._message(_typed(part, "message", dict))
        if part.get("done") and not self.stopped:
            self._end(part)
        return self._events

    def _message(self, message: dict[str, Any]) -> None:
        thinking, text = _typed(message, "thinking", str), _typed(message, "content", str)
        calls = _typed(message, "tool_calls", list)
        if thinking:
            self._enter(Thinking())
            self._events.append(ThinkingDelta(self._blocks - 1, thinking))
        if text:
            self._text(text)
        if calls and not self.stopped:
            self._called = True
            for call in calls:
                self._call(call)
        if thinking or text or calls:
            self._lines += 1

    def _text(self, piece: str) -> None:
        certain = self._stops.feed(piece)
        if certain:
            self._enter(Text())
            self._events.append(TextDelta(self._blocks - 1, certain))
        if self.stopped:
            self._finish("stop_sequence", Usage(self._guessed_prompt_tokens, self._lines + 1))

    def _call(self, call: Any) -> None:
        function = _typed(call, "function", dict)
        name, arguments = _typed(function, "name", str), _typed(function, "arguments", dict)
        if not name:
            raise BadReply(f"Ollama sent a tool call without a name: {str(call)[:200]}")
        self._open_block(ToolUse(name))
        self._events.append(InputJsonDelta(self._blocks - 1, orjson.dumps(arguments).decode()))
        self._close()

    def _enter(self, block: Block) -> None:
        """Make sure that a block of this kind is open."""
        if self._open is not type(block):
            self._open_block(block)

    def _open_block(self, block: Block) -> None:
        if not isinstance(block, Text):
            self._release()
        self._close()
        self._open = type(block)
        self._events.append(BlockStart(self._blocks, block))
        self._blocks += 1

    def _release(self) -> None:
        if held := self._stops.release():
            self._enter(Text())
            self._events.append(TextDelta(self._blocks - 1, held))

    def _close(self) -> None:
        if self._open is None:
            return
        index = self._blocks - 1
        if self._open is Thinking:
            self._events.append(SignatureDelta(index, SIGNATURE))
        self._events.append(BlockStop(index))
        self._open = None

    def _end(self, part: dict[str, Any]) -> None:
        self._release()
        self.prompt_tokens = _count(part.get("prompt_eval_count"))
        # Some versions leave out a count, for instance when all of the prompt was cached.
        output_tokens = _count(part.get("eval_count")) or self._lines
        usage = Usage(self.prompt_tokens or self._guessed_prompt_tokens, output_tokens)
        self._finish(self._stop_reason(part.get("done_reason")), usage)

    def _stop_reason(self, done_reason: Any) -> StopReason:
        if self._called:
            return "tool_use"
        match done_reason:
            case "stop" | None:
                return "end_turn"
            case "length":
                return "max_tokens"
            case other:
                raise BadReply(f"Ollama ended its reply with done_reason {other!r}, expected stop or length")

    def _finish(self, reason: StopReason, usage: Usage) -> None:
        self._close()
        self._events += [MessageDelta(reason, self._stops.found, usage), MessageStop()]
        self.ended = True

    def refusal(self, status: int, body: bytes, *, retry_after: str | None = None) -> WorkbenchError:
        """The error that an answer with a status other than 200 means."""
        text = _refusal_text(body)
        return self._too_long(text) or refusal(status, text, model=self._model, retry_after=retry_after)

    def _too_long(self, text: str) -> PromptTooLong | None:
        if not _TOO_LONG.search(text):
            return None
        numbers = [int(number) for number in _NUMBER.findall(text)][:2]
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            return PromptTooLong(*numbers)
        # Ollama's own wording has no numbers; the client only needs to see that one exceeds the other.
        return PromptTooLong(max(self._guessed_prompt_tokens, self._num_ctx + 1), self._num_ctx)


def refusal(status: int, text: str, *, model: str, retry_after: str | None = None) -> WorkbenchError:
    """The error that a status other than 200 means; `text` is what Ollama, or something before it, said."""
    match status:
        case 404:
            return ThinkerUnavailable(f"Ollama has no model {model!r} ({text}): `ollama pull {model}`")
        case 429 | 503:
            return Overloaded(f"Ollama's queue is full: {text}", retry_after_s=_seconds(retry_after) or 2.0)
        case 502:
            return ThinkerUnavailable(f"what stands before Ollama cannot reach it (502): {text}")
        case 504:
            return ThinkerTimeout(f"what stands before Ollama waited too long for it (504): {text}")
        case 401 | 403:
            return BadReply(f"Ollama's address refuses us ({status}): {text}")
        case _ if 400 <= status < 500:
            return InvalidRequest(f"the model cannot take this request: {text}")
        case _:
            return _failure(f"Ollama answered with status {status}: {text}")


def _failure(text: str) -> BadReply:
    return MalformedToolCall(text) if _MALFORMED_CALL.search(text) else BadReply(text)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        part = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadReply(f"Ollama sent a line that is not JSON ({error}): {_excerpt(line)}") from None
    if not isinstance(part, dict):
        raise BadReply(f"Ollama sent a line that is not an object: {_excerpt(line)}")
    return part


def _typed(part: Any, name: str, kind: type[T]) -> T:
    """The field, empty when it is missing or null; raises `BadReply` when it is of another type."""
    value = part.get(name) if isinstance(part, dict) else part
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise BadReply(f"Ollama sent `{name}` as {type(value).__name__}, expected {kind.__name__}: {str(value)[:200]}")
    return value


def _refusal_text(body: bytes) -> str:
    try:
        part = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _excerpt(body)
    return _error_text(part["error"]) if isinstance(part, dict) and "error" in part else _excerpt(body)


def _error_text(error: Any) -> str:
    """The message; servers behind Ollama nest it."""
    return str(error.get("message", error) if isinstance(error, dict) else error)[:500]


def _excerpt(data: bytes) -> str:
    return data[:200].decode(errors="replace")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _seconds(value: str | None) -> float | None:
    """A ``Retry-After`` in seconds; its other form, a date, is not worth reading."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
