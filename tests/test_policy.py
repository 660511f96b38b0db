"""Policies: what may be served by meaning, by which stage, and which files are refused."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from workbench.cache.features import feature_names
from workbench.cache.guards import GUARDS_VERSION
from workbench.cache.policy import (
    POLICY_VERSION,
    Policy,
    Refuse,
    Serve,
    Weighed,
    load_policy,
    probability,
    save_policy,
)
from workbench.errors import ConfigurationError

VALID: dict[str, Any] = {
    "version": POLICY_VERSION,
    "embedder": "e",
    "fingerprint": "f1",
    "gate": 0.6,
    "guards": GUARDS_VERSION,
}
STUMP = {"start": 0.0, "trees": [[[0, 0.8, 1, 2], [-1, -2.0, 0, 0], [-1, 2.0, 0, 0]]]}
"""One tree: 2 where the cosine is above 0.8, else -2."""
LEAVES = [[-1, 1, 0, 0], [-1, 1, 0, 0]]
SCORE = {"features": list(feature_names()), "weights": {"list": 2.0}, "trees": STUMP, "cut": 1.0}
SECOND = {
    "revision": "r1",
    "low": -3.0,
    "high": 5.0,
    "intercept": 0.5,
    "first": 1.0,
    "verifier": 2.0,
    "cosine": 10.0,
    "cut": 20.0,
    "probes": [{"a": "x", "b": "y", "logit": 1.0}],
}
LIST = "How do I reverse a list in Python?"
ALIKE = "How can I reverse a list in Python?"


def saved(folder: Path, content: dict[str, Any] | bytes) -> Path:
    path = folder / "policy.json"
    path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return path


def policy(folder: Path, **fields: Any) -> Policy:
    return load_policy(saved(folder, VALID | fields))


def test_policy_that_ships_is_for_the_default_embedder() -> None:
    shipped = load_policy()

    assert shipped.embedder == "all-MiniLM-L6-v2"
    assert not isinstance(shipped.weigh(LIST, "How do I reverse a Python list?", 0.98174), Refuse)


def test_without_a_score_what_passes_guards_and_gate_is_served(tmp_path: Path) -> None:
    gate_only = policy(tmp_path)

    assert gate_only.weigh(ALIKE, LIST, 0.6) == Serve(similarity=0.6, threshold=0.6)


@pytest.mark.parametrize("similarity", [0.599, -1.0, float("nan")])
def test_question_below_the_gate_is_refused(tmp_path: Path, similarity: float) -> None:
    decision = policy(tmp_path).weigh(ALIKE, LIST, similarity)

    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.threshold, decision.slot) == ("below-threshold", 0.6, None)


@pytest.mark.parametrize("similarity", [0.999, 0.1])
def test_conflict_is_refused_and_explained_also_where_the_cosine_would_refuse(
    tmp_path: Path, similarity: float
) -> None:
    decision = policy(tmp_path).weigh("Sort 12 numbers", "Sort 13 numbers", similarity)

    assert isinstance(decision, Refuse)
    assert asdict(decision) == {
        "reason": "numbers",
        "similarity": similarity,
        "threshold": 0.6,
        "slot": "numbers",
        "asked": "12",
        "stored": "13",
        "score": None,
        "cut": None,
        "turns": 0,
    }


def test_slot_that_is_no_veto_is_evidence_and_named(tmp_path: Path) -> None:
    lenient = policy(tmp_path, vetoes=[])

    assert lenient.weigh("Sort 12 numbers", "Sort 13 numbers", 0.9) == Serve(0.9, 0.6, differing=("numbers",))
    refused = lenient.weigh("Sort 12 numbers", "Sort 13 numbers", 0.2)
    assert isinstance(refused, Refuse)
    assert (refused.reason, refused.slot) == ("numbers", "numbers")
    softer = lenient.weigh("Sort 12 numbers", "Sort numbers", 0.2)
    assert isinstance(softer, Refuse)
    assert (softer.reason, softer.slot) == ("below-threshold", "numbers-missing")


def test_first_stage_decides_alone_by_its_own_cut(tmp_path: Path) -> None:
    one_stage = policy(tmp_path, score=SCORE)

    near, far = one_stage.weigh(ALIKE, LIST, 0.9), one_stage.weigh(ALIKE, LIST, 0.7)

    assert isinstance(near, Weighed)
    assert isinstance(far, Weighed)
    assert (near.logit, far.logit, near.asks) == (2.0, -2.0, False)
    assert one_stage.settle(near) == Serve(0.9, 0.6, probability(2.0), probability(1.0))
    refused = one_stage.settle(far)
    assert isinstance(refused, Refuse)
    assert (refused.reason, refused.score) == ("below-cut", probability(-2.0))


def test_verifier_has_the_last_word_in_the_gray_zone(tmp_path: Path) -> None:
    two_stages = policy(tmp_path, score=SCORE, second=SECOND)
    weighed = two_stages.weigh(ALIKE, LIST, 0.9)

    assert isinstance(weighed, Weighed)
    assert weighed.asks
    for verifier, logit in ((5.0, 21.5), (4.0, 19.5)):
        decision = two_stages.settle(weighed, verifier)
        assert isinstance(decision, Serve) == (logit > 20)
        assert decision.score == pytest.approx(probability(logit))


@pytest.mark.parametrize(
    ("logit", "verifier", "own_cut", "served"),
    [
        (2.0, 5.0, probability(21.5), False),  # heard: the evidence of both must exceed it
        (2.0, 4.0, probability(19.4), True),
        (3.0, None, probability(2.9), True),  # not asked, the first stage being sure: it must exceed it too
        (3.0, None, probability(3.0), False),
        (0.5, None, 0.1, False),  # not asked, the first stage refusing: nobody ever looked at such pairs
    ],
)
def test_cut_of_a_tenants_own_stands_for_the_policys(
    tmp_path: Path, logit: float, verifier: float | None, own_cut: float, served: bool
) -> None:
    two_stages = policy(tmp_path, score=SCORE, second=SECOND | {"low": 1.0, "high": 2.5})
    weighed = two_stages.weigh(ALIKE, LIST, 0.9)
    assert isinstance(weighed, Weighed)

    decision = two_stages.settle(replace(weighed, logit=logit, asks=verifier is not None), verifier, own_cut=own_cut)

    assert isinstance(decision, Serve) == served
    assert decision.cut == (1.0 if logit < 1 else own_cut)


def test_where_there_is_no_score_the_own_cut_is_the_gate(tmp_path: Path) -> None:
    own = policy(tmp_path).with_gate(0.8)

    assert isinstance(own.weigh(ALIKE, LIST, 0.8), Refuse)
    assert isinstance(own.weigh(ALIKE, LIST, 0.81), Serve)


def test_where_the_verifier_cannot_read_nothing_is_served(tmp_path: Path) -> None:
    two_stages = policy(tmp_path, score=SCORE, second=SECOND)
    weighed = two_stages.weigh(ALIKE, LIST, 0.9)
    assert isinstance(weighed, Weighed)

    refused = two_stages.settle(weighed, None)

    assert isinstance(refused, Refuse)
    assert refused.reason == "unverified"
    assert isinstance(two_stages.without_second().settle(weighed), Serve)


@pytest.mark.parametrize(("low", "high", "served"), [(2.5, 9.0, False), (-9.0, 1.5, True)])
def test_outside_the_gray_zone_the_verifier_is_not_asked(tmp_path: Path, low: float, high: float, served: bool) -> None:
    two_stages = policy(tmp_path, score=SCORE, second=SECOND | {"low": low, "high": high})
    weighed = two_stages.weigh(ALIKE, LIST, 0.9)

    assert isinstance(weighed, Weighed)
    assert not weighed.asks
    assert isinstance(two_stages.settle(weighed), Serve) == served


def test_identical_text_is_served_whatever_the_score_says(tmp_path: Path) -> None:
    assert isinstance(policy(tmp_path, score=SCORE).weigh(LIST, LIST, 0.7), Serve)


class Verifier:
    """Says the same of all."""

    revision = "r1"

    def __init__(self, said: float | None) -> None:
        self.said = said

    def logit(self, question: str, candidate: str) -> float | None:
        return self.said


@pytest.mark.parametrize(("said", "why"), [(1.2, None), (1.5, "0.5 "), (None, "inf"), (math.nan, "nan")])
def test_second_stage_is_off_where_the_probes_come_out_differently(
    tmp_path: Path, said: float | None, why: str | None
) -> None:
    second = policy(tmp_path, score=SCORE, second=SECOND | {"probes": [{"a": "x", "b": "y", "logit": 1.0}]}).second
    assert second

    found = second.why_not(Verifier(said))

    assert (found is None) if why is None else (found is not None and why in found)


def test_second_stage_is_off_with_another_verifier(tmp_path: Path) -> None:
    second = policy(tmp_path, score=SCORE, second=SECOND | {"revision": "r0"}).second

    assert second
    assert "r0" in (second.why_not(Verifier(1.0)) or "")


def test_short_form_holds_no_word_of_the_questions(tmp_path: Path) -> None:
    served = policy(tmp_path, vetoes=[]).weigh("Sort 12 numbers", "Sort 13 numbers", 0.9)
    refused = policy(tmp_path).weigh("Sort 12 numbers", "Sort 13 numbers", 0.9)

    assert isinstance(served, Serve)
    assert isinstance(refused, Refuse)
    assert served.short == "score=1.000 cut=0.000 verified=no despite=numbers"
    assert refused.short == "threshold=0.600 differing=numbers"


def test_saved_policy_is_the_same_when_loaded(tmp_path: Path) -> None:
    written = policy(tmp_path, score=SCORE, second=SECOND, alpha=0.01, measured={"hit_rate": 0.3}, date="2026-01-01")

    save_policy(written, tmp_path / "again.json")

    assert load_policy(tmp_path / "again.json") == written


def test_embedder_that_the_policy_was_not_measured_with_is_refused(tmp_path: Path) -> None:
    found = policy(tmp_path)
    found.check("f1")

    for other in ("f2", ""):
        with pytest.raises(ConfigurationError, match="tune a policy"):
            found.check(other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "holds a list"),
        (b"{}", "version None"),
        (VALID | {"version": 1, "novelty": 1}, f"version 1, this workbench knows {POLICY_VERSION}"),
        (VALID | {"guards": 7000}, "guards 7000"),
        (VALID | {"gate": 1.5}, "`gate`"),
        (VALID | {"gate": "0.9"}, "`gate`"),
        (VALID | {"fingerprint": ""}, "`fingerprint`"),
        (VALID | {"alpha": 0}, "`alpha`"),
        (VALID | {"treshold": 0.9}, "`treshold`"),
        (VALID | {"vetoes": ["numbrs"]}, "no slot 'numbrs'"),
        (VALID | {"second": SECOND}, "`score` is missing"),
        (VALID | {"score": SCORE | {"features": ["cosine"]}}, "other features"),
        (VALID | {"score": SCORE | {"trees": {"start": 0, "trees": [[[999, 1, 1, 2], *LEAVES]]}}}, "does not exist"),
        (VALID | {"score": SCORE | {"trees": {"start": 0, "trees": [[[0, 1.0, 0, 0]]]}}}, "leads to 0"),
        (VALID | {"score": SCORE | {"cut": None}}, "`score.cut`"),
        (VALID | {"score": SCORE | {"cut": 1e300}}, "`score.cut`"),
        (VALID | {"score": SCORE | {"trees": {"start": 0, "trees": []}}}, "`score.trees.trees`"),
        (VALID | {"score": SCORE | {"trees": {"start": 0, "trees": [[[-1, 1e308, 0, 0]]]}}}, "plausible"),
        (VALID | {"score": SCORE, "second": SECOND | {"low": 9, "high": -9}}, "gray zone begins at 9"),
        (VALID | {"score": SCORE, "second": SECOND | {"probes": []}}, "`second.probes`"),
        (VALID | {"alpha": 1e-12}, "`alpha`"),
        (VALID | {"store_size": -1}, "`store_size`"),
    ],
)  # fmt: skip
def test_file_that_makes_no_sense_is_refused_with_what_to_do(tmp_path: Path, content: Any, message: str) -> None:
    path = saved(tmp_path, content)

    with pytest.raises(ConfigurationError, match=message) as refused:
        load_policy(path)
    assert str(path) in str(refused.value)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigurationError, match="check the path"):
            load_policy(path)
