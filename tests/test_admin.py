"""What an operator sees and does."""

from __future__ import annotations

import time
from pathlib import Path

import httpx2

from benchmarks.stand_ins.ollama import StandInOllama, running
from benchmarks.stand_ins.ollama_script import text
from tests.proxying import PLAIN, QUESTION, assert_refused, body, get, outcome, post, proxied, proxy

PARAPHRASE = "how do i reverse a list in python"


def delete(address: str, path: str) -> httpx2.Response:
    return httpx2.delete(f"{address}{path}", **PLAIN)


def test_entries_are_found_and_deleted(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("Use reversed()."))) as address:
        id = post(address, body()).headers.get("x-cache-entry") or post(address, body()).headers["x-cache-entry"]
        [entry] = get(address, "/api/entries?q=REVERSE").json()["data"]
        assert (entry["id"], entry["question"], entry["reply"]) == (id, QUESTION, "Use reversed().")
        assert get(address, "/api/entries?q=100%25").json()["data"] == []
        assert delete(address, f"/api/entries/{id}").json() == {"deleted": id}
        assert_refused(delete(address, f"/api/entries/{id}"), 404, "not_found_error", naming=id)
        assert outcome(post(address, body()))[0] == "miss"


def test_entry_marked_wrong_is_served_by_meaning_no_more(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        post(address, body())
        id = post(address, body(PARAPHRASE)).headers["x-cache-entry"]
        assert post(address, {}, path=f"/api/entries/{id}/wrong").json() == {"withdrawn": id}
        assert outcome(post(address, body(PARAPHRASE)))[0] == "miss"
        assert outcome(post(address, body(QUESTION)))[0] == "exact"
        assert_refused(post(address, {}, path="/api/entries/nothing/wrong"), 404, "not_found_error", naming="nothing")


def test_deletion_in_one_process_is_honoured_by_another_within_a_second(tmp_path: Path) -> None:
    with running(StandInOllama()) as url:
        thinkers = [f"ollama+{url}"]
        with proxy(tmp_path, thinkers=thinkers) as one, proxy(tmp_path, thinkers=thinkers) as other:
            post(one, body())
            id = post(other, body()).headers["x-cache-entry"]  # now in the memory of both
            assert outcome(post(other, body(PARAPHRASE)))[0] == "semantic"
            delete(one, f"/api/entries/{id}")
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:  # what it says within the second is its own affair
                post(other, body(), x_cache_control="only-if-cached")
            assert post(other, body(), x_cache_control="only-if-cached").status_code == 404
            assert post(other, body(PARAPHRASE), x_cache_control="only-if-cached").status_code == 404


def test_explain_names_the_slot_and_both_values(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        trap = {"a": QUESTION, "b": "How do I reverse a list in Python 2?"}
        told = post(address, trap, path="/api/explain").json()
        assert told["served"] is False
        assert told["decision"]["slot"] == "versions-missing"
        assert "2" in told["decision"]["asked"]
        assert told["decision"]["similarity"] > told["decision"]["threshold"]
        assert post(address, {"a": QUESTION, "b": PARAPHRASE}, path="/api/explain").json()["served"] is True
        post(address, body())
        [entry] = get(address, "/api/entries").json()["data"]
        against = {"entry": entry["id"], "question": PARAPHRASE}
        assert post(address, against, path="/api/explain").json()["served"] is True
        for wrong in ({}, {"a": "x"}, {"a": "x", "b": "y", "entry": "z"}, {"a": "", "b": "x"}, {"c": 1}):
            assert_refused(post(address, wrong, path="/api/explain"), 400, "invalid_request_error")
        assert_refused(
            post(address, {"entry": "nothing", "question": "x"}, path="/api/explain"), 404, "not_found_error"
        )


def test_every_request_leaves_one_exchange_without_its_prompt(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("a reply"))) as address:
        missed = post(address, body("What is the secret plan?", stream=True))
        hit = post(address, body("What is the secret plan?"))
        refused = post(address, b"{")
        shown = get(address, "/api/exchanges")
    rows = shown.json()["data"]
    assert [row["outcome"] for row in rows] == [None, "exact", "miss"]
    assert [row["id"] for row in rows] == [r.headers["request-id"] for r in (refused, hit, missed)]
    assert [row["status"] for row in rows] == [400, 200, 200]
    assert rows[2]["thinker"].startswith("ollama+http://127.0.0.1")
    assert rows[2]["usage"]["output_tokens"] == rows[1]["usage"]["output_tokens"] > 0
    assert list(rows[2]["stages_ms"]) == ["parse", "question", "exact", "first_byte", "total"]
    assert "secret plan" not in shown.text


def test_stats_and_metrics_tell_memory_from_thinkers(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("a ", "reply"))) as address:
        for question in (QUESTION, QUESTION, PARAPHRASE):
            usage = post(address, body(question)).json()["usage"]
        stats = get(address, "/api/stats").json()
        metrics = get(address, "/metrics").text
    assert stats["outcomes"] == {"miss": 1, "exact": 1, "semantic": 1}
    assert stats["tokens"]["thinkers"] == usage
    assert stats["tokens"]["memory"]["output_tokens"] == 2 * usage["output_tokens"]
    assert stats["tokens"]["shared"]["output_tokens"] == 0
    assert stats["store"]["entries"] == 1
    assert 'workbench_requests_total{outcome="semantic",status="200"} 1.0' in metrics
    assert 'workbench_request_seconds_count{outcome="exact"} 1.0' in metrics
    assert "workbench_entries 1.0" in metrics


def test_thinkers_are_listed_with_their_models(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(models=["qwen:latest"])) as address:
        [thinker] = get(address, "/api/thinkers").json()["data"]
    assert thinker["models"][0]["name"] == "qwen:latest"
    assert (thinker["in_flight"], thinker["error"]) == (0, None)
