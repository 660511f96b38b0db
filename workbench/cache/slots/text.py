"""One text as the guards read it: tokenised once, each view of it worked out when first asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from unicodedata import normalize

from workbench.cache.slots.lexicon import (
    AUXILIARIES_WITHOUT_APOSTROPHE,
    CONNECTORS,
    CONTRACTED,
    FILLERS,
    NEGATORS,
    NO_PLURALS,
    QUESTION_WORDS,
    SAME_WORD,
    SUBORDINATING,
    VOCATIVES,
)
from workbench.cache.slots.spelling import american, shortened

Values = tuple[Hashable, ...] | frozenset[Hashable]

REMEMBERED_WORDS = 8192
"""How many words' stems and long forms are kept."""

_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "–": "-", "\u00a0": " "})
_SHORT = AUXILIARIES_WITHOUT_APOSTROPHE | CONTRACTED.keys()
_WORD = re.compile(r"->|=>|→|\w+(?:['.]\w+)*[+#]*")
_CLAUSE = re.compile(rf"[,;:.!?](?=\s|$)|\b(?=(?:{'|'.join(sorted(SUBORDINATING))})\b)")
_CALLED = rf"(?:\s+(?:{'|'.join(sorted(VOCATIVES))}|[A-Z]\w{{1,15}}))?"
# Case by hand, for a name must have its capital.
_GREETING = re.compile(
    rf"\s*(?:[Hh](?:i|ello|ey)|[Dd]ear|HI|HELLO|HEY)\b(?!\s+[Ww]orld)(?:\s+there)?{_CALLED}\s*[,.!:]\s*"
)
_THANKS = re.compile(
    rf"(?:(?<=[.?!,;])|(?<=\s))\s*(?:[Mm]any\s+)?(?:[Tt]hanks|[Tt]hank\s+you|[Tt]hx|[Cc]heers)"
    rf"(?:\s+(?:a\s+lot|so\s+much|very\s+much|in\s+advance|again))?,?{_CALLED}\s*[.!]*\s*$"
)
_LONGEST_FAREWELL = 60


@dataclass(frozen=True, eq=False)
class Text:
    """A text without typographic quotes and dashes, and without greeting and thanks."""

    plain: str
    values: dict[Callable[[Text], Values], Values] = field(default_factory=dict)
    """What each reader has read in it so far."""

    @cached_property
    def lower(self) -> str:
        return self.plain.lower()

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every word in lower case, contractions in full: "doesn't" is "does", "not"."""
        found: list[str] = []
        for word in _WORD.findall(self.lower):
            if "'" in word or word in _SHORT:
                found += in_full(word)
            else:
                found.append(word)
        return tuple(found)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """The stem of each word, in order."""
        return tuple(map(stem, self.words))

    @cached_property
    def stem_set(self) -> frozenset[str]:
        return frozenset(self.stems)

    @cached_property
    def clauses(self) -> tuple[tuple[str, ...], ...]:
        """The stems of each part between commas and the like, a conjunction opening one of its own; sorted."""
        parts = (tuple(map(stem, _WORD.findall(part))) for part in _CLAUSE.split(self.lower))
        return tuple(sorted(part for part in parts if part))

    @cached_property
    def said(self) -> frozenset[str]:
        """The stems of the words that say something by themselves."""
        return self.stem_set - _SAYING_LITTLE

    def read(self, reader: Callable[[Text], Values]) -> Values:
        """What `reader` reads here; worked out once."""
        found = self.values.get(reader)
        if found is None:
            found = self.values[reader] = reader(self)
        return found


def plain_text(text: str) -> Text:
    """The value object for a text as it came."""
    plain = text.translate(_PLAIN).replace("\r\n", "\n")
    if not plain.isascii():
        plain = normalize("NFC", plain)
    if plain.strip()[:1] in "HhDd" and (greeting := _GREETING.match(plain)):
        plain = plain[greeting.end() :] or plain
    tail = plain[-_LONGEST_FAREWELL:].lower()
    if ("thank" in tail or "thx" in tail or "cheers" in tail) and (
        thanks := _THANKS.search(plain, max(1, len(plain) - _LONGEST_FAREWELL))
    ):
        plain = plain[: thanks.start()]
    return Text(shortened(plain))


@lru_cache(maxsize=REMEMBERED_WORDS)
def in_full(word: str) -> tuple[str, ...]:
    """The words of a contraction: "what's" is "what is", "Bob's" is "Bob", "wont" is "will not"."""
    if word in AUXILIARIES_WITHOUT_APOSTROPHE:
        word = f"{word[:-1]}'t"
    if word in CONTRACTED:
        return CONTRACTED[word]
    head, _, tail = word.rpartition("'")
    if tail == "t" and head.endswith("n"):
        return head[:-1], "not"
    if tail in {"s", "d", "m", "re", "ve", "ll"} and head:
        return (head, "will") if tail == "ll" else (head,)
    return (word,)


@lru_cache(maxsize=REMEMBERED_WORDS)
def stem(word: str) -> str:
    """`word` without a plural s, -ing, -ed or final e, short forms in full: "uses" is "using", "repo" "repository"."""
    word = american(SAME_WORD.get(word, word))
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3 and word not in NO_PLURALS:
        word = word[:-1]
        word = SAME_WORD.get(word, word)
    for ending in ("ing", "ed", "e"):
        if word.endswith(ending) and len(word) >= len(ending) + 2:
            word = word[: -len(ending)]
            break
    if len(word) > 2 and word[-1] == word[-2]:
        word = word[:-1]  # stopp(ed)
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > 3 else word


def mentions(text: str, value: str) -> bool:
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


_SAYING_LITTLE = frozenset(map(stem, FILLERS | QUESTION_WORDS | CONNECTORS.keys() | NEGATORS))
