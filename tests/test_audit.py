"""What the audit learns in service, from whom, and what it does with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from benchmarks.audit_simulation import RULES, Runs, Scenario
from tests.stores import LARGE_BYTES, opened
from workbench.cache import audit_rules
from workbench.cache.audit import READ_EVERY_S, Audit, Permission
from workbench.cache.audit_check import Alias, Check, Doubted, Match, Outcome, Skipped, Unsure, Wrong
from workbench.cache.audit_state import (
    MOST_BLOCKED,
    MOST_SCOPES,
    AuditState,
    Checked,
    Label,
    Labelled,
    Reported,
    Rules,
    Seen,
    Start,
)
from workbench.cache.judges import Answer, Judge, LlmJudge, Verdict
from workbench.cache.memory_store import MemoryStore
from workbench.cache.shared_state import NAME, SharedState
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Store
from workbench.errors import StoreError, ThinkerUnavailable

TRUSTED = Rules(measured=(5_000, 0))
"""For a judge that never gave a false alarm."""


class ExactJudge:
    """The first word is the answer."""

    name = "exact"

    async def compare(self, question: str, one: str, two: str) -> Verdict:
        return Verdict("same" if one.split()[0] == two.split()[0] else "different", 1.0, tokens=1)


class SameJudge(ExactJudge):
    """Says the same of everything until it is told better."""

    is_better = False

    async def compare(self, question: str, one: str, two: str) -> Verdict:
        return await super().compare(question, one, two) if self.is_better else Verdict("same", 1.0)


class Thinker:
    """Gives the answers in order, the last one for ever, or until it was asked so often; in other words each time."""

    def __init__(self, *answers: str, most: int = 10**9, repeats: bool = False) -> None:
        self._answers = list(answers)
        self._most = most
        self._repeats = repeats
        self.asked = 0

    async def __call__(self) -> Answer:
        if self.asked >= self._most:
            return await unreachable()
        self.asked += 1
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return Answer(said if self._repeats else f"{said} {self.asked}", 10)


async def unreachable() -> Answer:
    raise ThinkerUnavailable("no Thinker is free of warm sessions")


def audit(
    store: Store,
    *,
    epoch: str = "p1",
    rules: Rules = TRUSTED,
    start: Start = "open",
    draw: Callable[[], float] = lambda: 0.5,
    judged: bool = True,
    judge: Judge | None = None,
) -> Audit:
    judge = judge or ExactJudge() if judged else None
    return Audit(store, epoch=epoch, rules=rules, judge=judge, start=lambda _: start, draw=draw)


def match(number: int = 0, *, scope: str = "s", stored: str = "right", tenant: str = "t", era: int = 0) -> Match:
    return Match(tenant, scope, f"entry{number}", f"digest{number}", f"question {number}", stored, 0.9, era)


def permission(it: Audit, hit: Match) -> Permission:
    return it.may_serve(hit.tenant, scope=hit.scope, entry_id=hit.entry_id, question_digest=hit.question_digest)


async def serve(it: Audit, hit: Match, *, truth: str = "right") -> Outcome | None:
    """One hit, and its audit if it is chosen."""
    check = it.served(hit)
    return await it.check(check, Thinker(truth)) if check else None


def with_memory(story: Callable[[MemoryStore], object]) -> None:
    store = MemoryStore(max_bytes=LARGE_BYTES)
    found = story(store)
    assert asyncio.iscoroutine(found)
    asyncio.run(found)


# ── one check ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("stored", "fresh", "expected"),
    [
        ("right", ["right"], Alias("entry0", "question 0", "digest0")),
        ("bad", ["right", "right"], Wrong("entry0", "digest0")),
        ("bad", ["right", "bad"], Unsure()),
        ("bad", ["one", "two"], Unsure()),
        ("", ["right"], Unsure()),
    ],
)
def test_an_answer_is_wrong_only_if_two_fresh_ones_agree_against_it(
    stored: str, fresh: list[str], expected: Outcome
) -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, draw=lambda: 0.99)
        await it.look("t")
        for _ in range(60):
            it.served(match(1))
        outcome = await it.check(Check(match(stored=stored), "targeted"), Thinker(*fresh))
        assert outcome == expected
        assert (permission(it, match()) == "seen-wrong") == isinstance(expected, Wrong)

    with_memory(story)


def test_a_second_answer_in_the_same_words_confirms_nothing_and_the_pair_is_not_served_again() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        for number in range(60):
            check = it.served(match(number, stored="bad"))
            assert check
            told = await it.check(check, Thinker("right", repeats=True))
            assert told == Doubted(f"entry{number}", f"digest{number}")
        standing = it.standing("t")
        assert (standing.mode, standing.wrong, standing.unsure, standing.labels) == ("open", 0, 60, 0)
        assert (standing.blocked, standing.closed_scopes) == (60, 0)
        assert permission(it, match(7)) == "seen-wrong"
        assert permission(it, match(99)) == "serve"

    with_memory(story)


def test_the_judge_is_not_asked_where_the_words_are_the_same() -> None:
    async def story(store: MemoryStore) -> None:
        it, thinker = audit(store), Thinker("right\n", repeats=True)
        await it.look("t")
        check = it.served(match(stored="right"))
        assert check
        assert isinstance(await it.check(check, thinker), Alias)
        assert isinstance(await it.label(match(1), Answer(" right", 10)), Alias)
        assert (it.standing("t").spent.comparisons, thinker.asked) == (0, 1)  # nor is a control made

    with_memory(story)


@pytest.mark.parametrize("alarms", [0.1, 0.3])
@pytest.mark.parametrize("scopes", [1, 50])
def test_false_alarms_that_repeat_themselves_close_nothing(alarms: float, scopes: int) -> None:
    """At temperature 0 neither Thinker nor judge ever says anything else of the same."""
    drawn = random.Random(3)  # noqa: S311 - no secret

    async def ask(prompt: str) -> Answer:
        return Answer("DIFFERENT" if random.Random(prompt).random() < alarms else "SAME", 1, "m 1")  # noqa: S311

    async def story(store: MemoryStore) -> None:
        it = audit(store, rules=Rules(), judge=LlmJudge(ask), draw=drawn.random)
        await it.look("t")
        for number in range(800):
            hit = match(number, scope=str(number % scopes), stored=f"answer {number} in other words")
            if check := it.served(hit):
                await it.check(check, Thinker(f"answer {number}", repeats=True))
        standing = it.standing("t")
        assert (standing.mode, standing.closed_scopes) == ("open", 0)
        assert standing.false_alarms == 1
        assert standing.blocked > 0

    with_memory(story)


def test_a_thinker_that_cannot_be_asked_is_no_verdict_and_is_counted() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        check = it.served(match(stored="bad"))
        assert check
        assert isinstance(await it.check(check, unreachable), Skipped)
        standing = it.standing("t")
        assert (standing.skipped, standing.audited, standing.wrong) == (1, 0, 0)
        assert permission(it, match()) == "serve"

    with_memory(story)


def test_what_checks_and_controls_cost_is_counted() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        thinker = Thinker("right")
        check = it.served(match())
        assert check
        await it.check(check, thinker)
        spent = it.standing("t").spent
        assert (spent.answers, spent.comparisons, spent.tokens) == (2, 2, 22)  # the check, and a control
        assert thinker.asked == 2
        await it.check(check, thinker, fresh=Answer("right again", 10))
        assert thinker.asked == 3

    with_memory(story)


# ── which hits are checked ──────────────────────────────────────────────────────────────────────────────────


def test_the_first_fifty_hits_are_all_checked_then_ever_fewer() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, draw=random.Random(3).random)  # noqa: S311 - no secret
        await it.look("t")
        checks = [it.served(match(number)) for number in range(20_000)]
        assert all(checks[:50])
        shares = [sum(map(bool, checks[start : 2 * start])) / start for start in (50, 500, 5_000)]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > 0.6
        assert shares[2] < 0.15
        assert it.standing("t").share == pytest.approx(audit_rules.decayed(20_000, least=0.02))
        weights = [check.weight for check in checks if check]
        assert sum(weights) == pytest.approx(20_000, rel=0.05)

    with_memory(story)


def test_the_share_never_falls_below_the_least() -> None:
    assert audit_rules.decayed(10**9, least=0.02) == 0.02


def test_a_wrong_answer_makes_the_next_fifty_hits_be_checked() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, draw=lambda: 0.97)
        await it.look("t")
        for number in range(10_000):
            it.served(match(number))
        assert it.served(match()) is None
        doubted = it.suspect(match(1, stored="bad"))
        assert doubted
        assert doubted.kind == "targeted"
        assert isinstance(await it.check(doubted, Thinker("right")), Wrong)
        assert all(it.served(match(number)) for number in range(50))
        assert it.served(match()) is None

    with_memory(story)


def test_without_a_judge_nothing_is_sampled() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, judged=False)
        await it.look("t")
        assert it.served(match()) is None
        assert it.withheld(match()) is None
        assert it.suspect(match()) is None
        assert isinstance(await it.label(match(), Answer("x", 1)), Skipped)

    with_memory(story)


# ── what closes ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_seen_wrong_for_a_question_is_never_served_for_it_again_even_under_a_new_policy() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        assert isinstance(await serve(it, match(stored="bad")), Wrong)
        assert permission(it, match(0)) == "seen-wrong"
        assert permission(it, replace(match(0), question_digest="another")) == "serve"
        assert permission(it, replace(match(0), entry_id="another")) == "serve"
        later = audit(store, epoch="p2")
        await later.look("t")
        assert permission(later, match(0)) == "seen-wrong"
        assert await serve(later, match(0)) == Unsure()  # no alias either

    with_memory(story)


def test_a_scope_closes_on_two_confirmed_wrongs_and_others_stay_open() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        for number in range(6):
            await serve(it, match(number))
        await serve(it, match(7, stored="bad"))
        assert permission(it, match(9)) == "serve"
        await serve(it, match(8, stored="bad"))
        assert permission(it, match(9)) == "scope-closed"
        assert permission(it, match(9, scope="other")) == "serve"
        assert it.standing("t").closed_scopes == 1

    with_memory(story)


def test_two_persons_close_a_scope_and_one_who_says_it_twice_does_not() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, judged=False)
        await it.look("t")
        for _ in range(2):
            await it.report("t", scope="s", entry_id="entry0", question_digest="digest0")
        assert permission(it, match(0)) == "seen-wrong"
        assert permission(it, match(9)) == "serve"
        await it.report("t", scope="s", entry_id="entry1", question_digest="digest1")
        assert permission(it, match(9)) == "scope-closed"

    with_memory(story)


def test_a_judge_whose_false_alarms_were_not_measured_blocks_a_pair_and_closes_nothing() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, rules=Rules())
        await it.look("t")
        for number in range(40):
            check = Check(match(number, stored="bad"), "sampled")
            assert isinstance(await it.check(check, Thinker("right", most=2)), Wrong)  # no third one for a control
        assert it.standing("t").false_alarms > 0.5
        assert permission(it, match(3)) == "seen-wrong"
        assert permission(it, match(99)) == "serve"

    with_memory(story)


def test_controls_measure_the_judge_in_service() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, rules=Rules(), draw=lambda: 0.0)
        await it.look("t")
        bounds = []
        for number in range(150):
            await serve(it, match(number))
            bounds.append(it.standing("t").false_alarms)
        assert bounds == sorted(bounds, reverse=True)
        assert bounds[0] > 0.9
        assert bounds[-1] < 0.04
        await it.check(Check(match(1), "targeted"), Thinker("right", "two"))
        held = await store.state("t", NAME)
        assert held
        controls = AuditState.model_validate_json(held.value).controls["exact"]
        assert (controls.asked, controls.alarms) == (150, 0)  # the last one waits for the next write
        await it.flush()
        assert it.standing("t").false_alarms > bounds[-1]  # twice "two" after "right": an alarm

    with_memory(story)


def test_a_tenant_closes_when_too_many_are_wrong_and_others_stay_open() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        await it.look("u")
        wrongs = 0
        for number in count():
            hit = match(number, scope=str(number), stored="right" if number % 5 else "bad")
            if permission(it, hit) != "serve":
                break
            wrongs += number % 5 == 0
            await serve(it, hit)
        assert permission(it, match(999, scope="new")) == "tenant-closed"
        assert it.standing("t").reason == "audit"
        assert wrongs <= 10
        assert permission(it, match(999, scope="new", tenant="u")) == "serve"

    with_memory(story)


def test_a_tenant_closes_when_persons_report_more_than_the_budget() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, judged=False)
        await it.look("t")
        for number in range(200):
            it.served(match(number))
        for number in range(40):
            await it.report("t", scope=str(number), entry_id=f"entry{number}", question_digest="d")
            if it.standing("t").mode == "closed":
                break
        assert it.standing("t").reason == "reports"
        assert 5 <= number <= 20

    with_memory(story)


def test_checks_that_were_chosen_for_suspicion_say_nothing_about_the_rate() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        for number in range(30):
            check = it.suspect(match(number, scope=str(number), stored="bad"))
            assert check
            await it.check(check, Thinker("right"))
        standing = it.standing("t")
        assert (standing.mode, standing.evidence, standing.audited, standing.blocked) == ("open", 0, 0, 30)

    with_memory(story)


def test_a_new_policy_reopens_a_closed_tenant_in_its_default_mode() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        for number in range(20):
            await serve(it, match(number, scope=str(number), stored="bad"))
        assert it.standing("t").mode == "closed"
        for start, expected in (("open", "serve"), ("shadow", "shadow")):
            later = audit(store, epoch=f"p2 {start}", start=start)  # type: ignore[arg-type]  # mypy widens the pair
            await later.look("t")
            assert permission(later, match(99)) == expected
        again = audit(store)
        await again.look("t")
        assert permission(again, match(99)) == "tenant-closed"
        await again.reopen("t", "shadow")
        assert permission(again, match(99)) == "shadow"
        assert permission(again, match(3)) == "seen-wrong"

    with_memory(story)


# ── shadow mode ─────────────────────────────────────────────────────────────────────────────────────────────


def test_shadow_mode_opens_by_itself_on_a_clean_stream_and_not_on_a_dirty_one() -> None:
    async def lookups_until_open(every: int) -> int | None:
        it = audit(MemoryStore(max_bytes=LARGE_BYTES), start="shadow", draw=lambda: 0.999)
        await it.look("t")
        for number in range(1, 1_500):
            if permission(it, match()) == "serve":
                return number
            if number % 3:
                it.missed("t", era=it.era("t"))
                continue
            hit = match(number, scope=str(number), stored="right" if number % every else "bad")
            assert permission(it, hit) == "shadow"
            check = it.withheld(hit)
            assert check
            await it.check(check, Thinker("right"), fresh=Answer("right", 10))
        return None

    assert asyncio.run(lookups_until_open(10**9)) == pytest.approx(452, abs=200)
    assert asyncio.run(lookups_until_open(33)) is None


def test_an_opened_tenant_begins_with_fifty_checks_and_keeps_its_labels() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, start="shadow")
        await it.look("t")
        await it.check(Check(match(), "shadow"), Thinker("right"), fresh=Answer("right", 10))
        for _ in range(600):
            it.missed("t", era=it.era("t"))
        standing = it.standing("t")
        assert (standing.mode, standing.reason, standing.labels) == ("open", "bound-held", 1)
        assert standing.lookups < 600
        assert standing.share == 1.0

    with_memory(story)


def test_shadow_mode_stays_shut_for_a_judge_that_calls_unrelated_answers_the_same() -> None:
    questions = ["Who wrote Faust?", "How tall is Everest?", "Name a prime"]

    async def story(store: MemoryStore) -> None:
        judge = SameJudge()
        it = audit(store, start="shadow", judge=judge)
        await it.look("t")

        async def lookups(first: int, count: int) -> None:
            for number in range(first, first + count):
                check = it.withheld(replace(match(number, stored=f"a{number}"), question=questions[number % 3]))
                assert check
                await it.check(check, Thinker(f"a{number}"), fresh=Answer(f"a{number} again", 10))
                for _ in range(20):
                    it.missed("t", era=0)

        await lookups(0, 40)
        standing = it.standing("t")
        assert (standing.mode, standing.lookups, standing.wrong) == ("shadow", 840, 0)
        assert standing.contrasts == standing.contrasts_missed == 39
        judge.is_better = True
        await lookups(40, 4)
        assert it.standing("t").mode == "shadow"
        await lookups(44, 2)
        assert (it.standing("t").mode, it.standing("t").contrasts_missed) == ("open", 39)

    with_memory(story)


@pytest.mark.parametrize("fault", [asyncio.CancelledError(), ZeroDivisionError("a fault of its own")], ids=repr)
def test_a_check_that_is_broken_off_counts_against_the_tenant_in_shadow_mode(fault: BaseException) -> None:
    async def broken() -> Answer:
        raise fault

    async def story(store: MemoryStore) -> None:
        it = audit(store, start="shadow")
        await it.look("t")
        check = it.withheld(match(stored="bad"))
        assert check
        with pytest.raises(type(fault)):
            await it.check(check, broken, fresh=Answer("right", 10))
        assert (it.standing("t").lookups, it.standing("t").unsure) == (1, 1)

    with_memory(story)


# ── free labels ─────────────────────────────────────────────────────────────────────────────────────────────


def test_misses_in_the_gray_zone_label_their_pair_and_move_the_next_cut() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        assert isinstance(await it.label(replace(match(0), score=0.7), Answer("right", 10)), Alias)
        assert isinstance(await it.label(replace(match(1), score=0.4), Answer("other", 10)), Wrong)
        assert await it.label(replace(match(2), score=0.5), Answer("", 10)) == Unsure()
        assert permission(it, match(1)) == "serve"  # it was never served: nothing to block

        def rule(labels: Sequence[Label]) -> float | None:
            return min(label.score for label in labels if label.same) if len(labels) > 1 else None

        shift = it.next_cut("t", rule)
        assert shift
        assert (shift.cut, shift.labels) == (0.7, 2)
        assert it.next_cut("other", rule) is None

    with_memory(story)


def test_ever_fewer_misses_are_labelled_and_each_stands_for_more() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, draw=random.Random(3).random)  # noqa: S311 - no secret
        await it.look("t")
        weights = []
        for number in range(3_000):
            if weight := it.near("t"):
                weights.append(weight)
                told = Answer("" if number % 2 else "right", 10)  # what nothing can be said of is counted too
                await it.label(match(number), told, weight=weight)
        assert weights[:50] == [1.0] * 50
        assert len(weights) < 1_200
        assert sum(weights) == pytest.approx(3_000, rel=0.1)
        await it.reopen("t", "shadow")
        assert sum(it.near("t") is not None for _ in range(100)) < 50
        await it.adopt("t", 0.7)
        assert it.near("t") == 1.0
        assert audit(store, judged=False).near("t") is None

    with_memory(story)


def test_adopted_cut_begins_an_epoch_and_stays_until_it_is_dropped_or_the_policy_changes() -> None:
    async def story(store: MemoryStore) -> None:
        it, other = audit(store), audit(store)
        for each in (it, other):
            await each.look("t")
        await it.label(replace(match(0), score=0.7), Answer("right", 10))
        await serve(it, match(1), truth="other")
        await it.report("t", scope="s", entry_id="x", question_digest="y")
        await it.adopt("t", 0.7)
        assert it.cut("t") == 0.7
        standing = it.standing("t")
        assert (standing.reason, standing.hits, standing.labels, standing.blocked) == ("cut-adopted", 0, 0, 2)
        assert standing.spent.answers > 0
        await it.reopen("t", "shadow")
        assert it.cut("t") == 0.7
        for _ in range(2_000):
            it.missed("t", era=it.era("t"))
        assert (it.standing("t").mode, it.standing("t").reason, it.cut("t")) == ("open", "bound-held", 0.7)
        await it.flush()
        await asyncio.sleep(READ_EVERY_S)  # it is the passing of time that makes the other look again
        await other.look("t")
        assert other.cut("t") == 0.7
        changed = audit(store, epoch="p2")
        await changed.look("t")
        assert changed.cut("t") is None
        await it.adopt("t", None)
        assert (it.cut("t"), it.standing("t").reason) == (None, "cut-dropped")

    with_memory(story)


@pytest.mark.parametrize(("start", "closed", "mode"), [("shadow", False, "shadow"), ("open", True, "shadow")])
def test_who_began_in_shadow_mode_or_was_closed_proves_the_adopted_cut_first(
    start: Start, closed: bool, mode: str
) -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, start=start)
        await it.look("t")
        for number in range(12 if closed else 0):
            await it.report("t", scope=str(number), entry_id=str(number), question_digest="y")
        for _ in range(0 if closed else 2_000):
            it.missed("t", era=it.era("t"))
        assert it.standing("t").mode == ("closed" if closed else "open")
        await it.adopt("t", 0.7)
        assert it.standing("t").mode == mode

    with_memory(story)


@pytest.mark.parametrize("reopened", [False, True], ids=["closed", "reopened in shadow mode"])
def test_tenant_that_has_yet_to_prove_itself_opens_by_no_further_adoption(reopened: bool) -> None:
    async def story(store: MemoryStore) -> None:
        it, other = audit(store), audit(store)
        await it.look("t")
        for number in range(12):
            await it.report("t", scope=str(number), entry_id=str(number), question_digest="y")
        assert it.standing("t").mode == "closed"
        await other.look("t")  # and it looks no more, so that both are told without knowing of one another
        if reopened:
            await it.reopen("t", "shadow")
        for each, cut in ((it, 0.7), (other, 0.7), (it, 0.8), (it, None)):
            await each.adopt("t", cut)
            assert each.standing("t").mode == "shadow"

    with_memory(story)


Anew = Callable[[Audit], Awaitable[None]]


async def closed(it: Audit) -> None:
    for number in range(12):
        await it.report("t", scope=str(number), entry_id=str(number), question_digest="y")


async def closed_and_in_shadow(it: Audit) -> None:
    await closed(it)
    await it.reopen("t", "shadow")


@pytest.mark.parametrize("start", ["open", "shadow"])
@pytest.mark.parametrize(
    ("before", "modes"),
    [
        (closed, {"open": "closed", "shadow": "closed"}),
        (closed_and_in_shadow, {"open": "shadow", "shadow": None}),
        (lambda it: it.adopt("t", 0.9), {"open": "open", "shadow": "shadow"}),
        (lambda it: it.reopen("t", "open"), {"open": None, "shadow": None}),
    ],
    ids=["closed", "closed, then in shadow", "with a cut", "nothing to drop"],
)
def test_setting_beside_the_policy_opens_no_tenant_and_says_what_it_drops(
    before: Anew, modes: dict[str, str | None], start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, epoch=f"p1 {start}", start=start)
        await it.look("t")
        await it.reopen("t", "open")
        await before(it)
        later = audit(store, epoch=f"p1+aligned {start}", start=start)
        await later.look("t")
        later.missed("t", era=later.era("t"))
        await later.flush()
        told = [line for line in caplog.messages if line.startswith("audit.settings_changed")]
        mode, cut = modes[start], 0.9 if it.cut("t") else None
        assert told == ([f"audit.settings_changed tenant=t to=shadow from={[mode]} cuts={[cut]}"] if mode else [])
        standing = later.standing("t")
        assert (standing.mode, standing.cut) == ("shadow" if mode else start, None)
        assert standing.reason == ("settings-changed" if mode else "")
        back = audit(store, epoch=f"p1 {start}", start=start)
        await back.look("t")
        assert back.standing("t") == it.standing("t")

    with_memory(story)


@pytest.mark.parametrize("anew", [lambda it: it.adopt("t", 0.7), lambda it: it.reopen("t", "open")])
def test_check_of_a_hit_that_an_earlier_era_decided_blocks_it_and_counts_nothing(anew: Anew) -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store)
        await it.look("t")
        checks = [it.served(match(number, scope=str(number), stored="bad")) for number in range(10)]
        await anew(it)
        for check in checks:
            assert check
            assert isinstance(await it.check(check, Thinker("right")), Wrong)
        assert isinstance(await it.label(match(20), Answer("right", 10)), Alias)
        standing = it.standing("t")
        assert (standing.mode, standing.evidence) == ("open", 0)
        assert (standing.audited, standing.wrong, standing.labels) == (0, 0, 0)
        assert (standing.blocked, standing.closed_scopes) == (10, 0)
        assert permission(it, match(3, scope="3")) == "seen-wrong"
        for number in range(10, 20):
            await serve(it, match(number, scope=str(number), stored="bad", era=it.era("t")))
        assert it.standing("t").mode == "closed"

    with_memory(story)


def test_what_shadow_mode_observed_under_another_cut_proves_nothing_for_this_one() -> None:
    async def story(store: MemoryStore) -> None:
        it = audit(store, start="shadow")
        await it.look("t")
        checks = [it.withheld(match(number)) for number in range(64)]
        await it.adopt("t", 0.7)
        for check in checks:
            assert check
            await it.check(check, Thinker("right"), fresh=Answer("right", 10))
        for _ in range(2_000):
            it.missed("t", era=0)
        standing = it.standing("t")
        assert (standing.mode, standing.lookups, standing.audited) == ("shadow", 0, 0)

    with_memory(story)


def test_what_another_process_counted_before_it_heard_of_the_new_era_is_not_counted_in_it() -> None:
    async def story(store: MemoryStore) -> None:
        it, other = audit(store), audit(store)
        for each in (it, other):
            await each.look("t")
        checks = [other.served(match(number, scope=str(number), stored="bad")) for number in range(3)]
        await it.adopt("t", 0.7)
        for check in checks:
            assert check
            await other.check(check, Thinker("right"))
        for each in (other, it):
            each.served(match(9, era=each.era("t")))
            await each.flush()
        last = audit(store)
        await last.look("t")
        standing = last.standing("t")
        assert (standing.cut, standing.hits, standing.audited, standing.blocked) == (0.7, 2, 0, 3)

    with_memory(story)


# ── shared and kept ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_learnt_survives_a_restart(tmp_path: Path) -> None:
    async def first() -> None:
        async with opened(SqliteStore(tmp_path / "c.db")) as store:
            it = audit(store)
            await it.look("t")
            for number in range(60):
                await serve(it, match(number, scope=str(number), stored="bad" if number < 1 else "right"))
            await it.flush()

    async def second() -> None:
        async with opened(SqliteStore(tmp_path / "c.db")) as store:
            it = audit(store)
            assert permission(it, match(5)) == "shadow"  # not read yet: careful
            await it.look("t")
            assert permission(it, match(0)) == "seen-wrong"
            standing = it.standing("t")
            assert (standing.hits, standing.lookups, standing.audited, standing.wrong) == (60, 60, 60, 1)

    asyncio.run(first())
    asyncio.run(second())


def test_two_processes_share_the_evidence_and_count_everything_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            opened(SqliteStore(tmp_path / "c.db")) as one,
            opened(SqliteStore(tmp_path / "c.db")) as two,
        ):
            proxies = [audit(one), audit(two)]
            for it in proxies:
                await it.look("t")
            hits = [match(number, scope=str(number)) for number in range(40)]
            await asyncio.gather(*(serve(proxies[number % 2], hit) for number, hit in enumerate(hits)))
            await serve(proxies[0], match(77, stored="bad"))
            for it in proxies:
                await it.flush()
            for store in (one, two):
                it = audit(store)
                await it.look("t")
                standing = it.standing("t")
                assert (standing.hits, standing.audited, standing.wrong) == (41, 41, 1)
                assert permission(it, match(77)) == "seen-wrong"

    asyncio.run(story())


class Unsteady(MemoryStore):
    """Writes, and then sometimes says that it failed."""

    fails = False

    async def set_state(self, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
        done = await super().set_state(tenant, name, value, expected=expected)
        if self.fails:
            raise StoreError("the connection broke")
        return done


def test_what_may_have_arrived_is_sent_again_and_counted_once() -> None:
    async def story() -> None:
        store = Unsteady(max_bytes=LARGE_BYTES)
        it = audit(store)
        await it.look("t")
        for fails in (True, False, True, False):
            store.fails = fails
            it.served(match())
            await it.flush()
        other = audit(store)
        await other.look("t")
        assert other.standing("t").hits == it.standing("t").hits == 4

    asyncio.run(story())


def test_a_failing_store_loses_nothing_that_was_seen() -> None:
    class Broken(MemoryStore):
        async def state(self, tenant: str, name: str) -> None:
            raise StoreError("down")

    async def story() -> None:
        it = audit(Broken(max_bytes=LARGE_BYTES))
        with pytest.raises(StoreError):
            await it.look("t")
        await serve(it, match(stored="bad"))
        assert permission(it, match()) == "seen-wrong"
        assert permission(it, match(1)) == "shadow"

    asyncio.run(story())


def test_an_unreadable_state_begins_anew_in_shadow_mode() -> None:
    async def story(store: MemoryStore) -> None:
        await store.set_state("t", NAME, b"{not json", expected=None)
        it = audit(store)
        await it.look("t")
        assert permission(it, match()) == "shadow"
        it.missed("t", era=it.era("t"))
        await it.flush()
        held = await store.state("t", NAME)
        assert held
        assert AuditState.model_validate_json(held.value).epochs["p1"].mode == "shadow"

    with_memory(story)


def test_the_state_stays_small_however_much_is_seen() -> None:
    state = AuditState()
    audit_rules.add_epoch(state, "p", start="open")
    for number in range(MOST_BLOCKED + 10):
        seen = Checked("targeted", "wrong", f"scope {number}", f"entry{number:011} digest{number:010}", era=0)
        audit_rules.apply(state, "p", seen, rules=Rules())
        audit_rules.apply(state, "p", Labelled(0.123456789, same=True, weight=1.0, era=0), rules=Rules())
    assert len(state.blocked) == MOST_BLOCKED
    assert f"entry{5:011} digest{5:010}" not in state.blocked  # the oldest
    assert len(state.epochs["p"].scopes) == MOST_SCOPES
    for number in range(9):
        audit_rules.add_epoch(state, f"p{number}", start="open")
    assert list(state.epochs) == ["p6", "p7", "p8"]
    assert len(state.model_dump_json()) < 300_000


def test_a_tenant_closes_when_there_is_no_room_for_more_closed_scopes() -> None:
    state = AuditState()
    audit_rules.add_epoch(state, "p", start="open")
    for number in range(2 * (MOST_SCOPES + 1)):
        seen = Checked("targeted", "wrong", f"scope {number // 2}", f"pair {number}", era=0)
        audit_rules.apply(state, "p", seen, rules=TRUSTED)
    assert (state.epochs["p"].mode, state.epochs["p"].reason) == ("closed", "scopes")


def test_the_budget_among_hits_follows_the_counted_lookups_up_to_a_ceiling() -> None:
    state = AuditState()
    audit_rules.add_epoch(state, "p", start="open")
    budgets = []
    for lookups, hits in ((100, 100), (100, 0), (800, 0)):
        audit_rules.apply(state, "p", Seen(lookups, hits, era=0), rules=Rules())
        budgets.append(audit_rules.budget_among_hits(state.epochs["p"], rules=Rules()))
    assert budgets == pytest.approx([0.01, 0.02, 0.05])


def test_a_process_that_looks_again_honours_what_another_saw_wrong() -> None:
    class Time:
        now_s = 0.0

        def __call__(self) -> float:
            return self.now_s

    async def story(store: MemoryStore) -> None:
        clock = Time()
        shared = [
            SharedState(store, "t", epoch="p", rules=lambda: TRUSTED, start="open", writer=writer, clock=clock)
            for writer in ("one", "two")
        ]
        for it in shared:
            await it.refresh(max_age_s=READ_EVERY_S)
        shared[0].note(Reported("s", "pair"))
        await shared[0].write()
        await shared[1].refresh(max_age_s=READ_EVERY_S)
        assert "pair" not in shared[1].view.blocked
        clock.now_s = READ_EVERY_S
        await shared[1].refresh(max_age_s=READ_EVERY_S)
        assert "pair" in shared[1].view.blocked

    with_memory(story)


# ── the simulation ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_simulation_does_what_the_audit_does() -> None:
    """The same kind of stream through both: as many wrong answers until it closes, within chance."""

    async def wrongs_until_closed(seed: int) -> int:
        drawn = random.Random(seed)  # noqa: S311 - no secret
        it = audit(MemoryStore(max_bytes=LARGE_BYTES), rules=RULES, draw=drawn.random)
        await it.look("t")
        for number in range(300):
            it.served(match(number))
        wrongs = 0
        for number in count(300):
            hit = match(number, scope=str(number), stored="bad" if drawn.random() < 0.2 else "right")
            if permission(it, hit) == "tenant-closed":
                return wrongs
            wrongs += hit.stored == "bad"
            await serve(it, hit)
        raise AssertionError("it never closes")

    served = [asyncio.run(wrongs_until_closed(seed)) for seed in range(20)]
    simulated = Runs(Scenario("twin", 2_000, jump=300, before=0.0, runs=500), seed=1).go().wrongs
    assert abs(sum(served) / 20 - simulated.mean()) <= 3 * simulated.std() / 20**0.5
    assert simulated.mean() < 15
