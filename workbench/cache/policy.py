"""Whether a stored reply to one question may answer another: guards, a cosine gate, then a calibrated score.

A policy is a file that was measured, not a set of options. It names the embedder that its thresholds were
measured with, and is refused with any other: a threshold never travels without its embedder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Protocol, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.cache.features import feature_names, features
from workbench.cache.guards import GUARDS_VERSION, PRECISE, SLOT_NAMES, Conflict, conflicts, repeats
from workbench.cache.slots.spelling import repaired
from workbench.cache.trees import Trees
from workbench.errors import ConfigurationError

POLICY_VERSION = 2
"""The form of the file that this code reads."""

PROBE_TOLERANCE = 0.3
"""How far, as a logit, the verifier may be from what it said where the policy was measured."""


Number = Annotated[float, Field(ge=-1000, le=1000)]
"""A logit, or what weighs one: more is no measurement."""

# ── what comes of two questions ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Serve:
    """The stored reply may answer.

    `similarity` is the cosine, `threshold` the least that was asked for; `score` the estimated probability that one
    answer serves both questions, `cut` what it had to exceed (both 1 and 0 where the policy has no score).
    """

    similarity: float
    threshold: float
    score: float = 1.0
    cut: float = 0.0
    verified: bool = False
    """Whether the verifier was heard."""
    differing: tuple[str, ...] = ()
    """Slots on which the two differ, none of which forbids an answer."""
    vouched: bool = False
    """Whether the policy refused, the score being below the cut, and a Thinker was asked and said yes."""
    turns: int = 0
    """So many earlier turns of the conversations differ in their words; `score` is then the weakest of all turns'."""

    @property
    def short(self) -> str:
        """For a header: no word of either question is in it."""
        despite = f" despite={','.join(self.differing)}" if self.differing else ""
        turns = f" turns={self.turns}" if self.turns else ""
        verified = "thinker" if self.vouched else "yes" if self.verified else "no"
        return f"score={self.score:.3f} cut={self.cut:.3f} verified={verified}{despite}{turns}"


@dataclass(frozen=True, slots=True)
class Refuse:
    """It may not: `reason` is the slot that forbids it or differs for certain, else ``below-threshold``, ``below-cut``
    or ``unverified`` (the verifier could not read the two, or failed).

    `slot` is the first on which the questions differ, whatever the reason; `asked` is the new question's value there,
    `stored` the stored one's. All three are None where no slot differs.
    """

    reason: str
    similarity: float
    threshold: float
    slot: str | None = None
    asked: str | None = None
    stored: str | None = None
    score: float | None = None
    cut: float | None = None
    turns: int = 0
    """So many earlier turns of the conversations differ in their words. Where one of them forbids it, `reason` names it
    and all else is said of that turn."""

    @property
    def short(self) -> str:
        """For a header: no word of either question is in it."""
        if self.score is not None and self.cut is not None:
            return f"score={self.score:.3f} cut={self.cut:.3f}" + (f" differing={self.slot}" if self.slot else "")
        return f"threshold={self.threshold:.3f}" + (f" differing={self.slot}" if self.slot else "")


@dataclass(frozen=True, slots=True)
class Weighed:
    """Neither refused nor served yet: the guards agree and the cosine suffices."""

    similarity: float
    logit: float
    """What the cheap evidence says."""
    asks: bool
    """Whether the verifier should be heard."""
    found: tuple[Conflict, ...]
    question: str
    candidate: str
    """Both as they were compared, slips put right: so the verifier reads them."""
    compared: float
    """The cosine as evidence: 1 where these two are the same words."""


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────


class Score(BaseModel):
    """The first stage: boosted trees over cheap evidence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...]
    """The columns that the trees were fitted on."""
    weights: dict[str, float]
    """Inverse document frequencies of word stems."""
    known: tuple[str, ...] = ()
    """Words that slips are put right to."""
    real: tuple[str, ...] = ()
    """Words that are a letter away from such a one, and no slips."""
    trees: Trees
    cut: Number
    """The logit that must be exceeded where no verifier is heard."""

    @cached_property
    def known_words(self) -> frozenset[str]:
        """`known`, to be looked up."""
        return frozenset(self.known)

    @cached_property
    def real_words(self) -> frozenset[str]:
        """`real`, to be looked up."""
        return frozenset(self.real)

    @model_validator(mode="after")
    def _fits_the_code(self) -> Self:
        if self.features != feature_names():
            raise ValueError("the score was fitted on other features than this version has")
        if self.trees.width > len(self.features):
            raise ValueError("a tree looks at a feature that does not exist")
        return self


class Reads(Protocol):
    """A verifier, as far as the policy needs to know it."""

    @property
    def revision(self) -> str:
        """Names all that its answers depend on."""

    def logit(self, question: str, candidate: str) -> float | None:
        """Its answer; None when it cannot read the two."""


class Probe(BaseModel):
    """Two questions and what the verifier said of them where the policy was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a: str
    b: str
    logit: Number


class Second(BaseModel):
    """The second stage: when the verifier is asked, and what its answer weighs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: str
    """Of the verifier that it was fitted with."""
    low: Number
    """It is asked where the first stage's logit is at least this …"""
    high: Number
    """… and less than this; from there on the reply is served without it."""
    intercept: Number
    first: Number
    """The weight of the first stage's logit,"""
    verifier: Number
    """of the verifier's,"""
    cosine: Number
    """and of the cosine."""
    cut: Number
    """The logit that their sum must exceed."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_a_zone(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the gray zone begins at {self.low} and ends before, at {self.high}")
        return self

    def why_not(self, verifier: Reads) -> str | None:
        """Why this stage may not be used with this verifier on this machine; None when it may."""
        if verifier.revision != self.revision:
            return f"the policy was fitted with the verifier {self.revision}, the one here is {verifier.revision}"
        apart = [abs(_or_infinite(verifier.logit(probe.a, probe.b)) - probe.logit) for probe in self.probes]
        if not all(distance <= PROBE_TOLERANCE for distance in apart):  # so written that a NaN is too far
            return (
                f"the verifier's logits are off by up to {max(apart):.3g} on this CPU, at most {PROBE_TOLERANCE} may be"
            )
        return None

    def logit(self, weighed: Weighed, verifier: float) -> float:
        """All evidence together."""
        return self.intercept + self.first * weighed.logit + self.verifier * verifier + self.cosine * weighed.compared


class Policy(BaseModel):
    """What was tuned, and for which embedder; the fields that say how it was measured may be absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    embedder: Annotated[str, Field(min_length=1)]
    """The embedder's name, for people."""
    fingerprint: Annotated[str, Field(min_length=1)]
    """The embedder's exact make: model, revision, dimension, pooling, runtime precision."""
    gate: Annotated[float, Field(ge=0, le=1)]
    """The least cosine at which a stored reply is considered."""
    guards: int
    """Which version of the guards it was measured with."""
    vetoes: tuple[str, ...] = SLOT_NAMES
    """The slots whose difference forbids an answer; differences in others are evidence for the score."""
    score: Score | None = None
    second: Second | None = None
    dataset: str | None = None
    """The hash of the pairs that it was tuned on."""
    alpha: Annotated[float, Field(ge=1e-4, le=0.5)] | None = None
    """The false-hit budget: false hits ÷ lookups."""
    store_size: Annotated[int, Field(gt=0)] | None = None
    """How many entries of one scope the lookups chose from."""
    measured: dict[str, float] = {}
    """Rates and their intervals, as the notebook that wrote the policy names them."""
    date: str | None = None
    commit: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if unknown := set(self.vetoes) - set(SLOT_NAMES):
            raise ValueError(f"the guards know no slot {sorted(unknown)[0]!r}")
        if self.second and not self.score:
            raise ValueError("a second stage needs a first one: `score` is missing")
        return self

    def check(self, fingerprint: str) -> None:
        """Refuse an embedder that this policy was not measured with: raises `ConfigurationError`."""
        if fingerprint != self.fingerprint:
            raise ConfigurationError(
                f"the policy was measured with {self.embedder} ({self.fingerprint}), but the "
                f"embedder here is {fingerprint}: use that embedder, or tune a policy for this one"
            )

    def without_second(self) -> Policy:
        """The same, deciding by the first stage alone, by its own cut."""
        return self.model_copy(update={"second": None})

    def with_gate(self, above: float) -> Policy:
        """The same for cosines above this one: where there is no score, that is the cut."""
        return self.model_copy(update={"gate": math.nextafter(above, 2.0)})

    def weigh(self, question: str, candidate: str, similarity: float) -> Weighed | Serve | Refuse:
        """What the guards, the gate and the cheap evidence say; `similarity` is the cosine of the two."""
        same_words = repeats(question, candidate)
        question, candidate = self.spelled(question, candidate)
        found = conflicts(question, candidate)
        veto = next((conflict for conflict in found if conflict.slot in self.vetoes), None)
        if veto:
            return self._refuse(veto.slot, similarity, (veto,))
        if not similarity >= self.gate:  # so written that a NaN is refused
            return self._refuse("below-threshold", similarity, found)
        if self.score is None or (same_words and not found):
            return Serve(similarity, self.gate, differing=tuple(conflict.slot for conflict in found))
        compared = compared_similarity(question, candidate, similarity)
        row = features(question, candidate, similarity=compared, found=found, weights=self.score.weights)
        logit = self.score.trees.logit(row)
        asks = self.second is not None and self.second.low <= logit < self.second.high
        return Weighed(similarity, logit, asks, found, question, candidate, compared)

    def spelled(self, question: str, candidate: str) -> tuple[str, str]:
        """Both with the slips put right that the other shows."""
        if self.score is None or question == candidate:
            return question, candidate
        return repaired(question, candidate, known=self.score.known_words, real=self.score.real_words)

    def settle(
        self, weighed: Weighed, verifier: float | None = None, *, own_cut: float | None = None
    ) -> Serve | Refuse:
        """The decision; `verifier` is the verifier's logit, None where it was not asked or could not read them.

        `own_cut` stands for the policy's, as a score: one that was found in service. What the second stage refuses
        unseen stays refused.
        """
        assert self.score  # noqa: S101  # `weigh` gives Weighed only where there is a score
        logit, cut = weighed.logit, self.score.cut
        if self.second and weighed.asks:
            if verifier is None:  # it was calibrated so: what the verifier cannot read is not served
                return self._refuse("unverified", weighed.similarity, weighed.found)
            logit, cut = self.second.logit(weighed, verifier), self.second.cut
        elif self.second:
            cut = -math.inf if logit >= self.second.high else math.inf
        score, least, is_above = probability(logit), probability(cut), logit > cut
        if own_cut is not None and cut < math.inf:
            least, is_above = own_cut, score > own_cut
        if is_above:
            differing = tuple(conflict.slot for conflict in weighed.found)
            return Serve(weighed.similarity, self.gate, score, least, verifier is not None, differing)
        return self._refuse("below-cut", weighed.similarity, weighed.found, score=score, cut=least)

    def decide(
        self, question: str, candidate: str, similarity: float, *, verifier: Reads | None = None
    ) -> Serve | Refuse:
        """Both steps at once, for whoever may wait for the verifier."""
        weighed = self.weigh(question, candidate, similarity)
        if not isinstance(weighed, Weighed):
            return weighed
        return self.settle(
            weighed, verifier.logit(weighed.question, weighed.candidate) if verifier and weighed.asks else None
        )

    def _refuse(
        self,
        reason: str,
        similarity: float,
        found: Sequence[Conflict],
        *,
        score: float | None = None,
        cut: float | None = None,
    ) -> Refuse:
        """A slot that differs for certain is a better reason than a number."""
        named = next((conflict for conflict in found if conflict.slot in PRECISE), None)
        if named is None and not found:
            return Refuse(reason, similarity, self.gate, score=score, cut=cut)
        shown = named or found[0]
        said = named.slot if named else reason
        return Refuse(said, similarity, self.gate, shown.slot, shown.a_value, shown.b_value, score, cut)


def compared_similarity(question: str, candidate: str, similarity: float) -> float:
    """The cosine of two texts whose slips were put right, `similarity` being that of the texts as they came.

    The vectors are of these. Where the same words have come out, their cosine is known without them.
    """
    return 1.0 if repeats(question, candidate) else similarity


def _or_infinite(logit: float | None) -> float:
    return math.inf if logit is None else logit


def probability(logit: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def load_policy(path: Path | None = None) -> Policy:
    """The policy in this file, by default the one that ships; raises `ConfigurationError`."""
    file = files("workbench") / "data" / "policy.json" if path is None else path
    try:
        content = file.read_bytes()
        found = orjson.loads(content)
    except OSError as error:
        raise ConfigurationError(f"cannot read the policy {file}: {error.strerror}; check the path") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"the policy {file} is not valid JSON ({error}); tune or copy it again") from None
    _check_versions(found, str(file))
    try:
        return Policy.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ConfigurationError(f"the policy {file} is wrong at `{where}`: {first['msg']}; tune it again") from None


def save_policy(policy: Policy, path: Path) -> None:
    """Write it so that the file is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(orjson.dumps(policy.model_dump(mode="json"), option=orjson.OPT_APPEND_NEWLINE))
    part.replace(path)


def _check_versions(found: object, file: str) -> None:
    """Before all else: another version's other fields would only be called wrong."""
    if not isinstance(found, dict):
        raise ConfigurationError(f"the policy {file} holds a {type(found).__name__}, expected a JSON object")
    for field, known in (("version", POLICY_VERSION), ("guards", GUARDS_VERSION)):
        if found.get(field) != known:
            raise ConfigurationError(
                f"the policy {file} has {field} {found.get(field)!r}, this workbench knows {known}: "
                "tune it again with this version, or leave --policy out to use the one that ships"
            )
