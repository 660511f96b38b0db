"""Pairs to label come from a recording's own scopes and times; answers grow a pairs file that the tuner reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import answering, deciding, labelling, workload
from benchmarks.deciding import Models
from benchmarks.drift import Drift
from benchmarks.judging import Table
from benchmarks.labelling import AnswerFile, Labelling, NoRecording, Unlabelled, candidate_pairs, draw
from benchmarks.labels import read_labels
from benchmarks.lookups import Query, final_cut, last_stage, scored
from benchmarks.pairs import read_pairs
from benchmarks.recorded_traffic import Traffic
from benchmarks.sliding import SERVERS
from benchmarks.workload import Habits
from tests.proxying import QUESTION
from tests.test_recording import HEADER, line
from workbench.errors import ConfigurationError
from workbench.proxy.recording_file import Recorded, write_recording

ALPHA = 0.2
LONG = "How do I sort " + "very " * 600 + "long lists?"


@pytest.fixture(scope="module")
def models() -> Models:
    return deciding.open_models(verifier=deciding.NONE)


@pytest.fixture(scope="module")
def synthetic() -> Traffic:
    return workload.made(330, habits=Habits(chat_share=1.0))


@pytest.fixture(scope="module")
def synthetic_pairs(models: Models, synthetic: Traffic) -> list[Unlabelled]:
    return candidate_pairs(synthetic, models.vectors)


def asked(number: int, text: str | None, **fields: Any) -> Recorded:
    return line(number, **({"text": text, "scope": "s" * 32} | fields))


def pairs(models: Models, *exchanges: Recorded) -> list[tuple[str, str]]:
    found = candidate_pairs(Traffic(list(exchanges), ()), models.vectors)
    return [(pair.a, pair.b) for pair in found]


REVERSE, COOK = "how do i reverse a list in python", "How long do potatoes cook?"


# ── which pairs there are ───────────────────────────────────────────────────────────────────────────────────


def test_a_question_meets_the_nearest_before_it(models: Models) -> None:
    found = pairs(models, asked(0, QUESTION), asked(1, COOK), asked(2, REVERSE))
    assert found == [(QUESTION, COOK), (QUESTION, REVERSE)]


@pytest.mark.parametrize("other", [{"scope": "t" * 32}, {"tenant": "bob"}], ids=["scope", "tenant"])
def test_scopes_and_tenants_never_meet(models: Models, other: dict[str, str]) -> None:
    assert pairs(models, asked(0, QUESTION), asked(1, REVERSE, **other)) == []


def test_a_repeat_is_no_pair_and_no_two_texts_are_asked_twice(models: Models) -> None:
    again = [asked(number, text, scope="t" * 32) for number, text in ((3, REVERSE), (4, QUESTION))]
    assert pairs(models, asked(0, QUESTION), asked(1, f" {QUESTION}\n"), asked(2, REVERSE), *again) == [
        (QUESTION, REVERSE)
    ]


def test_what_nobody_may_match_by_meaning_is_not_asked(models: Models) -> None:
    unmatched = (
        asked(1, REVERSE, reason="tool-result"),
        asked(2, "What is the weather today?"),
        asked(3, "Tell me a joke"),
        asked(4, LONG),
        asked(5, "How do I\0reverse a list?"),
    )
    assert pairs(models, asked(0, QUESTION), *unmatched, asked(6, COOK)) == [(QUESTION, COOK)]


def test_questions_that_follow_each_other_closely_are_one_family(models: Models) -> None:
    texts = (QUESTION, COOK, REVERSE, "how do i reverse a list in python please", "How long must potatoes cook?")
    found = candidate_pairs(Traffic([asked(n, text) for n, text in enumerate(texts)], ()), models.vectors)
    cook, reverse, please, cook_again = (pair.family for pair in found)
    assert reverse == please != cook == cook_again
    assert [pair.at_s for pair in found] == [1.0, 2.0, 3.0, 4.0]


def test_a_recording_without_words_says_so(models: Models) -> None:
    for exchanges, told in (
        ([asked(0, None), asked(1, None)], "2 of them were recorded without their words"),
        ([asked(0, None, reason="tool-result")], "none may be matched by meaning"),
    ):
        with pytest.raises(ConfigurationError, match=f"{told}; record .* WORKBENCH_RECORD_PROMPTS=keep"):
            pairs(models, *exchanges)
    assert pairs(models, asked(0, None), asked(1, COOK)) == []


# ── which of them are asked ─────────────────────────────────────────────────────────────────────────────────


def test_half_lie_nearest_to_the_cut_and_the_others_anywhere(models: Models, synthetic_pairs: list[Unlabelled]) -> None:
    policy = deciding.standing_policy(models)
    found = draw(synthetic_pairs, policy, models, count=40)
    assert len({(pair.a, pair.b) for pair in found}) == 40
    assert found == draw(synthetic_pairs, policy, models, count=40) != draw(synthetic_pairs, policy, models, seed=1)

    def distances(some: list[Unlabelled]) -> Any:
        queries = [Query(each.b, "", "", "", (each.a,), (each.similarity,), (False,)) for each in some]
        return np.abs(scored(queries, policy, stage=last_stage(policy)).score - final_cut(policy))

    nearest = np.sort(distances(synthetic_pairs))[:20]
    assert np.array_equal(np.sort(distances(found))[:20], nearest)
    assert np.isinf(distances(found)).any()


def test_few_pairs_are_all_asked(models: Models, synthetic_pairs: list[Unlabelled]) -> None:
    policy = deciding.standing_policy(models)
    for some in (synthetic_pairs[:7], []):
        assert sorted(draw(some, policy, models), key=str) == sorted(some, key=str)


# ── the answers ─────────────────────────────────────────────────────────────────────────────────────────────

PAIR = Unlabelled("Enable it\u2028now", "Disable it", 0.9, "f", 1_790_000_000.25)


def test_each_answer_is_a_row_of_a_pairs_file_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    file = AnswerFile(path)
    going = Labelling([PAIR, Unlabelled("x", "y", 0.1, "f", 1_790_000_001.0)], file, "")
    going.answer("different")
    assert file.holds(Unlabelled(PAIR.b, PAIR.a, 0.9, "", 0.0))
    going.answer("skip")
    AnswerFile(path).add(going.pairs[1], same=True)
    found = read_pairs(path).pairs
    assert [(pair.a, pair.b, pair.same, pair.family, pair.at_s) for pair in found] == [
        (PAIR.a, PAIR.b, False, "f", PAIR.at_s),
        ("x", "y", True, "f", 1_790_000_001.0),
    ]
    assert len(AnswerFile(path)) == 2


def test_a_line_that_was_cut_off_swallows_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"a": "x", "b": "y", "same": true}')
    AnswerFile(path).add(PAIR, same=False)
    assert len(read_pairs(path).pairs) == 2


def test_answers_go_to_json_lines_that_can_be_read_and_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"pairs\.csv should end in \.jsonl"):
        AnswerFile(tmp_path / "pairs.csv")
    (tmp_path / "bad.jsonl").write_text('{"a": "x"}\n')
    with pytest.raises(ConfigurationError, match=r"bad\.jsonl:1: the column `b` is missing"):
        AnswerFile(tmp_path / "bad.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write the answer"):
        AnswerFile(tmp_path / "file" / "answers.jsonl").add(PAIR, same=True)


def opened(tmp_path: Path, models: Models, traffic: Traffic) -> Labelling:
    write_recording(tmp_path / "recording.jsonl.zst", HEADER, iter(traffic.exchanges))
    path = tmp_path / "answers.jsonl"
    found = labelling.open_labelling(str(tmp_path / "recording.jsonl.zst"), str(path), models)
    assert isinstance(found, Labelling)
    return found


def test_answers_are_labels_with_times_and_what_was_answered_is_not_asked_again(
    models: Models, synthetic: Traffic, tmp_path: Path
) -> None:
    meant = {exchange.text: exchange.label for exchange in synthetic.exchanges}
    going = opened(tmp_path, models, synthetic)
    assert str(going).endswith(f"0 answers in {tmp_path}/answers.jsonl; 200 pairs to answer now")
    answered = list(going.pairs)
    while pair := going.current:
        going.answer("same" if meant[pair.a] == meant[pair.b] else "different")
    again = opened(tmp_path, models, synthetic)
    assert len(again.file) == 200
    assert set(again.pairs).isdisjoint(answered)

    labels = read_labels(str(tmp_path / "answers.jsonl"), models.vectors, alpha=ALPHA)
    verdict = deciding.judge(deciding.choose(models, labels, alpha=ALPHA), labels, models)
    assert isinstance(verdict.drift, Drift), verdict.drift
    assert verdict.rates.right.count > 0


# ── in the notebook ─────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_recording_there_is_nothing_to_label(models: Models) -> None:
    found = labelling.open_labelling("", "", models)
    assert isinstance(found, NoRecording)
    assert str(found) == "no recording is named: nothing to label"
    assert answering.ask(found) is None


def test_pairs_are_a_table_where_nobody_can_press_a_button(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)
    text = "<b>a | b</b>\n" + "word " * 50
    many = [Unlabelled(text, "b", 0.5, "f", 0.0)] * 30
    found = answering.ask(Labelling(many, AnswerFile(tmp_path / "answers.jsonl"), ""))
    assert isinstance(found, Table)
    assert len(found.rows) == 20
    assert found.rows[0][1].startswith("&lt;b&gt;a \\| b&lt;/b&gt; word")
    assert found.rows[0][1].endswith("…")


def test_buttons_write_answers_down_and_end_with_the_last_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets", reason="ipywidgets is in the study extra")
    monkeypatch.setenv(SERVERS[0], "here")
    path = tmp_path / "answers.jsonl"
    three = [Unlabelled(f"<i>{n}</i>", f"b{n}", 0.5, "f", float(n)) for n in range(3)]
    form: Any = answering.ask(Labelling(three, AnswerFile(path), ""))
    shown, buttons = form.children[0], form.children[1].children
    assert [button.description for button in buttons] == ["Same", "Different", "Skip"]
    assert "&lt;i&gt;0&lt;/i&gt;" in shown.value
    for button in buttons:
        assert not button.disabled
        button.click()
    assert "no pair is left, 2 answers" in shown.value
    assert all(button.disabled for button in buttons)
    assert [pair.same for pair in read_pairs(path).pairs] == [True, False]


def test_an_answer_that_cannot_be_written_is_told_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ipywidgets", reason="ipywidgets is in the study extra")
    monkeypatch.setenv(SERVERS[0], "here")
    (tmp_path / "file").write_text("")
    form: Any = answering.ask(Labelling([PAIR], AnswerFile(tmp_path / "file" / "answers.jsonl"), ""))
    form.children[1].children[0].click()
    assert "cannot write the answer" in form.children[0].value
    assert "1 of 1, 0 answers" in form.children[0].value
