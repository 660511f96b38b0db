"""Train the verifier: a small cross-encoder that reads two questions at once and says whether one answer serves both.

    python -m benchmarks.train_verifier --out runs/verifier --public FOLDER [--natural] [--layers 4 --teacher FLOAT.pt]

Needs the study extra. It starts from the embedder's own MiniLM and leaves the word embeddings as they are, so that only
the layers are saved, in int8. What it learns from: the project's training families, synthetic traps and rewrites of
them and of public questions whose licences allow it (`natural.SOURCES`), and, if asked, pairs of these as people wrote
them; or what larger verifiers say of all these (`distilling`). How well it does is said on families that it has not
seen; the error budget is calibrated elsewhere, on others still.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer

from benchmarks.compile_embedder import study_module
from benchmarks.cross_encoder import DEFAULTS, Example, Settings, Trainer, as_served, batches, save, turned
from benchmarks.distilling import distilled
from benchmarks.families import Family, Pair, all_pairs, anchored_pairs, divided, own_families
from benchmarks.lookups import Vectors
from benchmarks.natural import SOURCES, natural_pairs, texts_of
from benchmarks.traps.sampling import sample
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder, minilm_source
from workbench.settings import data_folder

TRAIN_SHARE = 0.8
"""Of the training families; on the rest the score is fitted."""

Natural = Callable[[int], list[Pair]]
"""A seed → pairs of public questions as people wrote them."""


def verifier_families() -> tuple[list[Family], list[Family]]:
    """The training families that the verifier learns from, and those that it never sees."""
    learned, unseen = divided(own_families("train"), shares=(TRAIN_SHARE, 1 - TRAIN_SHARE))
    return learned, unseen


def epoch_pairs(
    families: Sequence[Family], texts: Sequence[str], settings: Settings, *, epoch: int, natural: Natural | None = None
) -> list[Pair]:
    """The pairs of one epoch: own families, synthetic ones, neighbours that share only a domain, and natural ones."""
    rng = random.Random(f"{settings.seed}/{epoch}")  # noqa: S311  # reproducible, not secret
    pairs = [pair for family in families for pair in _of_family(family, settings.traps_each, rng)]
    pairs += _neighbours(families, rng)
    seed = rng.randrange(2**31)
    synthetic = sample(texts, count=settings.synthetic, seed=seed) if settings.synthetic else []
    pairs += [Pair(each.a, each.b, each.same, "near" if each.same else "trap", each.slot, "") for each in synthetic]
    pairs += natural(seed) if natural else []
    rng.shuffle(pairs)
    return pairs


def _of_family(family: Family, traps_each: int, rng: random.Random) -> list[Pair]:
    pairs = list(all_pairs(family))
    same, different = [pair for pair in pairs if pair.same], [pair for pair in pairs if not pair.same]
    return same + rng.sample(different, min(traps_each, len(different)))


def _neighbours(families: Sequence[Family], rng: random.Random) -> list[Pair]:
    """Texts of two families of one domain, four a family."""
    by_domain: dict[str, list[Family]] = {}
    for family in families:
        by_domain.setdefault(family.domain, []).append(family)
    pairs = []
    for family in families:
        for other in rng.sample(by_domain[family.domain], min(4, len(by_domain[family.domain]))):
            if other is not family:
                a, b = rng.choice(family.same), rng.choice(other.same)
                pairs.append(Pair(a, b, False, "trap", "topic", family.family))
    return pairs


def public_texts(folder: Path) -> list[str]:
    """The distinct texts of the public files in this folder, but for what is kept for reports."""
    return list(dict.fromkeys(text for source in SOURCES for text in texts_of(folder, source, "learn")))


def natural_of(folder: Path) -> Natural:
    """Pairs of the public files that the verifier may learn from."""
    vectors = Vectors(Embedder(minilm_folder(data_folder() / "embedders")))
    return lambda seed: natural_pairs(folder, vectors, part="learn", seed=seed)


def measure(logits: np.ndarray[Any, Any], pairs: Sequence[Pair]) -> dict[str, float]:
    """AUC, and the share of each kind served where 1 % and 2 % of the traps are."""
    roc_auc_score = study_module("sklearn.metrics").roc_auc_score
    same = np.array([pair.same for pair in pairs])
    kinds = np.array([pair.kind for pair in pairs])
    found = {"auc": float(roc_auc_score(same, logits))}
    for share in (0.01, 0.02):
        cut = np.quantile(logits[~same], 1 - share)
        for kind in ("near", "paraphrase"):
            found[f"{kind}_served_at_{share:.0%}_traps"] = float(np.mean(logits[kinds == kind] > cut))
    return found


def main(
    out: Annotated[Path, typer.Option(help="Where the layers, and what was measured, are written.")],
    public: Annotated[
        Path | None, typer.Option(help="A folder with the public files; without it, own texts only.")
    ] = None,
    natural: Annotated[
        bool, typer.Option(help="Learn also from pairs of the public questions as people wrote them.")
    ] = False,
    start: Annotated[Path | None, typer.Option(help="A float.pt of an earlier run, to go on from.")] = None,
    teachers: Annotated[
        list[Path] | None, typer.Option("--teacher", help="A float.pt to learn from; may be given several times.")
    ] = None,
    layers: Annotated[int, typer.Option(help="How many of the encoder's layers are kept.")] = DEFAULTS.layers,
    epochs: int = DEFAULTS.epochs,
    seed: int = DEFAULTS.seed,
    learning_rate: float = DEFAULTS.learning_rate,
    synthetic: int = DEFAULTS.synthetic,
    traps_each: int = DEFAULTS.traps_each,
) -> None:
    """Train the verifier and save its layers."""
    if natural and not public:
        raise typer.BadParameter("--natural needs --public, the folder with the public files")
    settings = Settings(seed, epochs, learning_rate, synthetic, traps_each, layers)
    learned, unseen = verifier_families()
    texts = [text for family in learned for text in family.same] + (public_texts(public) if public else [])
    more = natural_of(public) if public and natural else None
    trainer = Trainer(settings, source=minilm_source(), start=start)
    if teachers:
        work = distilled(trainer, epoch_pairs(learned, texts, settings, epoch=0, natural=more), learned, teachers)
    else:
        work = [
            either_first(trainer, epoch_pairs(learned, texts, settings, epoch=number, natural=more), number)
            for number in range(epochs)
        ]
    steps = sum(len(batches(examples, random.Random(0))) for examples in work)  # noqa: S311  # only counted
    held_out = [pair for family in unseen for pair in anchored_pairs(family)]
    print(f"{len(learned)} families, {len(work[0])} pairs an epoch, {len(held_out)} held out", file=sys.stderr)
    figures: dict[str, float] = {}
    out.mkdir(parents=True, exist_ok=True)
    for number, loss in enumerate(trainer.train(iter(work), steps=steps)):
        figures = measure(trainer.one_way(as_served(held_out)), held_out)
        print(orjson.dumps({"epoch": number, "loss": round(loss, 4), **figures}).decode(), flush=True)
        save(trainer, out)
    (out / "measured.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def either_first(trainer: Trainer, pairs: Sequence[Pair], epoch: int) -> list[Example]:
    """The pairs to learn their labels, either text first."""
    rng = random.Random(f"{trainer.settings.seed}/turn/{epoch}")  # noqa: S311  # reproducible, not secret
    return trainer.examples([turned(pair) if rng.random() < 0.5 else pair for pair in pairs])


if __name__ == "__main__":
    typer.run(main)
