"""A Messages request as ``/v1/chat/completions`` wants it. Pure: no I/O, the same request gives the same bytes.

Source: OpenAI's API reference, and what vLLM, llama.cpp and LM Studio make of it; what only some of them take is
listed in `OPTIONAL` and left out for a server that has refused it.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import orjson

from workbench.backend.shown import Image, Shown, marked_error, offered_tools, reminder
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

OPTIONAL = frozenset(
    {
        "chat_template_kwargs",
        "max_tokens",
        "parallel_tool_calls",
        "reasoning_content",
        "stream_options",
        "temperature",
        "top_k",
        "top_p",
    }
)
"""Fields that some servers refuse, and that a reply can do without. A refused `max_tokens` is sent under its later
name, `max_completion_tokens`, which older servers do not know."""

RENAMED = "max_completion_tokens"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CompletionCall:
    """The body of ``POST /v1/chat/completions``, and its size in bytes without images, for a guess at its tokens."""

    body: bytes
    prompt_bytes: int
    sent: frozenset[str]
    """Which `OPTIONAL` fields are in it."""

    @property
    def has_limit(self) -> bool:
        """Whether it says how long the reply may be."""
        return "max_tokens" in self.sent


def completion_call(
    request: MessagesRequest, *, model: str, refused: Set[str] = frozenset(), limit_tokens: bool = True
) -> CompletionCall:
    """Map the request; raises `InvalidRequest` naming the field that no such model can be shown.

    `refused` are the `OPTIONAL` fields that this server does not take. Without `limit_tokens` the reply may fill
    the rest of the context. Stop sequences are not sent: servers do not say which one they found, so
    `OpenAIReply` looks for them.
    """
    history = _History(with_reasoning="reasoning_content" not in refused)
    for i, message in enumerate(request.messages):
        history.add(message, f"messages.{i}")
    system = "\n\n".join(block.text for block in request.system or ())
    before: list[Json] = [{"role": "system", "content": system}] if system else []
    optional = _optional(request, refused, limit_tokens=limit_tokens)
    messages = [*before, *history.messages]
    body: Json = {"model": model, "stream": True, "messages": messages, **_tools(request), **optional}
    try:
        data = orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"messages: cannot be passed on ({error}); send less deeply nested tool inputs") from None
    sent = (OPTIONAL & body.keys()) | ({"max_tokens"} if RENAMED in body else set())
    sent |= {"reasoning_content"} if history.has_reasoning else set()
    return CompletionCall(data, len(data) - history.image_bytes, frozenset(sent))


def _optional(request: MessagesRequest, refused: Set[str], *, limit_tokens: bool) -> Json:
    thinks = request.thinking is not None and request.thinking.type != "disabled"
    wished: Json = {
        "stream_options": {"include_usage": True},
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k or None,  # 0 is no limit, which some take for a mistake
        "chat_template_kwargs": {"enable_thinking": thinks},
    }
    if ((request.tool_choice and request.tool_choice.model_extra) or {}).get("disable_parallel_tool_use"):
        wished["parallel_tool_calls"] = False
    given = {name: value for name, value in wished.items() if value is not None and name not in refused}
    if limit_tokens:
        given[RENAMED if "max_tokens" in refused else "max_tokens"] = request.max_tokens
    return given


# ── messages ────────────────────────────────────────────────────────────────────────────────────────────────


class _History:
    """The turns so far in OpenAI's form."""

    def __init__(self, *, with_reasoning: bool) -> None:
        self.messages: list[Json] = []
        self.has_reasoning = False
        self.image_bytes = 0
        self._with_reasoning = with_reasoning
        self._calls: dict[str, str] = {}  # tool_use id → the id sent

    def add(self, message: Message, where: str) -> None:
        """Append one turn."""
        match message.role:
            case "system":
                self._say([reminder(Shown.of(message.content, where).text)])
            case "assistant":
                self._add_assistant(message, where)
            case "user":
                self._add_user(message, where)

    def _add_assistant(self, message: Message, where: str) -> None:
        apart = (ToolUseBlock, ThinkingBlock, RedactedThinkingBlock)
        turn: Json = {"role": "assistant", "content": Shown.of(message.content, where, apart=apart).text}
        thinking = "\n".join(block.thinking for block in message.content if isinstance(block, ThinkingBlock))
        if thinking and self._with_reasoning:
            self.has_reasoning = True
            turn["reasoning_content"] = thinking
        if calls := [block for block in message.content if isinstance(block, ToolUseBlock)]:
            turn["tool_calls"] = [self._call(call) for call in calls]
        self.messages.append(turn)

    def _call(self, call: ToolUseBlock) -> Json:
        # Nine letters and digits: Mistral's templates take no other ids.
        id = self._calls.setdefault(call.id, f"call{len(self._calls):05d}")
        arguments = _json(call.input)
        return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _add_user(self, message: Message, where: str) -> None:
        results = [(j, block) for j, block in enumerate(message.content) if isinstance(block, ToolResultBlock)]
        # Before the turn's text, and in the order of the calls: some templates pair them by position.
        order = list(self._calls)
        results.sort(key=lambda result: order.index(result[1].tool_use_id))
        pictures: list[str | Image] = []
        for j, block in results:
            pictures += self._result(block, f"{where}.content.{j}")
        rest = Shown.of(message.content, where, apart=(ToolResultBlock,))
        if pictures or rest or not results:
            self._say([*pictures, *rest.parts])

    def _result(self, block: ToolResultBlock, where: str) -> list[str | Image]:
        """Append a tool's answer; returns its images, which only a user's message can hold."""
        shown = Shown.of(block.content, where)
        id = self._calls[block.tool_use_id]
        text = shown.text or ("The image follows." if shown.images else "")
        self.messages.append(
            {"role": "tool", "tool_call_id": id, "content": marked_error(text, is_error=block.is_error)}
        )
        return [f"What the tool call {id} shows:", *shown.images] if shown.images else []

    def _say(self, parts: list[str | Image]) -> None:
        """Append to the user's turn, or begin one: many templates want user and assistant by turns."""
        if not (self.messages and self.messages[-1]["role"] == "user"):
            self.messages.append({"role": "user", "content": ""})
        turn = self.messages[-1]
        if any(isinstance(part, Image) for part in parts) or isinstance(turn["content"], list):
            before = turn["content"]
            before = before if isinstance(before, list) else [_text_part(before)] if before else []
            turn["content"] = before + [self._part(part) for part in parts]
        else:
            said = [turn["content"]] if turn["content"] else []
            turn["content"] = "\n\n".join([*said, *(part for part in parts if isinstance(part, str))])

    def _part(self, part: str | Image) -> Json:
        if isinstance(part, str):
            return _text_part(part)
        self.image_bytes += len(part.data)
        return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}}


def _text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def _json(value: Json) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"messages: a tool input cannot be written as JSON ({error}); nest it less deep") from None


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────


def _tools(request: MessagesRequest) -> Json:
    """`tools` and `tool_choice`.

    A single chosen tool is offered alone and required: not every server knows the form that names it.
    """
    tools = offered_tools(request)
    if not tools:
        return {}
    offered: Json = {"tools": [_function(tool) for tool in tools]}
    match request.tool_choice:
        case None:
            return offered
        case choice if choice.type == "none":
            return offered | {"tool_choice": "none"}  # the tools stay in the prompt, and its prefix as it was
        case choice if choice.type == "auto":
            return offered
        case _:
            return offered | {"tool_choice": "required"}


def _function(tool: Tool) -> Json:
    parameters = {"type": "object", "properties": {}} | (tool.input_schema or {})
    function = {"name": tool.name, "description": tool.description or "", "parameters": parameters}
    return {"type": "function", "function": function}
