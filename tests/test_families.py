"""The project's own questions: whole, in one split each, and the test split as it was first used."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.families import (
    DATA,
    Family,
    Split,
    all_pairs,
    anchored_pairs,
    content_hash,
    divided,
    own_families,
    read_families,
)
from benchmarks.traps.variants import fold
from workbench.errors import ConfigurationError

FROZEN = "6f05ad8c02e8ade9"
SMALL = Family.model_validate(
    {
        "family": "f",
        "domain": "d",
        "text": "Sort a list",
        "near": ["sort a list"],
        "paraphrases": ["Put a list in order"],
        "traps": [{"text": "Sort a heap", "slot": "object", "why": "another thing"}],
    }
)


def test_test_split_is_as_it_was_first_used() -> None:
    assert content_hash((DATA / "test").glob("*.jsonl")) == FROZEN


def test_splits_are_large_enough_and_share_no_family() -> None:
    splits = {split: own_families(split) for split in ("train", "calibrate", "test")}
    names = Counter(family.family for families in splits.values() for family in families)

    assert max(names.values()) == 1
    assert len(splits["calibrate"]) >= 600
    assert sum(len(list(anchored_pairs(family))) for family in splits["test"]) >= 600
    pairs = [pair for families in splits.values() for family in families for pair in anchored_pairs(family)]
    assert len(pairs) >= 2_500


@pytest.mark.parametrize("split", ["train", "calibrate", "test"])
def test_no_text_is_both_the_same_and_a_trap(split: Split) -> None:
    for family in own_families(split):
        same = {" ".join(text.split()) for text in family.same}
        assert len(same) == len(family.same), family.family
        assert not same & {" ".join(trap.text.split()) for trap in family.traps}, family.family


def test_every_slot_has_traps_in_every_split() -> None:
    for split in ("train", "calibrate", "test"):
        slots = Counter(trap.slot for family in own_families(split) for trap in family.traps)
        assert len(slots) == 29
        assert min(slots.values()) >= 8


def test_pairs_of_a_family_are_labelled() -> None:
    anchored, every = list(anchored_pairs(SMALL)), list(all_pairs(SMALL))

    assert [(pair.b, pair.same, pair.kind, pair.slot) for pair in anchored] == [
        ("sort a list", True, "near", ""),
        ("Put a list in order", True, "paraphrase", ""),
        ("Sort a heap", False, "trap", "object"),
    ]
    assert Counter(pair.kind for pair in every) == {"near": 1, "paraphrase": 2, "trap": 3}


def test_division_moves_nobody_when_families_are_added() -> None:
    families = own_families("train")

    first, second = divided(families, shares=(0.8, 0.2))
    few, _ = divided(families[:100], shares=(0.8, 0.2))

    assert len(first) + len(second) == len(families)
    assert 0.7 < len(first) / len(families) < 0.9
    assert {each.family for each in few} == {each.family for each in first} & {each.family for each in families[:100]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"x.jsonl:2: `the line`"),
        ('{"family":"g"}', r"x.jsonl:2: `domain`"),
        (SMALL.model_dump_json().replace('"Sort a heap"', '""'), r"x.jsonl:2: `traps.0.text`"),
        (SMALL.model_dump_json(), r"x.jsonl:2: the family 'f' stands twice"),
    ],
)
def test_file_that_makes_no_sense_is_refused_with_the_place(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"{SMALL.model_dump_json()}\n{line}\n")

    with pytest.raises(ConfigurationError, match=message):
        read_families([path])


def test_texts_differ_by_more_than_case_in_almost_all_traps() -> None:
    """Some traps differ in case or punctuation only, on purpose; were they many, the guards alone would be measured."""
    differ = [
        fold(trap.text) not in {fold(text) for text in family.same}
        for split in ("train", "calibrate", "test")
        for family in own_families(split)
        for trap in family.traps
    ]

    assert sum(differ) >= 0.99 * len(differ)
