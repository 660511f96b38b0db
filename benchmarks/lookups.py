"""Labelled lookups: a question against the nearest of a store of a stated size, and what each stage says of them.

The nearest is picked by similarity, so a lookup is harder than a pair drawn at random. Every rate here is per lookup.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.families import Family, Pair
from workbench.cache.embedder import Embedder, without_closing
from workbench.cache.policy import Policy, Refuse, Serve, Weighed
from workbench.cache.risk import Floats, Lookups

NEAREST = 4
"""How many candidates a lookup considers, as many as the cache does."""

Stage = Literal["cosine", "guards", "score", "verifier"]
"""Which of the stages decide: the cosine alone, behind the guards, the score's trees, and the verifier at last."""

STAGES: tuple[Stage, ...] = ("cosine", "guards", "score", "verifier")

Ask = Callable[[str, str], float | None]
"""The verifier: two texts → logit."""


class Vectors:
    """Texts → unit vectors, each embedded once; a text that the embedder cannot read whole has none."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._known: dict[str, npt.NDArray[np.float32] | None] = {}

    def learn(self, texts: Iterable[str], *, show: bool = False) -> None:
        """Embed those that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(new), 256):
            some = new[start : start + 256]
            rows = self.embedder.encode_what_fits([without_closing(text) for text in some])
            self._known.update(zip(some, rows, strict=True))
            if show:
                print(f"\r  embedded {start + len(some)} of {len(new)} ", end="", file=sys.stderr)
        if show and new:
            print(file=sys.stderr)

    def matrix(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, d) float32; zeros for a text without a vector, so that its similarity is 0."""
        self.learn(texts)
        nothing = np.zeros(self.embedder.card.dimension, np.float32)
        found = [self._known[text] for text in texts]
        return np.array([nothing if row is None else row for row in found], np.float32).reshape(len(texts), -1)

    def similarities(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """(n,) float32: the cosine of each pair."""
        found: npt.NDArray[np.float32] = np.vecdot(
            self.matrix([pair.a for pair in pairs]), self.matrix([pair.b for pair in pairs])
        )
        return found


TWIN = 0.8
"""Two families whose texts come this near, by cosine, may be about the same thing."""


def without_twins(families: Sequence[Family], others: Sequence[Family], vectors: Vectors) -> list[Family]:
    """Those whose first text is near no text of the others: different writers think of the same questions."""
    among = vectors.matrix([text for family in others for text in family.same])
    nearest = (vectors.matrix([family.text for family in families]) @ among.T).max(axis=1, initial=-1.0)
    return [family for family, similarity in zip(families, nearest.tolist(), strict=True) if similarity < TWIN]


def neighbours(families: Sequence[Family], vectors: Vectors, *, each: int = 2) -> list[Pair]:
    """Each text with its nearest ones of other families, which want another answer: what a store is full of.

    What is so near that it may be the same question is left out.
    """
    owned = [(text, family.family) for family in families for text in family.same]
    matrix = vectors.matrix([text for text, _ in owned])
    _, owner = np.unique([family for _, family in owned], return_inverse=True)
    found = []
    for place, (text, family) in enumerate(owned):
        near = np.where(owner == owner[place], -1.0, matrix @ matrix[place])
        near[near >= TWIN] = -1.0
        best = np.argpartition(-near, each)[:each]
        found += [Pair(owned[int(other)][0], text, False, "neighbour", "topic", family) for other in best]
    return found


@dataclass(frozen=True, slots=True)
class Query:
    """One lookup: a question, the candidates near it, and which of these would answer it rightly."""

    text: str
    kind: str
    slot: str
    unit: str
    candidates: tuple[str, ...]
    similarities: tuple[float, ...]
    right: tuple[bool, ...]
    at_s: float | None = None
    """When it was asked, where that is known."""


def against_store(families: Sequence[Family], vectors: Vectors, *, others: Sequence[str] = ()) -> list[Query]:
    """Each further text of each family against a store that holds every family's first text, and `others`."""
    stored = [family.text for family in families]
    owner = [family.family for family in families] + [""] * len(others)
    texts = [*stored, *others]
    matrix = vectors.matrix(texts)
    found: list[Query] = []
    for family in families:
        asked = [(text, "near", "") for text in family.near] + [(text, "paraphrase", "") for text in family.paraphrases]
        asked += [(trap.text, "trap", trap.slot) for trap in family.traps]
        near = vectors.matrix([text for text, _, _ in asked]) @ matrix.T
        for (text, kind, slot), row in zip(asked, near, strict=True):
            best = np.argsort(-row, kind="stable")[:NEAREST]
            right = tuple(kind != "trap" and owner[place] == family.family for place in best)
            seen = tuple(texts[place] for place in best)
            found.append(Query(text, kind, slot, family.family, seen, tuple(row[best].tolist()), right))
    return found


def as_queries(pairs: Sequence[Pair], vectors: Vectors) -> list[Query]:
    """Each pair as a lookup of its own: `b` is asked, `a` the only candidate."""
    near = vectors.similarities(pairs)
    return [
        Query(pair.b, pair.kind, pair.slot, pair.family, (pair.a,), (float(similarity),), (pair.same,), pair.at_s)
        for pair, similarity in zip(pairs, near, strict=True)
    ]


@dataclass(slots=True)
class Asked:
    """A verifier that is asked about no two texts twice."""

    ask: Ask
    known: dict[tuple[str, str], float | None] = field(default_factory=dict)

    def __call__(self, question: str, candidate: str) -> float | None:
        """Its logit."""
        key = (min(question, candidate), max(question, candidate))
        if key not in self.known:
            self.known[key] = self.ask(question, candidate)
        return self.known[key]


def last_stage(policy: Policy) -> Stage:
    """The stage that decides."""
    return "verifier" if policy.second else "score"


def final_cut(policy: Policy) -> float:
    """The cut of the stage that decides."""
    assert policy.score
    return policy.second.cut if policy.second else policy.score.cut


def scored(queries: Sequence[Query], policy: Policy, *, stage: Stage, ask: Ask | None = None) -> Lookups:
    """What each lookup would serve, from which score on, and whether that were wrong.

    For "cosine" and "guards" the score is the cosine; for "score" and "verifier" it is a logit, in the last case the
    second stage's, infinite where the verifier is not asked.
    """
    score, wrong = np.full(len(queries), -np.inf), np.zeros(len(queries), bool)
    for place, query in enumerate(queries):
        if (best := _best(query, policy, stage, ask)) is not None:
            score[place], wrong[place] = best[0], not query.right[best[1]]
    _, unit = np.unique([query.unit for query in queries], return_inverse=True)
    return Lookups(score, wrong, unit.astype(np.int64))


def _best(query: Query, policy: Policy, stage: Stage, ask: Ask | None) -> tuple[float, int] | None:
    """The score of the candidate that would be served, and its place."""
    if stage == "cosine":
        return query.similarities[0], 0
    weighed = [
        (place, policy.weigh(query.text, candidate, similarity))
        for place, (candidate, similarity) in enumerate(zip(query.candidates, query.similarities, strict=True))
    ]
    if stage == "guards":
        free = [place for place, each in weighed if not isinstance(each, Refuse)]
        return (query.similarities[free[0]], free[0]) if free else None
    for place, each in weighed:
        if isinstance(each, Serve):
            return np.inf, place
    open_ones = [(each.logit, place, each) for place, each in weighed if isinstance(each, Weighed)]
    if not open_ones:
        return None
    logit, place, best = max(open_ones, key=lambda each: each[0])
    return (logit if stage == "score" else final_logit(best, policy, ask)), place


def final_logit(weighed: Weighed, policy: Policy, ask: Ask | None) -> float:
    """The second stage's logit; infinite on the sides where the verifier is not asked."""
    second = policy.second
    if second is None or ask is None:
        return weighed.logit
    if not weighed.asks:
        return float("inf") if weighed.logit >= second.high else float("-inf")
    verifier = ask(weighed.question, weighed.candidate)
    return float("-inf") if verifier is None else second.logit(weighed, verifier)


def curve(lookups: Lookups) -> tuple[Floats, Floats, Floats]:
    """Cuts from strict to loose, with the false-hit rate and the hit rate (right hits ÷ lookups) at each."""
    order = np.argsort(-lookups.score, kind="stable")
    order = order[lookups.score[order] > -np.inf]
    score = lookups.score[order]
    wrong = np.cumsum(lookups.wrong[order])
    count = np.arange(1, len(order) + 1)
    last = np.append(score[1:] != score[:-1], True) if len(order) else np.zeros(0, bool)
    total = len(lookups.score)
    return score[last], (wrong / total)[last], ((count - wrong) / total)[last]


def hits_at(lookups: Lookups, rate: float) -> float:
    """The most right hits ÷ lookups at a false-hit rate of at most `rate`: the best that any cut could do here."""
    _, false, right = curve(lookups)
    allowed = right[false <= rate]
    return float(allowed.max(initial=0.0))
