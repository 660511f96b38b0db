"""Measure GPUs that are rented for it: one after the other, each destroyed before the next, within a budget.

Whoever rents comes in from outside (`Rent`), so that a dry run, a stand-in and a fleet take the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.blocking import result_of
from benchmarks.judging import Table
from benchmarks.throughput import MEASURED, Shape, Speed, known_speeds, measure, save_speeds
from workbench.errors import ConfigurationError, WorkbenchError
from workbench.prices import VAST, Prices

START_H, MEASURE_H = 25 / 60, 10 / 60
"""How long a start may take at most (pull included), and about how long the measuring lasts."""


class Rent(Protocol):
    """Rents one machine with this GPU and model for at most so many dollars; inside, its Ollama's address."""

    def __call__(self, gpu: str, *, model: str, max_usd: float) -> AbstractAsyncContextManager[str]:
        """Leaving destroys the machine, whatever happened; raises a `WorkbenchError` when none can be had."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A GPU to measure: its dearest price seen, what measuring it costs at most, and what is known already."""

    gpu: str
    usd_per_h: float
    known: tuple[Speed, ...]

    @property
    def at_most_usd(self) -> float:
        """For the longest start and the measuring."""
        return self.usd_per_h * (START_H + MEASURE_H)


@dataclass(frozen=True, slots=True)
class Speeds:
    """What is known of each GPU's speed, what was done to learn it, and what failed, by GPU."""

    rows: list[Speed]
    errands: list[Errand]
    dry_run: bool
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """One row a GPU."""
        return Table(("GPU", "at most $/h", "measuring costs at most", "known speed"), tuple(map(_cells, self.errands)))

    def __str__(self) -> str:
        usd = sum(errand.at_most_usd for errand in self.errands)
        what = f"dry run: nothing was rented; it would cost at most ${usd:.2f}" if self.dry_run else "measured"
        return "\n".join([what, *(f"{gpu} failed: {why}" for gpu, why in self.failed.items()), *self._for_the_fleet()])

    def _for_the_fleet(self) -> list[str]:
        """What was measured of one stream, as the fleet file takes it: the fleet then chooses by it."""
        single = {row.gpu: row.decode_tokens_per_s for row in self.rows if row.samples and row.streams == 1}
        told = ", ".join(f'"{gpu}" = {speed:g}' for gpu, speed in single.items())
        return [f"for fleet.toml: tokens_per_s = {{ {told} }}"] if told else []


def _cells(errand: Errand) -> tuple[str, ...]:
    known = "; ".join(
        f"{row.decode_tokens_per_s:g} tokens/s, {row.streams} streams ({row.server})" for row in errand.known
    )
    return errand.gpu, f"{errand.usd_per_h:.2f}", f"${errand.at_most_usd:.2f}", known or "none: measure it"


def speeds(
    gpus: str | Sequence[str],
    *,
    model: str,
    prices: Prices,
    max_usd: float,
    dry_run: bool = True,
    rent: Rent | None = None,
    ollama_url: str = "",
    shape: Shape | None = None,
    results: Path = MEASURED,
) -> Speeds:
    """The speeds of these GPUs (a text is split at commas); measured first, unless it is a dry run.

    With `ollama_url` the first GPU is what that Ollama runs on, and nothing is rented. Raises `ConfigurationError` when
    a GPU has no price, the budget does not suffice, or nobody is there to rent from.
    """
    names = [name.strip() for name in gpus.split(",")] if isinstance(gpus, str) else list(gpus)
    errands = [_errand(name, model, prices, results) for name in names]
    failed: dict[str, str] = {}
    if ollama_url:
        failed = result_of(_measure_at(ollama_url, names[0], model, shape, results))
    elif not dry_run:
        failed = result_of(_measure_all(errands, model, max_usd, _renter(rent), shape, results))
    known = known_speeds(model, measured=results)
    rows = [row for row in known if row.gpu in names]
    return Speeds(rows, [_errand(name, model, prices, results) for name in names], dry_run and not ollama_url, failed)


def _errand(gpu: str, model: str, prices: Prices, results: Path) -> Errand:
    known = tuple(row for row in known_speeds(model, measured=results) if row.gpu == gpu)
    return Errand(gpu, prices.gpu_price(gpu, provider=VAST).high_usd_per_h, known)


def _renter(rent: Rent | None) -> Rent:
    if rent is None:
        raise ConfigurationError(
            "dry_run is off and there is nobody to rent from: give `rent`, or measure your own by `ollama_url`"
        )
    return rent


async def _measure_all(
    errands: Sequence[Errand], model: str, max_usd: float, rent: Rent, shape: Shape | None, results: Path
) -> dict[str, str]:
    """One after the other; what was measured before a failure is kept, and the others go on."""
    if (usd := sum(errand.at_most_usd for errand in errands)) > max_usd:
        raise ConfigurationError(
            f"measuring may cost ${usd:.2f}, max_usd is {max_usd:.2f}: raise it, or name fewer GPUs"
        )
    failed: dict[str, str] = {}
    for errand in errands:
        try:
            async with rent(errand.gpu, model=model, max_usd=errand.at_most_usd) as url:
                failed |= await _measure_at(url, errand.gpu, model, shape, results)
        except WorkbenchError as error:
            failed[errand.gpu] = str(error)
    return failed


async def _measure_at(url: str, gpu: str, model: str, shape: Shape | None, results: Path) -> dict[str, str]:
    found = await measure(url, model=model, gpu=gpu, shape=shape)
    if found.speeds:
        save_speeds(found.speeds, results)
    why = "; ".join(f"{streams} streams: {said}" for streams, said in found.failed.items())
    return {gpu: why} if why else {}
