"""Two runs side by side: what changed by more than chance explains.

A figure is a number in a notebook's verdict. One with `low` and `high` beside it has an interval at 95 %; the interval
of a difference follows from the two by MOVER (Zou and Donner, Statistics in Medicine 27, 2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.manifest import Manifest

VALUES = ("value", "rate")
"""The key of a number whose interval stands beside it."""

ABOUT = frozenset({"machine", "python", "date", "commit"})
"""What tells where a verdict comes from and is no figure."""

Word = Literal["higher", "lower", "no difference seen", "no interval", "only in A", "only in B"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, with its interval at 95 % when it has one, and its unit when it is told."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in both runs; `change` is B − A."""

    name: str
    a: Estimate | None
    b: Estimate | None
    change: Estimate | None

    @property
    def word(self) -> Word:
        """What can be said of it."""
        if self.change is None:
            return "only in B" if self.a is None else "only in A"
        if self.change.low is None or self.change.high is None:
            return "no interval"
        if self.change.low > 0:
            return "higher"
        return "lower" if self.change.high < 0 else "no difference seen"


def compared(before: Manifest, after: Manifest) -> list[Row]:
    """Every figure of either run, notebook by notebook, in the order of the first that has it."""
    a, b = figures(before), figures(after)
    return [
        Row(name, a.get(name), b.get(name), difference(a[name], b[name]) if name in a and name in b else None)
        for name in dict.fromkeys([*a, *b])
    ]


def difference(a: Estimate, b: Estimate) -> Estimate:
    """B − A; the interval is not symmetric where theirs are not."""
    change = b.value - a.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(change)
    down = math.hypot(b.value - b.low, a.high - a.value)
    up = math.hypot(b.high - b.value, a.value - a.low)
    return Estimate(change, change - down, change + up)


def figures(manifest: Manifest) -> dict[str, Estimate]:
    """``notebook: path of the figure`` → its number, of every verdict of the run."""
    return {
        f"{part.name}: {path}": estimate for part in manifest.parts for path, estimate in _walk(part.verdict or {}, ())
    }


def _walk(told: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Estimate]]:
    match told:
        case {"low": _, "high": _} if key := next((key for key in VALUES if key in told), None):
            if _is_number(told[key]):
                low, high = (told[end] if _is_number(told[end]) else None for end in ("low", "high"))
                yield " ".join(path), Estimate(told[key], low, high, told.get("unit", ""))
        case dict():
            for name, inner in told.items():
                if path or name not in ABOUT:
                    yield from _walk(inner, (*path, name))
        case list():
            for number, inner in enumerate(told):
                yield from _walk(inner, (*path, _name(inner) or str(number + 1)))
        case int() | float() if _is_number(told):
            yield " ".join(path), Estimate(told)


def _name(told: Any) -> str:
    """What an object of a list calls itself."""
    return str(told.get("name") or told.get("slot") or "") if isinstance(told, dict) else ""


def _is_number(told: object) -> bool:
    return isinstance(told, int | float) and not isinstance(told, bool) and math.isfinite(told)


def comparison_table(
    before: Manifest, after: Manifest, rows: list[Row], *, console: Console, everything: bool = False
) -> None:
    """Print it, with what makes the two runs hard to compare above it."""
    for warning in doubts(before, after):
        console.print(f"[yellow]{warning}[/yellow]")
    table = Table("figure", f"A: {before.id}", f"B: {after.id}", "B − A, interval at 95 %", "")
    shown = [row for row in rows if everything or row.change is None or row.change.value]
    for row in shown:
        table.add_row(row.name, *(str(each) if each else "—" for each in (row.a, row.b, row.change)), row.word)
    console.print(table)
    if len(shown) < len(rows):
        console.print(f"{len(rows) - len(shown)} figures are the same in both (--all shows them)")


def doubts(before: Manifest, after: Manifest) -> list[str]:
    """Why a difference may be none of the code."""
    found = [
        f"{name} ({manifest.id}) did not pass: {', '.join(f'{part.name} {part.status}' for part in bad)}"
        for name, manifest in (("A", before), ("B", after))
        if (bad := [part for part in manifest.parts if part.status != "passed"])
    ]
    a, b = (manifest.environment.get("machine") for manifest in (before, after))
    if a != b:
        found.append(f"the machines differ: A {a}, B {b}")
    given = {part.name: part.parameters for part in after.parts}
    return found + [
        f"{part.name} ran with other parameters: A {part.parameters}, B {given[part.name]}"
        for part in before.parts
        if part.parameters != given.get(part.name, part.parameters)
    ]
