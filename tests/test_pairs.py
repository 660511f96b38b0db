"""The user's own pairs: what is read, what is dropped, and what each error names."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from benchmarks.pairs import INTENTS, PAIRS, LabelledPairs, LabelledText, read_intents, read_pairs
from benchmarks.rows import fitting_columns
from workbench.errors import ConfigurationError

TWO = "a,b,same\nHow do I sort?,how to sort,1\nEnable it,Disable it,0\n"


def written(folder: Path, text: str | bytes, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def said(folder: Path, text: str | bytes, name: str = "pairs.csv") -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_pairs(written(folder, text, name))
    return str(caught.value).removeprefix(f"{folder}/")


def labels(found: LabelledPairs) -> list[tuple[str, str, bool]]:
    return [(pair.a, pair.b, pair.same) for pair in found.pairs]


BOTH = [("How do I sort?", "how to sort", True), ("Enable it", "Disable it", False)]

LINES = (
    '{"a": "How do I sort?", "b": "how to sort", "same": true}\n\n'
    '{"a": "Enable it", "b": "Disable it", "same": 0, "slot": "antonyms"}\n'
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", TWO.encode()),
        ("pairs.csv", b"\xef\xbb\xbf" + TWO.encode()),
        ("pairs.csv", TWO.replace(",", ";").replace("\n", "\r\n").encode()),
        ("pairs.tsv", TWO.replace(",", "\t").encode()),
        ("pairs.csv.gz", gzip.compress(TWO.encode())),
        ("pairs.csv.GZ", gzip.compress(TWO.encode())),
        ("pairs.csv", b"\n \t\r\n\n" + TWO.encode()),
        ("pairs.csv", TWO.replace("a,b,same", "A, B ,Same").encode()),
        ("pairs.jsonl", LINES.encode()),
        ("pairs.jsonl.gz", gzip.compress(LINES.encode())),
    ],
)
def test_each_form_gives_the_same_pairs(tmp_path: Path, name: str, text: bytes) -> None:
    assert labels(read_pairs(written(tmp_path, text, name))) == BOTH


def test_parquet_gives_the_same_pairs_and_names_the_row(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is in the study extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"a": [pair[0] for pair in BOTH], "b": [pair[1] for pair in BOTH], "same": [pair[2] for pair in BOTH]}
    parquet.write_table(arrow.table(columns), tmp_path / "pairs.parquet")
    assert labels(read_pairs(tmp_path / "pairs.parquet")) == BOTH
    parquet.write_table(arrow.table(columns | {"same": [True, None]}), tmp_path / "pairs.parquet")
    with pytest.raises(ConfigurationError, match=r"pairs\.parquet: row 2: `same` is ''"):
        read_pairs(tmp_path / "pairs.parquet")
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(ConfigurationError, match="is no Parquet file"):
        read_pairs(tmp_path / "pairs.parquet")


@pytest.mark.parametrize("yes", ["1", "1.0", "TRUE", "Yes", "y", "same", "Duplicate"])
@pytest.mark.parametrize("no", ["0", "0.0", "false", "NO", "n", "different", "not duplicate"])
def test_labels_have_many_spellings(tmp_path: Path, yes: str, no: str) -> None:
    found = read_pairs(written(tmp_path, f"a,b,same\nx,y,{yes}\nx,z,{no}\n"))
    assert [pair.same for pair in found.pairs] == [True, False]


def test_each_row_is_a_family_of_its_own_unless_it_names_one(tmp_path: Path) -> None:
    found = read_pairs(written(tmp_path, "a,b,same,family,kind,slot\na,b,1,f,near,\na,c,0,f,,numbers\nd,e,0,,,\n"))
    one, two, three = found.pairs
    assert one.family == two.family == "f"
    assert three.family not in ("", "f")
    assert [pair.kind for pair in found.pairs] == ["near", "trap", "trap"]
    assert two.slot == "numbers"


def test_a_family_may_be_a_whole_number_or_absent(tmp_path: Path) -> None:
    row = '{"a": "x", "b": "%s", "same": %d, "family": %s}\n'
    text = row % ("y", 1, 7) + row % ("z", 0, '"7"') + row % ("w", 0, "null")
    families = [pair.family for pair in read_pairs(written(tmp_path, text, "pairs.jsonl")).pairs]
    assert families[:2] == ["7", "7"]
    assert families[2] not in ("7", "")


def test_columns_without_a_name_may_be_many(tmp_path: Path) -> None:
    assert labels(read_pairs(written(tmp_path, "a,b,same,,\nx,y,1,,\nx,z,0,,\n"))) == [
        ("x", "y", True),
        ("x", "z", False),
    ]


def test_a_row_stays_in_its_family_when_the_file_grows_or_moves(tmp_path: Path) -> None:
    before = read_pairs(written(tmp_path, TWO))
    after = read_pairs(written(tmp_path, TWO.replace("same\n", "same\nx,y,1\n"), "other.csv"))
    assert [pair.family for pair in before.pairs] == [pair.family for pair in after.pairs[1:]]


def test_repeats_are_dropped_and_counted_in_either_order(tmp_path: Path) -> None:
    found = read_pairs(written(tmp_path, TWO + "how to sort,How do I sort?,1\nEnable it,Disable it,0\nx,x,1\n"))
    assert labels(found) == BOTH
    assert (found.rows, found.duplicates, found.identical) == (5, 2, 1)
    assert str(found) == (
        "5 rows: 2 pairs, 1 the same and 1 different; dropped 2 duplicates and 1 of a text with itself"
    )


def test_both_labels_for_one_pair_name_both_rows(tmp_path: Path) -> None:
    text = TWO + "how to sort,How do I sort?,0\n"
    expected = f"pairs.csv:4: `same` is different, but {tmp_path}/pairs.csv:2 calls the same two texts the same"
    assert said(tmp_path, text).startswith(expected)


def test_a_row_of_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    text = 'a,b,same\n"one\ntwo",three,1\n"four\nfive",six,maybe\n'
    assert said(tmp_path, text).startswith("pairs.csv:4: `same` is 'maybe', expected 1, true")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,same\nx,1\n", "pairs.csv:1: the column `b` is missing, there is `a`, `same`; expected a, b, same"),
        ("", "pairs.csv:1: the column `a` is missing, there is nothing"),
        (TWO + "x,,1\n", "pairs.csv:4: `b` is empty"),
        (TWO + " ,x,1\n", "pairs.csv:4: `a` is empty"),
        (TWO + "x,y\n", "pairs.csv:4: the row has 2 fields, the header 3"),
        (TWO + "x,y,1,z\n", "pairs.csv:4: the row has 4 fields, the header 3"),
        (TWO + 'x,"y"z,1\n', "pairs.csv:4: not readable"),
        (TWO + "x,x,0\n", "pairs.csv:4: `same` is different, but `a` and `b` are one text"),
        ("a,b,same,kind\nx,y,1,trap\n", "pairs.csv:2: `kind` is 'trap', expected near or paraphrase"),
        ("a,b,same,kind\nx,y,0,near\n", "pairs.csv:2: `kind` is 'near', expected trap"),
        ("a,b,same\nx,y,1\n", "pairs.csv holds only pairs that are the same"),
        ("a,b,same\nx,y,0\n", "pairs.csv holds only pairs that are different"),
        ("a,b,same\n", "pairs.csv holds no pair"),
        ("a" * 200_000 + ",b,same\n", "pairs.csv:1: the header is not readable (field larger than field limit"),
        ("\n\n" + TWO + "x,,1\n", "pairs.csv:6: `b` is empty"),
        ("\na,same\n", "pairs.csv:2: the column `b` is missing"),
        ("a,b,same,B \nx,y,1,z\n", "pairs.csv:1: there are two columns `b`"),
        (TWO + "x\0,y,1\n", "pairs.csv:4: `a` holds a NUL character"),
    ],
)
def test_bad_table_names_file_row_and_field(tmp_path: Path, text: str, expected: str) -> None:
    assert said(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LINES + "{", "pairs.jsonl:4: the line is no JSON"),
        (LINES + "[1]", "pairs.jsonl:4: the line holds [1] (list), expected a JSON object"),
        (LINES + '{"a": "x", "same": 1}', "pairs.jsonl:4: the column `b` is missing, there is `a`, `same`"),
        (LINES + '{"a": 7, "b": "x", "same": 1}', "pairs.jsonl:4: `a` holds 7 (int), expected a text"),
        (LINES + '{"a": null, "b": "x", "same": 1}', "pairs.jsonl:4: `a` is empty"),
        (LINES + '{"a": "x", "b": "y", "same": 2}', "pairs.jsonl:4: `same` is '2'"),
        (LINES + '{"a": "x", "b": "y", "same": null}', "pairs.jsonl:4: `same` is ''"),
        (LINES + '{"a": "x", "b": "y", "A ": "z", "same": 1}', "pairs.jsonl:4: there are two columns `a`"),
        (LINES + '{"a": "x", "b": "y", "same": 1, "same": 0}', "pairs.jsonl:4: there are two columns `same`"),
        (LINES + '{"a": "x", "b": "y\\u0000z", "same": 1}', "pairs.jsonl:4: `b` holds a NUL character"),
        (LINES + '{"a": "x", "b": "y", "same": 1, "family": 1.5}', "pairs.jsonl:4: `family` holds 1.5 (float)"),
        (LINES + '{"a": "x", "b": "y", "same": 1, "family": true}', "pairs.jsonl:4: `family` holds True (bool)"),
        (LINES + '{"a": "x", "b": "y", "same": 1, "family": ["f"]}', "pairs.jsonl:4: `family` holds ['f'] (list)"),
    ],
)
def test_bad_line_names_file_line_and_field(tmp_path: Path, text: str, expected: str) -> None:
    assert said(tmp_path, text, "pairs.jsonl").startswith(expected)


def test_other_line_ends_inside_a_text_end_no_line(tmp_path: Path) -> None:
    found = read_pairs(written(tmp_path, LINES.replace("Enable it", "Enable\u2028it\u0085now"), "pairs.jsonl"))
    assert found.pairs[1].a == "Enable\u2028it\u0085now"


def test_wrong_encoding_names_the_byte(tmp_path: Path) -> None:
    latin = TWO.replace("Enable", "Café").encode("latin-1")
    assert said(tmp_path, latin).startswith("pairs.csv:3: byte 0xe9, the 4. of the line, is not UTF-8")
    assert "save the file as UTF-8" in said(tmp_path, TWO.encode("utf-16"))
    assert "save the file as UTF-8" in said(tmp_path, TWO.encode("utf-16-le"))


def test_broken_or_unknown_files_are_named(tmp_path: Path) -> None:
    assert said(tmp_path, TWO, "pairs.csv.gz").startswith("cannot read ")
    assert said(tmp_path, gzip.compress(TWO.encode())[:-9], "pairs.csv.gz").startswith("cannot read ")
    assert "expected one of .jsonl, .csv" in said(tmp_path, TWO, "pairs.xlsx")
    with pytest.raises(ConfigurationError, match="No such file"):
        read_pairs(tmp_path / "absent.csv")


def test_too_few_units_are_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds 2 independent pairs .*, expected at least 604"):
        read_pairs(written(tmp_path, TWO), least_units=604)


def test_intents_are_read_in_order(tmp_path: Path) -> None:
    path = written(tmp_path, '{"text": "hi", "intent": "greet"}\n{"text": "bye", "intent": 2}\n', "texts.jsonl")
    with pytest.raises(ConfigurationError, match="`intent` holds 2"):
        read_intents(path)
    path = written(tmp_path, "text,intent\nhi,greet\nbye,leave\n", "texts.csv")
    assert read_intents(path).texts == [LabelledText("hi", "greet", "greet"), LabelledText("bye", "leave", "leave")]
    with pytest.raises(ConfigurationError, match="fewer than two intents"):
        read_intents(written(tmp_path, "text,intent\nhi,greet\n", "one.csv"))


def test_a_text_of_two_intents_names_both_rows_and_one_said_twice_counts_once(tmp_path: Path) -> None:
    two = "text,intent,family\nhi,greet,formal\nbye,leave,\nhi,greet,\n"
    found = read_intents(written(tmp_path, two))
    assert [each.family for each in found.texts] == ["greet/formal", "leave"]
    assert str(found) == "3 rows: 2 texts of 2 intents; dropped 1 duplicates"
    with pytest.raises(ConfigurationError) as caught:
        read_intents(written(tmp_path, two + "bye,greet,\n"))
    expected = f"pairs.csv:5: `intent` is 'greet', but {tmp_path}/pairs.csv:3 gives the same text 'leave'"
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(expected)


# ── times ───────────────────────────────────────────────────────────────────────────────────────────────────

NOON_S = 1_772_366_400.0


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOON_S),
        ("2026-03-01 12:00", NOON_S),
        (" 2026-03-01T13:00:00+01:00 ", NOON_S),
        ("2026-03-01", NOON_S - 43_200),
        ("1772366400", NOON_S),
        ("1772366400.5", NOON_S + 0.5),
        ("", None),
        (" ", None),
    ],
)
def test_a_time_is_iso_8601_or_unix_seconds(tmp_path: Path, time: str, expected: float | None) -> None:
    found = read_pairs(written(tmp_path, f"a,b,same,time\nx,y,1,{time}\nx,z,0,\n"))
    assert [pair.at_s for pair in found.pairs] == [expected, None]
    texts = read_intents(written(tmp_path, f"text,intent,time\nx,one,{time}\ny,two,\n")).texts
    assert [each.at_s for each in texts] == [expected, None]


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ('"yesterday"', "'yesterday' (str)"),
        ('"2026-13-01"', "'2026-13-01' (str)"),
        ('"20260301"', "'20260301' (str)"),
        ("1772366400000", "1772366400000 (int)"),
        ("-5", "-5 (int)"),
        ("true", "True (bool)"),
        ('"inf"', "'inf' (str)"),
        ("[1772366400]", "[1772366400] (list)"),
    ],
)
def test_a_bad_time_names_file_row_and_field(tmp_path: Path, time: str, told: str) -> None:
    row = f'{{"a": "x", "b": "y", "same": 1, "time": {time}}}\n'
    expected = f"pairs.jsonl:4: `time` holds {told}, expected ISO 8601 (2026-03-01T12:00:00Z) or Unix seconds"
    assert said(tmp_path, LINES + row, "pairs.jsonl").startswith(expected)


def test_parquet_has_times_of_its_own(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is in the study extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    noon = datetime.fromtimestamp(NOON_S, UTC).replace(tzinfo=None)
    for kind, value, expected in (
        (arrow.timestamp("us", "UTC"), noon, NOON_S),
        (arrow.timestamp("ms"), noon, NOON_S),
        (arrow.date32(), date(2026, 3, 1), NOON_S - 43_200),
        (arrow.float64(), NOON_S, NOON_S),
    ):
        columns = {"a": ["x", "x"], "b": ["y", "z"], "same": [True, False], "time": arrow.array([value, None], kind)}
        parquet.write_table(arrow.table(columns), tmp_path / "pairs.parquet")
        assert [pair.at_s for pair in read_pairs(tmp_path / "pairs.parquet").pairs] == [expected, None]


# ── which form ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rows.csv", TWO, PAIRS),
        ("rows.csv", TWO.replace(",", ";"), PAIRS),
        ("rows.jsonl", LINES, PAIRS),
        ("rows.csv", "Intent;Text\ngreet;hi\n", INTENTS),
        ("rows.tsv", "text\tintent\nhi\tgreet\n", INTENTS),
        ("rows.jsonl", '{"intent": "greet", "text": "hi"}\n', INTENTS),
        ("rows.jsonl", "", PAIRS),
    ],
)
def test_the_columns_tell_pairs_from_intents(tmp_path: Path, name: str, text: str, expected: Sequence[str]) -> None:
    assert fitting_columns(written(tmp_path, text, name), (PAIRS, INTENTS)) == expected


def test_columns_of_neither_form_are_named_with_those_of_both(tmp_path: Path) -> None:
    for name, text in (("rows.csv", "question,label\nhi,1\n"), ("rows.jsonl", '{"question": "hi", "label": 1}')):
        with pytest.raises(ConfigurationError) as caught:
            fitting_columns(written(tmp_path, text, name), (PAIRS, INTENTS))
        assert str(caught.value) == (
            f"{tmp_path}/{name}:1: there is `question`, `label`; expected the columns a, b, same, or text, intent"
        )
    with pytest.raises(ConfigurationError, match=r"expected one of \.jsonl, \.csv"):
        fitting_columns(written(tmp_path, "", "rows.xlsx"), (PAIRS, INTENTS))
