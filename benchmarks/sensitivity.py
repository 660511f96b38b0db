"""How sure a saving is: what hangs on each number (a tornado), and what all of them together leave (Monte Carlo)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.month import Scenario, elastic_usd
from workbench.cache.risk import Floats
from workbench.prices import ApiPrice, GpuPrice, api_usd, savings

Range = tuple[float, float]
"""The lowest and the highest value that is plausible; the scenario's own lies between."""

RANGES: Mapping[str, Range] = {
    "hit_rate": (0.02, 0.5),
    "utilisation": (0.1, 0.7),
    "prefix_reuse": (0.5, 0.98),
    "prefill_tokens_per_s": (1_000.0, 8_000.0),
    "output_tokens": (150.0, 900.0),
    "write_tokens": (500.0, 3_000.0),
    "read_tokens": (10_000.0, 60_000.0),
    "requests_per_month": (20_000.0, 300_000.0),
    "boots_per_month": (10.0, 200.0),
    "down_usd_per_gb": (0.0, 0.04),
}
"""What is not known of somebody's traffic and machines. Price and speed of the GPU are added by `ranges`."""


def ranges(month: Scenario, price: GpuPrice) -> dict[str, Range]:
    """`RANGES`, the prices seen of this GPU, and half to all of its known speed; each widened to hold the scenario."""
    found = dict(RANGES) | {
        "gpu_usd_per_h": (price.low_usd_per_h, price.high_usd_per_h),
        "decode_tokens_per_s": (0.5 * month.decode_tokens_per_s, month.decode_tokens_per_s),
    }
    return {
        name: (min(low, getattr(month, name)), max(high, getattr(month, name))) for name, (low, high) in found.items()
    }


@dataclass(frozen=True, slots=True)
class Swing:
    """What the saving becomes at either end of one number's range, everything else as it is."""

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How much hangs on it."""
        return abs(self.at_high - self.at_low)


def tornado(month: Scenario, spread: Mapping[str, Range], saving: Callable[[Scenario], float]) -> list[Swing]:
    """The numbers by what hangs on them, most first."""
    found = []
    for name, (low, high) in spread.items():
        ends = (saving(replace(month, **{name: value})) for value in (low, high))
        found.append(Swing(name, low, high, *ends))
    return sorted(found, key=lambda swing: -swing.width)


def monte_carlo(
    month: Scenario,
    spread: Mapping[str, Range],
    saving: Callable[[Scenario], float],
    *,
    runs: int = 2_000,
    seed: int = 0,
) -> Floats:
    """(runs,) savings with all numbers drawn at once, each from a triangle with its peak at the scenario's value."""
    random = np.random.default_rng(seed)
    drawn = {name: _triangle(random, low, getattr(month, name), high, runs) for name, (low, high) in spread.items()}
    return np.array([saving(replace(month, **each)) for each in _rows(drawn, runs)])


def _triangle(random: np.random.Generator, low: float, peak: float, high: float, runs: int) -> Floats:
    return random.triangular(low, peak, high, runs) if low < high else np.full(runs, peak)


def _rows(drawn: Mapping[str, Floats], runs: int) -> Iterator[dict[str, float]]:
    for run in range(runs):
        yield {name: float(values[run]) for name, values in drawn.items()}


def interval(draws: Floats) -> tuple[float, float]:
    """The middle 95 % of the draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def api_saving(price: ApiPrice) -> Callable[[Scenario], float]:
    """The saving of an elastic fleet against this API, as a function of the scenario."""
    return lambda month: savings(elastic_usd(month), baseline=api_usd(month.usage, price))
