"""What many Thinkers and many streams cost the proxy, and what its clients see when a Thinker is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import children
from benchmarks.children import Child
from benchmarks.figures import Figure, Target
from benchmarks.load import Plan, Report, percentile, run
from benchmarks.load import Target as Asked
from benchmarks.measuring import PROXY, Effort, Measuring
from benchmarks.stock import small_body, tool_turn_body

EIGHT, FOUR, CLIENTS = 8, 4, 16
RECOVERS_WITHIN_S = 10.0
LIMIT_S = 60.0


def many_thinkers(folder: Path, effort: Effort) -> Iterator[Figure]:
    """All figures of this file, each with servers of its own."""
    is_whole = effort.latency >= 100
    yield _added_by_eight(folder, effort)
    yield _idle_streams(folder, streams=500 if is_whole else 20)
    yield from _one_killed(folder, requests=8_000 if is_whole else 200)


def _added_by_eight(folder: Path, effort: Effort) -> Figure:
    with ExitStack() as stack:
        ollamas = _ollamas(stack, folder, EIGHT)
        served = _served(stack, folder, ollamas, options="")
        measuring = Measuring(served, ollamas[0], folder, effort)
        bodies = (tool_turn_body(text) for text in _questions())
        rounds = [measuring.ask_both(bodies, effort.latency // 3) for _ in range(effort.rounds)]
    ours = [found.percentile_ms("ttfb", 50, cache="miss") for found in rounds]
    direct = [found.percentile_ms("ttfb", 50, direct=True) for found in rounds]
    added = [one - other for one, other in zip(ours, direct, strict=True)]
    samples = sum(len(found.report.samples) for found in rounds)
    return Figure("eight_added_ttfb", "miss, 8 Thinkers: added TTFB, p50", added, "ms", samples, Target(3))


def _idle_streams(folder: Path, *, streams: int) -> Figure:
    """Streams whose Thinker has said something and is silent now."""
    with ExitStack() as stack:
        ollamas = _ollamas(stack, folder, 1, "--chunks", "4", "--delay-ms", "30000")
        served = _served(stack, folder, ollamas, options=f"?slots={streams}")
        before_mib = served.resident_mib
        during_mib = asyncio.run(_held_open(served, streams))
    about = f"memory of {streams} idle streams"
    return Figure("idle_streams", about, [during_mib - before_mib], "MiB", streams, Target(150))


async def _held_open(served: Child, streams: int) -> float:
    """Resident memory while so many streams are open, each with its first event read."""
    address = urlsplit(served.url)
    writers: list[asyncio.StreamWriter] = []

    async def open_one(number: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writers.append(writer)
        body = small_body(f"Idle stream {number}?").encode()
        head = f"POST /v1/messages HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await reader.readuntil(b"content_block_delta")

    try:
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            for number in range(streams):
                tasks.create_task(open_one(number))
        return served.resident_mib
    finally:
        for writer in writers:
            writer.close()


def _one_killed(folder: Path, *, requests: int) -> Iterator[Figure]:
    with ExitStack() as stack:
        ollamas = _ollamas(stack, folder, FOUR, "--first-delay-ms", "50")
        served = _served(stack, folder, ollamas, options="")
        bodies = [tool_turn_body(text) for text in islice(_questions(), requests)]
        target = Asked(PROXY, f"{served.url}/v1/messages", contains='"message_stop"')
        plan = Plan([target], bodies, [(0, number) for number in range(requests)], connections=CLIENTS)
        killed_s: list[float] = []

        def kill() -> None:
            killed_s.append(time.perf_counter())
            os.kill(ollamas[1].pid, signal.SIGKILL)

        timer = threading.Timer(max(1.0, requests / CLIENTS * 0.06 / 3), kill)
        timer.start()
        try:
            report = run(plan)
        finally:
            timer.cancel()
            timer.join()
    yield from _kill_figures(report, killed_s[0] if killed_s else 0.0)


def _kill_figures(report: Report, killed_s: float) -> Iterator[Figure]:
    errors = [sample.error for sample in report.samples if sample.error]
    about = "one of 4 Thinkers killed: requests that failed"
    yield Figure("killed_errors", about, [len(errors) + report.unanswered], "", len(report.samples), Target(0))
    good = report.good(PROXY)
    before = [it.ttfb_ms for it in good if it.started_s < killed_s]
    after = [it.ttfb_ms for it in good if it.started_s > killed_s + RECOVERS_WITHIN_S]
    if before and after:
        ratio = percentile(after, 99) / percentile(before, 99)
        about = f"p99 TTFB {RECOVERS_WITHIN_S:g} s after the kill ÷ before it"
        yield Figure("killed_p99", about, [ratio], "", len(after), Target(1.5))


def _questions() -> Iterator[str]:
    """Each another one, so that nothing is answered from memory."""
    return (f"What comes after step {number} of the plan?" for number in count())


def _ollamas(stack: ExitStack, folder: Path, number: int, *options: str) -> list[Child]:
    given = options or ("--chunks", "20")
    return [stack.enter_context(children.stand_in("ollama", *given, folder=folder)) for _ in range(number)]


def _served(stack: ExitStack, folder: Path, ollamas: list[Child], *, options: str) -> Child:
    first, *more = [f"ollama+{it.url}{options}" for it in ollamas]
    others = [part for url in more for part in ("--thinker", url)]
    return stack.enter_context(children.server(folder, thinker=first, options=others))
