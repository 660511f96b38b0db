"""How the time to the first token depends on where requests go: a grid of KV slots and sessions, on virtual time.

    python -m benchmarks.routing                 # writes results/routing.json, and the README's table from it
    python -m benchmarks.routing_plots FILE      # draws it; needs the study extra

The dispatcher is the one that serves. Other ways to route, in the same runs: round robin; pure sticky sessions, spread
evenly; and the greedy choice of the soonest first token with full knowledge of every Thinker's KV memory and work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from benchmarks.figures import README, ROOT, Figure, Target, markdown, print_table, put_between_marks, save, this_run
from benchmarks.load import percentile
from benchmarks.simulation import WAYS, Outcome, Simulation, Way, Work

RESULTS = ROOT / "benchmarks" / "results" / "routing.json"
SLOTS, SESSIONS, THINKERS = (1, 4, 16), (8, 16, 64), 4
SHARED = {"own folders": 1_500, "one folder": 11_000}
"""What sessions share of the system prompt: each in a folder of its own, and all in the same."""

Measure = str
MEASURES = ("mean", "p95")


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one place in the grid, each way, one outcome a seed."""

    work: Work
    outcomes: dict[Way, list[Outcome]]

    @property
    def has_slots(self) -> bool:
        """Whether all sessions fit, at least four a Thinker: there routing can show what it is worth."""
        return 4 * self.work.thinkers <= self.work.sessions <= self.work.slots * self.work.thinkers

    def ttft_s(self, way: Way, measure: Measure) -> float:
        """Of the requests of all seeds together: a p95 of a few hundred is mostly luck."""
        return _measured([value for outcome in self.outcomes[way] for value in outcome.ttft_s], measure)

    def gain(self, measure: Measure) -> float:
        """Round robin's time by ours."""
        return self.ttft_s("round robin", measure) / self.ttft_s("workbench", measure)

    def to_best(self, measure: Measure) -> float:
        """Our time by that of the better of sticky and greedy."""
        best_s = min(self.ttft_s("sticky", measure), self.ttft_s("greedy", measure))
        return self.ttft_s("workbench", measure) / best_s


def measure_grid(
    base: Work, *, seeds: int, slots: Sequence[int] = SLOTS, sessions: Sequence[int] = SESSIONS
) -> list[Cell]:
    """Every place of the grid, each way, with the same sessions."""
    cells = []
    for slot_count, session_count in product(slots, sessions):
        work = replace(base, slots=slot_count, sessions=session_count, thinkers=THINKERS)
        runs = [replace(work, seed=seed) for seed in range(seeds)]
        cells.append(Cell(work, {way: [Simulation(run, way).run() for run in runs] for way in WAYS}))
    return cells


def figures_of(name: str, cells: Sequence[Cell]) -> Iterator[Figure]:
    """What has a target, then every place of the grid."""
    for measure in MEASURES:
        for is_enough, about, least in (
            (True, "slots suffice: round robin's {} TTFT ÷ ours, least", 3.0),
            (False, "elsewhere: the same, {}, least", 0.95),
        ):
            if places := [cell for cell in cells if cell.has_slots == is_enough]:
                gain = min(cell.gain(measure) for cell in places)
                yield _figure(name, about.format(measure), gain, places, Target(least, at_least=True))
        about = f"our {measure} TTFT ÷ the better of sticky and greedy, most"
        yield _figure(name, about, max(cell.to_best(measure) for cell in cells), cells, Target(1.15))
    excess_s = max(it.idle_excess_s for cell in cells for it in cell.outcomes["workbench"])
    yield _figure(name, "wait beside an idle Thinker beyond the cost of moving, most", excess_s, cells, Target(2), "s")
    for cell in cells:
        yield _place(name, cell)


def _figure(name: str, about: str, value: float, cells: Sequence[Cell], target: Target, unit: str = "") -> Figure:
    samples = sum(len(outcome.ttft_s) for cell in cells for outcome in cell.outcomes["workbench"])
    return Figure(f"{name}: {about}", f"{name}: {about}", [value], unit, samples, target)


def _place(name: str, cell: Cell) -> Figure:
    """Mean and p95 of every way, and what share of the prompts had to be read."""
    more = {f"{way} {measure}_s": cell.ttft_s(way, measure) for way in WAYS for measure in MEASURES}
    more |= {f"{way} cold": mean(outcome.cold_share for outcome in cell.outcomes[way]) for way in WAYS}
    more |= {"slots": cell.work.slots, "sessions": cell.work.sessions}
    about = f"{name}: {cell.work.sessions} sessions, {cell.work.slots} KV slots: mean TTFT"
    samples = sum(len(outcome.ttft_s) for outcome in cell.outcomes["workbench"])
    return Figure(about, about, [cell.ttft_s("workbench", "mean")], "s", samples, more=more)


def _measured(values: Sequence[float], measure: Measure) -> float:
    return mean(values) if measure == "mean" else percentile(values, 95)


def main(
    seeds: Annotated[int, typer.Option(help="Runs of everything; the the place with the worst of them is told.")] = 3,
    quick: Annotated[bool, typer.Option(help="Few turns, one seed: whether it works, not what comes out.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the results here. [a whole run: routing.json]")] = None,
) -> None:
    """Simulate the grid, print a line of JSON a figure, and write the README's table."""
    run, rows = this_run(), list[dict[str, Any]]()
    for name, shared_tokens in SHARED.items():
        base = Work(sessions=0, slots=0, shared_tokens=shared_tokens, turns=3 if quick else 20)
        given = {key: value for key, value in asdict(base).items() if key not in ("sessions", "slots", "seed")}
        for figure in figures_of(name, measure_grid(base, seeds=1 if quick else seeds)):
            rows.append(figure.row(run) | {"work": given})
            print(orjson.dumps(rows[-1]).decode(), flush=True)
    print_table([row for row in rows if row["target"]], Console(width=150))
    if target := out or (None if quick else RESULTS):
        save(rows, target)
        if target == RESULTS:
            put_between_marks("routing", markdown(rows, command="python -m benchmarks.routing"), readme=README)


if __name__ == "__main__":
    typer.run(main)
