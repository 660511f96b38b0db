"""The language in which the scripted Ollama is told what to answer, and how to misbehave."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


class Gate:
    """A door that a reply waits at until a test, in another thread, opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def release(self) -> None:
        """Let through whoever waits now or comes later; safe from any thread."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        """Return once it is open."""
        with self._lock:
            if self._open:
                return
            event = asyncio.Event()
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


@dataclass(frozen=True, slots=True)
class Text:
    """One line with a piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """One line with a piece of thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool; `arguments` keep their order."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Tool calls that share ONE line; write two of these for two lines."""

    calls: tuple[Call, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Delay:
    """Nothing for a while, as a model at work (for benchmarks; a test uses `Wait`)."""

    seconds_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing until the gate opens."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing, for ever: until the client leaves or the server stops."""


@dataclass(frozen=True, slots=True)
class Fail:
    """A line ``{"error": …}`` on a 200; the reply ends without ``done``."""

    error: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are: half a line, HTML, invalid UTF-8."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Endless:
    """These bytes again and again, until the client leaves."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks here."""


@dataclass(frozen=True, slots=True)
class End:
    """The body ends properly, but without ``done``."""


Step = Text | Thinking | Calls | Delay | Wait | Silence | Fail | Raw | Endless | Cut | End


@dataclass(frozen=True, slots=True)
class Script:
    """A reply on a 200: its steps, then the ``done`` line unless a step ended it.

    Token counts that are None are derived: the prompt's characters / 4, and one token a line.
    """

    steps: tuple[Step, ...] = ()
    done_reason: str | None = "stop"
    prompt_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def waits(self) -> bool:
        """Whether it ever pauses, so that the client may leave meanwhile."""
        return any(isinstance(step, Delay | Wait | Silence | Endless) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with another status than 200; `body` replaces ``{"error": error}``."""

    status: int
    error: str = ""
    body: bytes | None = None
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def payload(self) -> bytes:
        """What is sent."""
        return orjson.dumps({"error": self.error}) if self.body is None else self.body


Answer = Script | Refusal
Chooser = Callable[[dict[str, Any]], Answer]
"""What to answer to a chat request (its JSON)."""


def text(*pieces: str, done_reason: str = "stop") -> Script:
    """A plain answer, a line for each piece."""
    return Script(tuple(Text(piece) for piece in pieces), done_reason=done_reason)


def queue_full() -> Refusal:
    """What Ollama says when more than OLLAMA_MAX_QUEUE requests wait."""
    return Refusal(503, "server busy, please try again.  maximum pending requests exceeded")


def html_page(status: int = 502) -> Refusal:
    """What a reverse proxy says for a server that is not there."""
    return Refusal(status, body=b"<html><body><h1>Bad Gateway</h1></body></html>", content_type="text/html")


def echo(*, chunks: int = 20, first_delay_s: float = 0.0, delay_s: float = 0.0) -> Chooser:
    """Repeat the last user message in `chunks` lines, with pauses as a model makes them."""

    def choose(request: dict[str, Any]) -> Script:
        pieces = _pieces(f"You said: {last_user_text(request)[:2000]}", chunks)
        steps: list[Step] = [Delay(first_delay_s)] if first_delay_s else []
        for piece in pieces:
            steps.append(Text(piece))
            if delay_s:
                steps.append(Delay(delay_s))
        return Script(tuple(steps))

    return choose


def in_turn(answers: Sequence[Answer]) -> Chooser:
    """Each answer once, in order; the last one for ever after."""
    remaining = list(answers)
    return lambda _request: remaining.pop(0) if len(remaining) > 1 else remaining[0]


def last_user_text(request: Mapping[str, Any]) -> str:
    """The content of the last message of the user."""
    users = [message for message in request.get("messages", []) if message.get("role") == "user"]
    return str(users[-1].get("content", "")) if users else ""


def _pieces(whole: str, count: int) -> list[str]:
    padded = whole.ljust(count, ".")
    edges = [len(padded) * i // count for i in range(count + 1)]
    return [padded[a:b] for a, b in itertools.pairwise(edges)]
