"""The loop of one load client's process, closed or open.

It never follows a redirect, retries or hides a failure. It reads HTTP/1.1 with a parser of a few lines, since a
general client would be slower than the server that it measures.
"""

from __future__ import annotations

import asyncio
import gc
import re
import ssl
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

import orjson
import uvloop

from benchmarks.http_client import Answer, Connection, MalformedAnswer
from benchmarks.samples import Plan, Report, Sample, Target

OK = 200
DELTA = re.compile(rb"event: ?content_block_delta")
TIMER_S = 0.002
"""How far a timer of the event loop may be off; the rest of a wait is spent looking at the clock."""


async def drive(plan: Plan, *, start_s: float | None = None) -> Report:
    """Ask everything in the plan, in this process; the first request of an open loop is due at `start_s`, else now."""
    samples: list[Sample] = []
    waiting = iter(enumerate(plan.requests))  # all clients take from this one
    begins_s = time.perf_counter() if start_s is None else start_s
    try:
        async with asyncio.timeout(plan.limit_s), asyncio.TaskGroup() as clients:
            for _ in range(plan.connections):
                clients.create_task(_Client(plan, waiting, samples, begins_s).run())
    except TimeoutError:
        return Report(samples[plan.warmup :], unanswered=len(plan.requests) - len(samples))
    return Report(samples[plan.warmup :])


class _Client:
    """Asks one request after the other, with one connection to each target."""

    def __init__(
        self, plan: Plan, waiting: Iterator[tuple[int, tuple[int, int]]], samples: list[Sample], begins_s: float
    ) -> None:
        self._plan = plan
        self._begins_s = begins_s
        self._targets = plan.targets
        self._bodies = [body.encode() for body in plan.bodies]
        self._heads = [_head(target) for target in plan.targets]
        self._waiting = waiting
        self._samples = samples
        self._connections: dict[int, Connection] = {}

    async def run(self) -> None:
        try:
            for number, (place, body) in self._waiting:
                due_s = await self._due(number)
                self._samples.append(await self._sample(place, self._bodies[body], due_s))
        finally:
            for connection in self._connections.values():
                connection.close()

    async def _due(self, number: int) -> float | None:
        """Wait until this request is due; None in a closed loop, where it is due at once."""
        if not self._plan.rate_per_s:
            return None
        due_s = self._begins_s + number / self._plan.rate_per_s
        if (ahead_s := due_s - time.perf_counter() - TIMER_S) > 0:
            await asyncio.sleep(ahead_s)
        while time.perf_counter() < due_s:  # noqa: ASYNC110  # what is waited for is the clock
            await asyncio.sleep(0)
        return due_s

    async def _sample(self, place: int, body: bytes, due_s: float | None) -> Sample:
        target = self._targets[place]
        request = self._heads[place] % len(body) + body
        sent_s = time.perf_counter()
        started_s = sent_s if due_s is None else due_s
        try:
            answer = await (await self._connection(place)).ask(request)
        except (OSError, MalformedAnswer) as error:
            if lost := self._connections.pop(place, None):
                lost.close()
            now_s = time.perf_counter()
            return Sample(target.name, started_s, now_s, now_s, error=f"{type(error).__name__}: {error}", sent_s=sent_s)
        ended_s = time.perf_counter()
        deltas_s = _delta_times(answer) if self._plan.tokens else []
        return Sample(
            target.name,
            started_s,
            answer.first_s or ended_s,
            ended_s,
            status=answer.status,
            cache=answer.headers.get("x-cache", ""),
            timing=answer.headers.get("server-timing", ""),
            error=_fault(answer, target),
            sent_s=sent_s,
            first_delta_s=deltas_s[0] if deltas_s else 0.0,
            gaps_ms=[(later - earlier) * 1e3 for earlier, later in pairwise(deltas_s)],
        )

    async def _connection(self, place: int) -> Connection:
        """An open one; connecting counts into the time of the first request, which is what warming up is for."""
        if place not in self._connections:
            address = urlsplit(self._targets[place].url)
            secure = ssl.create_default_context() if address.scheme == "https" else None
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, address.hostname or "", address.port or (443 if secure else 80), ssl=secure
            )
            self._connections[place] = connection
        return self._connections[place]


def _delta_times(answer: Answer) -> list[float]:
    """When each delta of a stream was there; those that came in one piece came together."""
    ends = [length for _, length in answer.arrivals]
    return [answer.arrivals[bisect_left(ends, found.end())][0] for found in DELTA.finditer(answer.body)]


def _fault(answer: Answer, target: Target) -> str:
    if answer.status != OK:
        return f"status {answer.status}"
    return "" if target.contains.encode() in answer.body else f"the body lacks {target.contains!r}"


def _head(target: Target) -> bytes:
    """The request's head, with a place for its length."""
    address = urlsplit(target.url)
    fields = {"host": address.netloc, "content-type": "application/json", **target.headers}
    lines = [f"POST {address.path or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).replace("%", "%%").encode("latin-1") + b"\r\ncontent-length: %d\r\n\r\n"


def main() -> None:
    """Carry out the plan of the first line of stdin from the time in the second on; the report goes to stdout.

    Both are JSON. ``ready`` is said between the two lines, so that several processes can begin together.
    """
    told = orjson.loads(sys.stdin.buffer.readline())
    targets = [Target(**target) for target in told.pop("targets")]
    gc.freeze()
    gc.disable()  # its pauses would be taken for the server's
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    start_s = orjson.loads(sys.stdin.buffer.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(drive(Plan(targets=targets, **told), start_s=start_s))
    with open(sys.stdout.fileno(), "wb", closefd=False) as whole:  # an unbuffered stdout may take only a part of it
        whole.write(orjson.dumps(report))


if __name__ == "__main__":
    main()
