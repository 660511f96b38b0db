"""Where the literals of a text stand, and small edits of them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from random import Random

from benchmarks.traps import english
from benchmarks.traps.words import kinds

_MONTH = r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
_MONTH += r"|nov(?:ember)?|dec(?:ember)?"
_CURRENCY = r"dollars?|bucks|euros?|pounds|yen|rupees|usd|eur|gbp|cents"
_PRODUCTS = "|".join(sorted(map(re.escape, english.kinds(kinds.TECHNOLOGY)), key=len, reverse=True))

NUMBER = re.compile(r"(?<![\w.,:/$€£#'-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w'-]|[.,:/]\w)")
GLUED = re.compile(r"(?<![\w.,:/$€£#-])\d+(?=(?:ms|s|km|kb|mb|gb|tb|kg|g|m|cm|mm|k|px|%|st|nd|rd|th|x|-\w+)\b|%)", re.I)
VERSION = re.compile(
    rf"(?:\b(?:{_PRODUCTS}|node|version|release|ipv|http/) ?v?|\bv)(\d+(?:\.\d+)*)\b|\b(\d+\.\d+\.\d+)\b(?!\.)", re.I
)
MONEY = re.compile(
    rf"(?<!['\"`])[$€£] ?(\d[\d,.]*\d|[1-9])|\b(\d[\d,.]*\d|\d)(?=(?: ?[€£]| (?:us |canadian )?(?:{_CURRENCY})\b))",
    re.I,
)
ID = re.compile(
    r"#(\d+)\b|\b(?:order|ticket|issue|invoice|booking|case|pr|tracking|flight|account|room|id|number|no\.?|bug"
    r"|exit code|error|status|code)(?: number| id| code)? ?#?([A-Z]{0,3}-?\d+)\b"
    r"|\b(\d{5,}|[A-Z]{2,}-\d+|(?=[a-f]*\d)[a-f0-9]{7,40})\b",
    re.I,
)
TIME = re.compile(r"\b(\d{1,2}):(\d\d)\b|\b(\d{1,2})(?= ?(?:[ap]\.?m\b|o'clock))", re.I)
MERIDIEM = re.compile(r"(?<=\d)( ?)([ap])(\.?m\b)", re.I)
DAY = re.compile(
    rf"\b(?:{_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b|\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?:{_MONTH})\b", re.I
)
YEAR = re.compile(r"(?<![\w.,:/$€£#-])(1[4-9]\d\d|20\d\d)(?=s?\b)(?![.,:/-]?\d)")
ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)")
CODE = re.compile(r"```(.+?)```|`([^`\n]+)`|\b([A-Za-z_][\w.]*\([^()\n]*\))", re.DOTALL)
URL = re.compile(r"\b((?:[a-z][a-z+]*://|www\.)[^\s\"'`<>)]*[\w/])", re.I)
EMAIL = re.compile(r"\b([\w.+-]+@[\w-]+(?:\.[\w-]+)+)\b")
PATH = re.compile(
    r"(?<![\w/.:])((?:~|\.{1,2}|\$\w+)?/[\w.@%+~*-]+(?:/[\w.@%+~*-]*)*|[A-Za-z]:\\[^\s\"'`]+|\b[a-z_]\w*/[\w./-]+\.\w+)"
)
FLAG = re.compile(r"(?<!\S)(--?[A-Za-z][\w-]*)(?=[\s=,?.:;!]|$)")
NAME = re.compile(
    r"(?<![\w./\\@-])(\$[A-Za-z_]\w*|\$?\{\w+\}|\w*[a-z]\w*_\w+|[A-Z][A-Z0-9]*_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|[*?]?\.[a-z]\w{0,5}"
    r"|[\w*?-]*[A-Za-z*]\w*\.(?:[a-z]\w{0,4})|[A-Za-z]+\d+[a-z]?)(?![\w/@(-]|\.\w)"
)

# ── one small edit ──────────────────────────────────────────────────────────────────────────────────────────

_PARTS = english.kinds(kinds.PARTS_OF_NAMES, between=" ")
_PART = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}(?![a-z])")
_AFFIXES = ("2", "_old", "_new", "1", "s", "_v2")


def _other_digits(digits: str, rng: Random) -> str:
    """Another number of about that size: neighbours changed places, one digit changed, one more, one less, tenfold."""
    edits: list[Callable[[], str]] = [lambda: _one_digit(digits, rng)]
    swaps = [at for at in range(1, len(digits) - 1) if digits[at] != digits[at + 1]]
    if swaps:
        edits += [lambda: _swapped(digits, rng.choice(swaps))] * 2
    if len(digits) <= 4:
        edits += [lambda: str(int(digits) + rng.choice((1, 2, 5))), lambda: digits + "0" if int(digits) else "1"]
        edits += [lambda: str(max(int(digits) - 1, 0)), lambda: str(int(digits) * 2)]
    made = rng.choice(edits)()
    return made if int(made) != int(digits) else _one_digit(digits, rng)


def _swapped(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _one_digit(digits: str, rng: Random) -> str:
    at = rng.randrange(len(digits))
    choices = [digit for digit in ("123456789" if at == 0 else string.digits) if digit != digits[at]]
    return digits[:at] + rng.choice(choices) + digits[at + 1 :]


def other_number(number: str, rng: Random) -> str:
    """One run of digits of `number` changed, its thousands' commas put right."""
    plain = re.sub(r",(?=\d{3})", "", number)
    runs = list(re.finditer(r"\d+", plain))
    run = rng.choice(runs)
    made = plain[: run.start()] + _other_digits(run[0], rng) + plain[run.end() :]
    return f"{int(made):,}" if "," in number and made.isdigit() else made


def nudged(token: str, rng: Random) -> str:
    """`token`, a name of some sort, with one part exchanged: a known word, an ending, a digit or a letter."""
    ways = []
    parts = [part for part in _PART.finditer(token) if part[0].lower() in _PARTS]
    if parts:
        ways += [lambda: _other_part(token, rng.choice(parts), rng)] * 3
    if re.fullmatch(r"[A-Za-z]{1,4}\d+[a-z]?", token):
        return other_number(token, rng)
    if re.search(r"\d", token):
        ways += [lambda: other_number(token, rng)]
    if re.search(r"[A-Za-z]{3}", token):
        ways += [lambda: _other_letter(token, rng)]
    if re.fullmatch(r"[\w$]+", token) and len(token) > 2:
        ways += [lambda: token + rng.choice(_AFFIXES)]
    made = rng.choice(ways)() if ways else _other_letter(token, rng)
    return made if made.casefold() != token.casefold() else token + "2"


def _other_part(token: str, part: re.Match[str], rng: Random) -> str:
    new = english.cased(part[0], rng.choice(_PARTS[part[0].lower()]))
    return token[: part.start()] + new + token[part.end() :]


def _other_letter(token: str, rng: Random) -> str:
    places = [at for at, letter in enumerate(token) if letter.isalpha() and letter.isascii()]
    if not places:
        return token + "2"
    at = rng.choice(places[1:] or places)
    letters = string.ascii_uppercase if token[at].isupper() else string.ascii_lowercase
    return token[:at] + rng.choice([letter for letter in letters if letter != token[at]]) + token[at + 1 :]


def edited(text: str, rng: Random, pattern: re.Pattern[str], edit: Callable[[str, Random], str]) -> str | None:
    """`text` with one group of one match of `pattern` edited."""
    places = [
        found.span(group) for found in pattern.finditer(text) for group in range(1, pattern.groups + 1) if found[group]
    ]
    if not places:
        return None
    start, end = rng.choice(places)
    return text[:start] + edit(text[start:end], rng) + text[end:]


# ── numbers that are numbers ────────────────────────────────────────────────────────────────────────────────


def _taken(text: str) -> list[tuple[int, int]]:
    """Where digits are more than a number: quotations, code, versions, money, ids, times, dates, paths."""
    patterns = (QUOTED, CODE, VERSION, MONEY, ID, TIME, DAY, YEAR, ISO, PATH, URL)
    return [found.span() for pattern in patterns for found in pattern.finditer(text)]


def is_bare_number(text: str, start: int, end: int) -> bool:
    """Whether the digits here count or measure something, and are no part of a date, a version, an id and the like."""
    return not any(taken_from < end and start < taken_to for taken_from, taken_to in _taken(text))
