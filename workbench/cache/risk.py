"""Which cut keeps a false-hit budget, with what confidence, given labelled lookups that chose nothing else.

Lookups that belong together (one family of questions, one user) are one unit: only units are independent.
Sources: RCPS, Bates et al. 2021, https://arxiv.org/abs/2101.02703 (their betting bound, after Waudby-Smith and Ramdas);
learn then test, Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052; conformal risk control, Angelopoulos et al.
2022, https://arxiv.org/abs/2208.02814.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from workbench.errors import ConfigurationError

Floats = npt.NDArray[np.float64]

DELTA = 0.05
"""One minus the confidence."""


@dataclass(frozen=True, slots=True)
class Lookups:
    """Labelled lookups, one an index: what would be served from a score, and whether that would be wrong.

    `score` is (n,) float64, -inf where nothing could be served; `wrong` (n,) bool; `unit` (n,) int64.
    """

    score: Floats
    wrong: npt.NDArray[np.bool_]
    unit: npt.NDArray[np.int64]

    @property
    def units(self) -> int:
        """How many independent units there are."""
        return len(np.unique(self.unit))

    def losses(self, cut: float) -> Floats:
        """For each unit, its false hits ÷ its lookups when what scores above `cut` is served: in [0, 1]."""
        _, place = np.unique(self.unit, return_inverse=True)
        false = np.bincount(place, weights=(self.wrong & (self.score > cut)).astype(np.float64))
        return np.asarray(false / np.bincount(place), np.float64)

    def hit_rate(self, cut: float) -> float:
        """Hits ÷ lookups, right and wrong."""
        return float(np.mean(self.score > cut))

    def false_hit_rate(self, cut: float) -> float:
        """False hits ÷ lookups."""
        return float(np.mean(self.wrong & (self.score > cut)))


def least_units(alpha: float, *, delta: float = DELTA) -> int:
    """How many the boldest bets would take: with fewer there is no need to try."""
    return math.ceil(math.log(1 / delta) / math.log1p(alpha))


@lru_cache(maxsize=64)
def units_needed(alpha: float, *, delta: float = DELTA) -> int:
    """How many units without a single false hit it takes to say that the risk is at most `alpha`."""
    units = least_units(alpha, delta=delta)
    while p_value(np.zeros(units), alpha) > delta:
        units += 1
    return units


def p_value(losses: Floats, alpha: float, *, seed: int = 0) -> float:
    """For the hypothesis that the mean loss of such units exceeds `alpha`; `losses` are independent and in [0, 1].

    It is 1 ÷ the largest wealth of one who bets against the hypothesis (Ville's inequality), unit after unit in an
    order that does not look at them.
    """
    losses = np.random.default_rng(seed).permutation(losses)
    count = np.arange(1, len(losses) + 1)
    mean = (0.5 + np.cumsum(losses)) / (count + 1)
    spread = (0.25 + np.cumsum((losses - mean) ** 2)) / (count + 1)
    known = np.concatenate([[0.25], spread[:-1]])
    bets = np.minimum(1.0, np.sqrt(2 * math.log(1 / DELTA) / (len(losses) * known)))
    wealth = np.cumsum(np.log1p(-bets * (losses - alpha)))
    return float(np.exp(-max(0.0, wealth.max(initial=0.0))))


def rcps_cut(lookups: Lookups, alpha: float, *, delta: float = DELTA) -> float:
    """The loosest cut with P(risk ≤ alpha) ≥ 1 - delta, tested from the strictest on (fixed sequence).

    Raises `ConfigurationError` when there are too few units for this `alpha`, and says how many it takes.
    """
    needed = least_units(alpha, delta=delta)
    if lookups.units < needed or lookups.units < (needed := units_needed(alpha, delta=delta)):
        raise ConfigurationError(
            f"{lookups.units} independent families of labelled lookups cannot show a false-hit rate of {alpha:.2%} "
            f"with {1 - delta:.0%} confidence: it takes at least {needed}; label more, or ask for a larger alpha"
        )
    return _loosest(lookups, lambda cut: p_value(lookups.losses(cut), alpha) <= delta)


def crc_cut(lookups: Lookups, alpha: float) -> float:
    """The loosest cut whose EXPECTED risk on exchangeable lookups is at most `alpha`: no confidence is attached."""
    units = lookups.units
    return _loosest(lookups, lambda cut: (units * float(lookups.losses(cut).mean()) + 1) / (units + 1) <= alpha)


def _loosest(lookups: Lookups, holds: Callable[[float], bool]) -> float:
    """The lowest cut down to which `holds`; risk changes only where a wrong answer begins to be served."""
    wrong = np.unique(lookups.score[lookups.wrong & np.isfinite(lookups.score)])[::-1]
    cut = math.inf
    for candidate in wrong.tolist():
        if not holds(candidate):
            return cut
        cut = candidate
    lowest = float(lookups.score[np.isfinite(lookups.score)].min(initial=0.0)) - 1.0
    return lowest if holds(lowest) else cut
