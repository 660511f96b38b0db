"""One spelling for what is written in several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cache.policy import load_policy
from workbench.cache.slots.spelling import american, is_slip, repaired, shortened

KNOWN = frozenset({"python", "difference", "create", "causal"})
REAL = frozenset({"casual"})


@pytest.mark.parametrize(
    ("word", "told"),
    [
        *(
            ("colour", "color"),
            ("neighbourhood", "neighborhood"),
            ("labour", "labor"),
            ("our", "our"),
            ("hour", "hour"),
        ),
        *(("organising", "organizing"), ("serialise", "serialize"), ("analysed", "analyzed"), ("realised", "realized")),
        *(("exercise", "exercise"), ("surprised", "surprised"), ("noise", "noise"), ("basis", "basis")),
        *(("centre", "center"), ("kilometres", "kilometers"), ("genre", "genre"), ("before", "before")),
        *(("grey", "gray"), ("laboratory", "laboratory"), ("harmony", "harmony")),
    ],
)
def test_british_words_are_american_ones(word: str, told: str) -> None:
    assert american(word) == told


def test_phrases_are_their_abbreviations_in_any_case() -> None:
    assert shortened("Use Amazon Web Services and continuous  integration") == "Use AWS and CI"
    assert shortened("the continuous integrations") == "the continuous integrations"


@pytest.mark.parametrize(
    ("word", "target"),
    [
        ("pyhton", "python"),
        ("diffrence", "difference"),
        ("exisiting", "existing"),
        ("proces", "process"),
        ("tron", "torn"),
    ],
)
def test_slips_are_known(word: str, target: str) -> None:
    assert is_slip(word, target)
    assert is_slip(target, word)


@pytest.mark.parametrize(
    ("word", "other"),
    [
        *(
            ("mysql", "mssql"),
            ("cython", "python"),
            ("installer", "installed"),
            ("request", "requests"),
            ("cat", "cut"),
        ),
        *(
            ("lactase", "lactose"),
            ("umount", "unmount"),
            ("pprint", "print"),
            ("invert", "insert"),
            ("unload", "upload"),
        ),
    ],
)
def test_other_words_are_no_slips(word: str, other: str) -> None:
    assert not is_slip(word, other)


def test_slips_are_put_right_after_the_other_text() -> None:
    told = repaired("teh diffrence in pyhton", "the difference in python", known=KNOWN, real=REAL)
    assert told == ("the difference in python",) * 2
    assert repaired("in python", "in pyhton", known=KNOWN, real=REAL) == ("in python",) * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("casual inference", "causal inference"),
        ("run `pyhton`", "run python"),
        ("call pyhton()", "call python"),
        ("open ./pyhton", "open python"),
        ('say "pyhton"', "say python"),
        ("who is Pyhton", "who is python"),
        ("learn pyhton", "learn snakes"),
        ("craete x", "crate x"),
        ("say “pyhton”", "say “python”"),
        ("do you spell it diffrence", "do you spell it difference"),
        ("is pyhton a package", "is python a package"),
        ("bash: pyhton: command not found", "bash: python: command not found"),
        ("import this\nprint in pyhton", "import this\nprint in python"),
    ],
)
def test_what_may_be_meant_stays(one: str, other: str) -> None:
    assert repaired(one, other, known=KNOWN, real=REAL) == (one, other)


def test_what_may_be_a_slip_of_two_words_stays() -> None:
    known = frozenset({"branch", "branach"})
    assert repaired("the brnach", "the branch", known=known, real=frozenset()) == ("the branch",) * 2
    either = ("the brnach", "a branch or a branach")
    assert repaired(*either, known=known, real=frozenset()) == either


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts_can_be_read_either_way_round(one: str, other: str) -> None:
    there, here = repaired(other, one, known=KNOWN, real=REAL)
    assert repaired(one, other, known=KNOWN, real=REAL) == (here, there)


def test_shipped_words_are_in_one_list_only() -> None:
    score = load_policy().score
    assert score
    assert score.known_words.isdisjoint(score.real_words)
    assert len(score.known) > 1_000
