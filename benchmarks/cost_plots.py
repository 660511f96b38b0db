"""The figures of notebooks 03 and 04, in the house style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.costs import TARGET, Answer
from benchmarks.counterfactual import Replayed
from benchmarks.plots import DASHED, DIFFERENT, ON_WHITE, QUIET, SAME, Picture, drawn, house_style, new_figure
from benchmarks.replay import Share
from benchmarks.sensitivity import Swing, interval
from workbench.cache.risk import Floats

LOWEST = -100.0
"""Below this saving, in percent, a baseline is simply much cheaper: the axis ends, and a number tells."""
SAVED_AT, NEEDED_AT = 132, 205
"""Where the two columns of numbers end, on the axis of percents."""
SHOWN = 8
NAMES = {
    "hit_rate": "hit rate",
    "utilisation": "utilisation of a node",
    "prefix_reuse": "prefix in the node's cache",
    "prefill_tokens_per_s": "prefill, tokens/s",
    "decode_tokens_per_s": "decode, tokens/s",
    "output_tokens": "tokens of an answer",
    "write_tokens": "new tokens of a prompt",
    "read_tokens": "tokens of the prefix",
    "requests_per_month": "requests a month",
    "gpu_usd_per_h": "GPU, $ an hour",
    "boots_per_month": "boots a month",
    "down_usd_per_gb": "traffic, $ a GB",
}


def saved(found: Sequence[Answer]) -> Picture:
    """What is saved against each baseline, and which hit rate the target takes."""
    ranked = sorted(found, key=lambda each: each.saving)
    with house_style():
        figure, axis = new_figure(size=(11, 1.6 + 0.46 * len(ranked)))
        for row, each in enumerate(ranked):
            end = max(LOWEST, each.saving * 100)
            axis.barh(row, end, 0.62, color=SAME if each.saving >= 0 else DIFFERENT)
            axis.text(SAVED_AT, row, f"{each.saving:.0%}", va="center", ha="right", weight="bold")
            axis.text(NEEDED_AT, row, _needs(each), va="center", ha="right", color=QUIET)
        axis.axvline(TARGET * 100, **DASHED)
        top = len(ranked) - 0.35
        axis.text(TARGET * 100, top, f"{TARGET:.0%} ", ha="right", va="bottom")
        axis.text(SAVED_AT, top, "saved", ha="right", va="bottom", weight="bold")
        axis.text(NEEDED_AT, top, f"hit rate for {TARGET:.0%}", ha="right", va="bottom", color=QUIET)
        axis.set_yticks(range(len(ranked)), [f"{each.baseline.name} · {each.mode}" for each in ranked])
        axis.set(xlim=(min(0, max(LOWEST, ranked[0].saving * 100)), NEEDED_AT + 2), ylim=(-0.6, len(ranked) + 0.4))
        axis.set_xticks(np.arange(-100 if ranked[0].saving < 0 else 0, 101, 50))
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("saved of what the baseline costs, %", loc="left")
        return drawn(figure)


def _needs(answer: Answer) -> str:
    if answer.needed is None:
        return "out of reach"
    return "none needed" if answer.needed == 0 else f"{answer.needed:.0%}"


def how_sure(swings: Sequence[Swing], draws: Floats, *, base: float) -> Picture:
    """What hangs on each number, and the savings when all vary at once."""
    shown = list(reversed(swings[:SHOWN]))
    with house_style():
        figure, (left, right) = new_figure(1, 2, size=(13, 1.8 + 0.5 * len(shown)))
        for row, swing in enumerate(shown):
            for value, at in ((swing.low, swing.at_low), (swing.high, swing.at_high)):
                better = at >= base
                left.barh(row, (at - base) * 100, 0.6, left=base * 100, color=SAME if better else DIFFERENT)
                left.annotate(
                    f"{value:,.0f}" if value >= 100 else f"{value:g}",
                    (at * 100, row),
                    (5 if better else -5, 0),
                    textcoords="offset points",
                    va="center",
                    ha="left" if better else "right",
                    fontsize=11,
                    color=QUIET,
                )
        left.set_yticks(range(len(shown)), [NAMES[swing.name] for swing in shown])
        left.axvline(base * 100, color="black", linewidth=1)
        left.grid(axis="y", visible=False)
        left.margins(x=0.16)
        left.set(xlabel="saved, %")
        left.set_title("one number at a time, between the ends written")
        _draws(right, draws)
        return drawn(figure)


def _draws(axis: Any, draws: Floats) -> None:
    low, high = (end * 100 for end in interval(draws))
    middle = float(np.median(draws)) * 100
    axis.hist(np.clip(draws * 100, low - (high - low) * 0.2, None), bins=40, color=SAME, alpha=0.7)
    axis.axvspan(low, high, color=SAME, alpha=0.12, linewidth=0)
    axis.axvline(TARGET * 100, **DASHED)
    reached = float(np.mean(draws >= TARGET))
    said = f"95 %: {low:.0f} to {high:.0f} %\nmedian {middle:.0f} %\n≥ {TARGET:.0%} in {reached:.0%} of draws"
    axis.text(0.03, 0.97, said, transform=axis.transAxes, va="top", bbox=ON_WHITE)
    axis.set(xlabel="saved, %", ylabel=f"of {len(draws):,} draws")
    axis.set_title("all numbers at once")


# ── notebook 04 ─────────────────────────────────────────────────────────────────────────────────────────────


def where_from(parts: Sequence[Share], found: Sequence[Replayed]) -> Picture:
    """Which hits save what of the bill, with intervals over sessions; and why questions were not matched by meaning."""
    reasons = Counter(it.reason for it in found if it.kind == "question" and not it.is_hit).most_common(SHOWN)
    with house_style():
        figure, (left, right) = new_figure(1, 2, size=(13, 5.2))
        for row, part in enumerate(reversed(parts)):
            low, high = (end * 100 for end in part.interval)
            left.barh(row, part.value * 100, 0.6, color=SAME)
            left.plot([low, high], [row, row], color="black", linewidth=2)
            left.text(high, row, f"  {part.value:.1%}{' · few' if part.is_few else ''}", va="center", weight="bold")
        left.set_yticks(range(len(parts)), [part.name for part in reversed(parts)])
        left.set_xlim(0, max(1e-3, *(part.interval[1] * 135 for part in parts)))
        left.grid(axis="y", visible=False)
        left.set(xlabel="of the bill, %")
        left.set_title("saved, with 95 % over sessions")
        counts = [count for _, count in reversed(reasons)]
        right.barh(range(len(counts)), counts, 0.6, color="#999999")
        for row, count in enumerate(counts):
            right.text(count, row, f" {count:,}", va="center")
        right.set_yticks(range(len(counts)), [reason for reason, _ in reversed(reasons)])
        right.margins(x=0.2)
        right.grid(axis="y", visible=False)
        right.set(xlabel="questions")
        right.set_title("why no stored answer was served")
        return drawn(figure)
