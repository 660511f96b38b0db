"""A second try beside the first when that one says nothing for long; whoever speaks first is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from workbench.errors import BackendError

T = TypeVar("T")


async def hedged(
    first: AsyncGenerator[T, None], another: Callable[[], AsyncGenerator[T, None] | None], *, after_s: float
) -> AsyncGenerator[T, None]:
    """What `first` yields, or, when nothing came of it in `after_s`, what the quicker of it and `another` yields.

    `another` may say None: nothing to hedge with. The loser is closed at once.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(first.aclose)
        racing = {_start(first, stack): first}
        done, _ = await asyncio.wait(racing, timeout=after_s)
        if not done and (second := another()):
            stack.push_async_callback(second.aclose)
            racing[_start(second, stack)] = second
        winner, event = await _quickest(racing)
        for task, stream in racing.items():
            if stream is not winner:
                await _stop(task)
                await stream.aclose()
        if event is None:
            return
        yield event[0]
        async for more in winner:
            yield more


async def _quickest(
    racing: dict[asyncio.Task[tuple[T] | None], AsyncGenerator[T, None]],
) -> tuple[AsyncGenerator[T, None], tuple[T] | None]:
    """The first that yields, or ends; raises the last failure when all of them fail."""
    left = set(racing)
    while True:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        spoke = [task for task in done if not isinstance(task.exception(), BackendError)]
        if spoke or not left:
            task = (spoke or list(done))[0]
            return racing[task], task.result()


def _start(stream: AsyncGenerator[T, None], stack: AsyncExitStack) -> asyncio.Task[tuple[T] | None]:
    async def first_event() -> tuple[T] | None:
        async for event in stream:
            return (event,)
        return None

    task = asyncio.create_task(first_event())
    stack.push_async_callback(_stop, task)  # runs before the stream is closed
    return task


async def _stop(task: asyncio.Task[tuple[T] | None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen, so that nobody warns of it
