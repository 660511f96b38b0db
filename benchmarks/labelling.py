"""Recorded questions as pairs that a person labels, and the pairs file that the answers go to.

A recording tells what was asked, not which answer would have served whom. A pair is a question and the nearest earlier
one of its scope, which is what the cache would weigh. Half of those drawn lie nearest to the cut, where labels decide
most, half are drawn from all others: harder than the traffic itself, so that a cut chosen on them is rather too strict.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import orjson

from benchmarks.deciding import Models, standing_policy
from benchmarks.lookups import TWIN, Query, Vectors, final_cut, last_stage, scored
from benchmarks.pairs import PAIRS
from benchmarks.recorded_traffic import Traffic, read_traffic
from benchmarks.rows import JSON_LINES, read_rows
from benchmarks.sliding import is_live
from benchmarks.streams import Spoken, stream_queries
from workbench.cache.admission import first_reason
from workbench.cache.policy import Policy
from workbench.errors import ConfigurationError
from workbench.proxy.recording_file import Recorded
from workbench.settings import data_folder

DRAWN = 200
"""How many pairs at once; whoever wants more draws again."""

NEAR_SHARE = 0.5
"""How many of these lie nearest to the cut."""

ANSWERS = "labelled.jsonl"

Says = Literal["same", "different", "skip"]


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A question `b` and the nearest earlier one `a`, in whose place it may be answered; `at_s` when `b` was asked."""

    a: str
    b: str
    similarity: float
    family: str
    at_s: float


class AnswerFile:
    """A pairs file of JSON lines that grows by an answer at a time; raises `ConfigurationError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix.lower() not in JSON_LINES:
            raise ConfigurationError(f"answers are appended to JSON lines: {path} should end in .jsonl")
        rows = read_rows(path, columns=PAIRS) if path.exists() else ()
        self._known = {_key(row.text("a"), row.text("b")) for row in rows}

    def __len__(self) -> int:
        return len(self._known)

    def holds(self, pair: Unlabelled) -> bool:
        """Whether these two texts have an answer, in either order."""
        return _key(pair.a, pair.b) in self._known

    def add(self, pair: Unlabelled, *, same: bool) -> None:
        """Write the answer down at once."""
        time = datetime.fromtimestamp(pair.at_s, UTC).isoformat()
        row = {"a": pair.a, "b": pair.b, "same": same, "family": pair.family, "time": time}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    file.write(b"" if file.read() == b"\n" else b"\n")  # whatever was cut off stays a line of its own
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise ConfigurationError(f"cannot write the answer to {self.path}: {error.strerror}; check it") from None
        self._known.add(_key(pair.a, pair.b))


@dataclass(slots=True)
class Labelling:
    """Pairs in the order in which they are asked, and where the answers go; `place` is that of the next one."""

    pairs: list[Unlabelled]
    file: AnswerFile
    about: str
    place: int = 0

    @property
    def current(self) -> Unlabelled | None:
        """The pair to answer; None when all were."""
        return self.pairs[self.place] if self.place < len(self.pairs) else None

    def answer(self, says: Says) -> None:
        """Write down what was said of the current pair and go on; what is skipped is drawn again another time."""
        assert self.current  # who answers has seen it
        if says != "skip":
            self.file.add(self.current, same=says == "same")
        self.place += 1

    def __str__(self) -> str:
        return f"{self.about}\n{len(self.file):,} answers in {self.file.path}; {len(self.pairs):,} pairs to answer now"


@dataclass(frozen=True, slots=True)
class NoRecording:
    """Nobody named a recording."""

    def __str__(self) -> str:
        return "no recording is named: nothing to label"


def open_labelling(
    recording: str, answers: str, models: Models, *, base: str = "", seed: int = 0
) -> Labelling | NoRecording:
    """Pairs of this recording (or folder of them) that the file `answers` has no answer for.

    Without a name, answers go to the user's data folder. `base` is the policy whose cut counts, the one that ships
    when empty. Raises `ConfigurationError`, also where the recording holds no words.
    """
    if not recording:
        return NoRecording()
    file = AnswerFile(Path(answers) if answers else data_folder() / ANSWERS)
    traffic, policy = read_traffic(Path(recording)), standing_policy(models, base)
    found = [pair for pair in candidate_pairs(traffic, models.vectors) if not file.holds(pair)]
    return Labelling(draw(found, policy, models, seed=seed), file, str(traffic))


# ── which pairs there are ───────────────────────────────────────────────────────────────────────────────────


def candidate_pairs(traffic: Traffic, vectors: Vectors) -> list[Unlabelled]:
    """Each question that is new in its scope, with the nearest one before it; no two texts twice.

    Raises `ConfigurationError` where there is no question with its words.
    """
    scopes = _questions(traffic)
    vectors.learn((text for scope in scopes for text in scope), show=is_live())
    found: dict[tuple[str, str], Unlabelled] = {}
    for scope in scopes:
        for pair in _nearest(scope, vectors):
            found.setdefault(_key(pair.a, pair.b), pair)
    return list(found.values())


def _questions(traffic: Traffic) -> list[dict[str, float]]:
    """By tenant and scope: the texts that may be matched by meaning, in order, with when each was asked first."""
    scopes: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for exchange in traffic.exchanges:
        if text := _text(exchange):
            scopes[exchange.tenant, exchange.scope].setdefault(text, exchange.at_s)
    if not scopes:
        hidden = sum(each.is_eligible and each.text is None for each in traffic.exchanges)
        told = f"{hidden:,} of them were recorded without their words" if hidden else "none may be matched by meaning"
        raise ConfigurationError(
            f"there is nothing to label in {len(traffic.exchanges):,} recorded exchanges: {told}; record questions of "
            "your own with WORKBENCH_RECORD_PROMPTS=keep"
        )
    return list(scopes.values())


def _text(exchange: Recorded) -> str:
    """The question as a pairs file may hold it; empty where there is none, or admission lets nobody match it."""
    text = (exchange.text or "").strip() if exchange.is_eligible else ""
    return "" if "\0" in text or first_reason(text) else text


def _nearest(scope: dict[str, float], vectors: Vectors) -> Iterator[Unlabelled]:
    """Questions that follow each other at a similarity of a twin's or more are one family, named by its first."""
    whole = np.any(vectors.matrix(list(scope)), axis=1).tolist()  # a text that is too long has no vector
    spoken = [
        Spoken(text, "", "", at_s=at_s) for (text, at_s), is_whole in zip(scope.items(), whole, strict=True) if is_whole
    ]
    families = {spoken[0].text: _name(spoken[0].text)} if spoken else {}
    for query in stream_queries(spoken, vectors) if spoken else ():
        near, similarity = query.candidates[0], query.similarities[0]
        families[query.text] = families[near] if similarity >= TWIN else _name(query.text)
        yield Unlabelled(near, query.text, similarity, families[query.text], scope[query.text])


# ── which of them are asked ─────────────────────────────────────────────────────────────────────────────────


def draw(
    pairs: Sequence[Unlabelled], policy: Policy, models: Models, *, count: int = DRAWN, seed: int = 0
) -> list[Unlabelled]:
    """So many of them, or all: a share nearest to the cut, the others at random, in an order that tells nothing."""
    queries = [Query(each.b, "", "", each.family, (each.a,), (each.similarity,), (False,)) for each in pairs]
    score = scored(queries, policy, stage=last_stage(policy), ask=models.ask).score
    distance = np.abs(score - final_cut(policy))
    order = np.argsort(distance, kind="stable")
    near = order[: min(round(count * NEAR_SHARE), int(np.isfinite(distance).sum()))]
    rng = np.random.default_rng(seed)
    others = rng.permutation(order[len(near) :])[: count - len(near)]
    return [pairs[int(place)] for place in rng.permutation(np.concatenate([near, others]))]


def _key(a: str, b: str) -> tuple[str, str]:
    return (min(a, b), max(a, b))


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
