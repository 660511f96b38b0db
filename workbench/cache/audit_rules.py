"""How each observation changes what the audit knows of a tenant, and when the tenant opens and closes.

Which rate is bounded: α is false hits ÷ lookups (DESIGN.md). The audit samples hits, and lookups are counted, so the
budget among hits is α ÷ (hits ÷ lookups), and never more than `Rules.worst_among_hits`, since otherwise a tenant with
few hits could have most of them wrong. Shadow mode sees every lookup and bounds false hits ÷ lookups itself.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from workbench.cache.audit_state import (
    MOST_BLOCKED,
    MOST_EPOCHS,
    MOST_JUDGES,
    MOST_LABELS,
    MOST_SCOPES,
    Adopted,
    AuditState,
    Checked,
    Contrasted,
    Controlled,
    Controls,
    Epoch,
    Label,
    Labelled,
    Observation,
    Paid,
    Reopened,
    Reported,
    Rules,
    Scope,
    Seen,
    Spent,
    Start,
)
from workbench.cache.evidence import BELOW, grown, log_evidence, lower_bound, strength, upper_bound

V = TypeVar("V")

FULL_HITS = 50
"""So many hits are all audited: at the start of an epoch, and after each wrong one."""

DECAY = 0.45
"""The audited share of hits is (50 ÷ hits) to this power."""

THRESHOLD = 100_000.0
"""The detector's: at the budget itself, ≤ 5 % false closings among 5,000 audits."""

CONFIRMING_ALARMS = 0.05
"""A judge whose false alarms are surely below this may confirm a wrong answer."""

LATELY = 5
"""A judge that missed one of its last so many contrasts opens nothing."""

SCOPE_WRONGS, SCOPE_SHARE = 2, 0.1
"""A scope closes on two confirmed wrongs, if they are a tenth of its checks: in a tenant whose traffic is one large
scope, two of 100,000 say nothing, and the tenant's own evidence decides."""


def apply(state: AuditState, epoch: str, observation: Observation, *, rules: Rules) -> None:
    """Change the state by one observation; `epoch` must be in it."""
    now = state.epochs[epoch]
    match observation:
        case Seen(era=era) | Checked(era=era) | Labelled(era=era) if era != now.era:
            if isinstance(observation, Checked) and observation.says in ("wrong", "doubted"):
                _block(state, observation.pair)  # under any cut
        case Seen(lookups, hits):
            now.lookups += lookups
            now.hits += hits
            now.vigilance = max(0, now.vigilance - hits)
        case Checked():
            _check(state, now, observation, rules)
        case Reported(scope, pair):
            if pair not in state.blocked:  # each answer is reported once
                now.reported += 1
                _wrong(state, now, pair)
                _count(now, scope, wrong=True)
        case Controlled(judge, alarm):
            _keep(state.controls, judge, _controlled(state.controls.get(judge, Controls()), alarm), MOST_JUDGES)
        case Contrasted(judge, missed):
            _keep(state.controls, judge, _contrasted(state.controls.get(judge, Controls()), missed), MOST_JUDGES)
        case Labelled(score, same, weight):
            now.labels = [*now.labels[1 - MOST_LABELS :], Label(score=score, same=same, weight=weight)]
        case Paid(answers, comparisons, tokens, skipped, is_label):
            spent = now.spent
            now.spent = Spent(
                answers=spent.answers + answers,
                comparisons=spent.comparisons + comparisons,
                tokens=spent.tokens + tokens,
            )
            now.skipped += skipped
            now.taught += is_label
        case Reopened(mode):
            state.epochs[epoch] = Epoch(
                mode=mode, spent=now.spent, labels=now.labels, taught=now.taught, cut=now.cut, era=now.era + 1
            )
        case Adopted(cut, start):  # its labels were of another gray zone; who is not open proves itself first
            mode = start if now.mode == "open" else "shadow"
            why = "cut-adopted" if cut is not None else "cut-dropped"
            state.epochs[epoch] = Epoch(
                mode=mode, reason=why, spent=now.spent, scopes=now.scopes, cut=cut, era=now.era + 1
            )
    _decide(state, epoch, rules)


def add_epoch(state: AuditState, epoch: str, *, start: Start) -> list[Epoch]:
    """Begin it if it is new; of the older ones only the latest stay.

    No setting opens a tenant that was closed: it begins in shadow mode if an epoch of the same policy beside other
    settings is closed, has yet to prove itself again, or has a cut adopted. These are returned: they count no more.
    """
    if epoch in state.epochs:
        return []
    dropped = [
        held
        for name, held in state.epochs.items()
        if _policy_of(name) == _policy_of(epoch) and (held.mode not in ("open", start) or held.cut is not None)
    ]
    begun = Epoch(mode="shadow", reason="settings-changed") if dropped else Epoch(mode=start)
    _keep(state.epochs, epoch, begun, MOST_EPOCHS)
    return dropped


def _policy_of(epoch: str) -> tuple[str, str]:
    """Its policy and its start, of ``policy[+settings] start``."""
    decides, _, start = epoch.partition(" ")
    return decides.partition("+")[0], start


def share(epoch: Epoch, *, rules: Rules) -> float:
    """The share of hits to audit now; it depends on nothing that the next hit could change."""
    suspicious = epoch.vigilance > 0 or evidence(epoch) >= math.sqrt(THRESHOLD)
    if epoch.hits < FULL_HITS or suspicious:
        return 1.0
    return decayed(epoch.hits, least=rules.least_share)


def decayed(done: int, *, least: float) -> float:
    """All of the first 50, then ever fewer."""
    share: float = (FULL_HITS / max(done, 1)) ** DECAY
    return max(least, min(1.0, share))


def evidence(epoch: Epoch) -> float:
    """How strongly the audits speak against the budget; the tenant closes at `THRESHOLD`."""
    return float(strength(np.array(epoch.evidence)))


def budget_among_hits(epoch: Epoch, *, rules: Rules) -> float:
    """The rate of wrong answers among hits that α allows."""
    return min(rules.worst_among_hits, rules.alpha * max(1.0, epoch.lookups / max(epoch.hits, 1)))


def false_alarms(state: AuditState, *, rules: Rules) -> float:
    """The upper bound of the judge's rate of false alarms; 1 while nothing was measured."""
    counted = state.controls.get(rules.judge, Controls())
    asked, alarms = rules.measured[0] + counted.asked, rules.measured[1] + counted.alarms
    return upper_bound(alarms, asked, confidence=rules.confidence)


def tells_apart(state: AuditState, *, rules: Rules) -> bool:
    """Whether the judge found no answers to unrelated questions the same of late, as far as it was tried."""
    counted = state.controls.get(rules.judge, Controls())
    return not counted.missed or counted.told_apart >= LATELY


def bounds(epoch: Epoch, *, rules: Rules) -> tuple[float, float]:
    """Between these lies the rate that was judged wrong: of lookups in shadow mode, else of audited hits."""
    total = epoch.lookups if epoch.mode == "shadow" else epoch.audited
    return (
        lower_bound(epoch.wrong, total, confidence=rules.confidence),
        upper_bound(epoch.wrong + epoch.unsure, total, confidence=rules.confidence),
    )


def _controlled(known: Controls, alarm: bool | None) -> Controls:
    if alarm is None:
        return known.model_copy(update={"repeated": known.repeated + 1})
    return known.model_copy(update={"asked": known.asked + 1, "alarms": known.alarms + alarm})


def _contrasted(known: Controls, missed: bool) -> Controls:
    told_apart = 0 if missed else known.told_apart + 1
    counts = {"contrasts": known.contrasts + 1, "missed": known.missed + missed, "told_apart": told_apart}
    return known.model_copy(update=counts)


def _check(state: AuditState, now: Epoch, check: Checked, rules: Rules) -> None:
    wrong = check.says == "wrong"
    if check.kind == "shadow" and now.mode == "shadow":  # a lookup counts when its verdict is there
        now.lookups += 1
        now.hits += 1
    if check.kind != "targeted" and (check.kind == "shadow") == (now.mode == "shadow"):
        now.audited += 1
        now.wrong += wrong
        now.unsure += check.says in ("unsure", "doubted")
    alarms = false_alarms(state, rules=rules)
    if check.kind == "sampled":
        budget = budget_among_hits(now, rules=rules)
        rate = budget + (1 - budget) * alarms  # what the judge may at most call wrong within the budget
        now.evidence = grown(np.array(now.evidence), wrong=wrong, rate=rate).tolist()
    if wrong or check.says == "doubted":
        _wrong(state, now, check.pair)
    _count(now, check.scope, wrong=wrong and alarms <= CONFIRMING_ALARMS)


def _wrong(state: AuditState, now: Epoch, pair: str) -> None:
    _block(state, pair)
    now.vigilance = FULL_HITS


def _block(state: AuditState, pair: str) -> None:
    _keep(state.blocked, pair, "", MOST_BLOCKED)


def _count(now: Epoch, name: str, *, wrong: bool) -> None:
    scope = now.scopes.get(name[:16], Scope())
    scope.checks += 1
    scope.wrongs += wrong
    scope.closed = scope.closed or scope.wrongs >= max(SCOPE_WRONGS, SCOPE_SHARE * scope.checks)
    if name[:16] not in now.scopes and len(now.scopes) >= MOST_SCOPES:
        oldest = next((held for held, counted in now.scopes.items() if not counted.closed), None)
        if oldest is None:
            _close(now, "scopes")
        else:
            del now.scopes[oldest]
    _keep(now.scopes, name[:16], scope, MOST_SCOPES)


def _decide(state: AuditState, epoch: str, rules: Rules) -> None:
    now = state.epochs[epoch]
    if now.mode == "open":
        budget = budget_among_hits(now, rules=rules)
        if evidence(now) >= THRESHOLD:
            _close(now, "audit")
        elif _reported_too_often(now, budget):
            _close(now, "reports")
    elif now.mode == "shadow":
        # No control shows what the judge misses, so that comes off the budget; what it was unsure of counts as wrong.
        target = rules.alpha * (1 - rules.judge_misses)
        found = log_evidence(now.wrong + now.unsure, now.lookups, target, bets=BELOW)
        if found >= -math.log1p(-rules.confidence) and tells_apart(state, rules=rules):
            state.epochs[epoch] = Epoch(
                mode="open",
                reason="bound-held",
                spent=now.spent,
                labels=now.labels,
                taught=now.taught,
                scopes=now.scopes,
                cut=now.cut,
                era=now.era,
            )


def _reported_too_often(now: Epoch, budget: float) -> bool:
    """Persons report some of what is wrong, so their share of hits is the least that the true rate can be."""
    hits = max(now.hits, now.reported, FULL_HITS)  # some may be about hits of an earlier epoch
    return now.reported > budget * hits and lower_bound(now.reported, hits, confidence=0.99) > budget


def _close(now: Epoch, reason: str) -> None:
    now.mode, now.reason = "closed", reason


def _keep(held: dict[str, V], name: str, value: V, most: int) -> None:
    """Put it last; the oldest goes when there are too many."""
    held.pop(name, None)
    held[name] = value
    while len(held) > most:
        del held[next(iter(held))]
