"""What the audit knows of one tenant, and what may be observed; all processes of a store share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from workbench.cache.evidence import NO_EVIDENCE

Mode = Literal["shadow", "open", "closed"]
Start = Literal["shadow", "open"]
Says = Literal["right", "wrong", "doubted", "unsure"]
"""`doubted`: the judge calls it wrong, and the Thinker only repeated itself; never served again, and closes nothing."""

Kind = Literal["sampled", "targeted", "shadow"]

MOST_BLOCKED, MOST_SCOPES, MOST_LABELS, MOST_EPOCHS, MOST_JUDGES, MOST_WRITERS = 2_000, 500, 500, 3, 4, 32
"""The oldest go; `Epoch.scopes` loses an open one first, and closes the tenant when all are closed."""


class Controls(BaseModel):
    """How often a judge called an answer wrong that was the same model's second answer to the same question.

    Only answers in other words are counted as `asked`, the rest as `repeated`. A contrast compares the answers to two
    unrelated questions: so often the judge `missed` that they differ, and so often in a row since then it did not.
    """

    asked: int = 0
    alarms: int = 0
    repeated: int = 0
    contrasts: int = 0
    missed: int = 0
    told_apart: int = 0


class Scope(BaseModel):
    """The checks in one scope, and how many of them were confirmed wrong."""

    checks: int = 0
    wrongs: int = 0
    closed: bool = False


class Spent(BaseModel):
    """What the audits cost: answers asked for, comparisons made, tokens of both."""

    answers: int = 0
    comparisons: int = 0
    tokens: int = 0


class Label(BaseModel):
    """A pair whose answers were compared; it stands for `weight` pairs (1 ÷ the share that was looked at)."""

    score: float
    same: bool
    weight: float = 1.0


class Epoch(BaseModel):
    """A tenant's traffic under one policy. In shadow mode `hits` are those that would have been."""

    mode: Mode
    reason: str = ""
    lookups: int = 0
    hits: int = 0
    audited: int = 0
    wrong: int = 0
    unsure: int = 0
    skipped: int = 0
    reported: int = 0
    evidence: list[float] = list(NO_EVIDENCE)
    vigilance: int = 0
    scopes: dict[str, Scope] = {}
    labels: list[Label] = []
    taught: int = 0
    """How often a miss in the gray zone was compared, to label it."""
    spent: Spent = Spent()
    cut: float | None = None
    """What a person adopted instead of the policy's own, in the unit of `Label.score`."""
    era: int = 0
    """How often a person started it anew. What was decided in an earlier era counts for nothing in this one."""


class AuditState(BaseModel):
    """All of a tenant; dicts are in the order of their last change."""

    blocked: dict[str, str] = {}
    controls: dict[str, Controls] = {}
    epochs: dict[str, Epoch] = {}
    writers: dict[str, int] = {}
    """The last batch of each process that is counted here, so that none is counted twice."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The budget, and what is known of the judge beforehand.

    `measured` are controls from its calibration; `judge_misses` is the upper bound of the share of wrong answers that
    it calls the same: contrasts find only a judge that tells nothing apart. `least_share` of hits is always audited.
    """

    alpha: float = 0.01
    worst_among_hits: float = 0.05
    confidence: float = 0.95
    least_share: float = 0.02
    judge: str = ""
    measured: tuple[int, int] = (0, 0)
    judge_misses: float = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """So many lookups reached the semantic decision, and so many of them were served."""

    lookups: int
    hits: int
    era: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A hit was compared with a fresh answer. Only `sampled` ones say anything about the rate."""

    kind: Kind
    says: Says
    scope: str
    pair: str
    era: int


@dataclass(frozen=True, slots=True)
class Reported:
    """A person called an answer wrong."""

    scope: str
    pair: str


@dataclass(frozen=True, slots=True)
class Controlled:
    """The same question was asked twice, and the answers compared as in an audit; None: they were the same words."""

    judge: str
    alarm: bool | None


@dataclass(frozen=True, slots=True)
class Contrasted:
    """The answers to two unrelated questions were compared."""

    judge: str
    missed: bool


@dataclass(frozen=True, slots=True)
class Labelled:
    """Two answers were compared, whatever for."""

    score: float
    same: bool
    weight: float
    era: int


@dataclass(frozen=True, slots=True)
class Paid:
    """What one check cost, whatever came of it."""

    answers: int
    comparisons: int
    tokens: int
    skipped: bool = False
    is_label: bool = False


@dataclass(frozen=True, slots=True)
class Reopened:
    """A person starts the epoch anew in this mode; what was seen wrong stays blocked."""

    mode: Start


@dataclass(frozen=True, slots=True)
class Adopted:
    """A person has the tenant's hits decided by this cut from now on, or by the policy's again: a new epoch."""

    cut: float | None
    start: Start


Observation = Seen | Checked | Reported | Controlled | Contrasted | Labelled | Paid | Reopened | Adopted


def pair_of(entry_id: str, question_digest: str) -> str:
    """The name of an entry as the answer to a question; 64 bits of each."""
    return f"{entry_id[:16]} {question_digest[:16]}"
