"""Puts a request to a Thinker once more, for the audit: only where no client is kept waiting by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from workbench.backend.backend import Model
from workbench.backend.pool import Pool
from workbench.cache.question import Question
from workbench.errors import BadReply
from workbench.messages import Message, MessagesRequest, TextBlock
from workbench.proxy.flight import REPLY_MAX_BYTES
from workbench.reply import Collector, Event, Reply, size_bytes

AT_ONCE = 2
"""How many questions are put to Thinkers at a time."""

ASK_TIMEOUT_S = 300.0

Until = Callable[[], float]
"""Until when a Thinker may be waited for, in seconds of the monotonic clock; it is asked again after each wait."""

_until: ContextVar[Until | None] = ContextVar("until", default=None)
"""Of the work that a task does: its questions and its judge's share one deadline."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What it takes to ask the same again."""

    tenant: str
    question: Question
    model: Model


class Asker:
    """Puts questions to Thinkers that have served no client for `idle_s`.

    It waits for one at most `patience_s`, or as long as `until` says around it.
    """

    def __init__(self, pool: Pool, *, idle_s: float, patience_s: float) -> None:
        self._pool = pool
        self._idle_s = idle_s
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def gives_up_at_s(self) -> float:
        """Until when work that comes up now may wait."""
        return time.monotonic() + self._patience_s

    @contextmanager
    def until(self, gives_up_at_s: Until) -> Iterator[None]:
        """What is asked in this block, by whomever, waits until then."""
        token = _until.set(gives_up_at_s)
        try:
            yield
        finally:
            _until.reset(token)

    async def ask(self, asked: Asked) -> Reply:
        """The same request without the cache; raises what `put` does."""
        return await self.put(asked.question.request, asked.model, timeout_s=ASK_TIMEOUT_S)

    async def put(self, request: MessagesRequest, model: Model, *, timeout_s: float) -> Reply:
        """The reply to a canonical request; raises `BackendError`, also when no Thinker is idle in time.

        And `TimeoutError` when one is, and has not answered `timeout_s` later.
        """
        patience_ends_s = self.gives_up_at_s
        until = _until.get() or (lambda: patience_ends_s)
        while True:
            while wait_s := self._wait_s(model, until):  # noqa: ASYNC110  # it is the passing of time that makes a Thinker idle: no event tells it
                await asyncio.sleep(wait_s)
            async with self._slots:
                if self._wait_s(model, until):  # a client came while others were asked
                    continue
                async with asyncio.timeout(timeout_s):
                    return await collected(self._pool.call(request, model, idle_s=self._idle_s).events())

    def _wait_s(self, model: Model, until: Until) -> float:
        """How long until a Thinker may be idle; 0 when one is, or none will be in time."""
        wait_s = self._pool.idle_in_s(model, self._idle_s)
        return wait_s if time.monotonic() + wait_s <= until() else 0.0


def one_prompt(prompt: str, *, model: str, max_tokens: int) -> MessagesRequest:
    """The canonical request that asks for the likeliest few tokens after this prompt alone."""
    message = Message(role="user", content=[TextBlock(type="text", text=prompt)])
    return MessagesRequest(model=model, messages=[message], max_tokens=max_tokens, temperature=0.0)


async def collected(events: AsyncGenerator[Event, None]) -> Reply:
    """The whole reply, and the stream closed; raises `BadReply` for one that never ends."""
    collector, size = Collector(), 0
    async with aclosing(events):
        async for event in events:
            collector.feed(event)
            size += size_bytes(event)
            if size > REPLY_MAX_BYTES:
                raise BadReply(f"the Thinker's reply has more than {REPLY_MAX_BYTES} bytes")
    return collector.reply()
