"""The chunks of the scripted OpenAI server's replies."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from starlette.types import Send

from benchmarks.stand_ins.ollama_script import (
    Call,
    Calls,
    Cut,
    Delay,
    End,
    Endless,
    Fail,
    Raw,
    Script,
    Silence,
    Step,
    Text,
    Thinking,
    Wait,
)

PIECES = 3
"""In how many pieces a call's arguments come."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How this server differs from others.

    `calls`: as fragments of each call in turn, of all calls by turns, or whole: with index, without one, without id
    and with arguments as an object, or all with index 0.
    """

    calls: Literal["fragments", "by-turns", "whole", "bare", "index-0"] = "fragments"
    thinking: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    usage: bool = True
    done: bool = True


class Telling:
    """Sends one script, chunk by chunk; its `done_reason` becomes the finish_reason."""

    def __init__(self, request: dict[str, Any], send: Send, dialect: Dialect) -> None:
        self._request = request
        self._send = send
        self._dialect = dialect
        self._chunks = 0
        self._calls = 0
        self._headers_sent = False

    async def tell(self, script: Script) -> None:
        """Send the steps, then the end, unless a step ends it before."""
        for step in script.steps:
            if isinstance(step, Cut):
                await self._write(b"")
                return
            if isinstance(step, Delay | Wait | Silence):
                await _pause(step)
            elif isinstance(step, End):
                break
            elif isinstance(step, Endless):
                while True:
                    await self._write(step.data)
                    await asyncio.sleep(0)  # a client that leaves cancels us here
            else:
                await self._write(self._lines(step))
            if isinstance(step, Fail):
                break
        else:
            await self._write(self._end(script))
        await self._write(b"", more=False)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def _lines(self, step: Step) -> bytes:
        match step:
            case Raw(data):
                return data
            case Fail(error):
                return _line({"error": {"message": error, "type": "InternalServerError", "code": 500}})
            case Text(text):
                return self._delta({"content": text})
            case Thinking(text):
                return self._delta({self._dialect.thinking: text, "content": None})
            case Calls(calls, text):
                said = self._delta({"content": text}) if text else b""
                return said + b"".join(self._delta({"tool_calls": part}) for part in self._told(calls))
            case _:
                raise AssertionError(f"{step} has no line")

    def _told(self, calls: tuple[Call, ...]) -> list[list[dict[str, Any]]]:
        """The `tool_calls` of each chunk."""
        first, self._calls = self._calls, self._calls + len(calls)
        each = [_fragments(call, first + i) for i, call in enumerate(calls)]
        match self._dialect.calls:
            case "fragments":
                return [[fragment] for fragments in each for fragment in fragments]
            case "by-turns":
                return [list(fragments) for fragments in zip(*each, strict=True)]
            case "bare":
                return [[{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in calls]]
            case "whole" | "index-0" as form:
                places = [0] * len(calls) if form == "index-0" else range(first, self._calls)
                return [
                    [_whole(call, f"call_{i}", index)]
                    for (i, call), index in zip(enumerate(calls), places, strict=True)
                ]

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        role = {"role": "assistant"} if not self._chunks else {}
        self._chunks += 1
        return self._chunk([{"index": 0, "delta": role | delta, "logprobs": None, "finish_reason": finish_reason}])

    def _chunk(self, choices: list[Any], **fields: Any) -> bytes:
        model = self._request.get("model")
        whole = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": model,
            "choices": choices,
        }
        return _line(whole | fields)

    def _end(self, script: Script) -> bytes:
        output = self._chunks if script.output_tokens is None else script.output_tokens
        reason = "tool_calls" if self._calls and script.done_reason == "stop" else script.done_reason
        end = self._delta({}, reason)
        if self._dialect.usage and (self._request.get("stream_options") or {}).get("include_usage"):
            prompt = prompt_tokens(self._request) if script.prompt_tokens is None else script.prompt_tokens
            counts = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
            end += self._chunk([], usage=counts)
        return end + (b"data: [DONE]\n\n" if self._dialect.done else b"")


def prompt_tokens(request: dict[str, Any]) -> int:
    """What the stand-in counts as the prompt's tokens: a quarter of its characters."""
    characters = sum(len(str(message.get("content", ""))) for message in request.get("messages", []))
    return max(1, (characters + len(orjson.dumps(request.get("tools") or []))) // 4)


def _line(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _fragments(call: Call, index: int) -> list[dict[str, Any]]:
    whole = orjson.dumps(dict(call.arguments)).decode()
    edges = [len(whole) * i // PIECES for i in range(PIECES + 1)]
    head = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": call.name, "arguments": ""}}
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    return [head, *({"index": index, "function": {"arguments": piece}} for piece in pieces)]


def _whole(call: Call, id: str, index: int) -> dict[str, Any]:
    arguments = orjson.dumps(dict(call.arguments)).decode()
    return {"index": index, "id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


async def _pause(step: Delay | Wait | Silence) -> None:
    match step:
        case Delay(seconds_s):
            await asyncio.sleep(seconds_s)
        case Wait(gate):
            await gate.wait()
        case Silence():
            await asyncio.get_running_loop().create_future()
