"""Follows the settings file: Thinkers that it names join, those that it names no more are drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.backend.backend import Backend
from workbench.backend.pool import Pool
from workbench.errors import WorkbenchError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """The file to look at, and what reads the Thinkers' URLs anew (flags and variables still win over the file)."""

    path: Path
    read: Callable[[], Sequence[str]]


class Reloader:
    """An async context manager: while it is open, a changed file or a SIGHUP changes the pool; no stream is dropped."""

    def __init__(
        self, pool: Pool, make: Callable[[str], Backend], watched: Watched, *, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._pool = pool
        self._make = make
        self._watched = watched
        self._look_every_s = look_every_s
        self._seen = self._stamp()
        self._hung_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reloader:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # a loop beside the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up.set)
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def reload(self) -> None:
        """Read the settings and follow them; when they make no sense, all stays as it is and the log says why."""
        try:
            if urls := await asyncio.to_thread(self._watched.read):
                await self._pool.follow(urls, self._make)
        except WorkbenchError as error:
            log.error("settings.not_reloaded error=%r", str(error))
        else:
            log.warning("settings.reloaded thinkers=%s", [thinker.url for thinker in self._pool.thinkers])

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_every_s):
                    await self._hung_up.wait()
            stamp = self._stamp()
            if self._hung_up.is_set() or stamp != self._seen:
                self._hung_up.clear()
                self._seen = stamp
                await self.reload()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            told = self._watched.path.stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_size
