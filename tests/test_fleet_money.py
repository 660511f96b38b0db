"""What a fleet spends is known whatever happens to prices, hosts and controllers; on a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.virtual_time import VirtualLoop, run_virtually
from workbench.cache.memory_store import MemoryStore
from workbench.fleet.fleet import Controller, Look
from workbench.fleet.ledger import Ledger
from workbench.fleet.nodes import Node, Roll
from workbench.fleet.orders import Orders
from workbench.fleet.proving import Proof, Proved
from workbench.fleet.registry import Registry
from workbench.fleet.renting import Renter
from workbench.fleet.reports import Reports
from workbench.fleet.sizing import Sizer
from workbench.fleet.terms import Budget, Limits, Scaling, Terms
from workbench.fleet.vast import VastClient

START_S = 1_800_000_000.0
LIMITS = Limits()
TERMS = Terms(
    model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"), limits=LIMITS, scaling=Scaling(least=1, most=1)
)


class NearReach:
    """Every machine can be reached, and has nothing to do."""

    async def prove(self, node: Node) -> Proof:
        return Proved("ssh-ed25519 key")

    async def silent_s(self, node: Node) -> float:
        return 0.0

    def in_flight(self, node: Node) -> int:
        return 0

    async def forget(self, label: str) -> None:
        pass


class Town:
    """A market and a store, and hosts with a ledger each."""

    def __init__(self, loop: VirtualLoop, folder: Path, **stand_in: Any) -> None:
        self.loop = loop
        self.folder = folder
        self.stand_in = StandInVast(clock=self.now_s, credit_usd=1000, **stand_in)
        self.store = MemoryStore(max_bytes=2**20)
        self.orders = Orders(self.store, clock=self.now_s)
        self.looks: list[Look] = []

    def now_s(self) -> float:
        return START_S + self.loop.time()

    @contextlib.asynccontextmanager
    async def host(self, name: str = "host", terms: Terms = TERMS, *, key_of: str = "") -> AsyncIterator[Host]:
        ledger = Ledger(self.folder / name / "ledger.sqlite", clock=self.now_s)
        await ledger.open()
        key = f"ssh-ed25519 {key_of or name}"
        registry = Registry(
            self.store, holder=uuid.uuid4().hex, lease_s=LIMITS.lease_s, clock=self.loop.time,
            ledger=await ledger.identity(), public_key=key,
        )  # fmt: skip
        async with VastClient(
            SecretStr(self.stand_in.key), base_url="http://vast", transport=self.stand_in.transport(),
            clock=self.loop.time, timeout_s=30,
        ) as market:  # fmt: skip
            renter, reach = (
                Renter(market, ledger, registry, terms, base_url="http://vast", clock=self.now_s),
                NearReach(),
            )
            reports = Reports(self.store, holder=name, clock=self.loop.time)
            sizer = Sizer(self.orders, reports, reach, terms, clock=self.now_s)
            controller = Controller(
                market, ledger, registry, renter, reach, sizer, terms,
                public_key=key, tell=self.looks.append, clock=self.now_s,
            )  # fmt: skip
            try:
                yield Host(self.loop, ledger, registry, controller)
            finally:
                await ledger.close()


class Host:
    """One host's controller and what it knows."""

    def __init__(self, loop: VirtualLoop, ledger: Ledger, registry: Registry, controller: Controller) -> None:
        self.loop = loop
        self.ledger = ledger
        self.registry = registry
        self.controller = controller

    async def look_for(self, seconds: float) -> None:
        """Look every ten virtual seconds, for so long."""
        end_s = self.loop.time() + seconds
        while self.loop.time() < end_s:
            await self.controller.try_look()
            await asyncio.sleep(10)


def ready(roll: Roll) -> int:
    return sum(node.state == "ready" for node in roll.nodes)


# ── prices ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_machine_whose_price_the_market_stops_telling_is_not_free(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path, untold=("dph_total", "dph_base", "storage_cost", "inet_down_cost", "inet_up_cost"))
        terms = replace(TERMS, budget=Budget(total_usd=Decimal("0.50")))
        async with town.host(terms=terms) as host:
            await host.look_for(3600)
            (machine,) = (instance.machine for instance in town.stand_in.market.instances.values())
            assert (await host.ledger.cost()).total_usd >= Decimal(machine.gpu_usd_per_h) * Decimal("0.99")
            await host.look_for(4 * 3600)
            assert town.stand_in.market.live() == []
            assert Decimal(float(town.stand_in.charged_usd())) <= Decimal("0.51")

    run_virtually(run)


# ── time when nobody watched ────────────────────────────────────────────────────────────────────────────────


def test_a_machine_that_destroyed_itself_in_the_night_cost_until_then(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path)
        async with town.host() as host:
            await host.look_for(600)
        (instance,) = town.stand_in.market.live()
        instance.destroyed_s = town.now_s() + LIMITS.dead_man_s
        await asyncio.sleep(12 * 3600)
        async with town.host() as host:
            await town.orders.place(0)
            await host.look_for(LIMITS.lease_s + 60)
            assert await host.ledger.live() == ()
            (entry,) = await host.ledger.entries()
            assert instance.destroyed_s <= (entry.ended_s or 0) <= instance.destroyed_s + 130
            assert (await host.ledger.cost()).total_usd < Decimal("0.2")

    run_virtually(run)


def test_what_another_fleet_rented_before_the_store_was_changed_ends_with_its_expiry(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path)
        async with town.host() as host:
            await host.look_for(600)
        (instance,) = town.stand_in.market.live()
        instance.destroyed_s = town.now_s() + LIMITS.dead_man_s
        town.store = MemoryStore(max_bytes=2**20)
        async with town.host(terms=replace(TERMS, scaling=Scaling(least=0))) as host:
            await host.look_for(60)
            (entry,) = await host.ledger.live()  # it may be there still
            await asyncio.sleep(2 * 86_400)
            await host.look_for(60)
            assert await host.ledger.live() == ()
            (entry,) = await host.ledger.entries()
            assert entry.ended_s == entry.expires_s

    run_virtually(run)


# ── several hosts ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_host_with_another_ledger_does_not_take_over_and_destroys_nothing(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path)
        async with town.host("a") as host:
            await host.look_for(600)
        async with town.host("b") as host:
            await host.look_for(2 * LIMITS.lease_s)
            assert "of another host" in host.registry.refusal
            assert ready(await host.registry.read()) == 1
            assert host.registry.reachable(await host.registry.read()).nodes == ()
            assert not host.registry.opens
            assert (await host.ledger.cost()).total_usd == 0
        assert len(town.stand_in.market.live()) == len(town.stand_in.market.instances) == 1
        async with town.host("a") as host:
            await host.look_for(2 * LIMITS.lease_s)
            assert host.registry.refusal == ""

    run_virtually(run)


def test_a_host_with_a_copy_of_the_folder_takes_over_and_counts_on(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path)
        async with town.host("a") as host:
            await host.look_for(3600)
            spent = (await host.ledger.cost()).total_usd
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        async with town.host("b", key_of="a") as host:
            await host.look_for(2 * LIMITS.lease_s)
            assert host.registry.refusal == ""
            assert (await host.ledger.cost()).total_usd > spent > 0
        assert len(town.stand_in.market.live()) == len(town.stand_in.market.instances) == 1

    run_virtually(run)


def test_a_host_with_the_ledger_and_another_key_does_not_take_over_unless_it_adopts(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path)
        async with town.host("a") as host:
            await host.look_for(600)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        async with town.host("b") as host:
            await host.look_for(2 * LIMITS.lease_s)
            assert "copy ssh_key" in host.registry.refusal
            assert (await host.registry.read()).public_key == "ssh-ed25519 a"
            assert await host.registry.hold(adopts=True)
        assert len(town.stand_in.market.live()) == len(town.stand_in.market.instances) == 1

    run_virtually(run)


def test_a_copy_of_the_ledgers_file_alone_is_the_same_ledger(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        ledger, copy = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "copy.sqlite")
        await ledger.open()
        identity = await ledger.identity()
        shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite")  # while it is open
        await copy.open()
        assert await copy.identity() == identity
        await copy.close()
        await ledger.close()

    run_virtually(run)


def test_a_host_that_adopts_the_fleet_counts_its_machines_from_their_creation(tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path)
        async with town.host("a") as host:
            await host.look_for(3600)
        async with town.host("b") as host:
            assert await host.registry.hold(adopts=True) is None  # the lease of the other has not run out yet
            await asyncio.sleep(LIMITS.lease_s)
            assert await host.registry.hold(adopts=True)
            await host.look_for(60)
            counted, charged = (await host.ledger.cost()).total_usd, Decimal(float(town.stand_in.charged_usd()))
            assert charged > 0
            assert abs(counted - charged) < Decimal("0.01")
        async with town.host("a") as host:
            await host.look_for(2 * LIMITS.lease_s)
            assert "of another host" in host.registry.refusal

    run_virtually(run)
