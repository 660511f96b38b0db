"""A cache is asked what its host wants to know: the same for every peer, in the peer's own process.

The host writes `job.json` (see `Job`) and `vectors.f32` into a folder; the answer is the last line on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol


class Cache(Protocol):
    """A peer's cache, with its own defaults; every text that it meets has its vector already."""

    def clear(self) -> None:
        """Forget everything."""

    def put(self, question: str) -> None:
        """Store an answer, any, to this question."""

    def get(self, question: str) -> bool:
        """Whether anything is served at the peer's default threshold."""

    def score(self, question: str) -> float | None:
        """How sure the peer is of what it would serve at its loosest, on any scale (higher: surer); None: nothing."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked: each pair's second text with its first one stored; then `asked` among `stored`, for the time."""

    folder: Path
    pairs: Sequence[tuple[str, str]]
    stored: Sequence[str]
    asked: Sequence[str]
    vectors: Mapping[str, Sequence[float]]
    options: Mapping[str, str]


def read_job(folder: Path) -> Job:
    """The job that the host wrote."""
    told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    flat = array("f")
    flat.frombytes((folder / "vectors.f32").read_bytes())
    width = len(flat) // max(1, len(told["texts"]))
    vectors = {text: flat[place * width : (place + 1) * width] for place, text in enumerate(told["texts"])}
    return Job(folder, [(a, b) for a, b in told["pairs"]], told["stored"], told["asked"], vectors, told["options"])


def answer(job: Job, cache: Cache, *, package: str = "") -> None:
    """Do the job and tell the host; `package` is whose version is told."""
    served, scores = [], []
    stored = None
    for a, b in job.pairs:
        if a != stored:
            cache.clear()
            cache.put(a)
            stored = a
        served.append(cache.get(b))
        scores.append(cache.score(b))
    get_ms, hits = _timed(job, cache)
    told = {
        "version": version(package) if package else "",
        "served": served,
        "scores": scores,
        "get_ms": get_ms,
        "hits": hits,
        "resident_mib": _resident_mib(),
    }
    print(json.dumps(told), flush=True)


def _timed(job: Job, cache: Cache) -> tuple[list[float], int]:
    """Milliseconds of each get, the first ones left out, and how many of the counted were served."""
    cache.clear()
    for text in job.stored:
        cache.put(text)
    warmup = len(job.asked) // 10
    times_ms, hits = [], 0
    for place, text in enumerate(job.asked):
        begun_s = time.perf_counter()
        is_served = cache.get(text)
        if place >= warmup:
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
            hits += is_served
    return times_ms, hits


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def main(make: Any, *, package: str = "") -> None:
    """The program of a worker: `make` gives the cache for a job; stdout is kept for the answer alone."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    sys.stdout = os.fdopen(answer_to, "w")
    job = read_job(Path(sys.argv[1]))
    answer(job, make(job), package=package)
