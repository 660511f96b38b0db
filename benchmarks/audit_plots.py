"""The audit's simulations as figures; the rows are those of `benchmarks.audit_simulation`.

    python -m benchmarks.audit_plots benchmarks/results/audit.json

draws them beside the results. Needs the study extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer

from benchmarks.plots import DASHED, DIFFERENT, QUIET, SAME, Picture, drawn, end_labels, house_style, new_figure

Row = Mapping[str, Any]

ENDS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00")


def wrongs_until_closed(rows: Sequence[Row], *, most: int = 30) -> Picture:
    """Wrong answers served between a jump of the false-hit rate and the closing: median to 95th percentile a row."""
    with house_style():
        figure, axis = new_figure(size=(12.5, 1.7 + 0.42 * len(rows)))
        for place, row in enumerate(reversed(rows)):
            colour = SAME if row["within_30"] >= 0.95 else DIFFERENT
            axis.plot([row["p50"], row["p95"]], [place, place], color=colour, linewidth=4, solid_capstyle="butt")
            axis.plot(row["p50"], place, "o", color=colour, markersize=9)
            said = f"{row['p50']:.0f} to {row['p95']:.0f}, {row['within_30']:.1%} of runs ≤ {most}"
            _beside(axis, place, said, colour)
        axis.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)])
        axis.set(ylim=(-0.7, len(rows) - 0.3), xlim=(0, 1.05 * max(row["p95"] for row in rows)))
        axis.grid(axis="y", visible=False)
        axis.axvline(most, **DASHED)
        axis.text(most, 1, f" at most {most}", transform=axis.get_xaxis_transform(), va="bottom")
        jump = rows[0]
        axis.set_xlabel(
            f"wrong answers from the jump ({jump['before']:.1%} to {jump['after']:.0%} false)\nuntil it is closed, "
            "median to 95th percentile"
        )
        return drawn(figure)


def falsely_closed(rows: Sequence[Row], *, most: float = 0.05) -> Picture:
    """The share of runs that were closed although the rate never changed, up to its bound at 95 %."""
    with house_style():
        figure, axis = new_figure(size=(12.5, 1.9 + 0.6 * len(rows)))
        for place, row in enumerate(reversed(rows)):
            share, bound = row["closed_share"] * 100, row["closed_share_at_most"] * 100
            axis.plot([share, bound], [place, place], color=SAME, linewidth=4, solid_capstyle="butt")
            axis.plot(share, place, "o", color=SAME, markersize=9, clip_on=False)
            said = f"{row['closed']} of {row['runs']:,} runs, {row['audited_share']:.1%} of hits audited"
            _beside(axis, place, said, SAME)
        axis.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)])
        axis.set(ylim=(-0.7, len(rows) - 0.3), xlim=(0, 1.2 * most * 100))
        axis.grid(axis="y", visible=False)
        axis.axvline(most * 100, **DASHED)
        axis.text(most * 100, 1, f" at most {most:.0%}", transform=axis.get_xaxis_transform(), va="bottom")
        axis.set_xlabel(f"runs of {rows[0]['hits']:,} hits that were falsely closed, %,\nand its bound at 95 %")
        return drawn(figure)


def shadow_opens(rows: Sequence[Row]) -> Picture:
    """The share of runs in which shadow mode has opened by itself after so many lookups, a line a false-hit rate."""
    with house_style():
        figure, axis = new_figure(size=(9.4, 4.8))
        shut = {}
        for row, colour in zip(rows, ENDS, strict=False):
            lookups, share = np.array(row["opened_by"]).T
            axis.plot(lookups, share * 100, color=colour)
            if share[-1] < 0.5:
                shut[f"{row['rate']:.1%}"] = (float(share[-1] * 100), colour)
            else:
                _at_half(axis, lookups, share * 100, f"{row['rate']:.1%}", colour)
        axis.set_xscale("log")
        axis.set(xlim=(lookups[0], lookups[-1]), ylim=(-2, 104))
        end_labels(axis, shut)
        axis.set(xlabel="lookups seen in shadow", ylabel="runs that have opened, %")
        axis.set_title("false hits ÷ lookups, were it open", color=QUIET, weight="normal")
        return drawn(figure)


def _at_half(axis: Any, x: Any, y: Any, said: str, colour: str) -> None:
    """Beside the middle of a rising line: below it, or left of it where it rises at once."""
    place = int(np.argmax(y >= 50))
    steep = y[place] > 95
    axis.text(
        x[place], 50 if steep else y[place] - 2, f"{said}   " if steep else f" {said}", color=colour, weight="bold"
    )
    axis.texts[-1].set(ha="right" if steep else "left", va="center" if steep else "top")


def _beside(axis: Any, row: int, said: str, colour: str) -> None:
    axis.text(1.01, row, said, transform=axis.get_yaxis_transform(), va="center", color=colour)


def main(results: Annotated[Path, typer.Argument(help="What `benchmarks.audit_simulation` wrote.")]) -> None:
    """Draw all three figures beside the results."""
    found = orjson.loads(results.read_bytes())
    for name, draw in (("jump", wrongs_until_closed), ("steady", falsely_closed), ("shadow", shadow_opens)):
        path = results.with_name(f"{results.stem}-{name}.png")
        path.write_bytes(draw(found[name]).png)
        typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
