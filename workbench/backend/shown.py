"""What a local model is shown of a request: texts and images of its blocks, and the tools that it may call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.errors import InvalidRequest
from workbench.messages import (
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    Message,
    MessagesRequest,
    ServerBlock,
    TextBlock,
    Tool,
    ToolReferenceBlock,
    ToolResultBlock,
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image as bare base64."""

    media_type: str
    data: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The texts and images of some blocks, in their order."""

    parts: tuple[str | Image, ...]

    @classmethod
    def of(cls, blocks: Sequence[ContentBlock], where: str, *, apart: tuple[type, ...] = ()) -> Shown:
        """Of all blocks but those whose types are mapped `apart`; raises `InvalidRequest` naming what cannot be shown.

        What Anthropic's own server tools left behind is meant for its own models, and left out.
        """
        parts: list[str | Image] = []
        for j, block in enumerate(blocks):
            match block:
                case TextBlock(text=text):
                    parts.append(text)
                case ToolReferenceBlock(tool_name=name):
                    parts.append(f"The tool {name} is available now.")
                case DocumentBlock():
                    parts.append(_document(block, f"{where}.content.{j}"))
                case ImageBlock():
                    parts.append(_image(block, f"{where}.content.{j}"))
                case ServerBlock():
                    pass
                case _ if not isinstance(block, apart):
                    raise InvalidRequest(f"{where}.content.{j}: a `{block.type}` block cannot stand in this turn")
        return cls(tuple(parts))

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def text(self) -> str:
        """The texts, as paragraphs."""
        return "\n\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Image, ...]:
        """The images alone."""
        return tuple(part for part in self.parts if isinstance(part, Image))


def reminder(text: str) -> str:
    """A system turn in the middle of a conversation, as the user's words.

    Hoisting it into the system message would change the prefix and lose the KV cache.
    """
    return text if text.startswith("<system-reminder>") else f"<system-reminder>\n{text}\n</system-reminder>"


def marked_error(text: str, *, is_error: bool) -> str:
    """A tool's answer, which says so when it is an error."""
    return f"Error: {text}" if is_error and not text.startswith("Error:") else text


def _image(block: ImageBlock, where: str) -> Image:
    source = block.source
    if source.type != "base64" or source.data is None:
        raise InvalidRequest(f"{where}.source: a local model cannot fetch a `{source.type}` image; send it as base64")
    if source.data.startswith("data:"):
        raise InvalidRequest(f"{where}.source.data: expected bare base64, not a data URI")
    return Image(source.media_type or "image/png", source.data)


def _document(block: DocumentBlock, where: str) -> str:
    source = block.source
    if source.type != "text" or source.data is None:
        raise InvalidRequest(f"{where}.source: a local model cannot read a `{source.type}` document; send its text")
    return source.data


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────


def offered_tools(request: MessagesRequest) -> list[Tool]:
    """The client's tools that the model may call now; raises when the choice asks for one that is not there.

    Of all tools only the chosen one when `tool_choice` names it; deferred ones once a tool search has found them.
    """
    tools = [tool for tool in request.tools or () if tool.is_client_tool]
    choice = request.tool_choice
    if choice is not None and choice.type == "tool":
        chosen = [tool for tool in tools if tool.name == choice.name]
        if not chosen:
            raise InvalidRequest(f"tool_choice.name: `{choice.name}` is none of the client tools in `tools`")
        return chosen
    found = _referenced(request.messages)
    loaded = [tool for tool in tools if not (tool.model_extra or {}).get("defer_loading") or tool.name in found]
    if choice is not None and choice.type == "any" and not loaded:
        raise InvalidRequest("tool_choice.type: `any` needs at least one client tool in `tools`")
    return loaded


def _referenced(messages: Iterable[Message]) -> set[str]:
    """Names of the deferred tools that the client's tool search has found."""
    names: set[str] = set()
    for message in messages:
        for block in message.content:
            parts = block.content if isinstance(block, ToolResultBlock) else [block]
            names.update(part.tool_name for part in parts if isinstance(part, ToolReferenceBlock))
    return names
