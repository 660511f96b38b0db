"""Questions asked through a running proxy before anybody needs the answers: as a client, so that all its rules hold.

A repeated run is cheap, since what is answered from memory costs nothing: that is how one goes on after a break.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson

from workbench.cache.jsonl import read_lines
from workbench.errors import UnreadableFile

FAULTS_KEPT = 10
TRIES = 3
READ_TIMEOUT_S = 60.0
"""A stream that is alive says so every few seconds."""

BUSY_WAIT_S = 2.0
BUSY_WAIT_MAX_S = 30.0
MAX_TOKENS = 1024

DEFAULT_MODEL = "claude-sonnet-4-5"
"""Any claude name is answered by the first Thinker's default model."""

HEADER_KEY = "workbench_recording"

CACHE_ONLY = "only-if-cached"

ERROR_LINES = ("event: error", 'data: {"type":"error"')
"""How a stream tells that it failed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request from line `number` of a file; `body` is a Messages request."""

    number: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with line `number`."""

    number: int
    seen: str


@dataclass(slots=True)
class Warmed:
    """What came of it: how many answers came from where (`x-cache`), and what failed (the first ones are told)."""

    by_source: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    faults: list[str] = field(default_factory=list)
    stopped: str = ""
    """Why it ended early: nothing else could have been answered either."""

    @property
    def seen(self) -> int:
        """All requests that were tried."""
        return self.by_source.total() + self.failed

    def fault(self, number: int, seen: str) -> None:
        """Note a line that came to nothing."""
        self.failed += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"line {number}: {seen}")


@dataclass(frozen=True, slots=True)
class Target:
    """The proxy to ask, and how: `concurrency` requests at once; `dry_run` asks no Thinker."""

    address: str
    key: str = ""
    concurrency: int = 4
    dry_run: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"x-api-key": self.key or "local"} | ({"x-cache-control": CACHE_ONLY} if self.dry_run else {})


@dataclass(frozen=True, slots=True)
class Answered:
    """Whole; `source` is the response's `x-cache`."""

    source: str


@dataclass(frozen=True, slots=True)
class Failed:
    """This one; another may well be answered."""

    seen: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Not now; in `wait_s` perhaps."""

    seen: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Hopeless:
    """Neither this one nor any other."""

    seen: str


# ── what is asked ───────────────────────────────────────────────────────────────────────────────────────────


def read_requests(path: Path, *, model: str | None = None) -> Iterator[Asked | Fault]:
    """The requests in a file, compressed or not: JSON lines of Messages requests or of recorded exchanges, else one
    question a line, which is asked without anything around it.

    All are asked of `model` if one is given. Where the file is damaged it ends with a fault.
    """
    is_json, number = None, 0
    try:
        for number, line in read_lines(path):
            if is_json is None:
                is_json = line.startswith(b"{")
            match _request(number, line) if is_json else _question(number, line):
                case Asked(_, body) if model:
                    yield Asked(number, body | {"model": model})
                case Asked() | Fault() as found:
                    yield found
    except UnreadableFile as error:
        yield Fault(number, str(error))


def _question(number: int, line: bytes) -> Asked | Fault:
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        return Fault(number, f"no UTF-8 text: {error}")
    messages = [{"role": "user", "content": text}]
    return Asked(number, {"model": DEFAULT_MODEL, "max_tokens": MAX_TOKENS, "messages": messages})


def _request(number: int, line: bytes) -> Asked | Fault | None:
    """None for the header of a recording."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Fault(number, f"no JSON: {error}")
    if isinstance(document, dict):
        if HEADER_KEY in document:
            return None
        body = document.get("request", document)
        if isinstance(body, dict) and "messages" in body:
            return Asked(number, body)
        if "digest" in document:
            return Fault(number, "no request in it: it was recorded without words")
    return Fault(number, "expected a Messages request, or an object with one in `request`")


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────


async def warm(
    requests: Iterator[Asked | Fault], target: Target, *, progress: Callable[[int], None] = lambda done: None
) -> Warmed:
    """Ask all of them; a request that fails is noted, and the others go on.

    It stops early where the proxy is gone or refuses the key.
    """
    warmed = Warmed()
    limits = httpx2.Limits(max_connections=target.concurrency)
    timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=5.0, pool=None)  # the pool is as large as the workers are many
    async with (
        httpx2.AsyncClient(limits=limits, timeout=timeout, trust_env=False, headers=target.headers) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(target.concurrency):
            group.create_task(_work(requests, client, target, warmed, progress))
    return warmed


async def _work(
    requests: Iterator[Asked | Fault],
    client: httpx2.AsyncClient,
    target: Target,
    warmed: Warmed,
    progress: Callable[[int], None],
) -> None:
    """One of several that take from the same iterator."""
    for asked in requests:
        if warmed.stopped:
            return
        if isinstance(asked, Fault):
            warmed.fault(asked.number, asked.seen)
            continue
        match await _ask(client, target, asked.body):
            case Answered(source):
                warmed.by_source[source] += 1
            case Failed(seen):
                warmed.fault(asked.number, seen)
            case Hopeless(seen):
                warmed.stopped = seen
        progress(warmed.seen)


async def _ask(client: httpx2.AsyncClient, target: Target, body: dict[str, Any]) -> Answered | Failed | Hopeless:
    """Ask once, and again while the Thinkers are overloaded."""
    try:
        for _ in range(TRIES - 1):
            outcome = await _ask_once(client, target, body)
            if not isinstance(outcome, Busy):
                return outcome
            await asyncio.sleep(outcome.wait_s)
        outcome = await _ask_once(client, target, body)
    except httpx2.ConnectError:
        return Hopeless(f"no proxy answers on {target.address}: start it with `make serve`, or name it with --url")
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        return Hopeless(f"{target.address} is no address: {error}")
    except httpx2.HTTPError as error:
        return Failed(str(error) or repr(error))
    return Failed(outcome.seen) if isinstance(outcome, Busy) else outcome


async def _ask_once(
    client: httpx2.AsyncClient, target: Target, body: dict[str, Any]
) -> Answered | Failed | Hopeless | Busy:
    # As a stream: pings show that a long answer is still coming.
    content = orjson.dumps(body | {"stream": True})
    headers = {"content-type": "application/json"}
    async with client.stream("POST", f"{target.address}/v1/messages", content=content, headers=headers) as response:
        is_error = response.status_code != 200
        lines = [line async for line in response.aiter_lines() if is_error or line.startswith(ERROR_LINES)]
    match response.status_code:
        case 200 if "x-cache" not in response.headers:
            return Hopeless(f"what answers on {target.address} is not this proxy: it sends no x-cache header")
        case 200 if not lines:
            return Answered(response.headers["x-cache"])
        case 404 if target.dry_run and response.headers.get("x-should-retry") == "false":
            return Answered("miss")
        case 403:
            return Hopeless(f"{target.address} refuses the key: {_message(lines)}")
        case 529:
            return Busy(f"529: {_message(lines)}", _wait_s(response))
        case status:
            return Failed(f"{status}: {_message(lines)}")


def _wait_s(response: httpx2.Response) -> float:
    try:
        wait_s = float(response.headers.get("retry-after", BUSY_WAIT_S))
    except ValueError:
        wait_s = BUSY_WAIT_S
    return min(max(wait_s, 0.0), BUSY_WAIT_MAX_S)


def _message(lines: list[str]) -> str:
    """The message of the API's error envelope, in a body or in an event."""
    for line in reversed(lines):
        try:
            return str(orjson.loads(line.removeprefix("data:"))["error"]["message"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
    return " ".join(lines)[:200] or "no reason given"
