"""What the fleet cost: every second and gigabyte of every machine, known before it is rented.

All work is done in one thread of its own. A call that returned survives the end of this process, however it ends; an
open stretch of time goes on counting while nobody watches, since the market goes on charging.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from workbench.errors import LedgerError
from workbench.fleet.costing import Cost, Phase, Reconciliation
from workbench.fleet.ledger_file import LedgerFile
from workbench.fleet.ledger_rows import Entry
from workbench.fleet.market import Charge, Rates

T = TypeVar("T")


class Ledger:
    """The ledger in the file at `path`, made with its folder when there is none; several processes may share it.

    `clock` tells seconds since 1970. One that steps back makes no stretch of time negative.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file = LedgerFile(path, clock=clock)
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Open or create the file; raises `LedgerError` when it is not a ledger or of a newer version."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        try:
            await self._do(self._file.open)
        except BaseException:
            self._shut_down()
            raise

    async def close(self) -> None:
        """Let go of the file; nothing happens when it is not open."""
        if self._thread is None:
            return
        try:
            await self._do(self._file.close)
        finally:
            self._shut_down()

    async def identity(self) -> str:
        """A random id that tells this ledger apart from all others, but not from its copies."""
        return await self._do(self._file.identity)

    async def intend(self, label: str, *, machine_id: int, rates: Rates, expires_s: float) -> None:
        """Write down that this label is about to be rented: BEFORE the create is sent.

        Raises `LedgerError` when the label was used before.
        """
        await self._do(lambda: self._file.intend(label, machine_id=machine_id, rates=rates, expires_s=expires_s))

    async def adopt(self, label: str, *, machine_id: int, rates: Rates, since_s: float, expires_s: float) -> None:
        """Take in a machine rented without this ledger, running since `since_s`; a known one stays as it is."""
        await self._do(
            lambda: self._file.adopt(label, machine_id=machine_id, rates=rates, since_s=since_s, expires_s=expires_s)
        )

    async def rented(self, label: str, *, instance_id: int, rates: Rates | None = None) -> None:
        """The create happened: its disk costs from the intent on, in the phase `booting`. Once more changes nothing.

        Rates that differ hold from now on, but one that is told as zero: it stays as it was.
        """
        await self._do(lambda: self._file.rented(label, instance_id=instance_id, rates=rates))

    async def not_rented(self, label: str, *, reason: str) -> None:
        """It is certain that nothing was rented under this label; raises `LedgerError` when an instance is known."""
        await self._do(lambda: self._file.not_rented(label, reason=reason))

    async def observe(self, label: str, *, phase: Phase, gpu_billed: bool, at_s: float | None = None) -> None:
        """What it does from now on, or since `at_s` where that is known; the stretch before ends there.

        The same as before changes nothing, and neither does what is told of a machine that is gone.
        """
        await self._do(lambda: self._file.observe(label, phase=phase, gpu_billed=gpu_billed, at_s=at_s))

    async def reprice(self, label: str, *, rates: Rates) -> None:
        """What it costs from now on, when that differs."""
        await self._do(lambda: self._file.reprice(label, rates=rates))

    async def traffic(self, label: str, *, down_bytes: int, up_bytes: int) -> None:
        """What it carried so far in all; a smaller number than before changes nothing."""
        await self._do(lambda: self._file.traffic(label, down_bytes=down_bytes, up_bytes=up_bytes))

    async def destroyed(self, label: str, *, at_s: float | None = None) -> None:
        """The market confirmed that it is gone: nothing costs from now (or `at_s`) on. Once more changes nothing."""
        await self._do(lambda: self._file.destroyed(label, at_s=at_s))

    async def live(self) -> tuple[Entry, ...]:
        """All that is neither known not to have been rented nor confirmed as gone: what may cost, oldest first."""
        return await self._do(self._file.live)

    async def entries(self) -> tuple[Entry, ...]:
        """All there ever was, oldest first."""
        return await self._do(self._file.entries)

    async def cost(self, *, since_s: float = 0.0, until_s: float | None = None) -> Cost:
        """What was spent between two times (seconds since 1970), until now when `until_s` is None."""
        return await self._do(lambda: self._file.cost(since_s=since_s, until_s=until_s))

    async def reconcile(
        self, charges: Iterable[Charge], *, since_s: float = 0.0, until_s: float | None = None
    ) -> Reconciliation:
        """What the market charged beside what the ledger counted, instance by instance.

        The times must span the charges: the market charges by the day, and later than it delivers.
        """
        given = tuple(charges)
        return await self._do(lambda: self._file.reconcile(given, since_s=since_s, until_s=until_s))

    async def _do(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise LedgerError("the ledger is closed: expected it open")
        try:
            # Shielded: a caller that is cancelled leaves, what it wrote down is written all the same.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except sqlite3.Error as error:
            raise LedgerError(f"the ledger's file failed: {error}; is the disk full, or the file damaged?") from error

    def _shut_down(self) -> None:
        thread, self._thread = self._thread, None
        if thread:
            thread.shutdown(wait=False)
