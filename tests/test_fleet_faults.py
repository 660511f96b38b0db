"""Hours of a fleet under random faults, on a virtual clock: no machine is lost, and no budget is passed.

Half of them follow a load that comes and goes, the others keep two machines. 50 schedules by default;
`FLEET_SCHEDULES=200` runs more.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.vast_script import MACHINES, random_lives, random_troubles
from benchmarks.stand_ins.virtual_time import VirtualLoop, run_virtually
from tests.fleet_scene import START_S, Scene
from workbench.fleet.fleet import Look
from workbench.fleet.scaling import Load
from workbench.fleet.terms import Budget, Limits, Scaling, Terms

SCHEDULES = int(os.environ.get("FLEET_SCHEDULES", "50"))
HORIZON_S = 7200.0
WIND_UP_S = 5400.0
LIMITS = Limits(poll_s=45.0, starting_poll_s=20.0)
ABSENCE_S = 120 + LIMITS.lease_s
"""How long a schedule leaves the fleet without a controller, and the next one waits for the lease."""
TERMS = Terms(
    model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"), limits=LIMITS,
    scaling=Scaling(least=2, most=3), budget=Budget(total_usd=Decimal("0.80")),
)  # fmt: skip

BY_LOAD = replace(TERMS, scaling=Scaling(least=0, most=3))
UNWANTED = "not wanted any more"


@dataclass(frozen=True, slots=True)
class Spells:
    """A load that comes and goes, for ever the same: when it began and ended, and how long it would wait."""

    spells: tuple[tuple[float, float, float], ...]

    def at(self, now_s: float) -> Load:
        begun = [spell for spell in self.spells if spell[0] <= now_s]
        if not begun:
            return Load(0.0, now_s)
        _, end_s, wait_s = begun[-1]
        return Load(wait_s, max(now_s - end_s, 0.0))


def spells(draw: random.Random) -> Spells:
    """As many as the schedule is long."""
    drawn, now_s = [], 0.0
    while now_s < HORIZON_S:
        start_s = now_s + draw.uniform(0, 2500)
        now_s = start_s + draw.uniform(1, 2000)
        drawn.append((start_s, now_s, draw.choice((0.0, 5.0, 30.0, math.inf))))
    return Spells(tuple(drawn))


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
            clock=lambda: START_S + loop.time(), outages=outages, credit_usd=1000,
            lives=random_lives(seed, share=0.5, horizon_s=HORIZON_S / 2),
            troubles=lambda endpoint, number: (self.troubles(endpoint, number) if self.is_faulty else None),
        )  # fmt: skip
        self.troubles = random_troubles(seed, share=self.draw.choice((0.0, 0.05, 0.2)))
        self.is_faulty = True
        self.spells = spells(self.draw) if seed % 2 else None
        self.scene = Scene(loop, folder, BY_LOAD if self.spells else TERMS, self.stand_in)
        self.ledger = self.scene.ledger
        self.most_usd_per_h = Decimal(0)
        self.given_up: set[str] = set()

    def hear(self, look: Look) -> None:
        self.most_usd_per_h = max(self.most_usd_per_h, sum((node.usd_per_h for node in look.roll.nodes), Decimal(0)))
        for node in look.roll.nodes:
            if self.is_faulty and node.why == UNWANTED and node.label not in self.given_up:
                self.given_up.add(node.label)
                idle_s = self.spells.at(node.since_s - START_S).idle_s if self.spells else 0.0
                assert idle_s >= BY_LOAD.scaling.shrink_idle_s, "it was given up while it was asked for"

    async def run_for(self, holder: str, seconds: float) -> None:
        """A controller that ends, as by a crash, in the middle of whatever it does."""
        asked = self.spells
        load = (lambda: asked.at(self.loop.time())) if asked and self.is_faulty else None
        async with self.scene.controller(holder, load=load, tell=self.hear) as controller:
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
            await self.scene.orders.place(0)
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
            assert (await town.scene.registry("").read()).nodes == ()
            assert max(town.stand_in.labels.values(), default=0) <= 1, "a create was repeated"
            assert town.stand_in.too_early == {}
            slack_s = LIMITS.poll_s + LIMITS.drain_s + town.longest_outage_s + ABSENCE_S
            spent = Decimal(float(town.stand_in.charged_usd()))
            budget = TERMS.budget.total_usd or Decimal(0)
            assert spent <= budget + town.most_usd_per_h * Decimal(slack_s) / 3600
        finally:
            await town.ledger.close()

    run_virtually(run)
