"""A Messages request as Ollama's ``/api/chat`` wants it. Pure: no I/O, the same request gives the same bytes.

Written out by hand rather than through the `ollama` package's models: they have no `truncate`, `shift` and
`tool_call_id`, drop most of a tool's schema, and open an image that looks like the path of a local file.
Source: Ollama's API reference; what its renderers and its Go types drop was read from its code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from workbench.errors import InvalidRequest
from workbench.messages import (
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    Message,
    MessagesRequest,
    RedactedThinkingBlock,
    ServerBlock,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)

SCHEMA_DEPTH = 32
"""Levels of a tool's schema that are sent on; nobody means more, and deeper ones would exhaust the stack."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatCall:
    """The body of ``POST /api/chat``, and its size in bytes without images: what a guess at its tokens needs."""

    body: bytes
    prompt_bytes: int


def chat_call(
    request: MessagesRequest, *, model: str, num_ctx: int, keep_alive: str, think: bool | None = None
) -> ChatCall:
    """Map the request; raises `InvalidRequest` naming the field that no local model can be shown.

    `num_ctx` must never change for a node: another value reloads the model. `think` None leaves the field out.
    Stop sequences are not sent: see `OllamaReply`.
    """
    messages = _messages(request)
    body: Json = {
        "model": model,
        "messages": messages,
        "stream": True,
        "truncate": False,  # or the oldest messages vanish silently
        "shift": False,  # or they vanish while the answer grows
        "keep_alive": keep_alive,
        "options": _options(request, num_ctx=num_ctx),
    }
    if tools := _tools(request):
        body["tools"] = tools
    if think is not None:
        body["think"] = think
    try:
        data = orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"messages: cannot be passed on ({error}); send less deeply nested tool inputs") from None
    images = sum(len(image) for message in messages for image in message.get("images", ()))
    return ChatCall(data, len(data) - images)


def _options(request: MessagesRequest, *, num_ctx: int) -> Json:
    wished = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    given = {name: value for name, value in wished.items() if value is not None}
    return {"num_ctx": num_ctx, "num_predict": request.max_tokens, **given}


# ── messages ────────────────────────────────────────────────────────────────────────────────────────────────


def _messages(request: MessagesRequest) -> list[Json]:
    history = _History()
    for i, message in enumerate(request.messages):
        history.add(message, f"messages.{i}")
    system = "\n\n".join(block.text for block in request.system or ())
    before = [{"role": "system", "content": system}] if system else []
    instruction = _tool_instruction(request)
    after = [_reminder(instruction)] if instruction else []
    return [*before, *history.messages, *after]


class _History:
    """The turns so far in Ollama's form, and the tool calls made in them."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self._calls: dict[str, tuple[int, str]] = {}  # tool_use id → (position, tool's name)

    def add(self, message: Message, where: str) -> None:
        """Append one turn."""
        match message.role:
            case "system":
                # In place: hoisting it into the system message would change the prefix and lose the KV cache.
                self.messages.append(_reminder(_Shown.of(message.content, where).text))
            case "assistant":
                self._add_assistant(message, where)
            case "user":
                self._add_user(message, where)

    def _add_assistant(self, message: Message, where: str) -> None:
        calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
        thinking = "\n".join(block.thinking for block in message.content if isinstance(block, ThinkingBlock))
        apart = (ToolUseBlock, ThinkingBlock, RedactedThinkingBlock)
        turn = _Shown.of(message.content, where, apart=apart).message("assistant")
        if thinking:
            turn["thinking"] = thinking
        if calls:
            turn["tool_calls"] = [self._call(call) for call in calls]
        self.messages.append(turn)

    def _call(self, call: ToolUseBlock) -> Json:
        self._calls[call.id] = (len(self._calls), call.name)
        return {"id": call.id, "function": {"name": call.name, "arguments": call.input}}

    def _add_user(self, message: Message, where: str) -> None:
        results = [(j, block) for j, block in enumerate(message.content) if isinstance(block, ToolResultBlock)]
        # Before the turn's text, and in the order of the calls: templates pair them by position.
        results.sort(key=lambda result: self._calls[result[1].tool_use_id][0])
        self.messages += [self._result(block, f"{where}.content.{j}") for j, block in results]
        rest = _Shown.of(message.content, where, apart=(ToolResultBlock,))
        if rest or not results:
            self.messages.append(rest.message("user"))

    def _result(self, block: ToolResultBlock, where: str) -> Json:
        turn = _Shown.of(block.content, where).message("tool")
        if block.is_error and not turn["content"].startswith("Error:"):
            turn["content"] = f"Error: {turn['content']}"
        # Renderers differ in which of the two they read.
        return {**turn, "tool_call_id": block.tool_use_id, "tool_name": self._calls[block.tool_use_id][1]}


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a model is shown of some blocks: texts, and images as raw base64."""

    texts: tuple[str, ...]
    images: tuple[str, ...]

    @classmethod
    def of(cls, blocks: Sequence[ContentBlock], where: str, *, apart: tuple[type, ...] = ()) -> _Shown:
        """Of all blocks but those whose types are mapped `apart`."""
        texts: list[str] = []
        images: list[str] = []
        for j, block in enumerate(blocks):
            match block:
                case TextBlock(text=text):
                    texts.append(text)
                case ToolReferenceBlock(tool_name=name):
                    texts.append(f"The tool {name} is available now.")
                case DocumentBlock():
                    texts.append(_document(block, f"{where}.content.{j}"))
                case ImageBlock():
                    images.append(_image(block, f"{where}.content.{j}"))
                case ServerBlock():
                    pass  # made by Anthropic's own tools, meant for its own models
                case _ if not isinstance(block, apart):
                    raise InvalidRequest(f"{where}.content.{j}: a `{block.type}` block cannot stand in this turn")
        return cls(tuple(texts), tuple(images))

    def __bool__(self) -> bool:
        return bool(self.texts or self.images)

    @property
    def text(self) -> str:
        """The texts, as paragraphs."""
        return "\n\n".join(self.texts)

    def message(self, role: str) -> Json:
        """One message of Ollama's."""
        message: Json = {"role": role, "content": self.text}
        return {**message, "images": list(self.images)} if self.images else message


def _reminder(text: str) -> Json:
    wrapped = text if text.startswith("<system-reminder>") else f"<system-reminder>\n{text}\n</system-reminder>"
    return {"role": "user", "content": wrapped}


def _image(block: ImageBlock, where: str) -> str:
    source = block.source
    if source.type != "base64" or source.data is None:
        raise InvalidRequest(f"{where}.source: a local model cannot fetch a `{source.type}` image; send it as base64")
    if source.data.startswith("data:"):
        raise InvalidRequest(f"{where}.source.data: expected bare base64, not a data URI")
    return source.data


def _document(block: DocumentBlock, where: str) -> str:
    source = block.source
    if source.type != "text" or source.data is None:
        raise InvalidRequest(f"{where}.source: a local model cannot read a `{source.type}` document; send its text")
    return source.data


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────


def _tools(request: MessagesRequest) -> list[Json]:
    return [_function(tool) for tool in _offered(request)]


def _offered(request: MessagesRequest) -> list[Tool]:
    """The client's tools that the model may call now; raises when the choice asks for one that is not there."""
    choice = request.tool_choice
    if choice is not None and choice.type == "none":
        return []
    tools = [tool for tool in request.tools or () if tool.is_client_tool]
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


def _tool_instruction(request: MessagesRequest) -> str:
    """What stands in for `tool_choice`, which Ollama does not have; said last, so that the prefix stays as it was."""
    match request.tool_choice:
        case None:
            return ""
        case choice if choice.type == "any":
            return "Answer by calling at least one of the tools."
        case choice if choice.type == "tool":
            return f"Answer by calling the tool {choice.name}."
        case _:
            return ""


def _function(tool: Tool) -> Json:
    parameters = {"type": "object", "properties": {}} | _schema(tool.input_schema)
    function = {"name": tool.name, "description": tool.description or "", "parameters": parameters}
    return {"type": "function", "function": function}


def _schema(schema: Any, *, depth: int = SCHEMA_DEPTH) -> Json:
    """The part of a JSON schema that Ollama's types hold, in its own order; what is not an object becomes empty."""
    if not isinstance(schema, dict) or not depth:
        return {}
    kept: Json = {}
    for key, value in schema.items():
        match key, value:
            case "properties", dict():
                kept[key] = {name: _schema(property_, depth=depth - 1) for name, property_ in value.items()}
            case "anyOf", list():
                kept[key] = [_schema(option, depth=depth - 1) for option in value]
            case "items", dict():
                kept[key] = _schema(value, depth=depth - 1)
            case (("type" | "description" | "enum" | "required"), _):
                kept[key] = value
    return kept
