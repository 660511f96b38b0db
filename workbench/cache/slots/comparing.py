"""How two readings of one slot are compared: each rule says under which names they differ, and in what.

A name stands for one kind of difference. The first name of a slot is that of a *precise* one: each text says
something, and not the same. What only one of the texts says has a name of its own, most often ``…-missing``: it may
be no more than another wording.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple

from workbench.cache.slots.lexicon import SUBORDINATING
from workbench.cache.slots.text import Text, Values, mentions, stem


class Reading(NamedTuple):  # not a dataclass: half a microsecond less, forty times a pair
    """A text, and the values of one slot in it."""

    text: Text
    values: Values


class Difference(NamedTuple):
    """One name under which two readings differ, and what each has there."""

    name: str
    a: Iterable[Hashable]
    b: Iterable[Hashable]


Compare = Callable[[Reading, Reading], Iterator[Difference]]

_SUBORDINATING = frozenset(map(stem, SUBORDINATING))
ALIKE = 0.45
"""The share of common words from which two texts are alike but for a few words."""


def alike(a: Text, b: Text) -> bool:
    """Whether the texts share most of the words that say something; two may differ however few there are."""
    common = len(a.said & b.said)
    apart = len(a.said) + len(b.said) - 2 * common
    return apart <= 2 or common >= ALIKE * (common + apart)


def clauses_moved(a: Text, b: Text) -> bool:
    """Whether both have the same clauses, a subordinate one in another place: "if X, how Y" and "how Y if X"."""
    if len(a.clauses) != 2 or a.clauses != b.clauses:
        return False  # of more, who knows which consequence belongs to which condition
    return sum(part[0] in _SUBORDINATING for part in a.clauses) == 1


def in_alike_texts(compare: Compare) -> Compare:
    """`compare`, but where the texts are worded too differently to tell, what it calls x is called "x-loose"."""

    def loosened(a: Reading, b: Reading) -> Iterator[Difference]:
        for found in compare(a, b):
            tells = found.name.endswith(LOOSE) or alike(a.text, b.text)
            yield found if tells else Difference(f"{found.name}-loose", found.a, found.b)

    return loosened


LOOSE = ("-missing", "-other", "-loose")
"""Endings of the names of mere differences of wording."""


def differ(name: str) -> Compare:
    """Anything but the same values in the same order."""

    def compare(a: Reading, b: Reading) -> Iterator[Difference]:
        if a.values != b.values:
            yield Difference(name, a.values, b.values)

    return compare


def exchanged(name: str, *, any_case: bool = False, inflected: bool = False) -> Compare:
    """`name`: each text has a value that the other does not mention; "…-missing": only one has.

    `inflected`: the plural of a value is the value.
    """

    def compare(a: Reading, b: Reading) -> Iterator[Difference]:
        if a.values == b.values:
            return
        here, there = (
            _unmentioned(one, other, any_case=any_case, inflected=inflected) for one, other in ((a, b), (b, a))
        )
        if here and there:
            yield Difference(name, here, there)
        elif here or there:
            yield Difference(f"{name}-missing", here, there)

    return compare


def unequal(name: str) -> Compare:
    """`name`: both texts have values, and not the same; "…-missing": only one has."""

    def compare(a: Reading, b: Reading) -> Iterator[Difference]:
        if a.values != b.values:
            yield Difference(name if a.values and b.values else f"{name}-missing", a.values, b.values)

    return compare


def exchanged_or_moved(name: str, *, any_case: bool = False) -> Compare:
    """Likewise, and `name` too where the values that both have stand in another order."""
    exchange = exchanged(name, any_case=any_case)

    def compare(a: Reading, b: Reading) -> Iterator[Difference]:
        if a.values == b.values:
            return
        common = [[value for value in one.values if value in other.values] for one, other in ((a, b), (b, a))]
        if common[0] != common[1]:
            yield Difference(name, a.values, b.values)
        else:
            yield from exchange(a, b)

    return compare


def _unmentioned(here: Reading, there: Reading, *, any_case: bool, inflected: bool) -> list[Hashable]:
    text = there.text.lower if any_case else there.text.plain
    stems = there.text.stem_set if inflected else ()
    values = [(value, str(value).lower() if any_case else str(value)) for value in here.values]
    return [v for v, said in values if not (v in there.values or mentions(text, said) or stem(said) in stems)]
