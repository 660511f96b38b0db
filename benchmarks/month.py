"""A month of traffic and what serves it, all of it plain numbers that can be varied one by one.

Tokens are means of one request. `hit_rate` is the share of the traffic's COST that memory answers (what
`benchmarks.replay` reports), not the share of requests: long agent turns cost most and hit least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.prices import HOURS_PER_MONTH, Rental, fleet_usd
from workbench.reply import Usage

Mode = Literal["elastic", "always on"]
"""Nodes that are destroyed when nothing is asked of them, or a number of them that is paid all month."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A month. The tokens are Claude Code's shape: a long prefix that is read again and again, and little new."""

    gpu_usd_per_h: float
    decode_tokens_per_s: float
    """Of one node, all its streams together."""
    prefill_tokens_per_s: float = 3_000.0
    requests_per_month: float = 100_000.0
    input_tokens: float = 50.0
    """That no prompt cache ever sees again."""
    write_tokens: float = 1_200.0
    """New ones, which the next turn reads from a prompt cache."""
    read_tokens: float = 28_000.0
    output_tokens: float = 350.0
    hit_rate: float = 0.2
    prefix_reuse: float = 0.9
    """The share of the prefix that a node still has in its own KV cache."""
    utilisation: float = 0.3
    """Busy hours ÷ paid hours of an elastic node: the rest is waiting for the next request."""
    peak_factor: float = 6.0
    """Requests in the busiest hour ÷ those in a mean one."""
    boots_per_month: float = 60.0
    boot_h: float = 0.25
    pull_gb: float = 19.0
    """What a node downloads at each boot: the model."""
    down_usd_per_gb: float = 0.02
    disk_usd_per_h: float = 60 * 0.15 / HOURS_PER_MONTH
    """Of a disk of 60 GB at $0.15 a GB and month."""
    redis_usd_per_month: float = 5.0

    @property
    def usage(self) -> Usage:
        """A month's tokens without any hit, as an API with prompt caching counts them."""
        counts = (self.input_tokens, self.output_tokens, self.write_tokens, self.read_tokens)
        return Usage(*(round(self.requests_per_month * tokens) for tokens in counts))

    @property
    def prefill_s(self) -> float:
        """A node's work on the prompt of one request."""
        fresh = self.input_tokens + self.write_tokens + (1 - self.prefix_reuse) * self.read_tokens
        return fresh / self.prefill_tokens_per_s

    @property
    def request_s(self) -> float:
        """A node's work on one request that misses."""
        return self.prefill_s + self.output_tokens / self.decode_tokens_per_s

    @property
    def paid_h(self) -> float:
        """GPU hours of elastic nodes in this month."""
        return self.requests_per_month * (1 - self.hit_rate) * self.request_s / 3600 / self.utilisation


def elastic_usd(month: Scenario) -> float:
    """A month on nodes that come and go."""
    paid_h = month.paid_h + month.boots_per_month * month.boot_h
    rental = _rental(month, paid_h=paid_h, boots=month.boots_per_month)
    return fleet_usd([rental], redis_usd=month.redis_usd_per_month)


def always_on_usd(month: Scenario, *, nodes: int) -> float:
    """A month on so many nodes that never sleep; hits change nothing here."""
    rental = _rental(month, paid_h=HOURS_PER_MONTH, boots=1)
    return fleet_usd([rental] * nodes, redis_usd=month.redis_usd_per_month)


def _rental(month: Scenario, *, paid_h: float, boots: float) -> Rental:
    """GPU and disk for so many hours, and the model pulled so many times."""
    return Rental(
        billed_s=paid_h * 3600,
        exist_s=paid_h * 3600,
        gpu_usd_per_h=month.gpu_usd_per_h,
        disk_usd_per_h=month.disk_usd_per_h,
        down_gb=boots * month.pull_gb,
        down_usd_per_gb=month.down_usd_per_gb,
    )
