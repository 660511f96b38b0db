"""The audit in service, end to end: what it hears of requests, what it asks of Thinkers, and what it stops."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import sqlite3
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stand_ins.ollama import StandInOllama, running
from benchmarks.stand_ins.ollama_script import Gate, Script, Text, Wait, last_user_text, queue_full, text
from tests.proxying import QUESTION, assert_refused, body, get, outcome, post, sdk
from tests.stores import LARGE_BYTES, entry
from tests.test_pool import QWEN, REPLY, REQUEST, ScriptedBackend, ask, pool_of
from workbench.backend.pool import Pool
from workbench.cache.audit_check import Alias, Match
from workbench.cache.audit_state import Rules
from workbench.cache.cache import Hit
from workbench.cache.judges import Answer, Verdict
from workbench.cache.memory_store import MemoryStore
from workbench.cache.policy import Serve, load_policy, save_policy
from workbench.cache.question import question
from workbench.errors import ConfigurationError, EmbeddingError, ThinkerUnavailable
from workbench.messages import TextBlock
from workbench.proxy.app import create_app
from workbench.proxy.asker import Asked, Asker
from workbench.proxy.auditing import Auditor, Audits
from workbench.proxy.lines import LARGEST_KEPT_BYTES, MOST_WAITING, Lines, is_large
from workbench.proxy.server import address_of, listen
from workbench.proxy.server import running as app_running
from workbench.proxy.services import Services
from workbench.proxy.telemetry import Telemetry
from workbench.reply import Text as Said
from workbench.settings import Settings, load

PARAPHRASE = "how can i reverse a list in python"
OTHER_WORDS = "How can I reverse a list in Python?"
MORE_WORDS = "How do I reverse a Python list?"

THINGS = ["list", "string", "tuple", "dictionary", "bytearray", "queue", "stack", "matrix", "sentence", "file"]
JUDGING = "Below are a question and two answers"
WORDINGS = itertools.count(1)

RIGHT, WRONG = "Call reversed() on it.", "The capital of Australia is Canberra, and its parliament sits on a hill."


@dataclass
class Served:
    """A running proxy, and the way into its loop."""

    address: str
    services: Services
    loop: asyncio.AbstractEventLoop

    def drain(self) -> None:
        assert self.services.auditor
        asyncio.run_coroutine_threadsafe(self.services.auditor.drained(), self.loop).result(timeout=30)

    @property
    def standing(self) -> dict[str, Any]:
        found: dict[str, Any] = get(self.address, "/api/audit").json()
        return found


@contextmanager
def serving(folder: Path, url: str, **settings: Any) -> Iterator[Served]:
    """A proxy whose Thinker may be asked by the audit at any time, but not to compare answers unless that is said."""
    given: dict[str, Any] = {
        "store": f"sqlite:///{folder / 'cache.sqlite'}",
        "thinkers": [f"ollama+{url}"],
        "audit_idle_s": 0,
        "audit_judge": "embedding",
    }
    given |= settings
    ready: list[tuple[Services, asyncio.AbstractEventLoop]] = []
    bound = listen("127.0.0.1", 0)
    app = create_app(Settings(**given), on_ready=lambda it: ready.append((it, asyncio.get_running_loop())))
    with app_running(app, bound):
        yield Served(address_of(bound), *ready[0])


@contextmanager
def audited(folder: Path, thinker: StandInOllama, **settings: Any) -> Iterator[Served]:
    with running(thinker) as url, serving(folder, url, **settings) as served:
        yield served


def lenient(folder: Path) -> Path:
    """The policy that ships, with a budget so large that few lookups tell."""
    path = folder / "policy.json"
    save_policy(load_policy().model_copy(update={"alpha": 0.5}), path)
    return path


def reworded(answer: str) -> str:
    """The same answer, and never twice the same text."""
    return answer.replace(" ", " " * next(WORDINGS), 1)


def in_two_moods(request: dict[str, Any]) -> Script:
    """Another answer to the question in small letters, always in other words; as a judge it compares word by word."""
    asked = last_user_text(request)
    if asked.startswith(JUDGING):
        one, two = re.findall(r"<answer_\w+>\n(.*)\n</answer", asked)
        return text("SAME" if one.split() == two.split() else "DIFFERENT")
    return text(reworded(WRONG if asked.islower() else RIGHT))


def in_one_mood(request: dict[str, Any]) -> Script:
    """The same answer to all questions, always in other words; a judge likewise."""
    asked = last_user_text(request)
    return in_two_moods(request) if asked.startswith(JUDGING) else text(reworded(RIGHT))


either_judge = pytest.mark.parametrize("judge", ["llm", "embedding"])


def stream(served: Served) -> None:
    """Ten questions, each in two ways."""
    for thing in THINGS:
        for asked in (f"How do I reverse a {thing} in Python?", f"how do i reverse a {thing} in python"):
            assert post(served.address, body(asked)).status_code == 200
    served.drain()


# ── shadow mode ─────────────────────────────────────────────────────────────────────────────────────────────


@either_judge
def test_shadow_mode_opens_by_itself_on_a_clean_stream(tmp_path: Path, judge: str) -> None:
    thinker = StandInOllama(in_one_mood)
    with audited(tmp_path, thinker, semantic="shadow", policy=lenient(tmp_path), audit_judge=judge) as served:
        post(served.address, body(QUESTION))
        assert outcome(post(served.address, body(PARAPHRASE))) == ("miss", "shadow")
        served.drain()
        assert served.standing["mode"] == "shadow"
        stream(served)
        assert (served.standing["mode"], served.standing["reason"]) == ("open", "bound-held")
        assert outcome(post(served.address, body(OTHER_WORDS))) == ("semantic", "same-meaning")
    with audited(tmp_path, thinker, semantic="shadow", policy=lenient(tmp_path)) as served:
        assert outcome(post(served.address, body(MORE_WORDS))) == ("semantic", "same-meaning")


@either_judge
def test_shadow_mode_stays_shut_on_a_dirty_stream(tmp_path: Path, judge: str) -> None:
    thinker = StandInOllama(in_two_moods)
    with audited(tmp_path, thinker, semantic="shadow", policy=lenient(tmp_path), audit_judge=judge) as served:
        stream(served)
        standing = served.standing
        assert standing["mode"] == "shadow"
        assert standing["wrong"] == len(THINGS)
        assert standing["high"] > standing["alpha"]
        answers = [chat for chat in thinker.chats if not last_user_text(chat).startswith(JUDGING)]
        assert standing["spent"]["answers"] == len(answers) - 2 * len(THINGS) == 2 * len(THINGS)
        assert outcome(post(served.address, body(f"{PARAPHRASE} please")))[0] == "miss"


def test_shadow_mode_opens_on_a_thinker_that_is_never_idle_where_it_repeats_itself(tmp_path: Path) -> None:
    thinker, busy = StandInOllama(text(RIGHT)), {"audit_idle_s": 300, "audit_patience_s": 0, "audit_judge": "llm"}
    with audited(tmp_path, thinker, semantic="shadow", policy=lenient(tmp_path), **busy) as served:
        stream(served)
        assert (served.standing["mode"], served.standing["reason"]) == ("open", "bound-held")
        assert served.standing["spent"] == {"answers": 0, "comparisons": 0, "tokens": 0}


@either_judge
def test_shadow_mode_waits_for_an_idle_thinker_and_counts_nothing_meanwhile(tmp_path: Path, judge: str) -> None:
    """What is left of a check at the server's end counts against the tenant; what was behind it does not count."""
    settings = {"audit_idle_s": 300, "audit_patience_s": 0, "semantic": "shadow", "audit_judge": judge}
    thinker = StandInOllama(in_two_moods)
    with audited(tmp_path, thinker, **settings) as served:
        for asked in (QUESTION, PARAPHRASE, "How do I bake bread?"):
            post(served.address, body(asked))
        standing = served.standing
        assert (standing["waiting"], standing["lookups"], standing["unsure"]) == (2, 0, 0)
    with audited(tmp_path, thinker, **settings) as served:
        assert (served.standing["lookups"], served.standing["unsure"]) == (1, 1)


def test_tenants_have_modes_of_their_own(tmp_path: Path) -> None:
    keys = ["ann:admin:secret-of-ann", "bob:admin:secret-of-bob", "eve:admin:secret-of-eve"]
    modes = {"ann": "shadow", "bob": "off"}
    expected = {"ann": ("miss", "shadow"), "bob": ("miss", "semantic-off"), "eve": ("semantic", "same-meaning")}
    with audited(tmp_path, StandInOllama(text(RIGHT)), keys=keys, tenant_semantic=modes) as served:
        for tenant, told in expected.items():
            key = f"secret-of-{tenant}"
            post(served.address, body(QUESTION), x_api_key=key)
            assert outcome(post(served.address, body(PARAPHRASE), x_api_key=key)) == told
            shown = get(served.address, "/api/audit", x_api_key=key).json()
            assert (shown["tenant"], shown["semantic"]) == (tenant, modes.get(tenant, "on"))


def test_who_is_set_to_shadow_after_having_been_served_proves_the_bound_first(tmp_path: Path) -> None:
    thinker = StandInOllama(text(RIGHT))
    with audited(tmp_path, thinker) as served:
        post(served.address, body(QUESTION))
        assert outcome(post(served.address, body(PARAPHRASE)))[0] == "semantic"
    with audited(tmp_path, thinker, semantic="shadow") as served:
        assert outcome(post(served.address, body(PARAPHRASE))) == ("miss", "shadow")


def test_tenants_modes_are_read_from_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_TENANT_SEMANTIC", "ann:shadow, bob:off")
    settings = load(semantic="off")
    assert [settings.semantic_of(name) for name in ("ann", "bob", "eve")] == ["shadow", "off", "off"]
    assert settings.is_semantic
    for wrong in ("ann", "ann:perhaps", "ann:"):
        monkeypatch.setenv("WORKBENCH_TENANT_SEMANTIC", wrong)
        with pytest.raises(ConfigurationError, match="TENANT_SEMANTIC"):
            load()


# ── served hits ─────────────────────────────────────────────────────────────────────────────────────────────


def test_hit_is_checked_behind_the_clients_back_and_paid_from_a_source_of_its_own(tmp_path: Path) -> None:
    gate = Gate()
    thinker = StandInOllama([text(RIGHT), Script((Wait(gate), Text(RIGHT)))])
    with audited(tmp_path, thinker) as served, sdk(served.address) as client:
        usage = post(served.address, body(QUESTION)).json()["usage"]
        hit = client.messages.with_raw_response.create(**body(PARAPHRASE))  # is there before the check has its answer
        assert hit.headers["x-cache"] == "semantic"
        assert thinker.wait_until(lambda it: it.begun == 2)
        assert thinker.chats[1]["messages"][-1]["content"] == PARAPHRASE
        assert served.standing["waiting"] == 1
        gate.release()
        served.drain()
        standing = served.standing
        stats = get(served.address, "/api/stats").json()
        metrics = get(served.address, "/metrics").text
        [entry] = get(served.address, "/api/entries").json()["data"]
    assert (standing["audited"], standing["wrong"], standing["hits"], standing["labels"]) == (1, 0, 1, 1)
    assert standing["spent"]["answers"] == stats["audit"]["calls"] == len(thinker.chats) - 1
    assert stats["audit"]["alias"] == 1
    assert stats["tokens"]["audit"]["output_tokens"] == stats["audit"]["calls"] * usage["output_tokens"]
    assert stats["tokens"]["thinkers"] == usage
    assert stats["requests"] == 2
    assert 'workbench_audit_checks_total{outcome="alias"} 1.0' in metrics
    assert 'workbench_audit_mode{mode="open",tenant="default"} 1.0' in metrics
    assert (
        f'workbench_tokens_total{{kind="output",source="audit"}} {stats["tokens"]["audit"]["output_tokens"]}.0'
        in metrics
    )
    assert entry["question"] == QUESTION


@either_judge
def test_hit_that_a_check_finds_wrong_is_not_served_again(tmp_path: Path, judge: str) -> None:
    with audited(tmp_path, StandInOllama(in_two_moods), audit_judge=judge) as served:
        post(served.address, body(QUESTION))
        assert outcome(post(served.address, body(PARAPHRASE)))[0] == "semantic"
        served.drain()
        assert (served.standing["wrong"], served.standing["blocked"]) == (1, 1)
        assert outcome(post(served.address, body(PARAPHRASE))) == ("miss", "seen-wrong")
        assert outcome(post(served.address, body(QUESTION)))[0] == "exact"


@either_judge
def test_fresh_answer_that_was_cut_short_says_nothing(tmp_path: Path, judge: str) -> None:
    def answer(request: dict[str, Any]) -> Script:
        if last_user_text(request).islower():
            return Script((Text(WRONG),), done_reason="length")
        return in_two_moods(request)

    with audited(tmp_path, StandInOllama(answer), audit_judge=judge) as served:
        post(served.address, body(QUESTION))
        assert outcome(post(served.address, body(PARAPHRASE)))[0] == "semantic"
        served.drain()
        standing = served.standing
        assert (standing["audited"], standing["unsure"], standing["wrong"], standing["blocked"]) == (1, 1, 0, 0)


def test_thinker_that_served_a_client_lately_is_not_asked(tmp_path: Path) -> None:
    thinker = StandInOllama(text(RIGHT))
    with audited(tmp_path, thinker, audit_idle_s=300, audit_patience_s=0) as served:
        post(served.address, body(QUESTION))
        assert outcome(post(served.address, body(PARAPHRASE)))[0] == "semantic"
        served.drain()
        assert (served.standing["audited"], served.standing["skipped"]) == (0, 1)
    assert len(thinker.chats) == 1


@either_judge
def test_miss_in_the_gray_zone_labels_its_pair(tmp_path: Path, judge: str) -> None:
    path = tmp_path / "policy.json"
    save_policy(load_policy().model_copy(update={"gate": 0.9999, "score": None, "second": None}), path)
    with audited(tmp_path, StandInOllama(in_one_mood), policy=path, audit_judge=judge) as served:
        post(served.address, body(QUESTION))
        assert outcome(post(served.address, body(OTHER_WORDS))) == ("miss", "below-threshold")
        served.drain()
        standing = served.standing
        assert (standing["labels"], standing["lookups"], standing["hits"]) == (1, 1, 0)
        judged = {"judgements": 1} if judge == "llm" else {}
        assert get(served.address, "/api/stats").json()["audit"] == {"label-alias": 1} | judged


def test_earlier_turn_in_the_gray_zone_labels_nothing(tmp_path: Path) -> None:
    """Other answers may be due to what was said before: they say nothing of the cut."""
    path, shipped = tmp_path / "policy.json", load_policy()
    assert shipped.score
    strict = shipped.score.model_copy(update={"cut": 1000.0})
    save_policy(shipped.model_copy(update={"score": strict, "second": None}), path)
    with audited(tmp_path, StandInOllama(text(RIGHT)), policy=path, conversations="aligned") as served:
        for first in (QUESTION, PARAPHRASE):
            turns = [("user", first), ("assistant", RIGHT), ("user", "Why?")]
            told = post(served.address, body(messages=[{"role": role, "content": said} for role, said in turns]))
        assert outcome(told) == ("miss", "turn-1-below-cut")
        served.drain()
        assert (served.standing["labels"], served.standing["lookups"]) == (0, 1)


# ── a cut of the tenant's own ───────────────────────────────────────────────────────────────────────────────


def strict(folder: Path, *, date: str) -> Path:
    """A policy whose cut only the same words pass, with a budget so large that few labels tell."""
    path, shipped = folder / f"{date}.json", load_policy()
    assert shipped.score
    score = shipped.score.model_copy(update={"cut": 100.0})
    save_policy(shipped.model_copy(update={"score": score, "second": None, "alpha": 0.5, "date": date}), path)
    return path


def label(served: Served, score: float) -> None:
    """As many misses with this score as it takes, each with the entry's own answer."""
    assert served.services.auditor
    audit = served.services.auditor.audits.of("default")

    async def run() -> None:
        for number in range(10):
            seen = Match("default", "s", f"e{number}", f"q{number}", "?", RIGHT, score, era=0)
            assert isinstance(await audit.label(seen, Answer(RIGHT, 1)), Alias)

    asyncio.run_coroutine_threadsafe(run(), served.loop).result(timeout=30)


def test_adopted_cut_decides_on_all_proxies_after_a_restart_and_not_under_another_policy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = strict(tmp_path, date="2026-01-01"), strict(tmp_path, date="2026-02-02")
    with running(StandInOllama(text(RIGHT))) as url:
        with serving(tmp_path, url, policy=old) as one, serving(tmp_path, url, policy=old) as other:
            post(one.address, body(QUESTION))
            for served in (one, other):
                told = post(served.address, body(PARAPHRASE), x_cache_control="only-if-cached")
                assert outcome(told) == ("miss", "below-cut")
            assert_refused(adopt(one), 400, "invalid_request_error", naming="0 labels")
            assert_refused(adopt(one, tenant="eve"), 403, "permission_error", naming="eve's")
            assert_refused(adopt(one, cut="policy"), 400, "invalid_request_error", naming="none to drop")
            label(one, 0.6)
            assert adopt(one, tenant="default").json() == {"tenant": "default", "cut": 0.6, "mode": "open"}
            hit = post(one.address, body(PARAPHRASE))
            assert outcome(hit) == ("semantic", "same-meaning")
            assert " cut=0.600 " in hit.headers["x-cache-decision"]
            assert (one.standing["cut"], one.standing["hits"], one.standing["next_cut"]) == (0.6, 1, None)
            explained = post(one.address, {"a": QUESTION, "b": PARAPHRASE}, path="/api/explain").json()
            assert (explained["served"], explained["decision"]["cut"]) == (True, 0.6)
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:  # what the other says within the second is its own affair
                told = post(other.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told)[0] == "semantic"
        for beside in ({"conversations": "aligned"}, {"gray_verifier": "thinker"}):
            caplog.clear()
            with serving(tmp_path, url, policy=old, **beside) as served:
                found = served.standing
            assert (found["mode"], found["reason"], found["cut"]) == ("shadow", "settings-changed", None)
            assert "audit.settings_changed tenant=default" in caplog.text
        with serving(tmp_path, url, policy=new) as served:
            told = post(served.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told) == ("miss", "below-cut")
        with serving(tmp_path, url, policy=old) as served:
            told = post(served.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told)[0] == "semantic"
            assert adopt(served, cut="policy").json()["cut"] is None
            told = post(served.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told) == ("miss", "below-cut")
            assert (served.standing["lookups"], served.standing["hits"]) == (1, 0)


def test_policy_without_its_verifier_is_the_same_policy_beside_other_settings(tmp_path: Path) -> None:
    """What a tenant has shown is not forgotten because a file could not be read."""
    path, broken, shipped = tmp_path / "policy.json", tmp_path / "verifier.safetensors", load_policy()
    assert shipped.score
    assert shipped.second
    score, second = (stage.model_copy(update={"cut": 100.0}) for stage in (shipped.score, shipped.second))
    save_policy(shipped.model_copy(update={"score": score, "second": second, "alpha": 0.5}), path)
    broken.write_bytes(b"not layers")
    with running(StandInOllama(text(RIGHT))) as url:
        with serving(tmp_path, url, policy=path) as served:
            post(served.address, body(QUESTION))
            label(served, 0.6)
            assert adopt(served, tenant="default").json()["cut"] == 0.6
        with serving(tmp_path, url, policy=path, verifier=broken) as served:
            found = served.standing
        assert (found["mode"], found["reason"], found["cut"]) == ("shadow", "settings-changed", None)


def adopt(served: Served, **fields: str) -> Any:
    return post(served.address, fields, path="/api/audit/adopt")


# ── what a person reports ───────────────────────────────────────────────────────────────────────────────────


def report(served: Served, response: Any) -> None:
    """Call the answer wrong, and let the entry's own question be asked anew, so that it could be served again."""
    id = response.headers["x-cache-entry"]
    assert post(served.address, {}, path=f"/api/entries/{id}/wrong").json() == {"withdrawn": id}
    assert outcome(post(served.address, body(QUESTION), x_cache_control="no-cache")) == ("bypass", "no-cache")


def test_entry_that_a_person_saw_wrong_is_never_served_for_that_question_again(tmp_path: Path) -> None:
    with running(StandInOllama(text(RIGHT))) as url:
        with serving(tmp_path, url) as one, serving(tmp_path, url) as other:
            post(one.address, body(QUESTION))
            hit = post(one.address, body(PARAPHRASE))
            assert outcome(hit) == outcome(post(other.address, body(PARAPHRASE))) == ("semantic", "same-meaning")
            report(one, hit)
            told = post(one.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told) == ("miss", "seen-wrong")
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:  # what the other says within the second is its own affair
                told = post(other.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told) == ("miss", "seen-wrong")
            assert outcome(post(other.address, body(OTHER_WORDS)))[0] == "semantic"
        with serving(tmp_path, url) as restarted:
            told = post(restarted.address, body(PARAPHRASE), x_cache_control="only-if-cached")
            assert outcome(told) == ("miss", "seen-wrong")


def test_two_confirmed_wrongs_close_the_scope(tmp_path: Path) -> None:
    with audited(tmp_path, StandInOllama(text(RIGHT)), audit_judge="none") as served:
        post(served.address, body(QUESTION))
        for asked in (PARAPHRASE, OTHER_WORDS):
            hit = post(served.address, body(asked))
            assert outcome(hit)[0] == "semantic"
            report(served, hit)
        assert outcome(post(served.address, body(MORE_WORDS))) == ("miss", "scope-closed")
        assert (served.standing["reported"], served.standing["closed_scopes"]) == (2, 1)
        elsewhere = {"system": "Be brief."}
        post(served.address, body(QUESTION, **elsewhere))
        assert outcome(post(served.address, body(PARAPHRASE, **elsewhere)))[0] == "semantic"
        assert post(served.address, {"mode": "open"}, path="/api/audit/reopen").json()["mode"] == "open"
        assert (served.standing["closed_scopes"], served.standing["blocked"]) == (0, 2)
        assert post(served.address, b"", path="/api/audit/reopen").json()["mode"] == "shadow"
        assert outcome(post(served.address, body("How do I reverse lists in Python?")))[0] == "miss"
        assert_refused(
            post(served.address, {"mode": "ajar"}, path="/api/audit/reopen"),
            400,
            "invalid_request_error",
            naming="mode",
        )


def test_entry_that_served_nobody_is_withdrawn_without_a_word_to_the_audit(tmp_path: Path) -> None:
    with audited(tmp_path, StandInOllama(text(RIGHT))) as served:
        post(served.address, body(QUESTION))
        report(served, post(served.address, body(QUESTION)))
        assert served.standing["reported"] == 0


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_store_that_loses_the_audits_state_fails_no_request(tmp_path: Path) -> None:
    with audited(tmp_path, StandInOllama(text(RIGHT))) as served:
        post(served.address, body(QUESTION))
        with sqlite3.connect(tmp_path / "cache.sqlite") as database:
            database.execute("DROP TABLE states")
        database.close()
        assert outcome(post(served.address, body(PARAPHRASE))) == ("bypass", "cache-fault")
        assert outcome(post(served.address, body(QUESTION)))[0] == "exact"
        told = post(served.address, {"a": QUESTION, "b": PARAPHRASE}, path="/api/explain")
        assert (told.status_code, told.json()["served"]) == (200, True)
        served.drain()


def test_thinker_that_fails_the_audit_fails_no_request(tmp_path: Path) -> None:
    with audited(tmp_path, StandInOllama([text(RIGHT), queue_full()])) as served:
        post(served.address, body(QUESTION))
        for asked in (PARAPHRASE, OTHER_WORDS):
            assert outcome(post(served.address, body(asked)))[0] == "semantic"
            served.drain()
        assert (served.standing["mode"], served.standing["skipped"], served.standing["audited"]) == ("open", 2, 0)


def test_without_an_audit_hits_are_served_and_shadow_mode_stays(tmp_path: Path) -> None:
    with audited(tmp_path, StandInOllama(text(RIGHT)), audit=False) as served:
        post(served.address, body(QUESTION))
        hit = post(served.address, body(PARAPHRASE))
        assert outcome(hit)[0] == "semantic"
        report(served, hit)
        assert_refused(get(served.address, "/api/audit"), 404, "not_found_error", naming="WORKBENCH_AUDIT")
        assert get(served.address, "/metrics").status_code == 200


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────


OTHER_REPLY = replace(REPLY, content=(Said("hello there"),))
"""In other words than a Thinker gives the answer."""


class BrokenJudge:
    """Fails; counts how often it was asked."""

    name = "broken"

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.asked = 0

    async def compare(self, question: str, one: str, two: str) -> Verdict:
        self.asked += 1
        if self.error:
            raise self.error
        return Verdict("same", 1.0)


@dataclass
class Parts:
    """An auditor that hears of hits without a proxy."""

    auditor: Auditor
    audits: Audits
    judge: BrokenJudge
    asked: Asked

    def hit(self) -> None:
        served = Hit(entry("stored", angle=0.1), "semantic", 0.98, Serve(0.98, 0.97))
        self.auditor.served(self.asked, served, OTHER_REPLY)


def with_parts(story: Callable[[Parts], Awaitable[None]], *, error: Exception | None = None) -> None:
    async def run() -> None:
        judge = BrokenJudge(error)
        store = MemoryStore(max_bytes=LARGE_BYTES)
        audits = Audits(store, epoch="p", rules=Rules(), judge=judge, mode=lambda _: "on", draw=lambda: 0.999)
        async with pool_of(ScriptedBackend("a:", QWEN)) as pool:
            asker = Asker(pool, idle_s=0, patience_s=0)
            async with Auditor(audits, asker=asker, telemetry=Telemetry(keep=1), is_scored=False) as auditor:
                asks = question(REQUEST, model=QWEN.name, model_digest=QWEN.digest)
                await audits.look("t")
                await story(Parts(auditor, audits, judge, Asked("t", asks, QWEN)))

    asyncio.run(run())


@pytest.mark.parametrize("error", [EmbeddingError("broken"), ZeroDivisionError("a fault of its own")], ids=repr)
def test_judge_that_fails_ends_nothing(error: Exception) -> None:
    async def story(parts: Parts) -> None:
        for _ in range(2):
            parts.hit()
            await parts.auditor.drained()
        assert parts.judge.asked == 2
        assert parts.audits.of("t").standing("t").audited == 0

    with_parts(story, error=error)


def test_hit_is_checked_for_the_era_that_decided_it() -> None:
    async def story(parts: Parts) -> None:
        audit = parts.audits.of("t")
        parts.hit()
        await audit.reopen("t", "open")
        await parts.auditor.drained()
        assert parts.judge.asked > 0
        assert (audit.standing("t").hits, audit.standing("t").audited) == (0, 0)

    with_parts(story)


def test_question_that_comes_again_at_once_makes_its_hit_suspect() -> None:
    async def story(parts: Parts) -> None:
        for _ in range(60):  # so that the next is not checked anyway
            parts.hit()
            await parts.auditor.drained()
        before = parts.judge.asked
        parts.auditor.asked_again("other", parts.asked.question)
        await parts.auditor.drained()
        assert parts.judge.asked == before
        for _ in range(2):  # the second time it is known already
            parts.auditor.asked_again("t", parts.asked.question)
            await parts.auditor.drained()
        assert parts.judge.asked == before + 1

    with_parts(story)


def test_too_large_request_is_not_kept_and_its_check_is_skipped() -> None:
    async def story(parts: Parts) -> None:
        request = REQUEST.model_copy(update={"system": [TextBlock(type="text", text="x" * LARGEST_KEPT_BYTES)]})
        asks = question(request, model=QWEN.name, model_digest=QWEN.digest)
        small, parts.asked = parts.asked, Asked("t", asks, QWEN)
        kept = weakref.ref(asks)
        del asks
        for _ in range(60):  # the first ones are checked, the last is remembered
            parts.hit()
            await parts.auditor.drained()
        parts.asked = small
        assert kept() is None
        parts.auditor.asked_again("t", small.question)
        await parts.auditor.drained()
        standing = parts.audits.of("t").standing("t")
        assert (parts.judge.asked, standing.audited, standing.hits) == (0, 0, 60)
        assert standing.skipped > 1

    with_parts(story)


def test_too_large_request_in_shadow_mode_counts_unless_the_answers_agree(tmp_path: Path) -> None:
    """Left out, it would make the tenant look better than it is: its misses are counted."""
    thinker = StandInOllama([text(RIGHT), text(RIGHT), text(WRONG)])
    large = {"note": "x" * LARGEST_KEPT_BYTES}  # a field that no model is shown: the Thinker's window is small
    with audited(tmp_path, thinker, semantic="shadow") as served:
        for asked in (QUESTION, PARAPHRASE, OTHER_WORDS):
            assert post(served.address, body(asked, **large)).status_code == 200
            served.drain()
        assert (served.standing["audited"], served.standing["unsure"], len(thinker.chats)) == (2, 1, 3)


@pytest.mark.parametrize("depth", [0, 3])
def test_size_of_a_request_counts_texts_names_and_values_at_any_depth(depth: int) -> None:
    def nested(value: object) -> object:
        for _ in range(depth):
            value = {"k": [value]}
        return value

    assert not is_large(nested("x" * 900), limit_bytes=1000)
    assert is_large(nested("x" * 1001), limit_bytes=1000)
    assert is_large(nested({"x" * 1001: 1}), limit_bytes=1000)
    assert is_large(nested([0] * 200), limit_bytes=1000)
    assert is_large(
        TextBlock.model_validate({"type": "text", "text": "", "more": nested("x" * 1001)}), limit_bytes=1000
    )
    assert not is_large(REQUEST)


def test_work_of_one_tenant_is_done_in_order_and_no_more_of_it_is_taken_than_may_wait() -> None:
    async def story() -> None:
        done: list[tuple[str, int]] = []
        gate, b_done = asyncio.Event(), asyncio.Event()

        def work(tenant: str, number: int) -> Callable[[], Awaitable[None]]:
            async def do() -> None:
                await (gate.wait() if tenant == "a" else asyncio.sleep(0))
                done.append((tenant, number))
                if tenant == "b":
                    b_done.set()
                if number == 1:
                    raise ValueError("only this one fails")

            return do

        async with Lines() as lines:
            taken = [lines.add("a", work("a", number)) for number in range(MOST_WAITING + 2)]
            assert taken == [True] * MOST_WAITING + [False] * 2
            lines.add("b", work("b", 0))
            await b_done.wait()
            assert done == [("b", 0)]
            gate.set()
            await lines.drained()
            assert done == [("b", 0), *(("a", number) for number in range(MOST_WAITING))]
            gate.clear()
            lines.add("a", work("a", -1))  # left at the end: cancelled

    asyncio.run(story())


def test_what_comes_last_is_done_after_all_other_work() -> None:
    async def story() -> None:
        done: list[str] = []
        gate = asyncio.Event()

        def work(name: str) -> Callable[[], Awaitable[None]]:
            async def do() -> None:
                await gate.wait()
                done.append(name)

            return do

        async with Lines() as lines:
            assert lines.add("a", work("first"))
            await asyncio.sleep(0)
            for name in ("label", "another label"):
                assert lines.add("a", work(name), is_last=True)
            for name in ("check", "another check"):
                assert lines.add("a", work(name))
            assert not lines.add("a", work("too much"), is_last=True, most_waiting=5)
            assert lines.waiting == 5
            gate.set()
            await lines.drained()
            assert lines.waiting == 0
        assert done == ["first", "check", "another check", "label", "another label"]

    asyncio.run(story())


def test_questions_of_one_piece_of_work_share_its_deadline() -> None:
    async def story() -> None:
        async with pool_of(ScriptedBackend("a:", QWEN)) as pool:
            asker = Asker(pool, idle_s=0.05, patience_s=3600)
            with asker.until(lambda: 0.0), pytest.raises(ThinkerUnavailable):  # long ago: nothing is waited for
                await asker.put(REQUEST, QWEN, timeout_s=5)
            assert await asker.put(REQUEST, QWEN, timeout_s=5) == REPLY
            impatient = Asker(pool, idle_s=0.05, patience_s=0)
            pool.thinkers[0].last_used_s = time.monotonic()
            with impatient.until(lambda: math.inf):
                assert await impatient.put(REQUEST, QWEN, timeout_s=5) == REPLY

    asyncio.run(story())


def test_audits_call_goes_to_an_idle_thinker_and_is_no_use_of_it() -> None:
    async def reply(pool: Pool, idle_s: float) -> str:
        call = pool.call(REQUEST, QWEN, idle_s=idle_s)
        assert [event async for event in call.events()]
        return call.thinker

    async def story() -> None:
        async with pool_of(ScriptedBackend("a:", QWEN), ScriptedBackend("b:", QWEN)) as pool:
            assert 299 < pool.idle_in_s(QWEN, 300) <= 300  # nobody knows what was before
            with pytest.raises(ThinkerUnavailable, match="300 s"):
                await reply(pool, 300)
            for thinker in pool.thinkers:
                thinker.last_used_s -= 400
            assert pool.idle_in_s(QWEN, 300) == 0
            assert (await ask(pool))[1] == "a:"
            for _ in range(2):
                assert await reply(pool, 300) == "b:"
            assert pool.thinkers[0].idle_in_s(300) > 299
            pool.thinkers[1].clients += 1
            assert 299 < pool.idle_in_s(QWEN, 300) <= 300

    asyncio.run(story())
