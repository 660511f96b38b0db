"""Conversations in other words: a question whose earlier turns mean the same as a stored one's.

Such questions are kept and looked for under their outer scope, which is equal only where all but the words is: system
prompt, tools, images, tool calls and their results, what the client wraps around words, and which message has words.
Each earlier turn must then say the same. A user's turn is decided on as the question itself is. An assistant's turn
that differs must hold no other number, name or other precise value, and be as near as the audit's embedding judge asks
of two answers to one question.

Nothing is lost by this: conversations with identical earlier turns come first, and where so many others are near that
these could not be found, a new one is kept under its strict scope, where it is looked for too.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Protocol

from workbench.cache.admission import first_reason
from workbench.cache.choosing import Candidate, Choice, Chooser
from workbench.cache.guards import PRECISE, first_conflict
from workbench.cache.judges import SAME
from workbench.cache.policy import Refuse, Serve
from workbench.cache.question import Question
from workbench.cache.seams import AsyncEmbedder
from workbench.cache.store import Entry, Neighbour

MOST_EARLIER = 16
"""A question with more earlier turns is matched in its strict scope only: hardly anybody has so long a talk again."""

MOST_CHARACTERS = 65_536
"""Likewise with longer ones, all together."""

MOST_DIFFERING = 4
"""So many earlier turns may differ in their words; each may take some milliseconds to decide, and may be wrong."""

CONSIDERED = 4
"""How many candidates are looked at with identical earlier turns, and how many with others."""

SEARCHED = (16, 64)
"""How many of the nearest are looked through, and how many where that may have missed identical earlier turns: the
last words of many conversations are the same."""

CROWD = 32
"""Where more are near enough to be considered, a new conversation is kept under its strict scope."""

MOST_REMEMBERED = 1_024
"""Of so many questions it is remembered that they were in a crowd, until their answer comes."""

COMPARED = 600
"""So many characters of two turns tell which candidates are the most promising, while nobody else is served."""

DIFFERENT_ANSWER = PRECISE | {
    f"{name}-missing"
    for name in (
        *("ids", "money", "versions", "dates", "times", "numbers", "units"),
        *("technology", "language", "code", "quotes", "paths", "identifiers", "names"),
    )
}
"""The slots on which two assistant turns that say the same never differ: nor does one lack a value of the other."""

_LIST = re.compile(r"(?:^|\s)\d{1,2}[.)]\s|^\s*[-*•+]\s", re.MULTILINE)
"""A list: later turns point at its items by their place, so it is the same only word for word."""


class Search(Protocol):
    """The nearest entries of the outer scope."""

    async def __call__(self, *, k: int) -> list[Neighbour]:
        """At most `k`, the most similar first."""


class Aligner:
    """Matches questions turn by turn."""

    def __init__(self, embedder: AsyncEmbedder, *, admission: Set[str]) -> None:
        self._embedder = embedder
        self._admission = admission
        self._crowded: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def takes(self, question: Question) -> bool:
        """Whether it is matched so: it has earlier turns, not too much of them, and none that may not rest on a disk.

        All that it depends on is in the strict scope too, so two questions of one strict scope are treated alike.
        """
        earlier, secrets = question.earlier, self._admission & {"secrets"}
        if not 0 < len(earlier) <= MOST_EARLIER or sum(map(len, earlier)) > MOST_CHARACTERS:
            return False
        return not any(first_reason(turn, secrets) for turn in earlier)

    def alike_first(self, question: Question, entries: Sequence[Entry]) -> list[Entry]:
        """The entries, those first whose earlier turns differ least; otherwise in their order."""
        return sorted(entries, key=lambda entry: _unlike(question, entry))

    async def nearest(self, tenant: str, question: Question, search: Search, gate: float) -> list[Neighbour]:
        """What `search` finds: all of the identical conversations that count, and others."""
        found: list[Neighbour] = []
        for many in SEARCHED:
            found = await search(k=many)
            identical = sum(_differing(question, each.entry) == 0 for each in found)
            if identical >= CONSIDERED or len(found) < many or found[-1].similarity < gate:
                break
        if len(found) > CROWD and found[CROWD].similarity >= gate:
            self._crowded[tenant, question.digest] = True
            if len(self._crowded) > MOST_REMEMBERED:
                self._crowded.popitem(last=False)
        return found

    def leave_crowd(self, tenant: str, question: Question) -> bool:
        """Whether the last search found a crowd near it, which is forgotten."""
        return self._crowded.pop((tenant, question.digest), False)

    async def choose(self, question: Question, candidates: Sequence[Candidate], chooser: Chooser) -> Choice | None:
        """The candidate that counts."""
        candidates = sorted(candidates, key=lambda each: -each.neighbour.similarity)
        identical = [each for each in candidates if not _differing(question, each.neighbour.entry)]
        others = [each for each in candidates if _differing(question, each.neighbour.entry)]
        refused = await chooser.choose(question.text or "", identical[:CONSIDERED])
        if refused and isinstance(refused.decision, Serve):
            return refused
        near = [candidate for candidate in others if candidate.neighbour.similarity >= chooser.gate] or others[:1]
        for candidate in sorted(near, key=lambda each: _unlike(question, each.neighbour.entry))[:CONSIDERED]:
            choice = await self._aligned(question, candidate, chooser)
            if isinstance(choice.decision, Serve):
                return choice
            refused = refused or choice
        return refused

    async def _aligned(self, question: Question, candidate: Candidate, chooser: Chooser) -> Choice:
        """The decision on the last words, then on the earlier turns; the weakest of them is what counts."""
        similarity, differing = candidate.neighbour.similarity, _differing(question, candidate.neighbour.entry)
        last = await chooser.choose(question.text or "", [candidate])
        if last is None or last.decision is None:
            return Choice(candidate, None)
        if isinstance(last.decision, Refuse):
            return Choice(candidate, replace(last.decision, turns=differing))
        if differing > MOST_DIFFERING:
            return Choice(candidate, Refuse("turns-differing", similarity, chooser.gate, turns=differing))
        weakest = last.decision
        for place, (asked, stored) in enumerate(
            zip(question.earlier, candidate.neighbour.entry.turns, strict=False), 1
        ):
            match await self._turn(asked, stored, chooser):
                case Refuse(reason=reason) as refusal:
                    return Choice(candidate, replace(refusal, reason=f"turn-{place}-{reason}", turns=differing))
                case Serve() as served:
                    weakest = min(weakest, served, key=lambda each: each.score)
        return Choice(candidate, replace(weakest, similarity=similarity, turns=differing))

    async def _turn(self, asked: str, stored: str, chooser: Chooser) -> Serve | Refuse:
        """Whether two turns at one place of two conversations, by the same speaker, say the same."""
        gate = chooser.gate
        if _lines(asked) == _lines(stored):
            return Serve(1.0, gate)
        speaker, asked = _parted(asked)
        _, stored = _parted(stored)
        one, other = await self._embedder.embed_all([asked, stored])
        if one is None or other is None:
            return Refuse("unreadable", 0.0, gate)
        similarity = float(one @ other)
        if speaker == "assistant":
            return _same_answer(asked, stored, similarity)
        if reason := first_reason(asked, self._admission) or first_reason(stored, self._admission):
            return Refuse(reason, similarity, gate)
        return await chooser.decide(asked, stored, similarity)


def _same_answer(asked: str, stored: str, similarity: float) -> Serve | Refuse:
    if _LIST.search(asked) or _LIST.search(stored):
        return Refuse("list", similarity, SAME)
    if not similarity >= SAME:  # so written that a NaN is refused
        return Refuse("below-threshold", similarity, SAME)
    if conflict := first_conflict(asked, stored, vetoes=DIFFERENT_ANSWER):
        slot = conflict.slot
        return Refuse(slot, similarity, SAME, slot, conflict.a_value, conflict.b_value)
    return Serve(similarity, SAME)


def _differing(question: Question, entry: Entry) -> int:
    """How many earlier turns are not identical; more than may be where they are not turn by turn the same speaker's."""
    if entry.scope == question.scope:
        return 0
    differing = [pair for pair in zip(question.earlier, entry.turns, strict=False) if pair[0] != pair[1]]
    is_aligned = len(question.turns) == len(entry.turns)
    if not is_aligned or any(_parted(one)[0] != _parted(other)[0] for one, other in differing):
        return MOST_DIFFERING + MOST_EARLIER  # the outer scope rules it out, but what was imported may be wrong
    return len(differing)


def _unlike(question: Question, entry: Entry) -> tuple[int, float]:
    """To sort by: how many earlier turns are not identical, then how few words these share."""
    differing = _differing(question, entry)
    if not 0 < differing <= MOST_DIFFERING:
        return differing, 0.0
    pairs = zip(question.earlier, entry.turns, strict=False)
    return differing, -sum(_shared(one, other) for one, other in pairs if one != other)


def _shared(one: str, other: str) -> float:
    """Of the words that both begin with, the share that both have."""
    words, others = ({*turn[:COMPARED].casefold().split()} for turn in (one, other))
    return len(words & others) / max(1, len(words | others))


def _parted(turn: str) -> tuple[str, str]:
    """Who speaks, and the words."""
    speaker, _, words = turn.partition(": ")
    return speaker, words


def _lines(text: str) -> list[str]:
    """Without what nobody sees: whitespace at the ends of lines, and empty lines."""
    return [line.rstrip() for line in text.split("\n") if line.strip()]
