"""Virtual time: hours pass in no time, in the right order, and not while threads work."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from benchmarks.stand_ins.virtual_time import VirtualLoop, run_virtually


def test_sleeps_end_in_order_and_take_no_real_time() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, loop.time()))

        await asyncio.gather(sleeper("day", 86_400), sleeper("hour", 3600), sleeper("second", 1))
        return seen

    assert run_virtually(main) == [("second", 1), ("hour", 3600), ("day", 86_400)]


def test_time_outs_follow_virtual_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await asyncio.Event().wait()
        return loop.time()

    assert run_virtually(main) == 500


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def main(loop: VirtualLoop) -> float:
        gate = threading.Event()
        napping = asyncio.create_task(asyncio.sleep(1000))
        working = loop.run_in_executor(None, gate.wait, 60)
        loop.call_soon(threading.Timer(0.05, gate.set).start)
        await working
        now_s = loop.time()
        await napping
        return now_s

    began_s = time.monotonic()
    assert run_virtually(main) == 0
    assert time.monotonic() - began_s < 50
