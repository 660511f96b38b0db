"""What stands behind a running instance of the stand-in vast.ai: nothing at all, or a real machine of sorts."""

from __future__ import annotations

from typing import Protocol

from benchmarks.stand_ins.vast_market import Market, StandInInstance
from benchmarks.stand_ins.vast_rows import Place


class Hosting(Protocol):
    """Makes machines be what the market says. `is_real` hosting is settled many times a second."""

    is_real: bool

    async def settle(self, market: Market) -> None:
        """Start what should run, stop what should not."""

    def place(self, instance: StandInInstance, *, now_s: float) -> Place:
        """Where its sshd listens."""

    async def close(self) -> None:
        """Stop everything."""


class NoHosting:
    """Nothing listens anywhere; the addresses are from the ranges for documentation."""

    is_real = False

    async def settle(self, market: Market) -> None:
        """Nothing to do."""

    def place(self, instance: StandInInstance, *, now_s: float) -> Place:
        """An address that changes when the instance moves."""
        number = instance.id % 200
        moved = instance.moves(now_s)
        return Place(f"203.0.113.{number + moved}", 40_000 + number, "ssh1.vast.example", 10_000 + number)

    async def close(self) -> None:
        """Nothing to do."""
