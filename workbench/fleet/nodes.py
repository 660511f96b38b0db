"""The machines of a fleet as its controller knows them, and the form in which a store keeps them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from workbench.errors import StoreError
from workbench.fleet.market import Mode
from workbench.fleet.tunnel import SshAddress

State = Literal["renting", "booting", "ready", "draining", "destroying"]
"""`renting`: it is not known yet whether there is an instance. All others have one."""

_LABEL = re.compile(r"thinker:(?P<project>[A-Za-z0-9._-]+):(?P<fleet>[0-9a-f]{8})-[0-9a-f]{12}:(?P<expires>\d+)")


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. Times are seconds since 1970; `since_s` is when its state, `step_since_s` when its step began.

    `model` and `context_tokens` are what it was rented for, empty and 0 where an older version did not note them.
    `step` is where a start has got to; `market_said` is the last status message, which shows whether that goes on.
    `seen_s` is when the market last told of it, 0 while it never did.
    """

    label: str
    offer_id: int
    machine_id: int
    gpu_name: str
    mode: Mode
    usd_per_h: Decimal
    created_s: float
    expires_s: float
    state: State
    since_s: float
    step: str = "rent"
    step_since_s: float = 0.0
    market_said: str = ""
    instance_id: int | None = None
    has_key: bool = False
    inet_down_mbps: float = 0.0
    addresses: tuple[SshAddress, ...] = ()
    host_key: str = ""
    why: str = ""
    has_failed: bool = False
    is_logged: bool = False
    seen_s: float = 0.0
    model: str = ""
    context_tokens: int = 0

    def to(self, state: State, *, now_s: float, why: str = "", has_failed: bool = False) -> Node:
        """The same node in another state."""
        return replace(self, state=state, since_s=now_s, why=why or self.why, has_failed=has_failed or self.has_failed)

    def at(self, step: str, *, now_s: float) -> Node:
        """The same node at this step of its start; the clock of a step runs from its first sight."""
        return self if step == self.step else replace(self, step=step, step_since_s=now_s)


@dataclass(frozen=True, slots=True)
class Excluded:
    """A machine that is not rented again before `until_s`."""

    machine_id: int
    until_s: float


@dataclass(frozen=True, slots=True)
class Roll:
    """All that a controller must know after a crash. `beat` grows with every write; `holder` is who may write.

    `ledger` is the id of the ledger that has its machines, `public_key` the SSH key that opens them: both are files of
    the host that controls it. `failed_starts` counts those in a row, `outbid` bids lost in a row; nothing is rented
    before `paused_until_s`. `trouble` is why nothing more was rented at the last look.
    """

    fleet: str
    holder: str = ""
    beat: int = 0
    nodes: tuple[Node, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    failed_starts: int = 0
    outbid: int = 0
    paused_until_s: float = 0.0
    why_paused: str = ""
    trouble: str = ""
    ledger: str = ""
    public_key: str = ""

    def having(self, node: Node) -> Roll:
        """With this node instead of the one of the same label, or beside the others."""
        others = tuple(node if known.label == node.label else known for known in self.nodes)
        return replace(self, nodes=others if node in others else (*others, node))

    def without(self, label: str) -> Roll:
        """Without this node."""
        return replace(self, nodes=tuple(node for node in self.nodes if node.label != label))


_ROLL = TypeAdapter(Roll)


def new_roll() -> Roll:
    """An empty roll of a fleet that is told apart from all others by its random id."""
    return Roll(fleet=secrets.token_hex(4))


def encoded(roll: Roll) -> bytes:
    """The form in the store."""
    return _ROLL.dump_json(roll)


def decoded(value: bytes) -> Roll:
    """Read what `encoded` wrote; raises `StoreError`."""
    try:
        return _ROLL.validate_json(value)
    except ValidationError as error:
        raise StoreError(f"the fleet's registry cannot be read: {error.errors()[0]['msg']}; was it written by a newer "
                         "version?") from None  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says: whose instance it is, and when nobody wants it any more."""

    project: str
    fleet: str
    expires_s: float


def new_label(*, project: str, fleet: str, expires_s: float) -> str:
    """A label that no other instance has."""
    return f"thinker:{project}:{fleet}-{secrets.token_hex(6)}:{int(expires_s)}"


def read_label(label: str) -> Label | None:
    """What it says; None when it is not one of ours."""
    found = _LABEL.fullmatch(label)
    return Label(found["project"], found["fleet"], float(found["expires"])) if found else None
