"""Rates of a cut, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judging import Table, answerable, cut_with, point, rate_table, rates, slot_counts, slot_rates
from benchmarks.lookups import Query
from workbench.cache.risk import Lookups


def query(kind: str, slot: str = "", unit: str = "u") -> Query:
    return Query("q", kind, slot, unit, ("c",), (0.9,), (kind != "trap",))


QUERIES = [
    query("near", unit="one"),
    query("near", unit="two"),
    query("paraphrase", unit="one"),
    query("trap", "numbers", unit="one"),
    query("trap", "numbers", unit="two"),
    query("trap", unit="two"),
]
SCORE = np.array([np.inf, 3.0, 1.0, 2.0, -np.inf, 0.5])
WRONG = np.array([False, True, False, True, False, True])
LOOKUPS = Lookups(SCORE, WRONG, np.array([0, 1, 0, 0, 1, 1]))
"""Above 1.5: a right near-repeat, one answered wrongly, and one trap."""


def test_rates_count_what_lies_above_the_cut() -> None:
    found = rates(QUERIES, LOOKUPS, 1.5)
    assert (found.right.count, found.right.of) == (1, 6)
    assert (found.false.count, found.false.of) == (2, 6)
    assert (found.false_among_hits.count, found.false_among_hits.of) == (2, 3)
    assert (found.near.count, found.near.of) == (1, 2)
    assert (found.paraphrase.count, found.paraphrase.of) == (0, 1)
    assert (found.traps_refused.count, found.traps_refused.of) == (2, 3)


def test_a_cut_that_serves_nothing_has_no_hits_to_be_wrong() -> None:
    found = rates(QUERIES, LOOKUPS, np.inf)
    assert found.right.count == found.false.count == found.false_among_hits.of == 0
    assert str(found.false_among_hits) == "none"
    assert found.told()["false_among_hits"]["rate"] is None
    assert "x_false_among_hits" not in found.measured("x_")
    assert found.measured("x_")["x_false_high"] > 0


def test_traps_are_counted_by_slot() -> None:
    counted = [(each.slot, each.of, each.served) for each in slot_rates(QUERIES, LOOKUPS, 1.5)]
    assert counted == [("not named", 1, 0), ("numbers", 2, 1)]


def test_the_cosine_is_compared_at_as_many_right_hits() -> None:
    cosine = Lookups(np.array([0.7, 0.95, 0.9, 0.99, 0.8, 0.6]), WRONG, LOOKUPS.unit)
    cut = cut_with(cosine, right=point(LOOKUPS, 1.5).right)
    assert point(cosine, cut).right == pytest.approx(1 / 6)
    assert cut == pytest.approx(0.9)
    assert [each.by_cosine for each in slot_counts(QUERIES, LOOKUPS, 1.5, cosine=cosine)] == [0, 1]
    assert cut_with(cosine, right=0.0) == np.inf


def test_traps_are_what_nothing_answers() -> None:
    assert answerable(QUERIES).tolist() == [True, True, True, False, False, False]


def test_a_table_is_shown_as_it_is_printed() -> None:
    table = Table(("a", "b"), (("1", "2"),))
    assert repr(table) == table._repr_markdown_() == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert "| false hits ÷ lookups | 33.3% (" in repr(rate_table(rates(QUERIES, LOOKUPS, 1.5)))
