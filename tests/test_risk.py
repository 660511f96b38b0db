"""Cuts keep their budget: against truth by simulation, and against slow, obvious twins."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.cache.risk import Lookups, crc_cut, p_value, rcps_cut, units_needed
from workbench.errors import ConfigurationError

ALPHA = 0.05


def drawn(rng: np.random.Generator, *, families: int, each: int = 4) -> Lookups:
    """Scores in [0, 1]; a lookup with score s is wrong with probability (1 - s) / 2, alike within a family."""
    luck = rng.random((families, 1)) * 0.5 + rng.random((families, each)) * 0.5
    score = rng.random((families, each))
    unit = np.repeat(np.arange(families), each)
    return Lookups(score.ravel(), (luck < (1 - score) / 2).ravel(), unit)


def naive_losses(lookups: Lookups, cut: float) -> list[float]:
    losses = []
    for unit in sorted(set(lookups.unit.tolist())):
        rows = [place for place in range(len(lookups.unit)) if lookups.unit[place] == unit]
        losses.append(sum(bool(lookups.wrong[row] and lookups.score[row] > cut) for row in rows) / len(rows))
    return losses


def test_losses_are_false_hits_by_lookups_of_a_unit() -> None:
    lookups = drawn(np.random.default_rng(0), families=40)

    for cut in (-1.0, 0.3, 0.9, 2.0):
        assert lookups.losses(cut).tolist() == pytest.approx(naive_losses(lookups, cut))
        assert lookups.false_hit_rate(cut) == pytest.approx(float(np.mean(naive_losses(lookups, cut))))


def test_units_needed_is_where_no_error_at_all_just_suffices() -> None:
    for alpha in (0.01, 0.02, 0.1):
        needed = units_needed(alpha)

        assert p_value(np.zeros(needed), alpha) <= 0.05 < p_value(np.zeros(needed - 1), alpha)
    assert units_needed(0.01) == 308


def test_hypothesis_that_is_true_is_rejected_in_at_most_one_of_twenty_runs() -> None:
    rng = np.random.default_rng(1)
    runs = [p_value((rng.random((400, 4)) < ALPHA).mean(axis=1), ALPHA) <= 0.05 for _ in range(400)]

    assert np.mean(runs) <= 0.08  # 0.05, and what 400 runs may be off


def test_risk_at_the_cut_is_within_the_budget_in_nineteen_of_twenty_runs() -> None:
    rng = np.random.default_rng(2)
    truth = drawn(rng, families=200_000)
    kept = []
    for _ in range(120):
        cut = rcps_cut(drawn(rng, families=500), ALPHA)
        kept.append(truth.false_hit_rate(cut) <= ALPHA)

    assert np.mean(kept) >= 0.92


def test_cut_is_not_stricter_than_it_must_be() -> None:
    rng = np.random.default_rng(3)
    truth = drawn(rng, families=200_000)

    cut = rcps_cut(drawn(rng, families=4000), ALPHA)

    assert truth.false_hit_rate(cut) > 0.7 * ALPHA


def test_expected_risk_cut_is_looser_than_the_confident_one() -> None:
    lookups = drawn(np.random.default_rng(4), families=600)

    assert crc_cut(lookups, ALPHA) < rcps_cut(lookups, ALPHA)


def test_expected_risk_cut_is_the_formula_of_its_paper() -> None:
    lookups = drawn(np.random.default_rng(5), families=80, each=1)
    n = lookups.units

    cut = crc_cut(lookups, ALPHA)

    grid = np.linspace(-0.5, 1.5, 4001)
    holds = [n / (n + 1) * lookups.false_hit_rate(each) + 1 / (n + 1) <= ALPHA for each in grid]
    assert cut == pytest.approx(grid[int(np.argmax(holds))], abs=1e-3)


def test_too_few_families_are_refused_with_how_many_it_takes() -> None:
    few = drawn(np.random.default_rng(6), families=307)

    with pytest.raises(ConfigurationError, match=r"307 independent families.*at least 308"):
        rcps_cut(few, 0.01)


def test_when_even_the_surest_are_wrong_nothing_is_served() -> None:
    lookups = Lookups(np.ones(400), np.ones(400, bool), np.arange(400))

    assert lookups.hit_rate(rcps_cut(lookups, 0.01)) == 0.0


def test_when_nothing_is_wrong_everything_is_served() -> None:
    lookups = Lookups(np.linspace(0, 1, 400), np.zeros(400, bool), np.arange(400))

    assert lookups.hit_rate(rcps_cut(lookups, 0.01)) == 1.0


def test_what_cannot_be_served_is_no_hit() -> None:
    lookups = Lookups(np.array([-np.inf, 0.5]), np.array([True, False]), np.array([0, 1]))

    assert (lookups.hit_rate(-100.0), lookups.false_hit_rate(-100.0)) == (0.5, 0.0)
