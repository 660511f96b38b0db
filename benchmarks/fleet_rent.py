"""A `benchmarks.renting.Rent` through the fleet: one machine of vast.ai, or of its stand-in, given back in the end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from benchmarks.renting import MEASURE_H, START_H, Rent, Speeds, speeds
from benchmarks.stand_ins.vast import StandInVast, running
from benchmarks.stand_ins.vast_script import Machine
from benchmarks.stand_ins.vast_ssh import SshHosting
from benchmarks.throughput import Shape
from workbench.cache.sqlite_store import SqliteStore
from workbench.fleet.ledger import Ledger
from workbench.fleet.opening import Site, open_fleet
from workbench.fleet.terms import Budget, Limits, Terms
from workbench.prices import Prices
from workbench.proxy.app import site_of
from workbench.settings import load

PROJECT = "workbench-measure"
"""Marks what was rented to be measured: a fleet that serves never takes it for its own."""

VAST_NAMES = {
    "A6000": ("RTX A6000",),
    "A100 80GB": ("A100 SXM4", "A100 PCIE"),
    "H100": ("H100 SXM", "H100 PCIE", "H100 NVL"),
}
"""What vast.ai calls the GPUs of the price list, where it calls them something else."""

REHEARSED = "qwen3-coder:30b"
SHORT = Shape(prompt_tokens=200, output_tokens=32, rounds=1)
AT_ONCE = Limits(starting_poll_s=0.05, poll_s=0.2, notice_s=0.0)
STORE_BYTES = 2**20


def vast() -> Rent:
    """Rents at vast.ai, with the key that `python -m workbench fleet` takes."""
    settings = load()
    usual = site_of(settings)
    return rent_at(replace(usual, folder=usual.folder / "measure"))


def rehearse(gpus: str, *, prices: Prices) -> Speeds:
    """Rent, measure and give back each of these GPUs at a stand-in of vast.ai, over real SSH: it costs nothing.

    What is measured is the stand-in, so it is kept nowhere; that it works is what is learned.
    """
    names = [name.strip() for name in gpus.split(",")]
    machines = [
        Machine(number, gpu_name=VAST_NAMES.get(name, (name,))[0], gpu_ram_mb=81_559.0, gpu_usd_per_h="0.01")
        for number, name in enumerate(names, 101)
    ]
    market = StandInVast(machines, hosting=SshHosting(), gaps_s={})
    with TemporaryDirectory() as kept, running(market) as url:
        folder = Path(kept)
        rent = rent_at(Site(SecretStr(market.key), url, folder, gaps_s={}), limits=AT_ONCE)
        found = speeds(
            names, model=REHEARSED, prices=prices, max_usd=math.inf, dry_run=False, rent=rent, shape=SHORT,
            results=folder / "throughput.json",
        )  # fmt: skip
    left = {f"machine {each.machine.machine_id}": "it was not given back" for each in market.market.live()}
    return replace(found, failed=found.failed | left)


def rehearsed(found: Speeds) -> str:
    """What went well in a rehearsal, and what did not."""
    counts: dict[str, list[str]] = {}
    for row in found.rows:
        if row.samples:  # and not what others published
            counts.setdefault(row.gpu, []).append(str(row.streams))
    well = [f"{gpu}: rented, measured at {', '.join(streams)} streams, given back" for gpu, streams in counts.items()]
    return "\n".join([*well, *(f"{what} failed: {why}" for what, why in found.failed.items())])


def rent_at(site: Site, *, limits: Limits | None = None) -> Rent:
    """Rents at this market; roll, ledger and SSH key lie in the site's folder, and one machine is rented at a time."""

    @asynccontextmanager
    async def rent(gpu: str, *, model: str, max_usd: float) -> AsyncIterator[str]:
        total_usd = Decimal(str(max_usd)) + await _spent_usd(site.folder)
        terms = Terms(
            model=model,
            price_cap_usd_per_h=Decimal(str(max_usd / (START_H + MEASURE_H))),
            gpus=VAST_NAMES.get(gpu, (gpu,)),
            project=PROJECT,
            budget=Budget(total_usd=total_usd),
            limits=limits or Limits(),
        )
        terms.check()
        store = SqliteStore(site.folder / "roll.sqlite", max_bytes=STORE_BYTES)
        await store.open()
        try:
            async with open_fleet(terms, site, store) as fleet:
                try:
                    (node,) = (await fleet.up(1)).nodes
                    watching = asyncio.create_task(fleet.serve())  # its heartbeats keep the machine alive
                    try:
                        thinker = fleet.links.url(node.label) or ""
                        yield thinker.removeprefix("ollama+").partition("?")[0]
                    finally:
                        watching.cancel()
                        await asyncio.wait([watching])
                finally:
                    await fleet.down()
        finally:
            await store.close()

    return rent


async def _spent_usd(folder: Path) -> Decimal:
    """What was spent here before: a budget of a ledger is for all of it."""
    ledger = Ledger(folder / "ledger.sqlite")
    await ledger.open()
    try:
        return (await ledger.cost()).total_usd
    finally:
        await ledger.close()
