"""Pairs of public questions, as people wrote them: neighbours of other intents, and repeats of one's own.

Made traps alone teach a score that the cosine is worth nothing; where questions were not written to be confused, it is
worth a lot. Each intent stands in one part only (`part_of`): trees and verifier learn from the first, the second stage
is fitted on the second, and the rest, half of all, is kept for reports.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import orjson

from benchmarks.families import Pair
from benchmarks.lookups import Vectors
from workbench.cache.guards import PRECISE, conflicts

Part = Literal["learn", "choose", "report"]

OUT_OF_SCOPE = "oos"
TWIN = 0.95
"""Texts of two intents that come this near, by cosine, may be the same question with a wrong label."""


@dataclass(frozen=True, slots=True)
class Source:
    """A public file of texts with intents. `repeats`: whether texts of one intent want one answer, on the whole."""

    name: str
    anchors: int
    repeats: bool
    others: bool


SOURCES = (
    Source("banking_intents", 3000, repeats=True, others=True),
    Source("assistant_intents", 1500, repeats=False, others=True),
    Source("shell_questions", 1500, repeats=True, others=False),  # two ways to write one command count as different
)


def part_of(intent: str) -> Part:
    """What this intent is for, by a hash of its name: three eighths learn, one eighth chooses, half reports."""
    place = hashlib.sha256(intent.encode()).digest()[0]
    return "learn" if place < 96 else "choose" if place < 128 else "report"


def intents(path: Path) -> dict[str, str]:
    """Text → intent, of gzipped JSON lines with both."""
    with gzip.open(path) as lines:
        return {row["text"]: row["intent"] for row in map(orjson.loads, lines)}


def texts_of(folder: Path, source: Source, *parts: Part) -> dict[str, str]:
    """Text → intent of what is in scope and stands in one of these parts."""
    known = intents(folder / f"{source.name}.jsonl.gz").items()
    return {text: intent for text, intent in known if intent != OUT_OF_SCOPE and part_of(intent) in parts}


def natural_pairs(folder: Path, vectors: Vectors, *, part: Part, seed: int) -> list[Pair]:
    """Of texts of this part, drawn by `seed`: each with near ones of another intent and of its own.

    Two of a kind each: the nearest and one of the next four. A repeat that a precise slot speaks against is left out.
    """
    rng = random.Random(seed)  # noqa: S311  # reproducible, not secret
    found: list[Pair] = []
    for source in SOURCES:
        known = texts_of(folder, source, part)
        vectors.learn(known)
        found += _of_source(source, known, vectors, rng)
    return found


def _of_source(source: Source, known: dict[str, str], vectors: Vectors, rng: random.Random) -> list[Pair]:
    texts = list(known)
    matrix = vectors.matrix(texts)
    _, owner = np.unique([known[text] for text in texts], return_inverse=True)
    found: list[Pair] = []
    for place in rng.sample(range(len(texts)), min(source.anchors, len(texts))):
        near = matrix @ matrix[place]
        near[place] = -1.0
        own = np.where(owner == owner[place], near, -1.0)
        other = np.where((owner == owner[place]) | (near >= TWIN), -1.0, near)
        for kept, row, same in ((source.repeats, own, True), (source.others, other, False)):
            if kept:
                found += _pairs(place, _two(row, rng), texts, same=same, intent=known[texts[place]])
    return found


def _two(near: np.ndarray[tuple[int], np.dtype[np.float32]], rng: random.Random) -> list[int]:
    best = [int(other) for other in np.argsort(-near, kind="stable")[:5] if near[other] > -1.0]
    return best[:1] + rng.sample(best[1:], min(1, len(best) - 1)) if best else []


def _pairs(place: int, others: Sequence[int], texts: Sequence[str], *, same: bool, intent: str) -> list[Pair]:
    pairs = [
        Pair(texts[place], texts[other], same, "paraphrase" if same else "neighbour", "" if same else "topic", intent)
        for other in others
    ]
    return [pair for pair in pairs if not (same and _differ(pair))]


def _differ(pair: Pair) -> bool:
    return any(conflict.slot in PRECISE for conflict in conflicts(pair.a, pair.b))
