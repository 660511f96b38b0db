"""Many times in little memory: counts in buckets whose width grows with the value, as in HdrHistogram.

Every value is known to within 0.1 %, whatever its size, and histograms of several processes add up (log-linear buckets,
after Gil Tene's HdrHistogram).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

RESOLUTION = 1024
"""Buckets for each doubling of the value: no value is told more than 0.1 % too high."""

LEAST = 1e-6
"""What is smaller counts as this."""

PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)


class Histogram:
    """How often each value came."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._counts: Counter[int] = Counter()
        self._most = -math.inf
        self.add(values)

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, values: Iterable[float]) -> None:
        """Count these, none of which is NaN."""
        for value in values:
            self._counts[_bucket(value)] += 1
            self._most = max(self._most, value)

    def merge(self, other: Histogram) -> None:
        """Count what the other counted too."""
        self._counts.update(other._counts)
        self._most = max(self._most, other._most)

    def percentile(self, percent: float) -> float:
        """The nearest-rank percentile: exact, or up to 0.1 % above it; NaN of nothing."""
        rank = max(1, math.ceil(len(self) * percent / 100))
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank <= 0:
                return min(_top(bucket), self._most)
        return math.nan

    def percentiles(self, percents: Iterable[float] = PERCENTS) -> dict[str, float]:
        """``p50``, ``p99.9``, …, ``max``; only those that so few values can tell apart from the largest."""
        told = {f"p{percent:g}": self.percentile(percent) for percent in percents if self._tells(percent)}
        return told | ({"max": self._most} if len(self) else {})

    def _tells(self, percent: float) -> bool:
        return percent < 100 and round(len(self) * (100 - percent) / 100, 6) >= 1


def _bucket(value: float) -> int:
    mantissa, exponent = math.frexp(max(value, LEAST))  # mantissa in [0.5, 1)
    return exponent * RESOLUTION + int((mantissa * 2 - 1) * RESOLUTION)


def _top(bucket: int) -> float:
    """The upper end of a bucket."""
    exponent, place = divmod(bucket, RESOLUTION)
    return math.ldexp((1 + (place + 1) / RESOLUTION) / 2, exponent)
