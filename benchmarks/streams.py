"""Streams: texts in a random order, each looked up among those before it. Every text is stored, served or not."""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.families import Family
from benchmarks.lookups import NEAREST, Query, Vectors
from benchmarks.pairs import LabelledText

BLOCK = 256
OUT_OF_SCOPE = "oos"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text of a stream: only an earlier text of the same `group` may answer it; `unit` is what it belongs to."""

    text: str
    group: str
    unit: str
    kind: str = "stream"
    at_s: float | None = None


def family_stream(families: Sequence[Family], *, seed: int) -> list[Spoken]:
    """All equivalent texts of each family and one of its traps, shuffled: every label is known."""
    rng = random.Random(seed)  # noqa: S311  # reproducible, not secret
    spoken = []
    for family in families:
        spoken += [Spoken(text, family.family, family.family) for text in family.same]
        if family.traps:
            trap = rng.choice(family.traps)
            spoken.append(Spoken(trap.text, f"{family.family}/trap", family.family, "trap"))
    rng.shuffle(spoken)
    return spoken


def intent_stream(path: Path, *, seed: int, count: int | None = None) -> list[Spoken]:
    """The distinct texts of an intents file, gzipped JSON lines of `text` and `intent`, shuffled."""
    with gzip.open(path) as lines:
        rows = {row["text"]: row["intent"] for row in map(orjson.loads, lines)}
    spoken = [Spoken(text, intent, intent) for text, intent in rows.items()]
    random.Random(seed).shuffle(spoken)  # noqa: S311  # reproducible, not secret
    return spoken[:count]


def labelled_stream(texts: Sequence[LabelledText], *, seed: int) -> list[Spoken]:
    """The texts shuffled, and where they have times in the order of these, those without one first.

    As with pairs, what an earlier text's answer serves is a paraphrase, and what none serves a trap.
    """
    order = list(texts)
    random.Random(seed).shuffle(order)  # noqa: S311  # reproducible, not secret
    order.sort(key=lambda each: -math.inf if each.at_s is None else each.at_s)
    spoken, known = [], set[str]()
    for each in order:
        kind = "paraphrase" if each.intent in known else "trap"
        spoken.append(Spoken(each.text, each.intent, each.family, kind, each.at_s))
        known.add(each.intent)
    return spoken


def stream_queries(
    spoken: Sequence[Spoken], vectors: Vectors, *, stored: Sequence[Spoken] | None = None
) -> list[Query]:
    """Each text against those before it; with `stored`, against all of these and no other."""
    matrix = vectors.matrix([each.text for each in spoken])
    among = spoken if stored is None else stored
    there = matrix if stored is None else vectors.matrix([each.text for each in stored])
    found = []
    for start in range(0, len(spoken), BLOCK):
        rows = matrix[start : start + BLOCK] @ there.T
        for place, row in enumerate(rows, start):
            near = row if stored is not None else row[:place]
            best = np.argpartition(-near, min(NEAREST, len(near) - 1))[:NEAREST] if len(near) else np.zeros(0, int)
            best = best[np.argsort(-near[best], kind="stable")]
            found.append(_query(spoken[place], [among[int(other)] for other in best], near[best].tolist()))
    return [query for query in found if query.candidates]


def _query(asked: Spoken, near: Sequence[Spoken], similarities: Sequence[float]) -> Query:
    return Query(
        asked.text,
        asked.kind,
        "",
        asked.unit,
        tuple(each.text for each in near),
        tuple(similarities),
        tuple(each.group == asked.group for each in near),
        asked.at_s,
    )
