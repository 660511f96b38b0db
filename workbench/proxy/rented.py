"""The fleet inside the proxy: its machines join the pool of Thinkers, and the pool's load asks for more of them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from workbench.backend.backend import Backend
from workbench.backend.pool import Pool
from workbench.errors import NotFound
from workbench.fleet.opening import Fleet
from workbench.fleet.scaling import Load
from workbench.proxy.telemetry import Telemetry

log = logging.getLogger(__name__)


class PoolMembers:
    """`workbench.fleet.links.Members` for this pool."""

    def __init__(self, pool: Pool, make: Callable[[str], Backend]) -> None:
        self._pool = pool
        self._make = make
        self._ids: dict[str, str] = {}

    async def add(self, url: str) -> None:
        """Send requests there, too, once it has read what prompts begin with lately."""
        self._ids[url] = (await self._pool.add(self._make(url), is_warmed=True)).id

    async def drain(self, url: str) -> None:
        """Send no more requests there."""
        try:
            self._pool.drain(self._ids[url])
        except (KeyError, NotFound):
            log.info("fleet.gone_before_drain url=%s", url)

    async def remove(self, url: str) -> None:
        """Forget it; what still runs there breaks with its tunnel, and the pool lets go of it then."""
        await self.drain(url)
        self._ids.pop(url, None)

    def in_flight(self, url: str) -> int:
        """Requests that run there."""
        id = self._ids.get(url)
        return next((thinker.in_flight for thinker in self._pool.thinkers if thinker.id == id), 0)


def load_of(pool: Pool, telemetry: Telemetry, *, clock: Callable[[], float] = time.monotonic) -> Callable[[], Load]:
    """What the pool expects of a request that comes now; with nobody to answer, the wait is endless."""
    started_s = clock()

    def load() -> Load:
        takers = [it for it in pool.thinkers if it.models and it.error is None and not it.station.is_draining]
        last_s = telemetry.last_work_s
        is_busy = any(thinker.in_flight for thinker in pool.thinkers)
        idle_s = 0.0 if is_busy else clock() - (started_s if last_s is None else last_s)
        nobody_s = math.inf if last_s is not None else 0.0
        return Load(min((thinker.station.starts_s()[-1] for thinker in takers), default=nobody_s), idle_s)

    return load


@asynccontextmanager
async def controlled(fleet: Fleet) -> AsyncIterator[None]:
    """Control and follow the fleet while the block runs. Its machines stay: another proxy may use them, or the next.

    Where none comes back, they destroy themselves for want of a heartbeat.
    """
    await fleet.follow_once()  # what is ready already answers the first request
    serving = asyncio.create_task(fleet.serve())
    serving.add_done_callback(_tell_of_failure)
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        log.error("fleet.controller_failed error=%r", task.exception(), exc_info=task.exception())
