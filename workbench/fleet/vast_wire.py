"""vast.ai's JSON, read leniently into our types: numbers may be strings, strings padded, fields missing or null.

An offer that cannot be read is left out; an instance never is, since what is not seen is not destroyed: whatever of it
is unreadable takes its default, and only one without an id is an error.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from workbench.errors import MarketUnavailable
from workbench.fleet.market import Account, Address, Charge, Hardware, Instance, Kind, Offer, Rates, disk_usd_per_h

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
NOISE_USD = Decimal("0.000001")
"""Two prices closer than this are the same: theirs are floats."""
_KINDS: dict[str, Kind] = {"gpu": "gpu", "disk": "disk", "bwd": "down", "bwu": "up"}


def _finite(value: Any) -> Any:
    return 0 if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


Money = Annotated[Decimal, BeforeValidator(_finite)]
Number = Annotated[float, BeforeValidator(_finite)]
Text = Annotated[str, BeforeValidator(_text)]
Row = TypeVar("Row", bound="_Row")


class _Row(BaseModel):
    """Any row of theirs: unknown fields are ignored, null is as good as absent, strings are stripped."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, row: Any) -> Any:
        return {k: v for k, v in row.items() if v is not None} if isinstance(row, dict) else row


class _MachineRow(_Row):
    """What offers and instances share."""

    id: int
    machine_id: int = 0
    host_id: int = 0
    gpu_name: Text = ""
    num_gpus: int = 0
    gpu_ram: Number = 0.0
    dlperf: Number = 0.0
    reliability2: Number = 0.0
    reliability: Number = 0.0
    inet_up: Number = 0.0
    inet_down: Number = 0.0
    disk_space: Number = 0.0
    direct_port_count: int = 0
    cuda_max_good: Number = 0.0
    geolocation: Text = ""
    dph_base: Money = Decimal(0)
    dph_total: Money = Decimal(0)
    storage_cost: Money = Decimal(0)
    inet_up_cost: Money = Decimal(0)
    inet_down_cost: Money = Decimal(0)
    is_bid: bool = False

    def hardware(self) -> Hardware:
        """Its parts."""
        return Hardware(
            machine_id=self.machine_id,
            host_id=self.host_id,
            gpu_name=self.gpu_name,
            num_gpus=self.num_gpus,
            gpu_ram_mb=self.gpu_ram,
            dlperf=self.dlperf,
            reliability=self.reliability2 or self.reliability,
            inet_up_mbps=self.inet_up,
            inet_down_mbps=self.inet_down,
            disk_gb=self.disk_space,
            direct_port_count=self.direct_port_count,
            cuda_max_good=self.cuda_max_good,
            geolocation=self.geolocation,
        )

    def rates(self, disk_gb: float) -> Rates:
        """Its rates with a disk of that size; of the two ways to read the GPU's price the dearer one counts."""
        disk = disk_usd_per_h(disk_gb, storage_usd_per_gb_month=self.storage_cost)
        rest = self.dph_total - disk
        gpu = rest if rest > self.dph_base + NOISE_USD else self.dph_base
        return Rates(gpu, disk, self.inet_down_cost, self.inet_up_cost)


class _OfferRow(_MachineRow):
    machine_id: int
    gpu_name: Text
    dph_total: Money
    min_bid: Money = Decimal(0)
    duration: Number = 0.0
    verification: Text = ""


class _Port(_Row):
    HostPort: int


class _InstanceRow(_MachineRow):
    label: Text = ""
    actual_status: Text | None = None
    cur_state: Text = ""
    intended_status: Text = ""
    next_state: Text = ""
    status_msg: Text = ""
    public_ipaddr: Text = ""
    ports: dict[str, list[_Port] | None] = {}
    ssh_host: Text = ""
    ssh_port: int = 0
    start_date: Number = 0.0
    inet_down_billed: Number | None = None  # megabytes, like its twin
    inet_up_billed: Number | None = None

    def direct(self) -> Address | None:
        """Where its own sshd listens, while it runs."""
        bound = self.ports.get("22/tcp") or []
        return Address(self.public_ipaddr, bound[0].HostPort) if bound and self.public_ipaddr else None


class _ChargeItem(_Row):
    type: Text = ""
    amount: Money = Decimal(0)


class _ChargeRow(_Row):
    type: Text = ""
    source: Text = ""
    start: Number = 0.0
    end: Number = 0.0
    amount: Money = Decimal(0)
    items: list[_ChargeItem] = []


class _AccountRow(_Row):
    id: int
    credit: Money = Decimal(0)
    balance: Money = Decimal(0)


def offers(rows: Iterable[Any], *, disk_gb: float) -> tuple[Offer, ...]:
    """The offers that can be read, with the rates of a disk of that size."""
    read = []
    for row in rows:
        try:
            offer = _OfferRow.model_validate(row)
        except ValidationError as error:
            log.warning("vast.offer_unreadable fields=%s", _fields(error))
            continue
        read.append(_offer(offer, disk_gb))
    return tuple(read)


def instance(row: Any) -> Instance:
    """One instance; raises `MarketUnavailable` when not even its id can be read."""
    read = _leniently(_InstanceRow, row)
    return Instance(
        id=read.id,
        label=read.label,
        status=read.actual_status or None,
        cur_state=read.cur_state,
        intended_status=read.intended_status,
        next_state=read.next_state,
        status_msg=read.status_msg,
        hardware=read.hardware(),
        rates=read.rates(read.disk_space),
        is_bid=read.is_bid,
        direct=read.direct(),
        proxied=Address(read.ssh_host, read.ssh_port) if read.ssh_host and read.ssh_port else None,
        started_s=read.start_date,
        down_bytes=_bytes(read.inet_down_billed),
        up_bytes=_bytes(read.inet_up_billed),
    )


def account(row: Any) -> Account:
    """The account; raises `MarketUnavailable` when it cannot be read."""
    read = _leniently(_AccountRow, row)
    return Account(read.id, credit_usd=read.credit, balance_usd=read.balance)


def charges(rows: Iterable[Any]) -> tuple[Charge, ...]:
    """The charges for instances; others (volumes, serverless) are none of ours."""
    read = (_leniently(_ChargeRow, row) for row in rows)
    return tuple(_charge(row) for row in read if _instance_id(row) is not None)


def _offer(row: _OfferRow, disk_gb: float) -> Offer:
    return Offer(
        id=row.id,
        hardware=row.hardware(),
        rates=row.rates(disk_gb),
        min_bid_usd_per_h=row.min_bid,
        duration_s=row.duration,
        verified=row.verification == "verified",
        is_bid=row.is_bid,
    )


def _charge(row: _ChargeRow) -> Charge:
    parts: dict[Kind, Decimal] = {}
    for item in row.items:
        if item.type in _KINDS:
            kind = _KINDS[item.type]
            parts[kind] = parts.get(kind, Decimal(0)) + item.amount
    return Charge(_instance_id(row) or 0, start_s=row.start, end_s=row.end, amount_usd=row.amount, parts=parts)


def _instance_id(row: _ChargeRow) -> int | None:
    kind, _, number = row.source.rpartition("-")
    return int(number) if number.isdecimal() and (kind or row.type) == "instance" else None


def _leniently(kind: type[Row], row: Any) -> Row:
    """`row` without what cannot be read of it; raises `MarketUnavailable` when that does not help."""
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        unreadable = _fields(error)
    log.warning("vast.row_unreadable row=%s fields=%s", kind.__name__, unreadable)
    try:
        kept = {k: v for k, v in row.items() if k not in unreadable} if isinstance(row, Mapping) else row
        return kind.model_validate(kept)
    except ValidationError as error:
        raise MarketUnavailable(
            f"vast.ai sent a row of which {', '.join(_fields(error)) or 'nothing'} cannot be read; try again later"
        ) from None


def _fields(error: ValidationError) -> list[str]:
    return sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]})


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else max(int(megabytes * MEGABYTE), 0)
