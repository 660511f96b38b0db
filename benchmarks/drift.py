"""Whether a cut chosen on earlier lookups keeps its budget on later ones: labels that carry a time are split by it.

Halves by a hash take tomorrow's questions for like today's. Here all lookups with a time are parted at about the median
of their times, whatever part of the usual split they are of. A family that stands on both sides chooses with what it
says earlier, or is judged with what it says later, by its hash: never both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.judging import Rates, rates
from benchmarks.labels import Labels, in_first_half, units
from benchmarks.lookups import Ask, Query, final_cut, last_stage, scored
from benchmarks.tuning import calibrate
from workbench.cache.policy import Policy
from workbench.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Periods:
    """Lookups before `boundary_s` and from it on, no family in both; `left_out` counts what that cost."""

    boundary_s: float
    earlier: list[Query]
    later: list[Query]
    left_out: int


@dataclass(frozen=True, slots=True)
class Drift:
    """What the cut that the earlier lookups choose comes to on the later ones; `untimed` lookups took no part."""

    periods: Periods
    untimed: int
    alpha: float
    cut: float
    rates: Rates

    @property
    def kept(self) -> bool:
        """Whether false hits ÷ later lookups are within the budget."""
        return self.rates.false.value <= self.alpha

    def __str__(self) -> str:
        earlier, later = self.periods.earlier, self.periods.later
        word = "is kept" if self.kept else "is NOT kept: choose the cut again, on newer labels"
        return (
            f"split by time at {moment(self.periods.boundary_s)}: {len(earlier):,} earlier lookups of "
            f"{len(units(earlier)):,} families choose a cut of {self.cut:.3f}; {len(later):,} later ones of "
            f"{len(units(later)):,} have {self.rates.false} false hits: the budget of {self.alpha:.2%} {word}\n"
            f"left out: {self.untimed:,} lookups without a time, {self.periods.left_out:,} of families on both sides"
        )

    def told(self) -> Mapping[str, Any]:
        """For JSON."""
        earlier, later = self.periods.earlier, self.periods.later
        return {
            "checked": True,
            "boundary": moment(self.periods.boundary_s),
            "earlier": {"lookups": len(earlier), "families": len(units(earlier))},
            "later": {"lookups": len(later), "families": len(units(later))},
            "left_out": {"untimed": self.untimed, "on_both_sides": self.periods.left_out},
            "cut": self.cut,
            "budget_kept": self.kept,
            "rates": self.rates.told(),
        }


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Why nothing is known about drift."""

    why: str

    @property
    def rates(self) -> None:
        """None were measured."""
        return

    def __str__(self) -> str:
        return f"drift was not checked: {self.why}"

    def told(self) -> Mapping[str, Any]:
        """For JSON."""
        return {"checked": False, "why": self.why}


def check(policy: Policy, labels: Labels, *, ask: Ask | None, seed: int = 0) -> Drift | Unchecked:
    """Choose the policy's cuts anew on the earlier lookups, everything else as it is, and judge them on the later."""
    every = [*labels.calibrated, *labels.judged]
    periods = by_time(every)
    if isinstance(periods, Unchecked):
        return periods
    for name, part in (("earlier", periods.earlier), ("later", periods.later)):
        if len({any(query.right) for query in part}) < 2:
            return Unchecked(f"the {name} part ({len(part):,} lookups) has lookups of one class only, or none")
    assert policy.alpha is not None  # `calibrate` set it
    try:
        aged = calibrate(policy, periods.earlier, alpha=policy.alpha, ask=ask, store_size=labels.store_size)
    except ConfigurationError as error:
        return Unchecked(f"the earlier lookups choose no cut: {error}")
    cut = final_cut(aged)
    lookups = scored(periods.later, aged, stage=last_stage(aged), ask=ask)
    untimed = sum(query.at_s is None for query in every)
    return Drift(periods, untimed, policy.alpha, cut, rates(periods.later, lookups, cut, seed=seed))


def by_time(queries: Sequence[Query]) -> Periods | Unchecked:
    """Those with a time in two parts of about as many, lookups of one time together."""
    timed = [(query.at_s, query) for query in queries if query.at_s is not None]
    if not timed:
        return Unchecked("these labels carry no time")
    distinct, before = np.unique(np.sort([at_s for at_s, _ in timed]), return_index=True)
    if len(distinct) < 2:
        return Unchecked(f"all {len(timed):,} lookups with a time have the same one")
    boundary_s = float(distinct[1:][np.argmin(np.abs(before[1:] - len(timed) / 2))])
    earlier = [query for at_s, query in timed if at_s < boundary_s]
    later = [query for at_s, query in timed if at_s >= boundary_s]
    both = units(earlier) & units(later)
    chooses = {unit for unit in both if in_first_half(unit)}
    kept = (
        [query for query in earlier if query.unit not in both or query.unit in chooses],
        [query for query in later if query.unit not in chooses],
    )
    return Periods(boundary_s, *kept, left_out=len(timed) - len(kept[0]) - len(kept[1]))


def moment(at_s: float) -> str:
    """This time in ISO 8601, UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
