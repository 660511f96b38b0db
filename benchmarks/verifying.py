"""What notebook 00 does: train a verifier, compare it with its int8 form, and say how good it is on unseen families."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.compile_embedder import study_module
from benchmarks.cross_encoder import Settings, Trainer, as_served, batches, save
from benchmarks.families import Family, Pair, anchored_pairs
from benchmarks.figures import ROOT, this_run
from benchmarks.judging import Table
from benchmarks.train_verifier import either_first, epoch_pairs, measure, public_texts, verifier_families
from workbench.cache.model_folder import minilm_source
from workbench.cache.risk import Floats
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import VERIFIER_FILE, verifier_folder
from workbench.errors import ConfigurationError

LEAST_CORRELATION = 0.95
"""Between the logits of the int8 folder and those of the model that it was made of."""


@dataclass(frozen=True, slots=True)
class Material:
    """The families to learn from and those that are never seen, and texts for synthetic pairs."""

    learned: list[Family]
    unseen: list[Family]
    texts: list[str]

    @property
    def held_out(self) -> list[Pair]:
        """Each text of an unseen family against its first one."""
        return [pair for family in self.unseen for pair in anchored_pairs(family)]

    def __str__(self) -> str:
        return (
            f"{len(self.learned):,} families to learn from, {len(self.unseen):,} unseen ones with "
            f"{len(self.held_out):,} pairs, {len(self.texts):,} texts for synthetic pairs"
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """The model, the mean loss of each epoch, and its logits for the pairs held out, each pair in one fixed order."""

    trainer: Trainer
    losses: list[float]
    logits: Floats


def needs_torch() -> None:
    """Raises `ConfigurationError`, with what to do, in an environment that cannot train."""
    for name in ("torch", "transformers", "sklearn"):
        try:
            study_module(name)
        except ConfigurationError:
            raise ConfigurationError(
                f"this kernel has no {name}: training needs the study extra, `make notebooks` installs it "
                "(or `pip install -c constraints.txt '.[study]'`), then choose that environment's kernel"
            ) from None


def material(*, families: int = 0, public: str = "") -> Material:
    """So many families of each part, spread over all (0: all of them), and the public texts in this folder if any."""
    learned, unseen = (_spread(part, families) for part in verifier_families())
    texts = [text for family in learned for text in family.same]
    return Material(learned, unseen, texts + (public_texts(Path(public)) if public else []))


def _spread(families: Sequence[Family], limit: int) -> list[Family]:
    step = max(1, len(families) // limit) if limit else 1
    return list(families[::step])[: limit or None]


def train(material: Material, settings: Settings) -> Trained:
    """Learn for all epochs; progress goes to stderr."""
    said = study_module("transformers").logging
    said.set_verbosity_error()  # it reports that the pooler, which nobody wants, stays unused
    said.disable_progress_bar()
    trainer = Trainer(settings, source=minilm_source())
    epochs = [
        either_first(trainer, epoch_pairs(material.learned, material.texts, settings, epoch=number), number)
        for number in range(settings.epochs)
    ]
    steps = sum(len(batches(examples, random.Random(0))) for examples in epochs)  # noqa: S311  # only counted
    losses = list(trainer.train(iter(epochs), steps=steps))
    return Trained(trainer, losses, _logits(trainer, material.held_out))


def _logits(trainer: Trainer, pairs: Sequence[Pair]) -> Floats:
    return np.asarray(trainer.one_way(as_served(pairs)), np.float64)


def write_layers(trained: Trained, output: str = "") -> Path:
    """Write verifier.safetensors into this folder, `runs/00_train_verifier` when empty; gives the folder."""
    folder = Path(output) if output else ROOT / "runs" / "00_train_verifier"
    folder.mkdir(parents=True, exist_ok=True)
    save(trained.trainer, folder)
    return folder


def served_logits(folder: Path, pairs: Sequence[Pair]) -> Floats:
    """(n,) float64: what the int8 model folder, built of the layers in `folder`, says; NaN where it cannot read."""
    verifier = Verifier(verifier_folder(folder, layers=folder / VERIFIER_FILE))
    return np.array([np.nan if (logit := verifier.logit(pair.a, pair.b)) is None else logit for pair in pairs])


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's, over the pairs that both could read."""
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[both], other[both])[0, 1])


def figures(logits: Floats, pairs: Sequence[Pair]) -> dict[str, float]:
    """AUC, and the shares of each kind served where 1 % and 2 % of the traps are."""
    readable = np.isfinite(logits)
    kept = [pair for pair, fine in zip(pairs, readable, strict=True) if fine]
    return {name: round(value, 4) for name, value in measure(logits[readable], kept).items()}


def figure_table(columns: dict[str, dict[str, float]]) -> Table:
    """One row a figure, one column a model."""
    names = list(next(iter(columns.values())))
    rows = [(name.replace("_", " "), *(f"{column[name]:.3f}" for column in columns.values())) for name in names]
    return Table(("on unseen families", *columns), tuple(rows))


def write_verdict(folder: Path, *, losses: Sequence[float], correlation: float, measured: dict[str, float]) -> None:
    """Write verdict.json beside the layers."""
    told = {"losses": [round(loss, 4) for loss in losses], "int8_correlation": round(correlation, 5)}
    (folder / "verdict.json").write_bytes(
        orjson.dumps(told | {"measured": measured} | this_run(), option=orjson.OPT_INDENT_2) + b"\n"
    )
