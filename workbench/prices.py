"""Dated prices, and the formulae that turn traffic and hours into dollars.

Units stand in the names: `_usd`, `_usd_per_h`, `_usd_per_mtok` (a million tokens), `_gb` (10^9 bytes), `_s`, `_h`. A
month has 730 hours, as clouds bill it.
"""

from __future__ import annotations

import datetime
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import ConfigurationError
from workbench.reply import Usage

VERSION = 1
MAX_AGE_DAYS = 90
HOURS_PER_MONTH = 730.0
MTOK = 1e6
VAST = "vast.ai"

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class PriceMissing(ConfigurationError):
    """The price list has no such price; the message says which, and what it has."""


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────


class _Dated(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    date: datetime.date | None = None
    """When it was seen; None when nobody noted it."""
    source: Name


class ApiPrice(_Dated):
    """What an API bills for a million tokens."""

    model: Name
    input_usd_per_mtok: Usd
    output_usd_per_mtok: Usd
    cache_read_usd_per_mtok: Usd
    cache_write_usd_per_mtok: Usd | None = None

    @property
    def write_usd_per_mtok(self) -> float:
        """Of a prompt-cache write; as plain input where the list has none, which flatters the API."""
        return self.input_usd_per_mtok if self.cache_write_usd_per_mtok is None else self.cache_write_usd_per_mtok


class GpuPrice(_Dated):
    """What one GPU costs on demand, from the cheapest seen to the dearest."""

    name: Name
    provider: Name
    low_usd_per_h: Usd
    high_usd_per_h: Usd

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low_usd_per_h > self.high_usd_per_h:
            raise ValueError(f"low_usd_per_h {self.low_usd_per_h} is above high_usd_per_h {self.high_usd_per_h}")
        return self

    @property
    def usd_per_h(self) -> float:
        """The middle of what was seen."""
        return (self.low_usd_per_h + self.high_usd_per_h) / 2


class RedisPrice(_Dated):
    """What a Redis Cloud plan costs."""

    plan: Name
    usd_per_month: Usd


class Prices(BaseModel):
    """The price list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    api: tuple[ApiPrice, ...] = ()
    gpu: tuple[GpuPrice, ...] = ()
    redis: tuple[RedisPrice, ...] = ()

    def api_price(self, model: str) -> ApiPrice:
        """Of this model; raises `PriceMissing`."""
        found = next((price for price in self.api if price.model == model), None)
        if found is None:
            raise _missing(f"the API model {model!r}", (price.model for price in self.api))
        return found

    def gpu_price(self, name: str, *, provider: str) -> GpuPrice:
        """Of this GPU at this provider; raises `PriceMissing`."""
        here = [price for price in self.gpu if price.provider == provider]
        found = next((price for price in here if price.name == name), None)
        if found is None:
            raise _missing(f"the GPU {name!r} at {provider}", (price.name for price in here))
        return found

    def with_gpu(self, price: GpuPrice) -> Prices:
        """The same list with this price in place of the one it had: what a market asks now, for example."""
        kept = tuple(other for other in self.gpu if (other.name, other.provider) != (price.name, price.provider))
        return self.model_copy(update={"gpu": (*kept, price)})

    def providers(self, gpu: str) -> list[str]:
        """Who has a price for this GPU, as the list orders them."""
        return [price.provider for price in self.gpu if price.name == gpu]

    def warnings(self, *, today: datetime.date) -> list[str]:
        """What to doubt: prices without a date, older than 90 days, or incomplete; each is named."""
        return [warning for name, price in self._named() for warning in _doubts(name, price, today)]

    def _named(self) -> Iterator[tuple[str, _Dated]]:
        yield from ((price.model, price) for price in self.api)
        yield from ((f"{price.name} at {price.provider}", price) for price in self.gpu)
        yield from ((f"Redis Cloud {price.plan}", price) for price in self.redis)


def _missing(what: str, known: Iterator[str]) -> PriceMissing:
    return PriceMissing(f"the price list has no price for {what}, only for: {', '.join(known) or 'none'}; add it")


def _doubts(name: str, price: _Dated, today: datetime.date) -> Iterator[str]:
    if price.date is None:
        yield f"{name}: the price has no date ({price.source}); check it"
    elif (age_days := (today - price.date).days) > MAX_AGE_DAYS:
        yield f"{name}: the price is {age_days} days old ({price.source}); check it"
    if isinstance(price, ApiPrice) and price.cache_write_usd_per_mtok is None:
        yield f"{name}: no price for cache writes; they are billed as plain input, which flatters the API"


def load_prices(path: Path | None = None) -> Prices:
    """The price list in this file, by default the one that ships; raises `ConfigurationError`."""
    file = files("workbench") / "data" / "prices.toml" if path is None else path
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the prices {file}: {error.strerror}; check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the prices {file} are not valid TOML ({error}); correct them") from None
    if found.get("version") != VERSION:
        raise ConfigurationError(f"the prices {file} have version {found.get('version')!r}, expected {VERSION}")
    try:
        return Prices.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ConfigurationError(f"the prices {file} are wrong at `{where}`: {first['msg']}") from None


# ── the formulae ────────────────────────────────────────────────────────────────────────────────────────────


def api_usd(usage: Usage, price: ApiPrice) -> float:
    """What an API bills: uncached input, cache writes, cache reads and output, each at its own rate."""
    return (
        usage.input_tokens * price.input_usd_per_mtok
        + usage.cache_creation_input_tokens * price.write_usd_per_mtok
        + usage.cache_read_input_tokens * price.cache_read_usd_per_mtok
        + usage.output_tokens * price.output_usd_per_mtok
    ) / MTOK


def hit_usd(price: ApiPrice, *, prefix_tokens: float, new_tokens: float, output_tokens: float) -> float:
    """What one hit saves of an API's bill: the prefix would have been read from the API's own cache."""
    return (
        prefix_tokens * price.cache_read_usd_per_mtok
        + new_tokens * price.input_usd_per_mtok
        + output_tokens * price.output_usd_per_mtok
    ) / MTOK


def stopped_usd_per_h(disk_gb: float, *, storage_usd_per_gb_month: float) -> float:
    """What a rented machine costs while it exists, running or not: its disk."""
    return disk_gb * storage_usd_per_gb_month / HOURS_PER_MONTH


def usd_per_mtok_out(node_usd_per_h: float, *, tokens_per_s: float, utilisation: float) -> float:
    """What a million generated tokens cost on a node that is busy for this share (0 to 1) of the time it is paid."""
    tokens_per_h = tokens_per_s * 3600 * utilisation
    return node_usd_per_h / tokens_per_h * MTOK if tokens_per_h > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Rental:
    """One rented machine over a period: seconds billed and in existence, its rates, and what it moved."""

    billed_s: float
    exist_s: float
    gpu_usd_per_h: float
    disk_usd_per_h: float = 0.0
    up_gb: float = 0.0
    down_gb: float = 0.0
    up_usd_per_gb: float = 0.0
    down_usd_per_gb: float = 0.0

    @property
    def usd(self) -> float:
        """GPU while it runs, disk from creation until it is destroyed, bandwidth by the byte."""
        hours = self.billed_s * self.gpu_usd_per_h + self.exist_s * self.disk_usd_per_h
        return hours / 3600 + self.up_gb * self.up_usd_per_gb + self.down_gb * self.down_usd_per_gb


def fleet_usd(rentals: list[Rental], *, failed_boots_usd: float = 0.0, redis_usd: float = 0.0) -> float:
    """What a fleet costs: its machines, the boots that never served, and the store."""
    return math.fsum(rental.usd for rental in rentals) + failed_boots_usd + redis_usd


def savings(fleet: float, *, baseline: float) -> float:
    """The share of the baseline's dollars that is saved; negative where the fleet is dearer."""
    return 1 - fleet / baseline if baseline > 0 else -math.inf
