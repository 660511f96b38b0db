"""The audit in service: what it hears of requests, and how it asks Thinkers again, beside all requests.

No request waits for anything here, and none fails by it. A tenant's observations are worked off in their order, labels
after all others: where answers differ a Thinker is asked, and while that waits for an idle one no later observation may
make the tenant look better than it is. In shadow mode it waits as long as it takes, and what finds no place in the line
meanwhile is left out, hit or miss. A check that cannot be finished counts against the tenant in shadow mode, whatever
the answers say, as where a Thinker fails; else it is skipped. No request above `LARGEST_KEPT_BYTES` is kept for later,
so none is put to a Thinker again: its hits are counted, and their checks cannot be finished unless the answers agree.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from workbench.cache.audit import Audit, CutShift, Permission, Standing
from workbench.cache.audit_check import Check, Match
from workbench.cache.audit_state import Label, Rules, Start
from workbench.cache.cache import Hit, Miss, Semantic
from workbench.cache.gray import is_gray
from workbench.cache.judges import Answer, Judge
from workbench.cache.policy import Refuse, Serve
from workbench.cache.question import Question
from workbench.cache.risk import Lookups, rcps_cut
from workbench.cache.store import Entry, Store
from workbench.errors import ConfigurationError, ThinkerUnavailable
from workbench.proxy import payload
from workbench.proxy.asker import Asked, Asker, Until
from workbench.proxy.lines import MOST_WAITING, Lines, Work, is_large
from workbench.proxy.telemetry import Telemetry
from workbench.reply import Reply

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 5.0

REPEAT_S, MOST_REMEMBERED = 60.0, 64
"""Who asks in the same words again so soon after a hit may not be content with it; so many hits are remembered."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A hit that was served a moment ago, and not chosen for a check; without a request that is too large."""

    asked: Asked | None
    match: Match
    at_s: float


class Audits:
    """One audit for each way that a tenant may start, under an epoch of its own.

    So who is set to shadow mode proves the bound anew, even if the same policy served before.
    """

    def __init__(
        self,
        store: Store,
        *,
        epoch: str,
        rules: Rules,
        judge: Judge | None,
        mode: Callable[[str], Semantic],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.tenants: set[str] = set()
        self.alpha = rules.alpha
        self._mode = mode
        self._by_start = {
            start: Audit(store, epoch=f"{epoch} {start}", rules=rules, judge=judge, start=_always(start), draw=draw)
            for start in get_args(Start)
        }

    def __iter__(self) -> Iterator[Audit]:
        return iter(self._by_start.values())

    def of(self, tenant: str) -> Audit:
        """The audit that this tenant is under."""
        return self._by_start["open" if self._mode(tenant) == "on" else "shadow"]

    async def look(self, tenant: str) -> None:
        """See `Audit.look`."""
        self.tenants.add(tenant)
        await self.of(tenant).look(tenant)

    def may_serve(self, tenant: str, *, scope: str, entry_id: str, question_digest: str) -> Permission:
        """See `Audit.may_serve`."""
        return self.of(tenant).may_serve(tenant, scope=scope, entry_id=entry_id, question_digest=question_digest)

    def cut(self, tenant: str) -> float | None:
        """See `Audit.cut`."""
        return self.of(tenant).cut(tenant)

    def era(self, tenant: str) -> int:
        """See `Audit.era`."""
        return self.of(tenant).era(tenant)

    def is_in_shadow(self, tenant: str) -> bool:
        """Whether nothing is served to this tenant by meaning until the bound holds."""
        return self.may_serve(tenant, scope="", entry_id="", question_digest="") == "shadow"

    @property
    def standings(self) -> dict[str, Standing]:
        """Where every tenant stands that was heard of here."""
        return {tenant: self.of(tenant).standing(tenant) for tenant in self.tenants}


class Auditor:
    """Hears of each lookup, and has the audit check some. An async context manager; leaving it ends the checks.

    An alias is counted, and stored as nothing of its own: a miss's own answer was stored under its question, with its
    text and vector, and says the same as the entry's. After the check of a hit nothing is stored at all: the client
    may have asked for that, and the entry goes on serving.
    """

    def __init__(self, audits: Audits, *, asker: Asker, telemetry: Telemetry, is_scored: bool) -> None:
        self.audits = audits
        self._asker = asker
        self._telemetry = telemetry
        self._is_scored = is_scored
        self._lines = Lines()
        self._remembered: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._writing: asyncio.TaskGroup = asyncio.TaskGroup()
        self._writers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Auditor:
        await self._writing.__aenter__()
        self._writers = [self._writing.create_task(_keep_writing(audit)) for audit in self.audits]
        await self._lines.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._lines.__aexit__()
        for task in self._writers:
            task.cancel()
        await self._writing.__aexit__(None, None, None)
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                for audit in self.audits:
                    await audit.flush()
        except TimeoutError:
            log.warning("audit.not_written error='the store did not answer'")

    # ── what a request tells ────────────────────────────────────────────────────────────────────────────────

    def served(self, asked: Asked, hit: Hit, reply: Reply) -> None:
        """A hit by meaning is on its way to the client."""
        audit = self.audits.of(asked.tenant)
        match = replace(self._match(asked, hit.entry, hit), stored=_answer(reply).text)
        if check := audit.served(match):
            self._soon(asked.tenant, self._checking(_kept(asked), check))
        else:
            self._remembered[asked.tenant, match.question] = Remembered(_kept(asked), match, time.monotonic())
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)

    def missed(self, tenant: str, *, era: int) -> None:
        """A lookup reached the semantic decision in this era, and nothing would have been served."""

        async def note() -> None:
            self.audits.of(tenant).missed(tenant, era=era)

        if self.audits.is_in_shadow(tenant):
            self._soon(tenant, note)
        else:
            self.audits.of(tenant).missed(tenant, era=era)

    def asked_again(self, tenant: str, question: Question) -> None:
        """A question comes in: if it repeats one that was served a moment ago, that hit is suspect."""
        last = self._remembered.pop((tenant, question.text or ""), None)
        if last and time.monotonic() - last.at_s < REPEAT_S and (check := self.audits.of(tenant).suspect(last.match)):
            self._soon(tenant, self._checking(last.asked, check))

    def answered(self, asked: Asked, miss: Miss, reply: Reply) -> None:
        """A Thinker answered a miss: compare, if an entry would have been served, or nearly."""
        if miss.candidate is None:
            return
        entry = miss.candidate.entry
        seen = self._match(asked, entry, miss)
        match miss.decision:
            case Serve() if miss.reason == "shadow":
                self._soon(asked.tenant, self._observing(_kept(asked), seen, entry.payload, reply))
            case Refuse() as decision if is_gray(decision, is_scored=self._is_scored):
                if weight := self.audits.of(asked.tenant).near(asked.tenant):
                    self._soon(asked.tenant, self._labelling(seen, entry.payload, reply, weight), is_last=True)

    @property
    def waiting(self) -> int:
        """How many observations wait for their turn."""
        return self._lines.waiting

    async def drained(self) -> None:
        """Wait until all observations so far are worked off."""
        await self._lines.drained()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────

    def _soon(self, tenant: str, work: Work, *, is_last: bool = False) -> None:
        """Checks guard, labels only teach: these come last, and take no more than half of the line."""
        most_waiting = MOST_WAITING // 2 if is_last else MOST_WAITING
        if not self._lines.add(tenant, work, is_last=is_last, most_waiting=most_waiting):
            self._telemetry.audited("dropped")

    def _checking(self, asked: Asked | None, check: Check, fresh: Answer | None = None) -> Work:
        until = self._patience(check.match.tenant if check.kind == "shadow" else None)

        async def ask() -> Answer:
            if asked is None:
                raise ThinkerUnavailable("the request was too large to be kept for the audit")
            reply = await self._asker.ask(asked)
            self._telemetry.asked_for_audit(reply.usage)
            return _answer(reply)

        async def work() -> None:
            with self._asker.until(until):
                outcome = await self.audits.of(check.match.tenant).check(check, ask, fresh=fresh)
            self._telemetry.audited(type(outcome).__name__.lower())

        return work

    def _observing(self, asked: Asked | None, seen: Match, stored: bytes, reply: Reply) -> Work:
        async def work() -> None:
            match = replace(seen, stored=_answer(payload.decode(stored)).text)
            if check := self.audits.of(match.tenant).withheld(match):
                await self._checking(asked, check, _answer(reply))()

        return work

    def _labelling(self, seen: Match, stored: bytes, reply: Reply, weight: float) -> Work:
        until = self._patience()

        async def work() -> None:
            match = replace(seen, stored=_answer(payload.decode(stored)).text)
            with self._asker.until(until):
                outcome = await self.audits.of(seen.tenant).label(match, _answer(reply), weight=weight)
            self._telemetry.audited(f"label-{type(outcome).__name__.lower()}")

        return work

    def _patience(self, shadowed: str | None = None) -> Until:
        """Of work that comes up now; while the tenant `shadowed` is in shadow mode there is no end to it."""
        ends_s = self._asker.gives_up_at_s
        return lambda: math.inf if shadowed is not None and self.audits.is_in_shadow(shadowed) else ends_s

    def _match(self, asked: Asked, entry: Entry, found: Hit | Miss) -> Match:
        """Without the stored text, which is read in its turn; where the policy has no score, its cut is of cosines."""
        question, decision = asked.question, found.decision
        score = decision.similarity if decision else 1.0
        if self._is_scored and decision and decision.score is not None:
            score = decision.score
        return Match(asked.tenant, entry.scope, entry.id, question.digest, question.text or "", "", score, found.era)


def next_cut(audits: Audits, tenant: str) -> CutShift | None:
    """The cut that keeps the budget among the labels of this epoch; None while there are too few of them, or none does.

    Labels are mostly of the gray zone, where wrong ones are frequent, so it errs on the strict side. It is not below
    all of them: nothing is known of such scores.
    """

    def rule(labels: Sequence[Label]) -> float | None:
        scores = np.array([label.score for label in labels], np.float64)
        wrong = np.array([not label.same for label in labels], np.bool_)
        try:
            cut = rcps_cut(Lookups(scores, wrong, np.arange(len(labels))), audits.alpha)
        except ConfigurationError:
            return None
        return max(cut, float(scores.min())) if math.isfinite(cut) else None

    return audits.of(tenant).next_cut(tenant, rule)


async def _keep_writing(audit: Audit) -> None:
    while True:
        try:
            await audit.run()
        except Exception:  # it must not end the server
            log.exception("audit.writing_failed")


def _kept(asked: Asked) -> Asked | None:
    return None if is_large(asked.question.request) else asked


def _answer(reply: Reply) -> Answer:
    """Without text where it could not be served by meaning: then no judge can be sure of it."""
    tokens = reply.usage.prompt_tokens + reply.usage.output_tokens
    return Answer(reply.text if payload.is_servable_by_meaning(reply) else "", tokens)


def _always(start: Start) -> Callable[[str], Start]:
    return lambda _: start
