"""What two questions must agree on before one's answer may be the other's: typed slots, read from the text.

Cosine does not see what matters most: "enable 2FA" and "disable 2FA" are 0.82 alike, two order numbers 0.99. Each
slot is one small reader, text → values, and a rule for when two readings clash. `SLOTS` is the whole table.
Where a reading is doubtful the rules lean towards a conflict: that costs a miss, the other way a wrong answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from workbench.cache.lexicon import (
    MODIFYING,
    NEGATING_PREFIXES,
    NOT_THE_SAME_CAPITALISED,
    NOT_THE_SAME_IN_CAPITALS,
    OPPOSITE_SIDE,
)
from workbench.cache.slots import (
    Link,
    Placed,
    antonyms,
    code_spans,
    directions,
    identifiers,
    names,
    negations,
    numbers,
    paths,
    quotations,
    vocabulary,
    word_order,
)
from workbench.cache.unseen import accented, cased, invisibles, is_small, layout, letters, operators

GUARDS_VERSION = 2
"""Raise it when any reading or rule changes: a policy was measured with one version."""

REMEMBERED = 4096
"""How many texts' readings are kept: popular candidates are compared again and again."""

Values = tuple[Hashable, ...] | frozenset[Hashable]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The first slot on which two texts differ, and what each has there, in words for people."""

    slot: str
    a_value: str
    b_value: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, and the values of one slot in it."""

    text: str
    values: Values


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that must agree: how it is read, and when two readings clash."""

    name: str
    read: Callable[[str], Values]
    clash: Callable[[Reading, Reading], bool]


def first_conflict(a: str, b: str) -> Conflict | None:
    """The first slot of the table on which the texts differ; None when they agree on all."""
    if a == b:
        return None
    for slot, one, other in zip(SLOTS, _readings(a), _readings(b), strict=True):
        if (one.values or other.values) and slot.clash(one, other):
            return Conflict(slot.name, _shown(one.values), _shown(other.values))
    return None


@lru_cache(maxsize=REMEMBERED)
def _readings(text: str) -> tuple[Reading, ...]:
    """What each slot of the table reads in a text: once for a question, however many candidates it has."""
    plain = text.translate(_PLAIN).replace("\r\n", "\n")
    return tuple(Reading(plain, slot.read(plain)) for slot in SLOTS)


def _shown(values: Values) -> str:
    return ", ".join(sorted(map(str, values)) if isinstance(values, frozenset) else map(str, values))


_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "–": "-", "\u00a0": " "})
# ── when two readings clash ─────────────────────────────────────────────────────────────────────────────────


def differ(a: Reading, b: Reading) -> bool:
    """Anything but the same values in the same order."""
    return a.values != b.values


def unmentioned(a: Reading, b: Reading) -> bool:
    """A value of one text that the other does not hold as it is, marked up or not; or another order."""
    common = [[value for value in one.values if value in other.values] for one, other in ((a, b), (b, a))]
    return common[0] != common[1] or _any_missing(a.values, b) or _any_missing(b.values, a)


def unmentioned_in_any_case(a: Reading, b: Reading) -> bool:
    """Likewise, whatever the case and the order; the values are case-folded."""
    a, b = (Reading(reading.text.casefold(), reading.values) for reading in (a, b))
    return _any_missing(a.values, b) or _any_missing(b.values, a)


def _any_missing(values: Iterable[Hashable], there: Reading) -> bool:
    return not all(value in there.values or _mentions(there.text, str(value)) for value in values)


def _mentions(text: str, value: str) -> bool:
    """Whether `value` stands in `text`, not as a part of a longer word."""
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        if not (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
            return True
        start = text.find(value, start + 1)
    return False


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def negate_differently(a: Reading, b: Reading) -> bool:
    """Another number of negations, or another word negated; ``*`` stands for any word."""
    if len(a.values) != len(b.values):
        return True
    return any(x != y and "*" not in (x, y) for x, y in zip(a.values, b.values, strict=True))


def opposed(a: Reading, b: Reading) -> bool:
    """One text has one side of a pair of opposites, the other the other."""
    return any(
        (other := OPPOSITE_SIDE[str(side)]) in b.values and not (other in a.values and side in b.values)
        for side in a.values
    )


def prefixed(a: Reading, b: Reading) -> bool:
    """A word of one text is in the other only with a negating prefix: legal, illegal."""
    one, other = _apart(a, b)
    pairs = ((one, other), (other, one))
    return any(f"{prefix}{word}" in there for here, there in pairs for word in here for prefix in NEGATING_PREFIXES)


def reversed_links(a: Reading, b: Reading) -> bool:
    """What stands on the two sides of a connecting word has changed places."""
    one, other = _apart(a, b)
    return any(isinstance(x, Link) and isinstance(y, Link) and x.mirrors(y) for x in one for y in other)


def recased(a: Reading, b: Reading) -> bool:
    """A word with telling capitals in one text stands in the other with others, which are not only left out there."""
    return _recased(a, b) or _recased(b, a)


def _recased(here: Reading, there: Reading) -> bool:
    words = [str(word) for word in here.values if not _mentions(there.text, str(word))]
    return not there.text.isupper() and any(_means_another(word, there.text) for word in words)


def _means_another(word: str, text: str) -> bool:
    """Whether `text`, which does not hold `word` as it is, holds another word in its place."""
    lower, shouted = word.lower(), word.isupper()
    if shouted and lower in NOT_THE_SAME_IN_CAPITALS:
        return True
    if not _mentions(text.lower(), lower):
        return False  # "names" and "identifiers" tell
    named = not shouted and word[0].isupper()  # JavaScript may be Javascript, getName may not be getname
    return lower in NOT_THE_SAME_CAPITALISED or not is_small(text, but_ordinary_capitals=named)


def reordered(a: Reading, b: Reading) -> bool:
    """The words that both have stand in another order, and no mere turn of phrase explains it."""
    one, other = ([place for place in reading.values if isinstance(place, Placed)] for reading in (a, b))
    counts, other_counts = (Counter(place.stem for place in places) for places in (one, other))
    one, other = (
        [place for place in places if counts[place.stem] == other_counts[place.stem]] for places in (one, other)
    )
    moved = [pair for pair in zip(one, other, strict=True) if pair[0].stem != pair[1].stem]
    if len(moved) != 2:
        return bool(moved)
    (x, y), (y_again, x_again) = moved
    turned = _modifies(x, y_again, x_again, y) or _modifies(y, x_again, y_again, x)
    return not (turned or {(x.before, y_again.before), (x_again.before, y.before)} in _TO_AND_FROM)


def _modifies(x: Placed, y: Placed, x_again: Placed, y_again: Placed) -> bool:
    """Whether "x in y" of one text is "y x" in the other."""
    phrase = x.after in MODIFYING and y.before == x.after
    return phrase and y_again.after == x_again.stem and x_again.before == y_again.stem


# "to x from y" is "from y to x".
_TO_AND_FROM = ({("to", "from")}, {("from", "to")})


def _apart(a: Reading, b: Reading) -> tuple[frozenset[Hashable], frozenset[Hashable]]:
    one, other = frozenset(a.values), frozenset(b.values)
    return one - other, other - one


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────

SLOTS = (
    Slot("invisible", invisibles, differ),
    Slot("numbers", numbers, differ),
    Slot("negation", negations, negate_differently),
    Slot("antonyms", antonyms, opposed),
    Slot("antonyms", vocabulary, prefixed),
    Slot("direction", directions, reversed_links),
    Slot("code", code_spans, unmentioned),
    Slot("quotes", quotations, unmentioned),
    Slot("paths", paths, unmentioned),
    Slot("identifiers", identifiers, unmentioned_in_any_case),
    Slot("names", names, unmentioned_in_any_case),
    Slot("accents", accented, differ),
    Slot("case", cased, recased),
    Slot("operators", operators, differ),
    Slot("letters", letters, differ),
    Slot("layout", layout, differ),
    Slot("order", word_order, reordered),
)
"""Every slot, in the order in which conflicts are reported."""
