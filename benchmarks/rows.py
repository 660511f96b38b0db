"""Rows of a table that somebody else wrote: JSON lines, CSV or Parquet → named fields, each row with its place.

Every error names the file and, where there is one, the row (of a text file, its line) and the field.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.compile_embedder import study_module
from workbench.errors import ConfigurationError

FORMS = ".jsonl, .csv and .tsv (each also with .gz) and .parquet"
JSON_LINES = (".jsonl", ".ndjson")
SEPARATED = {".csv": ",;\t", ".tsv": "\t"}
"""Which separators a header may have; the first that gives all columns is taken."""

TIMES_S = (1e8, 1e11)
"""What passes for Unix seconds, 1973 to 5138: less is a date without dashes or a count, more are milliseconds."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_BLANK_LINES = re.compile(r"(?:[ \t]*(?:\r\n|\r|\n))*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and what it says, by column."""

    where: str
    fields: Mapping[str, Any]

    def text(self, column: str) -> str:
        """This field's text without surrounding blanks; raises `ConfigurationError` when it is empty or no text."""
        value = self.fields.get(column)
        if not isinstance(value, str) and not _is_absent(value):
            raise ConfigurationError(f"{self.where}: `{column}` holds {_told(value)}, expected a text")
        if not (text := value.strip() if isinstance(value, str) else ""):
            raise ConfigurationError(f"{self.where}: `{column}` is empty, expected a text; fill it in, or drop the row")
        if "\0" in text:
            raise ConfigurationError(f"{self.where}: `{column}` holds a NUL character, expected a text; take it out")
        return text

    def name(self, column: str) -> str:
        """This field as a name, "" when it is absent; a number is a name too."""
        value = self.fields.get(column)
        return "" if _is_absent(value) else str(value).strip()

    def key(self, column: str) -> str:
        """The same for what groups rows: raises `ConfigurationError` when it is neither a text nor a whole number.

        A fraction or a list may be spelled in two ways, and would part what belongs together.
        """
        value = self.fields.get(column)
        if not _is_absent(value) and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise ConfigurationError(
                f"{self.where}: `{column}` holds {_told(value)}, expected a text or a whole number, or nothing"
            )
        return self.name(column)

    def time_s(self, column: str) -> float | None:
        """This field as Unix seconds, None when it is absent: ISO 8601 (UTC where no zone is told) or Unix seconds."""
        value = self.fields.get(column)
        if _is_absent(value) or (isinstance(value, str) and not value.strip()):
            return None
        if (found := _seconds(value)) is None:
            raise ConfigurationError(
                f"{self.where}: `{column}` holds {_told(value)}, expected ISO 8601 (2026-03-01T12:00:00Z) or Unix "
                f"seconds from {TIMES_S[0]:.0e} to {TIMES_S[1]:.0e}, or nothing"
            )
        return found


class MissingColumn(ConfigurationError):
    """The table lacks a column that was asked for; `where` it should stand, and which columns are `there`."""

    def __init__(self, where: str, there: str, columns: Sequence[str], missing: str) -> None:
        super().__init__(f"{where}: the column `{missing}` is missing, there is {there}; expected {', '.join(columns)}")
        self.where = where
        self.there = there


def fitting_columns(path: Path, forms: Sequence[Sequence[str]]) -> Sequence[str]:
    """The first of these sets of columns that the table's first row has; raises `ConfigurationError`."""
    for columns in forms:
        try:
            next(read_rows(path, columns=columns), None)
        except MissingColumn as error:
            missing = error
        else:
            return columns
    expected = ", or ".join(", ".join(columns) for columns in forms)
    raise ConfigurationError(f"{missing.where}: there is {missing.there}; expected the columns {expected}")


def read_rows(path: Path, *, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of this file, in order, empty lines left out; raises `ConfigurationError`.

    Each has at least these `columns`; others are kept. Column names are read without regard to case, and occur once.
    """
    form = path.with_suffix("").suffix if _is_packed(path) else path.suffix
    try:
        if form.lower() in JSON_LINES:
            yield from _json_rows(path, _read_text(path), columns)
        elif form.lower() in SEPARATED:
            yield from _separated_rows(path, _read_text(path), columns, SEPARATED[form.lower()])
        elif path.suffix.lower() == ".parquet":
            yield from _parquet_rows(path, columns)
        else:
            raise ConfigurationError(f"{path} ends in {path.suffix or 'nothing'!r}, expected one of {FORMS}")
    except (OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"cannot read {path}: {said}; check the path, and whether the file is whole") from None


def _read_text(path: Path) -> str:
    """The file as text: UTF-8, with or without a byte order mark."""
    data = gzip.decompress(path.read_bytes()) if _is_packed(path) else path.read_bytes()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]:  # a NUL further on is named with its row
        raise ConfigurationError(f"{path}:1: byte 0x{data[0]:02x} begins UTF-16 or no text; save the file as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, place = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1)
        raise ConfigurationError(
            f"{path}:{line}: byte 0x{data[error.start]:02x}, the {place + 1}. of the line, is not UTF-8 (Latin-1 or "
            "Windows-1252 perhaps); save the file as UTF-8"
        ) from None


def _json_rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a text may hold other line ends
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            found = orjson.loads(line)
            pairs = json.loads(line, object_pairs_hook=list, parse_int=str, parse_float=str)  # also the repeated names
        except (orjson.JSONDecodeError, RecursionError) as error:
            raise ConfigurationError(f"{where}: the line is no JSON ({error}); expected one object a line") from None
        if not isinstance(found, dict):
            raise ConfigurationError(f"{where}: the line holds {_told(found)}, expected a JSON object")
        _check_columns(where, _names([name for name, _ in pairs]), columns)
        yield Row(where, dict(zip(_names(list(found)), found.values(), strict=True)))


def _separated_rows(path: Path, text: str, columns: Sequence[str], separators: str) -> Iterator[Row]:
    blank = _BLANK_LINES.match(text)
    skipped = len(blank[0].splitlines()) if blank else 0
    text = text[blank.end() :] if blank else text
    try:
        separator, names = _header(text, columns, separators)
    except csv.Error as error:
        raise ConfigurationError(
            f"{path}:{skipped + 1}: the header is not readable ({error}); expected {', '.join(columns)}"
        ) from None
    _check_columns(f"{path}:{skipped + 1}", names, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(reader)
        yield from _csv_rows(path, reader, names, skipped)
    except csv.Error as error:
        line = skipped + reader.line_num
        raise ConfigurationError(f"{path}:{line}: not readable ({error}); check the quotes") from None


def _header(text: str, columns: Sequence[str], separators: str) -> tuple[str, list[str]]:
    """The separator and the columns' names; those of the first separator when none gives all columns."""
    found = [
        (separator, _names(next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])))
        for separator in separators
    ]
    return next((each for each in found if set(columns) <= set(each[1])), found[0])


def _csv_rows(path: Path, reader: Any, names: Sequence[str], skipped: int) -> Iterator[Row]:
    """The rows behind the header, before which `skipped` lines stood; Any: `csv.reader`'s type has no public name."""
    start = skipped + reader.line_num + 1
    for values in reader:
        where, start = f"{path}:{start}", skipped + reader.line_num + 1
        if not values:
            continue
        if len(values) != len(names):
            raise ConfigurationError(
                f"{where}: the row has {len(values)} fields, the header {len(names)}; quote texts that hold a separator"
            )
        yield Row(where, dict(zip(names, values, strict=True)))


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    parquet = study_module("pyarrow.parquet")
    try:
        table = parquet.read_table(path)
    except ValueError as error:  # the library's own errors are kinds of it
        raise ConfigurationError(f"{path} is no Parquet file ({error}); write it again") from None
    names = _names(table.column_names)
    _check_columns(str(path), names, columns)
    for number, values in enumerate(table.to_pylist(), 1):
        yield Row(f"{path}: row {number}", dict(zip(names, values.values(), strict=True)))


def _names(header: Sequence[str]) -> list[str]:
    return [name.strip().casefold() for name in header]


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _check_columns(where: str, seen: Sequence[str], columns: Sequence[str]) -> None:
    """Columns without a name may be many: nothing asks for them."""
    if twice := [name for name, times in Counter(seen).items() if name and times > 1]:
        raise ConfigurationError(
            f"{where}: there are two columns `{twice[0]}` (case does not count), expected one; rename or drop the other"
        )
    if missing := [name for name in columns if name not in seen]:
        raise MissingColumn(where, ", ".join(f"`{name}`" for name in seen) or "nothing", columns, missing[0])


def _seconds(value: object) -> float | None:
    """Unix seconds, None for what is no time."""
    match value:
        case str() if not _NUMBER.fullmatch(value.strip()):
            return _iso_seconds(value.strip())
        case datetime():
            return _moment_s(value)
        case date():
            return _moment_s(datetime(value.year, value.month, value.day))
        case str() | int() | float() if not isinstance(value, bool):
            number = float(value)
            return number if TIMES_S[0] <= number < TIMES_S[1] else None
        case _:
            return None


def _iso_seconds(text: str) -> float | None:
    try:
        return _moment_s(datetime.fromisoformat(text))
    except ValueError:
        return None


def _moment_s(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_absent(value: object) -> bool:
    return value is None or value != value or value == ""  # only NaN, a table's empty field, differs from itself


def _told(value: object) -> str:
    shown = repr(value)
    return f"{shown if len(shown) <= 40 else shown[:37] + '…'} ({type(value).__name__})"
