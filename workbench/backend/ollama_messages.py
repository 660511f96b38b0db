"""A Messages request as Ollama's ``/api/chat`` wants it. Pure: no I/O, the same request gives the same bytes.

Written out by hand rather than through the `ollama` package's models: they have no `truncate`, `shift` and
`tool_call_id`, drop most of a tool's schema, and open an image that looks like the path of a local file.
Source: Ollama's API reference; what its renderers and its Go types drop was read from its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from workbench.backend.shown import Shown, marked_error, offered_tools, reminder
from workbench.errors import InvalidRequest
from workbench.messages import (
    Message,
    MessagesRequest,
    RedactedThinkingBlock,
    ThinkingBlock,
    Tool,
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
                self.messages.append(_reminder(Shown.of(message.content, where).text))
            case "assistant":
                self._add_assistant(message, where)
            case "user":
                self._add_user(message, where)

    def _add_assistant(self, message: Message, where: str) -> None:
        calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
        thinking = "\n".join(block.thinking for block in message.content if isinstance(block, ThinkingBlock))
        apart = (ToolUseBlock, ThinkingBlock, RedactedThinkingBlock)
        turn = _turn("assistant", Shown.of(message.content, where, apart=apart))
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
        rest = Shown.of(message.content, where, apart=(ToolResultBlock,))
        if rest or not results:
            self.messages.append(_turn("user", rest))

    def _result(self, block: ToolResultBlock, where: str) -> Json:
        turn = _turn("tool", Shown.of(block.content, where))
        turn["content"] = marked_error(turn["content"], is_error=block.is_error)
        # Renderers differ in which of the two they read.
        return {**turn, "tool_call_id": block.tool_use_id, "tool_name": self._calls[block.tool_use_id][1]}


def _turn(role: str, shown: Shown) -> Json:
    """One message of Ollama's; images are raw base64."""
    message: Json = {"role": role, "content": shown.text}
    return {**message, "images": [image.data for image in shown.images]} if shown.images else message


def _reminder(text: str) -> Json:
    return {"role": "user", "content": reminder(text)}


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────


def _tools(request: MessagesRequest) -> list[Json]:
    return [_function(tool) for tool in _offered(request)]


def _offered(request: MessagesRequest) -> list[Tool]:
    choice = request.tool_choice
    return [] if choice is not None and choice.type == "none" else offered_tools(request)


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
