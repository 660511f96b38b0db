"""What is rented and what it costs: offers, rentals, instances and charges, with units.

Money is `Decimal` in US dollars, never a float. GB are 10^9 bytes, as vast.ai bills them. Source: vast.ai's API
reference; which of its fields become which of ours stands in `workbench.fleet.vast_wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

HOURS_PER_MONTH = 730
"""How vast.ai turns its storage price, dollars a GB and month, into one an hour."""

Operator = Literal["eq", "neq", "gt", "gte", "lt", "lte", "in", "notin"]
Mode = Literal["on-demand", "bid"]
"""`bid` is interruptible: somebody who pays more takes the GPU."""
Kind = Literal["gpu", "disk", "down", "up"]
"""What is charged for: GPU and disk by time, the others by byte."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a field of an offer, as vast.ai names it: ``Condition("gpu_ram", "gte", 24_000)``."""

    field: str
    operator: Operator
    value: bool | float | str | tuple[float | str, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a machine costs. The GPU runs up only while it runs, the disk from creation until it is destroyed."""

    gpu_usd_per_h: Decimal
    disk_usd_per_h: Decimal
    down_usd_per_gb: Decimal
    up_usd_per_gb: Decimal

    @property
    def running_usd_per_h(self) -> Decimal:
        """GPU and disk together, without traffic."""
        return self.gpu_usd_per_h + self.disk_usd_per_h

    def updated(self, told: Rates) -> Rates:
        """As they are told now. What is told as zero stays as it was: a field that is missing makes nothing free."""
        return Rates(
            told.gpu_usd_per_h or self.gpu_usd_per_h,
            told.disk_usd_per_h or self.disk_usd_per_h,
            told.down_usd_per_gb or self.down_usd_per_gb,
            told.up_usd_per_gb or self.up_usd_per_gb,
        )


@dataclass(frozen=True, slots=True)
class Hardware:
    """What an offer or an instance is made of. `gpu_ram_mb` is one GPU's; speeds in Mbit/s; `reliability` in [0, 1]."""

    machine_id: int
    host_id: int
    gpu_name: str
    num_gpus: int
    gpu_ram_mb: float
    dlperf: float
    reliability: float
    inet_up_mbps: float
    inet_down_mbps: float
    disk_gb: float
    direct_port_count: int
    cuda_max_good: float
    geolocation: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine that can be rented now. `rates` hold for a disk of the size that was searched with.

    `min_bid_usd_per_h` is the lowest bid that starts it when interruptible; `duration_s` is how long it may be kept.
    """

    id: int
    hardware: Hardware
    rates: Rates
    min_bid_usd_per_h: Decimal
    duration_s: float
    verified: bool
    is_bid: bool

    @property
    def price_usd_per_h(self) -> Decimal:
        """What it costs running, without traffic."""
        return self.rates.running_usd_per_h


@dataclass(frozen=True, slots=True)
class Rental:
    """What is asked of the market in a create. `label` is unique: by it alone the instance is found again.

    `bid_usd_per_h` makes it interruptible; None is on-demand. `onstart` is a script of at most 4096 characters.
    """

    offer_id: int
    label: str
    image: str
    disk_gb: float
    onstart: str = field(repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    bid_usd_per_h: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Rented:
    """A create that did happen. `key` may destroy this instance and nothing else; None where it was not told.

    `complaint` is what the market said while it rented all the same: destroy it, or watch it closely.
    """

    instance_id: int
    key: str | None = field(default=None, repr=False)
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an sshd listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A rented machine as the market last saw it.

    `status` is None while it is provisioned, else created, loading, running, stopped, frozen, exited, rebooting,
    unknown or offline. `direct` is known only while it runs; `proxied` goes through vast.ai's own host.
    `down_bytes` and `up_bytes` are what was billed so far, None where the market does not tell. `started_s` is
    seconds since 1970.
    """

    id: int
    label: str
    status: str | None
    cur_state: str
    intended_status: str
    next_state: str
    status_msg: str
    hardware: Hardware
    rates: Rates
    is_bid: bool
    direct: Address | None
    proxied: Address | None
    started_s: float
    down_bytes: int | None = None
    up_bytes: int | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where to try SSH, best first."""
        return tuple(address for address in (self.direct, self.proxied) if address is not None)

    @property
    def is_running(self) -> bool:
        """Whether its GPU is billed."""
        return self.status == "running"

    @property
    def is_outbid(self) -> bool:
        """Stopped by the market, because somebody pays more: it may never come back."""
        return self.cur_state == self.intended_status == self.next_state == "stopped"

    @property
    def failure(self) -> str:
        """Why it will not come up or has gone, empty while there is hope."""
        message = self.status_msg.lower()
        if self.is_outbid:
            return "outbid"
        if self.status in ("exited", "unknown", "offline"):
            return self.status
        if self.status == "stopped" and self.intended_status != "stopped":
            return "stopped"
        if any(word in message for word in ("error", "failed", "oci runtime")):
            return self.status_msg
        return ""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose key it is and what is left to spend."""

    id: int
    credit_usd: Decimal
    balance_usd: Decimal


@dataclass(frozen=True, slots=True)
class Charge:
    """What the market charges for one instance over one stretch of time, split by what it is for.

    `parts` sum to `amount_usd` but for the market's own rounding; kinds that we do not know count in `amount_usd` only.
    """

    instance_id: int
    start_s: float
    end_s: float
    amount_usd: Decimal
    parts: Mapping[Kind, Decimal]


def disk_usd_per_h(disk_gb: float, *, storage_usd_per_gb_month: Decimal) -> Decimal:
    """What a disk costs an hour, running or not: ``disk_GB × storage_cost / 730``."""
    return Decimal(str(disk_gb)) * storage_usd_per_gb_month / HOURS_PER_MONTH
