"""Intervals by resampling families: against slow, obvious twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.bootstrap import curve_band, ratio_interval
from benchmarks.lookups import hits_at
from workbench.cache.risk import Lookups

RANDOM = np.random.default_rng(5)
UNIT = np.repeat(np.arange(40), 5)
EVENT = (RANDOM.random(40)[:, None] < np.full(5, 0.3)).ravel()
"""All lookups of a family alike: the independent draws are 40, not 200."""


def naive_interval(part: npt.NDArray[Any], unit: npt.NDArray[Any], *, resamples: int) -> tuple[float, float]:
    random = np.random.default_rng(11)
    families = [part[unit == each] for each in np.unique(unit)]
    means = []
    for _ in range(resamples):
        drawn = [families[place] for place in random.integers(len(families), size=len(families))]
        means.append(np.concatenate(drawn).mean())
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def test_interval_is_that_of_the_naive_twin() -> None:
    found = ratio_interval(EVENT, np.ones(200), unit=UNIT, resamples=4_000)
    assert found == pytest.approx(naive_interval(EVENT, UNIT, resamples=4_000), abs=0.02)


def test_families_are_drawn_whole() -> None:
    together = ratio_interval(EVENT, np.ones(200), unit=UNIT)
    apart = ratio_interval(EVENT, np.ones(200), unit=np.arange(200))
    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def test_no_event_at_all_leaves_the_upper_end_open() -> None:
    nothing, everything = np.zeros(200), np.ones(200)
    assert ratio_interval(nothing, everything, unit=UNIT) == pytest.approx((0.0, 1 - 0.025 ** (1 / 40)))
    assert ratio_interval(everything, everything, unit=UNIT) == pytest.approx((0.025 ** (1 / 40), 1.0))
    assert np.isnan(ratio_interval(nothing, nothing, unit=UNIT)).all()


def test_the_band_holds_the_curve_and_narrows_with_more_families() -> None:
    rates = np.array([0.0, 0.01, 0.05, 0.2])
    widths = []
    for families in (50, 800):
        random = np.random.default_rng(3)
        score = random.normal(size=families * 4)
        score[random.random(len(score)) < 0.2] = -np.inf
        wrong = random.random(len(score)) < 1 / (1 + np.exp(2 * score))
        lookups = Lookups(score, wrong, np.repeat(np.arange(families), 4))
        low, high = curve_band(lookups, rates)
        best = np.array([hits_at(lookups, rate) for rate in rates])
        assert ((low <= best + 1e-9) & (best - 1e-9 <= high)).all()
        widths.append((high - low)[-1])
    assert widths[1] < widths[0] / 2


def test_the_same_seed_gives_the_same_interval() -> None:
    once = ratio_interval(EVENT, np.ones(200), unit=UNIT, seed=3)
    assert once == ratio_interval(EVENT, np.ones(200), unit=UNIT, seed=3)
    assert once != ratio_interval(EVENT, np.ones(200), unit=UNIT, seed=4)
