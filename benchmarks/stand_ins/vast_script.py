"""What the stand-in vast.ai has to offer, and what is to go wrong: with which call, and in which instance's life."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

Trouble = Literal[
    "error_before",  # HTTP 502, HTML, nothing happened
    "error_after",  # HTTP 500 although it happened
    "error_with_contract",  # an error body that names the instance it rented (of a create)
    "broken_reply",  # it happened, the reply breaks off
    "silence",  # it happened, there is no reply
    "rate_limited",  # HTTP 429, plain text, nothing happened
    "gone",  # HTTP 404, somebody else was faster (of a create)
    "unavailable",  # HTTP 410 (of a create with cancel_unavail)
    "price",  # HTTP 400, the price went up (of a create)
]
Troubles = Callable[[str, int], Trouble | None]
"""What goes wrong with the n-th call, from 0, of an endpoint: search, create, show, list, change, destroy, bid, …"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that can be rented: sizes in MB and GB, speeds in Mbit/s, prices in dollars an hour or a GB."""

    machine_id: int
    gpu_name: str = "RTX 4090"
    num_gpus: int = 1
    gpu_ram_mb: float = 24_564.0
    dlperf: float = 95.0
    gpu_usd_per_h: str = "0.35"
    min_bid_usd_per_h: str = "0.15"
    storage_usd_per_gb_month: str = "0.15"
    down_usd_per_gb: str = "0.004"
    up_usd_per_gb: str = "0.006"
    inet_down_mbps: float = 800.0
    inet_up_mbps: float = 400.0
    disk_gb: float = 500.0
    reliability: float = 0.995
    direct_port_count: int = 100
    cuda_max_good: float = 12.8
    geolocation: str = "Sweden, SE"
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Life:
    """How an instance fares, in seconds: the first four one after the other, the events since its creation.

    `gpu_name` is what it turns out to have. `pull_gb` is what it downloads. `move_s` gives it another address.
    `hidden_s` keeps it out of lists at first, `lingering_s` in them after it was destroyed. With `direct` off nothing
    listens on its direct address.
    """

    provisioning_s: float = 0.0
    created_s: float = 0.0
    loading_s: float = 0.0
    pull_s: float = 0.0
    pull_gb: float = 0.0
    stuck_loading: bool = False
    exit_s: float | None = None
    outbid_s: float | None = None
    offline_s: float | None = None
    online_s: float | None = None
    move_s: float | None = None
    gpu_name: str | None = None
    hidden_s: float = 0.0
    lingering_s: float = 0.0
    direct: bool = True


Lives = Callable[[int, Machine], Life]
"""How the n-th instance, from 0, on this machine fares."""

MACHINES = (
    Machine(101),
    Machine(102, gpu_usd_per_h="0.41", reliability=0.999, inet_down_mbps=2000.0),
    Machine(103, gpu_name="RTX 3090", gpu_usd_per_h="0.22", min_bid_usd_per_h="0.09", dlperf=55.0),
    Machine(104, gpu_name="RTX 5090", gpu_ram_mb=32_607.0, gpu_usd_per_h="0.89", dlperf=160.0),
    Machine(105, gpu_name="RTX 4090", gpu_usd_per_h="0.29", inet_down_mbps=128.0, reliability=0.982),
    Machine(106, gpu_name="H100 SXM", gpu_ram_mb=81_559.0, gpu_usd_per_h="2.40", dlperf=500.0),
    Machine(107, gpu_name="RTX 4090", gpu_usd_per_h="0.20", verified=False),
)
"""A small market: cheap and dear, fast and slow, one that nobody has verified."""


def all_well(number: int, machine: Machine) -> Life:
    """Up at once, and for ever."""
    return Life()


def no_trouble(endpoint: str, number: int) -> Trouble | None:
    """Every call is answered as it should be."""
    return None


_OF_ANY: tuple[Trouble, ...] = ("error_before", "error_after", "broken_reply", "silence", "rate_limited")
_OF_CREATE: tuple[Trouble, ...] = (*_OF_ANY, "error_with_contract", "gone", "unavailable", "price")


def random_troubles(seed: int, *, share: float) -> Troubles:
    """That share of all calls goes wrong, in ways drawn from the seed: the n-th call of an endpoint always alike."""

    def trouble(endpoint: str, number: int) -> Trouble | None:
        draw = random.Random(f"{seed}/{endpoint}/{number}")  # noqa: S311  # no secret
        if draw.random() >= share:
            return None
        return draw.choice(_OF_CREATE if endpoint == "create" else _OF_ANY)

    return trouble


def random_lives(seed: int, *, share: float, horizon_s: float) -> Lives:
    """Boots of a few minutes, and that share of instances fails within `horizon_s`, drawn from the seed."""

    def life(number: int, machine: Machine) -> Life:
        draw = random.Random(f"{seed}/{number}/{machine.machine_id}")  # noqa: S311  # no secret
        well = Life(
            provisioning_s=draw.uniform(0, 60),
            created_s=draw.uniform(0, 10),
            loading_s=draw.uniform(5, 300),
            pull_s=draw.uniform(30, 600),
            pull_gb=19.0,
            hidden_s=draw.choice((0.0, 0.0, draw.uniform(0, 8))),
            lingering_s=draw.choice((0.0, draw.uniform(0, 20))),
        )
        if draw.random() >= share:
            return well
        when_s = draw.uniform(0, horizon_s)
        failures = (
            {"stuck_loading": True},
            {"exit_s": when_s},
            {"outbid_s": when_s},
            {"offline_s": when_s},
            {"offline_s": when_s, "online_s": when_s + draw.uniform(10, 600)},
            {"move_s": when_s},
            {"gpu_name": "GTX 1080"},
            {"provisioning_s": 10_000.0},
            {"pull_s": 10_000.0},
        )
        return replace(well, **draw.choice(failures))  # each is a set of its fields

    return life
