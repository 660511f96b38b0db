"""The figures of notebook 02."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.latency import OUTCOMES, Outcome, Point
from benchmarks.latency_verdict import HIT_MS
from benchmarks.plots import DASHED, ON_WHITE, QUIET, Picture, drawn, house_style, new_figure

COLOURS: dict[Outcome, str] = {"exact": "#0072B2", "semantic": "#009E73", "miss": "#D55E00"}
NAMES: dict[Outcome, str] = {"exact": "exact hit", "semantic": "semantic hit", "miss": "miss, added"}
SWEPT = {
    "body size": "size of the request, KB",
    "question length": "length of the question, words",
    "entries stored": "entries stored",
    "clients": "clients at once",
}
STAGES = {
    "parse": ("read the body", "#999999"),
    "question": ("canonical form", "#56B4E9"),
    "exact": ("exact look-up", "#0072B2"),
    "embed": ("embed", "#009E73"),
    "search": ("search", "#E69F00"),
    "decide": ("decide", "#D55E00"),
    "replay": ("replay", "#CC79A7"),
    "first_byte": ("wait for upstream", "#DDDDDD"),
}
LEAST_MS = 0.1
BAND = 95
CHARACTER = 0.0095
"""About as wide is a letter in a bar, as a share of the longest bar."""


def sweeps(points: Sequence[Point]) -> Picture:
    """The median of each kind as one thing after the other grows, with its interval; above it, up to the p95."""
    slowest = max(point.percentile(50).value for point in points if len(point.times_ms))
    with house_style():
        figure, axes = new_figure(2, 2, size=(11, 8.2))
        for axis, (dimension, label) in zip(axes.flat, SWEPT.items(), strict=True):
            _sweep(axis, [point for point in points if point.dimension == dimension], label, slowest=slowest)
        for row in axes:
            row[0].set_ylabel("milliseconds")
        return drawn(figure)


def _sweep(axis: Any, points: Sequence[Point], label: str, *, slowest: float) -> None:
    settings = sorted({(point.at, point.setting) for point in points})
    places = {at: place for place, (at, _) in enumerate(settings)}
    ends: dict[Outcome, tuple[float, float]] = {}
    for outcome in OUTCOMES:
        mine = sorted((point for point in points if point.outcome == outcome and len(point.times_ms)), key=_at)
        if not mine:
            continue
        x, colour = [places[point.at] for point in mine], COLOURS[outcome]
        middle = [max(LEAST_MS, point.percentile(50).value) for point in mine]
        upper = [max(LEAST_MS, point.percentile(BAND).value) for point in mine]
        axis.fill_between(x, middle, np.maximum(middle, upper), color=colour, alpha=0.15, linewidth=0)
        axis.errorbar(x, middle, _bars(mine, middle), color=colour, marker="o", capsize=4)
        ends[outcome] = (x[-1], middle[-1])
    axis.set_yscale("log")
    axis.set(xlim=(-0.25, len(settings) - 0.4), ylim=(LEAST_MS, max(4 * HIT_MS, 2 * slowest)), xlabel=label)
    axis.set_xticks(range(len(settings)), [name.removesuffix(" KB").removesuffix(" words") for _, name in settings])
    axis.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axis.minorticks_off()
    axis.axhline(HIT_MS, **DASHED)
    axis.text(-0.2, HIT_MS * 1.1, f"{HIT_MS:g} ms, target of every hit", va="bottom", fontsize=12)
    _names(axis, ends)


def _at(point: Point) -> float:
    return point.at


def _bars(points: Sequence[Point], middle: Sequence[float]) -> Any:
    """(2, n): how far each interval reaches below and above; nothing where too few samples give none."""
    estimates = [point.percentile(50) for point in points]
    low = [at if each.low is None else max(LEAST_MS, each.low) for each, at in zip(estimates, middle, strict=True)]
    high = [at if each.high is None else each.high for each, at in zip(estimates, middle, strict=True)]
    return np.maximum(0, [np.subtract(middle, low), np.subtract(high, middle)])


def _names(axis: Any, ends: Mapping[Outcome, tuple[float, float]]) -> None:
    """Names beside the last points, moved apart where they would meet on the logarithmic axis."""
    place, last = 0.0, max((x for x, _ in ends.values()), default=0.0)
    for outcome, (x, y) in sorted(ends.items(), key=lambda each: each[1][1]):
        is_last = x == last
        place = max(y, place * 1.75) if is_last else y
        axis.annotate(
            NAMES[outcome], (x, place), (9, 0) if is_last else (0, 24), textcoords="offset points",
            ha="left" if is_last else "center", va="center", color=COLOURS[outcome], weight="bold", fontsize=12,
            annotation_clip=False, bbox=ON_WHITE,
        )  # fmt: skip


def stages(points: Sequence[Point]) -> Picture:
    """Where each kind's milliseconds go inside the proxy, by the medians of its own account."""
    rows = [point for point in points if point.dimension == "clients" and point.at == 1]
    rows += [point for point in points if point.dimension == "body size" and point.outcome == "miss"][:1]
    with house_style():
        figure, axis = new_figure(size=(11, 1.9 + 0.85 * len(rows)))
        longest = max(sum(point.stages_ms.values()) for point in rows)
        for place, point in enumerate(reversed(rows)):
            _stacked(axis, place, point, longest)
        names = [_row_name(point) for point in reversed(rows)]
        axis.set_yticks(range(len(rows)), names)
        axis.set(xlim=(0, longest * 1.08), ylim=(-0.6, len(rows) - 0.4))
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("milliseconds inside the proxy, median of each step")
        used = [stage for stage in STAGES if any(stage in point.stages_ms for point in rows)]
        handles = [axis.barh(0, 0, color=STAGES[stage][1], label=STAGES[stage][0]) for stage in used]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(used)), fontsize=12)
        return drawn(figure)


def _stacked(axis: Any, place: int, point: Point, longest: float) -> None:
    left = 0.0
    for stage, (name, colour) in STAGES.items():
        width = point.stages_ms.get(stage, 0.0)
        axis.barh(place, width, 0.6, left=left, color=colour, edgecolor="white", linewidth=0.5)
        if width > longest * max(0.05, len(name) * CHARACTER):
            dark = colour in ("#0072B2", "#009E73", "#D55E00")
            axis.text(
                left + width / 2, place, f"{name}\n{width:.1f}", ha="center", va="center", fontsize=11,
                color="white" if dark else "black",
            )  # fmt: skip
        left += width
    axis.text(left, place, f" {left:.1f} ms", va="center", color=QUIET)


def _row_name(point: Point) -> str:
    if point.dimension == "body size":
        return "miss, nothing\nto compare with"
    return {"exact": "exact hit", "semantic": "semantic hit", "miss": "miss, compared"}[point.outcome]


def stores(points: Sequence[Point]) -> Picture:
    """The same requests with one store after the other: median with its interval, and the 95th percentile."""
    mine = [point for point in points if point.dimension == "store" and len(point.times_ms)]
    names = list(dict.fromkeys(point.setting for point in sorted(mine, key=_at)))
    with house_style():
        figure, axis = new_figure(size=(9.4, 2.2 + 0.9 * len(names)))
        for point in mine:
            place = (
                len(names)
                - 1
                - names.index(point.setting)
                + {"exact": 0.25, "semantic": 0, "miss": -0.25}[point.outcome]
            )
            middle, upper = point.percentile(50), point.percentile(BAND)
            colour = COLOURS[point.outcome]
            axis.plot(
                [middle.value, max(middle.value, upper.value)], [place, place], color=colour, linewidth=3, alpha=0.4
            )
            if middle.low is not None and middle.high is not None:
                axis.plot(
                    [max(LEAST_MS, middle.low), middle.high], [place, place], color=colour, linewidth=7, alpha=0.6
                )
            axis.plot(max(LEAST_MS, middle.value), place, "o", color=colour, markersize=8)
            said = f"{NAMES[point.outcome]} {middle.value:.1f}"
            axis.annotate(
                said, (max(middle.value, upper.value, LEAST_MS), place), (8, 0), textcoords="offset points",
                va="center", color=colour, fontsize=12, bbox=ON_WHITE,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set(xlim=(LEAST_MS, 4 * HIT_MS), ylim=(-0.6, len(names) - 0.4))
        axis.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axis.minorticks_off()
        axis.set_yticks(range(len(names)), list(reversed(names)))
        axis.grid(axis="y", visible=False)
        axis.axvline(HIT_MS, **DASHED, zorder=0)
        axis.set_xlabel("milliseconds: median with its interval, line to the 95th percentile")
        return drawn(figure)
