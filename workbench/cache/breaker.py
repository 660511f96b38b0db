"""A circuit breaker: what fails again and again is asked no more until a probe finds it well."""

from __future__ import annotations

import asyncio
import logging

from workbench.cache.store import Health

log = logging.getLogger(__name__)

FAILURES = 1
"""So many in a row open the circuit: a request that asks several things loses its time-out once only, and a probe finds
soon whether it was but a hiccup."""


class Breaker:
    """Closed while all is well; `health.down` says why it is open, and `/readyz` and the metrics read that.

    Only `close` closes it again: a probe does that, so no request pays for trying.
    """

    def __init__(self, health: Health, *, name: str, failures: int = FAILURES) -> None:
        self._health = health
        self._name = name
        self._failures = failures
        self._in_a_row = 0
        self._opened = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether nothing may be asked now; costs nothing."""
        return bool(self._health.down)

    @property
    def why(self) -> str:
        """Why it is open."""
        return self._health.down

    def failed(self, why: str) -> None:
        """Something was asked and did not answer in time, or at all."""
        self._in_a_row += 1
        if self._in_a_row >= self._failures and not self.is_open:
            self._health.down = why
            self._health.counts["opened"] += 1
            self._opened.set()
            log.warning("store.down url=%s why=%r", self._name, why)

    def succeeded(self) -> None:
        """Something was answered."""
        self._in_a_row = 0

    def close(self) -> None:
        """A probe found it well."""
        self._in_a_row = 0
        if self.is_open:
            self._health.down = ""
            self._opened.clear()
            log.warning("store.up url=%s", self._name)

    async def opened(self) -> None:
        """Wait until it is open."""
        await self._opened.wait()
