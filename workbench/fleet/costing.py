"""What machines cost, exactly: fractions inside, rounded once to a millionth of a dollar where they are shown.

gpu  = hours running × $/h      disk = hours existing × GB × $/GB/month ÷ 730      traffic = bytes ÷ 10^9 × $/GB
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from workbench.fleet.market import Charge, Kind

Phase = Literal["booting", "idle", "busy", "failed"]
"""What a machine's time was for: coming up, waiting for work, working, or nothing, since it failed or was drained."""

MS_PER_HOUR = 3_600_000
BYTES_PER_GB = 1_000_000_000
MICRO_USD = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Line:
    """What one machine cost in one phase. Traffic stands in the phase in which it was told."""

    label: str
    instance_id: int | None
    phase: Phase
    existing_s: float
    running_s: float
    down_bytes: int
    up_bytes: int
    usd: Mapping[Kind, Fraction]


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent, line by line; the sums are exact before they are rounded."""

    lines: tuple[Line, ...]

    @property
    def total_usd(self) -> Decimal:
        """All of it, to a millionth of a dollar."""
        return rounded(_total(self.lines))

    def by_phase(self) -> dict[Phase, Decimal]:
        """What was spent in each phase."""
        return {phase: rounded(_total(self._in(phase))) for phase in ("booting", "idle", "busy", "failed")}

    def by_label(self) -> dict[str, Decimal]:
        """What was spent on each machine."""
        labels = dict.fromkeys(line.label for line in self.lines)
        return {label: rounded(_total(self._of(label))) for label in labels}

    def _in(self, phase: Phase) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.phase == phase)

    def _of(self, label: str) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.label == label)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One instance: what the ledger counted, what the market charged, each in all and by kind.

    `label` is empty for an instance that the ledger does not know.
    """

    instance_id: int
    label: str
    counted_usd: Decimal
    charged_usd: Decimal
    counted_by_kind: Mapping[Kind, Decimal]
    charged_by_kind: Mapping[Kind, Decimal]

    @property
    def difference_usd(self) -> Decimal:
        """Charged less counted: above zero the market took more than the ledger knew of."""
        return self.charged_usd - self.counted_usd


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The ledger against the market's charges, instance by instance."""

    rows: tuple[Comparison, ...]

    @property
    def counted_usd(self) -> Decimal:
        """What the ledger counted for all of them."""
        return sum((row.counted_usd for row in self.rows), Decimal(0))

    @property
    def charged_usd(self) -> Decimal:
        """What the market charged for all of them."""
        return sum((row.charged_usd for row in self.rows), Decimal(0))

    @property
    def difference_usd(self) -> Decimal:
        """Charged less counted."""
        return self.charged_usd - self.counted_usd

    @property
    def unknown(self) -> tuple[Comparison, ...]:
        """What was charged for instances that the ledger does not know: another program's, or lost."""
        return tuple(row for row in self.rows if not row.label)


@dataclass(frozen=True, slots=True)
class Time:
    """All the time that one machine spent in one phase at one price; rates in dollars an hour."""

    label: str
    instance_id: int | None
    phase: Phase
    gpu_billed: bool
    length_ms: int
    gpu_usd_per_h: Decimal
    disk_usd_per_h: Decimal

    def line(self) -> Line:
        """What it cost."""
        hours = Fraction(self.length_ms, MS_PER_HOUR)
        return Line(
            self.label,
            self.instance_id,
            self.phase,
            existing_s=self.length_ms / 1000,
            running_s=self.length_ms / 1000 if self.gpu_billed else 0.0,
            down_bytes=0,
            up_bytes=0,
            usd={
                "gpu": hours * Fraction(self.gpu_usd_per_h) if self.gpu_billed else Fraction(0),
                "disk": hours * Fraction(self.disk_usd_per_h),
            },
        )


def traffic_usd(size_bytes: int, *, usd_per_gb: Decimal) -> Fraction:
    """What so many bytes cost."""
    return Fraction(size_bytes, BYTES_PER_GB) * Fraction(usd_per_gb)


def summed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """One line for each machine and phase, in the order in which they first come."""
    groups: dict[tuple[str, Phase], Line] = {}
    for line in lines:
        key = (line.label, line.phase)
        groups[key] = _added(groups[key], line) if key in groups else line
    return tuple(groups.values())


def compared(cost: Cost, charges: Iterable[Charge]) -> Reconciliation:
    """What was counted beside what was charged; instances that only the market knows come last."""
    counted: dict[int, list[Line]] = {}
    for line in cost.lines:
        if line.instance_id is not None:
            counted.setdefault(line.instance_id, []).append(line)
    charged: dict[int, list[Charge]] = {}
    for charge in charges:
        charged.setdefault(charge.instance_id, []).append(charge)
    ids = [*counted, *(instance_id for instance_id in charged if instance_id not in counted)]
    return Reconciliation(tuple(_comparison(i, counted.get(i, []), charged.get(i, [])) for i in ids))


def rounded(usd: Fraction) -> Decimal:
    """To a millionth of a dollar, halves to even."""
    return Decimal(round(usd * 1_000_000)) * MICRO_USD


def _comparison(instance_id: int, lines: list[Line], charges: list[Charge]) -> Comparison:
    charged_by_kind: dict[Kind, Decimal] = {}
    for charge in charges:
        for kind, usd in charge.parts.items():
            charged_by_kind[kind] = charged_by_kind.get(kind, Decimal(0)) + usd
    return Comparison(
        instance_id,
        label=lines[0].label if lines else "",
        counted_usd=rounded(_total(lines)),
        charged_usd=sum((charge.amount_usd for charge in charges), Decimal(0)),
        counted_by_kind={kind: rounded(usd) for kind, usd in _by_kind(lines).items()},
        charged_by_kind=charged_by_kind,
    )


def _by_kind(lines: Iterable[Line]) -> dict[Kind, Fraction]:
    sums: dict[Kind, Fraction] = {}
    for line in lines:
        for kind, usd in line.usd.items():
            sums[kind] = sums.get(kind, Fraction(0)) + usd
    return sums


def _total(lines: Iterable[Line]) -> Fraction:
    return sum(_by_kind(lines).values(), Fraction(0))


def _added(one: Line, other: Line) -> Line:
    return Line(
        one.label,
        one.instance_id,
        one.phase,
        existing_s=one.existing_s + other.existing_s,
        running_s=one.running_s + other.running_s,
        down_bytes=one.down_bytes + other.down_bytes,
        up_bytes=one.up_bytes + other.up_bytes,
        usd=_by_kind((one, other)),
    )
