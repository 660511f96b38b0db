"""Whether a stored reply to one question may answer another: a cosine gate, then the guards.

A policy is a file that was measured, not a set of options. It names the embedder that its threshold was
measured with, and is refused with any other: a threshold never travels without its embedder.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.cache.guards import GUARDS_VERSION, first_conflict
from workbench.errors import ConfigurationError

POLICY_VERSION = 1
"""The form of the file that this code reads."""


@dataclass(frozen=True, slots=True)
class Serve:
    """The stored reply may answer. `similarity` is the cosine, `threshold` the least that was asked for."""

    similarity: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """It may not: `reason` is ``below-threshold`` or the slot that differs, with what each text has there.

    `asked` is the new question's value and `stored` the stored one's; both are None below the threshold.
    """

    reason: str
    similarity: float
    threshold: float
    slot: str | None = None
    asked: str | None = None
    stored: str | None = None


class Policy(BaseModel):
    """What was tuned, and for which embedder; the fields that say how it was measured may be absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: int
    embedder: Annotated[str, Field(min_length=1)]
    """The embedder's name, for people."""
    fingerprint: Annotated[str, Field(min_length=1)]
    """The embedder's exact make: model, revision, dimension, pooling, runtime precision."""
    gate: Annotated[float, Field(ge=0, le=1)]
    """The least cosine at which a stored reply is considered."""
    guards: int
    """Which version of the guards it was measured with."""
    dataset: str | None = None
    """The hash of the pairs that it was tuned on."""
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The false-hit budget: false hits ÷ lookups."""
    measured: dict[str, float] = {}
    """Rates and their intervals, as the notebook that wrote the policy names them."""

    def check(self, fingerprint: str) -> None:
        """Refuse an embedder that this policy was not measured with: raises `ConfigurationError`."""
        if fingerprint != self.fingerprint:
            raise ConfigurationError(
                f"the policy was measured with {self.embedder} ({self.fingerprint}), but the "
                f"embedder here is {fingerprint}: use that embedder, or tune a policy for this one"
            )

    def decide(self, question: str, candidate: str, similarity: float) -> Serve | Refuse:
        """Whether the reply to `candidate` may answer `question`; `similarity` is their cosine."""
        if not similarity >= self.gate:  # so written that a NaN is refused
            return Refuse("below-threshold", similarity, self.gate)
        if conflict := first_conflict(question, candidate):
            return Refuse(
                conflict.slot,
                similarity,
                self.gate,
                slot=conflict.slot,
                asked=conflict.a_value,
                stored=conflict.b_value,
            )
        return Serve(similarity, self.gate)


def load_policy(path: Path | None = None) -> Policy:
    """The policy in this file, by default the one that ships; raises `ConfigurationError`."""
    file = files("workbench") / "data" / "policy.json" if path is None else path
    try:
        found = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read the policy {file}: {error.strerror}; check the path") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"the policy {file} is not valid JSON ({error}); tune or copy it again") from None
    _check_versions(found, str(file))
    try:
        return Policy.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"the policy {file} is wrong at `{where}`: {first['msg']}; tune it again") from None


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
