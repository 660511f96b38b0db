"""The grid of `benchmarks.routing` as a figure.

    python -m benchmarks.routing_plots benchmarks/results/routing.json

draws it beside the results. Needs the study extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from benchmarks.plots import QUIET, Picture, drawn, house_style, new_figure
from benchmarks.simulation import WAYS

Row = Mapping[str, Any]

COLOURS = {"workbench": "#0072B2", "round robin": "#D55E00", "sticky": "#009E73", "greedy": "#E69F00"}


def time_to_first_token(rows: Sequence[Row]) -> Picture:
    """Mean TTFT of every way at every place of the grid, one panel a set of rows; the line goes up to the p95."""
    names = list(dict.fromkeys(row["about"].partition(":")[0] for row in rows))
    with house_style():
        figure, axes = new_figure(1, len(names), size=(6.5 * len(names), 6.5))
        for axis, name in zip([axes] if len(names) == 1 else axes, names, strict=True):
            places = [row for row in rows if row["about"].startswith(f"{name}:")][::-1]
            for place, row in enumerate(places):
                for number, way in enumerate(WAYS):
                    y, more = place + 0.3 - 0.2 * number, row["more"]
                    ends = [more[f"{way} mean_s"], more[f"{way} p95_s"]]
                    axis.plot(ends, [y, y], color=COLOURS[way], linewidth=2)
                    axis.plot(
                        ends[0], y, "o", color=COLOURS[way], label=way if place == 0 and name == names[0] else None
                    )
            axis.set_yticks(range(len(places)), [_place(row) for row in places])
            axis.set(
                xscale="log", title=f"sessions in {name}", xlabel="seconds to the first token: mean, and up to the p95"
            )
            axis.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=len(WAYS), labelcolor=QUIET)
        return drawn(figure)


def _place(row: Row) -> str:
    return f"{row['more']['sessions']:g} sessions, {row['more']['slots']:g} slots"


def main(results: Annotated[Path, typer.Argument(help="What `benchmarks.routing` wrote.")]) -> None:
    """Draw the grid beside the results."""
    rows = [row for row in orjson.loads(results.read_bytes()) if "slots" in row["more"]]
    path = results.with_suffix(".png")
    path.write_bytes(time_to_first_token(rows).png)
    typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
