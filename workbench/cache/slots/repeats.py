"""Repeats: the same words in the same order, but for spelling, courtesy, capitals and the punctuation of sentences.

What stands between the same words then tells them apart: "set -e" and "set +e", "a &str to a String" and "a str to a
&String".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from workbench.cache.slots.comparing import Difference, Reading
from workbench.cache.slots.lexicon import COURTEOUS, NOT_ALWAYS_SAME, OPENINGS, SAME_WORD
from workbench.cache.slots.spelling import american, is_slip
from workbench.cache.slots.text import Text, Values, in_full

_TOKEN = re.compile(r"(?P<word>\w+(?:['.]\w+)*)|[.:?!…]+|[^\w\s]")
_ENDS = re.compile(r"[\s'\"`)\]*.?!]*$")
_OPENS = re.compile(r"\s+[A-Z]")
_OPERAND = re.compile(r"(?:\b\w|[\d)])\s+$")
_OPERAND_NEXT = re.compile(r"\s+(?:\w\b|[\d(])")
_MARKS = frozenset("'\"`()#!")
"""Signs that often only set words apart, or call out."""
_MOST_APART = 4
"""Of the words that say something; courtesies may be among them."""

Wording = tuple[tuple[str, ...], tuple[tuple[int, str], ...]]


def wording(text: Text) -> Wording:
    """The words in one spelling, without courtesies, and the signs, each as how many words stand before it and itself.

    Neither the punctuation of sentences is among these, nor a hyphen between two words.
    """
    words: list[str] = []
    signs: list[tuple[int, str]] = []
    for token in _TOKEN.finditer(text.plain):
        if token["word"]:
            words += [_one_form(word) for word in in_full(token[0].lower()) if word not in COURTEOUS]
        elif not _is_prose(text.plain, token):
            sign = token[0]
            denies = sign == "!" and text.plain[max(0, token.start() - 1) : token.start()].isspace()
            signs.append((len(words), "! " if denies else sign))
    left_out = _opening(words)
    return tuple(words[left_out:]), tuple((place - left_out, sign) for place, sign in signs)


def _one_form(word: str) -> str:
    if word in NOT_ALWAYS_SAME:
        return word
    if word not in SAME_WORD and word.endswith("s") and (long := SAME_WORD.get(word[:-1])):
        word = f"{long[:-1]}ies" if long.endswith("y") else f"{long}s"
    return american(SAME_WORD.get(word, word))


def _is_prose(text: str, token: re.Match[str]) -> bool:
    """Whether this is a sentence's punctuation, a dash or a hyphen."""
    sign, start, end = token[0], token.start(), token.end()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    parts = not before or before.isspace(), not after or after.isspace()
    if sign == "-":
        if any(parts):
            subtracts = _OPERAND.search(text, max(0, start - 4), start) and _OPERAND_NEXT.match(text, end)
            return all(parts) and not subtracts
        return before.isalnum() and after.isalpha()
    if sign in {",", ";"}:
        return parts[1] or after.isalnum()  # not before a bracket
    if sign[0] not in ".:?!…":
        return False
    if _ENDS.match(text, end):
        return True
    return parts == (False, True) and (sign[0] != "!" or bool(_OPENS.match(text, end)))


def _opening(words: list[str]) -> int:
    """How many of the first words are courtesies; not all of them."""
    count = 0
    while phrase := next((each for each in OPENINGS if tuple(words[count : count + len(each)]) == each), None):
        count += len(phrase)
    return count if count < len(words) else 0


def typed(text: Text) -> Values:
    """The text itself: what is compared takes longer to read."""
    return (text.plain,)


def compare_signs(a: Reading, b: Reading) -> Iterator[Difference]:
    """``operators``: the same words with other signs between them, but for those that only set words apart."""
    if not _may_repeat(a.text, b.text):
        return
    (words, signs), (other_words, other_signs) = (cast(Wording, each.text.read(wording)) for each in (a, b))
    if words != other_words or signs == other_signs:
        return
    here, there = (
        [(place, sign) for place, sign in each if sign.isascii() and not _MARKS.issuperset(sign)]
        for each in (signs, other_signs)
    )
    if here != there:
        yield Difference("operators", _shown(here, there, words), _shown(there, here, words))


def _shown(here: list[tuple[int, str]], there: list[tuple[int, str]], words: tuple[str, ...]) -> list[str]:
    """The signs that only one text has, each after the word before it."""
    return [" ".join([*words[:place][-1:], sign]) for place, sign in here if (place, sign) not in there]


_OF_SPELLING = re.compile(r"\bspel|\bbritish\b|\bamerican\b|\btypos?\b", re.IGNORECASE)


def spelled(text: Text) -> Values:
    """The words as they are typed, where the text speaks of spelling."""
    return text.vocabulary if _OF_SPELLING.search(text.lower) else ()


def compare_spellings(a: Reading, b: Reading) -> Iterator[Difference]:
    """``spelling``: the same word in two spellings, or a slip of it, where that is what is asked about."""
    here, there = a.text.vocabulary - b.text.vocabulary, b.text.vocabulary - a.text.vocabulary
    found = [(one, other) for one in sorted(here) for other in sorted(there) if _one_word(one, other)]
    if found:
        yield Difference("spelling", [one for one, _ in found], [other for _, other in found])


def _one_word(one: str, other: str) -> bool:
    return american(one) == american(other) or is_slip(one, other) or (one[:3] == other[:3] and _apart(one, other) == 1)


def _apart(one: str, other: str) -> int:
    """How many letters differ between words of the same length; more than that where the lengths differ."""
    return sum(a != b for a, b in zip(one, other, strict=True)) if len(one) == len(other) else len(one + other)


def is_repeat(a: Text, b: Text) -> bool:
    """Whether the two have the same words with the same signs between them."""
    if not _may_repeat(a, b):
        return False
    one = cast(Wording, a.read(wording))
    return bool(one[0]) and one == b.read(wording)


def _may_repeat(a: Text, b: Text) -> bool:
    """False where far too many words differ: that is seen at once."""
    return len(a.said ^ b.said) <= _MOST_APART
