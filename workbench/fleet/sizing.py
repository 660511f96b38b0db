"""How many machines a controller wants, and which of those on the roll have to go."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from workbench.fleet.nodes import Node, Roll
from workbench.fleet.orders import Order, Orders
from workbench.fleet.proving import Reach
from workbench.fleet.reports import Heard, Reports
from workbench.fleet.scaling import Load, Wanted, scaled
from workbench.fleet.terms import Terms


class Sizer:
    """Weighs the order by hand and the load of all processes. `clock` is seconds since 1970.

    `load` is this process's own; without any load the number stays what it was.
    """

    def __init__(
        self,
        orders: Orders,
        reports: Reports,
        reach: Reach,
        terms: Terms,
        *,
        load: Callable[[], Load] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._orders = orders
        self._reports = reports
        self._reach = reach
        self._terms = terms
        self._load = load
        self._clock = clock
        self._others = Heard()
        self._order_id = ""
        self._wanted: Wanted | None = None

    def forget(self) -> None:
        """Begin with what is on the roll: another controlled the fleet before."""
        self._wanted = None

    def busy(self, node: Node) -> int:
        """Requests that run there, of all processes that follow the roll."""
        return self._reach.in_flight(node) + self._others.busy.get(node.label, 0)

    async def sized(self, roll: Roll) -> tuple[Roll, int]:
        """The roll with those drained or destroyed that are too many, and how many are wanted.

        Raises `StoreError`.
        """
        now_s = self._clock()
        order, self._others = await self._orders.read(), await self._reports.others()
        if order and order.id != self._order_id:
            self._order_id = order.id
            if now_s < order.until_s:  # somebody wants something else: what failed before is tried again
                roll = replace(roll, paused_until_s=0.0, failed_starts=0)
        self._wanted = self._decided(roll, order, now_s=now_s)
        roll = self._fitting(roll, now_s=now_s)
        active = [node for node in roll.nodes if node.state in ("ready", "booting")]
        active.sort(key=lambda node: (node.state == "ready", self.busy(node), -node.created_s))
        for node in active[: max(len(active) - self._wanted.count, 0)]:
            roll = roll.having(_ended(node, now_s=now_s, why="not wanted any more"))
        return roll, self._wanted.count

    def drained(self, roll: Roll) -> Roll:
        """The roll with those to be destroyed that have nothing more to do, or had their time for it."""
        now_s, limits = self._clock(), self._terms.limits
        for node in roll.nodes:
            waited_s = now_s - node.since_s
            is_idle = waited_s >= limits.notice_s and not self.busy(node)
            if node.state == "draining" and (is_idle or waited_s >= limits.drain_s):
                roll = roll.having(node.to("destroying", now_s=now_s))
        return roll

    def _fitting(self, roll: Roll, *, now_s: float) -> Roll:
        """The roll with those given up that have another model than is wanted."""
        model = self._terms.model
        for node in roll.nodes:
            if node.model not in ("", model) and node.state in ("ready", "booting"):
                roll = roll.having(_ended(node, now_s=now_s, why=f"another model is wanted: {model}"))
        return roll

    def _decided(self, roll: Roll, order: Order | None, *, now_s: float) -> Wanted:
        """What is wanted from now on."""
        ready = [node for node in roll.nodes if node.state == "ready"]
        starting = sum(node.state in ("renting", "booting") for node in roll.nodes)
        wanted = self._wanted or Wanted(max(self._terms.scaling.least, len(ready) + starting))
        loads = [*([self._load()] if self._load else []), *self._others.loads]
        idle_s = min((load.idle_s for load in loads), default=float("inf"))
        if order and (now_s < order.until_s or (order.count == 0 and now_s - idle_s <= order.until_s)):
            return Wanted(order.count)
        if not loads:
            return wanted
        rules = self._terms.scaling
        wait_s = max((load.wait_s for load in loads if load.idle_s < rules.shrink_idle_s), default=0.0)
        ready_s = max((node.since_s for node in ready), default=0.0)  # a machine that just came is not idle yet
        load = Load(wait_s, min(idle_s, now_s - ready_s))
        return scaled(wanted, load, rules, now_s=now_s, ready=len(ready), starting=starting)


def _ended(node: Node, *, now_s: float, why: str) -> Node:
    """The same node, given up: requests that run there may end."""
    return node.to("draining" if node.state == "ready" else "destroying", now_s=now_s, why=why)
