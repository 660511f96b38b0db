"""Work beside all requests: for each tenant in order, a limited amount, and no fault of it is anybody else's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]

MOST_WAITING = 64
"""Of one tenant; when there are more, new work is not taken: what is left out so says nothing about what it was."""


@dataclass(slots=True)
class Line:
    """One tenant's observations, first come, first done."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Lines:
    """All tenants' lines. An async context manager: leaving it cancels what is not done."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._tasks = asyncio.TaskGroup()
        self._pending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Lines:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._pending:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    @property
    def waiting(self) -> int:
        """How much is not done yet."""
        return len(self._pending)

    def add(self, tenant: str, work: Work) -> bool:
        """Do it when the tenant's earlier work is done; False when too much waits already."""
        line = self._lines.setdefault(tenant, Line())
        if line.waiting >= MOST_WAITING:
            return False
        line.waiting += 1
        task = self._tasks.create_task(_in_turn(line, work))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return True

    async def drained(self) -> None:
        """Wait until everything is done."""
        while self._pending:
            await asyncio.wait(self._pending)


async def _in_turn(line: Line, work: Work) -> None:
    try:
        async with line.lock:
            await work()
    except Exception:  # it must end neither the other work nor the server
        log.exception("lines.failed")
    finally:
        line.waiting -= 1
