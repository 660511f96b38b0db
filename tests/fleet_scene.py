"""A market, a store, a ledger and controllers on a virtual clock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.vast_market import Market
from benchmarks.stand_ins.virtual_time import VirtualLoop
from workbench.cache.memory_store import MemoryStore
from workbench.fleet.fleet import Controller, Look
from workbench.fleet.ledger import Ledger
from workbench.fleet.nodes import Node
from workbench.fleet.orders import Orders
from workbench.fleet.proving import Proof, Proved, Unfit, Waiting
from workbench.fleet.registry import Registry
from workbench.fleet.renting import Renter
from workbench.fleet.reports import Reports
from workbench.fleet.scaling import Load
from workbench.fleet.sizing import Sizer
from workbench.fleet.terms import Terms
from workbench.fleet.vast import VastClient

START_S = 1_800_000_000.0


@dataclass(slots=True)
class VirtualReach:
    """What a tunnel would show, taken from the stand-in's own state; `busy` is set by the test."""

    market: Market
    busy: dict[str, int] = field(default_factory=dict)

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
        return self.busy.get(node.label, 0)

    async def forget(self, label: str) -> None:
        pass


class Scene:
    """What controllers share. `loop` is the clock; time begins at `START_S`."""

    def __init__(self, loop: VirtualLoop, folder: Path, terms: Terms, stand_in: StandInVast) -> None:
        self.loop = loop
        self.terms = terms
        self.stand_in = stand_in
        self.store = MemoryStore(max_bytes=2**20)
        self.ledger = Ledger(folder / "ledger.sqlite", clock=self.now_s)
        self.reach = VirtualReach(stand_in.market)
        self.orders = Orders(self.store, clock=self.now_s)

    def now_s(self) -> float:
        return START_S + self.loop.time()

    def registry(self, holder: str, *, lease_s: float | None = None) -> Registry:
        return Registry(self.store, holder=holder, lease_s=lease_s or self.terms.limits.lease_s, clock=self.loop.time)

    def reports(self, holder: str) -> Reports:
        return Reports(self.store, holder=holder, clock=self.loop.time)

    @contextlib.asynccontextmanager
    async def controller(
        self,
        holder: str,
        *,
        terms: Terms | None = None,
        lease_s: float | None = None,
        load: Callable[[], Load] | None = None,
        tell: Callable[[Look], None] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> AsyncIterator[Controller]:
        registry, terms = self.registry(holder, lease_s=lease_s), terms or self.terms
        orders = Orders(self.store, clock=self.now_s)
        sizer = Sizer(orders, self.reports(holder), self.reach, terms, load=load, clock=self.now_s)
        async with VastClient(
            SecretStr(self.stand_in.key), base_url="http://vast", transport=transport or self.stand_in.transport(),
            clock=self.loop.time, timeout_s=30,
        ) as market:  # fmt: skip
            renter = Renter(market, self.ledger, registry, terms, base_url="http://vast", clock=self.now_s)
            yield Controller(
                market, self.ledger, registry, renter, self.reach, sizer, terms,
                public_key="ssh-ed25519 ours", tell=tell, clock=self.now_s,
            )  # fmt: skip
