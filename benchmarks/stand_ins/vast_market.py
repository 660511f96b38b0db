"""The state behind the stand-in vast.ai: who rented what, how it fares by the clock, and what that costs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from benchmarks.stand_ins.vast_script import Life, Lives, Machine

HOURS_PER_MONTH = 730
FIRST_OFFER = 9_000_001
FIRST_INSTANCE = 30_000_001

Intent = Literal["running", "stopped"]


@dataclass(slots=True)
class StandInInstance:
    """One rented machine; `asked` is what was wanted of it and when, `bids` what was bid for it and when, if at all."""

    id: int
    machine: Machine
    life: Life
    body: Mapping[str, Any]
    created_s: float
    key: str
    label: str
    bids: list[tuple[float, Fraction]]
    asked: list[tuple[float, Intent]] = field(default_factory=list)
    ssh_keys: list[str] = field(default_factory=list)
    destroyed_s: float | None = None

    @property
    def disk_gb(self) -> float:
        """The size of its disk."""
        return float(self.body.get("disk") or 10)

    @property
    def is_bid(self) -> bool:
        """Whether it is interruptible."""
        return bool(self.bids)

    def gpu_usd_per_h(self, at_s: float) -> Fraction:
        """What its GPU costs while it runs."""
        bid = next((price for when_s, price in reversed(self.bids) if when_s <= at_s), None)
        return Fraction(self.machine.gpu_usd_per_h) if bid is None else bid

    def intended(self, at_s: float) -> Intent:
        """What its owner, or whoever outbid him, wants of it."""
        if self._after(self.life.outbid_s, at_s):
            return "stopped"
        return next((intent for when_s, intent in reversed(self.asked) if when_s <= at_s), "running")

    def status(self, at_s: float) -> str | None:
        """Its actual_status at a time at which it existed."""
        life, age_s = self.life, at_s - self.created_s
        if self.intended(at_s) == "stopped":
            return "stopped"
        if self._after(life.exit_s, at_s):
            return "exited"
        if self._after(life.offline_s, at_s) and not self._after(life.online_s, at_s):
            return "offline"
        for status, length_s in ((None, life.provisioning_s), ("created", life.created_s), ("loading", life.loading_s)):
            if age_s < length_s or (status == "loading" and life.stuck_loading):
                return status
            age_s -= length_s
        return "running"

    def has_pulled(self, at_s: float) -> bool:
        """Whether its model is there."""
        return self.status(at_s) == "running" and at_s >= self.pulled_s

    @property
    def pulled_s(self) -> float:
        """When its model is there, if nothing goes wrong before."""
        life = self.life
        return self.created_s + life.provisioning_s + life.created_s + life.loading_s + life.pull_s

    def moves(self, at_s: float) -> int:
        """How often it got another address."""
        return int(self._after(self.life.move_s, at_s))

    def is_listed(self, at_s: float) -> bool:
        """Whether lists have it."""
        if at_s < self.created_s + self.life.hidden_s:
            return False
        return self.destroyed_s is None or at_s < self.destroyed_s + self.life.lingering_s

    def gpu_usd(self, *, since_s: float, until_s: float) -> Fraction:
        """What its GPU cost within a window of time."""
        edges = sorted({edge for edge in self._edges(until_s) if since_s < edge < until_s} | {since_s, until_s})
        billed = ((a, b) for a, b in itertools.pairwise(edges) if self._bills((a + b) / 2))
        usd = ((Fraction(b) - Fraction(a)) / 3600 * self.gpu_usd_per_h((a + b) / 2) for a, b in billed)
        return sum(usd, Fraction(0))

    def existing_s(self, *, since_s: float, until_s: float) -> Fraction:
        """Seconds within a window in which its disk was billed."""
        end_s = until_s if self.destroyed_s is None else min(self.destroyed_s, until_s)
        return max(Fraction(end_s) - Fraction(max(self.created_s, since_s)), Fraction(0))

    def _bills(self, at_s: float) -> bool:
        exists = self.created_s <= at_s and (self.destroyed_s is None or at_s < self.destroyed_s)
        return exists and self.status(at_s) == "running"

    def _edges(self, until_s: float) -> Iterator[float]:
        life = self.life
        yield from (self.created_s, until_s if self.destroyed_s is None else self.destroyed_s)
        phases = (life.provisioning_s, life.created_s, life.loading_s)
        yield from (self.created_s + age_s for age_s in itertools.accumulate(phases))
        events = (life.exit_s, life.outbid_s, life.offline_s, life.online_s)
        yield from (self.created_s + age_s for age_s in events if age_s is not None)
        yield from (when_s for when_s, _ in self.asked)
        yield from (when_s for when_s, _ in self.bids)

    def _after(self, age_s: float | None, at_s: float) -> bool:
        return age_s is not None and at_s >= self.created_s + age_s


class Market:
    """All machines, offers and instances. `clock` tells seconds since 1970."""

    def __init__(self, machines: Iterable[Machine], *, clock: Callable[[], float], lives: Lives) -> None:
        self.clock = clock
        self._lives = lives
        self._offer_ids = itertools.count(FIRST_OFFER)
        self._instance_ids = itertools.count(FIRST_INSTANCE)
        self.instances: dict[int, StandInInstance] = {}
        self._offers = {next(self._offer_ids): machine for machine in machines}

    @property
    def offers(self) -> Mapping[int, Machine]:
        """What can be rented now."""
        return self._offers

    def create(self, offer_id: int, body: Mapping[str, Any], *, bid: Fraction | None) -> StandInInstance:
        """Rent it; the offer is gone then."""
        machine = self._offers.pop(offer_id)
        number = len(self.instances)
        instance = StandInInstance(
            next(self._instance_ids),
            machine,
            self._lives(number, machine),
            body,
            created_s=self.clock(),
            key=f"instance-key-{number}",
            label=str(body.get("label") or ""),
            bids=[] if bid is None else [(self.clock(), bid)],
        )
        self.instances[instance.id] = instance
        return instance

    def destroy(self, instance: StandInInstance) -> None:
        """Give the machine back to the market, under a new offer."""
        instance.destroyed_s = self.clock()
        self._offers[next(self._offer_ids)] = instance.machine

    def live(self) -> list[StandInInstance]:
        """What was rented and not destroyed: what costs."""
        return [instance for instance in self.instances.values() if instance.destroyed_s is None]

    def charges(
        self, instance: StandInInstance, *, since_s: float = 0.0, until_s: float | None = None
    ) -> dict[str, Fraction]:
        """Dollars by what they are for, in vast.ai's words."""
        end_s = self.clock() if until_s is None else min(until_s, self.clock())
        start_s = max(since_s, instance.created_s)
        if end_s < start_s:
            return {}
        hours = instance.existing_s(since_s=start_s, until_s=end_s) / 3600
        disk = Fraction(str(instance.disk_gb)) * Fraction(instance.machine.storage_usd_per_gb_month) / HOURS_PER_MONTH
        return {
            "gpu": instance.gpu_usd(since_s=start_s, until_s=end_s),
            "disk": hours * disk,
            "bwd": self._pulled_gb(instance, start_s, end_s) * Fraction(instance.machine.down_usd_per_gb),
            "bwu": Fraction(0),
        }

    def total_usd(self) -> Fraction:
        """Everything that was ever charged."""
        return sum((sum(self.charges(each).values(), Fraction(0)) for each in self.instances.values()), Fraction(0))

    def pulled_gb(self, instance: StandInInstance) -> Fraction:
        """What it has downloaded so far."""
        return self._pulled_gb(instance, instance.created_s, self.clock())

    @staticmethod
    def _pulled_gb(instance: StandInInstance, since_s: float, until_s: float) -> Fraction:
        done_s = instance.pulled_s
        alive = instance.destroyed_s is None or done_s < instance.destroyed_s
        came = since_s <= done_s <= until_s and alive and instance.status(done_s) == "running"
        return Fraction(str(instance.life.pull_gb)) if came else Fraction(0)
