"""What a text says in each slot: small readers, text → values. `guards` says when two readings clash.

They read text in which typographic quotes and dashes are plain ones already. Values are tuples where order counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from workbench.cache.lexicon import (
    ABBREVIATIONS,
    ANTONYM_PHRASE_STARTS,
    ANTONYM_SIDES,
    AUXILIARIES_WITHOUT_APOSTROPHE,
    CONNECTORS,
    FILLERS,
    NEGATORS,
    NOT_ONE,
    NUMBER_WORDS,
    ORDINAL_WORDS,
    PERSONS,
    PRONOUNS,
    QUESTION_WORDS,
    REVERSED_CONNECTORS,
    SCALES,
    UNITS,
)

_WORD = re.compile(r"->|=>|→|\w+(?:['.]\w+)*[+#]*")


_STEMS = 8192
"""How many words' stems are kept."""


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@lru_cache(maxsize=_STEMS)
def _stem(word: str) -> str:
    """`word` without a plural s, -ing, -ed or final e: enough to tell that "uses" is "using"."""
    if word.endswith("s") and not word.endswith("ss"):
        word = word[:-1] if len(word) > 2 else word
    for ending in ("ing", "ed", "e"):
        if word.endswith(ending) and len(word) >= len(ending) + 2:
            return word[: -len(ending)]
    return word


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

_NUMERAL = re.compile(r"([$€£])?(?<![\w.])(-?)v?(\.?\d+(?:[.,:/-]\d+)*)(%|\w*)|[^\W\d_]+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def numbers(text: str) -> tuple[str, ...]:
    """Every number in order, in digits, with its unit: "two", "10 ms", "3rd", "1.2.3", "5 usd"."""
    found: list[str] = []
    tokens = list(_NUMERAL.finditer(text.lower()))
    previous = ""
    spelled = False  # whether the last token was part of a spelled-out number
    for place, token in enumerate(tokens):
        word = token[0]
        if token[3]:
            following = tokens[place + 1][0] if place + 1 < len(tokens) else ""
            found += _digits(token, following)
            spelled = True
        elif word in SCALES or word in NUMBER_WORDS:
            if word != "one" or previous not in NOT_ONE:
                found = _spell(found, word, goes_on=spelled)
                spelled = True
        else:
            if spelled and found and word in UNITS and found[-1].isdigit():
                found[-1] += f" {UNITS[word]}"
            if word in ORDINAL_WORDS and (word != "second" or previous in {"the", "my", "its", "every"}):
                found.append(ORDINAL_WORDS[word])
            spelled = word == "and" and previous in SCALES  # two hundred and five
        previous = word
    return tuple(found)


def _digits(token: re.Match[str], following: str) -> list[str]:
    currency, sign, digits, suffix = token[1], token[2], token[3], token[4]
    if _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    unit = UNITS.get(currency or suffix or following, "")
    glued = suffix if currency or suffix not in UNITS else ""
    *others, last = digits.split(",")
    return [*others, f"{sign}{last}{glued} {unit}".rstrip()]


def _spell(found: list[str], word: str, *, goes_on: bool) -> list[str]:
    """`found` with one more word of a number: "twenty" "one" is 21, "two" "hundred" 200."""
    value, last = SCALES.get(word) or NUMBER_WORDS[word], found[-1] if goes_on and found else ""
    if last.isdigit() and word in SCALES:
        return [*found[:-1], str(int(last) * value)]
    if last.isdigit() and value < 100 and int(last) and int(last) % (10 if value < 10 else 100) == 0:
        return [*found[:-1], str(int(last) + value)]
    return [*found, str(value)]


# ── literals: code, quotations, paths, identifiers, names ───────────────────────────────────────────────────

_CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
_QUOTED = re.compile(r"\"([^\"\n]+)\"|(?<!\w)'([^'\n]+)'(?!\w)")
_PATH = re.compile(
    r"\b[a-z][a-z+.-]*://[^\s\"'`<>]+|(?<![\w/.~])(?:~|\.{1,2})?/[\w.@%+~/-]+|\b[A-Za-z]:\\[^\s\"'`]+"
    r"|(?<![\w-])--?[A-Za-z][\w-]*(?:=[^\s\"'`,;?]+)?"
)
_IDENTIFIER = re.compile(
    r"[\w.+-]++@[\w-]++\.[\w.-]+|\$?\b[\w.-]++(?:/[\w.-]+)+|[@$][A-Za-z_]\w*|\b[A-Za-z][+#]+"
    r"|\b[A-Za-z_]\w*(?:\.\w+)+|\b(?=\w*(?:_|[a-z][A-Z]|[A-Za-z]\d))(?![Vv]\d)[A-Za-z_]\w*|\b\w+(?=\(\))"
)
_LONGEST_IDENTIFIER = 200
_NAME = re.compile(r"\b[^\W\d_a-z]\w*")
_GREETING = re.compile(r"\s*(?:hi|hello|hey|dear)\b[^,.!?\n]{0,20}[,.!]\s*", re.IGNORECASE)
_SENTENCE_ENDS = frozenset('.?!:;\n("')
_SENTENCES_OWN_COMMA = re.compile(r"(?<=\w)[.,]$")


def code_spans(text: str) -> tuple[str, ...]:
    """What stands between backticks."""
    return tuple(block or span for block, span in _CODE.findall(text))


def quotations(text: str) -> tuple[str, ...]:
    """What stands between quotation marks, without the sentence's own comma or full stop."""
    return tuple(_SENTENCES_OWN_COMMA.sub("", double or single) for double, single in _QUOTED.findall(text))


def paths(text: str) -> tuple[str, ...]:
    """URLs, file paths and command-line flags: the literals in which case matters."""
    return tuple(found.rstrip(".,;:!?)") for found in _PATH.findall(text))


def identifiers(text: str) -> frozenset[str]:
    """snake_case, CamelCase, dotted and slashed names, calls, C++, words with digits, addresses; case folded."""
    found: set[str] = set()
    for token in text.split():
        if token.isalpha() and (token.islower() or token[1:].islower()):
            continue  # a plain word, as most are
        read = _IDENTIFIER.findall(token) if len(token) <= _LONGEST_IDENTIFIER else [token]
        found.update(name.rstrip(".-").casefold() for name in read)
    return frozenset(found - ABBREVIATIONS)


def names(text: str) -> frozenset[str]:
    """Capitalised words inside a sentence, case folded; none where everything is in capitals."""
    if text.isupper():
        return frozenset()
    if greeting := _GREETING.match(text):
        text = text[greeting.end() :]
    inside = (found[0].casefold() for found in _NAME.finditer(text) if _is_name(text, found))
    return frozenset(word for word in inside if not (word in FILLERS or word in QUESTION_WORDS or word in UNITS))


def _is_name(text: str, found: re.Match[str]) -> bool:
    before = text[: found.start()].rstrip(" \t")
    return found[0][0].isupper() and before != "" and before[-1] not in _SENTENCE_ENDS


# ── negation, opposites, direction ──────────────────────────────────────────────────────────────────────────

_SIDE_WORDS = 3


def negations(text: str) -> tuple[str, ...]:
    """The stem of each negated word, in order; ``*`` where "why doesn't it …" hides which word that is."""
    words = _words(text)
    return tuple(_negated(words, place) for place in range(len(words)) if _negates(words, place))


def _negates(words: list[str], place: int) -> bool:
    word = words[place]
    if word in {"stop", "quit"}:
        return words[place + 1 : place + 2] != [] and words[place + 1].endswith("ing")
    return word in NEGATORS or word.endswith("n't") or word in AUXILIARIES_WITHOUT_APOSTROPHE


def _negated(words: list[str], place: int) -> str:
    following = words[place + 1 :]
    if words[place].removesuffix("'t").endswith("n") or words[place] in AUXILIARIES_WITHOUT_APOSTROPHE:
        before = words[place - 1] if place else ""
        asks = before in QUESTION_WORDS or (not place and words[place] not in {"don't", "dont"})
        if asks or not PRONOUNS.isdisjoint(following[:1]):
            return "*"
    return next((_stem(word) for word in following if word not in FILLERS), "")


def antonyms(text: str) -> frozenset[str]:
    """Which sides of the known pairs of opposites occur."""
    words = _words(text)
    phrases = [f"{one} {two}" for one, two in pairwise(words) if one in ANTONYM_PHRASE_STARTS]
    sides = (ANTONYM_SIDES[form] for form in (*words, *phrases) if form in ANTONYM_SIDES)
    return frozenset(side for each in sides for side in each)


def vocabulary(text: str) -> frozenset[str]:
    """Every word of four letters or more."""
    return frozenset(word for word in _words(text) if len(word) > 3)


@dataclass(frozen=True, slots=True)
class Link:
    """The words on the two sides of a connecting word, in the sense in which it points."""

    connector: str
    left: frozenset[str]
    right: frozenset[str]

    def mirrors(self, other: Link) -> bool:
        """Whether the other has left what this has right, and right what this has left."""
        same = self.connector == other.connector
        return same and not self.left.isdisjoint(other.right) and not self.right.isdisjoint(other.left)

    def __str__(self) -> str:
        return f"{' '.join(sorted(self.left))} {self.connector} {' '.join(sorted(self.right))}"


def directions(text: str) -> frozenset[Link]:
    """What is linked to what, and which way: "from X to Y", "X before Y", "X in Y"; "to Y from X" is "X to Y"."""
    segments: list[list[str]] = [[]]
    connectors: list[str] = []
    for word in _WORD.findall(text):
        lower = word.lower()
        if lower in CONNECTORS:
            connectors.append(lower)
            segments.append([])
        elif lower not in FILLERS or (word == "A" and (connectors or segments[-1])):
            segments[-1].append(_stem(lower))  # a capital A inside a sentence is a name
    sides = zip(connectors, segments, segments[1:], strict=False)
    return frozenset(
        _link(word, frozenset(left[-_SIDE_WORDS:]), frozenset(right[:_SIDE_WORDS])) for word, left, right in sides
    )


def _link(word: str, left: frozenset[str], right: frozenset[str]) -> Link:
    if word in REVERSED_CONNECTORS:
        left, right = right, left
    return Link(CONNECTORS[word], left - right, right - left)


@dataclass(frozen=True, slots=True)
class Placed:
    """A word that says something, between its neighbours: all three as stems, "" for none."""

    before: str
    stem: str
    after: str

    def __str__(self) -> str:
        return self.stem


def word_order(text: str) -> tuple[Placed, ...]:
    """Every word that says something, in order, each with its neighbours."""
    words = _words(text)
    stems = ["", *map(_stem, words), ""]
    return tuple(Placed(*stems[place : place + 3]) for place, word in enumerate(words) if _has_content(word))


def _has_content(word: str) -> bool:
    return word in PERSONS or not (word in _WITHOUT_PLACE or word.endswith("n't"))


_WITHOUT_PLACE = FILLERS | QUESTION_WORDS | NEGATORS | CONNECTORS.keys() | REVERSED_CONNECTORS
