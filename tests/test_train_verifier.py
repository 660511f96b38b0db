"""What the verifier learns from: balanced, reproducible, and never what it is judged on."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np

from benchmarks.cross_encoder import DEFAULTS, Example, Settings, as_served, batches, turned
from benchmarks.distilling import trap_pairs
from benchmarks.families import all_pairs, own_families
from benchmarks.train_verifier import epoch_pairs, measure, verifier_families

SMALL = Settings(seed=1, epochs=1, learning_rate=1e-4, synthetic=200, traps_each=5)


def test_learned_and_unseen_families_are_apart_and_none_is_of_another_split() -> None:
    learned, unseen = verifier_families()
    names = {family.family for family in learned}

    assert not names & {family.family for family in unseen}
    for split in ("calibrate", "test"):
        assert not names & {family.family for family in own_families(split)}


def test_epoch_holds_own_pairs_neighbours_and_synthetic_ones() -> None:
    learned, _ = verifier_families()
    texts = [text for family in learned[:30] for text in family.same]

    pairs = epoch_pairs(learned[:30], texts, SMALL, epoch=0)

    counts = Counter("own" if pair.family and pair.slot != "topic" else pair.slot == "topic" for pair in pairs)
    same = sum(sum(pair.same for pair in all_pairs(family)) for family in learned[:30])
    assert counts["own"] == same + 5 * 30
    assert sum(not pair.family for pair in pairs) == 200
    assert 0.3 < np.mean([pair.same for pair in pairs]) < 0.8
    assert pairs == epoch_pairs(learned[:30], texts, SMALL, epoch=0)
    assert pairs != epoch_pairs(learned[:30], texts, SMALL, epoch=1)


def test_batches_hold_every_example_once_and_pairs_of_like_length() -> None:
    rng = random.Random(0)  # noqa: S311  # reproducible, not secret
    examples = [Example([0] * rng.randrange(5, 90), [], rng.random()) for _ in range(1000)]

    found = batches(examples, rng)

    assert sorted(map(id, examples)) == sorted(id(each) for batch in found for each in batch)
    padded = sum(len(batch) * max(len(each.ids) for each in batch) for batch in found)
    assert padded < 1.1 * sum(len(each.ids) for each in examples)


def test_unlabelled_pairs_are_of_traps_of_one_family() -> None:
    family = own_families("train")[0]
    traps = {trap.text for trap in family.traps}

    pairs = [{pair.a, pair.b} for pair in trap_pairs(family)]

    assert len(pairs) == len(traps) * (len(traps) - 1) // 2
    assert all(len(pair) == 2 and pair <= traps for pair in pairs)


def test_pairs_are_read_in_the_order_in_which_they_are_served() -> None:
    pairs = [pair for family in own_families("train")[:20] for pair in all_pairs(family)]

    served = as_served(pairs)

    assert any(pair.a > pair.b for pair in pairs)
    assert all(pair.a <= pair.b for pair in served)
    assert [{pair.a, pair.b} for pair in served] == [{pair.a, pair.b} for pair in pairs]
    assert [turned(turned(pair)) for pair in pairs] == pairs


def test_measure_counts_what_the_cut_serves() -> None:
    pairs = [pair for family in own_families("calibrate")[:50] for pair in all_pairs(family)]
    perfect = np.array([float(pair.same) for pair in pairs])

    found = measure(perfect, pairs)

    assert (found["auc"], found["near_served_at_1%_traps"], found["paraphrase_served_at_2%_traps"]) == (1.0, 1.0, 1.0)
    assert DEFAULTS.epochs == 3
