"""A split by time: the earlier lookups choose the cut, the later ones judge it, and no family is in both."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks import drift
from benchmarks.drift import Drift, Unchecked
from benchmarks.judging import rate_table
from benchmarks.labels import Labels, units
from benchmarks.lookups import Query
from benchmarks.splitting import Periods, by_time
from workbench.cache.features import feature_names
from workbench.cache.guards import GUARDS_VERSION
from workbench.cache.policy import POLICY_VERSION, Policy, Score
from workbench.cache.trees import LEAF, Trees

ALPHA = 0.1
DAY_S = 86_400.0
START_S = 1_770_000_000.0
STEPS = tuple(place / 20 for place in range(1, 20))


@pytest.fixture
def policy() -> Policy:
    """A policy whose score grows with the cosine, the feature of place 0, in steps."""
    stumps = tuple(((0, step, 1, 2), (LEAF, -1.0, 0, 0), (LEAF, 1.0, 0, 0)) for step in STEPS)
    return Policy(
        version=POLICY_VERSION,
        embedder="none",
        fingerprint="none",
        gate=0.0,
        guards=GUARDS_VERSION,
        vetoes=(),
        score=Score(features=feature_names(), weights={}, trees=Trees(start=0.0, trees=stumps), cut=0.0),
        alpha=ALPHA,
    )


def lookup(day: float | None, *, similarity: float, right: bool, unit: str) -> Query:
    at_s = None if day is None else START_S + day * DAY_S
    kind = "paraphrase" if right else "trap"
    return Query("How do I sort it?", kind, "", unit, ("Ways to sort this",), (similarity,), (right,), at_s)


def labels(queries: list[Query]) -> Labels:
    """Dealt out to the two parts as they come."""
    return Labels("made", queries[::2], queries[1::2], 1, "hash", "made", by_time(queries, family))


def family(query: Query) -> str:
    return query.unit


def traffic(*, days: int = 400, wrong_below: tuple[float, float] = (0.5, 0.5)) -> list[Query]:
    """One lookup a day, wrong where the cosine is below the first number, from the middle on below the second."""
    rng = random.Random(0)  # noqa: S311  # reproducible, not secret
    similarities = [rng.random() for _ in range(days)]
    found = [
        lookup(day, similarity=similarity, right=similarity >= wrong_below[day >= days / 2], unit=f"f{day}")
        for day, similarity in enumerate(similarities)
    ]
    rng.shuffle(found)
    return found


def test_a_cut_of_the_past_keeps_the_budget_while_nothing_changes(policy: Policy) -> None:
    found = drift.check(policy, labels(traffic()), ask=None)
    assert isinstance(found, Drift), found
    assert found.kept
    assert (len(found.periods.earlier), len(found.periods.later)) == (200, 200)
    assert found.rates.right.count > 60
    assert "the budget of 10.00% is kept" in str(found)
    told = found.told()
    assert told["boundary"] == drift.moment(START_S + 200 * DAY_S)
    assert told["budget_kept"] is True
    assert told["rates"]["false"]["of"] == told["later"]["lookups"] == 200


def test_a_change_of_what_is_right_breaks_it_and_is_told(policy: Policy) -> None:
    found = drift.check(policy, labels(traffic(wrong_below=(0.3, 0.9))), ask=None)
    assert isinstance(found, Drift), found
    assert not found.kept
    assert found.rates.false.low > ALPHA
    assert "is NOT kept: choose the cut again" in str(found)


def test_what_is_later_chooses_nothing(policy: Policy) -> None:
    one, other = (drift.check(policy, labels(traffic(wrong_below=(0.5, late))), ask=None) for late in (0.5, 0.9))
    assert isinstance(one, Drift)
    assert isinstance(other, Drift)
    assert one.cut == other.cut
    assert one.rates.told() != other.rates.told()


def test_both_splits_stand_side_by_side_in_the_table(policy: Policy) -> None:
    found = drift.check(policy, labels(traffic()), ask=None)
    assert isinstance(found, Drift)
    table = rate_table(found.rates, found.rates)
    assert table.header[3:] == ("split by time, the later part", "lookups")
    assert {len(row) for row in table.rows} == {5}
    assert {len(row) for row in rate_table(found.rates, Unchecked("").rates).rows} == {3}


def test_a_family_on_both_sides_chooses_or_is_judged_and_never_both() -> None:
    queries = [
        lookup(day, similarity=0.5, right=True, unit=f"f{family}") for family in range(40) for day in (1, 2, 11, 12)
    ]
    found = by_time(queries, family)
    assert isinstance(found, Periods)
    assert found.boundary_s == START_S + 11 * DAY_S
    assert units(found.earlier).isdisjoint(units(found.later))
    assert units(found.earlier) | units(found.later) == units(queries)
    assert all(query.at_s and query.at_s < found.boundary_s for query in found.earlier)
    assert all(query.at_s and query.at_s >= found.boundary_s for query in found.later)
    assert found.on_both_sides == 80


def test_lookups_of_one_time_stay_together() -> None:
    days = [1, 1, 1, 1, 1, 1, 1, 2, 3, 3]
    found = by_time([lookup(day, similarity=0.5, right=True, unit=str(n)) for n, day in enumerate(days)], family)
    assert isinstance(found, Periods)
    assert (len(found.earlier), len(found.later)) == (7, 3)


@pytest.mark.parametrize(
    ("queries", "why"),
    [
        ([replace(query, at_s=None) for query in traffic()], "these labels carry no time"),
        ([replace(query, at_s=START_S) for query in traffic()], "all 400 labels with a time have the same one"),
        (traffic(wrong_below=(0.0, 0.5)), "the earlier part (200 lookups) has lookups of one class only"),
        (traffic(wrong_below=(0.5, 0.0)), "the later part (200 lookups) has lookups of one class only"),
        (traffic(days=20), "the earlier lookups choose no cut: 10 independent families"),
    ],
    ids=["no times", "one time", "nothing wrong earlier", "nothing wrong later", "few"],
)
def test_where_nothing_can_be_checked_it_says_why(policy: Policy, queries: list[Query], why: str) -> None:
    found = drift.check(policy, labels(queries), ask=None)
    assert isinstance(found, Unchecked), found
    assert str(found).startswith(f"drift was not checked: {why}")
    assert found.told() == {"checked": False, "why": found.why}
    assert found.rates is None


def test_lookups_without_a_time_take_no_part_and_are_counted(policy: Policy) -> None:
    more = [lookup(None, similarity=0.9, right=False, unit=f"u{place}") for place in range(50)]
    found, without = (drift.check(policy, labels(traffic() + some), ask=None) for some in (more, []))
    assert isinstance(found, Drift)
    assert isinstance(without, Drift)
    assert found.periods.untimed == 50
    assert found.rates.told() == without.rates.told()
    assert "left out: 50 labels without a time, 0 of families on both sides" in str(found)
