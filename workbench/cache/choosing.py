"""Which of the stored questions near one may answer it: the policy's decision, with the verifier's word."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.cache.audit import Permission
from workbench.cache.policy import Policy, Refuse, Serve, Weighed
from workbench.cache.seams import AsyncVerifier
from workbench.cache.store import Neighbour
from workbench.errors import EmbeddingError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored question near the one that is asked, and whether its reply may be served for it at all."""

    neighbour: Neighbour
    permission: Permission


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate that counts, and the decision on it: None where it was seen wrong before, and nothing decided."""

    candidate: Candidate
    decision: Serve | Refuse | None


class Chooser:
    """Decides by a policy, or by its tenant's own cut; asks the verifier in the gray zone, if there is one."""

    def __init__(self, policy: Policy, *, verifier: AsyncVerifier | None, own_cut: float | None = None) -> None:
        # Without a score the tenant's own cut is of cosines: it is the gate.
        self._policy = policy if own_cut is None or policy.score else policy.with_gate(own_cut)
        self._verifier = verifier
        self._own_cut = own_cut

    @property
    def gate(self) -> float:
        """The least cosine at which a stored reply is considered."""
        return self._policy.gate

    async def choose(self, text: str, candidates: Sequence[Candidate]) -> Choice | None:
        """The best of the candidates (the nearest first) that nothing forbids is the one that counts."""
        refused: Choice | None = None
        best: tuple[Weighed, Candidate] | None = None
        for candidate in candidates:
            if candidate.permission == "seen-wrong":
                refused = refused or Choice(candidate, None)
                continue
            neighbour = candidate.neighbour
            match self._policy.weigh(text, neighbour.entry.text, neighbour.similarity):
                case Serve() as decision:
                    return Choice(candidate, decision)
                case Refuse() as decision:
                    refused = refused or Choice(candidate, decision)
                    if neighbour.similarity < self.gate:
                        break  # what follows is farther still
                case Weighed() as weighed:
                    if best is None or weighed.logit > best[0].logit:
                        best = weighed, candidate
        if best is None:
            return refused
        weighed, candidate = best
        return Choice(candidate, await self._settle(weighed))

    async def decide(self, question: str, candidate: str, similarity: float) -> Serve | Refuse:
        """What is decided of these two."""
        weighed = self._policy.weigh(question, candidate, similarity)
        return await self._settle(weighed) if isinstance(weighed, Weighed) else weighed

    async def _settle(self, weighed: Weighed) -> Serve | Refuse:
        """The decision, with the verifier's word where it is wanted and can be had."""
        logit = None
        if weighed.asks and self._verifier:
            try:
                logit = await self._verifier.logit(weighed.question, weighed.candidate)
            except EmbeddingError as error:
                log.warning("cache.verifier_failed error=%r", error)
        return self._policy.settle(weighed, logit, own_cut=self._own_cut)
