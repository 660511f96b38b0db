"""Which offer to take: the fewest dollars an expected token.

    expected tokens = tokens_per_s × 3600 × reliability × hours        cost = $/h × hours + model_GB × $/GB down

Throughput is a single stream's on Ollama, as measured in 2026 with qwen3-coder:30b (README). A GPU that nobody has
measured counts as the slowest that somebody has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from workbench.fleet.market import Condition, Mode, Offer
from workbench.fleet.terms import Terms

TOKENS_PER_S: Mapping[str, float] = {"RTX 3090": 141.0, "RTX 4090": 196.0}
EXPECTED_HOURS = 4
"""Over how long the price of pulling the model is spread, and how long an offer must last at least."""

BID_MARGIN = Decimal("1.15")
"""Bid this many times the lowest price: who bids the least is outbid first."""

USUAL = (
    Condition("direct_port_count", "gte", 1),
    Condition("reliability2", "gte", 0.98),
    Condition("inet_down", "gte", 200),
    Condition("cuda_max_good", "gte", 12.8),
    Condition("num_gpus", "eq", 1),
)
"""What is asked of every machine, unless the fleet file says something else of the same field."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer, how it is rented, and what it would cost. `bid_usd_per_h` is None on demand."""

    offer: Offer
    mode: Mode
    bid_usd_per_h: Decimal | None
    usd_per_h: Decimal
    usd_per_mtok: Decimal
    is_measured: bool


def conditions(terms: Terms) -> tuple[Condition, ...]:
    """What to search for."""
    lasts_s = min(EXPECTED_HOURS * 3600, terms.limits.lifetime_s)
    ours = [
        *USUAL,
        Condition("gpu_ram", "gte", round(terms.vram_gb * 1000)),
        Condition("duration", "gte", lasts_s),  # else it would be drained, and its model pulled again, too soon
    ]
    if terms.gpus:
        ours.append(Condition("gpu_name", "in", terms.gpus))
    theirs = {condition.field for condition in terms.conditions}
    return (*(condition for condition in ours if condition.field not in theirs), *terms.conditions)


def ranked(
    offers: Iterable[Offer], terms: Terms, *, mode: Mode, without: frozenset[int] = frozenset()
) -> tuple[Choice, ...]:
    """What may be taken, best first: under the price cap, and on none of the machines in `without`."""
    may = [_choice(offer, terms, mode) for offer in offers if offer.hardware.machine_id not in without]
    capped = [choice for choice in may if choice.usd_per_h <= terms.price_cap_usd_per_h]
    return tuple(sorted(capped, key=lambda choice: (choice.usd_per_mtok, choice.offer.id)))


def _choice(offer: Offer, terms: Terms, mode: Mode) -> Choice:
    bid = (offer.min_bid_usd_per_h * BID_MARGIN).quantize(Decimal("0.0001")) if mode == "bid" else None
    usd_per_h = offer.price_usd_per_h if bid is None else bid + offer.rates.disk_usd_per_h
    known = {**TOKENS_PER_S, **terms.tokens_per_s}
    speed = known.get(offer.hardware.gpu_name, min(known.values()))
    reliability = max(offer.hardware.reliability, 0.01)
    tokens = Decimal(str(speed * 3600 * reliability * EXPECTED_HOURS))
    cost = usd_per_h * EXPECTED_HOURS + Decimal(str(terms.size_gb)) * offer.rates.down_usd_per_gb
    return Choice(offer, mode, bid, usd_per_h, cost / tokens * 1_000_000, offer.hardware.gpu_name in known)
