"""The Anthropic Messages request, as it comes from outside.

Source: the Messages API reference, and what Claude Code 2.1 sends beyond it: ``role: "system"`` entries
inside ``messages``, content as a string or as a list, unknown fields, betas and tool types.
Unknown *fields* are kept (they bear meaning and belong in the cache key); unknown *block types* are refused,
since a prompt with a part silently left out would be answered wrongly.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from workbench.errors import InvalidRequest

MAX_OUTPUT_TOKENS = 1_000_000
"""Above this, `max_tokens` is a mistake and not a wish."""


_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
_LONG_NUMBER = b"0" * 19
"""What may be an integer of more than 64 bits, when every digit is written as 0."""


class Wire(BaseModel):
    """Whatever comes from outside: unknown fields are kept, nothing is coerced that loses meaning."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


# ── content blocks ──────────────────────────────────────────────────────────────────────────────────────────


class TextBlock(Wire):
    """Plain text."""

    type: Literal["text"]
    text: str


class ImageSource(Wire):
    """Where an image's or document's bytes are: base64 in `data`, or a `url`, or plain text in `data`."""

    type: Literal["base64", "url", "text", "content", "file"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class ImageBlock(Wire):
    """An image."""

    type: Literal["image"]
    source: ImageSource


class DocumentBlock(Wire):
    """A PDF or a text document."""

    type: Literal["document"]
    source: ImageSource


class ThinkingBlock(Wire):
    """The model's earlier thinking, sent back by the client; the signature is whatever we gave it."""

    type: Literal["thinking"]
    thinking: str


class RedactedThinkingBlock(Wire):
    """Thinking that the client cannot read."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(Wire):
    """A tool call that the model made; `input` is opaque and its key order is kept."""

    type: Literal["tool_use"]
    id: Annotated[str, StringConstraints(min_length=1)]
    name: Annotated[str, StringConstraints(min_length=1)]
    input: dict[str, Any]


class ToolReferenceBlock(Wire):
    """The name of a deferred tool, found by the client's tool search."""

    type: Literal["tool_reference"]
    tool_name: str


class ServerBlock(Wire):
    """What Anthropic's own server tools leave in a history; carried along, shown to no local model."""

    type: Literal[
        "search_result",
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "mcp_tool_use",
        "mcp_tool_result",
        "container_upload",
        "compaction",
    ]


def _as_blocks(content: Any) -> Any:
    """A string is the same as a list of one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


ToolResultPart = Annotated[
    TextBlock | ImageBlock | DocumentBlock | ToolReferenceBlock | ServerBlock, Field(discriminator="type")
]


class ToolResultBlock(Wire):
    """What the client's tool answered."""

    type: Literal["tool_result"]
    tool_use_id: Annotated[str, StringConstraints(min_length=1)]
    content: Annotated[list[ToolResultPart], Field(fail_fast=True), BeforeValidator(_as_blocks)] = []
    is_error: bool = False


ContentBlock = Annotated[
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ToolReferenceBlock
    | ServerBlock,
    Field(discriminator="type"),
]


# ── the request ─────────────────────────────────────────────────────────────────────────────────────────────


class Message(Wire):
    """One turn. Claude Code also sends ``role: "system"`` here, usually last."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[list[ContentBlock], Field(fail_fast=True), BeforeValidator(_as_blocks)]


class Tool(Wire):
    """A tool that the client runs; server tools (with a `type` of their own) have no `input_schema`."""

    name: Annotated[str, StringConstraints(min_length=1)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None

    @property
    def is_client_tool(self) -> bool:
        """Whether the client runs it, so that a local model may call it."""
        return self.input_schema is not None


class ToolChoice(Wire):
    """How the model must use tools."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None

    @model_validator(mode="after")
    def _names_its_tool(self) -> ToolChoice:
        if self.type == "tool" and not self.name:
            raise ValueError("`name` is required when type is `tool`")
        return self


class Thinking(Wire):
    """Whether the model may think before it answers (enabled, disabled, adaptive, …)."""

    type: str


class Prompt(Wire):
    """What a count of tokens needs: a request without the limits."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    system: Annotated[list[TextBlock], Field(fail_fast=True), BeforeValidator(_as_blocks)] | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None

    @model_validator(mode="after")
    def _every_tool_result_has_its_tool_use(self) -> Prompt:
        seen: set[str] = set()
        for i, message in enumerate(self.messages):
            for j, block in enumerate(message.content):
                if isinstance(block, ToolUseBlock):
                    if message.role != "assistant":
                        raise ValueError(
                            f"messages.{i}.content.{j}: `tool_use` blocks can only be in `assistant` messages"
                        )
                    seen.add(block.id)
                elif isinstance(block, ToolResultBlock) and block.tool_use_id not in seen:
                    raise ValueError(
                        f"messages.{i}.content.{j}: unexpected `tool_use_id` found in `tool_result` blocks: "
                        f"{block.tool_use_id}. Each `tool_result` block must have a `tool_use` block before it."
                    )
        return self


class MessagesRequest(Prompt):
    """The body of ``POST /v1/messages``."""

    max_tokens: Annotated[int, Field(ge=1, le=MAX_OUTPUT_TOKENS)]
    stream: bool = False
    stop_sequences: Annotated[list[str], Field(fail_fast=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None


def parse_request(body: bytes) -> MessagesRequest:
    """Read the body of ``POST /v1/messages``; raises `InvalidRequest` with the API's kind of message."""
    return _parse(MessagesRequest, body)


def parse_prompt(body: bytes) -> Prompt:
    """Read the body of ``POST /v1/messages/count_tokens``; raises `InvalidRequest`."""
    return _parse(Prompt, body)


P = TypeVar("P", bound=Prompt)


def _parse(shape: type[P], body: bytes) -> P:
    try:
        if _LONG_NUMBER in body.translate(_DIGITS):  # twelve times faster than a regular expression
            _refuse_long_integers(body)
        return shape.model_validate(orjson.loads(body))
    except ValidationError as error:
        raise InvalidRequest(_describe(error)) from None
    except (ValueError, RecursionError) as error:  # both JSON readers' own errors are ValueErrors
        raise InvalidRequest(f"The request body is not valid JSON: {str(error)[:200]}") from None


def _refuse_long_integers(body: bytes) -> None:
    """Integers beyond 64 bits would become floats, and two of them the same one: another request's answer."""
    waiting: list[tuple[str, Any]] = [("", json.loads(body))]
    while waiting:
        where, value = waiting.pop()
        match value:
            case int() if not -(2**63) <= value < 2**64:
                raise InvalidRequest(f"{where}: the integer {str(value)[:40]} has more than 64 bits; send a string")
            case dict():
                waiting += [(f"{where}.{key}".lstrip("."), inner) for key, inner in value.items()]
            case list():
                waiting += [(f"{where}.{place}", inner) for place, inner in enumerate(value)]


def _describe(error: ValidationError) -> str:
    """The first problem in the API's own form: ``messages.0.content.1.text.text: Field required``."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if not first["loc"] and first["type"] == "model_type":
        return "The request body is not a JSON object"
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
