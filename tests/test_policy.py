"""Policies: what may be served by meaning, and which files are refused."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from workbench.cache.policy import Policy, Refuse, Serve, load_policy
from workbench.errors import ConfigurationError

VALID: dict[str, Any] = {"version": 1, "embedder": "e", "fingerprint": "f1", "gate": 0.9, "guards": 2}
LIST = "How do I reverse a list in Python?"


def saved(folder: Path, content: dict[str, Any] | bytes) -> Path:
    path = folder / "policy.json"
    path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(saved(tmp_path, VALID))


def test_policy_that_ships_is_for_the_default_embedder() -> None:
    policy = load_policy()

    assert policy.embedder == "all-MiniLM-L6-v2"
    assert policy.decide(LIST, "How do I reverse a Python list?", 0.98174) == Serve(0.98174, policy.gate)


def test_near_question_without_conflict_is_served(policy: Policy) -> None:
    assert policy.decide(LIST, LIST.lower(), 0.9) == Serve(similarity=0.9, threshold=0.9)


@pytest.mark.parametrize("similarity", [0.899, -1.0, float("nan")])
def test_question_below_the_threshold_is_refused(policy: Policy, similarity: float) -> None:
    decision = policy.decide(LIST, LIST, similarity)

    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.threshold, decision.slot) == ("below-threshold", 0.9, None)


def test_conflict_is_refused_and_explained(policy: Policy) -> None:
    decision = policy.decide("Track order 1", "Track order 2", 0.999)

    assert asdict(decision) == {
        "reason": "numbers",
        "similarity": 0.999,
        "threshold": 0.9,
        "slot": "numbers",
        "asked": "1",
        "stored": "2",
    }


def test_embedder_that_the_policy_was_not_measured_with_is_refused(policy: Policy) -> None:
    policy.check("f1")

    for other in ("f2", ""):
        with pytest.raises(ConfigurationError, match="tune a policy"):
            policy.check(other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "holds a list"),
        (b"{}", "version None"),
        (VALID | {"version": 2, "novelty": 1}, "version 2, this workbench knows 1"),
        (VALID | {"guards": 7}, "guards 7"),
        (VALID | {"gate": 1.5}, "`gate`"),
        (VALID | {"gate": "0.9"}, "`gate`"),
        (VALID | {"fingerprint": ""}, "`fingerprint`"),
        (VALID | {"alpha": 0}, "`alpha`"),
        (VALID | {"treshold": 0.9}, "`treshold`"),
    ],
)
def test_file_that_makes_no_sense_is_refused_with_what_to_do(tmp_path: Path, content: Any, message: str) -> None:
    path = saved(tmp_path, content)

    with pytest.raises(ConfigurationError, match=message) as refused:
        load_policy(path)
    assert str(path) in str(refused.value)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigurationError, match="check the path"):
            load_policy(path)


def test_policy_may_say_how_it_was_measured(tmp_path: Path) -> None:
    policy = load_policy(saved(tmp_path, VALID | {"dataset": "d", "alpha": 0.01, "measured": {"hit_rate": 0.3}}))

    assert (policy.dataset, policy.alpha, policy.measured) == ("d", 0.01, {"hit_rate": 0.3})
