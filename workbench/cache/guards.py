"""What two questions must agree on before one's answer may be the other's: typed slots, read from the text.

Cosine does not see what matters most: "enable 2FA" and "disable 2FA" are 0.82 alike, two order numbers 0.99. Each
slot is one small reader, text → values, and a rule for when two readings clash. `SLOTS` is the whole table.
Where a reading is doubtful the rules lean towards a conflict: that costs a miss, the other way a wrong answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from workbench.cache.lexicon import (
    ANTONYM_SIDES,
    AUXILIARIES_WITHOUT_APOSTROPHE,
    CONNECTORS,
    FILLERS,
    NEGATORS,
    NOT_ONE,
    NUMBER_WORDS,
    OPPOSITE_SIDE,
    ORDINAL_WORDS,
    PRONOUNS,
    QUESTION_WORDS,
    REVERSED_CONNECTORS,
    SCALES,
    UNITS,
)

GUARDS_VERSION = 1
"""Raise it when any reading or rule changes: a policy was measured with one version."""

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
    a, b = a.translate(_PLAIN), b.translate(_PLAIN)
    for slot in SLOTS:
        one, other = Reading(a, slot.read(a)), Reading(b, slot.read(b))
        if (one.values or other.values) and slot.clash(one, other):
            return Conflict(slot.name, _shown(one.values), _shown(other.values))
    return None


def _shown(values: Values) -> str:
    return ", ".join(sorted(map(str, values)) if isinstance(values, frozenset) else map(str, values))


_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "–": "-", "\u00a0": " "})
_WORD = re.compile(r"->|=>|→|\w+(?:['.]\w+)*[+#]*")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _stem(word: str) -> str:
    """`word` without a plural, -ing, -ed or final e: enough to tell that "using" is "use"."""
    for ending in ("ing", "ed", "s", "e"):
        if word.endswith(ending) and len(word) > len(ending) + 2 and not word.endswith("ss"):
            return word[: -len(ending)].rstrip("e")
    return word


# ── when two readings clash ─────────────────────────────────────────────────────────────────────────────────


def differ(a: Reading, b: Reading) -> bool:
    """Anything but the same values in the same order."""
    return a.values != b.values


def unmentioned(a: Reading, b: Reading) -> bool:
    """A value of one text that the other does not hold as it is, marked up or not; or another order."""
    common = [[value for value in one.values if value in other.values] for one, other in ((a, b), (b, a))]
    return common[0] != common[1] or _any_missing(a.values, b.text) or _any_missing(b.values, a.text)


def unmentioned_in_any_case(a: Reading, b: Reading) -> bool:
    """Likewise, whatever the case and the order; the values are lower-case."""
    return _any_missing(a.values, b.text.lower()) or _any_missing(b.values, a.text.lower())


def _any_missing(values: Iterable[Hashable], text: str) -> bool:
    return any(not re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", text) for value in values)


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
    one, other = frozenset(a.values) - frozenset(b.values), frozenset(b.values) - frozenset(a.values)
    return any(f"{prefix}{word}" in y for x, y in ((one, other), (other, one)) for word in x for prefix in _PREFIXES)


def reversed_links(a: Reading, b: Reading) -> bool:
    """What stands on the two sides of a connecting word has changed places."""
    one, other = frozenset(a.values) - frozenset(b.values), frozenset(b.values) - frozenset(a.values)
    return any(isinstance(x, Link) and isinstance(y, Link) and x.mirrors(y) for x in one for y in other)


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
            spelled = False
        previous = word
    return tuple(found)


def _digits(token: re.Match[str], following: str) -> list[str]:
    currency, sign, digits, suffix = token[1], token[2], token[3], token[4]
    if _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    unit = UNITS.get(currency or suffix, suffix) if currency or suffix else UNITS.get(following, "")
    glue = " " if unit and (currency or unit != suffix or unit in UNITS.values()) else ""
    *others, last = digits.split(",")
    return [*others, f"{sign}{last}{glue}{unit}"]


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
    r"[\w.+-]+@[\w-]+\.[\w.-]+|\$?\b[\w.-]+(?:/[\w.-]+)+|[@$][A-Za-z_]\w*|\b[A-Za-z][+#]+"
    r"|\b[A-Za-z_]\w*(?:\.\w+)+|\b(?=\w*(?:_|[a-z][A-Z]|[A-Za-z]\d))(?!v\d)[A-Za-z_]\w*|\b\w+(?=\(\))"
)
_NAME = re.compile(r"(?:(^|[.?!:;\n(\"]\s*)|\b)([A-Z][^\W\d_]*)")
_GREETING = re.compile(r"\s*(?:hi|hello|hey|dear)\b[^,.!?\n]{0,20}[,.!]\s*", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\w(?:\.\w)+")


def code_spans(text: str) -> tuple[str, ...]:
    """What stands between backticks."""
    return tuple((block or span).strip() for block, span in _CODE.findall(text))


def quotations(text: str) -> tuple[str, ...]:
    """What stands between quotation marks, without the sentence's own comma or full stop."""
    return tuple((double or single).strip(" .,") for double, single in _QUOTED.findall(text))


def paths(text: str) -> tuple[str, ...]:
    """URLs, file paths and command-line flags: the literals in which case matters."""
    return tuple(found.rstrip(".,;:!?)") for found in _PATH.findall(text))


def identifiers(text: str) -> frozenset[str]:
    """snake_case, CamelCase, dotted and slashed names, calls, C++, words with digits, addresses; lower-case."""
    found = (match.rstrip(".-").lower() for match in _IDENTIFIER.findall(text))
    return frozenset(name for name in found if not _ABBREVIATION.fullmatch(name))


def names(text: str) -> frozenset[str]:
    """Capitalised words inside a sentence, lower-case; none where capitals say nothing."""
    if text.isupper():
        return frozenset()
    found = _NAME.findall(_GREETING.sub("", text, count=1))
    words = (word.lower() for start, word in found if not start and word != "I")
    return frozenset(word for word in words if word not in FILLERS and word not in QUESTION_WORDS)


# ── negation, opposites, direction ──────────────────────────────────────────────────────────────────────────

_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "de", "anti", "a")
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
        if asks or following[:1] and following[0] in PRONOUNS:
            return "*"
    return next((_stem(word) for word in following if word not in FILLERS), "")


def antonyms(text: str) -> frozenset[str]:
    """Which sides of the known pairs of opposites occur."""
    words = _words(text)
    phrases = (f"{one} {two}" for one, two in zip(words, words[1:], strict=False))
    return frozenset(side for form in (*words, *phrases) for side in ANTONYM_SIDES.get(form, ()))


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
    for word in _words(text):
        if word in CONNECTORS:
            connectors.append(word)
            segments.append([])
        elif word not in FILLERS:
            segments[-1].append(_stem(word))
    sides = zip(connectors, segments, segments[1:], strict=False)
    return frozenset(
        _link(word, frozenset(left[-_SIDE_WORDS:]), frozenset(right[:_SIDE_WORDS])) for word, left, right in sides
    )


def _link(word: str, left: frozenset[str], right: frozenset[str]) -> Link:
    if word in REVERSED_CONNECTORS:
        left, right = right, left
    return Link(CONNECTORS[word], left - right, right - left)


SLOTS = (
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
)
"""Every slot, in the order in which conflicts are reported."""
