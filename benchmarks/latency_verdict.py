"""What notebook 02 concludes from its points: a table, and figures against their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import orjson

from benchmarks.comparing import Estimate
from benchmarks.figures import ROOT, this_run
from benchmarks.judging import Table
from benchmarks.latency import Dimension, Outcome, Point

HIT_MS = 100.0
"""What every hit of a lone client must keep below: the median always, the 95th percentile on a machine of its own."""

ENOUGH = {50: 10, 95: 20, 99: 100}
"""Samples below which a percentile is not told."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of the project: of which points, at which percentile, in milliseconds. As `benchmarks.bench` has them."""

    name: str
    dimension: Dimension
    setting: str
    outcome: Outcome
    percent: int
    limit_ms: float


GOALS = (
    Goal("exact hit, 2 KB: p50", "body size", "2 KB", "exact", 50, 2),
    Goal("exact hit, 2 KB: p99", "body size", "2 KB", "exact", 99, 8),
    Goal("exact hit, 49 KB of Claude Code: p50", "body size", "49 KB", "exact", 50, 4),
    Goal("semantic hit: p50", "clients", "1", "semantic", 50, 7),
    Goal("semantic hit: p99", "clients", "1", "semantic", 99, 20),
    Goal("miss without candidates: added to the first byte, p50", "body size", "2 KB", "miss", 50, 3),
    Goal("miss among candidates: added to the first byte, p50", "clients", "1", "miss", 50, 3),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure against its bound; `reached` is None when too few samples tell it."""

    name: str
    estimate: Estimate
    samples: int
    percent: int
    limit_ms: float
    reached: bool | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All figures, and what went otherwise than expected."""

    judged: tuple[Judged, ...]
    failures: tuple[str, ...]

    @property
    def slow_hits(self) -> list[str]:
        """The hits whose median is above `HIT_MS`, or that hardly came at all."""
        return [each.name for each in self.judged if (each.limit_ms, each.percent) == (HIT_MS, 50) and not each.reached]

    @property
    def missed(self) -> list[str]:
        """The figures that do not keep their bound, or that too few samples tell."""
        return [each.name for each in self.judged if not each.reached]


def judge(points: Sequence[Point]) -> Verdict:
    """Hold the points against the project's targets."""
    judged = [_judge(goal.name, found, goal.percent, goal.limit_ms) for goal in GOALS for found in _of(goal, points)]
    judged += [
        _judge(f"{point.outcome} hit, {point.dimension} {point.setting}: p{percent}", point, percent, HIT_MS)
        for percent in (50, 95)
        for point in points
        if point.outcome != "miss" and not (point.dimension == "clients" and point.at > 1)
    ]
    failures = [
        f"{point.dimension} {point.setting}, {point.outcome}: {count} × {what}"
        for point in points
        for what, count in point.failed.items()
    ]
    return Verdict(tuple(judged), tuple(failures))


def _of(goal: Goal, points: Sequence[Point]) -> list[Point]:
    kind = (goal.dimension, goal.setting, goal.outcome)
    return [point for point in points if (point.dimension, point.setting, point.outcome) == kind]


def _judge(name: str, point: Point, percent: int, limit_ms: float) -> Judged:
    estimate, samples = point.percentile(percent), len(point.times_ms)
    enough = samples >= ENOUGH[percent]
    return Judged(name, estimate, samples, percent, limit_ms, estimate.value <= limit_ms if enough else None)


def table(points: Sequence[Point]) -> Table:
    """One row a point: median and 95th percentile in milliseconds, with the interval of the median."""
    order = {dimension: place for place, dimension in enumerate(get_args(Dimension))}
    rows = [
        (
            f"{point.dimension}: {point.setting}",
            point.outcome,
            _told(point, 50, with_interval=True),
            _told(point, 95),
            str(len(point.times_ms)),
        )
        for point in sorted(points, key=lambda point: order[point.dimension])
    ]
    return Table(("", "", "median, ms (95 % interval)", "p95, ms", "requests"), tuple(rows))


def _told(point: Point, percent: int, *, with_interval: bool = False) -> str:
    if len(point.times_ms) < ENOUGH[percent]:
        return f"too few ({len(point.times_ms)})"
    estimate = point.percentile(percent)
    said = f"{estimate.value:.2f}"
    if not with_interval or estimate.low is None or estimate.high is None:
        return said
    return f"{said} ({estimate.low:.2f} to {estimate.high:.2f})"


def goal_table(verdict: Verdict) -> Table:
    """The project's own targets; of those of every hit only the worst."""
    hits = [[each for each in verdict.judged if (each.limit_ms, each.percent) == (HIT_MS, of)] for of in (50, 95)]
    worst = [max(each, key=_slowness) for each in hits]
    shown = [each for each in verdict.judged if each.limit_ms != HIT_MS] + worst
    rows = [
        (
            f"slowest of all hits: {each.name}" if each in worst else each.name,
            f"{each.estimate.value:.2f}",
            f"≤ {each.limit_ms:g}",
            {True: "✓", False: "✗", None: f"too few ({each.samples})"}[each.reached],
        )
        for each in shown
    ]
    return Table(("figure", "measured, ms", "target, ms", ""), tuple(rows))


def _slowness(each: Judged) -> float:
    """A figure that nothing tells is slower than any."""
    return math.inf if math.isnan(each.estimate.value) else each.estimate.value


def write(verdict: Verdict, points: Sequence[Point], output: str = "") -> Path:
    """Write verdict.json and all samples (points.json) into this folder, `runs/02_cache_latency` when empty."""
    folder = Path(output) if output else ROOT / "runs" / "02_cache_latency"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "points.json").write_bytes(orjson.dumps(list(points)))
    told = {
        "targets_missed": verdict.missed,
        "failures": verdict.failures,
        "figures": [_figure(each) for each in verdict.judged],
        "medians": [
            {"name": f"{point.dimension} {point.setting}, {point.outcome}"} | _estimate(point.percentile(50))
            for point in points
        ],
        **this_run(),
    }
    (folder / "verdict.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    return folder


def _figure(each: Judged) -> dict[str, Any]:
    about = {"samples": each.samples, "reached": each.reached, "target": f"≤ {each.limit_ms:g}"}
    return {"name": each.name} | _estimate(each.estimate) | about


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """Numbers for JSON, which has no NaN."""
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if end is None or math.isnan(end) else round(end, 3) for name, end in ends.items()} | {
        "unit": "ms"
    }
