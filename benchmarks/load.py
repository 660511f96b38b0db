"""The load client: a closed loop of keep-alive connections, in a process of its own.

Each client sends its next request when the last one is answered, and never follows a redirect, retries or hides
a failure. It reads HTTP/1.1 with a parser of a few lines, since a general client would be slower than the server
that it measures; `benchmarks.bench` prints what it can do at most, beside the figures that it measured.
"""

from __future__ import annotations

import asyncio
import gc
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
import uvloop

from benchmarks.children import ROOT, ChildFailed, spawned
from benchmarks.http_client import Answer, Connection, MalformedAnswer

OK = 200


# ── what is asked, and what came ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what stands in the body of every whole answer (a cut stream lacks its end)."""

    name: str
    url: str
    contains: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests, in order, as (target, body), each by its place in the lists above; `limit_s` ends it all.

    The first `warmup` answers are not reported.
    """

    targets: list[Target]
    bodies: list[str]
    requests: list[tuple[int, int]]
    connections: int = 1
    warmup: int = 0
    limit_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are seconds on the machine's monotonic clock, `first_s` that of the body's first byte.

    `error` is empty when a whole answer came; `cache` is the ``x-cache`` header, or "" where there is none.
    """

    target: str
    started_s: float
    first_s: float
    ended_s: float
    status: int = 0
    cache: str = ""
    timing: str = ""
    error: str = ""

    @property
    def ttfb_ms(self) -> float:
        """Time to the first byte of the body."""
        return (self.first_s - self.started_s) * 1e3

    @property
    def total_ms(self) -> float:
        """Time to the last byte."""
        return (self.ended_s - self.started_s) * 1e3


@dataclass(frozen=True, slots=True)
class Report:
    """All samples, and how many requests were never answered before the limit."""

    samples: list[Sample]
    unanswered: int = 0

    def good(self, target: str, *, cache: str | None = None) -> list[Sample]:
        """The whole answers of this target; `cache` asks for one outcome only."""
        return [
            sample
            for sample in self.samples
            if not sample.error and sample.target == target and cache in (None, sample.cache)
        ]

    @property
    def outcomes(self) -> dict[str, int]:
        """How often each thing happened: ``target exact``, ``target error: …``, ``unanswered``."""
        counts = Counter(
            f"{sample.target} {f'error: {sample.error}' if sample.error else sample.cache or sample.status}"
            for sample in self.samples
        )
        return dict(counts) | ({"unanswered": self.unanswered} if self.unanswered else {})

    @property
    def per_second(self) -> float:
        """Whole answers per second, from the first request's start to the last answer's end."""
        good = [sample for sample in self.samples if not sample.error]
        if not good:
            return 0.0
        wall_s = max(sample.ended_s for sample in self.samples) - min(sample.started_s for sample in self.samples)
        return len(good) / wall_s


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the least value that `percent` of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


# ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────


async def drive(plan: Plan) -> Report:
    """Ask everything in the plan, in this process."""
    samples: list[Sample] = []
    waiting = iter(plan.requests)  # all clients take from this one
    try:
        async with asyncio.timeout(plan.limit_s), asyncio.TaskGroup() as clients:
            for _ in range(plan.connections):
                clients.create_task(_Client(plan, waiting, samples).run())
    except TimeoutError:
        return Report(samples[plan.warmup :], unanswered=len(plan.requests) - len(samples))
    return Report(samples[plan.warmup :])


def run(plan: Plan) -> Report:
    """Ask everything in the plan from a process of its own, so that no other work delays its clock."""
    with spawned(["-m", "benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE) as client:
        told, _ = client.communicate(orjson.dumps(plan))
    if client.returncode:
        raise ChildFailed(f"the load client ended with {client.returncode}; its words are above")
    report = orjson.loads(told)
    return Report([Sample(**sample) for sample in report["samples"]], report["unanswered"])


class _Client:
    """One closed loop, with one connection to each target."""

    def __init__(self, plan: Plan, waiting: Iterator[tuple[int, int]], samples: list[Sample]) -> None:
        self._targets = plan.targets
        self._bodies = [body.encode() for body in plan.bodies]
        self._heads = [_head(target) for target in plan.targets]
        self._waiting = waiting
        self._samples = samples
        self._connections: dict[int, Connection] = {}

    async def run(self) -> None:
        try:
            for place, body in self._waiting:
                self._samples.append(await self._sample(place, self._bodies[body]))
        finally:
            for connection in self._connections.values():
                connection.close()

    async def _sample(self, place: int, body: bytes) -> Sample:
        target = self._targets[place]
        request = self._heads[place] % len(body) + body
        started_s = time.perf_counter()
        try:
            answer = await (await self._connection(place)).ask(request)
        except (OSError, MalformedAnswer) as error:
            if lost := self._connections.pop(place, None):
                lost.close()
            now_s = time.perf_counter()
            return Sample(target.name, started_s, now_s, now_s, error=f"{type(error).__name__}: {error}")
        ended_s = time.perf_counter()
        return Sample(
            target.name,
            started_s,
            answer.first_s or ended_s,
            ended_s,
            status=answer.status,
            cache=answer.headers.get("x-cache", ""),
            timing=answer.headers.get("server-timing", ""),
            error=_fault(answer, target),
        )

    async def _connection(self, place: int) -> Connection:
        """An open one; connecting counts into the time of the first request, which is what warming up is for."""
        if place not in self._connections:
            address = urlsplit(self._targets[place].url)
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, address.hostname or "", address.port or 80
            )
            self._connections[place] = connection
        return self._connections[place]


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
    """Read a plan as JSON from stdin, carry it out, and write the report as JSON to stdout."""
    told = orjson.loads(sys.stdin.buffer.read())
    targets = [Target(**target) for target in told.pop("targets")]
    gc.freeze()
    gc.disable()  # its pauses would be taken for the server's
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(drive(Plan(targets=targets, **told)))
    sys.stdout.buffer.write(orjson.dumps(report))


if __name__ == "__main__":
    main()
