"""Whether the budget allows one more machine, those that run, or none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from workbench.fleet.terms import Budget, Limits

Verdict = Literal["rent", "hold", "drain", "destroy"]
"""What may be done, each less than the one before: `hold` rents nothing, `drain` lets requests end."""

RESERVE_S = 900.0
"""A machine is rented only if all could run this long without reaching a limit: a start alone takes minutes."""

HOUR_S = 3600
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Spent:
    """Dollars in the last hour, in the last 24 hours, and ever."""

    hour_usd: Decimal
    day_usd: Decimal
    total_usd: Decimal


@dataclass(frozen=True, slots=True)
class Finding:
    """What the budget says, and why, in words."""

    verdict: Verdict
    why: str = ""


def judge(
    budget: Budget, spent: Spent, *, usd_per_h: Decimal, limits: Limits, more_usd_per_h: Decimal = Decimal(0)
) -> Finding:
    """What may be done while all machines cost `usd_per_h`, and one more would cost `more_usd_per_h`.

    Draining begins early enough that it ends before the limit; so a limit is passed only by what runs up between two
    looks, or while the market does not listen.
    """
    rows = (
        ("hourly", budget.hourly_usd, spent.hour_usd),
        ("daily", budget.daily_usd, spent.day_usd),
        ("total", budget.total_usd, spent.total_usd),
    )
    findings = [_judge(name, limit, used, usd_per_h, more_usd_per_h, limits) for name, limit, used in rows]
    order = ("rent", "hold", "drain", "destroy")
    return max(findings, key=lambda finding: order.index(finding.verdict))


def _judge(
    name: str, limit: Decimal | None, used: Decimal, usd_per_h: Decimal, more_usd_per_h: Decimal, limits: Limits
) -> Finding:
    if limit is None:
        return Finding("rent")
    told = f"the {name} budget of ${limit:.2f}: ${used:.4f} spent, ${usd_per_h:.3f}/h running"
    if used >= limit:
        return Finding("destroy", f"{told}; it is used up")
    if usd_per_h and used + _over(usd_per_h, limits.drain_s + 2 * limits.poll_s) >= limit:
        return Finding("drain", f"{told}; it ends within the time that draining takes")
    after = usd_per_h + more_usd_per_h
    if used + _over(after, RESERVE_S) >= limit or (name == "hourly" and after > limit):
        return Finding("hold", f"{told}; ${more_usd_per_h:.3f}/h more would not fit")
    return Finding("rent")


def _over(usd_per_h: Decimal, seconds: float) -> Decimal:
    return usd_per_h * Decimal(str(seconds)) / HOUR_S
