"""The quantities of a text: numbers, measures, money, dates, times and versions, each in one spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.cache.slots.gazetteer import TECHNOLOGIES
from workbench.cache.slots.measures import (
    AFTER_ONE,
    AMBIGUOUS_DATES,
    BEFORE_A_DATE,
    BEFORE_A_VERSION,
    CALENDAR,
    MONEY,
    MONTHS,
    NOT_ONE,
    NUMBER_WORDS,
    NUMBERISH,
    ORDINAL_WORDS,
    SCALES,
    SUPERLATIVE_ORDINALS,
    TIMES_OF_DAY,
    UNIT_NAMES,
    UNITS,
)
from workbench.cache.slots.quantity import Quantity
from workbench.cache.slots.text import Text

_TOKEN = re.compile(r"([$€£¥₹])?(?<![\w.])(-?)v?(0x[0-9a-f]+|\.?\d+(?:[.,:/-]\d+)*(?:\.x\b)?)(°[cf]?|%|\w*)|[^\W\d_]+")
_DIGIT = re.compile(r"\d")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ISO_DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)")
_SLASH_DATE = re.compile(r"\d{1,4}/\d{1,2}(?:/\d{2,4})?")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::\d\d)?")
_ADDRESS = re.compile(r"(\d+(?:\.\d+){3}):(\d+)")
_VERSION = re.compile(r"\d+(?:\.\d+){2,}|\d+(?:\.\d+)*\.x")
_YEAR = re.compile(r"1[89]\d\d|20\d\d")
_ORDINAL_SUFFIXES = frozenset({"st", "nd", "rd", "th"})
_DEGREES = frozenset({"degree", "degrees"})
_TEMPERATURES = frozenset({"c", "celsius", "centigrade", "f", "fahrenheit"})
_MULTIPLIERS = {"k": 1e3, "m": 1e6, "bn": 1e9}


def quantities(text: Text) -> tuple[Quantity, ...]:
    """Every one in order, spelled-out ones too: "two", "10 ms", "3rd", "March 3", "$5", "half past" not."""
    if not (_DIGIT.search(text.plain) or not NUMBERISH.isdisjoint(text.vocabulary)):
        return ()
    return tuple(_Scan(text).quantities())


class _Scan:
    """One pass over the tokens of a text."""

    def __init__(self, text: Text) -> None:
        self.lower = text.lower
        self.tokens = list(_TOKEN.finditer(text.lower))
        self.words = [token[0] for token in self.tokens]
        self.place = 0

    def quantities(self) -> Iterator[Quantity]:
        while self.place < len(self.tokens):
            token, word = self.tokens[self.place], self.words[self.place]
            if token[3]:
                yield from self._digits(token)
            elif word in NUMBERISH:
                yield from self._word(word)
            self.place += 1

    def _at(self, offset: int) -> str:
        place = self.place + offset
        return self.words[place] if 0 <= place < len(self.words) else ""

    # ── written in digits ──

    def _digits(self, token: re.Match[str]) -> Iterator[Quantity]:
        currency, sign, digits, suffix = token[1], token[2], token[3], token[4]
        if _THOUSANDS.fullmatch(digits):
            digits = digits.replace(",", "")
        if date := _ISO_DATE.fullmatch(digits):
            month = MONTHS[(int(date[2]) - 1) % 12]
            yield from (_date(date[1]), _date(f"{month} {int(date[3])}"))
        elif clock := self._clock(digits, suffix):
            yield Quantity("times", clock, clock, amount=("time of day", clock))
        elif address := _ADDRESS.fullmatch(digits):
            yield from (_number(part) for part in address.groups())
        elif "," in digits:
            yield from (_number(part) for part in digits.split(",") if part)
        elif self._is_version(token, digits):
            yield Quantity("versions", digits, digits, amount=("", _plain(digits)))
        elif found := self._date_part(digits, suffix):
            yield found
        else:
            flag = self._at(-1).isalpha() and self._at(1) not in UNITS  # kill -9
            yield from self._measure(digits if flag else f"{sign}{digits}", currency, suffix)

    def _clock(self, digits: str, suffix: str) -> str:
        following = self._at(1)
        half = suffix if suffix in {"am", "pm"} else following if following in {"am", "pm"} else ""
        if suffix and not half:
            return ""
        if not (clock := _CLOCK.fullmatch(digits)) and not (half and digits.isdigit()):
            return f"{int(digits)}:00" if following == "o" and digits.isdigit() else ""
        if half and half == following:
            self.place += 1
        hour, minutes = (int(clock[1]), clock[2]) if clock else (int(digits), "00")
        return f"{hour % 12 + (12 if half == 'pm' else 0) if half else hour}:{minutes}"

    def _is_version(self, token: re.Match[str], digits: str) -> bool:
        if token[0].startswith("v") or _VERSION.fullmatch(digits):
            return True
        before = self._at(-1)
        named = before in BEFORE_A_VERSION or (before in TECHNOLOGIES and len(before) > 1)
        glued = token.start() > 0 and self.lower[token.start() - 1] == " "
        return named and glued and not token[4] and self._at(1) not in UNITS and not digits.startswith(".")

    def _date_part(self, digits: str, suffix: str) -> Quantity | None:
        if _SLASH_DATE.fullmatch(digits) and (digits.count("/") == 2 or self._at(-1) in {"on", "by", "since"}):
            return _date(digits)
        if not digits.isdigit() or (suffix and suffix not in _ORDINAL_SUFFIXES):
            return None
        month = next((m for m in map(CALENDAR.get, self._around()) if m in MONTHS), None)
        if month and int(digits) <= 31:
            self._consume_month(month)
            return _date(f"{month} {int(digits)}")
        if _YEAR.fullmatch(digits) and (month or self._at(-1) in BEFORE_A_DATE or self._at(-1) in CALENDAR):
            return _date(digits)
        return None

    def _around(self) -> tuple[str, ...]:
        following = self._at(2) if self._at(1) in {"of"} else self._at(1)
        return (following, self._at(-1), self._at(-2) if self._at(-1) == "the" else "")

    def _consume_month(self, month: str) -> None:
        for offset in (1, 2):
            if CALENDAR.get(self._at(offset)) == month:
                self.place += offset
                return

    def _measure(self, digits: str, currency: str | None, suffix: str) -> Iterator[Quantity]:
        scale = (
            SCALES.get(self._at(1)) if not suffix else _MULTIPLIERS.get(suffix) if suffix != "m" or currency else None
        )
        if scale and _is_float(digits):
            digits = _plain(float(digits) * scale)
            self.place += not suffix
            suffix = ""
        if suffix in _ORDINAL_SUFFIXES or suffix.startswith("x"):
            yield _number(digits + suffix)
        elif currency or suffix:
            if (unit := currency or suffix) in UNITS:  # else an identifier: 2fa
                yield _number(digits, unit)
        elif self._at(1) in _DEGREES and self._at(2) in _TEMPERATURES:
            yield _number(digits, self._at(2))
            self.place += 2
        elif self._at(1) in UNITS and self._at(1) != "us":  # dollars
            yield _number(digits, self._at(1))
            self.place += 1
        else:
            yield _number(digits)

    # ── written in words ──

    def _word(self, word: str) -> Iterator[Quantity]:
        if word in SCALES or word in NUMBER_WORDS:
            if word != "one" or not (
                self._at(-1) in NOT_ONE or self._at(1) in AFTER_ONE or self._at(1) not in NUMBERISH
            ):
                yield from self._spelled()
        elif word in CALENDAR:
            if word not in AMBIGUOUS_DATES or self._at(-1) in BEFORE_A_DATE or self._at(1)[:1].isdigit():
                if CALENDAR[word] in MONTHS and self._at(1)[:1].isdigit() and self._day_follows():
                    return
                yield _date(CALENDAR[word])
        elif word in TIMES_OF_DAY:
            yield _part_of_day(TIMES_OF_DAY[word])
        elif word in ORDINAL_WORDS and (month := self._month_after()):
            self._consume_month(month)
            yield _date(f"{month} {ORDINAL_WORDS[word][:-2]}")
        elif word in ORDINAL_WORDS and word not in SUPERLATIVE_ORDINALS and not self._is_unit_second(word):
            yield _number(ORDINAL_WORDS[word])
        elif word in UNIT_NAMES:
            name, dimension, factor = UNITS[word]
            yield Quantity("units", name, "", name, (f"unit {dimension}", factor))

    def _month_after(self) -> str:
        month = CALENDAR.get(self._at(2) if self._at(1) == "of" else self._at(1), "")
        return month if month in MONTHS else ""

    def _day_follows(self) -> bool:
        digits = self.tokens[self.place + 1][3] or ""
        return digits.isdigit() and int(digits) <= 31

    def _is_unit_second(self, word: str) -> bool:
        return word == "second" and self._at(-1) in {"per", "a", "every", "each"}

    def _spelled(self) -> Iterator[Quantity]:
        """One number of several words: "twenty" "one" is 21, "two" "hundred" "and" "five" 205."""
        total, current = 0, 0
        last = 10**12
        place = self.place
        while place < len(self.words):
            word = self.words[place]
            if word in SCALES:
                current = (current or 1) * SCALES[word]
                if SCALES[word] >= 1000:
                    total, current = total + current, 0
                last = SCALES[word]
            elif word in NUMBER_WORDS and self._continues(current, NUMBER_WORDS[word], place, last):
                current += NUMBER_WORDS[word]
                last = NUMBER_WORDS[word]
            elif not (word == "and" and last >= 100 and place > self.place and self._number_at(place + 1)):
                break
            place += 1
        self.place = place - 1
        following = self._at(1)
        unit = following if following in UNITS and (len(following) > 1 or following == "%") else ""
        yield _number(str(total + current), unit)
        if unit:
            self.place += 1

    def _number_at(self, place: int) -> bool:
        return place < len(self.words) and self.words[place] in NUMBER_WORDS

    def _continues(self, current: int, value: int, place: int, last: int) -> bool:
        return (
            place == self.place
            or last in (100, 1000, 10**6, 10**9)
            or (20 <= last < 100 and value < 10 and last % 10 == 0)
        )


def _part_of_day(part: str) -> Quantity:
    return Quantity("times" if ":" in part else "day-part", part, part, amount=("time of day", part))


def _date(value: str) -> Quantity:
    return Quantity("dates", value, value, amount=("", value))


def _number(digits: str, unit: str = "") -> Quantity:
    if not unit:
        return Quantity("numbers", digits, digits, amount=("", _plain(digits)))
    name, dimension, factor = UNITS[unit]
    kind = "money" if dimension in MONEY else "numbers"
    amount = round(float(digits) * factor, 12) if _is_float(digits) else digits
    return Quantity(kind, f"{digits} {name}", digits, name, (dimension, amount))


def _plain(number: float | str) -> str:
    """One spelling of a number: 2.0 is 2; what is none, as it stands."""
    if isinstance(number, str):
        return number
    return str(int(number)) if number == int(number) else str(number)


def _is_float(digits: str) -> bool:
    return digits.lstrip("-").replace(".", "", 1).isdecimal() and digits[-1:] != "."
