"""The embedding judge's cuts: chosen on half of the answers whose labels are known, its errors counted on the others.

    python -m benchmarks.judge_cuts

A judge compares what was served with what a Thinker says now. `benchmarks/data/answers.jsonl` has questions that were
answered three times, and a trap of each with its own answer: what a false hit would be compared with.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.bootstrap import ratio_interval
from benchmarks.families import DATA, Text
from benchmarks.figures import ROOT, this_run
from workbench.cache.embedder import Embedder, EmbeddingService
from workbench.cache.judges import calibrated_cuts
from workbench.cache.model_folder import minilm_folder
from workbench.errors import ConfigurationError
from workbench.proxy.judging import embedding_judge
from workbench.settings import data_folder

ANSWERS = DATA / "answers.jsonl"
RESULTS = ROOT / "benchmarks" / "results" / "judge.json"

ERROR = 0.02
"""Of the answers that choose the cuts: so many of the same ones may be called different, and the other way round."""


class Answered(BaseModel):
    """A question with answers that say the same, and a question that looks alike with the answer to that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text
    question: Text
    asked_again: Text
    answers: Annotated[tuple[Text, ...], Field(min_length=2)]
    """All but the last are to `question`, the last one to `asked_again`."""
    trap: Text
    trap_answer: Text


@dataclass(frozen=True, slots=True)
class Compared:
    """Two answers of one row and their cosine."""

    id: str
    same: bool
    similarity: float


def read_answers(path: Path = ANSWERS) -> list[Answered]:
    """All rows; raises `ConfigurationError` with file and line."""
    rows: list[Answered] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(Answered.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"])) or "the line"
            raise ConfigurationError(f"{path}:{number}: `{field}`: {first['msg']}") from None
    return rows


async def compared(rows: Iterable[Answered], embedder: Embedder) -> list[Compared]:
    """Every two answers of a row, and each against the trap's; what cannot be read is left out."""
    service = EmbeddingService(embedder)
    judge = embedding_judge(service, model=embedder.fingerprint)
    found = []
    try:
        for row in rows:
            pairs = [(one, other, True) for one, other in combinations(row.answers, 2)]
            pairs += [(answer, row.trap_answer, False) for answer in row.answers]
            for one, other, same in pairs:
                similarity = await judge.similarity(one, other)
                if similarity is not None:
                    found.append(Compared(row.id, same, similarity))
    finally:
        await service.close()
    return found


def chooses(name: str) -> bool:
    """Whether this row is one of those that choose the cuts."""
    return hashlib.sha256(name.encode()).digest()[0] < 128


def errors(found: Sequence[Compared], *, same: float, different: float) -> dict[str, Any]:
    """How often a judge with these cuts says what, of each kind, with 95 % intervals over questions."""
    told: dict[str, Any] = {}
    for label, kind in ((True, "same_answers"), (False, "other_answers")):
        rows = [each for each in found if each.same == label]
        values = np.array([each.similarity for each in rows])
        _, unit = np.unique([each.id for each in rows], return_inverse=True)
        said = {
            "called_same": values >= same,
            "called_different": values < different,
            "unsure": (values >= different) & (values < same),
        }
        told[kind] = {"compared": len(rows), "questions": len(np.unique(unit))}
        for name, events in said.items():
            low, high = ratio_interval(events, np.ones(len(rows)), unit=unit)
            told[kind][name] = {"share": round(float(events.mean()), 4), "interval": [round(low, 4), round(high, 4)]}
    return told


def report(found: Sequence[Compared]) -> dict[str, Any]:
    """The cuts that one half of the rows chooses, and their errors on the other half."""
    choosing = [each for each in found if chooses(each.id)]
    judged = [each for each in found if not chooses(each.id)]
    same, different = calibrated_cuts(
        [each.similarity for each in choosing if each.same],
        [each.similarity for each in choosing if not each.same],
        error=ERROR,
    )
    same, different = round(same, 3), round(different, 3)
    return {
        "same": same,
        "different": different,
        "chosen_on": len({each.id for each in choosing}),
        **errors(judged, same=same, different=different),
    }


def main(out: Annotated[Path, typer.Option(help="Where the results are written.")] = RESULTS) -> None:
    """Choose the embedding judge's cuts and count its errors."""
    embedder = Embedder(minilm_folder(data_folder() / "embedders"))
    found = asyncio.run(compared(read_answers(), embedder))
    told = {**this_run(), "embedder": embedder.fingerprint, **report(found)}
    out.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    print(out.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    typer.run(main)
