"""Work beside all requests: for each tenant in order, a limited amount, and no fault of it is anybody else's."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from pydantic import BaseModel

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]

MOST_WAITING = 64
"""Of one tenant; when there are more, new work is not taken: what is left out so says nothing about what it was."""

LARGEST_KEPT_BYTES = 256 * 1024
"""Of one request: with `MOST_WAITING` of them, 16 MiB of a tenant's requests wait at most."""

VALUE_BYTES = 8
"""What each value of a request is taken to need beside its text."""


@dataclass(slots=True)
class Line:
    """One tenant's work: first come, first done, and what is `last` after all other."""

    first: deque[Work] = field(default_factory=deque)
    last: deque[Work] = field(default_factory=deque)
    is_busy: bool = False

    @property
    def waiting(self) -> int:
        """How much is not done yet."""
        return len(self.first) + len(self.last) + self.is_busy


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
        return sum(line.waiting for line in self._lines.values())

    def add(self, tenant: str, work: Work, *, is_last: bool = False, most_waiting: int = MOST_WAITING) -> bool:
        """Do it when the tenant's earlier work is done, or all other if it `is_last`; False when too much waits."""
        line = self._lines.setdefault(tenant, Line())
        if line.waiting >= most_waiting:
            return False
        is_idle = not line.waiting
        (line.last if is_last else line.first).append(work)
        if is_idle:
            task = self._tasks.create_task(_work_off(line))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
        return True

    async def drained(self) -> None:
        """Wait until everything is done."""
        while self._pending:
            await asyncio.wait(self._pending)


def is_large(value: object, *, limit_bytes: int = LARGEST_KEPT_BYTES) -> bool:
    """Whether a request (or a part of one) is too large to wait; an estimate, and no slower for a larger one."""
    size_bytes, parts = 0, [iter((value,))]
    while parts:
        for part in parts[-1]:
            size_bytes += VALUE_BYTES + (len(part) if isinstance(part, str) else 0)
            if size_bytes > limit_bytes:
                return True
            if isinstance(part, BaseModel | dict | list | tuple):
                parts.append(_inside(part))
                break
        else:
            parts.pop()
    return False


def _inside(whole: BaseModel | dict[str, object] | list[object] | tuple[object, ...]) -> Iterator[object]:
    """Its values, and of an object from outside its names too."""
    if isinstance(whole, BaseModel):
        return (value for _, value in whole)
    return chain.from_iterable(whole.items()) if isinstance(whole, dict) else iter(whole)


async def _work_off(line: Line) -> None:
    while line.first or line.last:
        work = (line.first or line.last).popleft()
        line.is_busy = True
        try:
            await work()
        except Exception:  # it must end neither the other work nor the server
            log.exception("lines.failed")
        finally:
            line.is_busy = False
