"""Labels in two parts, one to choose with and one to judge with: halves by a hash, or what was asked earlier and later.

What belongs together (a family of pairs, an intent) is never in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np


class Timed(Protocol):
    """What may have a time, in Unix seconds."""

    @property
    def at_s(self) -> float | None:
        """When it was asked, where that is known."""


Labelled = TypeVar("Labelled")
Made = TypeVar("Made")
Dated = TypeVar("Dated", bound=Timed)

NO_TIME = "these labels carry no time"


@dataclass(frozen=True, slots=True)
class Periods(Generic[Labelled]):
    """What was asked before `boundary_s`, and from it on.

    Left out are `untimed` ones, and those `on_both_sides`: of a family that is in one part, what was said in the other.
    """

    boundary_s: float
    earlier: list[Labelled]
    later: list[Labelled]
    untimed: int
    on_both_sides: int

    def made_into(self, lookups: Callable[[Sequence[Labelled]], list[Made]]) -> Periods[Made]:
        """The same of the lookups that each part makes."""
        earlier, later = (lookups(part) if part else [] for part in (self.earlier, self.later))
        return Periods(self.boundary_s, earlier, later, self.untimed, self.on_both_sides)


@dataclass(frozen=True, slots=True)
class Undivided:
    """Why nothing could be divided by time."""

    why: str


def halves(labelled: Sequence[Labelled], family: Callable[[Labelled], str]) -> tuple[list[Labelled], list[Labelled]]:
    """These in two parts, no family in both; a file that grows moves none of them."""
    one = [each for each in labelled if in_first_half(family(each))]
    return one, [each for each in labelled if not in_first_half(family(each))]


def in_first_half(family: str) -> bool:
    """Whether this family is of those that choose."""
    return int(hashlib.sha256(f"half/{family}".encode()).hexdigest(), 16) % 2 == 0


def by_time(labelled: Sequence[Dated], family: Callable[[Dated], str]) -> Periods[Dated] | Undivided:
    """Those with a time, parted at about the median, those of one time together.

    A family that was asked on both sides stays in the one that `halves` would give it.
    """
    timed = [(each.at_s, each) for each in labelled if each.at_s is not None]
    if not timed:
        return Undivided(NO_TIME)
    distinct, before = np.unique(np.sort([at_s for at_s, _ in timed]), return_index=True)
    if len(distinct) < 2:
        return Undivided(f"all {len(timed):,} labels with a time have the same one")
    boundary_s = float(distinct[1:][np.argmin(np.abs(before[1:] - len(timed) / 2))])
    earlier = [each for at_s, each in timed if at_s < boundary_s]
    later = [each for at_s, each in timed if at_s >= boundary_s]
    both = {family(each) for each in earlier} & {family(each) for each in later}
    first = {name for name in both if in_first_half(name)}
    kept = (
        [each for each in earlier if family(each) not in both - first],
        [each for each in later if family(each) not in first],
    )
    return Periods(boundary_s, *kept, len(labelled) - len(timed), len(timed) - len(kept[0]) - len(kept[1]))
