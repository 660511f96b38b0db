"""What a client asks for its own ends, and not for its user: a session's title, a summary of the conversation.

Seen with Claude Code 2.1; any model will do for these.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any

from workbench.messages import Message, MessagesRequest, TextBlock

COMPACT = "CRITICAL: Respond with TEXT ONLY"
"""How Claude Code begins when it wants the conversation summarised."""

_TITLE = "You are naming a coding session"


def is_auxiliary(request: MessagesRequest) -> bool:
    """Whether this is certainly a title or a compaction; a schema that asks for more than a title may be a user's."""
    is_title = names_a_session(request) and (_is_told_to(request) or set(_properties(request)) == {"title"})
    return is_title or _compacts(request)


def names_a_session(request: MessagesRequest) -> bool:
    """Whether it may be for a title: no tools, and instructions or a JSON schema that say so."""
    return not request.tools and ("title" in _properties(request) or _is_told_to(request))


def _is_told_to(request: MessagesRequest) -> bool:
    instructions = [*(request.system or ()), *_texts(m for m in request.messages if m.role == "system")]
    return any(_TITLE in block.text for block in instructions)


def _properties(request: MessagesRequest) -> dict[str, Any]:
    properties = (json_schema(request.model_extra) or {}).get("properties")
    return properties if isinstance(properties, dict) else {}


def json_schema(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """The JSON schema that the reply must follow, in either of the API's spellings; {} when it is elsewhere."""
    config = (fields or {}).get("output_config")
    for form in (config.get("format") if isinstance(config, dict) else None, (fields or {}).get("output_format")):
        if isinstance(form, dict) and form.get("type") == "json_schema":
            schema = form.get("schema")
            return schema if isinstance(schema, dict) else {}
    return None


def _compacts(request: MessagesRequest) -> bool:
    since = takewhile(lambda message: message.role != "assistant", reversed(request.messages))
    return any(block.text.lstrip().startswith(COMPACT) for block in _texts(m for m in since if m.role == "user"))


def _texts(messages: Iterable[Message]) -> list[TextBlock]:
    return [block for message in messages for block in message.content if isinstance(block, TextBlock)]
