"""One check: the stored answer against fresh ones, what came of it, and what it cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from workbench.cache.audit_state import Kind, Paid, Says
from workbench.cache.judges import Answer, Judge, at_once


@dataclass(frozen=True, slots=True)
class Match:
    """A question and the entry that answers it by meaning, or would. `score` is what the policy's cut applies to.

    `era` is that of its tenant's epoch in which this was decided, which may be over when the check is made.
    """

    tenant: str
    scope: str
    entry_id: str
    question_digest: str
    question: str
    stored: str
    score: float
    era: int


Ask = Callable[[], Awaitable[Answer]]
"""Puts a match's question to a Thinker anew; a `WorkbenchError` or a time-out when it cannot be asked now."""


@dataclass(frozen=True, slots=True)
class Check:
    """A match to compare with a fresh answer, how it was chosen, and how many hits it stands for."""

    match: Match
    kind: Kind
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Alias:
    """The question has the same answer as the entry: it may answer it from now on as if identical."""

    entry_id: str
    question: str
    question_digest: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """The entry does not answer the question."""

    entry_id: str
    question_digest: str


@dataclass(frozen=True, slots=True)
class Doubted:
    """The judge says that it does not, and a second answer in the same words as the first could not confirm that."""

    entry_id: str
    question_digest: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nothing can be said: the judge could not, or the Thinker answers differently each time."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """It could not be checked."""

    reason: str


Outcome = Alias | Wrong | Doubted | Unsure | Skipped


class Comparison:
    """Compares answers to one match's question, and counts what that costs."""

    def __init__(self, judge: Judge, match: Match, ask: Ask) -> None:
        self._judge = judge
        self._match = match
        self._ask = ask
        self._answers = self._comparisons = self._tokens = 0

    async def fresh(self) -> Answer:
        """A fresh answer; raises what `Ask` does."""
        answer = await self._ask()
        self._answers += 1
        self._tokens += answer.tokens
        return answer

    async def examine(self, stored: str, fresh: Answer) -> Says:
        """Whether the stored answer is right; it is wrong only if a second fresh one differs from it too.

        And the fresh ones must agree, in other words: a question that is answered differently each time has no wrong
        answers, and a second answer in the same words says nothing new.
        """
        if (first := await self._same(stored, fresh.text)) is not False:
            return "right" if first else "unsure"
        second = await self.fresh()
        if _repeats(fresh, second):
            return "doubted"
        if await self._same(stored, second.text) is not False:
            return "unsure"
        return "wrong" if await self._same(fresh.text, second.text) else "unsure"

    async def control(self, fresh: Answer) -> bool | None:
        """Whether the judge gives a false alarm: the examination of a fresh answer as if it were the stored one.

        None where answers repeat each other: that measures nothing.
        """
        second = await self.fresh()
        says = "doubted" if _repeats(fresh, second) else await self.examine(fresh.text, second)
        return None if says == "doubted" else says == "wrong"

    async def contrast(self, fresh: Answer, other: str) -> bool:
        """Whether the judge calls the answer to an unrelated question the same."""
        return await self._same(fresh.text, other) is True

    @property
    def is_judged(self) -> bool:
        """Whether the judge was asked at all."""
        return self._comparisons > 0

    def paid(self, *, skipped: bool = False) -> Paid:
        """What it cost so far."""
        return Paid(self._answers, self._comparisons, self._tokens, skipped)

    async def _same(self, one: str, two: str) -> bool | None:
        """None when it is unclear; the judge is asked only where it is not clear at once."""
        verdict = at_once(one, two)
        if verdict is None:
            verdict = await self._judge.compare(self._match.question, one, two)
            self._comparisons += 1
            self._tokens += verdict.tokens
        return None if verdict.says == "unsure" else verdict.says == "same"


def _repeats(one: Answer, two: Answer) -> bool:
    return one.text.strip() == two.text.strip()
