"""A scripted server that speaks Ollama's protocol: instant, deterministic, and misbehaving on demand.

Source of the format: Ollama's API reference (``/api/chat`` and its neighbours) and its server's own wording of
errors. Run it alone with ``python -m benchmarks.stand_ins.ollama --port 0``, or in a test::

    with running(StandInOllama(text("Hello", " there"))) as url:
        ...
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.stand_ins.asgi import read_body, send_whole, unless_the_client_leaves
from benchmarks.stand_ins.ollama_lines import Telling, now, prompt_tokens
from benchmarks.stand_ins.ollama_script import Answer, Chooser, Refusal, Script, echo, in_turn
from benchmarks.stand_ins.serving import listen, quiet_config, serve_in_thread

VERSION = "0.14.0"
DEFAULT_CONTEXT_TOKENS = 4096
"""What Ollama gives a model when the request does not name `num_ctx`, on a small GPU."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the stand-in has; another digest is another quantisation or revision."""

    name: str
    digest: str = ""
    capabilities: tuple[str, ...] = ("completion", "tools")
    context_tokens: int = 131_072

    @property
    def sha256(self) -> str:
        """The digest, derived from the name when none is given."""
        return self.digest or hashlib.sha256(self.name.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came; `body` is None when there was none."""

    path: str
    body: Any
    raw: bytes


class StandInOllama:
    """The ASGI app. `answer` is one answer for all chats, a list taken in turn, or a function of the request.

    `vram_share` is how much of a loaded model the GPU holds.
    """

    def __init__(
        self,
        answer: Answer | Sequence[Answer] | Chooser | None = None,
        *,
        models: Iterable[ServedModel | str] = ("stand-in:latest",),
        keep_requests: int = 10_000,
    ) -> None:
        self.requests: deque[Recorded] = deque(maxlen=keep_requests)
        self.begun = self.finished = self.aborted = self.loads = 0
        self.vram_share = 1.0
        self._changed = threading.Condition()
        self._loaded: dict[str, int] = {}
        self._models: tuple[ServedModel, ...] = ()
        self.answer(answer if answer is not None else echo())
        self.serve_models(models)

    # ── what a test says to it ──────────────────────────────────────────────────────────────────────────────

    def answer(self, answer: Answer | Sequence[Answer] | Chooser) -> None:
        """Answer so from now on."""
        if callable(answer):
            self._choose = answer
        else:
            self._choose = in_turn([answer] if isinstance(answer, Script | Refusal) else answer)

    def serve_models(self, models: Iterable[ServedModel | str]) -> None:
        """Have these models from now on, in this order."""
        self._models = tuple(ServedModel(model) if isinstance(model, str) else model for model in models)

    @property
    def chats(self) -> list[Any]:
        """The JSON of every chat request so far, refused ones too."""
        return [request.body for request in self.requests if request.path == "/api/chat"]

    def wait_until(self, happened: Callable[[StandInOllama], bool], *, timeout_s: float = 10.0) -> bool:
        """Block the calling thread until counts say so; False when it did not happen in time."""
        with self._changed:
            return self._changed.wait_for(lambda: happened(self), timeout_s)

    # ── ASGI ────────────────────────────────────────────────────────────────────────────────────────────────

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        raw = await read_body(receive)
        path = scope["path"]
        try:
            body = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError as error:
            await send_whole(send, 400, orjson.dumps({"error": str(error)}))
            return
        self.requests.append(Recorded(path, body, raw))
        if path == "/api/chat":
            await self._chat(body or {}, receive, send)
        else:
            status, answer = self._route(path, body or {})
            await send_whole(send, status, orjson.dumps(answer))

    def _route(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        match path:
            case "/":
                return 200, "Ollama is running"
            case "/api/version":
                return 200, {"version": VERSION}
            case "/api/tags":
                return 200, {"models": [_tag(model) for model in self._models]}
            case "/api/ps":
                return 200, {"models": [_tag(m) | self._placement(m) for m in self._running()]}
            case "/api/show":
                return self._show(str(body.get("model")))
            case "/api/pull":
                return self._pull(str(body.get("model")))
            case _:
                return 404, {"error": "404 page not found"}

    def _placement(self, model: ServedModel) -> dict[str, Any]:
        size_bytes = int(_SIZE_BYTES * self.vram_share)
        return {"expires_at": now(), "size_vram": size_bytes, "context_length": self._loaded[model.name]}

    def _running(self) -> list[ServedModel]:
        return [model for model in self._models if model.name in self._loaded]

    def _show(self, name: str) -> tuple[int, Any]:
        model = self._find(name)
        if model is None:
            return 404, {"error": f"model '{name}' not found"}
        info = {"general.architecture": "scripted", "scripted.context_length": model.context_tokens}
        return 200, {"details": _DETAILS, "model_info": info, "capabilities": list(model.capabilities)}

    def _pull(self, name: str) -> tuple[int, Any]:
        if self._find(name) is None:
            self._models = (*self._models, ServedModel(name))
        return 200, {"status": "success"}

    def _find(self, name: str) -> ServedModel | None:
        return next((m for m in self._models if m.name in (name, f"{name}:latest")), None)

    # ── one chat ────────────────────────────────────────────────────────────────────────────────────────────

    async def _chat(self, request: dict[str, Any], receive: Receive, send: Send) -> None:
        self._count(begun=1)
        answer = self._refuse(request) or self._choose(request)
        if isinstance(answer, Refusal):
            await send_whole(send, answer.status, answer.payload, answer.content_type, answer.headers)
        elif not answer.waits:
            await Telling(request, send).tell(answer)
        elif not await unless_the_client_leaves(Telling(request, send).tell(answer), receive):
            self._count(aborted=1)
            return
        self._count(finished=1)

    def _refuse(self, request: dict[str, Any]) -> Refusal | None:
        """What the real server refuses by itself, in its own words."""
        name = str(request.get("model"))
        model = self._find(name)
        if model is None:
            return Refusal(404, f"model '{name}' not found")
        if request.get("tools") and "tools" not in model.capabilities:
            return Refusal(400, f"{name} does not support tools")
        if request.get("think") and "thinking" not in model.capabilities:
            return Refusal(400, f'"{name}" does not support thinking')
        context = int(request.get("options", {}).get("num_ctx") or DEFAULT_CONTEXT_TOKENS)
        if self._loaded.get(model.name) != context:
            self._loaded[model.name] = context
            self.loads += 1
        if request.get("truncate") is False and prompt_tokens(request) > context:
            return Refusal(400, "the input length exceeds the context length")
        return None

    def _count(self, *, begun: int = 0, finished: int = 0, aborted: int = 0) -> None:
        with self._changed:
            self.begun += begun
            self.finished += finished
            self.aborted += aborted
            self._changed.notify_all()


_SIZE_BYTES = 1_000_000_000
_DETAILS = {
    "format": "gguf",
    "family": "scripted",
    "families": ["scripted"],
    "parameter_size": "1B",
    "quantization_level": "Q4_K_M",
}


def _tag(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": "2026-01-01T00:00:00.000000000Z",
        "size": _SIZE_BYTES,
        "digest": model.sha256,
        "details": _DETAILS,
    }


def running(app: ASGIApp, *, port: int = 0) -> contextlib.AbstractContextManager[str]:
    """Serve it in a thread while the block runs; yields its address."""
    return serve_in_thread(app, port=port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; the first line on stdout is ``{"port": …}``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stand_ins.ollama", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--models", default="stand-in:latest", help="comma-separated names")
    parser.add_argument("--chunks", type=int, default=20, help="lines a reply is cut into")
    parser.add_argument("--first-delay-ms", type=float, default=0.0, help="pause before the first line")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="pause after each line")
    given = parser.parse_args(arguments)
    script = echo(chunks=given.chunks, first_delay_s=given.first_delay_ms / 1000, delay_s=given.delay_ms / 1000)
    stand_in = StandInOllama(script, models=given.models.split(","), keep_requests=1000)
    with listen(given.port) as bound:
        bound.listen(1024)  # before the port is told: a client may connect at once
        print(orjson.dumps({"port": bound.getsockname()[1]}).decode(), flush=True)
        uvicorn.Server(quiet_config(stand_in)).run(sockets=[bound])


if __name__ == "__main__":
    main()
