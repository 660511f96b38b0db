"""What an uncased tokenizer does not see, and a meaning may hang on: small readers, text → values, as in `slots`.

Such an embedder drops case, accents, invisible characters, line breaks and indentation, and hardly weighs an operator
or a one-letter name: "x < y" and "x > y", "schon" and "schön", "US" and "us" are as good as equal to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from workbench.cache.slots.comparing import Difference, Reading
from workbench.cache.slots.lexicon import (
    AFTER_A_LETTER,
    ENGLISH,
    LOANWORDS,
    NOT_THE_SAME_CAPITALISED,
    NOT_THE_SAME_IN_CAPITALS,
)
from workbench.cache.slots.measures import UNITS
from workbench.cache.slots.text import Text, mentions

# ── characters ──────────────────────────────────────────────────────────────────────────────────────────────

_SPACES = re.compile("[ \t\n\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_LATIN = re.compile("[A-Za-z]")
_LOOKING_LATIN = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_PUNCTUATION = re.compile("[\\s!-/:-@\\[-`{-~…«»‹›„‚—―¿¡、。，！？：；「」『』（）·•]+")
_READ_AS_NUMBERS = str.maketrans("€£¥₹°µ", "      ")


def invisibles(text: Text) -> tuple[str, ...]:
    """Words that hold a character nobody sees, or letters of Latin and of an alphabet that looks like it; escaped."""
    if text.plain.isascii() and text.plain.isprintable():
        return ()
    return tuple(word.encode("unicode_escape").decode() for word in _SPACES.split(text.plain) if _deceives(word))


def _deceives(word: str) -> bool:
    return not word.isprintable() or bool(_LATIN.search(word) and _LOOKING_LATIN.search(word))


def accented(text: Text) -> tuple[str, ...]:
    """Every word with a letter or sign beyond ASCII, composed and in lower case, in order."""
    if text.plain.isascii():
        return ()
    # Not casefold: it would turn "Maße" into "Masse".
    composed = unicodedata.normalize("NFC", text.plain).lower().translate(_READ_AS_NUMBERS)
    return tuple(word for word in _PUNCTUATION.split(composed) if not word.isascii() and _fold(word) not in LOANWORDS)


def compare_accents(a: Reading, b: Reading) -> Iterator[Difference]:
    """``accents``: words that differ in accents alone; "foreign-words": others beyond ASCII; "symbols": signs.

    "…-missing": only one text has such words. An English text may leave accents out: "naive" is "naïve".
    """
    if a.values == b.values:
        return
    here, there = ([str(word) for word in one.values if word not in other.values] for one, other in ((a, b), (b, a)))
    if not here and not there:
        return  # another order, or repeated
    folds, other_folds = ({_fold(word) for word in words} for words in (here, there))
    if folds & (other_folds | _ascii_words(b)) or other_folds & _ascii_words(a):
        dropped = not (folds & other_folds) and not ENGLISH.isdisjoint(a.text.vocabulary & b.text.vocabulary)
        yield Difference("accents-missing" if dropped else "accents", here, there)
    elif any(map(_is_sign, here)) or any(map(_is_sign, there)):
        yield Difference("symbols" if here and there else "symbols-missing", here, there)
    else:
        yield Difference("foreign-words" if here and there else "foreign-words-missing", here, there)


def _fold(word: str) -> str:
    """`word` in lower case without its accents."""
    return "".join(c for c in unicodedata.normalize("NFD", word.casefold()) if not unicodedata.combining(c))


def _ascii_words(reading: Reading) -> frozenset[str]:
    return frozenset(word for word in reading.text.vocabulary if word.isascii())


def _is_sign(word: str) -> bool:
    return not any(map(str.isalpha, word))


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────


def layout(text: Text) -> tuple[str, ...]:
    """For each line of several its indentation and, but for the first, how many words it has."""
    if "\n" not in text.plain:
        return ()
    lines = text.plain.rstrip().lstrip("\n").split("\n")
    if len(lines) == 1:
        return ()
    # The first is most often prose, which may be put in other words.
    return tuple(f"{_indent(line)!r}:{len(line.split()) if place else ''}" for place, line in enumerate(lines))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


def compare_layouts(a: Reading, b: Reading) -> Iterator[Difference]:
    """``layout``: the same words on other lines; "layout-other": other words besides."""
    if a.values != b.values:
        same = a.text.words == b.text.words
        yield Difference("layout" if same else "layout-other", a.values, b.values)


# ── operators and one-letter names ──────────────────────────────────────────────────────────────────────────

_OPERATORS = re.compile(r"\\[A-Za-z]\b|\?[.:](?=[\s\w])|(?<!\w)::|::(?!\w)|:=|[<>=!+\-*/%&|~^\\]+|[\[\]{}()]")
_ROUND = frozenset("()")
_MINUS = re.compile(r"(?:\b\w|[\d)]) - (?:\w\b|[\d(])")
_LETTER = re.compile(r"(?<![\w.])(?<!\w')[^\W\d_](?!\w|'\w\w|\.\w|-\w\w)")
_NEXT = re.compile(r"\s+(\w+)")


def operators(text: Text) -> tuple[str, ...]:
    """Every operator and bracket, in order; round brackets only beside others, for prose has them too."""
    plain = text.plain
    if not _OPERATORS.search(plain):
        return ()
    found = tuple(found[0] for found in _OPERATORS.finditer(plain) if _operates(plain, found))
    return () if _ROUND.issuperset(found) else found


def _operates(text: str, found: re.Match[str]) -> bool:
    run, before, after = found[0], text[: found.start()][-1:], text[found.end() : found.end() + 1]
    if run.strip("!") == "":
        return after.isalnum() or after in {"(", "_"}  # not the end of an exclamation
    if run in {"-", "/"}:
        if run == "-" and not _MINUS.search(text, max(0, found.start() - 2), found.end() + 2):
            return False  # a dash
        return not (before.isalnum() or after.isalnum() or before in {".", "~"})  # well-known, -5, -v, and/or, ./x
    if run == "~/":
        return False
    if run == "--":
        return before.isalnum() or not after.isalnum()  # i--; flags and paths have slots of their own
    if run == "%":
        return after.isalnum() or not before.isdigit()  # 5%
    return not (run[0] == "/" and before == ":")  # https://


def letters(text: Text) -> tuple[str, ...]:
    """Every one-letter name in order, in lower case: "x", "C"; neither articles, nor "I", nor units."""
    plain = text.plain
    single = [word for word in text.vocabulary if len(word) == 1 or word[1] in "+#"]
    if not single or (
        _ARTICLES.issuperset(single) and _BESIDE_NAMES.isdisjoint(plain) and not _A_IS_NAMED.search(plain)
    ):
        return ()
    return tuple(found[0].lower() for found in _LETTER.finditer(plain) if _is_variable(plain, found))


def _is_variable(text: str, found: re.Match[str]) -> bool:
    letter, before, after = found[0].lower(), text[: found.start()].rstrip()[-1:], text[found.end() :].lstrip()[:1]
    if letter in UNITS and before.isdigit():
        return False  # 5 m
    in_formula = before in _BESIDE_NAMES or after in _BESIDE_NAMES
    if letter not in {"a", "i"} or in_formula:
        return True
    following = _NEXT.match(text, found.end())
    return letter == "a" and (following is None or following[1].lower() in AFTER_A_LETTER)


_ARTICLES = frozenset({"a", "i"})
_A_IS_NAMED = re.compile(rf"\b[aA]\b(?!\s+(?!(?:{'|'.join(sorted(AFTER_A_LETTER))})\b)\w)")
_BESIDE_NAMES = frozenset("<>=+*/%&|^[]")

# ── bits and bytes ──────────────────────────────────────────────────────────────────────────────────────────

_DATA = re.compile(r"(?<![^\W\d])([KMGTP]i?[bB]|k(?:B|b(?=ps)))(?:ps|/s)?\b")


def data_units(text: Text) -> tuple[str, ...]:
    """Bits and bytes by their prefix, where it or the B is a capital, in order; who types "mb" means either."""
    return tuple(found.replace("k", "K") for found in _DATA.findall(text.plain))


def compare_data_units(a: Reading, b: Reading) -> Iterator[Difference]:
    """``units``: bits in one text are bytes in the other, or both stand in another order."""
    if a.values == b.values:
        return
    if sorted(map(str, a.values)) == sorted(map(str, b.values)):
        yield Difference("units", a.values, b.values)
    elif {unit.swapcase()[-1] + unit[:-1] for unit in _only(a, b)} & {unit[-1] + unit[:-1] for unit in _only(b, a)}:
        yield Difference("units", _only(a, b), _only(b, a))


def _only(here: Reading, there: Reading) -> list[str]:
    return sorted(str(value) for value in here.values if value not in there.values)


# ── case ────────────────────────────────────────────────────────────────────────────────────────────────────

_BEGINNING_WITH_A_LETTER = re.compile(r"[^\W\d_]\w*")


def cased(text: Text) -> frozenset[str]:
    """Words with a capital beyond their first letter, and the capitalised ones that mean another thing without."""
    plain = text.plain
    if plain.isupper() or plain.islower():
        return frozenset()
    words = [word for word in _BEGINNING_WITH_A_LETTER.findall(plain) if not word.islower()]
    first = plain.lstrip()[:1]
    return frozenset([word for place, word in enumerate(words) if _tells(word, opens=not place and word[0] == first)])


def _tells(word: str, *, opens: bool) -> bool:
    return len(word) > 1 and (not word[1:].islower() or (not opens and word.lower() in NOT_THE_SAME_CAPITALISED))


def is_small(text: str) -> bool:
    """Whether a text is typed without capitals."""
    return not any(map(str.isupper, text))


def compare_case(a: Reading, b: Reading) -> Iterator[Difference]:
    """``case``: a word with telling capitals stands in the other text with others, not only without."""
    if a.values != b.values and (_recased(a, b) or _recased(b, a)):
        yield Difference("case", a.values, b.values)


def _recased(here: Reading, there: Reading) -> bool:
    words = [str(word) for word in here.values if not mentions(there.text.plain, str(word))]
    return not there.text.plain.isupper() and any(_means_another(word, there.text) for word in words)


def _means_another(word: str, text: Text) -> bool:
    """Whether `text`, which does not hold `word` as it is, holds another word in its place."""
    lower = word.lower()
    if not mentions(text.lower, lower):
        return False  # "names" and "identifiers" tell
    if word.isupper():
        return lower in NOT_THE_SAME_IN_CAPITALS
    if word[0].isupper():  # JavaScript may be Javascript, getName may not be getname
        return lower in NOT_THE_SAME_CAPITALISED
    return not is_small(text.plain)
