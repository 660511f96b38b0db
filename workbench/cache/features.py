"""What speaks for or against one answer serving two questions, in numbers: the evidence that the score weighs.

All of it is the same whichever question comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from workbench.cache.guards import SLOT_NAMES, Conflict, read_text
from workbench.cache.slots.text import Text

NUMERIC = (
    "cosine",
    "overlap",  # of the words' weights, shared ÷ all
    "apart",  # the larger of the two texts' shares that the other lacks
    "apart_less",  # the smaller one
    "heaviest",  # the weight of the rarest word that only one has
    "words_apart",  # how many words only one has
    "pairs",  # neighbouring words, shared ÷ all
    "in_order",  # shared words in the same order ÷ words
    "letters",  # three-letter pieces, shared ÷ all
    "words",  # in the shorter text
    "length_ratio",  # shorter ÷ longer
    "conflicts",  # how many slots differ
)

UNKNOWN_WEIGHT = 9.0
"""The weight (inverse document frequency) of a word that the table does not know."""


def feature_names() -> tuple[str, ...]:
    """The columns, in order: numbers, then 1 or 0 for each slot that differs or does not."""
    return (*NUMERIC, *SLOT_NAMES)


def features(
    a: str, b: str, *, similarity: float, found: Sequence[Conflict], weights: Mapping[str, float]
) -> tuple[float, ...]:
    """One row; `found` are the slots on which the two differ, `weights` the inverse document frequencies of stems."""
    one, other = read_text(a), read_text(b)
    slots = {conflict.slot for conflict in found}
    differing = (float(name in slots) for name in SLOT_NAMES)
    return (similarity, *_words(one, other, weights), *_shape(one, other), float(len(slots)), *differing)


def _words(one: Text, other: Text, weights: Mapping[str, float]) -> tuple[float, ...]:
    shared = _weight(one.stem_set & other.stem_set, weights)
    only_one, only_other = one.stem_set - other.stem_set, other.stem_set - one.stem_set
    lost, added = _weight(only_one, weights), _weight(only_other, weights)
    shares = sorted(_share(part, part + shared) for part in (lost, added))
    apart = only_one | only_other
    heaviest = max((weights.get(word, UNKNOWN_WEIGHT) for word in apart), default=0.0)
    return _share(shared, shared + lost + added), shares[1], shares[0], heaviest, float(len(apart))


def _shape(one: Text, other: Text) -> tuple[float, ...]:
    pairs = _jaccard(set(pairwise(one.stems)), set(pairwise(other.stems)))
    short, long = sorted((len(one.stems), len(other.stems)))
    return pairs, _in_order(one, other), _jaccard(_pieces(one), _pieces(other)), float(short), _share(short, long)


def _in_order(one: Text, other: Text) -> float:
    first, second = sorted((one.stems, other.stems))
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def _pieces(text: Text) -> set[str]:
    letters = " ".join(text.words)
    return {letters[place : place + 3] for place in range(len(letters) - 2)}


def _weight(words: Iterable[str], weights: Mapping[str, float]) -> float:
    return sum(weights.get(word, UNKNOWN_WEIGHT) for word in words)


def _jaccard(one: set[str] | set[tuple[str, str]], other: set[str] | set[tuple[str, str]]) -> float:
    return _share(len(one & other), len(one | other))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0
