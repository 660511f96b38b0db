"""Hours of a fleet under random faults, on a virtual clock: no machine is lost, and no budget is passed.

50 schedules by default; `FLEET_SCHEDULES=200` runs more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.vast_market import Market
from benchmarks.stand_ins.vast_script import MACHINES, random_lives, random_troubles
from benchmarks.stand_ins.virtual_time import VirtualLoop, run_virtually
from workbench.cache.memory_store import MemoryStore
from workbench.fleet.fleet import Controller, Look
from workbench.fleet.ledger import Ledger
from workbench.fleet.nodes import Node
from workbench.fleet.proving import Proof, Proved, Unfit, Waiting
from workbench.fleet.registry import Registry
from workbench.fleet.renting import Renter
from workbench.fleet.terms import Budget, Limits, Scaling, Terms
from workbench.fleet.vast import VastClient

SCHEDULES = int(os.environ.get("FLEET_SCHEDULES", "50"))
START_S = 1_800_000_000.0
HORIZON_S = 7200.0
WIND_UP_S = 5400.0
LIMITS = Limits(poll_s=45.0, starting_poll_s=20.0)
ABSENCE_S = 120 + LIMITS.lease_s
"""How long a schedule leaves the fleet without a controller, and the next one waits for the lease."""
TERMS = Terms(
    model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"), limits=LIMITS,
    scaling=Scaling(least=2, most=3), budget=Budget(total_usd=Decimal("0.80")),
)  # fmt: skip


@dataclass(slots=True)
class VirtualReach:
    """What a tunnel would show, taken from the stand-in's own state."""

    market: Market
    clock: VirtualLoop

    async def prove(self, node: Node) -> Proof:
        instance = self.market.instances[node.instance_id or 0]
        now_s = self.market.clock()
        if instance.destroyed_s is not None or instance.status(now_s) != "running":
            return Waiting("ssh", "nothing answers")
        if instance.life.gpu_name:
            return Unfit("wrong GPU")
        return Proved("ssh-ed25519 key") if instance.has_pulled(now_s) else Waiting("pull", "not there yet")

    async def silent_s(self, node: Node) -> float:
        instance = self.market.instances[node.instance_id or 0]
        return 0.0 if instance.status(self.market.clock()) == "running" else 60.0

    def in_flight(self, node: Node) -> int:
        return 0

    async def forget(self, label: str) -> None:
        pass


class Town:
    """One schedule: a market with its faults, a store, a ledger, and controllers that come and go."""

    def __init__(self, loop: VirtualLoop, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311  # no secret
        self.loop = loop
        outages = [(START_S + at, START_S + at + self.draw.uniform(30, 600))
                   for at in self.draw.sample(range(int(HORIZON_S)), self.draw.choice((0, 1, 2)))]  # fmt: skip
        self.longest_outage_s = max((end - start for start, end in outages), default=0.0)
        self.stand_in = StandInVast(
            [replace(machine, machine_id=machine.machine_id + 100 * copy) for copy in range(4) for machine in MACHINES],
            clock=self.now_s, outages=outages, credit_usd=1000,
            lives=random_lives(seed, share=0.5, horizon_s=HORIZON_S / 2),
            troubles=lambda endpoint, number: (self.troubles(endpoint, number) if self.is_faulty else None),
        )  # fmt: skip
        self.troubles = random_troubles(seed, share=self.draw.choice((0.0, 0.05, 0.2)))
        self.is_faulty = True
        self.store = MemoryStore(max_bytes=2**20)
        self.ledger = Ledger(folder / "ledger.sqlite", clock=self.now_s)
        self.reach = VirtualReach(self.stand_in.market, loop)
        self.looks: list[Look] = []
        self.most_usd_per_h = Decimal(0)

    def now_s(self) -> float:
        return START_S + self.loop.time()

    def registry(self, holder: str) -> Registry:
        return Registry(self.store, holder=holder, lease_s=LIMITS.lease_s, clock=self.loop.time)

    @contextlib.asynccontextmanager
    async def controller(self, holder: str) -> AsyncIterator[Controller]:
        registry = self.registry(holder)
        async with VastClient(
            SecretStr(self.stand_in.key), base_url="http://vast", transport=self.stand_in.transport(),
            clock=self.loop.time, timeout_s=30,
        ) as market:  # fmt: skip
            renter = Renter(market, self.ledger, registry, TERMS, base_url="http://vast", clock=self.now_s)
            yield Controller(
                market, self.ledger, registry, renter, self.reach, TERMS,
                public_key="ssh-ed25519 ours", tell=self.hear, clock=self.now_s,
            )  # fmt: skip

    def hear(self, look: Look) -> None:
        self.looks.append(look)
        self.most_usd_per_h = max(self.most_usd_per_h, sum((node.usd_per_h for node in look.roll.nodes), Decimal(0)))

    async def run_for(self, holder: str, seconds: float) -> None:
        """A controller that ends, as by a crash, in the middle of whatever it does."""
        async with self.controller(holder) as controller:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await controller.run()

    async def watch(self) -> None:
        """At no time is there a live instance that the ledger does not know."""
        while True:
            entries = await self.ledger.live()
            known = {entry.label for entry in entries}
            lost = [instance.label for instance in self.stand_in.market.live() if instance.label not in known]
            assert lost == []
            await asyncio.sleep(13)

    async def live(self) -> None:
        """The schedule: controllers one after the other, sometimes two at once; then all is to be given back."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self.watch())
            while self.loop.time() < HORIZON_S:
                stretch_s = self.draw.uniform(60, 4000)
                rival = group.create_task(self.run_for("rival", stretch_s)) if self.draw.random() < 0.2 else None
                await self.run_for(f"holder-{self.loop.time()}", min(stretch_s, HORIZON_S))
                if rival:
                    await rival
                await asyncio.sleep(self.draw.uniform(0, 120))
            self.is_faulty = False
            self.stand_in.outages.clear()
            await self.registry("").order(0)
            await self.run_for("last", WIND_UP_S)
            watching.cancel()


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_no_machine_is_lost_and_no_budget_is_passed(seed: int, tmp_path: Path) -> None:
    async def run(loop: VirtualLoop) -> None:
        town = Town(loop, tmp_path, seed)
        await town.ledger.open()
        try:
            await town.live()
            market = town.stand_in.market
            assert [instance.label for instance in market.live()] == []
            assert await town.ledger.live() == ()
            assert (await town.registry("").read()).nodes == ()
            assert max(town.stand_in.labels.values(), default=0) <= 1, "a create was repeated"
            assert town.stand_in.too_early == {}
            slack_s = LIMITS.poll_s + LIMITS.drain_s + town.longest_outage_s + ABSENCE_S
            spent = Decimal(float(town.stand_in.charged_usd()))
            budget = TERMS.budget.total_usd or Decimal(0)
            assert spent <= budget + town.most_usd_per_h * Decimal(slack_s) / 3600
        finally:
            await town.ledger.close()

    run_virtually(run)
