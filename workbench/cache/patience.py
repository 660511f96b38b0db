"""A bound of time that does not blame others for this process's own delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LATE_S = 0.002
"""A timer that fires so late shows that the event loop was busy: the answer may lie in the socket, unread."""
MOST_EXTENSIONS = 4


@asynccontextmanager
async def within(limit_s: float) -> AsyncIterator[None]:
    """Raises `TimeoutError` when the block takes longer; while the event loop is late, up to three times as long."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        extensions = 0
        timer: asyncio.TimerHandle

        def expire(due_s: float) -> None:
            nonlocal extensions, timer
            now_s = loop.time()
            if now_s - due_s > LATE_S and extensions < MOST_EXTENSIONS:
                extensions += 1
                due_s = now_s + limit_s / 2
                timer = loop.call_at(due_s, expire, due_s)
            else:
                bound.reschedule(now_s)

        due_s = loop.time() + limit_s
        timer = loop.call_at(due_s, expire, due_s)
        try:
            yield
        finally:
            timer.cancel()
