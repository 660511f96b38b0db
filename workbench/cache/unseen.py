"""What an uncased tokenizer does not see, and a meaning may hang on: small readers, text → values, as in `slots`.

Such an embedder drops case, accents, invisible characters, line breaks and indentation, and hardly weighs an operator
or a one-letter name: "x < y" and "x > y", "schon" and "schön", "US" and "us" are as good as equal to it.
"""

from __future__ import annotations

import re
import unicodedata

from workbench.cache.lexicon import AFTER_A_LETTER, NOT_THE_SAME_CAPITALISED, UNITS

# ── characters ──────────────────────────────────────────────────────────────────────────────────────────────

_SPACES = re.compile("[ \t\n\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_LATIN = re.compile("[A-Za-z]")
_LOOKING_LATIN = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_PUNCTUATION = re.compile("[\\s!-/:-@\\[-`{-~…«»‹›„‚—―¿¡、。，！？：；「」『』（）·•]+")
_READ_AS_NUMBERS = str.maketrans("€£", "  ")


def invisibles(text: str) -> tuple[str, ...]:
    """Words that hold a character nobody sees, or letters of Latin and of an alphabet that looks like it; escaped."""
    if text.isascii() and text.isprintable():
        return ()
    return tuple(word.encode("unicode_escape").decode() for word in _SPACES.split(text) if _deceives(word))


def _deceives(word: str) -> bool:
    return not word.isprintable() or bool(_LATIN.search(word) and _LOOKING_LATIN.search(word))


def accented(text: str) -> tuple[str, ...]:
    """Every word with a letter or sign beyond ASCII, composed and in lower case, in order."""
    if text.isascii():
        return ()
    # Not casefold: it would turn "Maße" into "Masse".
    composed = unicodedata.normalize("NFC", text).lower().translate(_READ_AS_NUMBERS)
    return tuple(word for word in _PUNCTUATION.split(composed) if not word.isascii())


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────


def layout(text: str) -> tuple[str, ...]:
    """For each line of several its indentation and, but for the first, how many words it has."""
    lines = text.rstrip().lstrip("\n").split("\n")
    if len(lines) == 1:
        return ()
    # The first is most often prose, which may be put in other words.
    return tuple(f"{_indent(line)!r}:{len(line.split()) if place else ''}" for place, line in enumerate(lines))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


# ── operators and one-letter names ──────────────────────────────────────────────────────────────────────────

_OPERATORS = re.compile(r"[<>=!+\-*/%&|~^\\]+|[\[\]{}()]")
_ROUND = frozenset("()")
_LETTER = re.compile(r"(?<![\w.])(?<!\w')[^\W\d_](?!\w|'\w\w|\.\w|-\w\w)")
_NEXT = re.compile(r"\s+(\w+)")


def operators(text: str) -> tuple[str, ...]:
    """Every operator and bracket, in order; round brackets only beside others, for prose has them too."""
    found = tuple(found[0] for found in _OPERATORS.finditer(text) if _operates(text, found))
    return () if _ROUND.issuperset(found) else found


def _operates(text: str, found: re.Match[str]) -> bool:
    run, before, after = found[0], text[: found.start()][-1:], text[found.end() : found.end() + 1]
    if run.strip("!") == "":
        return after.isalnum() or after in {"(", "_"}  # not the end of an exclamation
    if run in {"-", "/"}:
        return not (before.isalnum() or after.isalnum() or before in {".", "~"})  # well-known, -5, -v, and/or, ./x
    if run in {"--", "~/"}:
        return before.isalnum() or not after.isalnum()  # i--; flags and paths have slots of their own
    if run == "%":
        return after.isalnum() or not before.isdigit()  # 5%
    return not (run[0] == "/" and before == ":")  # https://


def letters(text: str) -> tuple[str, ...]:
    """Every one-letter name in order, in lower case: "x", "C"; neither articles, nor "I", nor units."""
    return tuple(found[0].lower() for found in _LETTER.finditer(text) if _is_variable(text, found))


def _is_variable(text: str, found: re.Match[str]) -> bool:
    letter, before, after = found[0].lower(), text[: found.start()].rstrip()[-1:], text[found.end() :].lstrip()[:1]
    if letter in UNITS and before.isdigit():
        return False  # 5 m
    in_formula = before in _BESIDE_NAMES or after in _BESIDE_NAMES
    if letter not in {"a", "i"} or in_formula:
        return True
    following = _NEXT.match(text, found.end())
    return letter == "a" and (following is None or following[1].lower() in AFTER_A_LETTER)


_BESIDE_NAMES = frozenset("<>=+*/%&|^[]")

# ── case ────────────────────────────────────────────────────────────────────────────────────────────────────

_WITH_CAPITAL = re.compile(r"(?<![^\W_])[^\W\d_]*[A-Z]\w*")
_ORDINARY_CAPITALS = re.compile(r"(?:^|[.?!:\n])\s*\w|\bI\b")


def cased(text: str) -> frozenset[str]:
    """Words with a capital beyond their first letter, and the capitalised ones that mean another thing without."""
    if text.isupper() or text.islower():
        return frozenset()
    found = ((word[0], word.start()) for word in _WITH_CAPITAL.finditer(text))
    return frozenset(word for word, start in found if any(map(str.isupper, word[1:])) or (start and _is_telling(word)))


def _is_telling(word: str) -> bool:
    return word.lower() in NOT_THE_SAME_CAPITALISED


def is_small(text: str, *, but_ordinary_capitals: bool = False) -> bool:
    """Whether a text is typed without capitals, or without any but those that every sentence has."""
    if but_ordinary_capitals:
        text = _ORDINARY_CAPITALS.sub("", text)
    return not any(map(str.isupper, text))
