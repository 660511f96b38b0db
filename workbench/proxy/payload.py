"""A reply as the opaque bytes of a cache entry, and back."""

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
