"""Finding an offer and renting it: written down first, sent once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.errors import (
    CreateUnknown,
    FleetError,
    KeyRefused,
    MarketRefused,
    NoCredit,
    OfferGone,
    PriceChanged,
)
from workbench.fleet import choosing
from workbench.fleet.choosing import Choice
from workbench.fleet.ledger import Ledger
from workbench.fleet.market import Rental
from workbench.fleet.nodes import Excluded, Node, Roll, new_label
from workbench.fleet.onstart import onstart
from workbench.fleet.registry import Registry
from workbench.fleet.terms import Terms
from workbench.fleet.vast import VastClient

log = logging.getLogger(__name__)

GONE_S = 600.0
"""How long an offer that was gone or dearer than told is left alone."""

OUTBID_MOST = 2
"""After so many lost bids in a row, on demand is the cheaper way to get work done."""


@dataclass(frozen=True, slots=True)
class NothingFits:
    """No offer can be taken, and why."""

    why: str


class Renter:
    """Rents one machine at a time. `base_url` is where an instance reaches the market to destroy itself."""

    def __init__(
        self,
        market: VastClient,
        ledger: Ledger,
        registry: Registry,
        terms: Terms,
        *,
        base_url: str,
        clock: Callable[[], float],
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._registry = registry
        self._terms = terms
        self._base_url = base_url
        self._clock = clock

    async def choices(self, roll: Roll) -> tuple[Choice, ...] | NothingFits:
        """What could be rented now, best first; raises `FleetError` when the market cannot be asked."""
        terms, now_s = self._terms, self._clock()
        taken = {node.machine_id for node in roll.nodes}
        without = frozenset(taken | {each.machine_id for each in roll.excluded if each.until_s > now_s})
        bids = terms.mode == "bid" and not (terms.falls_back and roll.outbid >= OUTBID_MOST)
        modes = (["bid"] if bids else []) + (["on-demand"] if terms.falls_back or not bids else [])
        found = 0
        for mode in ("bid", "on-demand"):
            if mode not in modes:
                continue
            offers = await self._market.search(choosing.conditions(terms), disk_gb=terms.disk_gb, mode=mode)
            found += len(offers)
            if best := choosing.ranked(offers, terms, mode=mode, without=without):
                return best
        return NothingFits(self._why_not(found, excluded=len(without)))

    def _why_not(self, found: int, *, excluded: int) -> str:
        terms = self._terms
        if found:
            return (
                f"{found} offers fit, none of them under the cap of ${terms.price_cap_usd_per_h}/h on a machine not "
                f"excluded ({excluded} are): raise price_cap_usd_per_h, or wait"
            )
        among = f" among {', '.join(terms.gpus)}" if terms.gpus else ""
        return (
            f"no offer has what is asked: a GPU with {terms.vram_gb:.0f} GB{among} for {terms.model}, and the other "
            "conditions; ask for less, or for a smaller model"
        )

    async def rent(self, roll: Roll, choice: Choice) -> Roll:
        """Rent it, and return the roll with what came of that. Raises `LeaseLost`, and what the stores raise."""
        node = self._node(roll, choice)
        rates = choice.offer.rates if choice.bid_usd_per_h is None else replace(
            choice.offer.rates, gpu_usd_per_h=choice.bid_usd_per_h
        )  # fmt: skip
        await self._ledger.intend(node.label, machine_id=node.machine_id, rates=rates, expires_s=node.expires_s)
        roll = await self._registry.write(roll.having(node))  # from here on a crash leaves a trace
        try:
            rented = await self._market.create(self._rental(node, choice))
        except CreateUnknown as error:
            log.warning("fleet.create_unknown label=%s error=%s", node.label, error)
            return roll
        except FleetError as error:
            await self._ledger.not_rented(node.label, reason=str(error))
            return await self._registry.write(self._refused(roll.without(node.label), choice, error))
        if rented.complaint:
            log.warning("fleet.create_complained label=%s complaint=%r", node.label, rented.complaint)
        await self._ledger.rented(node.label, instance_id=rented.instance_id)
        booting = replace(node.to("booting", now_s=self._clock()), instance_id=rented.instance_id)
        return await self._registry.write(roll.having(booting.at("provision", now_s=self._clock())))

    def _node(self, roll: Roll, choice: Choice) -> Node:
        now_s, offer = self._clock(), choice.offer
        expires_s = now_s + min(self._terms.limits.lifetime_s, offer.duration_s or float("inf"))
        return Node(
            label=new_label(project=self._terms.project, fleet=roll.fleet, expires_s=expires_s),
            offer_id=offer.id,
            machine_id=offer.hardware.machine_id,
            gpu_name=offer.hardware.gpu_name,
            mode=choice.mode,
            usd_per_h=choice.usd_per_h,
            created_s=now_s,
            expires_s=expires_s,
            state="renting",
            since_s=now_s,
            step_since_s=now_s,
            inet_down_mbps=offer.hardware.inet_down_mbps,
            model=self._terms.model,
            context_tokens=self._terms.context_tokens,
        )

    def _rental(self, node: Node, choice: Choice) -> Rental:
        return Rental(
            offer_id=node.offer_id,
            label=node.label,
            image=self._terms.image,
            disk_gb=self._terms.disk_gb,
            env={"THINKER_MODEL": self._terms.model},
            onstart=onstart(self._terms, base_url=self._base_url, lifetime_s=node.expires_s - node.created_s),
            bid_usd_per_h=choice.bid_usd_per_h,
        )

    def _refused(self, roll: Roll, choice: Choice, error: FleetError) -> Roll:
        """The roll after a create that rented nothing: leave that offer alone, or rent nothing for a while."""
        now_s = self._clock()
        log.warning("fleet.create_refused offer=%d error=%s", choice.offer.id, error)
        if isinstance(error, OfferGone | PriceChanged):
            return replace(roll, excluded=(*roll.excluded, Excluded(choice.offer.hardware.machine_id, now_s + GONE_S)))
        if isinstance(error, NoCredit | KeyRefused | MarketRefused):
            return replace(roll, paused_until_s=now_s + self._terms.limits.pause_s, why_paused=str(error))
        return roll
