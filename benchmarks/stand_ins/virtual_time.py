"""An event loop whose time passes only while everybody sleeps: hours of a schedule take milliseconds.

`asyncio.sleep`, `asyncio.timeout` and `loop.time` follow it; work in threads is waited for in real time, during which
the virtual clock stands still. There is no network on it: use it with transports that stay in the process.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

STUCK_S = 60.0
"""Real seconds after which a loop that waits for threads, or for nothing at all, is given up."""


class _Selector(selectors.DefaultSelector):
    """Lets virtual time pass where the loop would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.threads or timeout is None:
            ready = super().select(STUCK_S)
            if not ready:
                raise RuntimeError(f"nothing happened in {STUCK_S:g} real seconds on a virtual clock: deadlock")
            return ready
        self.now_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which starts at 0 s."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.now_s

    def run_in_executor(  # type: ignore[override]  # typeshed's overload hides the returned future
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As usual; the virtual clock stands still until it is done."""
        self._virtual.threads += 1
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._virtual.threads -= 1


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run ``main(loop)`` to its end on virtual time; what it left running is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
