"""What the stand-in vast.ai answers to each call, when nothing interferes: a status and JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from fractions import Fraction

import orjson
from fastapi import Response
from fastapi.responses import PlainTextResponse

from benchmarks.stand_ins.vast_hosting import Hosting
from benchmarks.stand_ins.vast_market import Market, StandInInstance
from benchmarks.stand_ins.vast_rows import Row, charge_row, instance_row, matching, offer_row, ordered, stringly
from benchmarks.stand_ins.vast_script import Machine

PAGE = 25
Told = tuple[int, Row]


class Answers:
    """The acts on one market. `labels` counts the creates by label, whatever came of them."""

    def __init__(
        self, market: Market, *, hosting: Hosting, credit_usd: Fraction, strings: bool, untold: frozenset[str]
    ) -> None:
        self.labels: Counter[str] = Counter()
        self._market = market
        self._hosting = hosting
        self._credit_usd = credit_usd
        self._strings = strings
        self._untold = untold
        self._logs: dict[str, int] = defaultdict(int)

    def search(self, query: Row) -> Told:
        """Offers that meet the filters."""
        wanted = dict(query)
        is_bid = wanted.pop("type", "on-demand") in ("bid", "interruptible")
        order = wanted.pop("order", [["score", "desc"]])
        limit = int(wanted.pop("limit", 64))
        disk_gb = float(wanted.pop("allocated_storage", 5.0))
        rows = [offer_row(i, machine, disk_gb=disk_gb, is_bid=is_bid) for i, machine in self._market.offers.items()]
        found = ordered(matching(rows, wanted), order)[:limit]
        return 200, {"offers": [self._shaped(row) for row in found]}

    def create(self, offer_id: int, body: Row) -> Told:
        """Rent one."""
        self.labels[str(body.get("label"))] += 1
        machine = self._market.offers.get(offer_id)
        if machine is None:
            return refused(
                404, "no_such_ask", f"error 404/3603: no_such_ask Instance type by id {offer_id} is not available."
            )
        price = body.get("price")
        bid = None if price is None else Fraction(str(price))
        if refusal := self._refuse_create(machine, body, bid):
            return refusal
        instance = self._market.create(offer_id, body, bid=bid)
        return 200, {"success": True, "new_contract": instance.id, "instance_api_key": instance.key}

    def _refuse_create(self, machine: Machine, body: Row, bid: Fraction | None) -> Told | None:
        if not body.get("image"):
            return refused(400, "invalid_args", "error 400: image is required")
        if self.credit() <= 0:
            return refused(400, "insufficient_credit", "Your account lacks credit; see the billing page.")
        if float(body.get("disk") or 10) > machine.disk_gb:
            return refused(400, "invalid_args", f"disk: only {machine.disk_gb} GB are there")
        if bid is not None and bid < Fraction(machine.min_bid_usd_per_h):
            return refused(
                400, "price_too_low", f"bid price {float(bid)} is under the minimum {machine.min_bid_usd_per_h}"
            )
        return None

    def list(self, query: Mapping[str, str]) -> Told:
        """A page of instances."""
        now_s = self._market.clock()
        rows = [self._row(each) for each in self._market.instances.values() if each.is_listed(now_s)]
        rows = matching(rows, orjson.loads(query.get("select_filters") or "{}"))
        order = orjson.loads(query.get("order_by") or "[]")
        rows = ordered(rows, [(each["col"], each["dir"]) for each in order])
        start = int(query.get("after_token") or 0)
        end = start + min(max(int(query.get("limit") or PAGE), 1), PAGE)
        columns = orjson.loads(query.get("select_cols") or "null")
        page = [
            self._shaped({k: v for k, v in row.items() if columns is None or k in columns}) for row in rows[start:end]
        ]
        return 200, {
            "success": True,
            "instances": page,
            "instances_found": len(page),
            "total_instances": len(rows),
            "label_counts": Counter(row["label"] or "" for row in rows),
            "next_token": str(end) if end < len(rows) else None,
        }

    def show(self, instance_id: int) -> Told:
        """One instance."""
        instance = self._find(instance_id)
        if instance is None:
            # A race of the real one: gone is at times null, at times 404.
            return (200, {"instances": None}) if instance_id % 2 else _gone(instance_id)
        return 200, {"instances": self._shaped(self._row(instance))}

    def change(self, instance_id: int, body: Row) -> Told:
        """Label it, start it, stop it."""
        instance = self._find(instance_id)
        if instance is None:
            return _gone(instance_id)
        if "label" in body:
            instance.label = str(body["label"])
        if (state := body.get("state")) in ("running", "stopped"):
            instance.asked.append((self._market.clock(), state))
        return 200, {"success": True}

    def bid(self, instance_id: int, body: Row) -> Told:
        """Bid another price."""
        instance = self._find(instance_id)
        if instance is None:
            return _gone(instance_id)
        if not instance.is_bid:
            return refused(400, "invalid_args", "the instance is not interruptible")
        instance.bids.append((self._market.clock(), Fraction(str(body["price"]))))
        return 200, {"success": True}

    def attach(self, instance_id: int, body: Row) -> Told:
        """Let a key in."""
        instance = self._find(instance_id)
        if instance is None:
            return _gone(instance_id)
        if not str(body.get("ssh_key") or "").startswith(("ssh-", "ecdsa-")):
            return refused(400, "invalid_args", "not an SSH public key")
        instance.ssh_keys.append(str(body["ssh_key"]))
        return 200, {"success": True}

    def destroy(self, instance_id: int) -> Told:
        """End it."""
        instance = self._find(instance_id)
        if instance is None:
            return _gone(instance_id)
        self._market.destroy(instance)
        return 200, {"success": True, "msg": f"destroyed instance {instance_id}"}

    def charges(self, query: Mapping[str, str]) -> Told:
        """A page of charges."""
        filters = orjson.loads(query.get("select_filters") or "{}")
        day = filters.get("day", {})
        since_s, until_s = float(day.get("gte", 0)), float(day.get("lte", float("inf")))
        end_s = self._market.clock()
        rows = []
        for instance in self._market.instances.values():
            last_s = end_s if instance.destroyed_s is None else instance.destroyed_s
            if last_s >= since_s and instance.created_s <= until_s:  # whole days: nothing is cut at their edges
                rows.append(charge_row(instance, self._market.charges(instance), end_s=last_s))
        start = int(query.get("after_token") or 0)
        end = start + min(int(query.get("limit") or 20), 100)
        token = str(end) if end < len(rows) else None
        page = rows[start:end]
        return 200, {"success": True, "results": page, "count": len(page), "total": len(rows), "next_token": token}

    def account(self) -> Told:
        """Who asks, and the credit left."""
        return 200, {"id": 4242, "email": "stand-in@example.com", "balance": 0.0, "credit": float(self.credit())}

    def request_logs(self, instance_id: int, base_url: str) -> Told:
        """Where the log will be."""
        if self._find(instance_id) is None:
            return _gone(instance_id)
        return 200, {"success": True, "result_url": f"{base_url}stand-in/logs/{instance_id}"}

    def log_file(self, name: str) -> Response:
        """Not there at once, as with the real one's storage."""
        self._logs[name] += 1
        instance = self._market.instances.get(int(name)) if name.isdecimal() else None
        if instance is None or self._logs[name] < 2:
            return PlainTextResponse("not found", 404)
        env = instance.body.get("env") or {}
        lines = [f"export {key}={value}" for key, value in env.items()]
        return PlainTextResponse("\n".join([*lines, f"CONTAINER_API_KEY={instance.key}", "ollama: listening"]))

    def _find(self, instance_id: int) -> StandInInstance | None:
        instance = self._market.instances.get(instance_id)
        return instance if instance and instance.destroyed_s is None else None

    def _row(self, instance: StandInInstance) -> Row:
        row = instance_row(self._market, instance, self._hosting.place(instance, now_s=self._market.clock()))
        return {name: value for name, value in row.items() if name not in self._untold}

    def _shaped(self, row: Row) -> Row:
        return stringly(row) if self._strings else row

    def credit(self) -> Fraction:
        """What is left to spend."""
        return self._credit_usd - self._market.total_usd()


def refused(status: int, code: str, message: str) -> Told:
    """An error in the API's own shape."""
    return status, {"success": False, "error": code, "msg": message}


def _gone(instance_id: int) -> Told:
    return refused(404, "no_such_instance", f"Instance {instance_id} not found")


def _with_columns(row: Row, columns: list[str] | None) -> Row:
    return row if columns is None else {name: value for name, value in row.items() if name in columns}
