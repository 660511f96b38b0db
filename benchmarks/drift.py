"""Whether a cut chosen on what was asked earlier keeps its budget on what was asked later.

Halves by a hash take tomorrow's questions for like today's; labels that carry a time are therefore also divided by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.judging import Rates, rates
from benchmarks.labels import Labels, units
from benchmarks.lookups import Ask, Query, final_cut, last_stage, scored
from benchmarks.splitting import Periods, Undivided
from benchmarks.tuning import calibrate
from workbench.cache.policy import Policy
from workbench.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Drift:
    """What the cut that the earlier lookups choose comes to on the later ones."""

    periods: Periods[Query]
    alpha: float
    cut: float
    rates: Rates

    @property
    def kept(self) -> bool:
        """Whether false hits ÷ later lookups are within the budget."""
        return self.rates.false.value <= self.alpha

    def __str__(self) -> str:
        earlier, later = self.periods.earlier, self.periods.later
        word = "is kept" if self.kept else "is exceeded, which may be chance: label more to be sure"
        if self.rates.false.low > self.alpha:
            word = "is NOT kept: choose the cut again, on newer labels"
        return (
            f"split by time at {moment(self.periods.boundary_s)}: {len(earlier):,} earlier lookups of "
            f"{len(units(earlier)):,} families choose a cut of {self.cut:.3f}; {len(later):,} later ones of "
            f"{len(units(later)):,} have {self.rates.false} false hits: the budget of {self.alpha:.2%} {word}\n"
            f"left out: {self.periods.untimed:,} labels without a time, {self.periods.on_both_sides:,} of families on "
            "both sides"
        )

    def told(self) -> Mapping[str, Any]:
        """For JSON."""
        earlier, later = self.periods.earlier, self.periods.later
        return {
            "checked": True,
            "boundary": moment(self.periods.boundary_s),
            "earlier": {"lookups": len(earlier), "families": len(units(earlier))},
            "later": {"lookups": len(later), "families": len(units(later))},
            "left_out": {"untimed": self.periods.untimed, "on_both_sides": self.periods.on_both_sides},
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
    periods = labels.periods
    if isinstance(periods, Undivided):
        return Unchecked(periods.why)
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
    return Drift(periods, policy.alpha, cut, rates(periods.later, lookups, cut, seed=seed))


def moment(at_s: float) -> str:
    """This time in ISO 8601, UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
