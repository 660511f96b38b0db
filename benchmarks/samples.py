"""What a load client is told to ask, and what it saw."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


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

    The first `warmup` answers are not reported. Without `rate_per_s` the loop is closed: each of the `connections` asks
    again when it has its answer. With it the loop is open: so many requests a second are due, whatever comes back, and
    `connections` is how many can be in the air. `tokens` asks for the times of the deltas of streams.
    """

    targets: list[Target]
    bodies: list[str]
    requests: list[tuple[int, int]]
    connections: int = 1
    warmup: int = 0
    limit_s: float = 120.0
    rate_per_s: float = 0.0
    tokens: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are seconds on the machine's monotonic clock, `first_s` that of the body's first byte.

    `started_s` is when the request was due: in an open loop that is the schedule's time, so that a request that had to
    wait for an earlier one counts its wait (no coordinated omission); `sent_s` is when it went out. `error` is empty
    when a whole answer came; `cache` is the ``x-cache`` header, or "" where there is none. `first_delta_s` is when the
    first delta of a stream came (0: none was looked for, or none came), `gaps_ms` the times between one and the next.
    """

    target: str
    started_s: float
    first_s: float
    ended_s: float
    status: int = 0
    cache: str = ""
    timing: str = ""
    error: str = ""
    sent_s: float = 0.0
    first_delta_s: float = 0.0
    gaps_ms: list[float] = field(default_factory=list)

    @property
    def ttft_ms(self) -> float | None:
        """Time to the first delta of a stream."""
        return (self.first_delta_s - self.started_s) * 1e3 if self.first_delta_s else None

    @property
    def late_ms(self) -> float:
        """How long it waited for a free connection, and for the client itself."""
        return max(0.0, self.sent_s - self.started_s) * 1e3

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
