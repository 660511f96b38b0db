"""A request in the words of a model that knows nothing but text and two roles."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import orjson

from workbench.errors import InvalidRequest
from workbench.messages import (
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    Message,
    MessagesRequest,
    TextBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)

_LIMITS_AND_SAMPLING = frozenset({"model", "max_tokens", "stop_sequences", "temperature", "top_p", "top_k"})


def text_only(request: MessagesRequest) -> MessagesRequest:
    """The same request with text alone, user and assistant in turn.

    Tools and `tool_choice` are dropped (the model cannot call them, and a client that offers them is better off with
    an answer in text than with none), likewise thinking and all fields that only larger models know. Earlier tool
    calls and results are told as text; a `system` turn becomes a user's ``<system-reminder>`` where it stands.
    Raises `InvalidRequest` on images and other documents than text.
    """
    turns = [(_role(message), _text(message, index)) for index, message in enumerate(request.messages)]
    spoken = groupby(((role, text) for role, text in turns if text.strip()), key=lambda turn: turn[0])
    messages = [{"role": role, "content": _paragraphs(text for _, text in said)} for role, said in spoken]
    fields = request.model_dump(include=set(_LIMITS_AND_SAMPLING), exclude_none=True)
    if request.system:
        fields["system"] = _paragraphs(block.text for block in request.system)
    return MessagesRequest.model_validate(fields | {"messages": messages or [{"role": "user", "content": ""}]})


def _paragraphs(texts: Iterable[str]) -> str:
    return "\n\n".join(text for text in texts if text)


def _role(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _text(message: Message, index: int) -> str:
    text = _paragraphs(_block_text(block, f"messages.{index}.content.{i}") for i, block in enumerate(message.content))
    if message.role == "system" and text:
        return f"<system-reminder>\n{text}\n</system-reminder>"
    return text


def _block_text(block: ContentBlock, where: str) -> str:
    match block:
        case TextBlock(text=text):
            return text
        case ToolUseBlock(name=name, input=tool_input):
            return f'<tool_use name="{name}">\n{orjson.dumps(tool_input).decode()}\n</tool_use>'
        case ToolResultBlock(content=content, is_error=is_error):
            text = _paragraphs(_block_text(part, f"{where}.content.{i}") for i, part in enumerate(content))
            return f"<tool_result>\n{'Error: ' * is_error}{text}\n</tool_result>"
        case ToolReferenceBlock(tool_name=name):
            return f"(found the tool {name})"
        case DocumentBlock(source=source) if source.type == "text" and source.data is not None:
            return source.data
        case ImageBlock() | DocumentBlock():
            raise InvalidRequest(
                f"{where}: this model reads text only, not {block.type}s of type {block.source.type!r}; "
                "choose a model that sees them"
            )
        case _:  # thinking, and what Anthropic's own server tools left behind
            return ""
