"""The stand-in vast.ai's rows in the API's own shapes, and its filters on them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from benchmarks.stand_ins.vast_market import HOURS_PER_MONTH, Market, StandInInstance
from benchmarks.stand_ins.vast_script import Machine

Row = dict[str, Any]
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance's sshd listens: directly, and through the proxy."""

    direct_host: str
    direct_port: int
    proxy_host: str
    proxy_port: int


class UnknownField(ValueError):
    """A filter on a field that rows do not have."""


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda value, allowed: value in allowed,
    "notin": lambda value, refused: value not in refused,
}


def matching(rows: Iterable[Row], filters: Mapping[str, Any]) -> list[Row]:
    """The rows that meet ``{field: {operator: value}}``; raises `UnknownField`."""
    return [row for row in rows if all(_meets(row, name, wanted) for name, wanted in filters.items())]


def ordered(rows: list[Row], order: Iterable[Iterable[str]]) -> list[Row]:
    """By ``[[field, "asc" | "desc"], …]``, the first of them the most important."""
    for name, direction in reversed([tuple(pair) for pair in order]):
        if any(name not in row for row in rows):
            raise UnknownField(name)
        rows = sorted(rows, key=lambda row: row[name], reverse=direction == "desc")
    return rows


def offer_row(offer_id: int, machine: Machine, *, disk_gb: float, is_bid: bool) -> Row:
    """An offer, priced with a disk of that size."""
    base = Fraction(machine.min_bid_usd_per_h if is_bid else machine.gpu_usd_per_h)
    return {
        "id": offer_id,
        "ask_contract_id": offer_id,
        "bundle_id": machine.machine_id,
        **_machine_fields(machine),
        **_prices(machine, base=base, disk_gb=disk_gb),
        "disk_space": machine.disk_gb,
        "min_bid": float(machine.min_bid_usd_per_h),
        "is_bid": is_bid,
        "rentable": True,
        "rented": False,
        "external": False,
        "verified": machine.verified,
        "duration": 30.0 * DAY_S,
        "hosting_type": 0,
    }


def instance_row(market: Market, instance: StandInInstance, place: Place) -> Row:
    """An instance as it is now: its ports are known while it runs."""
    now_s = market.clock()
    status, intended = instance.status(now_s), instance.intended(now_s)
    running = status == "running"
    return {
        "id": instance.id,
        **_machine_fields(instance.machine),
        **_prices(instance.machine, base=instance.gpu_usd_per_h(now_s), disk_gb=instance.disk_gb),
        "gpu_name": instance.life.gpu_name or instance.machine.gpu_name,
        "cuda_max_good": str(instance.machine.cuda_max_good),
        "disk_space": instance.disk_gb,
        "is_bid": instance.is_bid,
        "actual_status": status,
        "cur_state": "stopped" if intended == "stopped" else "running",
        "next_state": intended,
        "intended_status": intended,
        "status_msg": _STATUS_MESSAGES.get(str(status), ""),
        "label": instance.label or None,
        "image_uuid": instance.body.get("image"),
        "image_runtype": instance.body.get("runtype"),
        "extra_env": [list(pair) for pair in _env(instance).items()],
        "onstart": instance.body.get("onstart"),
        "public_ipaddr": f"{place.direct_host}\n",
        "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(place.direct_port)}]} if running else None,  # noqa: S104  # as told
        "ssh_host": place.proxy_host,
        "ssh_port": place.proxy_port,
        "ssh_idx": "1",
        "start_date": instance.created_s,
        "end_date": None,
        "uptime_mins": (now_s - instance.created_s) / 60 if running else None,
        "gpu_util": 0.0 if running else None,
        "inet_down_billed": float(market.pulled_gb(instance) * 1000),
        "inet_up_billed": 0.0,
    }


def charge_row(instance: StandInInstance, charges: Mapping[str, Fraction], *, end_s: float) -> Row:
    """What an instance was charged."""
    start_s, amount = int(instance.created_s), sum(charges.values(), Fraction(0))
    shared = {"start": start_s, "end": int(end_s), "description": instance.label, "metadata": {}, "items": []}
    items = [{**shared, "type": kind, "source": "", "amount": float(usd)} for kind, usd in charges.items()]
    return {**shared, "type": "instance", "source": f"instance-{instance.id}", "amount": float(amount), "items": items}


def stringly(row: Row) -> Row:
    """The same with its fractional numbers as text, as the API gives some of them at times."""
    return {name: str(value) if isinstance(value, float) else value for name, value in row.items()}


def _meets(row: Row, name: str, wanted: Any) -> bool:
    if name not in row:
        raise UnknownField(name)
    conditions = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
    return all(_holds(row[name], symbol, value) for symbol, value in conditions.items())


def _holds(value: Any, symbol: str, wanted: Any) -> bool:
    if symbol not in _OPERATORS:
        raise UnknownField(f"operator {symbol}")
    if symbol in ("gt", "gte", "lt", "lte"):
        return value is not None and _OPERATORS[symbol](float(value), float(wanted))
    return _OPERATORS[symbol](value, wanted)


def _machine_fields(machine: Machine) -> Row:
    return {
        "machine_id": machine.machine_id,
        "host_id": machine.machine_id + 50_000,
        "gpu_name": machine.gpu_name,
        "num_gpus": machine.num_gpus,
        "gpu_frac": 1.0,
        "gpu_ram": machine.gpu_ram_mb,
        "gpu_total_ram": machine.gpu_ram_mb * machine.num_gpus,
        "gpu_arch": "nvidia",
        "compute_cap": 890,
        "dlperf": machine.dlperf,
        "dlperf_per_dphtotal": machine.dlperf / float(machine.gpu_usd_per_h),
        "score": machine.dlperf / float(machine.gpu_usd_per_h),
        "total_flops": machine.dlperf / 2,
        "reliability": machine.reliability,
        "reliability2": machine.reliability,
        "inet_up": machine.inet_up_mbps,
        "inet_down": machine.inet_down_mbps,
        "direct_port_count": machine.direct_port_count,
        "cuda_max_good": machine.cuda_max_good,
        "driver_version": "570.86.15",
        "geolocation": machine.geolocation,
        "verification": "verified" if machine.verified else "unverified",
        "cpu_cores": 32,
        "cpu_cores_effective": 16.0,
        "cpu_ghz": 3.5,
        "cpu_ram": 64_000,
        "pcie_bw": 24.0,
        "disk_bw": 3000.0,
    }


def _prices(machine: Machine, *, base: Fraction, disk_gb: float) -> Row:
    storage = Fraction(str(disk_gb)) * Fraction(machine.storage_usd_per_gb_month) / HOURS_PER_MONTH
    return {
        "dph_base": float(base),
        "dph_total": float(base + storage),
        "storage_cost": float(machine.storage_usd_per_gb_month),
        "storage_total_cost": float(storage),
        "inet_up_cost": float(machine.up_usd_per_gb),
        "inet_down_cost": float(machine.down_usd_per_gb),
    }


def _env(instance: StandInInstance) -> dict[str, str]:
    env = instance.body.get("env")
    return {str(name): str(value) for name, value in env.items()} if isinstance(env, Mapping) else {}


_STATUS_MESSAGES = {
    "loading": "pulling image: 3 of 7 layers",
    "running": "success, running",
    "exited": "Error: container exited with code 1",
}
