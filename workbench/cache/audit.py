"""Learning in service: checks served hits against fresh answers, and stops serving where too many are wrong.

It knows neither models nor HTTP: a fresh answer comes from an `Ask`, a comparison from a `Judge`. What it may close on
is a person's word, or a judge's whose false alarms were measured: the same question is asked twice now and then, and
the judge compares the two fresh answers as it would an audit's. Only answers in other words measure it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.cache.audit_check import Alias, Ask, Check, Comparison, Doubted, Match, Outcome, Skipped, Unsure, Wrong
from workbench.cache.audit_rules import bounds, decayed, evidence, false_alarms, share
from workbench.cache.audit_state import (
    Adopted,
    Checked,
    Contrasted,
    Controlled,
    Controls,
    Label,
    Labelled,
    Mode,
    Observation,
    Paid,
    Reopened,
    Reported,
    Rules,
    Says,
    Seen,
    Spent,
    Start,
    pair_of,
)
from workbench.cache.contrasts import Contrasts
from workbench.cache.judges import Answer, Judge, at_once
from workbench.cache.shared_state import SharedState
from workbench.cache.store import Store
from workbench.errors import StoreError, WorkbenchError

log = logging.getLogger(__name__)

READ_EVERY_S = 0.5
"""What other processes saw wrong is honoured here after at most this long."""

LEAST_CONTROLS = 0.1
"""The share of audits that go on being followed by a control."""

Permission = Literal["serve", "shadow", "tenant-closed", "scope-closed", "seen-wrong"]
"""Whether a hit may be served, or why not."""


@dataclass(frozen=True, slots=True)
class CutShift:
    """The cut that the labels of this epoch ask for, to be tried in the next one."""

    cut: float
    labels: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a tenant stands: of `audited` (in shadow mode: of `lookups`) the rate lies in `low` to `high`.

    The detector closes when `evidence` reaches `audit_state.THRESHOLD`.
    """

    mode: Mode
    reason: str
    lookups: int
    hits: int
    audited: int
    wrong: int
    unsure: int
    skipped: int
    reported: int
    low: float
    high: float
    share: float
    evidence: float
    false_alarms: float
    contrasts: int
    contrasts_missed: int
    blocked: int
    closed_scopes: int
    labels: int
    cut: float | None
    spent: Spent


class Audit:
    """One for all tenants of a process; `epoch` names the policy and the embedder that decide.

    As ``policy[+settings] start`` it also tells which epochs are of the same policy, see `audit_rules.add_epoch`.
    Without a judge nothing is sampled, and only persons' reports count. `draw` gives numbers in [0, 1).
    """

    def __init__(
        self,
        store: Store,
        *,
        epoch: str,
        rules: Rules,
        judge: Judge | None,
        start: Callable[[str], Start],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._epoch = epoch
        self._given = rules
        self._judge = judge
        self._start = start
        self._draw = draw
        self._writer = secrets.token_hex(8)
        self._tenants: dict[str, SharedState] = {}
        self._contrasts = Contrasts()

    @property
    def _rules(self) -> Rules:
        """With the judge's present name: which model an LLM judge is shows when it answers."""
        return replace(self._given, judge=self._judge.name if self._judge else "")

    # ── on the way of a request ─────────────────────────────────────────────────────────────────────────────

    async def look(self, tenant: str) -> None:
        """Before a lookup: read what other processes know, at most every half second; raises `StoreError`."""
        await self._of(tenant).refresh(max_age_s=READ_EVERY_S)

    def may_serve(self, tenant: str, *, scope: str, entry_id: str, question_digest: str) -> Permission:
        """Whether this entry may answer this question by meaning; from memory. A tenant never read is in shadow."""
        shared = self._of(tenant)
        state, epoch = shared.view, shared.view.epochs[self._epoch]
        if pair_of(entry_id, question_digest) in state.blocked:
            return "seen-wrong"
        if epoch.mode == "closed":
            return "tenant-closed"
        counted = epoch.scopes.get(scope[:16])
        if counted and counted.closed:
            return "scope-closed"
        return "serve" if epoch.mode == "open" and shared.is_read else "shadow"

    def cut(self, tenant: str) -> float | None:
        """What a person adopted for this tenant under this policy; None where the policy's own cut decides."""
        return self._of(tenant).view.epochs[self._epoch].cut

    def era(self, tenant: str) -> int:
        """In which era of its epoch this tenant is: what is decided now tells only of this one."""
        return self._of(tenant).view.epochs[self._epoch].era

    def missed(self, tenant: str, *, era: int) -> None:
        """A lookup reached the semantic decision in this era, and nothing would have been served."""
        self._note(tenant, Seen(1, 0, era))

    def served(self, match: Match) -> Check | None:
        """A hit was served; the check to make, if this one is sampled."""
        epoch = self._of(match.tenant).view.epochs[self._epoch]
        audited = share(epoch, rules=self._rules)
        self._note(match.tenant, Seen(1, 1, match.era))
        if self._judge is None or self._draw() >= audited:
            return None
        return Check(match, "sampled", 1 / audited)

    def withheld(self, match: Match) -> Check | None:
        """In shadow mode: it would have been served. The check takes the Thinker's answer to this very request."""
        return Check(match, "shadow") if self._judge else None

    def suspect(self, match: Match) -> Check | None:
        """There is a reason to doubt a served hit (the user asked again at once): check this one.

        That says nothing about the rate, but a wrong one is blocked, counts in its scope, and makes the audit alert.
        """
        return Check(match, "targeted") if self._judge else None

    def near(self, tenant: str) -> float | None:
        """A miss in the gray zone can be labelled: for how many it is to stand, if it is to be labelled at all."""
        labelled = decayed(self._of(tenant).view.epochs[self._epoch].taught, least=self._rules.least_share)
        return None if self._judge is None or self._draw() >= labelled else 1 / labelled

    # ── beside it ───────────────────────────────────────────────────────────────────────────────────────────

    async def check(self, check: Check, ask: Ask, *, fresh: Answer | None = None) -> Outcome:
        """Compare the stored answer with a fresh one (`fresh`, if it is there already), and tell all processes."""
        if self._judge is None:
            return Skipped("no-judge")
        match = check.match
        comparison = Comparison(self._judge, match, ask)
        try:
            first = fresh or await comparison.fresh()
            says = await comparison.examine(match.stored, first)
        except (WorkbenchError, TimeoutError) as error:
            self._leave(check, comparison)
            return Skipped(repr(error))
        except BaseException:  # at the server's end, or a fault of the judge's own
            self._leave(check, comparison)
            raise
        self._note(match.tenant, Checked(check.kind, says, match.scope, _pair(match), match.era))
        if says in ("right", "wrong"):
            self._note(match.tenant, Labelled(match.score, says == "right", check.weight, match.era))
        await self._write(match.tenant)  # others must know before a control takes its time
        if comparison.is_judged:
            await self._contrast(match, comparison, first, self._judge)
            await self._control(match.tenant, comparison, first, self._judge)
        self._contrasts.remember(match)
        self._note(match.tenant, comparison.paid())
        return self._outcome(match, says)

    async def label(self, match: Match, fresh: Answer, *, weight: float = 1.0) -> Outcome:
        """A miss in the gray zone was answered anyway: whether the nearest entry would have been right."""
        if self._judge is None:
            return Skipped("no-judge")
        clear = at_once(match.stored, fresh.text)
        try:
            verdict = clear or await self._judge.compare(match.question, match.stored, fresh.text)
        except (WorkbenchError, TimeoutError) as error:
            return Skipped(repr(error))
        self._note(match.tenant, Paid(0, 0 if clear else 1, verdict.tokens, is_label=True))
        if verdict.says == "unsure":
            return Unsure()
        self._note(match.tenant, Labelled(match.score, verdict.says == "same", weight, match.era))
        return self._outcome(match, "right" if verdict.says == "same" else "wrong")

    async def report(self, tenant: str, *, scope: str, entry_id: str, question_digest: str) -> None:
        """A person called a served answer wrong; raises `StoreError`."""
        self._note(tenant, Reported(scope, pair_of(entry_id, question_digest)))
        await self._of(tenant).write()

    async def reopen(self, tenant: str, mode: Start) -> None:
        """A person starts the tenant's epoch anew; what was seen wrong stays blocked. Raises `StoreError`."""
        self._note(tenant, Reopened(mode))
        await self._of(tenant).write()

    async def adopt(self, tenant: str, cut: float | None) -> None:
        """A person has this cut decide, or the policy's own again: a new epoch, in which the tenant starts anew.

        A tenant that is not open starts in shadow mode; closed scopes stay closed. Raises `StoreError`.
        """
        log.warning("audit.cut tenant=%s from=%s to=%s", tenant, self.cut(tenant), cut)
        self._note(tenant, Adopted(cut, self._start(tenant)))
        await self._of(tenant).write()

    async def flush(self) -> None:
        """Write all tenants' counts; what fails is logged, and kept for the next time."""
        for tenant in list(self._tenants):
            await self._write(tenant)

    async def run(self, *, every_s: float = 5.0) -> None:
        """Flush again and again until cancelled; a killed process forgets at most these seconds' counts."""
        while True:
            await asyncio.sleep(every_s)
            await self.flush()

    # ── what came of it ─────────────────────────────────────────────────────────────────────────────────────

    def standing(self, tenant: str) -> Standing:
        """Where the tenant stands, as far as this process knows."""
        state = self._of(tenant).view
        epoch = state.epochs[self._epoch]
        low, high = bounds(epoch, rules=self._rules)
        controls = state.controls.get(self._rules.judge, Controls())
        counts = {
            name: getattr(epoch, name)
            for name in ("lookups", "hits", "audited", "wrong", "unsure", "skipped", "reported")
        }
        return Standing(
            mode=epoch.mode,
            reason=epoch.reason,
            low=low,
            high=high,
            share=share(epoch, rules=self._rules),
            evidence=evidence(epoch),
            false_alarms=false_alarms(state, rules=self._rules),
            contrasts=controls.contrasts,
            contrasts_missed=controls.missed,
            blocked=len(state.blocked),
            closed_scopes=sum(scope.closed for scope in epoch.scopes.values()),
            labels=len(epoch.labels),
            cut=epoch.cut,
            spent=epoch.spent,
            **counts,
        )

    def next_cut(self, tenant: str, rule: Callable[[Sequence[Label]], float | None]) -> CutShift | None:
        """What `rule` makes of this epoch's labels for the next one; None when it finds them too few."""
        labels = tuple(self._of(tenant).view.epochs[self._epoch].labels)
        cut = rule(labels)
        return None if cut is None else CutShift(cut, len(labels))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────

    def _leave(self, check: Check, comparison: Comparison) -> None:
        """It cannot be finished. Only where answers differ is more to ask: left out, all hits in shadow look right."""
        match = check.match
        self._note(match.tenant, comparison.paid(skipped=True))
        if check.kind == "shadow":
            self._note(match.tenant, Checked("shadow", "unsure", match.scope, _pair(match), match.era))

    async def _contrast(self, match: Match, comparison: Comparison, fresh: Answer, judge: Judge) -> None:
        """Now and then: whether the judge tells the answer to an unrelated question from this one's."""
        counted = self._of(match.tenant).view.controls.get(judge.name, Controls())
        other = self._contrasts.unrelated(match)
        if other is None or at_once(fresh.text, other.stored):
            return
        if self._draw() >= decayed(counted.contrasts, least=LEAST_CONTROLS):
            return
        try:
            missed = await comparison.contrast(fresh, other.stored)
        except (WorkbenchError, TimeoutError) as error:
            log.debug("audit.contrast_skipped error=%r", error)
            return
        self._note(match.tenant, Contrasted(judge.name, missed))

    async def _control(self, tenant: str, comparison: Comparison, fresh: Answer, judge: Judge) -> None:
        """Now and then, whatever the check said."""
        counted = self._of(tenant).view.controls.get(judge.name, Controls())
        if self._draw() >= decayed(counted.asked + counted.repeated, least=LEAST_CONTROLS):
            return
        try:
            alarm = await comparison.control(fresh)
        except (WorkbenchError, TimeoutError) as error:
            log.debug("audit.control_skipped error=%r", error)
            return
        self._note(tenant, Controlled(judge.name, alarm))

    def _outcome(self, match: Match, says: Says) -> Outcome:
        if says == "wrong":
            return Wrong(match.entry_id, match.question_digest)
        if says == "doubted":
            return Doubted(match.entry_id, match.question_digest)
        if says == "unsure" or _pair(match) in self._of(match.tenant).view.blocked:
            return Unsure()
        return Alias(match.entry_id, match.question, match.question_digest)

    async def _write(self, tenant: str) -> None:
        try:
            await self._of(tenant).write()
        except StoreError as error:
            log.warning("audit.not_written error=%r", error)

    def _note(self, tenant: str, observation: Observation) -> None:
        shared = self._of(tenant)
        before = shared.view.epochs[self._epoch].mode
        shared.note(observation)
        now = shared.view.epochs[self._epoch]
        if now.mode != before:
            log.warning("audit.mode tenant=%s from=%s to=%s reason=%s", tenant, before, now.mode, now.reason)

    def _of(self, tenant: str) -> SharedState:
        shared = self._tenants.get(tenant)
        if shared is None:
            shared = self._tenants[tenant] = SharedState(
                self._store,
                tenant,
                epoch=self._epoch,
                rules=lambda: self._rules,
                start=self._start(tenant),
                writer=self._writer,
            )
        return shared


def _pair(match: Match) -> str:
    return pair_of(match.entry_id, match.question_digest)
