"""Intervals by resampling families, the only independent units: Efron's percentile bootstrap, clustered.

Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, sections 2.4 and 3.8.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.cache.risk import Floats, Lookups

RESAMPLES = 1_000
LEVEL = 0.95

Interval = tuple[float, float]


def ratio_interval(
    part: npt.ArrayLike, whole: npt.ArrayLike, *, unit: npt.NDArray[np.int64], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """(low, high) at 95 % for sum(part) ÷ sum(whole), whole families drawn anew; `part` ≤ `whole`, all (n,).

    Where no family shows an event, or every one only events, resampling sees no spread: there the open side is the
    exact binomial bound for the share of families that do. NaN where the whole is empty.
    """
    parts, wholes = _by_unit(part, unit), _by_unit(whole, unit)
    parts, wholes = parts[wholes > 0], wholes[wholes > 0]
    if not len(wholes):
        return (float("nan"), float("nan"))
    beyond = float(1 - ((1 - LEVEL) / 2) ** (1 / len(wholes)))
    if not parts.any():
        return (0.0, beyond)
    if np.array_equal(parts, wholes):
        return (1 - beyond, 1.0)
    counts = _resampled(len(wholes), resamples=resamples, seed=seed)
    low, high = np.quantile((counts @ parts) / (counts @ wholes), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high))


def curve_band(
    lookups: Lookups, rates: Floats, *, seed: int = 0, resamples: int = RESAMPLES // 2
) -> tuple[Floats, Floats]:
    """((m,), (m,)): the band at 95 % of the best right hits ÷ lookups at a false-hit rate of at most each of `rates`.

    `rates` (m,) ascend. As `lookups.hits_at` for every resample, but for cuts that split equal scores.
    """
    best = resampled_hits(lookups, rates, seed=seed, resamples=resamples)
    low, high = np.quantile(best, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def resampled_hits(lookups: Lookups, rates: Floats, *, seed: int = 0, resamples: int = RESAMPLES // 2) -> Floats:
    """(resamples, m): what `curve_band` is drawn around, for each resample.

    Two systems asked the same, unit by unit in the same order, see the same resamples: their differences are paired.
    """
    _, unit = np.unique(lookups.unit, return_inverse=True)
    counts = _resampled(int(unit.max()) + 1, resamples=resamples, seed=seed)
    order = np.argsort(-lookups.score, kind="stable")
    order = order[lookups.score[order] > -np.inf]
    total = counts[:, unit].sum(axis=1)
    weight = counts[:, unit[order]]
    wrong = np.cumsum(weight * lookups.wrong[order], axis=1) / total[:, None]
    right = np.cumsum(weight * ~lookups.wrong[order], axis=1) / total[:, None]
    best = np.zeros((resamples, len(rates)))
    for row in range(resamples):
        served = np.searchsorted(wrong[row], rates, side="right")
        best[row] = np.concatenate([[0.0], right[row]])[served]
    return best


def _by_unit(values: npt.ArrayLike, unit: npt.NDArray[np.int64]) -> Floats:
    _, place = np.unique(unit, return_inverse=True)
    return np.asarray(np.bincount(place, weights=np.asarray(values, np.float64)), np.float64)


def _resampled(units: int, *, resamples: int, seed: int) -> Floats:
    """(resamples, units) float64: how often each unit was drawn."""
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=resamples)
    return drawn.astype(np.float64)
