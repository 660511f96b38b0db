"""The statistics of the audit, against slow twins and against known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cache.evidence import (
    ABOVE,
    BELOW,
    DETECTOR,
    NO_EVIDENCE,
    Floats,
    grown,
    log_evidence,
    lower_bound,
    strength,
    upper_bound,
)

outcomes = st.lists(st.booleans(), max_size=60)
rates = st.floats(0.001, 0.6)


def naive_stake(observations: list[bool], rate: float, bets: Floats) -> float:
    """Each bet plays through all observations by itself."""
    stakes = []
    for bet in bets:
        stake = 1.0
        for wrong in observations:
            stake *= (bet if wrong else 1.0) / (1 + (bet - 1) * rate)
        stakes.append(stake)
    return sum(stakes) / len(stakes)


def naive_detector(observations: list[bool], rate: float) -> float:
    """A new stake of 1 before each observation; all of them together."""
    return sum(naive_stake(observations[start:], rate, DETECTOR) for start in range(len(observations)))


@given(outcomes, rates, st.sampled_from([ABOVE, BELOW]))
def test_evidence_is_what_the_bets_won(observations: list[bool], rate: float, bets: Floats) -> None:
    found = log_evidence(sum(observations), len(observations), rate, bets=bets)
    assert found == pytest.approx(math.log(naive_stake(observations, rate, bets)), abs=1e-9)


@given(outcomes, rates)
def test_the_detector_is_the_sum_of_bets_begun_at_every_moment(observations: list[bool], rate: float) -> None:
    evidence = np.array(NO_EVIDENCE)
    for wrong in observations:
        evidence = grown(evidence, wrong=wrong, rate=rate)
    assert float(strength(evidence)) == pytest.approx(naive_detector(observations, rate), rel=1e-9)


def test_many_detectors_at_once_give_what_each_gives_alone() -> None:
    random = np.random.default_rng(7)
    evidence, wrong, rate = random.random((5, 3)) * 100, random.random(5) < 0.5, random.random(5)
    together = grown(evidence, wrong=wrong, rate=rate)
    for row in range(5):
        assert grown(evidence[row], wrong=wrong[row], rate=rate[row]) == pytest.approx(together[row])


def test_a_fair_bet_gains_nothing_in_the_mean() -> None:
    for bet in (*ABOVE, *BELOW, *DETECTOR):
        won, lost = bet / (1 + (bet - 1) * 0.03), 1 / (1 + (bet - 1) * 0.03)
        assert 0.03 * won + 0.97 * lost == pytest.approx(1.0)


@given(st.integers(0, 30), st.integers(0, 2_000))
def test_bounds_enclose_what_was_seen_and_lie_where_the_evidence_is_just_enough(wrong: int, right: int) -> None:
    total = wrong + right
    low, high = (bound(wrong, total, confidence=0.95) for bound in (lower_bound, upper_bound))
    assert 0 <= low <= (wrong / total if total else 0.5) <= high <= 1
    if high < 0.999:
        assert log_evidence(wrong, total, high, bets=BELOW) == pytest.approx(math.log(20), abs=0.05)


def test_nothing_seen_bounds_nothing_and_more_seen_bounds_more() -> None:
    assert upper_bound(0, 0, confidence=0.95) > 0.99
    assert lower_bound(0, 0, confidence=0.95) < 0.01
    bounds = [upper_bound(0, total, confidence=0.95) for total in (10, 100, 1_000, 10_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert upper_bound(3, 1_000, confidence=0.99) > upper_bound(3, 1_000, confidence=0.9)


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_bounds_hold_at_all_moments_at_once(rate: float) -> None:
    random = np.random.default_rng(11)
    wrongs = (random.random((1_000, 1_500)) < rate).cumsum(axis=1)
    totals = np.broadcast_to(np.arange(1, 1_501), wrongs.shape)
    for bets in (ABOVE, BELOW):
        found = np.asarray(log_evidence(wrongs, totals, np.full(wrongs.shape, rate), bets=bets))
        assert (found >= math.log(20)).any(axis=1).mean() <= 0.05


def test_the_detector_keeps_its_word_at_the_budget_and_sees_a_change() -> None:
    random = np.random.default_rng(12)
    evidence, highest = np.zeros((500, 3)), np.zeros(500)
    for _ in range(1_000):
        evidence = grown(evidence, wrong=random.random(500) < 0.01, rate=np.full(500, 0.01))
        highest = np.maximum(highest, strength(evidence))
    assert (highest >= 20_000).mean() <= 1_000 / 20_000
    for _ in range(200):
        evidence = grown(evidence, wrong=random.random(500) < 0.2, rate=np.full(500, 0.01))
    assert (strength(evidence) >= 100_000).all()


def test_the_detector_never_overflows() -> None:
    evidence = np.zeros(3)
    for _ in range(2_000):
        evidence = grown(evidence, wrong=True, rate=0.001)
    assert np.isfinite(strength(evidence))
