"""What the fleet's commands show: each a Rich table, and the same as plain data for `--json`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.table import Table

from workbench.fleet.choosing import Choice
from workbench.fleet.costing import Cost, Reconciliation
from workbench.fleet.fleet import Look
from workbench.fleet.market import Instance
from workbench.fleet.nodes import Roll
from workbench.fleet.proving import STEPS
from workbench.fleet.terms import Budget, Terms


@dataclass(frozen=True, slots=True)
class Shown:
    """One result, both ways."""

    table: Table
    data: dict[str, Any]


def now_s() -> float:
    """Seconds since 1970."""
    return time.time()


def as_json(shown: Shown) -> str:
    """One line of JSON; money as text, exact."""
    return json.dumps(shown.data, default=str)


def offers(choices: Sequence[Choice]) -> Shown:
    """What could be rented."""
    rows = [_choice(choice) for choice in choices]
    return Shown(_table("Offers, cheapest expected token first", rows), {"offers": rows})


def plan(choices: Sequence[Choice], terms: Terms, *, wanted: int) -> Shown:
    """What would be rented now, and for how much."""
    rows = [_choice(choice) for choice in choices]
    total = sum((choice.usd_per_h for choice in choices), Decimal(0))
    limits = _budget(terms.budget)
    title = f"{len(rows)} of {wanted} machines for {terms.model}: ${total:.3f}/h in all, budget {limits}"
    data = {"machines": rows, "nodes": wanted, "usd_per_h": f"{total:.4f}", "budget": limits}
    return Shown(_table(title, rows), data)


def status(roll: Roll, url: Callable[[str], str | None]) -> Shown:
    """The roll."""
    rows = [
        {
            "instance": node.instance_id or "?",
            "gpu": node.gpu_name,
            "state": node.state,
            "step": node.step,
            "usd_per_h": f"{node.usd_per_h:.4f}",
            "age_s": round(now_s() - node.created_s),
            "url": url(node.label) or "",
            "label": node.label,
            "why": node.why,
        }
        for node in roll.nodes
    ]
    paused = roll.why_paused if roll.paused_until_s > now_s() else ""
    excluded = [each.machine_id for each in roll.excluded if each.until_s > now_s()]
    title = f"Fleet {roll.fleet}: {len(rows)} machines{f'; nothing is rented for now: {paused}' if paused else ''}"
    data = {"fleet": roll.fleet, "nodes": rows, "paused": paused, "excluded_machines": excluded}
    return Shown(_table(title, rows), data)


def orphans(instances: Iterable[Instance]) -> Shown:
    """What nobody watches."""
    rows = [
        {"instance_id": each.id, "label": each.label, "gpu": each.hardware.gpu_name, "status": each.status or "?",
         "usd_per_h": f"{each.rates.running_usd_per_h:.4f}"}
        for each in instances
    ]  # fmt: skip
    return Shown(_table(f"{len(rows)} instances that nobody watches", rows), {"orphans": rows})


def cost(spent: Cost, compared: Reconciliation, budget: Budget) -> Shown:
    """The ledger by phase, and instance by instance against the market's charges."""
    phases = {phase: f"{usd:.4f}" for phase, usd in spent.by_phase().items()}
    rows = [
        {
            "instance": row.instance_id,
            "label": row.label or "not in the ledger",
            "counted_usd": f"{row.counted_usd:.4f}",
            "charged_usd": f"{row.charged_usd:.4f}",
            "difference_usd": f"{row.difference_usd:.4f}",
        }
        for row in compared.rows
    ]
    split = ", ".join(f"{phase} ${usd}" for phase, usd in phases.items())
    title = f"${spent.total_usd:.4f} ({split}); charged less counted: ${compared.difference_usd:.4f}; {_budget(budget)}"
    data = {"total_usd": f"{spent.total_usd:.4f}", "phases_usd": phases, "instances": rows,
            "difference_usd": f"{compared.difference_usd:.4f}", "budget": _budget(budget)}  # fmt: skip
    return Shown(_table(title, rows), data)


def progress(looked: Look) -> Table:
    """Where each start has got to."""
    table = Table(title=looked.trouble or looked.finding.why or None, title_style="yellow", show_edge=False)
    for column in ("machine", "GPU", "$/h", *STEPS, "seen"):
        table.add_column(column)
    for node in looked.roll.nodes:
        reached = STEPS.index(node.step) if node.step in STEPS else 0
        marks = [
            "✓" if i < reached or node.state == "ready" else "…" if i == reached else "" for i in range(len(STEPS))
        ]
        told = node.why if node.state != "ready" else ""
        seen = f"{node.state}: {told}" if node.state in ("draining", "destroying") else told
        table.add_row(str(node.instance_id or "?"), node.gpu_name, f"{node.usd_per_h:.3f}", *marks, seen)
    return table


def _choice(choice: Choice) -> dict[str, Any]:
    hardware = choice.offer.hardware
    return {
        "offer": choice.offer.id,
        "machine": hardware.machine_id,
        "gpu": hardware.gpu_name,
        "mode": choice.mode,
        "usd_per_h": f"{choice.usd_per_h:.4f}",
        "usd_per_mtok": f"{choice.usd_per_mtok:.3f}{'' if choice.is_measured else ' (speed not measured)'}",
        "reliability": hardware.reliability,
        "down_mbps": hardware.inet_down_mbps,
        "where": hardware.geolocation,
    }


def _budget(budget: Budget) -> str:
    limits = (("hour", budget.hourly_usd), ("day", budget.daily_usd), ("in all", budget.total_usd))
    return ", ".join(f"${usd}/{name}" for name, usd in limits if usd is not None) or "none"


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
