"""The controller: every few seconds it looks at the market, the tunnels, the load and the budget, and acts.

All it knows stands on the roll, which is written before anything is done; so another controller can go on at any point.
Order of a look: who may write, what is there, what it cost, what is wanted; then destroy, then rent at most one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from workbench.errors import FleetError, LedgerError, MarketUnavailable, StoreError
from workbench.fleet import budget
from workbench.fleet.budget import Finding, Spent
from workbench.fleet.keeping import Keeper
from workbench.fleet.ledger import Ledger
from workbench.fleet.lessons import noted
from workbench.fleet.logs import keep_log
from workbench.fleet.market import Instance
from workbench.fleet.nodes import Node, Roll
from workbench.fleet.proving import Reach, proved
from workbench.fleet.registry import Registry
from workbench.fleet.renting import NothingFits, Renter
from workbench.fleet.sizing import Sizer
from workbench.fleet.sweeping import forgotten, orphans
from workbench.fleet.terms import Terms
from workbench.fleet.vast import VastClient

log = logging.getLogger(__name__)

REPLACED_BEFORE_S = 300.0
"""A node is drained so long before it expires."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: the roll afterwards, what the budget says, how many are wanted, and what went wrong."""

    roll: Roll
    finding: Finding
    wanted: int
    trouble: str = ""


class Controller:
    """See the module. `look` is one round; `run` makes rounds until it is cancelled.

    `tell` hears of every look. `clock` is seconds since 1970.
    """

    def __init__(
        self,
        market: VastClient,
        ledger: Ledger,
        registry: Registry,
        renter: Renter,
        reach: Reach,
        sizer: Sizer,
        terms: Terms,
        *,
        public_key: str,
        log_folder: Path | None = None,
        tell: Callable[[Look], None] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._registry = registry
        self._renter = renter
        self._reach = reach
        self._sizer = sizer
        self._terms = terms
        self._public_key = public_key
        self._log_folder = log_folder
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._keeper = Keeper(ledger, sizer.busy)
        self._trouble = ""

    async def run(self) -> None:
        """Look, and look again, for ever; what fails is told and tried again."""
        while True:
            looked = await self.try_look()
            is_starting = looked is not None and any(node.state in ("renting", "booting") for node in looked.roll.nodes)
            is_short = looked is not None and len(looked.roll.nodes) < looked.wanted and not looked.trouble
            limits = self._terms.limits
            await self._sleep(limits.starting_poll_s if is_starting or is_short else limits.poll_s)

    async def try_look(self) -> Look | None:
        """A look whose failure is only logged."""
        try:
            return await self.look()
        except (FleetError, StoreError) as error:
            log.warning("fleet.look_failed error=%s", error)
            return None

    async def look(self) -> Look | None:
        """One round; None while another controller has the lease. Raises `FleetError` and `StoreError`."""
        roll = await self._registry.hold()
        if roll is None:
            return None
        if self._registry.is_new:
            self._sizer.forget()
        self._trouble = ""
        instances = await self._instances()
        roll = await self._registry.write(roll)  # the list may have taken long: is the lease still ours?
        if instances is not None:
            roll = await self._matched(roll, instances)
        roll = await self._asked(roll)
        finding = await self._judged(roll)
        roll, wanted = await self._sizer.sized(self._bounded(roll, finding))
        roll = await self._registry.write(self._sizer.drained(roll))  # before anything is done
        returned = await self._returned(roll)
        roll = roll if returned == roll else await self._registry.write(returned)
        if finding.verdict == "rent" and instances is not None and len(roll.nodes) < wanted:
            roll = await self._rented(roll)
        if roll.trouble != self._trouble:
            roll = await self._registry.write(replace(roll, trouble=self._trouble))
        looked = Look(roll, finding, wanted, self._trouble)
        if self._tell:
            self._tell(looked)
        return looked

    # ── what is there ───────────────────────────────────────────────────────────────────────────────────────

    async def _instances(self) -> tuple[Instance, ...] | None:
        """All instances; None when the market does not tell, or not while the lease is certain to be ours."""
        most_s = self._terms.limits.lease_s / 2
        try:
            async with asyncio.timeout(most_s):
                return await self._market.instances()
        except TimeoutError:
            self._note(MarketUnavailable(f"the market did not list the instances within {most_s:g} s"))
        except FleetError as error:
            self._note(error)
        return None

    async def _matched(self, roll: Roll, instances: tuple[Instance, ...]) -> Roll:
        """The roll with what the market says of each node; orphans are destroyed on the way."""
        now_s = self._clock()
        there = {instance.id: instance for instance in instances}
        for orphan in orphans(instances, roll, project=self._terms.project, now_s=now_s):
            log.warning("fleet.orphan instance=%d label=%s", orphan.id, orphan.label)
            await self._try(self._market.destroy(orphan.id))
        for node in roll.nodes:
            ids = (node.instance_id or instance.id for instance in instances if instance.label == node.label)
            instance = there.get(next(ids, 0))
            if instance is not None:
                roll = self._noted(roll, node, await self._keeper.found(node, instance, self._terms, now_s=now_s))
            elif await self._is_gone(node, now_s=now_s):
                roll = self._noted(roll, node, None)
        lost = forgotten(await self._ledger.live(), instances, roll, now_s=now_s, after_s=self._terms.limits.unknown_s)
        for entry in lost:
            at_s = min(now_s, entry.expires_s)  # nobody knows better: by then its own timer has ended it
            await self._keeper.settle(
                entry.label, instance_id=entry.instance_id, why="it is not on the market", at_s=at_s
            )
        return roll

    async def _is_gone(self, node: Node, *, now_s: float) -> bool:
        """Whether a node that is not on the list is certainly not there; settles it with the ledger."""
        limits = self._terms.limits
        if node.instance_id is None:
            if now_s - node.since_s < limits.unknown_s:
                return False
        else:
            if node.state != "destroying" and now_s - node.created_s < limits.provision_s:
                return False  # lists lag
            try:
                if await self._market.show(node.instance_id) is not None:
                    return False
            except FleetError as error:
                self._note(error)
                return False
        await self._keeper.settle_node(node, limits=limits, now_s=now_s)
        await self._reach.forget(node.label)
        return True

    def _noted(self, roll: Roll, before: Node, after: Node | None) -> Roll:
        return noted(roll, before, after, now_s=self._clock(), limits=self._terms.limits)

    async def _asked(self, roll: Roll) -> Roll:
        """The roll with what is seen through the tunnels."""
        now_s, limits = self._clock(), self._terms.limits
        for node in roll.nodes:
            after = node
            if node.state == "booting" and node.addresses and node.step not in ("rent", "provision", "load"):
                after = proved(node, await self._reach.prove(node), terms=self._terms, now_s=now_s)
                if after.state == "ready":
                    roll = replace(roll, failed_starts=0, outbid=0 if node.mode == "bid" else roll.outbid)
            elif node.state in ("ready", "draining"):
                silent_s = await self._reach.silent_s(node)
                if silent_s > limits.silence_s:
                    why = f"no heartbeat could be written for {silent_s:.0f} s"
                    after = node.to("destroying", now_s=now_s, why=why, has_failed=True)
                elif node.state == "ready" and now_s > node.expires_s - REPLACED_BEFORE_S:
                    after = node.to("draining", now_s=now_s, why="its time is over")
            roll = self._noted(roll, node, after)
        return roll

    # ── money ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _judged(self, roll: Roll, *, more_usd_per_h: Decimal = Decimal(0)) -> Finding:
        """What the budget says; while the ledger fails nothing is rented."""
        now_s = self._clock()
        try:
            spent = Spent(
                hour_usd=(await self._ledger.cost(since_s=now_s - budget.HOUR_S)).total_usd,
                day_usd=(await self._ledger.cost(since_s=now_s - budget.DAY_S)).total_usd,
                total_usd=(await self._ledger.cost()).total_usd,
            )
        except LedgerError as error:
            self._note(error)
            return Finding("hold", str(error))
        running = sum((node.usd_per_h for node in roll.nodes), Decimal(0))
        return budget.judge(
            self._terms.budget, spent, usd_per_h=running, limits=self._terms.limits, more_usd_per_h=more_usd_per_h
        )

    def _bounded(self, roll: Roll, finding: Finding) -> Roll:
        """The roll with the budget's verdict carried out."""
        if finding.verdict not in ("drain", "destroy"):
            return roll
        for node in roll.nodes:
            if node.state == "renting" or node.state == "destroying":
                continue
            if finding.verdict == "destroy" or node.state == "booting":
                roll = roll.having(node.to("destroying", now_s=self._clock(), why=finding.why))
            elif node.state == "ready":
                roll = roll.having(node.to("draining", now_s=self._clock(), why=finding.why))
        return roll

    # ── what is done ────────────────────────────────────────────────────────────────────────────────────────

    async def _returned(self, roll: Roll) -> Roll:
        """Destroy what is of no use; it stays on the roll until the market confirms that it is gone."""
        for node in roll.nodes:
            if node.state == "destroying" and node.instance_id is not None:
                if node.has_failed and self._log_folder and not node.is_logged:
                    await keep_log(self._market, node, self._log_folder)
                    roll = roll.having(replace(node, is_logged=True))
                await self._reach.forget(node.label)  # or its tunnel would be missed, and looked for
                await self._try(self._market.destroy(node.instance_id))
        return await self._let_in(roll)

    async def _let_in(self, roll: Roll) -> Roll:
        """The roll with our SSH key on every machine that starts."""
        for node in roll.nodes:
            is_locked = node.state == "booting" and not node.has_key
            if is_locked and node.instance_id is not None:
                let_in = await self._try(self._market.attach_key(node.instance_id, self._public_key))
                roll = roll.having(replace(node, has_key=let_in))
        return roll

    async def _rented(self, roll: Roll) -> Roll:
        """One machine more, if none is being given up, an offer fits and the budget allows it."""
        if roll.paused_until_s > self._clock():
            self._trouble = f"nothing is rented for now: {roll.why_paused}"
            return roll
        try:
            choices = await self._renter.choices(roll)
        except FleetError as error:
            self._note(error)
            return roll
        if isinstance(choices, NothingFits):
            self._trouble = choices.why
            return roll
        finding = await self._judged(roll, more_usd_per_h=choices[0].usd_per_h)
        if finding.verdict != "rent":
            self._trouble = finding.why
            return roll
        roll = await self._renter.rent(roll, choices[0])
        let_in = await self._let_in(roll)
        return roll if let_in == roll else await self._registry.write(let_in)

    async def _try(self, work: Awaitable[None]) -> bool:
        """Do it; what fails is noted, and done again at the next look."""
        try:
            await work
        except FleetError as error:
            self._note(error)
            return False
        return True

    def _note(self, error: FleetError) -> None:
        log.warning("fleet.trouble error=%s", error)
        self._trouble = str(error)
