"""The words of a text that say something, in order, and how the order of two texts differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from workbench.cache.slots.comparing import Difference, Reading, alike, clauses_moved
from workbench.cache.slots.lexicon import (
    ABBREVIATIONS,
    CONNECTORS,
    FILLERS,
    MODIFYING,
    NEGATORS,
    PERSONS,
    QUESTION_WORDS,
    REVERSED_CONNECTORS,
)
from workbench.cache.slots.measures import NUMBER_WORDS, ORDINAL_WORDS, SCALES, UNITS
from workbench.cache.slots.text import Text, stem

_ADVERBS = frozenset({"only", "also", "both", "too", "even", "then", "already", "still", "yet", "exactly"})


class Placed(NamedTuple):
    """A word that says something, between its neighbours: all three as stems, "" for none."""

    before: str
    stem: str
    after: str
    word: str

    def __str__(self) -> str:
        return self.word


def word_order(text: Text) -> tuple[Placed, ...]:
    """Every word that says something, in order, each with its neighbours."""
    stems, words = ("", *text.stems, ""), text.words
    return tuple(
        [
            Placed(stems[place], stems[place + 1], stems[place + 2], word)
            for place, word in enumerate(words)
            if word not in _WITHOUT_PLACE and not _is_counted(words, place)
        ]
    )


_WITHOUT_PLACE = (
    _ADVERBS | ABBREVIATIONS | FILLERS | QUESTION_WORDS | NEGATORS | CONNECTORS.keys() | REVERSED_CONNECTORS
) - PERSONS


def _is_counted(words: tuple[str, ...], place: int) -> bool:
    """Whether it belongs to a number, which has a slot of its own."""
    word = words[place]
    if word in _NUMBERS or not (word.isalpha() or word.isidentifier() or not any(map(str.isdigit, word))):
        return True
    before = words[place - 1] if place and word in UNITS else ""
    return before in _NUMBERS or before[-1:].isdigit()


_NUMBERS = NUMBER_WORDS.keys() | SCALES.keys() | ORDINAL_WORDS.keys()


def compare_order(a: Reading, b: Reading) -> Iterator[Difference]:
    """``order``: the same words, two of which have changed places; "word-order": any other change of it.

    "one-word-replaced" and "one-word-added": the texts are equal but for that word. In texts worded quite differently
    order says nothing.
    """
    if a.text.words == b.text.words or not alike(a.text, b.text) or clauses_moved(a.text, b.text):
        return
    ours, theirs = (tuple(place for place in reading.values if isinstance(place, Placed)) for reading in (a, b))
    stems, other_stems = [place.stem for place in ours], [place.stem for place in theirs]
    here, there = frozenset(stems), frozenset(other_stems)
    said, unsaid = len(here - there - PERSONS), len(there - here - PERSONS)
    if said + unsaid == 1:
        yield Difference("one-word-added", *_words_apart(ours, theirs))
    elif said == unsaid == 1 and _same_place(stems, other_stems):
        yield Difference("one-word-replaced", *_words_apart(ours, theirs))
    common = frozenset(word for word in here & there if stems.count(word) == other_stems.count(word))
    one, other = ([place for place in places if place.stem in common] for places in (ours, theirs))
    moved = [pair for pair in zip(one, other, strict=True) if pair[0].stem != pair[1].stem]
    if len(moved) == 2 and _turn_of_phrase(moved):
        return
    if here == there and _has_swapped(a.text, b.text):
        yield Difference("order", one, other)
    elif moved:
        yield Difference("word-order", one, other)


def _has_swapped(a: Text, b: Text) -> bool:
    """Whether two things have changed places around what stands between them; in a command also with nothing between.

    Not where either may come first ("X or Y?", "the difference between X and Y"), nor where a clause was moved.
    """
    if not (_EITHER_WAY.isdisjoint(a.stem_set) or _EITHER_WAY.isdisjoint(b.stem_set)):
        return False
    one, other = ([stem(word) for word in text.words if word not in _WITHOUT_PLACE] for text in (a, b))
    if len(one) != len(other) or one == other or {"from", "to"} <= a.vocabulary & b.vocabulary:
        return False  # "direction" reads from and to
    if sorted(one) != sorted(other):  # "rows and columns, rows first", "rows and columns, columns first"
        return set(one) == set(other) and sum(map(str.__ne__, one, other)) == 1
    start = next(place for place, (x, y) in enumerate(zip(one, other, strict=True)) if x != y)
    rest = next(place for place, (x, y) in enumerate(zip(one[::-1], other[::-1], strict=True)) if x != y)
    one, other = one[start : len(one) - rest], other[start : len(other) - rest]
    if len(one) == 2:
        return len(a.words) <= _LONGEST_COMMAND and "?" not in a.plain + b.plain
    return any(
        other == one[-last:] + one[first : len(one) - last] + one[:first]
        for first in range(1, _LONGEST_THING + 1)
        for last in range(1, _LONGEST_THING + 1)
        if first + last < len(one)
    )


def _same_place(a: list[str], b: list[str]) -> bool:
    one, other = ([word for word in words if word not in PERSONS] for words in (a, b))
    return len(one) == len(other) and sum(map(str.__ne__, one, other)) == 1


def _words_apart(a: tuple[Placed, ...], b: tuple[Placed, ...]) -> tuple[list[str], list[str]]:
    here, there = {place.stem for place in a}, {place.stem for place in b}
    return [place.word for place in a if place.stem not in there], [p.word for p in b if p.stem not in here]


def _turn_of_phrase(moved: list[tuple[Placed, Placed]]) -> bool:
    (x, y), (y_again, x_again) = moved
    if {x.after, y_again.before} <= _LISTING or {y.after, x_again.before} <= _LISTING:
        return True  # "x or y", "y or x"
    if (x.after == y_again.stem) != (y.after == x_again.stem):
        return True  # "default timeout", "timeout by default"
    turned = _modifies(x, y_again, x_again, y) or _modifies(y, x_again, y_again, x)
    return turned or {(x.before, y_again.before), (x_again.before, y.before)} in _TO_AND_FROM


def _modifies(x: Placed, y: Placed, x_again: Placed, y_again: Placed) -> bool:
    """Whether "x in y" of one text is "y x" in the other."""
    phrase = x.after in MODIFYING and y.before == x.after
    return phrase and y_again.after == x_again.stem and x_again.before == y_again.stem


_EITHER_WAY = frozenset(map(stem, ("or", "vs", "versus", "differ", "difference", "compare", "comparison", "between")))
_LONGEST_THING, _LONGEST_COMMAND = 3, 6
_LISTING = frozenset({"and", "or", "vs", "versus"})
# "to x from y" is "from y to x".
_TO_AND_FROM = ({("to", "from")}, {("from", "to")})
