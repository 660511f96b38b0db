"""What a client is told of a decision, through the whole proxy with the policy and the verifier that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from tests.proxying import body, get, outcome, post, proxied
from workbench.cache.policy import load_policy

TRAPS = {
    "antonyms": ("How do I enable 2FA?", "How do I disable 2FA?"),
    "versions": ("How do I install packages in Python 3.9?", "How do I install packages in Python 3.12?"),
    "direction": ("How do I convert Celsius to Fahrenheit?", "How do I convert Fahrenheit to Celsius?"),
    "object": ("delete this branch", "delete this repo"),
}


@pytest.mark.parametrize("slot", TRAPS)
def test_reason_names_the_slot_that_differs(tmp_path: Path, slot: str) -> None:
    stored, asked = TRAPS[slot]
    with proxied(tmp_path, StandInOllama(text("Done."))) as address:
        post(address, body(stored))
        assert outcome(post(address, body(asked))) == ("miss", slot)
        told = post(address, {"a": stored, "b": asked}, path="/api/explain").json()["decision"]
    assert told["slot"] == slot
    assert told["asked"] != told["stored"]


def test_near_repeat_is_served_and_its_decision_told(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("Done."))) as address:
        first = post(address, body("How do I enable 2FA?"))
        again = post(address, body("how can i enable 2fa"))
        last = get(address, "/api/exchanges").json()["data"][0]
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "semantic")
    assert again.headers["x-cache-decision"].startswith("score=")
    assert last["entry"] == again.headers["x-cache-entry"]
    assert last["decision"]["score"] > last["decision"]["cut"]


def test_policy_that_ships_decides_in_two_stages_within_its_budget() -> None:
    shipped = load_policy()

    assert shipped.score
    assert shipped.second
    assert len(shipped.second.probes) == 64
    assert shipped.alpha == 0.01
    assert shipped.measured["false_hit_rate"] <= 0.01
    assert shipped.dataset
    assert shipped.store_size


@pytest.mark.parametrize(
    ("text_asked", "reason"),
    [
        ("What is the weather in Paris today?", "moment"),
        ("Tell me another joke", "variety"),
        ("Write to jane.doe@mail.org that I am late", "personal"),
    ],
)
def test_question_that_nobody_else_asks_is_not_matched_by_meaning(tmp_path: Path, text_asked: str, reason: str) -> None:
    with proxied(tmp_path, StandInOllama(text("Done."))) as address:
        post(address, body(text_asked))
        assert outcome(post(address, body(text_asked.lower()))) == ("miss", reason)
        assert outcome(post(address, body(text_asked)))[0] == "exact"


def test_rule_that_is_switched_off_refuses_nothing(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("Done.")), admission=["secrets"]) as address:
        post(address, body("What is the weather in Paris today?"))
        assert outcome(post(address, body("what is the weather in paris today")))[0] == "semantic"


def test_question_with_a_secret_is_not_stored_at_all(tmp_path: Path) -> None:
    asked = "Why is my key AKIAIOSFODNN7REALKEY refused?"
    with proxied(tmp_path, StandInOllama(text("Done."))) as address:
        assert outcome(post(address, body(asked))) == ("miss", "secrets")
        assert outcome(post(address, body(asked))) == ("miss", "secrets")
        assert get(address, "/api/entries").json()["data"] == []
    assert b"AKIA" not in (tmp_path / "cache.sqlite").read_bytes()
