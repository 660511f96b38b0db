"""A replay asks the cache itself: by time, scope, policy and store; and what it would have answered is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import replay as replay_command
from benchmarks.counterfactual import Replayed, Setup, StoreKind, open_remembered, replay
from benchmarks.recorded_traffic import Traffic, read_traffic
from benchmarks.remembered import Remembered
from benchmarks.replay import billed, cost_share, savings_by_kind, share_table, shares, usd_of
from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from benchmarks.waiting import waiting_table
from benchmarks.workload import header, traffic
from tests.proxying import QUESTION, body, outcome, post, proxied
from tests.test_recording import HEADER, line
from workbench.cache.policy import load_policy
from workbench.errors import ConfigurationError
from workbench.prices import load_prices
from workbench.proxy.payload import encode
from workbench.proxy.recording_file import Recorded, write_recording
from workbench.reply import Reply, Text, Usage

POLICY = load_policy()
DAY_S = 86_400.0
PARAPHRASE = "how do i reverse a list in python"
TRAP = "How do I reverse a list in Java?"
OPUS = load_prices().api_price("claude-opus-5-5")


def reply(said: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(encode(Reply("m", (Text(said),), "end_turn", None, Usage())))
    return found


def asked(number: int, said: str = "list[::-1]", **fields: Any) -> Recorded:
    """A question of its own digest, in one scope, answered by text."""
    given = {"text": QUESTION, "scope": "s" * 32, "kept": "meaning", "reply": reply(said), "outcome": "miss"}
    return line(number, **(given | fields))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remembered]:
    with open_remembered(tmp_path_factory.mktemp("known") / "known.sqlite", policy=POLICY) as remembered:
        yield remembered


def run(known: Remembered, *exchanges: Recorded, **setup: Any) -> list[Replayed]:
    return replay(Traffic(list(exchanges), ()), Setup(POLICY, **setup), known)


def tiers(found: list[Replayed]) -> list[str]:
    return [f"{each.tier} {each.says}{each.reason}".strip() for each in found]


# ── the counterfactual ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_repeats_hit_exactly_and_other_words_by_meaning(known: Remembered, store: StoreKind) -> None:
    same = asked(0).digest
    found = run(known, asked(0), asked(1, digest=same), asked(2, text=PARAPHRASE), asked(3, text=TRAP), store=store)
    assert [each.tier for each in found] == ["none", "exact", "semantic", "none"]
    assert [each.says for each in found] == ["", "right", "right", ""]


def test_nothing_matches_by_meaning_in_another_scope_or_when_it_is_off(known: Remembered) -> None:
    other = asked(1, text=PARAPHRASE, scope="t" * 32)
    assert tiers(run(known, asked(0), other)) == ["none no-candidate"] * 2
    assert tiers(run(known, asked(0), asked(1, text=PARAPHRASE), semantic="off")) == ["none semantic-off"] * 2


def test_entries_expire_at_the_recordings_own_time(known: Remembered) -> None:
    repeat = asked(1, digest=asked(0).digest)
    for days, tier in ((6, "exact"), (8, "none")):
        found = run(known, asked(0), repeat.model_copy(update={"at_s": days * DAY_S}))
        assert found[1].tier == tier


def test_what_was_not_kept_answers_nobody_and_a_tool_call_only_its_own_request(known: Remembered) -> None:
    unkept, calls = asked(0, kept="no"), asked(0, kept="exact")
    again, words = asked(1, digest=asked(0).digest), asked(2, text=PARAPHRASE)
    assert [each.tier for each in run(known, unkept, again)] == ["none", "none"]
    assert [each.tier for each in run(known, calls, again, words)] == ["none", "exact", "none"]


def test_a_hit_is_judged_by_label_first_then_by_hash_then_by_the_replies(known: Remembered) -> None:
    other = asked(1, "Use list.sort and compare.", text=PARAPHRASE)
    long = "The function reversed returns an iterator over the list from its end; slicing makes a copy of it."
    for first, second, says in (
        (asked(0, label="a"), other.model_copy(update={"label": "a"}), "right"),
        (asked(0, label="a"), other.model_copy(update={"label": "b"}), "wrong"),
        (asked(0, reply_hash="x"), other.model_copy(update={"reply_hash": "x"}), "right"),
        (asked(0, long), asked(1, long, text=PARAPHRASE), "right"),
        (asked(0, long), asked(1, "Bake the potatoes for an hour at 200 degrees.", text=PARAPHRASE), "wrong"),
        (asked(0), asked(1, text=PARAPHRASE, reply=None), "unknown"),
    ):
        found = run(known, first, second)
        assert (found[1].tier, found[1].says) == ("semantic", says)


def test_tenants_are_kept_apart(known: Remembered) -> None:
    assert run(known, asked(0), asked(1, digest=asked(0).digest, tenant="bob"))[1].tier == "none"


def test_a_policy_of_another_embedder_is_refused(known: Remembered) -> None:
    foreign = Setup(POLICY.model_copy(update={"fingerprint": "another"}))
    with pytest.raises(ConfigurationError, match="the policy was measured with"):
        replay(Traffic([asked(0)], ()), foreign, known)


def test_what_is_known_is_not_embedded_or_verified_again(tmp_path: Path) -> None:
    path, exchanges = tmp_path / "known.sqlite", list(traffic(1_500, seed=3))
    counts, outcomes = [], []
    for _ in range(2):
        with open_remembered(path, policy=POLICY) as again:
            outcomes.append([each.tier for each in replay(Traffic(exchanges, ()), Setup(POLICY), again)])
            counts.append((again.embedded, again.verified))
    assert counts[0][0] > 0
    assert counts[1] == (0, 0)
    assert outcomes[0] == outcomes[1]


def test_a_file_that_is_no_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "known.sqlite").write_text("this is no database, and long enough to be taken for one" * 10)
    with pytest.raises(ConfigurationError, match=r"cannot use .* to remember vectors"):
        open_remembered(tmp_path / "known.sqlite", policy=POLICY)


def test_a_replay_of_what_the_proxy_recorded_finds_what_the_proxy_did(tmp_path: Path, known: Remembered) -> None:
    asks = [body(QUESTION), body(QUESTION), body(PARAPHRASE), body(TRAP), body(QUESTION, max_tokens=9)]
    settings = {"record": True, "record_dir": tmp_path / "rec", "audit": False}
    with proxied(tmp_path, StandInOllama(text("list[::-1]")), **settings) as address:
        served = [outcome(post(address, ask))[0] for ask in asks]
    found = replay(read_traffic(tmp_path / "rec"), Setup(POLICY), known)
    assert [each.tier if each.is_hit else "miss" for each in found] == served
    assert served == ["miss", "exact", "semantic", "miss", "miss"]


# ── what is doubtful about a recording ──────────────────────────────────────────────────────────────────────


def test_mixed_embedders_hidden_words_and_damage_are_noted(tmp_path: Path) -> None:
    write_recording(tmp_path / "recording-1.jsonl.zst", HEADER, iter([line(5, text_hash="x")]))
    other = HEADER.model_copy(update={"embedder": "another", "key_version": 0})
    write_recording(tmp_path / "recording-2.jsonl.zst", other, iter([line(1), line(2)]))
    cut = tmp_path / "recording-2.jsonl.zst"
    cut.write_bytes(cut.read_bytes() + b"\x28\xb5\x2f\xfdbroken")
    found = read_traffic(tmp_path)
    assert [each.id for each in found.exchanges] == ["req_1", "req_2", "req_5"]  # by time, not by file
    notes = "\n".join(found.notes)
    for said in ("1 lines could not be read", "2 embedders", "2 canonical forms", "3 questions were recorded without"):
        assert said in notes


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "recording-1.jsonl.zst", HEADER, iter([]))
    with pytest.raises(ConfigurationError, match="holds no exchange"):
        read_traffic(tmp_path)


# ── what it comes to ────────────────────────────────────────────────────────────────────────────────────────


def test_agents_runs_are_counted_apart_from_questions_and_wrong_answers_save_nothing(known: Remembered) -> None:
    turn = line(1, reason="tool-result", kept="exact", outcome="miss", total_ms=4_000.0, output_tokens=100)
    wrong = asked(5, text=PARAPHRASE, label="b", output_tokens=100, total_ms=1_000.0)
    found = run(
        known,
        asked(0, label="a", output_tokens=100, total_ms=1_000.0),
        turn,
        turn.model_copy(update={"id": "again", "at_s": 3.0}),
        wrong,
    )
    rows, bill = savings_by_kind(found, OPUS)
    hits = {row.name: row.hits for row in rows}
    assert hits["agent turns, exact tier"] == 1
    assert hits["questions, semantic tier"] == 0
    assert rows[0].thinker_s == pytest.approx(4.0)
    assert rows[0].waiting_s < rows[0].thinker_s
    assert bill == pytest.approx(4 * 100 * 20e-6)
    assert cost_share(found, OPUS).value == pytest.approx(0.25)


def test_rates_say_what_they_are_of_and_when_samples_are_few(known: Remembered) -> None:
    found = run(known, asked(0), asked(1, digest=asked(0).digest), line(2, reason="tool-result"))
    by_name = {share.name: share for share in shares(found)}
    assert by_name["exact hits ÷ all requests"].whole == 3
    assert by_name["exact hits ÷ eligible questions"].whole == 2
    assert by_name["exact hits ÷ agent turns"].part == 0
    assert all(share.is_few for share in by_name.values())
    assert "few samples" in repr(share_table(list(by_name.values())))
    assert "nothing to measure" in repr(share_table(list(by_name.values())))


def test_usage_without_a_prompt_cache_is_split_and_with_one_is_taken_as_it_is() -> None:
    assert billed(Usage(1_000, 5)) == Usage(100, 5, 0, 900)
    told = Usage(10, 5, 20, 900)
    assert billed(told) == told
    assert usd_of(told, OPUS) == pytest.approx((900 * 0.2 + 30 * 4 + 5 * 20) / 1e6)


def test_a_hit_of_the_recording_itself_is_given_a_misses_time(known: Remembered) -> None:
    miss = asked(0, output_tokens=10, total_ms=500.0)
    hit = asked(1, digest=miss.digest, outcome="exact", output_tokens=20, total_ms=1.0)
    rows, _ = savings_by_kind(run(known, miss, hit), OPUS)
    assert sum(row.thinker_s for row in rows) == pytest.approx(1.0)


def test_waiting_is_told_with_and_without_the_cache(known: Remembered) -> None:
    miss = asked(0, output_tokens=10, total_ms=3_000.0)
    found = run(known, miss, *(asked(n, digest=miss.digest, output_tokens=10, total_ms=3_000.0) for n in range(1, 20)))
    rows = {row[0]: row[1:] for row in waiting_table(found).rows}
    assert rows["all requests"] == rows["questions"] == ("20", "3.00 s", "3.00 s", "0.00 s", "0.15 s")
    assert rows["agent turns"] == ("0", "—", "—", "—", "—")


def test_synthetic_traffic_is_repeatable_mostly_agents_and_labelled() -> None:
    one = list(traffic(4_000, seed=5))
    assert one == list(traffic(4_000, seed=5))
    assert one != list(traffic(4_000, seed=6))
    assert [each.at_s for each in one[:1]] <= [one[-1].at_s]
    reasons = Counter(each.reason for each in one)
    assert reasons["tool-result"] / len(one) > 0.85
    assert all(each.label for each in one if each.is_eligible)


def test_the_command_prints_rates_and_a_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl.zst"
    write_recording(path, header(), traffic(300))
    app = Typer()
    app.command()(replay_command.main)
    done = CliRunner().invoke(app, [str(path), "--semantic", "off"])
    assert done.exit_code == 0, done.output
    assert "exact hits ÷ agent turns" in done.stdout
    assert orjson.loads(done.stdout.splitlines()[-1])["exchanges"] == 300
    for arguments, said in ((["--store", "redis"], "there is no store 'redis'"), (["--semantic", "of"], "'of'")):
        done = CliRunner().invoke(app, [str(path), *arguments])
        assert done.exit_code == 2
        assert said in done.output


def test_the_setup_of_a_replay_is_a_value() -> None:
    assert replace(Setup(POLICY), semantic="off").semantic == "off"
