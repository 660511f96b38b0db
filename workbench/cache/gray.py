"""The gray zone: refusals that come close to the cut, where something may still be learned or asked."""

from __future__ import annotations

from workbench.cache.policy import Refuse, Serve

GRAY_SHARE, GRAY_COSINE = 0.5, 0.05
"""It holds scores of at least half the cut; without a score, a cosine so little below the gate."""


def is_gray(decision: Refuse, *, is_scored: bool) -> bool:
    """Whether this refusal lies in it; `is_scored` is whether the policy that refused has a score.

    None does where earlier turns differ: they were not all read, and another answer may be due to them.
    """
    if decision.turns:
        return False
    if is_scored:
        return decision.score is not None and decision.score >= GRAY_SHARE * (decision.cut or 0.0)
    return decision.reason == "below-threshold" and decision.similarity >= decision.threshold - GRAY_COSINE


def is_doubtful(decision: Refuse, *, is_scored: bool) -> bool:
    """Whether it lies in it for want of likeness alone: no slot forbids an answer or differs for certain."""
    return decision.reason in ("below-cut", "below-threshold") and is_gray(decision, is_scored=is_scored)


def vouched(refused: Refuse) -> Serve:
    """The decision where a Thinker vouches for what the policy refused; its numbers stay what they were."""
    differing = (refused.slot,) if refused.slot else ()
    if refused.score is None or refused.cut is None:
        return Serve(refused.similarity, refused.threshold, differing=differing, vouched=True)
    return Serve(refused.similarity, refused.threshold, refused.score, refused.cut, differing=differing, vouched=True)
