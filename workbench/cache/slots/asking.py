"""What a text asks for: which aspect, of which object, for whom, in which form, under which condition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from workbench.cache.slots.comparing import Difference, Reading
from workbench.cache.slots.gazetteer import TECHNOLOGIES
from workbench.cache.slots.lexicon import (
    ASKING,
    CONDITIONS,
    CONNECTORS,
    FUTURE,
    NEGATORS,
    OWNERS,
    PAST,
    PRESENT,
    QUANTIFIERS,
    SOFT_NEGATORS,
    SUPERLATIVES,
    word_set,
)
from workbench.cache.slots.measures import NUMBER_WORDS, SCALES, UNITS
from workbench.cache.slots.text import Text, stem
from workbench.cache.slots.wording import AS_SAID, ASPECTS, FORMS, said

# ── which of them, whose, when, if ──────────────────────────────────────────────────────────────────────────


def quantifiers(text: Text) -> frozenset[str]:
    """Which of all, some, none, most … are asked for."""
    return _called(text, QUANTIFIERS)


def superlatives(text: Text) -> frozenset[str]:
    """Which end of a scale is asked for; "the best way" says nothing."""
    found = _called(text, SUPERLATIVES)
    return found - {"best", "easiest", "fastest"} if found & _WAYS and _BEST_WAY.search(text.lower) else found


_WAYS = frozenset({"best", "easiest", "fastest"})
_BEST_WAY = re.compile(r"\b(?:way|practice|practices|approach|method)\b")


def owners(text: Text) -> frozenset[str]:
    """Whose it is: "my", "their" or "your"."""
    return _called(text, OWNERS)


def _called(text: Text, table: dict[str, str]) -> frozenset[str]:
    if table.keys().isdisjoint(text.vocabulary):
        return frozenset()
    return frozenset([table[word] for word in text.words if word in table])


def tenses(text: Text) -> frozenset[str]:
    """Whether it speaks of what was, is, will be."""
    words = text.vocabulary
    found = [name for name, cues in _TENSES if not cues.isdisjoint(words)]
    return frozenset(found)


_TENSES = (("past", PAST), ("present", PRESENT), ("future", FUTURE))


def compare_tenses(a: Reading, b: Reading) -> Iterator[Difference]:
    """``tense``: what was against what will be, or "is" in the place of "was"; "tense-other": any other difference."""
    if a.values == b.values:
        return
    here, there = frozenset(a.values), frozenset(b.values)
    apart = here ^ there
    if {"past", "future"} <= apart or _only_verbs_differ(a.text, b.text):
        yield Difference("tense", here, there)
    elif apart != {"present"}:
        yield Difference("tense-other", here, there)


_VERBS = PAST | FUTURE | PRESENT | {"be", "been"}


def _only_verbs_differ(a: Text, b: Text) -> bool:
    return _without_verbs(a) == _without_verbs(b)


def _without_verbs(text: Text) -> list[str]:
    return [its_stem for word, its_stem in zip(text.words, text.stems, strict=True) if word not in _VERBS]


def conditions(text: Text) -> tuple[str, ...]:
    """Each word that opens a condition, in order."""
    if CONDITIONS.isdisjoint(text.vocabulary):
        return ()
    start = 1 if text.words[0] == "when" else 0  # a question
    return tuple([word for word in text.words[start:] if word in CONDITIONS])


def restrictions(text: Text) -> frozenset[str]:
    """What is left out: the stem of what follows "without", "except", "excluding"."""
    if _LEAVING_OUT.isdisjoint(text.vocabulary):
        return frozenset()
    return frozenset([_next_said(text, place) for place, word in enumerate(text.words) if word in _LEAVING_OUT])


def _next_said(text: Text, place: int) -> str:
    following = (
        word for word in text.words[place + 1 :] if word not in _DETERMINERS and word not in {"using", "use", "having"}
    )
    return stem(next(following, ""))


def compare_restrictions(a: Reading, b: Reading) -> Iterator[Difference]:
    """``without``: what one text leaves out, the other has; "without-missing": it does not mention it."""
    here, there = (frozenset(map(str, reading.values)) for reading in (a, b))
    left, right = here - there, there - here
    shared = left & b.text.stem_set or right & a.text.stem_set
    soft = (a.text.vocabulary ^ b.text.vocabulary) & SOFT_NEGATORS
    if shared and soft <= _LEAVING_OUT and _denials(a) == _denials(b):
        yield Difference("without", left, right)
    elif left or right:
        yield Difference("without-missing", left, right)


def _denials(reading: Reading) -> bool:
    """Whether it denies but for what it leaves out."""
    return not NEGATORS.isdisjoint(reading.text.vocabulary - _LEAVING_OUT)


_LEAVING_OUT = word_set("without except excluding")

# ── which object ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done to what: both as stems."""

    verb: str
    object: str
    shown: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.shown


_BEFORE_THE_VERB = word_set(
    "please can could would will you kindly just help me need want to i like how do does should we one the what is "
    "best way command steps and it possible try trying know way how's easiest simplest correct right proper there a "
    "show tell explain describe walk through method procedure trick quick good any git sql"
)
_NO_VERB = word_set("why when where who which whose are was were did am if has have had in on at for with from my")
_DETERMINERS = word_set("a an the this that these those my your our their his her its all any some every each of")
_PARTICLES = word_set("up down off out on in away back over")
_ENDS = CONNECTORS.keys() | word_set(
    "and or but if when while that which so using without via from through because where who until unless then about "
    "at under between during per is are was were be like not only please into"
)


def objects(text: Text) -> tuple[Wanted, ...]:
    """The object of an imperative, or of "how do I …": "delete this branch", or none."""
    words = text.words
    place = next((place for place, word in enumerate(words) if word not in _BEFORE_THE_VERB), len(words))
    if place >= len(words) - 1 or words[place] in _NO_VERB or not words[place].isalpha():
        return ()
    if place and words[place - 1] in _BEFORE_A_NOUN:
        return ()
    verb, rest = stem(words[place]), place + 1
    if words[rest] in _PARTICLES:
        verb, rest = f"{verb} {words[rest]}", rest + 1
    while rest < len(words) and words[rest] in _DETERMINERS:
        rest += 1
    end = next((end for end in range(rest, len(words)) if words[end] in _ENDS), len(words))
    if end == rest or not words[end - 1].isalpha() or words[end - 1] in _COUNTS or words[place] in TECHNOLOGIES:
        return ()
    return (Wanted(verb, stem(words[end - 1]), f"{words[place]} … {words[end - 1]}"),)


_COUNTS = UNITS.keys() | NUMBER_WORDS.keys() | SCALES.keys()
_BEFORE_A_NOUN = word_set("the is a any right correct best proper good")


def compare_objects(a: Reading, b: Reading) -> Iterator[Difference]:
    """``object``: the same is to be done to something that the other text does not mention."""
    if a.values == b.values:
        return
    for x in a.values:
        for y in b.values:
            if isinstance(x, Wanted) and isinstance(y, Wanted) and x.verb == y.verb and not _alike(x.object, y.object):
                if x.object not in b.text.stem_set and y.object not in a.text.stem_set:
                    yield Difference("object", [x], [y])
                else:
                    yield Difference("object-other", [x], [y])


def _alike(one: str, other: str) -> bool:
    """Whether one is the other, or a part of it: "zone", "timezone"."""
    return one in other or other in one


# ── which aspect ────────────────────────────────────────────────────────────────────────────────────────────

_CLAUSE = re.compile(
    r"(?:^|[.?!:;,\n-]|\b(?:me|know|explain|wondering|wonder|understand|so|and|but)\b)\s*(why|how|when|where|who|whose)\b"
)


def aspects(text: Text) -> frozenset[str]:
    """What is asked about the subject: why, how, when, where, who, how much …; nothing for "what"."""
    for name, _ in said(ASPECTS, text):
        return frozenset((name,))
    if ASKING.keys().isdisjoint(text.vocabulary):
        return frozenset()
    return frozenset([ASKING[word] for word in _CLAUSE.findall(text.lower)][:1])


# ── which form ──────────────────────────────────────────────────────────────────────────────────────────────


def forms(text: Text) -> frozenset[str]:
    """The form, length and audience that are asked for."""
    return frozenset([_form(name, match) for name, match in said(FORMS, text)])


def _form(name: str, match: re.Match[str]) -> str:
    if name != AS_SAID:
        return name
    count, _, unit = match[1].replace("-", " ").removesuffix("s").partition(" ")
    return f"{NUMBER_WORDS.get(count, count)} {unit}".rstrip()
