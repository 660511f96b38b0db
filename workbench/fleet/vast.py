"""vast.ai's REST API, as much of it as it takes to rent, watch and return machines.

Reads are repeated after a failure; what changes something is not. A create least of all: it may rent a machine and
still answer with an error, or not at all, so that its outcome is looked up by label instead. Source: vast.ai's API
reference and its published gaps between calls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import httpx2
import orjson
from pydantic import SecretStr

from workbench.errors import CreateUnknown, FleetError, MarketUnavailable, OfferGone
from workbench.fleet import searching, vast_create, vast_wire
from workbench.fleet.market import Account, Charge, Condition, Instance, Mode, Offer, Rental, Rented
from workbench.fleet.pacing import Pacer, Sleep
from workbench.fleet.vast_calls import GAPS_S, Call, NotSent, VastCalls

log = logging.getLogger(__name__)

BASE_URL = "https://console.vast.ai"
PAGE = 25
"""The most instances that one list call gives."""

LOOK_AGAIN_S = (1.0, 4.0, 10.0)
"""When to look for an instance whose create was not answered, in seconds after it and after each other."""

LOG_POLL_S = 0.5
LOG_POLLS = 30


class VastClient:
    """A client of vast.ai, or of whatever speaks its API at `base_url`.

    `clock` (monotonic seconds) and `sleep` pace the calls; `timeout_s` is for one call as a whole. `transport`
    replaces the network. Raises `KeyRefused` at once when the key is none.
    """

    def __init__(
        self,
        key: SecretStr,
        *,
        base_url: str = BASE_URL,
        timeout_s: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        gaps_s: Mapping[str, float] = GAPS_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._pacer = Pacer(gaps_s, clock=clock, sleep=sleep)
        self._calls = VastCalls(key, base_url=base_url, pacer=self._pacer, timeout_s=timeout_s, transport=transport)

    async def open(self) -> None:
        """Prepare the connections; nothing is sent yet."""
        await self._calls.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        """Open it for a block."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    # ── reads ───────────────────────────────────────────────────────────────────────────────────────────────

    async def search(
        self,
        conditions: Iterable[Condition],
        *,
        disk_gb: float,
        mode: Mode = "on-demand",
        limit: int = 64,
        order: tuple[str, str] = ("dph_total", "asc"),
    ) -> tuple[Offer, ...]:
        """Offers that meet all conditions, priced with a disk of `disk_gb`; verified, rentable ones unless told else.

        Raises `ConfigurationError` for a field that offers do not have.
        """
        body = searching.body(conditions, mode=mode, disk_gb=disk_gb, limit=limit, order=order)
        answer = await self._calls.read(Call("search", "POST", "/api/v0/bundles/", "search offers", body=body))
        return vast_wire.offers(_rows(answer, "offers"), disk_gb=disk_gb)

    async def show(self, instance_id: int) -> Instance | None:
        """One instance; None when there is no such one (any more, or not yet: just rented, it may take seconds)."""
        path = f"/api/v0/instances/{instance_id}/"
        try:
            answer = await self._calls.read(
                Call("show", "GET", path, f"show instance {instance_id}", query={"owner": "me"})
            )
        except OfferGone:
            await self._check_key()
            return None
        if "instances" not in answer:
            raise MarketUnavailable(f"vast.ai's answer has no instance, but {sorted(answer)}; try again later")
        row = answer["instances"]
        return None if row is None else vast_wire.instance(row)

    async def instances(self) -> tuple[Instance, ...]:
        """All instances of the account."""
        return tuple([vast_wire.instance(row) async for row in self._listed({})])

    async def find(self, label: str) -> tuple[Instance, ...]:
        """The instances with this label."""
        rows = self._listed({"label": {"in": [label]}})
        return tuple([found async for row in rows if (found := vast_wire.instance(row)).label == label])

    async def account(self) -> Account:
        """Whose key it is and the credit left; raises `KeyRefused` when the key is wrong."""
        call = Call("account", "GET", "/api/v0/users/current", "show the account's user; check the API key")
        return vast_wire.account(await self._calls.read(call))

    async def charges(self, *, since_s: float, until_s: float) -> tuple[Charge, ...]:
        """What was charged for instances on the days between two times (seconds since 1970)."""
        query = {
            "select_filters": _json({"day": {"gte": int(since_s), "lte": int(until_s)}, "type": {"in": ["instance"]}}),
            "format": "table",
            "limit": 100,
        }
        call = Call("charges", "GET", "/api/v0/charges/", "list the charges", query=query)
        return vast_wire.charges([row async for row in self._pages(call, "results")])

    async def logs(self, instance_id: int, *, tail_lines: int = 1000) -> str:
        """The last lines that the machine wrote, secrets and all; empty when they do not come in time."""
        body = {"tail": str(tail_lines)}
        path = f"/api/v0/instances/request_logs/{instance_id}/"
        answer = await self._calls.read(Call("logs", "PUT", path, f"fetch logs of instance {instance_id}", body=body))
        url = answer.get("result_url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise MarketUnavailable(f"vast.ai gave no address for the logs of instance {instance_id}; try again later")
        # The address is another host's and signed: it must not see the key.
        call = Call("logs", "GET", url, f"download logs of instance {instance_id}", with_key=False)
        for _ in range(LOG_POLLS):
            fetched = await self._calls.once(call)
            if fetched.status == 200:
                return fetched.body.decode(errors="replace")
            await self._pacer.pause(LOG_POLL_S)
        return ""

    # ── changes ─────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, rental: Rental) -> Rented:
        """Rent a machine. Sent once; when the answer leaves open what happened, its label is looked for.

        Raises `OfferGone`, `PriceChanged`, `NoCredit`, `KeyRefused`, `RateLimited`, `MarketRefused` or
        `MarketUnavailable` when nothing was rented, and `CreateUnknown` when that is not known: keep looking for the
        label. A caller that is cancelled in between does not know either.
        """
        call = Call(
            "create",
            "PUT",
            f"/api/v0/asks/{rental.offer_id}/",
            f"rent offer {rental.offer_id}",
            vast_create.body(rental),
        )
        try:
            answer = await self._calls.once(call)
        except NotSent:
            raise
        except MarketUnavailable as error:
            return await self._reconcile(rental.label, str(error))
        if rented := vast_create.rented(answer):
            return rented
        refusal = self._calls.refusal(call, answer)
        if vast_create.is_ambiguous(answer):
            return await self._reconcile(rental.label, str(refusal))
        raise refusal

    async def destroy(self, instance_id: int) -> None:
        """Return a machine for good; one that is not there (any more) counts as returned. May be repeated.

        Raises `MarketUnavailable` when the market says that it is gone and still shows it.
        """
        path = f"/api/v0/instances/{instance_id}/"
        try:
            await self._calls.change(Call("destroy", "DELETE", path, f"destroy instance {instance_id}", body={}))
        except OfferGone as error:
            # A wrong key may be answered 404 too, and then it would run on; so it would if we misread the refusal.
            if await self.show(instance_id) is not None:
                raise MarketUnavailable(f"instance {instance_id} is still there; {error}") from error

    async def start(self, instance_id: int) -> None:
        """Start a stopped instance, if its GPU is still to be had."""
        await self._change(instance_id, "start", {"state": "running"})

    async def stop(self, instance_id: int) -> None:
        """Stop an instance: its disk goes on costing."""
        await self._change(instance_id, "stop", {"state": "stopped"})

    async def relabel(self, instance_id: int, label: str) -> None:
        """Give an instance another label."""
        await self._change(instance_id, "label", {"label": label})

    async def change_bid(self, instance_id: int, bid_usd_per_h: Decimal) -> None:
        """Bid another price for an interruptible instance."""
        path = f"/api/v0/instances/bid_price/{instance_id}/"
        body = {"client_id": "me", "price": float(bid_usd_per_h)}
        await self._calls.change(Call("bid", "PUT", path, f"bid for instance {instance_id}", body=body))

    async def attach_key(self, instance_id: int, public_key: str) -> None:
        """Let the holder of this SSH key (one line of an authorized_keys file) log in."""
        path = f"/api/v0/instances/{instance_id}/ssh/"
        body = {"ssh_key": public_key}
        await self._calls.change(Call("attach", "POST", path, f"attach a key to instance {instance_id}", body=body))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _change(self, instance_id: int, verb: str, body: Mapping[str, Any]) -> None:
        path = f"/api/v0/instances/{instance_id}/"
        await self._calls.change(Call("change", "PUT", path, f"{verb} instance {instance_id}", body=body))

    async def _reconcile(self, label: str, why: str) -> Rented:
        """Look for what a create may have rented; raises `CreateUnknown` when it does not show up."""
        log.warning("vast.create_unanswered label=%s error=%s", label, why)
        for pause_s in LOOK_AGAIN_S:
            await self._pacer.pause(pause_s)
            try:
                found = await self.find(label)
            except FleetError as error:
                why = f"{why}; then the list failed: {error}"
                continue
            if found:
                others = ", ".join(str(instance.id) for instance in found[1:])
                return Rented(found[0].id, complaint=f"{why}{f'; also rented: {others}' if others else ''}")
        raise CreateUnknown(
            f"it is not known whether {label!r} was rented: {why}; look for that label until it shows up or a list long"
            " after it does not have it, and do not send it again",
            label=label,
        )

    async def _check_key(self) -> None:
        """Raises `KeyRefused` when a 404 may have been about the key and not about what was asked for."""
        await self.account()

    async def _listed(self, filters: Mapping[str, Any]) -> AsyncIterator[Any]:
        query = {
            "select_filters": _json(filters),
            "order_by": _json([{"col": "id", "dir": "asc"}]),
            "limit": PAGE,
        }
        async for row in self._pages(
            Call("list", "GET", "/api/v1/instances/", "list instances", query=query), "instances"
        ):
            yield row

    async def _pages(self, call: Call, field: str) -> AsyncIterator[Any]:
        """The rows of all pages; raises `MarketUnavailable` when the pages go in a circle."""
        seen: set[str] = set()
        query = dict(call.query or {})
        while True:
            answer = await self._calls.read(replace(call, query=query))
            for row in _rows(answer, field):
                yield row
            token = answer.get("next_token")
            if not token:
                return
            if token in seen:
                raise MarketUnavailable(f"vast.ai gave the same page twice when asked to {call.doing}; try again later")
            seen.add(token)
            query["after_token"] = token


def _rows(answer: Mapping[str, Any], field: str) -> list[Any]:
    """Raises `MarketUnavailable` when there is no list: nothing seen is not the same as nothing there."""
    rows = answer.get(field)
    if not isinstance(rows, list):
        raise MarketUnavailable(f"vast.ai's answer has no list of {field}, but {sorted(answer)}; try again later")
    return rows


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
