"""What a policy knows of words, from the texts that it learns from: how much each weighs, and which are no slips."""

from __future__ import annotations

import keyword
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.compile_embedder import study_module
from workbench.cache.guards import read_text
from workbench.cache.slots.spelling import is_slip

LEAST_COUNT = 3
"""A word that is rarer among the training texts weighs as much as an unknown one."""

LEAST_OFTEN = 10
"""Slips are put right to words that are at least so frequent: beside a rare one another rare word is likelier."""


def dictionary() -> frozenset[str]:
    """English words and those of Python, in lower case; needs the study extra."""
    english = study_module("spellchecker").SpellChecker().word_frequency.words()
    return frozenset(map(str.lower, (*english, *sys.stdlib_module_names, *keyword.kwlist)))


def fit_weights(texts: Sequence[str]) -> dict[str, float]:
    """Inverse document frequencies of the stems of these texts: the logarithm of texts ÷ texts with the stem."""
    counts = Counter(word for text in texts for word in read_text(text).stem_set)
    return {word: round(math.log(len(texts) / count), 2) for word, count in counts.items() if count >= LEAST_COUNT}


def fit_words(texts: Sequence[str], vocabulary: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(known, real): words that slips are put right to, and those of the vocabulary that look like slips of these.

    What is frequent, but not in the vocabulary, may be a frequent slip itself.
    """
    counts = Counter(word for text in texts for word in read_text(text).words if word.isascii() and word.isalpha())
    often = {word for word, count in counts.items() if count >= LEAST_OFTEN and len(word) > 2}
    known = (often & vocabulary) | (often - _slips(often - vocabulary, often & vocabulary))
    return tuple(sorted(known)), tuple(sorted(_slips(vocabulary - known, known)))


def _slips(words: Iterable[str], known: Iterable[str]) -> set[str]:
    """Those of the words that look like slips of a known one."""
    by_ends: dict[str, list[str]] = {}
    for each in known:
        by_ends.setdefault(each[0] + each[-1], []).append(each)
    return {word for word in words if any(is_slip(word, each) for each in by_ends.get(word[0] + word[-1], ()))}
