"""Traps made by a small edit of a literal: numbers, dates, money, ids, quotations, code, paths, flags, addresses."""

from __future__ import annotations

import re
from random import Random

from benchmarks.traps import english
from benchmarks.traps.literals import (
    CODE,
    DAY,
    EMAIL,
    FLAG,
    GLUED,
    ID,
    ISO,
    MERIDIEM,
    MONEY,
    NAME,
    NUMBER,
    PATH,
    QUOTED,
    TIME,
    URL,
    VERSION,
    YEAR,
    edited,
    is_bare_number,
    nudged,
    other_number,
)
from benchmarks.traps.words import kinds
from benchmarks.traps.words.calendar import DATES, NUMBER_WORDS, ORDINALS, TIMES

_KNOWN_NAMES = {*english.kinds(kinds.TECHNOLOGY), *english.kinds(kinds.NAMES)}
_FLAGS = english.kinds(kinds.FLAGS, between=" ")


def number(text: str, rng: Random) -> str | None:
    """“3 files” → “4 files”."""
    found = [hit.span() for pattern in (NUMBER, GLUED) for hit in pattern.finditer(text)]
    free = [span for span in found if is_bare_number(text, *span)]
    if not free:
        return None
    start, end = rng.choice(free)
    made = other_number(text[start:end], rng)
    ending = re.match(r"(?:st|nd|rd|th)\b", text[end:])
    if ending:
        made, end = ordinal(made), end + 2
    return text[:start] + made + text[end:]


def ordinal(digits: str) -> str:
    """“22” → “22nd”."""
    ending = "th" if digits[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")
    return digits + ending


def _no_pronoun(text: str, start: int, end: int, key: str) -> bool:
    return key != "one" or (
        text[end : end + 1] == " "
        and not re.search(
            r"\b(?:which|that|this|the|any|no|each|every|new|other|another|some|someone|in|by) $", text[:start], re.I
        )
        and not re.match(r" (?:of|with|by|that|which|is|in|on|for|to|from|and|or|place)\b", text[end:])
    )


def number_word(text: str, rng: Random) -> str | None:
    """“two weeks” → “three weeks”."""
    return english.swap(text, rng, NUMBER_WORDS, fits=_no_pronoun)


def ordinal_word(text: str, rng: Random) -> str | None:
    """“the third line” → “the second line”."""
    return english.swap(
        text, rng, ORDINALS, fits=lambda text, start, _end, _key: bool(re.search(r"\bthe $", text[:start]))
    )


def version(text: str, rng: Random) -> str | None:
    """“Python 3.9” → “Python 3.12”."""
    return edited(text, rng, VERSION, lambda old, rng: _other_version(old, rng))


def _other_version(old: str, rng: Random) -> str:
    """One part of a version a little higher or lower."""
    parts = old.split(".")
    at = rng.choice((0, len(parts) - 1, len(parts) - 1))
    steps = [step for step in (-2, -1, 1, 2, 3) if int(parts[at]) + step > 0]
    parts[at] = str(int(parts[at]) + rng.choice(steps)).zfill(len(parts[at]))
    return ".".join(parts)


def money(text: str, rng: Random) -> str | None:
    """“$20” → “$200”."""
    if _SHELL.search(text):
        return None
    return edited(text, rng, MONEY, other_number)


_SIGNS = re.compile(r"(?<!['\"`])([$€£])(?= ?[1-9])")
_SHELL = re.compile(r"\b(?:file|folder|directory|argument|script|path|variable)", re.IGNORECASE)
_WEIGHT = re.compile(r"\b(?:kg|kilo|weigh|lbs?|ounces?|grams?)", re.IGNORECASE)


def currency(text: str, rng: Random) -> str | None:
    """“$20” → “€20”, “20 dollars” → “20 euros”."""
    if _SHELL.search(text) or _WEIGHT.search(text):
        return None
    signed = edited(text, rng, _SIGNS, lambda old, rng: rng.choice([sign for sign in "$€£" if sign != old]))
    return signed or english.swap(text, rng, english.kinds(kinds.CURRENCIES))


def id_number(text: str, rng: Random) -> str | None:
    """“order 48213” → “order 48231”."""
    return edited(text, rng, ID, lambda old, rng: other_number(old, rng) if re.search(r"\d", old) else nudged(old, rng))


def time(text: str, rng: Random) -> str | None:
    """“at 5pm” → “at 5am”, “10:30” → “10:45”."""
    if MERIDIEM.search(text) and rng.random() < 0.5:
        return MERIDIEM.sub(lambda found: found[1] + _flip(found[2]) + found[3], text, count=1)
    return edited(text, rng, TIME, _other_time)


def _flip(letter: str) -> str:
    return {"a": "p", "p": "a", "A": "P", "P": "A"}[letter]


def _other_time(old: str, rng: Random) -> str:
    if len(old) == 2 and int(old) > 12:
        return rng.choice([minutes for minutes in ("15", "20", "30", "45") if minutes != old])
    return str(rng.choice([hour for hour in range(1, 13) if hour != int(old)])).zfill(len(old))


def time_word(text: str, rng: Random) -> str | None:
    """“in the morning” → “in the evening”."""
    return english.swap(text, rng, TIMES)


def date(text: str, rng: Random) -> str | None:
    """Another day, month or year: "1999" → "1989", "March 3" → "March 13"."""
    made = edited(text, rng, ISO, _other_in_iso) or edited(text, rng, DAY, _other_day)
    if made:
        return re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", lambda found: ordinal(found[1]), made)
    return edited(text, rng, YEAR, lambda old, rng: str(int(old) + rng.choice((-10, -2, -1, 1, 2, 5))))


def _other_in_iso(old: str, rng: Random) -> str:
    return str(int(old) - rng.choice((1, 2))) if len(old) == 4 else _other_day(old, rng).zfill(2)


def _other_day(old: str, rng: Random) -> str:
    return str(rng.choice([day for day in range(1, 13) if day != int(old)]))


def date_word(text: str, rng: Random) -> str | None:
    """“on Monday” → “on Friday”, “tomorrow” → “yesterday”; “may” and “march” only as written after a preposition."""
    made = english.swap(text, rng, DATES, fits=_is_a_date)
    return made.lower() if made and text.islower() else made


def _is_a_date(text: str, start: int, _end: int, key: str) -> bool:
    if key not in {"may", "march", "mar"}:
        return True
    return bool(re.search(r"\b(?:in|since|until|by|of|from|to|before|after|last|next|this|\d) $", text[:start], re.I))


def quotation(text: str, rng: Random) -> str | None:
    """Something else between the same quotation marks."""
    return edited(text, rng, QUOTED, nudged)


def code(text: str, rng: Random) -> str | None:
    """Something else between the backticks."""
    return edited(text, rng, CODE, nudged)


def identifier(text: str, rng: Random) -> str | None:
    """“user_id” → “order_id”, “*.log” → “*.csv”."""
    return edited(text, rng, NAME, lambda old, rng: old if old.lower() in _KNOWN_NAMES else nudged(old, rng))


def path(text: str, rng: Random) -> str | None:
    """“/var/log” → “/var/lib”."""
    return edited(text, rng, PATH, nudged)


def flag(text: str, rng: Random) -> str | None:
    """“-r” → “-f”, “--hard” → “--soft”."""
    return edited(text, rng, FLAG, _other_flag)


def _other_flag(old: str, rng: Random) -> str:
    if not old.startswith("--"):
        at = rng.randrange(1, len(old))
        return (
            old[:at]
            + rng.choice([other for other in "abcdefhilnoprstuvxz" if other not in old.lower()])
            + old[at + 1 :]
        )
    if old.startswith("--no-"):
        return "--" + old[5:]
    known = _FLAGS.get(old[2:].lower())
    return "--" + rng.choice(known) if known else rng.choice(("--no-" + old.lstrip("-"), nudged(old, rng)))


def url(text: str, rng: Random) -> str | None:
    """Another address of the same look."""
    return edited(text, rng, URL, _other_url)


def _other_url(old: str, rng: Random) -> str:
    scheme, between, rest = old.partition("://")
    return scheme + between + nudged(rest, rng) if between else nudged(old, rng)


def email(text: str, rng: Random) -> str | None:
    """Another mailbox of the same look."""
    return edited(text, rng, EMAIL, nudged)


MAKERS = {
    "numbers": (number, number_word, ordinal_word),
    "versions": (version,),
    "money": (money, currency),
    "ids": (id_number,),
    "times": (time, time_word),
    "dates": (date, date_word),
    "quotes": (quotation,),
    "code": (code,),
    "identifiers": (identifier,),
    "paths": (path,),
    "flags": (flag,),
    "urls": (url,),
    "emails": (email,),
}
"""Slot → its makers."""
