"""Caches on the same questions with the same vectors: what each serves, rightly and wrongly, and how fast it tells."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.children import ROOT
from benchmarks.families import Pair, anchored_pairs, own_families
from benchmarks.figures import Figure
from benchmarks.load import percentile
from benchmarks.lookups import Vectors
from benchmarks.peers.environments import Environment, PeerSkipped
from benchmarks.peers.peer import CachePeer
from benchmarks.peers.processes import group

WORK_LIMIT_S = 900.0
TRAPS_ALLOWED = 0.01
"""The share of traps that the best threshold may serve, chosen by an oracle on these very pairs."""

SEED = 7


@dataclass(frozen=True, slots=True)
class Questions:
    """Pairs that are asked with nothing else stored, and questions that are asked among many, for the time."""

    pairs: list[Pair]
    stored: list[str]
    asked: list[str]
    texts: list[str]
    vectors: npt.NDArray[np.float32]
    """(len(texts), d), unit rows."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a peer's worker said: of each pair whether it was served and its score, and of each timed get its time."""

    version: str
    served: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    get_ms: list[float]
    hits: int
    resident_mib: float


def questions(vectors: Vectors, *, families: int, asked: int) -> Questions:
    """The pairs of this many test families, drawn at random; those to be timed come from the other splits."""
    test = own_families("test")
    chosen = random.Random(SEED).sample(test, min(families, len(test)))  # noqa: S311  # reproducible, not secret
    pairs = [pair for family in chosen for pair in anchored_pairs(family)]
    others = [*own_families("train"), *own_families("calibrate")]
    near = [text for family in others for text in family.near]
    timed = random.Random(SEED).sample(near, min(asked, len(near)))  # noqa: S311  # likewise
    stored = list(dict.fromkeys(family.text for family in others))
    texts = list(dict.fromkeys([*(text for pair in pairs for text in (pair.a, pair.b)), *stored, *timed]))
    vectors.learn(texts, show=True)
    return Questions(pairs, stored, timed, texts, vectors.matrix(texts))


def asked_of(
    peer: CachePeer, environment: Environment, asked: Questions, *, folder: Path, limit_s: float = WORK_LIMIT_S
) -> Told:
    """Let the peer's worker answer; raises `PeerSkipped`."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        options = stack.enter_context(peer.needs(folder))
        _write_job(folder, asked, dict(options))
        command = [str(environment.python), "-m", peer.worker, str(folder)]
        worker = stack.enter_context(group(command, folder=folder, environment={"PYTHONPATH": str(ROOT)}))
        out = worker.wait(limit_s=limit_s)
    return told(out, pairs=len(asked.pairs))


def _write_job(folder: Path, asked: Questions, options: dict[str, str]) -> None:
    job = {
        "pairs": [[pair.a, pair.b] for pair in asked.pairs],
        "stored": asked.stored,
        "asked": asked.asked,
        "texts": asked.texts,
        "options": options,
    }
    (folder / "job.json").write_bytes(orjson.dumps(job))
    (folder / "vectors.f32").write_bytes(asked.vectors.astype(np.float32).tobytes())


def told(out: bytes, *, pairs: int) -> Told:
    """The worker's last line; raises `PeerSkipped` when that is no answer to this many pairs."""
    try:
        said = orjson.loads(out.splitlines()[-1])
        scores = np.array([-math.inf if score is None else score for score in said["scores"]], np.float64)
        served = np.array(said["served"], bool)
        found = Told(said["version"], served, scores, said["get_ms"], said["hits"], said["resident_mib"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise PeerSkipped(f"its worker's last line is no answer ({type(error).__name__})") from None
    if not len(served) == len(scores) == pairs:
        raise PeerSkipped(f"its worker answered {len(served)} of {pairs} pairs")
    return found


def figures(said: Told, pairs: Sequence[Pair]) -> Iterator[Figure]:
    """What it serves at its default threshold and at the best one, and its times."""
    kinds = np.array([pair.kind for pair in pairs])
    best = said.scores > oracle_cut(said.scores, kinds)
    for when, where, served in (("default", "at its default", said.served), ("best", "at the best threshold", best)):
        for kind, about in (("near", "near-repeats"), ("paraphrase", "paraphrases"), ("trap", "traps")):
            chosen = served[kinds == kind]
            share = float(chosen.mean() * 100) if len(chosen) else math.nan
            yield Figure(f"{kind}_{when}", f"{about} served {where}", [share], "%", len(chosen))
    hit = {"hits": float(said.hits)}
    for percent in (50, 95):
        value = percentile(said.get_ms, percent)
        yield Figure(f"get_p{percent}", f"get, p{percent}", [value], "ms", len(said.get_ms), more=hit)
    yield Figure("cache_resident", "resident memory of the cache's process", [said.resident_mib], "MiB", 1)


def oracle_cut(scores: npt.NDArray[np.float64], kinds: npt.NDArray[np.str_]) -> float:
    """The loosest cut, to be exceeded, that `TRAPS_ALLOWED` of the traps pass at most; infinite without traps."""
    traps = scores[kinds == "trap"]
    return float(np.quantile(traps, 1 - TRAPS_ALLOWED, method="higher")) if len(traps) else math.inf
