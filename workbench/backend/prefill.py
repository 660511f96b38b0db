"""What clients' prompts begin with, read by a new Thinker before it takes requests.

A session that moves to a rented machine would else pay for its system prompt and tools there once more. They are kept
in this process's memory only.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from workbench.backend.backend import Model
from workbench.backend.prefixes import Prefix, prefix_of
from workbench.backend.thinker import Thinker
from workbench.errors import WorkbenchError
from workbench.messages import Message, MessagesRequest, TextBlock

log = logging.getLogger(__name__)

MOST = 2
"""So many beginnings are read; each takes a KV slot, and a machine may have one only."""

LIMIT_S = 20.0
"""How long all of that may take."""

KEPT = 16
WORTH_TOKENS = 1_000
"""A shorter beginning is read fast enough when it is needed."""

HALF_LIFE_S = 300.0


@dataclass(slots=True)
class _Beginning:
    """`request` has the system prompt and the tools, and asks for one token; `heat` was told at `at_s`."""

    request: MessagesRequest
    model: Model
    heat: float
    at_s: float

    def heat_at(self, now_s: float) -> float:
        """How often it was asked lately."""
        return self.heat * math.exp2((self.at_s - now_s) / HALF_LIFE_S)


class Prefills:
    """The system prompts and tools that requests began with lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._beginnings: dict[tuple[str, str, bytes], _Beginning] = {}

    def note(self, request: MessagesRequest, model: Model, prefix: Prefix) -> None:
        """A client asks this."""
        if prefix.tokens[0] < WORTH_TOKENS:
            return
        key, now_s = (model.name, model.digest, prefix.marks[0]), self._clock()
        known = self._beginnings.get(key) or _Beginning(_beginning(request), model, 0.0, now_s)
        known.heat, known.at_s = known.heat_at(now_s) + 1, now_s
        self._beginnings[key] = known
        if len(self._beginnings) > KEPT:
            del self._beginnings[min(self._beginnings, key=lambda key: self._beginnings[key].heat_at(now_s))]

    async def warm(self, thinker: Thinker) -> None:
        """Have it read the hottest ones, the hottest last; what fails is logged, and is its own affair later."""
        now_s = self._clock()
        able = [each for each in self._beginnings.values() if thinker.has(each.model)]
        hottest = sorted(able, key=lambda each: each.heat_at(now_s))[-min(MOST, thinker.station.slots) :]
        for each in hottest:
            try:
                async with asyncio.timeout(LIMIT_S / len(hottest)):
                    await _read(thinker, each)
            except (WorkbenchError, TimeoutError) as error:
                log.warning("thinker.not_warmed url=%s error=%r", thinker.url, error)


async def _read(thinker: Thinker, beginning: _Beginning) -> None:
    async with aclosing(thinker.backend.stream(beginning.request, model=beginning.model.name)) as events:
        async for _ in events:
            pass
    prefix = prefix_of(beginning.request)
    owner = f"prefill {prefix.marks[0].hex()}"
    thinker.station.warm.note(owner, prefix, slots=thinker.station.slots)
    thinker.station.warm.moved(owner)  # no session will miss it


def _beginning(request: MessagesRequest) -> MessagesRequest:
    hello = Message(role="user", content=[TextBlock(type="text", text="Hi")])
    return request.model_copy(update={"messages": [hello], "max_tokens": 1, "stop_sequences": None})
