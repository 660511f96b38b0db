"""A scripted server that speaks OpenAI's chat completions: instant, deterministic, and misbehaving on demand.

It tells the same scripts as the scripted Ollama (`benchmarks.stand_ins.ollama_script`)::

    with running(StandInOpenAI(text("Hello", " there"))) as url:
        ...  # openai+{url}/v1

Source of the format: OpenAI's API reference, and vLLM's, llama.cpp's and LM Studio's own wording of errors.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.stand_ins.asgi import read_body, send_whole, unless_the_client_leaves
from benchmarks.stand_ins.ollama_script import Answer, Chooser, Refusal, Script, echo, in_turn
from benchmarks.stand_ins.openai_chunks import Dialect, Telling, prompt_tokens
from benchmarks.stand_ins.serving import listen, quiet_config, serve_in_thread


@dataclass(frozen=True, slots=True)
class Completion:
    """One request for a completion as it came."""

    body: dict[str, Any]
    raw: bytes
    authorization: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server asks of its clients: a key, few fields, a prompt that fits.

    `refused` are the fields that it does not take. With `counts_reply`, prompt and `max_tokens` must fit together,
    as vLLM has it.
    """

    key: str | None = None
    refused: Collection[str] = ()
    context_tokens: int = 131_072
    counts_reply: bool = False
    tells_context: bool = True


class StandInOpenAI:
    """The ASGI app. `answer` is one answer for all completions, a list taken in turn, or a function of the request."""

    def __init__(
        self,
        answer: Answer | Sequence[Answer] | Chooser | None = None,
        *,
        models: Sequence[str] = ("stand-in",),
        dialect: Dialect = Dialect(),  # noqa: B008  # frozen
        limits: Limits = Limits(),  # frozen
    ) -> None:
        self.completions: deque[Completion] = deque(maxlen=1000)
        self.begun = self.finished = self.aborted = 0
        self._changed = threading.Condition()
        self._models = models
        self._dialect = dialect
        self._limits = limits
        self.answer(answer if answer is not None else echo())

    def answer(self, answer: Answer | Sequence[Answer] | Chooser) -> None:
        """Answer so from now on."""
        if callable(answer):
            self._choose = answer
        else:
            self._choose = in_turn([answer] if isinstance(answer, Script | Refusal) else answer)

    def wait_until(self, happened: Callable[[StandInOpenAI], bool], *, timeout_s: float = 10.0) -> bool:
        """Block the calling thread until counts say so; False when it did not happen in time."""
        with self._changed:
            return self._changed.wait_for(lambda: happened(self), timeout_s)

    # ── ASGI ────────────────────────────────────────────────────────────────────────────────────────────────

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        raw = await read_body(receive)
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
        if self._limits.key is not None and authorization != f"Bearer {self._limits.key}":
            await send_whole(send, 401, _error("Incorrect API key provided", "invalid_api_key"))
        elif scope["path"] == "/v1/models":
            await send_whole(
                send, 200, orjson.dumps({"object": "list", "data": [self._listed(m) for m in self._models]})
            )
        elif scope["path"] == "/v1/chat/completions":
            self.completions.append(Completion(orjson.loads(raw), raw, authorization))
            await self._complete(orjson.loads(raw), receive, send)
        else:
            await send_whole(send, 404, b'{"detail":"Not Found"}')

    def _listed(self, name: str) -> dict[str, Any]:
        context = {"max_model_len": self._limits.context_tokens} if self._limits.tells_context else {}
        return {"id": name, "object": "model", "created": 1, "owned_by": "stand-in", "root": name, **context}

    async def _complete(self, request: dict[str, Any], receive: Receive, send: Send) -> None:
        self._count(begun=1)
        answer = self._refuse(request) or self._choose(request)
        if isinstance(answer, Refusal):
            await send_whole(send, answer.status, answer.payload, answer.content_type, answer.headers)
        elif not answer.waits:
            await Telling(request, send, self._dialect).tell(answer)
        elif not await unless_the_client_leaves(Telling(request, send, self._dialect).tell(answer), receive):
            self._count(aborted=1)
            return
        self._count(finished=1)

    def _refuse(self, request: dict[str, Any]) -> Refusal | None:
        """What a real server refuses by itself, in vLLM's words."""
        if request.get("model") not in self._models:
            return _refusal(404, f"The model `{request.get('model')}` does not exist.", "NotFoundError")
        for name in self._limits.refused:
            if name in request or any(name in message for message in request["messages"]):
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                return _refusal(
                    400, f"Unsupported parameter: '{name}' is not supported.{hint}", "unsupported_parameter"
                )
        prompt, context = prompt_tokens(request), self._limits.context_tokens
        reply = request.get("max_tokens", 0) if self._limits.counts_reply else 0
        if prompt > context:
            said = f"maximum context length is {context} tokens. However, your request has {prompt} input tokens"
            return _refusal(400, f"This model's {said}. Please reduce the length of the input.", "BadRequestError")
        if prompt + reply > context:
            said = f"'max_tokens' or 'max_completion_tokens' is too large: {reply}. This model's maximum context length"
            return _refusal(400, f"{said} is {context} tokens and your request has {prompt} input tokens", "BadRequest")
        return None

    def _count(self, *, begun: int = 0, finished: int = 0, aborted: int = 0) -> None:
        with self._changed:
            self.begun += begun
            self.finished += finished
            self.aborted += aborted
            self._changed.notify_all()


def _error(message: str, code: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})


def _refusal(status: int, message: str, code: str) -> Refusal:
    return Refusal(status, body=_error(message, code))


def running(app: ASGIApp) -> contextlib.AbstractContextManager[str]:
    """Serve it in a thread while the block runs; yields its address, without ``/v1``."""
    return serve_in_thread(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; the first line on stdout is ``{"port": …}``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stand_ins.openai", description=main.__doc__)
    parser.add_argument("--chunks", type=int, default=20, help="events a reply is cut into")
    given = parser.parse_args(arguments)
    with listen() as bound:
        bound.listen(1024)  # before the port is told: a client may connect at once
        print(orjson.dumps({"port": bound.getsockname()[1]}).decode(), flush=True)
        uvicorn.Server(quiet_config(StandInOpenAI(echo(chunks=given.chunks)))).run(sockets=[bound])


if __name__ == "__main__":
    main()
