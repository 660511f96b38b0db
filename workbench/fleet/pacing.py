"""Calls no closer together than the market allows, each endpoint by itself."""

from __future__ import annotations

import time
from asyncio import sleep as asyncio_sleep
from collections.abc import Awaitable, Callable, Mapping

Sleep = Callable[[float], Awaitable[object]]

SLACK_S = 0.05
"""Added to each gap: the market measures from arrival to arrival, and the way there varies."""


class Pacer:
    """Hands out turns. `gaps_s` are the seconds between two calls of an endpoint; an unnamed one has none.

    `clock` (seconds, monotonic) and `sleep` belong together: a virtual clock needs its own sleep.
    """

    def __init__(
        self, gaps_s: Mapping[str, float], *, clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio_sleep
    ) -> None:
        self._gaps_s = dict(gaps_s)
        self._clock = clock
        self._sleep = sleep
        self._free_s: dict[str, float] = {}

    def gap_s(self, endpoint: str) -> float:
        """Seconds between two calls of it."""
        return self._gaps_s.get(endpoint, 0.0)

    async def turn(self, endpoint: str) -> None:
        """Wait for the caller's turn; who asked first goes first. A caller that is cancelled leaves its turn unused."""
        now_s = self._clock()
        turn_s = max(now_s, self._free_s.get(endpoint, now_s))
        gap_s = self.gap_s(endpoint)
        self._free_s[endpoint] = turn_s + gap_s + (SLACK_S if gap_s else 0.0)
        if turn_s > now_s:
            await self._sleep(turn_s - now_s)

    def refused(self, endpoint: str, *, retry_after_s: float) -> None:
        """The market said that it was too early: nobody else tries before `retry_after_s` from now."""
        self._free_s[endpoint] = max(self._free_s.get(endpoint, 0.0), self._clock() + retry_after_s)

    async def pause(self, seconds: float) -> None:
        """Sleep by the same clock."""
        await self._sleep(seconds)
