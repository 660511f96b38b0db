"""The figures that notebooks show, in the house style: direct labels, units, intervals, colours for everyone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bootstrap import curve_band
from benchmarks.compile_embedder import study_module
from benchmarks.judging import STAGE_NAMES, Point, SlotCount
from benchmarks.lookups import Stage, curve
from workbench.cache.risk import Floats, Lookups

STYLE = Path(__file__).parent / "house.mplstyle"
PALETTE = 64
"""Colours of a stored picture: a quarter of the bytes of one with all, and the eye sees no difference."""

SAME, DIFFERENT, QUIET = "#0072B2", "#D55E00", "#666666"
STAGE_COLOURS: dict[Stage, str] = {
    "cosine": "#666666",
    "guards": "#E69F00",
    "score": "#009E73",
    "verifier": "#0072B2",
}
DASHED = {"color": "black", "linewidth": 1.4, "linestyle": (0, (5, 3))}
ON_WHITE = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure, which a notebook shows by itself."""

    png: bytes = field(repr=False)

    def _repr_png_(self) -> bytes:
        return self.png


@contextmanager
def house_style() -> Iterator[None]:
    """What is drawn inside looks like the house; raises `ConfigurationError` without matplotlib."""
    with study_module("matplotlib.style").context(STYLE):
        yield


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure (width and height in inches) and its axes, known to nobody else. Any: the library may be absent."""
    figure = study_module("matplotlib.figure").Figure(figsize=size)
    return figure, figure.subplots(rows, columns)


def drawn(figure: Any) -> Picture:
    """The figure as a small PNG."""
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png")
    image = study_module("PIL.Image").open(full).convert("RGB")
    image.quantize(PALETTE, dither=0).save(small, format="png", optimize=True)
    return Picture(small.getvalue())


# ── notebook 01 ─────────────────────────────────────────────────────────────────────────────────────────────


def distributions(panels: Mapping[str, Floats], *, same: npt.NDArray[np.bool_], cuts: Mapping[str, float]) -> Picture:
    """What each panel's value says of lookups that have a right answer and of traps.

    `panels` name (n,) values, infinite where another stage decides; `same` (n,); `cuts` the cut of a panel.
    """
    with house_style():
        figure, axes = new_figure(1, len(panels), size=(11, 4.6))
        for axis, (name, values) in zip(np.atleast_1d(axes), panels.items(), strict=True):
            _distribution(axis, name, values, same)
            if name in cuts and np.isfinite(cuts[name]):
                axis.axvline(cuts[name], **DASHED)
                axis.text(cuts[name], axis.get_ylim()[1] * 0.55, " cut", bbox=ON_WHITE)
        np.atleast_1d(axes)[0].set_ylabel("share of these lookups, %")
        return drawn(figure)


def _distribution(axis: Any, name: str, values: Floats, same: npt.NDArray[np.bool_]) -> None:
    seen = values[np.isfinite(values)]
    edges = np.linspace(np.quantile(seen, 0.002), np.quantile(seen, 0.998), 33)
    for mask, colour, label, x, side in (
        (same, SAME, "same answer", 0.98, "right"),
        (~same, DIFFERENT, "traps", 0.02, "left"),
    ):
        inside = np.clip(values[mask & np.isfinite(values)], edges[0], edges[-1])
        share = np.histogram(inside, edges)[0] / max(1, mask.sum()) * 100
        axis.stairs(share, edges, color=colour, fill=True, alpha=0.25)
        axis.stairs(share, edges, color=colour, linewidth=2)
        before = np.mean(np.isneginf(values[mask])) * 100
        more = f"\n{before:.0f} % refused\nbefore" if np.isneginf(values).any() else ""
        axis.text(x, 0.98, label + more, color=colour, ha=side, va="top", transform=axis.transAxes, weight="bold")
    axis.set_ylim(0, axis.get_ylim()[1] * 1.35)
    axis.set_xlabel(name)


def rate_curves(
    stages: Mapping[Stage, Lookups], *, alpha: float, chosen: Point | None = None, seed: int = 0
) -> Picture:
    """Right hits against false hits as the cut moves, one line a stage, with bands at 95 % over families."""
    rates = np.linspace(0, 4 * alpha, 161)
    with house_style():
        figure, axis = new_figure(size=(9.4, 5.4))
        ends = {}
        for stage, lookups in stages.items():
            colour, best = STAGE_COLOURS[stage], _best_at(lookups, rates) * 100
            low, high = curve_band(lookups, rates, seed=seed, resamples=300)
            axis.fill_between(rates * 100, low * 100, high * 100, color=colour, alpha=0.15, linewidth=0)
            axis.plot(rates * 100, best, color=colour)
            ends[STAGE_NAMES[stage]] = (float(best[-1]), colour)
        axis.set(xlim=(0, 4 * alpha * 100), ylim=(0, axis.get_ylim()[1]))
        _budget_line(axis, alpha)
        end_labels(axis, ends)
        if chosen:
            _mark(axis, chosen)
        axis.set(xlabel="false hits ÷ lookups, %", ylabel="right hits ÷ lookups, %")
        return drawn(figure)


def _mark(axis: Any, chosen: Point) -> None:
    place = (chosen.false * 100, chosen.right * 100)
    axis.plot(*place, "o", color="black", markersize=10, zorder=5)
    said = f"chosen: {chosen.right:.1%} right\nat {chosen.false:.2%} false"
    line = {"arrowstyle": "-", "shrinkB": 6}
    axis.annotate(said, place, (0.6, 0.06), textcoords="axes fraction", va="bottom", arrowprops=line, bbox=ON_WHITE)


def _budget_line(axis: Any, alpha: float) -> None:
    axis.axvline(alpha * 100, **DASHED)
    axis.text(alpha * 100, 1.0, f" budget {alpha:.2%}", transform=axis.get_xaxis_transform(), va="bottom")


def _best_at(lookups: Lookups, rates: Floats) -> Floats:
    _, false, right = curve(lookups)
    best = np.concatenate([[0.0], np.maximum.accumulate(right)])
    return np.asarray(best[np.searchsorted(false, rates, side="right")], np.float64)


def end_labels(axis: Any, ends: Mapping[str, tuple[float, str]]) -> None:
    """Names at the right ends of the lines, moved apart where they would meet."""
    (_, right), (_, top), place = axis.get_xlim(), axis.get_ylim(), -np.inf
    for name, (y, colour) in sorted(ends.items(), key=lambda each: each[1][0]):
        place = max(y, place + top * 0.065)
        axis.text(right, place, f"  {name}", color=colour, va="center", weight="bold")


def traps_through(counts: Sequence[SlotCount]) -> Picture:
    """Which traps are still served, by what differs in them; behind it, what the cosine alone serves."""
    ranked = sorted(counts, key=lambda each: (each.served / each.of, each.by_cosine / each.of))
    shown = [each for each in ranked if each.served or each.by_cosine]
    ends = [max(each.served, each.by_cosine) / each.of * 100 for each in shown]
    with house_style():
        figure, axis = new_figure(size=(9.4, 2.0 + 0.36 * len(shown)))
        axis.barh(range(len(shown)), [each.by_cosine / each.of * 100 for each in shown], 0.8, color="#D9D9D9")
        axis.barh(range(len(shown)), [each.served / each.of * 100 for each in shown], 0.42, color=DIFFERENT)
        for row, (each, end) in enumerate(zip(shown, ends, strict=True)):
            own = axis.annotate(f"{each.served}", (end, row), (6, 0), textcoords="offset points", va="center")
            own.set(color=DIFFERENT, weight="bold")
            said = f"/ {each.by_cosine} of {each.of}"
            axis.annotate(said, (1, 0.5), (5, 0), xycoords=own, textcoords="offset points", va="center", color=QUIET)
        axis.set_yticks(range(len(shown)), [each.slot for each in shown])
        axis.set(ylim=(-0.7, len(shown) - 0.3), xlim=(0, 1.25 * max([1.0, *ends])))
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("traps served, % of those that differ in this slot")
        axis.text(1, 0.02, _never_served(ranked), transform=axis.transAxes, color=QUIET, ha="right", bbox=ON_WHITE)
        axis.set_title("served by the decision", color=DIFFERENT)
        axis.set_title("by the cosine alone, at as many right hits", color=QUIET, loc="right", weight="normal")
        return drawn(figure)


def _never_served(counts: Sequence[SlotCount]) -> str:
    absent = [each for each in counts if not (each.served or each.by_cosine)]
    traps = sum(each.of for each in absent)
    return f"{len(absent)} more slots with {traps} traps:\nnone served by either" if absent else ""


def budget_curves(bought: Mapping[Stage, Sequence[tuple[float, float]]], *, alpha: float) -> Picture:
    """The right hits that each budget buys when it is kept with 95 % confidence: (alpha, rate) points a stage."""
    with house_style():
        figure, axis = new_figure(size=(9.4, 4.8))
        ends = {}
        for stage, points in bought.items():
            x, y = np.array(points).T * 100
            axis.plot(x, y, color=STAGE_COLOURS[stage], marker="o", markersize=6)
            ends[STAGE_NAMES[stage]] = (float(y[-1]), STAGE_COLOURS[stage])
        axis.set_xscale("log")
        ticks = sorted({point[0] * 100 for points in bought.values() for point in points})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set(xlim=(ticks[0], ticks[-1]), ylim=(0, axis.get_ylim()[1]))
        _budget_line(axis, alpha)
        end_labels(axis, ends)
        axis.set(xlabel="budget: false hits ÷ lookups, at most, %", ylabel="right hits ÷ lookups, %")
        return drawn(figure)
