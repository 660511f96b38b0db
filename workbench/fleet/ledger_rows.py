"""The ledger's rows and what they stand for."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from workbench.fleet.costing import Phase
from workbench.fleet.market import Rates

State = Literal["intended", "rented", "not_rented", "destroyed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One machine in the ledger. `instance_id` is None until the create is known to have happened.

    `phase` and `gpu_billed` are the latest. Times in seconds since 1970; `ended_s` is None while it may cost.
    """

    label: str
    machine_id: int
    instance_id: int | None
    state: State
    reason: str
    phase: Phase
    gpu_billed: bool
    rates: Rates
    intended_s: float
    expires_s: float
    ended_s: float | None


def entry_of(row: sqlite3.Row) -> Entry:
    """A machine with the latest stretch of its life."""
    return Entry(
        label=row["label"],
        machine_id=row["machine_id"],
        instance_id=row["instance_id"],
        state=row["state"],
        reason=row["reason"],
        phase=row["phase"],
        gpu_billed=bool(row["gpu_billed"]),
        rates=rates_of(row),
        intended_s=row["intended_ms"] / 1000,
        expires_s=row["expires_ms"] / 1000,
        ended_s=None if row["ended_ms"] is None else row["ended_ms"] / 1000,
    )


def rates_of(row: sqlite3.Row) -> Rates:
    """The latest rates of a machine."""
    return Rates(*(Decimal(row[name]) for name in ("gpu", "disk", "down", "up")))


def texts_of(rates: Rates) -> tuple[str, str, str, str]:
    """In the order of the columns gpu, disk, down, up."""
    return (
        str(rates.gpu_usd_per_h),
        str(rates.disk_usd_per_h),
        str(rates.down_usd_per_gb),
        str(rates.up_usd_per_gb),
    )


def ms_of(seconds: float) -> int:
    """As the file keeps times."""
    return round(seconds * 1000)
