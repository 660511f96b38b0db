"""Teach a small verifier what larger ones say: of labelled pairs, and of pairs that nobody has labelled.

Several teachers know more than each of them, and what they say of two traps of one family is a label that costs
nothing. Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.cross_encoder import DEFAULTS, SMOOTHING, Example, Settings, Trainer, as_served
from benchmarks.families import Family, Pair
from workbench.cache.model_folder import minilm_source
from workbench.cache.risk import Floats

TEACHERS_SHARE = 0.7
"""Of what is learned about a labelled pair; the rest is its label."""


def distilled(
    trainer: Trainer, labelled: Sequence[Pair], families: Sequence[Family], teachers: Sequence[Path]
) -> list[list[Example]]:
    """The same examples for every epoch of `trainer`, each pair in the order in which it is served.

    `families` give the pairs that nobody has labelled; `teachers` are float.pt files of whole encoders.
    """
    unlabelled = [pair for family in families for pair in trap_pairs(family)]
    known, new = as_served(labelled), as_served(unlabelled)
    said = taught(trainer.settings, [*known, *new], teachers)
    labels = np.array([pair.same for pair in known], np.float64) * (1 - 2 * SMOOTHING) + SMOOTHING
    mixed = TEACHERS_SHARE * said[: len(known)] + (1 - TEACHERS_SHARE) * labels
    examples = trainer.examples([*known, *new], [*mixed.tolist(), *said[len(known) :].tolist()])
    return [examples] * trainer.settings.epochs


def trap_pairs(family: Family) -> list[Pair]:
    """The pairs of this family's traps; `same` means nothing in them."""
    texts = [trap.text for trap in family.traps]
    return [Pair(one, other, False, "trap", "", family.family) for one, other in combinations(texts, 2)]


def taught(settings: Settings, pairs: Sequence[Pair], teachers: Sequence[Path]) -> Floats:
    """(n,) float64: the probability by the mean of the teachers' logits."""
    total = np.zeros(len(pairs))
    for number, file in enumerate(teachers, 1):
        print(f"  teacher {number} of {len(teachers)} reads {len(pairs):,} pairs", file=sys.stderr)
        teacher = Trainer(replace(settings, layers=DEFAULTS.layers), source=minilm_source(), start=file)
        total += teacher.one_way(pairs)
    return 1 / (1 + np.exp(-total / len(teachers)))
