"""How many nodes of which GPU a latency target takes, and which of them is cheapest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.month import Scenario, always_on_usd, elastic_usd
from benchmarks.throughput import Speed
from workbench.errors import ConfigurationError
from workbench.prices import HOURS_PER_MONTH, VAST, Prices

MOST_NODES = 1_000
TAIL = 0.05
"""One minus the quantile of the latency target: p95."""


def erlang_c(servers: int, load: float) -> float:
    """P(a request must wait) with so many servers and this offered load in erlangs; 1 when they cannot keep up.

    Source: Erlang 1917; the recursion over Erlang B, e.g. Cooper, Introduction to Queueing Theory, 1981, chapter 3.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def first_token_p95_s(month: Scenario, *, nodes: int) -> float:
    """The p95 of waiting in the busiest hour (M/M/c, a node one server) plus the prompt's own work."""
    rate_per_s = month.requests_per_month / HOURS_PER_MONTH / 3600 * month.peak_factor * (1 - month.hit_rate)
    load = rate_per_s * month.request_s
    if load >= nodes:
        return math.inf
    waits = erlang_c(nodes, load)
    wait_s = max(0.0, math.log(waits / TAIL)) / ((nodes - load) / month.request_s) if waits > 0 else 0.0
    return wait_s + month.prefill_s


def nodes_needed(month: Scenario, *, first_token_s: float) -> int:
    """The fewest nodes with a p95 at or below this; raises `ConfigurationError` when no number of them reaches it."""
    if month.prefill_s > first_token_s:
        raise ConfigurationError(
            f"the prompt alone takes {month.prefill_s:.2f} s, the target is {first_token_s:g} s: more nodes do not help"
        )
    for nodes in range(1, MOST_NODES + 1):
        if first_token_p95_s(month, nodes=nodes) <= first_token_s:
            return nodes
    raise ConfigurationError(f"more than {MOST_NODES} nodes would be needed: check the requests per month")


@dataclass(frozen=True, slots=True)
class Choice:
    """A GPU, how many of it, and what that costs a month; `why_not` says why it cannot be had."""

    gpu: str
    nodes: int = 0
    first_token_p95_s: float = math.nan
    always_on_usd: float = math.nan
    elastic_usd: float = math.nan
    why_not: str = ""


def choices(month: Scenario, speeds: Sequence[Speed], prices: Prices, *, first_token_s: float) -> list[Choice]:
    """Every GPU whose price and speed are known, the cheapest first; those that cannot reach the target last."""
    found = [_choice(month, gpu, speeds, prices, first_token_s) for gpu in sorted({speed.gpu for speed in speeds})]
    return sorted(found, key=lambda each: (bool(each.why_not), each.elastic_usd, each.gpu))


def _choice(month: Scenario, gpu: str, speeds: Sequence[Speed], prices: Prices, first_token_s: float) -> Choice:
    try:
        here = on(month, gpu, speeds, prices)
        nodes = nodes_needed(here, first_token_s=first_token_s)
    except ConfigurationError as error:
        return Choice(gpu, why_not=str(error))
    p95_s = first_token_p95_s(here, nodes=nodes)
    return Choice(gpu, nodes, p95_s, always_on_usd(here, nodes=nodes), elastic_usd(here))


def on(month: Scenario, gpu: str, speeds: Sequence[Speed], prices: Prices) -> Scenario:
    """The same month on this GPU, at its fastest known number of streams; raises `ConfigurationError`."""
    known = [speed for speed in speeds if speed.gpu == gpu]
    if not known:
        raise ConfigurationError(f"no speed is known of {gpu}: measure it with benchmarks.throughput")
    fastest = max(known, key=lambda speed: speed.decode_tokens_per_s)
    prefill = max((speed.prefill_tokens_per_s or 0.0 for speed in known), default=0.0)
    return replace(
        month,
        gpu_usd_per_h=prices.gpu_price(gpu, provider=VAST).usd_per_h,
        decode_tokens_per_s=fastest.decode_tokens_per_s,
        prefill_tokens_per_s=prefill or month.prefill_tokens_per_s,
    )
