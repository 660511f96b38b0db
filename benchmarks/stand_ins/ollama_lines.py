"""The NDJSON lines of the scripted Ollama's replies."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.types import Send

from benchmarks.stand_ins.ollama_script import (
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


class Telling:
    """Sends one script, line by line."""

    def __init__(self, request: dict[str, Any], send: Send) -> None:
        self._request = request
        self._model = str(request.get("model"))
        self._send = send
        self._began_ns = time.monotonic_ns()
        self._lines = 0
        self._headers_sent = False

    async def tell(self, script: Script) -> None:
        """Send the steps, then ``done``, unless a step ends it before."""
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
                await self._write(self._line(step))
            if isinstance(step, Fail):
                break
        else:
            await self._write(self._done(script))
        await self._write(b"", more=False)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            headers = [(b"content-type", b"application/x-ndjson")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def _line(self, step: Step) -> bytes:
        match step:
            case Raw(data):
                return data
            case Fail(error):
                return orjson.dumps({"error": error}) + b"\n"
            case Text(text):
                return self._message({"role": "assistant", "content": text})
            case Thinking(text):
                return self._message({"role": "assistant", "content": "", "thinking": text})
            case Calls(calls, text):
                told = [_told(call.name, dict(call.arguments), call.id, i) for i, call in enumerate(calls)]
                return self._message({"role": "assistant", "content": text, "tool_calls": told})
            case _:
                raise AssertionError(f"{step} has no line")

    def _message(self, message: dict[str, Any]) -> bytes:
        self._lines += 1
        return orjson.dumps({"model": self._model, "created_at": now(), "message": message, "done": False}) + b"\n"

    def _done(self, script: Script) -> bytes:
        prompt, output = script.prompt_tokens, script.output_tokens
        took_ns = time.monotonic_ns() - self._began_ns
        return (
            orjson.dumps(
                {
                    "model": self._model,
                    "created_at": now(),
                    "message": {"role": "assistant", "content": ""},
                    "done": True,
                    **({"done_reason": script.done_reason} if script.done_reason is not None else {}),
                    "total_duration": took_ns,
                    "load_duration": took_ns // 10,
                    "prompt_eval_count": prompt_tokens(self._request) if prompt is None else prompt,
                    "prompt_eval_duration": took_ns // 4,
                    "eval_count": self._lines if output is None else output,
                    "eval_duration": took_ns // 2,
                }
            )
            + b"\n"
        )


def _told(name: str, arguments: dict[str, Any], call_id: str | None, index: int) -> dict[str, Any]:
    function = {"index": index, "name": name, "arguments": arguments}
    return {"function": function} if call_id is None else {"id": call_id, "function": function}


def prompt_tokens(request: dict[str, Any]) -> int:
    """What the stand-in counts as the prompt's tokens: a quarter of its characters."""
    characters = sum(len(str(message.get("content", ""))) for message in request.get("messages", []))
    return max(1, (characters + len(orjson.dumps(request.get("tools") or []))) // 4)


def now() -> str:
    """The time as RFC 3339."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def _pause(step: Delay | Wait | Silence) -> None:
    match step:
        case Delay(seconds_s):
            await asyncio.sleep(seconds_s)
        case Wait(gate):
            await gate.wait()
        case Silence():
            await asyncio.get_running_loop().create_future()
