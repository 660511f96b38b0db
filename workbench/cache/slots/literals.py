"""What a text names literally: code, quotations, paths, ids, identifiers, names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.cache.slots.comparing import Difference, Reading
from workbench.cache.slots.gazetteer import AMBIGUOUS, BEFORE_A_TECHNOLOGY, LANGUAGES, TECHNOLOGIES
from workbench.cache.slots.lexicon import ABBREVIATIONS, FILLERS, QUESTION_WORDS
from workbench.cache.slots.measures import CALENDAR, UNITS
from workbench.cache.slots.text import Text, mentions

_CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
_QUOTED = re.compile(r"\"([^\"\n]+)\"|(?<!\w)'([^'\n]+)'(?!\w)")
_PATH = re.compile(
    r"\b[a-z][a-z+.-]*://[^\s\"'`<>]+|(?<![\w/.~])(?:~|\.{1,2})?/[\w.@%+~/-]+|\b[A-Za-z]:\\[^\s\"'`]+"
    r"|(?<![\w-])--?[A-Za-z][\w-]*(?:=[^\s\"'`,;?]+)?"
)
_IDENTIFIER = re.compile(
    r"[\w.+-]++@[\w-]++\.[\w.-]+|\$?\b[\w.-]++(?:/[\w.-]+)+|[@$][A-Za-z_]\w*|\b[A-Za-z][+#]+"
    r"|\b[A-Za-z_]\w*(?:\.\w+)+|\b(?=\w*(?:_|[a-z][A-Z]|[A-Za-z]\d))(?![Vv]\d)[A-Za-z_]\w*|\b\w+(?=\(\))"
    r"|\b\d+[A-Za-z_][A-Za-z]\w*"
)
_MARKED = re.compile(r"[_@$#/(+]|[a-z][A-Z]|[A-Za-z]\.\w|[A-Za-z]\d|\d[A-Za-z]|\w{64}")
_LONGEST_IDENTIFIER = 200
_MEASURE = re.compile(r"0x\w+|\d+(?:st|nd|rd|th|am|pm|k|ms|kb|mb|gb|tb|[a-z]{1,4})")
_ID = re.compile(
    r"#\d+\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}\b"
    r"|\b[a-z]{2,8}-\d+\b"
)
_DASHED = re.compile(r"[A-Za-z]-\d")
_NAME = re.compile(r"\b[^\W\d_a-z]\w*")
_SENTENCE_ENDS = frozenset('.?!:;\n("')
_SENTENCES_OWN_COMMA = re.compile(r"(?<=\w)[.,]$")
_TITLE_SHARE = 0.6
"""The share of capitalised words from which a text is a title, in which capitals say nothing."""


def code_spans(text: Text) -> tuple[str, ...]:
    """What stands between backticks."""
    if "`" not in text.plain:
        return ()
    return tuple(block or span for block, span in _CODE.findall(text.plain))


def quotations(text: Text) -> tuple[str, ...]:
    """What stands between quotation marks, without the sentence's own comma or full stop."""
    if '"' not in text.plain and "'" not in text.plain:
        return ()
    return tuple(_SENTENCES_OWN_COMMA.sub("", double or single) for double, single in _QUOTED.findall(text.plain))


def paths(text: Text) -> tuple[str, ...]:
    """URLs, file paths and command-line flags: the literals in which case matters."""
    if not ("/" in text.plain or "-" in text.plain or "\\" in text.plain):
        return ()
    return tuple(found.rstrip(".,;:!?)") for found in _PATH.findall(text.plain))


def ids(text: Text) -> frozenset[str]:
    """Ticket numbers as "#12" and "abc-12", UUIDs, commit hashes."""
    digits = any(not word.isalpha() and len(word) >= 7 for word in text.words)
    if not digits and "#" not in text.plain and not _DASHED.search(text.plain):
        return frozenset()
    return frozenset(_ID.findall(text.lower))


def identifiers(text: Text) -> frozenset[str]:
    """snake_case, CamelCase, dotted and slashed names, calls, C++, words with digits, addresses; case folded."""
    if not _MARKED.search(text.plain):
        return frozenset()
    found: set[str] = set()
    for token in text.plain.split():
        if token.isalpha() and (token.islower() or token[1:].islower()):
            continue  # a plain word, as most are
        if len(token) > _LONGEST_IDENTIFIER:
            found.add(token.casefold())
        elif not token.rstrip("?.,!").isalpha() or not token[1:].islower():
            found.update(name.rstrip(".-").casefold() for name in _IDENTIFIER.findall(token))
    return frozenset(name for name in found - ABBREVIATIONS if name not in TECHNOLOGIES and not _is_measure(name))


def _is_measure(name: str) -> bool:
    return name[0].isdigit() and _MEASURE.fullmatch(name) is not None and name.lstrip("0123456789") in UNITS | _SUFFIXES


_SUFFIXES = dict.fromkeys(("st", "nd", "rd", "th", "am", "pm", "k"), "")


def names(text: Text) -> frozenset[str]:
    """Capitalised words inside a sentence, in lower case; none where all is in capitals, or most words begin so."""
    plain = text.plain
    if plain.islower() or plain.isupper():
        return frozenset()
    found = [name for name in _NAME.finditer(plain) if name[0][0].isupper()]
    if len(found) > 3 and len(found) >= _TITLE_SHARE * len(text.words):
        return frozenset()
    return frozenset(word for name in found if _is_inside(plain, name) and not _is_ordinary(word := name[0].lower()))


def _is_inside(text: str, name: re.Match[str]) -> bool:
    before = text[: name.start()].rstrip(" \t")
    return before != "" and before[-1] not in _SENTENCE_ENDS


def _is_ordinary(word: str) -> bool:
    """Whether it says nothing as a name, or another slot reads it."""
    return (
        word in FILLERS
        or word in QUESTION_WORDS
        or word in UNITS
        or word in CALENDAR
        or word in TECHNOLOGIES
        or word in LANGUAGES
    )


# ── well-known names, in any case ───────────────────────────────────────────────────────────────────────────


def technologies(text: Text) -> frozenset[str]:
    """The technologies named, each as "kind: name"; ordinary words too ("go") only where they stand like a name."""
    if TECHNOLOGIES.keys().isdisjoint(text.vocabulary):
        return frozenset()
    words = text.words
    found = (
        TECHNOLOGIES[word]
        for place, word in enumerate(words)
        if word in TECHNOLOGIES and (word not in AMBIGUOUS or _stands_like_a_name(text, place))
    )
    return frozenset(f"{kind}: {name}" for name, kind in found)


def compare_technologies(a: Reading, b: Reading) -> Iterator[Difference]:
    """``technology``: another of the same kind; "technology-missing": only one text names one of that kind."""
    if a.values == b.values:
        return
    here, there = (frozenset(map(str, reading.values)) for reading in (a, b))
    mine, other = here - there, there - here
    same_kind = {_kind(name) for name in mine} & {_kind(name) for name in other}
    if same_kind:
        yield Difference(
            "technology",
            [name for name in mine if _kind(name) in same_kind],
            [name for name in other if _kind(name) in same_kind],
        )
    else:
        yield Difference("technology-missing", mine, other)


def _kind(name: str) -> str:
    return name.partition(":")[0]


def _stands_like_a_name(text: Text, place: int) -> bool:
    word = text.words[place]
    if place and text.words[place - 1] in BEFORE_A_TECHNOLOGY:
        return text.words[place - 1] not in {"to", "and", "or", "my"} or _capital(text, word)
    return place > 0 and _capital(text, word)


def _capital(text: Text, word: str) -> bool:
    return mentions(text.plain, word.capitalize())


def languages(text: Text) -> frozenset[str]:
    """The natural languages named."""
    if LANGUAGES.keys().isdisjoint(text.vocabulary):
        return frozenset()
    return frozenset(LANGUAGES[word] for word in text.words if word in LANGUAGES and _is_language(text, word))


def _is_language(text: Text, word: str) -> bool:
    return word != "polish" or "Polish" in text.plain or "in polish" in text.lower or "to polish" not in text.lower
