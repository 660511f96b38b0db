"""The one figure of the comparison: right answers against wrong ones, and what a miss costs more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.tables import Document
from benchmarks.plots import DIFFERENT, QUIET, SAME, Picture, drawn, house_style, new_figure

OURS = "ours"


def served_and_added(found: Document) -> Picture:
    """Left: of each cache what it serves at its default, rightly and wrongly. Right: of each proxy hit and miss."""
    rows = [row for row in found["rows"] if "name" in row]
    values = {(row["peer"], row["name"]): row["value"] for row in rows if row["value"] is not None}
    with house_style():
        figure, (left, right) = new_figure(1, 2, size=(13, 5.2))
        _bars(
            left,
            values,
            (("near_default", "near-repeats", SAME), ("paraphrase_default", "paraphrases", "#56B4E9"),
             ("trap_default", "traps (wrong)", DIFFERENT)),
        )  # fmt: skip
        left.set(xlabel="served at its default threshold, %", xlim=(0, 118))
        _bars(right, values, (("hit_p50", "exact hit", SAME), ("miss_added_total", "added to a miss", DIFFERENT)))
        right.set(xlabel="ms, p50")
        right.margins(x=0.18)
        return drawn(figure)


def _bars(axis: Any, values: dict[tuple[str, str], float], shown: Sequence[tuple[str, str, str]]) -> None:
    """A group of bars a peer, ours on top; no bar where there is no figure."""
    names = {name for name, _, _ in shown}
    peers = list(dict.fromkeys(peer for peer, name in values if name in names))[::-1]
    height = 0.8 / len(shown)
    for place, (name, about, colour) in enumerate(shown):
        for row, peer in enumerate(peers):
            y = row + 0.4 - height * (place + 0.5)
            if (value := values.get((peer, name))) is None:
                continue
            axis.barh(y, value, height * 0.92, color=colour)
            said = f" {value:.3g}" + (f"  {about}" if row == len(peers) - 1 else "")
            axis.text(max(value, 0), y, said, va="center", fontsize=11, color="black" if peer == OURS else QUIET)
    axis.set_yticks(range(len(peers)), peers)
    axis.grid(axis="y", visible=False)
