"""The user's own labels: pairs of questions and whether one answer serves both, and texts with their intents.

A pairs file has the columns `a`, `b` and `same`, and may have `family` (pairs that belong together: the unit of every
split and interval, by default each row is its own), `kind` (near, paraphrase or trap), `slot` (what differs) and
`time` (when `b` was asked, ISO 8601 or Unix seconds). A file of intents has the columns `text` and `intent`, and may
have `family` (texts within an intent that belong together, by default all of it) and `time`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.families import Kind, Pair
from benchmarks.rows import Row, read_rows
from workbench.errors import ConfigurationError

PAIRS = ("a", "b", "same")
INTENTS = ("text", "intent")

SAME = ("1", "1.0", "true", "t", "yes", "y", "same", "duplicate")
DIFFERENT = ("0", "0.0", "false", "f", "no", "n", "different", "not duplicate")


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """The pairs of a file, and how many rows were dropped: `duplicates` say again what an earlier row said (in either
    order), `identical` hold the same text twice, which needs no meaning to be matched."""

    pairs: list[Pair]
    rows: int
    duplicates: int
    identical: int

    def __str__(self) -> str:
        same = sum(pair.same for pair in self.pairs)
        labels = f"{same:,} the same and {len(self.pairs) - same:,} different"
        return (
            f"{self.rows:,} rows: {len(self.pairs):,} pairs, {labels}; "
            f"dropped {self.duplicates:,} duplicates and {self.identical:,} of a text with itself"
        )


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and what its author wants; a request may be answered by an earlier one of the same intent only."""

    text: str
    intent: str
    family: str
    """The unit of every interval: the intent, or a family within it."""
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """The texts of a file, and how many rows were dropped because an earlier one holds the same text."""

    texts: list[LabelledText]
    rows: int
    duplicates: int

    def __str__(self) -> str:
        intents = len({each.intent for each in self.texts})
        read = f"{self.rows:,} rows: {len(self.texts):,} texts of {intents:,} intents"
        return f"{read}; dropped {self.duplicates:,} duplicates"


def read_pairs(path: Path, *, least_units: int = 1) -> LabelledPairs:
    """The pairs of a JSON lines, CSV or Parquet file.

    Raises `ConfigurationError` with file, row and field: a column is missing, a field is empty or unreadable, one pair
    has both labels; or with the file alone when only one label occurs, or there are fewer than `least_units` families.
    """
    seen: dict[tuple[str, str], tuple[bool, str]] = {}
    pairs: list[Pair] = []
    rows = duplicates = identical = 0
    for row in read_rows(path, columns=PAIRS):
        rows += 1
        pair = _pair(row)
        if pair.a == pair.b:
            identical += 1
            continue
        key = (min(pair.a, pair.b), max(pair.a, pair.b))
        same, first = seen.setdefault(key, (pair.same, row.where))
        if same != pair.same:
            raise ConfigurationError(
                f"{row.where}: `same` is {_word(pair.same)}, but {first} calls the same two texts {_word(same)}; "
                "keep one of the two rows"
            )
        if first == row.where:
            pairs.append(pair)
        else:
            duplicates += 1
    _check_classes(path, pairs, least_units)
    return LabelledPairs(pairs, rows, duplicates, identical)


def read_intents(path: Path) -> LabelledTexts:
    """The texts of a file with the columns `text` and `intent`, in order; raises `ConfigurationError`."""
    seen: dict[str, tuple[str, str]] = {}
    found: list[LabelledText] = []
    rows = 0
    for row in read_rows(path, columns=INTENTS):
        rows += 1
        text, intent, family = row.text("text"), row.text("intent"), row.key("family")
        told, first = seen.setdefault(text, (intent, row.where))
        if told != intent:
            raise ConfigurationError(
                f"{row.where}: `intent` is {intent!r}, but {first} gives the same text {told!r}; "
                "keep one of the two rows"
            )
        at_s = row.time_s("time")
        if first == row.where:
            found.append(LabelledText(text, intent, f"{intent}/{family}" if family else intent, at_s))
    if len({each.intent for each in found}) < 2:
        raise ConfigurationError(f"{path} holds {len(found)} texts of fewer than two intents; a stream needs two")
    return LabelledTexts(found, rows, rows - len(found))


def _pair(row: Row) -> Pair:
    a, b, same = row.text("a"), row.text("b"), _label(row)
    if a == b and not same:
        raise ConfigurationError(f"{row.where}: `same` is {_word(same)}, but `a` and `b` are one text; correct the row")
    family = row.key("family") or _own_family(a, b)
    return Pair(a, b, same, _kind(row, same), row.name("slot"), family, row.time_s("time"))


def _own_family(a: str, b: str) -> str:
    """A name made of the texts alone: the row stays in its split when the file grows or moves."""
    return hashlib.sha256("\n".join(sorted((a, b))).encode()).hexdigest()[:16]


def _label(row: Row) -> bool:
    said = row.name("same").lower()
    if said in SAME or said in DIFFERENT:
        return said in SAME
    raise ConfigurationError(
        f"{row.where}: `same` is {said!r}, expected 1, true, yes, same or duplicate, or 0, false, no or different"
    )


def _kind(row: Row, same: bool) -> Kind:
    match (row.name("kind").lower(), same):
        case "", _:
            return "paraphrase" if same else "trap"
        case "near", True:
            return "near"
        case "paraphrase", True:
            return "paraphrase"
        case "trap", False:
            return "trap"
        case said, _:
            expected = "near or paraphrase" if same else "trap"
            raise ConfigurationError(
                f"{row.where}: `kind` is {said!r}, expected {expected} where `same` is {_word(same)}"
            )


def _word(same: bool) -> str:
    return "the same" if same else "different"


def _check_classes(path: Path, pairs: Sequence[Pair], least_units: int) -> None:
    labels = {pair.same for pair in pairs}
    if len(labels) < 2:
        said = f"only pairs that are {_word(labels.pop())}" if labels else "no pair"
        raise ConfigurationError(f"{path} holds {said}: both labels are needed, so nothing was made of it")
    if (units := len({pair.family for pair in pairs})) < least_units:
        raise ConfigurationError(
            f"{path} holds {units} independent pairs (or families of pairs), expected at least {least_units}; "
            "label more, or ask for a larger alpha"
        )
