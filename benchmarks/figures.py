"""Measured figures: what was reached and what should be, as JSON lines, as a table, and in the README."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "bench.json"
README = ROOT / "README.md"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that a figure must keep."""

    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    def is_reached(self, value: float) -> bool:
        """Whether this value keeps it; NaN never does."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: the median of what the rounds gave. `failed` says what else happened, by name and count.

    It is reached only when nothing failed. `more` are numbers that explain it.
    """

    name: str
    about: str
    rounds: list[float]
    unit: str
    samples: int
    target: Target | None = None
    failed: dict[str, int] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of the rounds; the worse one of an even number."""
        ranked = sorted(self.rounds, reverse=self.target is not None and self.target.at_least)
        return ranked[len(ranked) // 2] if ranked else math.nan

    @property
    def reached(self) -> bool | None:
        """Whether it keeps its target; None when it has none."""
        return self.target.is_reached(self.value) and not self.failed if self.target else None

    def row(self, run: dict[str, Any]) -> dict[str, Any]:
        """Everything about it, and about the run that it comes from, as one JSON object."""
        target = str(self.target) if self.target else None
        numbers = {"value": _short(self.value), "rounds": [_short(value) for value in self.rounds]}
        more = {"more": {name: _short(value) for name, value in self.more.items()}}
        return asdict(self) | numbers | more | {"target": target, "reached": self.reached} | run


def this_run() -> dict[str, Any]:
    """Machine, date and commit: without them a figure says nothing."""
    return {
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0))},
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
    }


def _cpu() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    return names[0].strip() if names else platform.machine()


def _commit() -> str:
    """The commit of what was measured, with a mark when the served files differ from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "workbench", "serve.py", "constraints.txt")
    return f"{commit}-changed" if changed else commit or "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607  # git from PATH
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────


def print_table(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """The rows of a run, those with a target first."""
    table = Table("figure", "value", "target", "reached", "rounds", "samples", "more")
    for row in sorted(rows, key=lambda row: row["target"] is None):
        reached = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[row["reached"]]
        more = "\n".join(f"{name} {value:g}" for name, value in (row["more"] | row["failed"]).items())
        rounds = f"{min(row['rounds']):g} … {max(row['rounds']):g}" if len(row["rounds"]) > 1 else ""
        table.add_row(row["about"], _value(row), row["target"], reached, rounds, str(row["samples"]), more)
    console.print(table)


def save(rows: Sequence[dict[str, Any]], path: Path = RESULTS) -> None:
    """Write a run's rows as the results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(list(rows), option=orjson.OPT_INDENT_2) + b"\n")


def markdown(rows: Iterable[dict[str, Any]], *, command: str = "make bench") -> str:
    """The rows that have a target as a Markdown table, and one line on where they come from."""
    shown = [row for row in rows if row["target"]]
    lines = ["| figure | measured | target | |", "|---|---|---|---|"]
    lines += [
        f"| {row['about']} | {_value(row)} | {row['target']} | {'✓' if row['reached'] else '✗'} |" for row in shown
    ]
    if shown:
        run = shown[0]
        machine = f"{run['machine']['cores']} cores of {run['machine']['cpu']}, Python {run['python']}"
        commits = ", ".join(dict.fromkeys(row["commit"] for row in shown))  # groups can be measured again alone
        lines += ["", f"`{command}` on {machine}, {run['date']}, commit {commits}."]
    return "\n".join(lines)


def update_readme(results: Path = RESULTS, readme: Path = README) -> bool:
    """Put the results file's table between the README's marks; False when it has none."""
    return put_between_marks("results", markdown(orjson.loads(results.read_bytes())), readme=readme)


def put_between_marks(name: str, table: str, *, readme: Path = README) -> bool:
    """Put a table between the README's marks of this name; False when it has none."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    new, count = block.subn(lambda marks: f"{marks[1]}{table}\n{marks[2]}", readme.read_text())
    if count:
        readme.write_text(new)
    return bool(count)


def _value(row: dict[str, Any]) -> str:
    return "—" if row["value"] is None else f"{row['value']:g} {row['unit']}"


def _short(value: float) -> float | None:
    """Three decimals are more than any clock here can tell; JSON has no NaN."""
    return None if math.isnan(value) else round(value, 3 if abs(value) < 100 else 0)
