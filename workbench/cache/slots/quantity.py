"""One quantity of a text, and how the quantities of two texts differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from workbench.cache.slots.comparing import Difference, Reading, alike
from workbench.cache.slots.text import Text, stem

KINDS = ("money", "versions", "dates", "times", "day-part", "numbers")
"""What a quantity may be; each is the name of a slot."""


class Quantity(NamedTuple):
    """One of them. Two with the same `amount`, of the same dimension, are the same."""

    kind: str
    shown: str
    digits: str
    """Without unit; "" for a unit that has no number."""
    unit: str = ""
    amount: tuple[str, float | str] = ("", "")
    """Dimension and how much of its base unit: 1 h is 60 min."""

    def __str__(self) -> str:
        return self.shown


def compare_quantities(a: Reading, b: Reading) -> Iterator[Difference]:
    """Its kind, where each text has one that the other has not; "units" where only these differ; else what is missing.

    The same ones in another order are "number-order".
    """
    if a.values == b.values:
        return
    ours, theirs = _of(a), _of(b)
    mine, other = _unmet(ours, theirs), _unmet(theirs, ours)
    if not mine and not other:
        yield from _order(a, b, ours, theirs)
        return
    if _only_units_differ(mine, other):
        loose = not any(each.digits for each in mine) and not alike(a.text, b.text)
        yield Difference("units-loose" if loose else "units", mine, other)
        mine, other = [q for q in mine if not q.unit], [q for q in other if not q.unit]
    yield from _by_kind([q for q in mine if q.digits], [q for q in other if q.digits])


_ORDERED = frozenset(
    map(
        stem,
        ("minus", "divide", "divided", "power", "mod", "modulo", "percent", "percentage", "subtract", "log", "root"),
    )
)
"""Beside one of these words it matters which number comes first."""


_CALCULATION = re.compile(r"\d\s*[-/^%]\s*\d")


def _calculates(text: Text) -> bool:
    return not _ORDERED.isdisjoint(text.stem_set) or _CALCULATION.search(text.plain) is not None


def _order(a: Reading, b: Reading, ours: list[Quantity], theirs: list[Quantity]) -> Iterator[Difference]:
    amounts, others = ([*dict.fromkeys(each.amount for each in some if each.digits)] for some in (ours, theirs))
    if set(amounts) != set(others):
        yield Difference("units-missing", ours, theirs)
    elif amounts != others:
        yield Difference("numbers" if _calculates(a.text) and _calculates(b.text) else "number-order", ours, theirs)


def _of(reading: Reading) -> list[Quantity]:
    return [value for value in reading.values if isinstance(value, Quantity)]


def _unmet(here: Iterable[Quantity], there: Iterable[Quantity]) -> list[Quantity]:
    """Those of `here` that are not in `there`; repetition says nothing, nor does a unit that only one text gives."""
    amounts = {each.amount for each in there}
    bare = {each.digits for each in there if not each.unit}
    any_unit = {each.digits for each in there}
    return [
        each for each in here if each.amount not in amounts and each.digits not in (bare if each.unit else any_unit)
    ]


_WRITTEN_ALIKE = ({"m", "min"}, {"m", "mb"}, {"g", "gb"}, {"degree", "c"}, {"degree", "f"})


def _only_units_differ(mine: list[Quantity], other: list[Quantity]) -> bool:
    return any(
        x.unit
        and y.unit
        and x.digits == y.digits
        and (x.digits != "" or x.amount[0] == y.amount[0])
        and {x.unit, y.unit} not in _WRITTEN_ALIKE
        for x in mine
        for y in other
    )


def _by_kind(mine: list[Quantity], other: list[Quantity]) -> Iterator[Difference]:
    kinds, other_kinds = {each.kind for each in mine}, {each.kind for each in other}
    for kind in KINDS:
        if kind in kinds and kind in other_kinds:
            yield Difference(kind, mine, other)
        elif kind in kinds | other_kinds and not (mine and other):
            yield Difference(f"{kind}-missing", mine, other)
    if mine and other and kinds.isdisjoint(other_kinds):
        yield Difference("numbers-loose", mine, other)
