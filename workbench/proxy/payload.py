"""A reply as the opaque bytes of a cache entry, and back; and which reply may become one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from workbench.reply import Block, RedactedThinking, Reply, Text, Thinking, ToolUse, Usage

_BLOCKS: dict[str, type[Block]] = {
    "text": Text,
    "thinking": Thinking,
    "redacted_thinking": RedactedThinking,
    "tool_use": ToolUse,
}
_NAMES = {block: name for name, block in _BLOCKS.items()}

STORABLE = ("end_turn", "tool_use", "stop_sequence", "max_tokens")


class UnreadablePayload(ValueError):
    """The bytes are not a reply that this version wrote."""


def encode(reply: Reply) -> bytes:
    """A reply as JSON without any id; ``decode(encode(r)) == r``."""
    document = {"version": 1, **asdict(reply)}
    document["content"] = [[_NAMES[type(block)], asdict(block)] for block in reply.content]
    return orjson.dumps(document)


def decode(payload: bytes) -> Reply:
    """The reply in an entry; raises `UnreadablePayload` on garbage and on another version's."""
    try:
        document: dict[str, Any] = orjson.loads(payload)
        if document["version"] != 1:
            raise UnreadablePayload(f"payload version {document['version']}, expected 1")
        content = tuple(_BLOCKS[name](**fields) for name, fields in document["content"])
        usage = Usage(**document["usage"])
        return Reply(document["model"], content, document["stop_reason"], document["stop_sequence"], usage)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadablePayload(f"not a stored reply: {error!r}") from error


def is_storable(reply: Reply) -> bool:
    """Whether a reply may answer the same request again: it ended by itself and says or does something."""
    says_something = any(
        isinstance(block, ToolUse) or (isinstance(block, Text) and block.text) for block in reply.content
    )
    calls = any(isinstance(block, ToolUse) for block in reply.content)
    return reply.stop_reason in STORABLE and says_something and calls == (reply.stop_reason == "tool_use")


def is_servable_by_meaning(reply: Reply) -> bool:
    """Whether a reply may also answer a question that means the same: only text, and all of it."""
    return reply.stop_reason == "end_turn" and reply.is_text_only
