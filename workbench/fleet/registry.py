"""The roll in the store: who may write it, and that nobody else does.

The lease and the roll are one value, written by compare and swap. So whoever has lost the lease cannot write, and one
that cannot write does nothing: every machine is on the roll before it is rented.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from workbench.cache.store import State, Store
from workbench.errors import LeaseLost
from workbench.fleet.nodes import Roll, decoded, encoded, new_roll

log = logging.getLogger(__name__)

TENANT = "fleet"
NAME = "registry-1"
RELEASED = ""


class Registry:
    """One process's view of it. `clock` is monotonic seconds: another's lease has run out when the roll has not
    changed for `lease_s` by OUR clock, so that clocks need not agree. `is_new` says whether the last `hold` took the
    lease, and did not only keep it.

    `ledger` and `public_key` are this host's; empty ones fit every roll. `refusal` says why the last `hold` did not
    take a lease that was free, `opens` whether this host's key fits the last roll that it followed.
    """

    def __init__(
        self,
        store: Store,
        *,
        holder: str,
        lease_s: float,
        clock: Callable[[], float],
        ledger: str = "",
        public_key: str = "",
    ) -> None:
        self._store = store
        self._holder = holder
        self._lease_s = lease_s
        self._clock = clock
        self._ledger = ledger
        self._public_key = public_key
        self.refusal = ""
        self.opens = True
        self._told: set[str] = set()
        self._version: int | None = None
        self._seen: tuple[int, float] | None = None
        self.is_new = False

    async def read(self) -> Roll:
        """The roll as it is; raises `StoreError`."""
        found = await self._store.state(TENANT, NAME)
        return decoded(found.value) if found else new_roll()

    async def hold(self, *, adopts: bool = False) -> Roll | None:
        """Take or keep the lease, and return the roll; None while another holds it. Raises `StoreError`.

        None too, with a `refusal`, when its machines are in another ledger, unless this host `adopts` them: it would
        count what they cost from nothing, and its key would not open them.
        """
        found = await self._store.state(TENANT, NAME)
        roll = decoded(found.value) if found else new_roll()
        if roll.holder not in (RELEASED, self._holder) and not self._has_run_out(found):
            return None
        self.refusal = "" if adopts else self.why_foreign(roll)
        if self.refusal:
            self._tell_once(self.refusal)
            return None
        try:
            self._version = found.version if found else None
            self.is_new = roll.holder != self._holder
            ours = (self._ledger or roll.ledger, self._public_key or roll.public_key)
            return await self.write(replace(roll, holder=self._holder, ledger=ours[0], public_key=ours[1]))
        except LeaseLost:
            return None

    def why_foreign(self, roll: Roll) -> str:
        """Why this host may not control this fleet; empty when it may."""
        if self._ledger and roll.ledger not in ("", self._ledger):
            return (
                f"the machines of this fleet are in the ledger {roll.ledger} of another host, this host's is "
                f"{self._ledger}: copy that host's whole fleet folder here while nothing runs there, or where it is "
                "lost make this host the one that counts with `python -m workbench fleet adopt`"
            )
        if roll.nodes and not self._has_key_of(roll):
            return (
                "this host's SSH key does not open the machines of this fleet: copy ssh_key from the fleet folder of "
                "the host that rented them, or where it is lost replace them with `python -m workbench fleet adopt`"
            )
        return ""

    def _has_key_of(self, roll: Roll) -> bool:
        return not self._public_key or roll.public_key in ("", self._public_key)

    def reachable(self, roll: Roll) -> Roll:
        """The roll with the machines that this host's key opens: all, or none."""
        self.opens = self._has_key_of(roll)
        if self.opens or not roll.nodes:
            return roll
        self._tell_once(
            "this host's SSH key does not open the machines of this fleet, they take no requests from here: copy "
            "ssh_key from the fleet folder of the host that rented them"
        )
        return replace(roll, nodes=())

    async def write(self, roll: Roll) -> Roll:
        """Keep this roll; raises `LeaseLost` when another has taken over, and `StoreError`."""
        beaten = replace(roll, beat=roll.beat + 1)
        if not await self._store.set_state(TENANT, NAME, encoded(beaten), expected=self._version):
            raise LeaseLost("another controller has taken over this fleet; this one stops")
        self._version = (self._version or 0) + 1
        return beaten

    async def release(self) -> None:
        """Let another take over at once; does nothing when another has."""
        found = await self._store.state(TENANT, NAME)
        if found and decoded(found.value).holder == self._holder:
            roll = replace(decoded(found.value), holder=RELEASED)
            await self._store.set_state(TENANT, NAME, encoded(roll), expected=found.version)

    def _tell_once(self, told: str) -> None:
        if told not in self._told:
            log.warning("fleet.not_ours %s", told)
            self._told.add(told)

    def _has_run_out(self, found: State | None) -> bool:
        now_s = self._clock()
        if found is None or self._seen is None or self._seen[0] != found.version:
            self._seen = (found.version, now_s) if found else None
            return False
        return now_s - self._seen[1] >= self._lease_s
