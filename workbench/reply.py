"""What comes back: a reply, the events it arrives in, and how one becomes the other.

Nothing here carries ids. Every client that reads a reply, live or replayed, gets fresh ``msg_`` and ``toolu_``
ids from `proxy.sse`: Claude Code loops for ever when it sees an id again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from workbench.errors import BadReply

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"
]


# ── the reply ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one exchange, as the Messages API counts them: `input_tokens` excludes the cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """The length of the whole prompt, cached or not."""
        return self.input_tokens + self.cache_creation_input_tokens + self.cache_read_input_tokens


@dataclass(frozen=True, slots=True)
class Text:
    """Text for the user."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought before it answered."""

    thinking: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """Thinking that nobody may read."""

    data: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of one of the client's tools; `input` keeps the model's key order."""

    name: str
    input: dict[str, Any] = field(default_factory=dict)


Block = Text | Thinking | RedactedThinking | ToolUse


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply; `model` is the name that the Thinker's model goes by."""

    model: str
    content: tuple[Block, ...]
    stop_reason: StopReason
    stop_sequence: str | None
    usage: Usage

    @property
    def is_text_only(self) -> bool:
        """Whether it holds nothing but text (thinking aside): only such a reply may be served by meaning."""
        return all(isinstance(block, Text | Thinking | RedactedThinking) for block in self.content)

    @property
    def text(self) -> str:
        """All that it says to the user."""
        return "".join(block.text for block in self.content if isinstance(block, Text))


# ── the events it arrives in ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class MessageStart:
    """The first event; the prompt's tokens where they are known so early."""

    model: str
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class BlockStart:
    """A block begins, as yet without its text or input (a `RedactedThinking` block is whole)."""

    index: int
    block: Block


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text for block `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More thinking for block `index`."""

    index: int
    thinking: str


@dataclass(frozen=True, slots=True)
class SignatureDelta:
    """The signature of thinking block `index`."""

    index: int
    signature: str


@dataclass(frozen=True, slots=True)
class InputJsonDelta:
    """A piece of the JSON text of tool call `index`; the pieces together are one JSON object."""

    index: int
    partial_json: str


@dataclass(frozen=True, slots=True)
class BlockStop:
    """Block `index` is complete."""

    index: int


@dataclass(frozen=True, slots=True)
class MessageDelta:
    """How the reply ended, and its final usage (with the prompt's tokens, or compaction never arms)."""

    stop_reason: StopReason
    stop_sequence: str | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class MessageStop:
    """The reply is complete. A stream that ends without it was cut off."""


Delta = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta
Event = MessageStart | BlockStart | Delta | BlockStop | MessageDelta | MessageStop


# ── one becomes the other ───────────────────────────────────────────────────────────────────────────────────


class Collector:
    """Assembles a `Reply` from its events; refuses what is incomplete, out of order or not JSON."""

    def __init__(self) -> None:
        self._start: MessageStart | None = None
        self._blocks: list[Block] = []
        self._open: int | None = None
        self._pieces: list[str] = []
        self._end: MessageDelta | None = None
        self._stopped = False

    def feed(self, event: Event) -> None:
        """Take the next event; raises `BadReply` when it cannot follow what came before."""
        match event:
            case MessageStart() if self._start is None:
                self._start = event
            case BlockStart(index, block) if self._takes_block(index):
                self._blocks.append(block)
                self._open, self._pieces = index, []
            case TextDelta(index, piece) | ThinkingDelta(index, piece) | InputJsonDelta(index, piece) if (
                index == self._open
            ):
                self._pieces.append(piece)
            case SignatureDelta(index, signature) if index == self._open:
                self._sign(signature)
            case BlockStop(index) if index == self._open:
                self._blocks[index] = _filled(self._blocks[index], "".join(self._pieces))
                self._open = None
            case MessageDelta() if self._start and self._open is None and self._end is None:
                self._end = event
            case MessageStop() if self._end and self._open is None:
                self._stopped = True
            case _:
                raise BadReply(f"the Thinker sent {type(event).__name__} where it cannot stand")

    def _takes_block(self, index: int) -> bool:
        return bool(self._start) and self._open is None and self._end is None and index == len(self._blocks)

    def _sign(self, signature: str) -> None:
        match self._blocks[-1]:
            case Thinking() as block:
                self._blocks[-1] = replace(block, signature=block.signature + signature)
            case other:
                raise BadReply(f"the Thinker signed a {type(other).__name__} block")

    def block(self, index: int) -> Block:
        """Block `index` as far as it has come."""
        return self._blocks[index]

    def reply(self) -> Reply:
        """The whole reply; raises `BadReply` when the stream did not end cleanly."""
        if not (self._start and self._end and self._stopped):
            raise BadReply("the Thinker's reply was cut off")
        end = self._end
        return Reply(self._start.model, tuple(self._blocks), end.stop_reason, end.stop_sequence, end.usage)


def _filled(block: Block, pieces: str) -> Block:
    match block:
        case Text():
            return replace(block, text=block.text + pieces)
        case Thinking():
            return replace(block, thinking=block.thinking + pieces)
        case ToolUse() if pieces:
            return replace(block, input=_tool_input(pieces))
        case _:
            return block


def _tool_input(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadReply(f"the Thinker's tool input is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadReply(f"the Thinker's tool input is a {type(value).__name__}, expected an object")
    return value


def size_bytes(event: Event) -> int:
    """About what an event takes in memory."""
    match event:
        case TextDelta(_, piece) | ThinkingDelta(_, piece) | InputJsonDelta(_, piece) | SignatureDelta(_, piece):
            return 64 + len(piece)
        case _:
            return 64


def collect(events: list[Event]) -> Reply:
    """The reply that these events make; raises `BadReply` when they are incomplete or out of order."""
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.reply()


def replay(reply: Reply) -> Iterator[Event]:
    """The events of a complete reply, each block in one delta; ``collect(list(replay(r))) == r``."""
    yield MessageStart(reply.model, replace(reply.usage, output_tokens=0))
    for index, block in enumerate(reply.content):
        yield from _replay_block(index, block)
    yield MessageDelta(reply.stop_reason, reply.stop_sequence, reply.usage)
    yield MessageStop()


def _replay_block(index: int, block: Block) -> Iterator[Event]:
    match block:
        case Text(text):
            yield BlockStart(index, Text())
            yield TextDelta(index, text)
        case Thinking(thinking, signature):
            yield BlockStart(index, Thinking())
            yield ThinkingDelta(index, thinking)
            yield SignatureDelta(index, signature)
        case RedactedThinking():
            yield BlockStart(index, block)
        case ToolUse(name, tool_input):
            yield BlockStart(index, ToolUse(name))
            yield InputJsonDelta(index, orjson.dumps(tool_input).decode())
    yield BlockStop(index)
