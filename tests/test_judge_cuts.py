"""The embedding judge's cuts, and what is said of its errors."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from benchmarks.judge_cuts import RESULTS, Compared, chooses, errors, read_answers, report
from workbench.cache.audit_state import Rules
from workbench.cache.judges import DIFFERENT, SAME
from workbench.errors import ConfigurationError

ROW = {
    "id": "x",
    "question": "What is the capital of France?",
    "asked_again": "Which city is France's capital?",
    "answers": ["Paris.", "It is Paris."],
    "trap": "What is the capital of Finland?",
    "trap_answer": "Helsinki.",
}


def test_shipped_answers_can_be_read_and_differ() -> None:
    rows = read_answers()

    assert len({row.id for row in rows}) == len(rows) >= 100
    for row in rows:
        texts = {" ".join(text.split()) for text in (*row.answers, row.trap_answer)}
        assert len(texts) == len(row.answers) + 1, row.id
        assert len({row.question, row.asked_again, row.trap}) == 3, row.id


def test_the_judge_has_the_cuts_that_were_measured() -> None:
    told = orjson.loads(RESULTS.read_bytes())

    assert (told["same"], told["different"]) == (SAME, DIFFERENT)
    assert Rules().judge_misses >= told["other_answers"]["called_same"]["interval"][1]


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "the line"), (orjson.dumps(ROW | {"answers": ["one"]}).decode(), "answers"), ('{"id": ""}', "id")],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(orjson.dumps(ROW).decode() + "\n" + line + "\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=f"answers.jsonl:2: `{says}`"):
        read_answers(file)


def test_errors_are_shares_of_each_kind() -> None:
    found = [Compared("a", True, 0.95), Compared("a", True, 0.5), Compared("b", True, 0.8), Compared("b", True, 0.9)]
    found += [Compared("a", False, 0.95), Compared("b", False, 0.2)]
    told = errors(found, same=0.9, different=0.7)

    assert {name: told["same_answers"][name]["share"] for name in ("called_same", "called_different", "unsure")} == {
        "called_same": 0.5,
        "called_different": 0.25,
        "unsure": 0.25,
    }
    assert told["other_answers"]["called_same"]["share"] == 0.5
    assert told["other_answers"]["compared"] == told["other_answers"]["questions"] == 2


def test_rows_that_choose_the_cuts_do_not_judge_them() -> None:
    names = [str(number) for number in range(200)]
    found = [Compared(name, True, 0.9 if chooses(name) else 0.1) for name in names]
    found += [Compared(name, False, 0.3 if chooses(name) else 0.95) for name in names]
    told = report(found)

    assert told["chosen_on"] == sum(map(chooses, names))
    assert told["same_answers"]["called_different"]["share"] == 1.0
    assert told["other_answers"]["called_same"]["share"] == 1.0
