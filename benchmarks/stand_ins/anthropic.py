"""A small scripted server that speaks Messages, down to the byte, and misbehaves on demand.

It runs in the caller's event loop, so a test can await what the server saw::

    async with StandInMessages([Answer(text_reply("Hello", " there"))]) as server:
        ...  # POST server.url + "/v1/messages"
        assert server.requests[0].body["stream"] is True
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.stand_ins.serving import LOOPBACK


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing more until the client leaves."""


@dataclass(frozen=True, slots=True)
class Endless:
    """This chunk again and again, until the client leaves."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection without ending the answer."""


Step = bytes | Hang | Endless | Cut


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: its body in steps, each of which is one chunk on the wire."""

    steps: tuple[Step, ...]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def event(data: dict[str, Any]) -> bytes:
    """One SSE event of this type."""
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def text_reply(*pieces: str, input_tokens: int = 12) -> tuple[bytes, ...]:
    """The events of a plain text reply, as Anthropic sends them: ids, a ping, usage in two places."""
    message: dict[str, Any] = {
        "id": "msg_upstream",
        "type": "message",
        "role": "assistant",
        "model": "/models/secret-path.gguf",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": input_tokens, "output_tokens": 1},
    }
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces
    ]
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": len(pieces)}},
        {"type": "message_stop"},
    ]
    return tuple(map(event, events))


class StandInMessages:
    """The server; `answers` are given in turn, the last one for ever after.

    `connections` counts those that were opened; `hangs` is set when a `Hang` begins, `left` when a client leaves it.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.hangs = asyncio.Event()
        self.left = asyncio.Event()
        self.url = ""
        self._answers = deque(answers)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> StandInMessages:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.url = f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            while (request := await _read_request(reader)) and await self._answer(request, reader, writer):
                pass
        except ConnectionError:
            pass
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send the next answer; returns whether the connection goes on."""
        self.requests.append(request)
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        writer.write(_head(answer))
        for step in answer.steps:
            match step:
                case bytes():
                    writer.write(b"%x\r\n%b\r\n" % (len(step), step))
                    await writer.drain()
                case Cut():
                    return False
                case Endless(chunk):
                    while True:  # until the client's end of the connection fails us
                        writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                        await writer.drain()
                        await asyncio.sleep(0)
                case Hang():
                    self.hangs.set()
                    await reader.read()
                    self.left.set()
                    return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _head(answer: Answer) -> bytes:
    fields = [("content-type", answer.content_type), ("transfer-encoding", "chunked"), *answer.headers]
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    """The next request of this connection, or None when there is none."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, orjson.loads(body) if body else None)
