"""The project's own questions: families of equivalent texts, each with traps that look alike and are not.

One JSON object a line: `family` (a unique slug), `domain`, `text`, `near` (repeats with a changed surface),
`paraphrases` (the same in other words, from close to far), and `traps`, each with the `slot` in which it differs
from all of them and `why`. Families are the unit of every split and every interval: their texts belong together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ConfigurationError

DATA = Path(__file__).parent / "data"

Split = Literal["train", "calibrate", "test"]
Kind = Literal["near", "paraphrase", "trap", "neighbour"]
Text = Annotated[str, Field(min_length=1)]


class Trap(BaseModel):
    """A question that looks like the family's, and wants another answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Text
    slot: Text
    """What differs, one of the slots' names."""
    why: str


class Family(BaseModel):
    """Questions that one answer serves, and traps that it does not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Text
    domain: Text
    text: Text
    near: tuple[Text, ...]
    paraphrases: tuple[Text, ...]
    traps: tuple[Trap, ...]

    @property
    def same(self) -> tuple[str, ...]:
        """Every text that the answer serves, the first one first."""
        return (self.text, *self.near, *self.paraphrases)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions and whether one answer serves both; `slot` names what differs in a trap."""

    a: str
    b: str
    same: bool
    kind: Kind
    slot: str
    family: str
    at_s: float | None = None
    """When `b` was asked, where that is known."""


def read_families(paths: Iterable[Path]) -> list[Family]:
    """All families of these files, in order; raises `ConfigurationError` with file and line."""
    families: dict[str, Family] = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
            try:
                family = Family.model_validate_json(line)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                field = ".".join(map(str, first["loc"])) or "the line"
                raise ConfigurationError(f"{path}:{number}: `{field}`: {first['msg']}") from None
            if family.family in families:
                raise ConfigurationError(f"{path}:{number}: the family {family.family!r} stands twice; rename one")
            families[family.family] = family
    return list(families.values())


def own_families(split: Split) -> list[Family]:
    """The families of this split; no family stands in two."""
    return read_families(sorted((DATA / split).glob("*.jsonl")))


def anchored_pairs(family: Family) -> Iterator[Pair]:
    """Each text of the family against its first one: the form in which rates are reported."""
    for kind, texts in (("near", family.near), ("paraphrase", family.paraphrases)):
        for text in texts:
            yield Pair(family.text, text, True, "near" if kind == "near" else "paraphrase", "", family.family)
    for trap in family.traps:
        yield Pair(family.text, trap.text, False, "trap", trap.slot, family.family)


def all_pairs(family: Family) -> Iterator[Pair]:
    """Each equivalent text against each other, and against each trap: the form for training."""
    near = {family.text, *family.near}
    for a, b in combinations(family.same, 2):
        yield Pair(a, b, True, "near" if a in near and b in near else "paraphrase", "", family.family)
    for a in family.same:
        for trap in family.traps:
            yield Pair(a, trap.text, False, "trap", trap.slot, family.family)


def divided(families: Sequence[Family], *, shares: Sequence[float], salt: str = "") -> list[list[Family]]:
    """The families in parts of about these shares (their sum is 1), by a hash of the name: growth moves nobody."""
    parts: list[list[Family]] = [[] for _ in shares]
    for family in families:
        place = int(hashlib.sha256(f"{salt}{family.family}".encode()).hexdigest()[:8], 16) / 16**8
        part = 0
        while part < len(shares) - 1 and place >= sum(shares[: part + 1]):
            part += 1
        parts[part].append(family)
    return parts


def content_hash(paths: Iterable[Path]) -> str:
    """A short hex hash over the bytes of the files, whatever their order."""
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
