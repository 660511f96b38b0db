"""The evidence is the same whichever question comes first, and trees answer as the library that fitted them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.ensemble import GradientBoostingClassifier  # type: ignore[import-untyped]  # it ships no types

from benchmarks.tuning import as_trees
from workbench.cache.features import NUMERIC, feature_names, features
from workbench.cache.guards import conflicts
from workbench.cache.trees import Trees

TEXTS = st.text(st.characters(codec="utf-8"), max_size=80) | st.sampled_from(
    ["How do I sort a list?", "sort 12 lists", "don't sort", "convert A to B", "`x` in Python 3.9", ""]
)


def row(a: str, b: str) -> dict[str, float]:
    found = features(a, b, similarity=0.9, found=conflicts(a, b), weights={"list": 2.0, "sort": 3.0})
    return dict(zip(feature_names(), found, strict=True))


@given(TEXTS, TEXTS)
def test_evidence_is_symmetric_and_finite(a: str, b: str) -> None:
    assert row(a, b) == row(b, a)
    assert all(np.isfinite(value) for value in row(a, b).values())


def test_equal_texts_have_nothing_apart() -> None:
    found = row("How do I sort a list?", "how do i sort a list")

    assert (found["overlap"], found["apart"], found["words_apart"], found["in_order"]) == (1, 0, 0, 1)


def test_rare_words_weigh_more_than_common_ones() -> None:
    assert row("sort a list", "sort a heap")["heaviest"] > row("sort a list", "sort a")["heaviest"] == 2.0


def test_slot_that_differs_is_marked() -> None:
    found = row("Sort 12 lists", "Sort 13 lists")

    assert (found["numbers"], found["negation"], found["conflicts"]) == (1, 0, 1)


def test_reordered_words_are_seen() -> None:
    assert row("dogs chase cats", "cats chase dogs")["in_order"] < 1
    assert row("dogs chase cats", "cats chase dogs")["overlap"] == 1


def test_trees_answer_as_the_library_does() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((600, len(NUMERIC)))
    same = table[:, 0] + 0.3 * table[:, 1] * table[:, 2] + 0.1 * rng.random(600) > 0.7
    model = GradientBoostingClassifier(n_estimators=40, max_depth=3, random_state=0).fit(table, same)

    trees = as_trees(model)

    unseen = rng.random((300, len(NUMERIC))).astype(np.float32).astype(np.float64)
    assert [trees.logit(each.tolist()) for each in unseen] == pytest.approx(
        model.decision_function(unseen).tolist(), abs=1e-3
    )
    assert trees.width <= len(NUMERIC)


@pytest.mark.parametrize("tree", [[], [(0, 0.5, 0, 0)], [(0, 0.5, 1, 9), (-1, 1.0, 0, 0)]])
def test_tree_that_leads_nowhere_is_refused(tree: list[tuple[int, float, int, int]]) -> None:
    with pytest.raises(ValidationError):
        Trees(start=0.0, trees=(tuple(tree),))
