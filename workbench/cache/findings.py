"""What an examination found: one line each, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]

PLANS_MB = {"30 MB (free)": 30, "250 MB": 250, "1 GB": 1000, "5 GB": 5000}
"""Sizes that Redis Cloud sells (https://redis.io/pricing/)."""

TYPICAL_ENTRY_BYTES = 6_000
"""A reply of 500 tokens with its question and vector; for a store that has too little to be measured."""

MEASURED_ENTRIES = 20
"""Fewer say nothing of what an entry takes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of `check`, and the remedy where it is not as it should be."""

    check: str
    status: Status
    seen: str
    remedy: str = ""


def ok(check: str, seen: str) -> Finding:
    """As it should be."""
    return Finding(check, "ok", seen)


def warn(check: str, seen: str, remedy: str) -> Finding:
    """It works, though not as well as it could."""
    return Finding(check, "warn", seen, remedy)


def fail(check: str, seen: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, "fail", seen, remedy)


def capacity(entries: int, size_bytes: int) -> Finding:
    """What an entry takes here, and how many of such would fit a plan."""
    is_measured = entries >= MEASURED_ENTRIES
    each_bytes = size_bytes / entries if is_measured else TYPICAL_ENTRY_BYTES
    fit = ", ".join(f"{name} {int(size_mb * 1e6 / each_bytes):,}" for name, size_mb in PLANS_MB.items())
    basis = f"measured on {entries:,}" if is_measured else "a guess: too few are stored to measure"
    return ok("plan", f"{each_bytes / 1e3:.1f} kB an entry ({basis}); entries that fit: {fit}")
