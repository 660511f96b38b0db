"""A fleet with all its parts, opened together: for the proxy, for the command line and for notebooks."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from workbench.cache.store import Store
from workbench.errors import FleetError, MarketRefused, WorkbenchError
from workbench.fleet.asyncssh_tunnel import AsyncsshOpener, ssh_key
from workbench.fleet.fleet import Controller, Look
from workbench.fleet.ledger import Ledger
from workbench.fleet.links import Links, Members
from workbench.fleet.nodes import Node, Roll
from workbench.fleet.orders import Orders
from workbench.fleet.registry import Registry
from workbench.fleet.renting import Renter
from workbench.fleet.reports import Reports
from workbench.fleet.scaling import Load
from workbench.fleet.sizing import Sizer
from workbench.fleet.system_tunnel import SystemOpener
from workbench.fleet.terms import Terms
from workbench.fleet.tunnel import Opener
from workbench.fleet.vast import VastClient
from workbench.fleet.vast_calls import GAPS_S

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 1.0
ADOPT_SPARE_S = 10.0
AGAIN_AFTER_S = 1.0
TROUBLE_MOST = 3
"""So many looks in a row that rent nothing, for a reason, end an `up` that waits for no machine to start."""
BEATS_PER_LOOK = 3
"""How often a look writes the roll at most, as another process sees it: the first one may still be of before."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the market is, with which key, and where this fleet keeps its files."""

    key: SecretStr
    base_url: str
    folder: Path
    gaps_s: Mapping[str, float] = field(default_factory=lambda: GAPS_S)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All parts, open."""

    terms: Terms
    market: VastClient
    ledger: Ledger
    registry: Registry
    orders: Orders
    reports: Reports
    links: Links
    renter: Renter
    controller: Controller
    load: Callable[[], Load] | None = None

    @property
    def least(self) -> int:
        """How many `up` orders when it is not told."""
        return max(self.terms.scaling.least, 1)

    async def serve(self) -> None:
        """Control the fleet (or wait to), and follow its roll, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_endless("controller", self.controller.run))
            group.create_task(_endless("follow", self.follow))
            group.create_task(_endless("report", self.report))

    async def follow(self) -> None:
        """Keep tunnels and pool in step with the roll, whoever writes it."""
        while True:
            await self.follow_once()
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def follow_once(self) -> None:
        """The same once; what fails is told."""
        try:
            await self.links.follow(self.registry.reachable(await self.registry.read()))
        except WorkbenchError as error:
            log.warning("fleet.follow_failed error=%s", error)

    async def report(self) -> None:
        """Tell what runs here, apart from `follow`: a slow tunnel must not make this process look dead."""
        while True:
            await self.report_once()
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def report_once(self) -> None:
        """The same once; what fails is told."""
        try:
            await self.orders.keep()
            load = self.load() if self.load and self.registry.opens else None  # else machines came that are of no use
            await self.reports.tell(self.links.busy(), load)
        except WorkbenchError as error:
            log.warning("fleet.report_failed error=%s", error)

    async def up(self, count: int | None) -> Roll:
        """Order so many (None: the least of the terms, or one) and wait until they are ready.

        Looks itself unless another process controls the fleet. Raises `FleetError` when no more can be rented, when it
        takes longer than three starts may, and when it is for another host to do. The order ends with this process's
        fleet, or with `down`; then the load decides.
        """
        await self.check_ours()
        wanted = self.least if count is None else count
        await self.orders.place(wanted)
        troubled, beat = 0, -1
        try:
            async with asyncio.timeout(3 * self.terms.limits.start_s):
                while True:
                    await self.report_once()
                    looked = await self.controller.try_look()
                    roll = looked.roll if looked else await self.registry.read()
                    self._check_refusal()
                    if sum(self._is_ready(node) for node in roll.nodes) >= wanted:
                        await self.links.follow(roll)
                        return roll
                    is_waiting = any(node.state != "ready" for node in roll.nodes)
                    trouble = looked.trouble if looked else roll.trouble
                    is_stuck = bool(trouble) and not is_waiting
                    troubled = troubled + (roll.beat != beat) if is_stuck else 0
                    beat = roll.beat
                    most = TROUBLE_MOST if looked else TROUBLE_MOST * BEATS_PER_LOOK
                    if troubled >= most or (looked and is_stuck and roll.paused_until_s):
                        raise MarketRefused(trouble)
                    await asyncio.sleep(self.terms.limits.starting_poll_s)
        except TimeoutError:
            raise MarketRefused(
                f"{wanted} machines are not ready after {3 * self.terms.limits.start_s:.0f} s"
            ) from None

    def _is_ready(self, node: Node) -> bool:
        return node.state == "ready" and node.model in ("", self.terms.model)

    async def check_ours(self) -> None:
        """Raises `FleetError` when the machines are in another host's ledger: that one rents."""
        if why := self.registry.why_foreign(await self.registry.read()):
            raise FleetError(why)

    def _check_refusal(self) -> None:
        if self.registry.refusal:
            raise FleetError(self.registry.refusal)

    async def adopt(self) -> Roll:
        """Make this host the fleet's: its ledger counts from now on, its key opens what is rented from now on.

        Waits until the lease of a controller that crashed has run out; raises `FleetError` where one is at work.
        """
        try:
            async with asyncio.timeout(self.terms.limits.lease_s + ADOPT_SPARE_S):
                while True:
                    if roll := await self.registry.hold(adopts=True):
                        return roll
                    await asyncio.sleep(self.terms.limits.starting_poll_s)
        except TimeoutError:
            raise FleetError("another controller is at work: end that proxy first, or copy its fleet folder") from None

    async def down(self) -> None:
        """Order none, and wait until the market confirms that all are gone; raises `FleetError` when it does not.

        After that none is rented until a request asks for a Thinker.
        """
        await self.orders.place(0)
        limits = self.terms.limits
        try:
            async with asyncio.timeout(limits.unknown_s + limits.drain_s + 300):
                while True:
                    await self.report_once()
                    looked = await self.controller.try_look()
                    roll = looked.roll if looked else await self.registry.read()
                    self._check_refusal()
                    if not roll.nodes:
                        return await self.orders.lift()
                    await asyncio.sleep(limits.starting_poll_s)
        except TimeoutError:
            left = ", ".join(f"{node.label} ({node.instance_id})" for node in (await self.registry.read()).nodes)
            raise FleetError(f"not confirmed as gone: {left}; look at https://cloud.vast.ai/instances/") from None


@asynccontextmanager
async def open_fleet(
    terms: Terms,
    site: Site,
    store: Store,
    *,
    members: Members | None = None,
    load: Callable[[], Load] | None = None,
    tell: Callable[[Look], None] | None = None,
) -> AsyncIterator[Fleet]:
    """A fleet while the block runs; `store` is open.

    Its lease is given back in the end and its order lifted; its machines stay.
    """
    key_file = site.folder / "ssh_key"
    public_key = await asyncio.to_thread(ssh_key, key_file)
    openers: list[Opener] = [AsyncsshOpener(key_file), SystemOpener(key_file)]
    holder = uuid.uuid4().hex
    orders, reports = Orders(store), Reports(store, holder=holder)
    async with AsyncExitStack() as stack:
        market = await stack.enter_async_context(VastClient(site.key, base_url=site.base_url, gaps_s=site.gaps_s))
        ledger = Ledger(site.folder / "ledger.sqlite")
        await ledger.open()
        stack.push_async_callback(ledger.close)
        registry = Registry(
            store,
            holder=holder,
            lease_s=terms.limits.lease_s,
            clock=time.monotonic,
            ledger=await ledger.identity(),
            public_key=public_key,
        )
        links = await stack.enter_async_context(Links(openers, terms, members=members))
        renter = Renter(market, ledger, registry, terms, base_url=site.base_url, clock=time.time)
        controller = Controller(
            market,
            ledger,
            registry,
            renter,
            links,
            Sizer(orders, reports, links, terms, load=load),
            terms,
            public_key=public_key,
            log_folder=site.folder / "logs",
            tell=tell,
        )
        stack.push_async_callback(_release, registry, orders)
        yield Fleet(terms, market, ledger, registry, orders, reports, links, renter, controller, load)


async def _endless(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin it again whatever ends it, but our own end: machines cost money while nobody looks at the budget."""
    while True:
        task = asyncio.create_task(run())
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        failure = None if task.cancelled() else task.exception()
        log.error("fleet.ended_by_itself what=%s error=%r; it begins again", name, failure, exc_info=failure)
        await asyncio.sleep(AGAIN_AFTER_S)


async def _release(registry: Registry, orders: Orders) -> None:
    try:
        await orders.lift()
        await registry.release()
    except WorkbenchError as error:
        log.warning("fleet.release_failed error=%s", error)
