"""Statistics of rare wrong answers that hold at every moment, however often one looks.

Both parts bet against a rate m: a wrong answer (x = 1) multiplies the stake by ρ ÷ (1 + (ρ - 1)·m), a right one
(x = 0) by 1 ÷ (1 + (ρ - 1)·m). While the rate is m this gains nothing in the mean, so a large stake is evidence
that the rate lies above (ρ > 1) or below (ρ < 1) m. Several ρ share the stake, since the true rate is unknown.

Sources: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2023), for the bounds;
Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2023), for the
detector, which is their e-SR with a mixture of baselines.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BELOW = np.array([0.05, 0.25, 0.5, 0.75])
"""The bets that a rate lies below m, as multiples of m's odds; equal stakes."""

ABOVE = np.array([1.5, 3.0, 8.0, 24.0])
"""The bets that it lies above."""

NO_EVIDENCE: tuple[float, ...] = (0.0,) * 3
"""Where a detector starts."""

DETECTOR = np.array([3.0, 8.0, 24.0])
"""What the detector bets on: from a budget of 1 %, rates of 3 %, 7.5 % and 20 %."""


def log_evidence(
    wrong: npt.ArrayLike, total: npt.ArrayLike, rate: npt.ArrayLike, *, bets: Floats
) -> np.float64 | Floats:
    """The logarithm of the stake after `wrong` of `total`, from 0; arrays of one shape give an array of it."""
    wrong, total, rate = (np.asarray(value, dtype=np.float64)[..., None] for value in (wrong, total, rate))
    stakes: Floats = wrong * np.log(bets) - total * np.log1p((bets - 1) * rate)
    highest: Floats = stakes.max(axis=-1)
    mean: np.float64 | Floats = highest + np.log(np.exp(stakes - highest[..., None]).mean(axis=-1))
    return mean


def upper_bound(wrong: int, total: int, *, confidence: float) -> float:
    """The rate is at most this, at all moments at once, with this probability (while it does not change)."""
    return _where_it_crosses(wrong, total, confidence, BELOW)


def lower_bound(wrong: int, total: int, *, confidence: float) -> float:
    """The rate is at least this, likewise."""
    return _where_it_crosses(wrong, total, confidence, ABOVE)


def grown(evidence: Floats, *, wrong: npt.ArrayLike, rate: npt.ArrayLike) -> Floats:
    """A detector's evidence, shape (..., bets), after one more observation against a rate of at most `rate`.

    Every observation may be the first after a change, so each starts a bet of 1, and all go on (Shiryaev-Roberts).
    `wrong` and `rate` have the shape of the leading axes; `rate` may change from one observation to the next if it
    is chosen before this one is seen.
    """
    wrong, rate = (np.asarray(value, dtype=np.float64)[..., None] for value in (wrong, rate))
    factors = DETECTOR**wrong / (1 + (DETECTOR - 1) * rate)
    after: Floats = np.minimum((evidence + 1) * factors, 1e300)
    return after


def strength(evidence: Floats) -> np.float64 | Floats:
    """What is compared with the detector's threshold c.

    While the rate keeps the budget, it takes c observations or more in the mean until a false alarm, and the
    probability of one among the first n is at most n ÷ c.
    """
    mean: np.float64 | Floats = evidence.mean(axis=-1)
    return mean


def _where_it_crosses(wrong: int, total: int, confidence: float, bets: Floats) -> float:
    """The rate at which the evidence against it is just enough; the evidence is monotonic in the rate."""
    needed = -math.log1p(-confidence)
    low, high = 0.0, 1.0
    rising = bets is BELOW
    while high - low > 1e-6:
        middle = (low + high) / 2
        if (log_evidence(wrong, total, middle, bets=bets) >= needed) == rising:
            high = middle
        else:
            low = middle
    return high if rising else low
