"""How a rented machine proves itself: what is seen of it from outside, and for how long each step may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from workbench.fleet.market import Instance
from workbench.fleet.nodes import Node
from workbench.fleet.terms import Terms
from workbench.fleet.tunnel import SshAddress

STEPS = ("rent", "provision", "load", "ssh", "ollama", "pull", "prove", "ready")
"""The steps of a start, in order. `load` is the image's; `prove` is the first token."""

OLLAMA_S = 300.0
PROVE_S = 300.0
PULL_SPARE_S = 60.0
SLOWEST_MBPS = 50.0


@dataclass(frozen=True, slots=True)
class Proved:
    """It has the model, generated a token, and holds all of the model on its GPU."""

    host_key: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not there yet: which step, and what was seen."""

    step: str
    seen: str
    host_key: str = ""


@dataclass(frozen=True, slots=True)
class Unfit:
    """It will never do."""

    why: str


Proof = Proved | Waiting | Unfit


class Reach(Protocol):
    """What goes through the tunnels. Nothing here takes longer than a second or two, or raises."""

    async def prove(self, node: Node) -> Proof:
        """How far this machine is."""

    async def silent_s(self, node: Node) -> float:
        """Seconds since its heartbeat was last written; writes it now and then."""

    def in_flight(self, node: Node) -> int:
        """Requests that this process has running there."""

    async def forget(self, label: str) -> None:
        """Close what leads there."""


def seen(node: Node, instance: Instance, *, terms: Terms, now_s: float) -> Node:
    """The node after a look at its instance."""
    addresses = tuple(SshAddress(address.host, address.port) for address in instance.addresses)
    node = replace(node, addresses=addresses or node.addresses, instance_id=instance.id)
    if node.state == "destroying":
        return node
    if failure := instance.failure:
        return node.to("destroying", now_s=now_s, why=failure, has_failed=True)
    if instance.rates.running_usd_per_h > terms.price_cap_usd_per_h:
        cost = f"it costs ${instance.rates.running_usd_per_h:.3f}/h, more than the cap of ${terms.price_cap_usd_per_h}"
        return node.to("destroying", now_s=now_s, why=cost, has_failed=True)
    return _starting(node, instance, terms=terms, now_s=now_s) if node.state == "booting" else node


def _starting(node: Node, instance: Instance, *, terms: Terms, now_s: float) -> Node:
    """Where a start has got to, as the market tells."""
    if instance.is_running:
        node = node.at("ssh", now_s=now_s) if node.step in STEPS[:3] else node
    else:
        node = node.at("load" if instance.status else "provision", now_s=now_s)
        if instance.status_msg != node.market_said:  # it goes on
            node = replace(node, market_said=instance.status_msg, step_since_s=now_s)
    return in_time(node, terms=terms, now_s=now_s)


def proved(node: Node, proof: Proof, *, terms: Terms, now_s: float) -> Node:
    """The node after it was asked for a proof."""
    match proof:
        case Proved(host_key):
            return replace(node.at("ready", now_s=now_s).to("ready", now_s=now_s, why=""), host_key=host_key)
        case Unfit(why):
            return node.to("destroying", now_s=now_s, why=why, has_failed=True)
        case Waiting(step, what, host_key):
            node = replace(node.at(step, now_s=now_s), why=what, host_key=node.host_key or host_key)
            return in_time(node, terms=terms, now_s=now_s)


def in_time(node: Node, *, terms: Terms, now_s: float) -> Node:
    """The node, or its end when this step or the whole start takes too long."""
    limits = terms.limits
    mbps = max(node.inet_down_mbps, SLOWEST_MBPS)
    most_s = {
        "provision": limits.provision_s,
        "load": limits.loading_s,
        "ssh": limits.ssh_s,
        "ollama": OLLAMA_S,
        "pull": terms.size_gb * 8000 / mbps * 3 + PULL_SPARE_S,
        "prove": PROVE_S,
    }.get(node.step, limits.start_s)
    took_s = now_s - node.step_since_s
    if took_s <= most_s and now_s - node.created_s <= limits.start_s:
        return node
    late = f"{node.step} took {took_s:.0f} s (at most {most_s:.0f}), the start {now_s - node.created_s:.0f} s"
    said = node.why or node.market_said
    return node.to("destroying", now_s=now_s, why=f"{late}{f'; last seen: {said}' if said else ''}", has_failed=True)
