"""Keeping the ledger in step with what is seen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from workbench.errors import LedgerError
from workbench.fleet.costing import Phase
from workbench.fleet.ledger import Ledger
from workbench.fleet.market import Instance, Rates
from workbench.fleet.nodes import Node
from workbench.fleet.proving import seen
from workbench.fleet.terms import Limits, Terms

log = logging.getLogger(__name__)

DEAD_MAN_SPARE_S = 120.0
"""How long after its time a dead man's switch may take: it looks once a minute, and then asks the market."""


class Keeper:
    """Writes down what each look at an instance means for its cost. `busy` tells the requests that run there."""

    def __init__(self, ledger: Ledger, busy: Callable[[Node], int]) -> None:
        self._ledger = ledger
        self._busy = busy

    async def found(self, node: Node, instance: Instance, terms: Terms, *, now_s: float) -> Node:
        """The node after a look at its instance; the ledger knows that it is rented, what it costs and what it does."""
        if node.state == "renting":
            node = node.to("booting", now_s=now_s).at("provision", now_s=now_s)
        after = replace(seen(node, instance, terms=terms, now_s=now_s), seen_s=now_s)
        try:
            at_least = Rates(node.usd_per_h, Decimal(0), Decimal(0), Decimal(0)).updated(instance.rates)
            await self._ledger.adopt(  # what another host rented costs here, too
                node.label,
                machine_id=node.machine_id,
                rates=at_least,
                since_s=node.created_s,
                expires_s=node.expires_s,
            )
            await self._ledger.rented(node.label, instance_id=instance.id, rates=instance.rates)
            await self._ledger.observe(node.label, phase=self._phase(after), gpu_billed=instance.is_running)
            if instance.down_bytes is not None or instance.up_bytes is not None:
                down, up = instance.down_bytes or 0, instance.up_bytes or 0
                await self._ledger.traffic(node.label, down_bytes=down, up_bytes=up)
        except LedgerError as error:
            log.warning("fleet.ledger label=%s error=%s", node.label, error)
        return after

    async def settle(self, label: str, *, instance_id: int | None, why: str, at_s: float) -> None:
        """It is certain that it is not there: it cost until `at_s`, or was never rented."""
        try:
            if instance_id is None:
                await self._ledger.not_rented(label, reason=why)
            else:
                await self._ledger.destroyed(label, at_s=at_s)
        except LedgerError as error:
            log.warning("fleet.ledger label=%s error=%s", label, error)

    async def settle_node(self, node: Node, *, limits: Limits, now_s: float) -> None:
        """The same for a node: while nobody watched, its own dead man's switch ended it."""
        last_s = node.seen_s + limits.dead_man_s + DEAD_MAN_SPARE_S if node.seen_s else now_s
        at_s = min(now_s, last_s)
        await self.settle(node.label, instance_id=node.instance_id, why="it never showed up", at_s=at_s)

    def _phase(self, node: Node) -> Phase:
        match node.state:
            case "renting" | "booting":
                return "booting"
            case "ready" | "draining":
                return "busy" if self._busy(node) else "idle"
            case "destroying":
                return "failed" if node.has_failed else "idle"
