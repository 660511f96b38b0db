"""What a text says, and of what: negation, opposites, direction, what leads to what."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from workbench.cache.slots.comparing import Difference, Reading, alike, clauses_moved
from workbench.cache.slots.lexicon import (
    CONNECTORS,
    FILLERS,
    NEGATORS,
    QUESTION_WORDS,
    REVERSED_CONNECTORS,
    SOFT_NEGATORS,
    word_set,
)
from workbench.cache.slots.opposites import (
    ANTONYM_PHRASE_STARTS,
    ANTONYM_SIDES,
    LOOSE_SIDES,
    NEGATING_PREFIXES,
    NOT_NEGATED,
    OPPOSITE_SIDE,
)
from workbench.cache.slots.text import Text, stem

# ── negation ────────────────────────────────────────────────────────────────────────────────────────────────

ANY_WORD = "*"
"""What "why doesn't it …" negates is hidden."""


def negations(text: Text) -> tuple[str, ...]:
    """The stem of each negated word, in order; ``*`` where "why doesn't it …" hides which word that is."""
    words = text.words
    if NEGATORS.isdisjoint(text.vocabulary) and not _STOPPING & text.vocabulary:
        return ()
    return tuple(_negated(words, place) for place in range(len(words)) if _negates(words, place))


_NOT_DENIED = FILLERS | CONNECTORS.keys() | {"yet", "using", "use", "having", "being", "only", "even", "like", "longer"}
_STOPPING = frozenset({"stop", "quit"})
_AUXILIARIES = word_set(
    "do does did is are was were can could will would should shall has have had may might must need am be"
)


def _negates(words: tuple[str, ...], place: int) -> bool:
    word = words[place]
    if word in _STOPPING:
        return words[place + 1 : place + 2] != () and words[place + 1].endswith("ing")
    leaves_open = words[place - 1 :] == ("or", "not")  # "should I, or not?" asks what "should I?" asks
    return word in NEGATORS and not leaves_open


def _negated(words: tuple[str, ...], place: int) -> str:
    following = words[place + 1 :]
    before = words[place - 1] if place else ""
    if words[place] == "not" and before in _AUXILIARIES:
        opens = place < 2 or words[place - 2] in QUESTION_WORDS
        if opens and (before != "do" or place >= 2):  # "don't use" is no question
            return ANY_WORD
    return next((stem(word) for word in following if word not in _NOT_DENIED), "")


def compare_negations(a: Reading, b: Reading) -> Iterator[Difference]:
    """``negation``: what one text denies the other says, and denies in no other words; else ``negation-other``."""
    if a.values == b.values:
        return
    certain = _denies(a, b) or _denies(b, a) or (len(a.values) != len(b.values) and not _soften(a, b))
    if certain and alike(a.text, b.text):
        yield Difference("negation", a.values, b.values)
    elif len(a.values) != len(b.values) or not _same_words(a, b):
        yield Difference("negation-other", a.values, b.values)


def _same_words(a: Reading, b: Reading) -> bool:
    return all(x == y or ANY_WORD in (x, y) for x, y in zip(a.values, b.values, strict=True))


def _denies(here: Reading, there: Reading) -> bool:
    """Whether a word negated here stands unnegated there."""
    if ANY_WORD in there.values or not SOFT_NEGATORS.isdisjoint(there.text.vocabulary - here.text.vocabulary):
        return False
    said = there.text.stem_set
    return any(word in said and word not in there.values for word in here.values)


def _soften(a: Reading, b: Reading) -> bool:
    """Whether one of the texts denies in other words."""
    return not SOFT_NEGATORS.isdisjoint(a.text.vocabulary ^ b.text.vocabulary)


# ── opposites ───────────────────────────────────────────────────────────────────────────────────────────────


def antonyms(text: Text) -> frozenset[str]:
    """Which sides of the known pairs of opposites occur."""
    words = text.words
    found = [word for word in words if word in ANTONYM_SIDES]
    if not ANTONYM_PHRASE_STARTS.isdisjoint(text.vocabulary):
        phrases = (f"{one} {two}" for one, two in pairwise(words) if one in ANTONYM_PHRASE_STARTS)
        found += [phrase for phrase in phrases if phrase in ANTONYM_SIDES]
    return frozenset([side for form in found for side in ANTONYM_SIDES[form]])


def compare_antonyms(a: Reading, b: Reading) -> Iterator[Difference]:
    """``antonyms``: one text has one side of a pair of opposites, the other the other."""
    here, there = (frozenset(map(str, reading.values)) for reading in (a, b))
    opposed = [side for side in here - there if (other := OPPOSITE_SIDE[side]) in there and other not in here]
    near = alike(a.text, b.text)
    if opposed:
        sure = (near or not LOOSE_SIDES.issuperset(opposed)) and not _turned(a.text, b.text)
        yield Difference(_antonyms(sure), opposed, [OPPOSITE_SIDE[side] for side in opposed])
    elif any(OPPOSITE_SIDE[side] in here & there for side in here ^ there):  # both sides here, one there
        yield Difference(_antonyms(near and not _turned(a.text, b.text)), here, there)


def _antonyms(sure: bool) -> str:
    return "antonyms" if sure else "antonyms-loose"


def _turned(a: Text, b: Text) -> bool:
    """Whether only one of the texts denies: "not open" is "closed"."""
    return NEGATORS.isdisjoint(a.vocabulary) != NEGATORS.isdisjoint(b.vocabulary)


def words_of_four(text: Text) -> frozenset[str]:
    """Every word of four letters or more."""
    return frozenset([word for word in text.vocabulary if len(word) > 3])


def compare_prefixes(a: Reading, b: Reading) -> Iterator[Difference]:
    """``antonyms``: a word of one text is in the other only with a negating prefix: legal, illegal."""
    here, there = frozenset(map(str, a.values)), frozenset(map(str, b.values))
    here, there = here - there, there - here
    if not here or not there or _turned(a.text, b.text):
        return
    for mine, theirs in ((here, there), (there, here)):
        for word in theirs:
            if (
                word.startswith(NEGATING_PREFIXES)
                and word not in NOT_NEGATED
                and (bare := _bare(word) - a.text.vocabulary.intersection(b.text.vocabulary)) & mine
            ):
                pair = (sorted(bare & mine), [word])
                name = _antonyms(alike(a.text, b.text))
                yield Difference(name, *(pair if mine is here else pair[::-1]))
                return


def _bare(word: str) -> frozenset[str]:
    return frozenset(word.removeprefix(prefix) for prefix in NEGATING_PREFIXES if word.startswith(prefix))


# ── direction ───────────────────────────────────────────────────────────────────────────────────────────────

_SIDE_WORDS = 3


class Link(NamedTuple):
    """The words on the two sides of a connecting word, in the sense in which it points."""

    connector: str
    left: frozenset[str]
    right: frozenset[str]
    shown: str

    def mirrors(self, other: Link) -> bool:
        """Whether the other has left what this has right, and right what this has left."""
        same = self.connector == other.connector
        return same and not self.left.isdisjoint(other.right) and not self.right.isdisjoint(other.left)

    def __str__(self) -> str:
        return self.shown


def directions(text: Text) -> frozenset[Link]:
    """What is linked to what, and which way: "from X to Y", "X before Y", "X in Y"; "to Y from X" is "X to Y"."""
    if CONNECTORS.keys().isdisjoint(text.vocabulary):
        return frozenset()
    segments: list[list[str]] = [[]]
    shown: list[list[str]] = [[]]
    connectors: list[str] = []
    for word, its_stem, before in zip(text.words, text.stems, ("", *text.words), strict=False):
        if word in CONNECTORS:
            connectors.append(word)
            segments.append([])
            shown.append([])
        elif word not in FILLERS or (word == "a" and " A" in text.plain) or (word == "me" and before in CONNECTORS):
            segments[-1].append(its_stem)  # a capital A inside a sentence is a name
            shown[-1].append(word)
    sides = zip(connectors, pairwise(segments), pairwise(shown), strict=True)
    return frozenset([_link(word, *both, *words) for word, both, words in sides if all(both)])


def _link(word: str, left: list[str], right: list[str], said: list[str], then: list[str]) -> Link:
    shown = " ".join((*said[-_SIDE_WORDS:], word, *then[:_SIDE_WORDS]))
    one, other = frozenset(left[-_SIDE_WORDS:]), frozenset(right[:_SIDE_WORDS])
    if word in REVERSED_CONNECTORS:
        one, other = other, one
    return Link(CONNECTORS[word], one - other, other - one, shown)


_CHOICE = frozenset({"or", "vs", "versus", "between", "difference", "differ", "compare", "compared"})


def compare_directions(a: Reading, b: Reading) -> Iterator[Difference]:
    """``direction``: what stands on the two sides of a connecting word has changed places."""
    if a.values == b.values or clauses_moved(a.text, b.text):
        return
    here, there = frozenset(a.values), frozenset(b.values)
    pairs = ((x, y) for x in here - there for y in there - here)
    mirrored = [(x, y) for x, y in pairs if isinstance(x, Link) and isinstance(y, Link) and x.mirrors(y)]
    if mirrored:
        x, y = min(mirrored, key=lambda pair: sorted(map(str, pair)))
        # Two to choose from may be named in any order.
        choice = not (_CHOICE.isdisjoint(a.text.vocabulary) or _CHOICE.isdisjoint(b.text.vocabulary))
        yield Difference("direction-loose" if choice else "direction", [x], [y])
