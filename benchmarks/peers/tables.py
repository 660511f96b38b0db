"""What a comparison found, as a results file and as the README's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figures import ROOT, Figure

RESULTS = ROOT / "benchmarks" / "results" / "peers.json"

Document = dict[str, Any]
"""The results file: `command`, `rows`, one a figure or a reason to skip, and `packages`, what stood beside a peer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one peer, or why there is none."""

    peer: str
    version: str = ""
    figure: Figure | None = None
    packages: dict[str, str] = field(default_factory=dict)
    skipped: str = ""

    def told(self, run: dict[str, Any]) -> dict[str, Any]:
        """As one JSON object, with machine, date and commit."""
        who = {"peer": self.peer, "version": self.version or (run["commit"] if self.figure else "")}
        return who | (self.figure.row(run) if self.figure else {"skipped": self.skipped} | run)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the figures in it, their unit, and which end is better."""

    title: str
    names: tuple[str, ...]
    best: Callable[[Sequence[float]], float] | None = min


CACHES = (
    Column("near-repeats served, %", ("near_default",), max),
    Column("paraphrases served, %", ("paraphrase_default",), max),
    Column("traps served, %", ("trap_default",)),
    Column("near at 1 % of traps", ("near_best",), max),
    Column("paraphrases at 1 % of traps", ("paraphrase_best",), max),
    Column("get, p50 ms", ("get_p50",)),
    Column("p95 ms", ("get_p95",)),
    Column("MiB", ("cache_resident",)),
)
PROXIES = (
    Column("exact hit, p50 ms", ("hit_p50",)),
    Column("p99 ms", ("hit_p99",)),
    Column("hits/s, 16 clients", ("hit_per_s",), max),
    Column("added to a miss's first byte, ms", ("miss_added_ttfb",)),
    Column("to all of it, ms", ("miss_added_total",)),
    Column("misses/s, 16 clients", ("miss_per_s",), max),
    Column("MiB", ("proxy_resident",)),
)


def document(rows: Sequence[Row], run: dict[str, Any], *, command: str) -> Document:
    """Everything that a run found, and how it was started."""
    return {
        "command": command,
        "rows": [row.told(run) for row in rows],
        "packages": {row.peer: row.packages for row in rows if row.packages},
    }


def save(found: Document, path: Path = RESULTS) -> None:
    """Write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def markdown(found: Document, *, figure: str = "") -> str:
    """Both tables, the best value of each column in bold; who was skipped; and where it all comes from."""
    rows = found["rows"]
    parts = [_table(rows, CACHES, "cache"), _table(rows, PROXIES, "proxy")]
    skipped = [f"- {row['peer']} was skipped: {row['skipped']}." for row in rows if "skipped" in row]
    failed = [
        f"- {row['peer']}, {row['about']}: not counted were {_counts(row['failed'])}."
        for row in rows
        if row.get("failed")
    ]
    picture = [f"![What each peer serves and adds]({figure})"] if figure else []
    run = rows[0]
    machine = f"{run['machine']['cores']} cores of {run['machine']['cpu']}, Python {run['python']}"
    last = f"`{found['command']}` on {machine}, {run['date']}, commit {run['commit']}."
    if "--quick" in found["command"]:
        last += " Few questions of each kind: it shows that all of them run, not how they compare."
    return "\n\n".join(filter(None, [*parts, *picture, "\n".join(skipped + failed), last]))


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[Column], what: str) -> str:
    values = {(row["peer"], row["name"]): row["value"] for row in rows if "name" in row}
    versions = {row["peer"]: row["version"] for row in rows if "name" in row}
    names = {name for column in columns for name in column.names}
    peers = list(dict.fromkeys(row["peer"] for row in rows if row.get("name") in names))
    if not peers:
        return ""
    lines = [f"| {what} | " + " | ".join(column.title for column in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    cells = {column: _cells([values.get((peer, column.names[0])) for peer in peers], column) for column in columns}
    for place, peer in enumerate(peers):
        shown = peer if peer == "ours" else f"{peer} {versions[peer]}"
        lines.append(f"| {shown} | " + " | ".join(cells[column][place] for column in columns) + " |")
    return "\n".join(lines)


def _cells(values: Sequence[float | None], column: Column) -> list[str]:
    known = [value for value in values if value is not None]
    best = column.best(known) if column.best and len(known) > 1 else None
    return ["—" if value is None else f"**{_short(value)}**" if value == best else _short(value) for value in values]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _counts(failed: dict[str, int]) -> str:
    return ", ".join(f"{number} × {what}" for what, number in failed.items())
