"""How long clients waited, and would have waited with what a replay served from memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import orjson

from benchmarks.counterfactual import Replayed, Tier
from benchmarks.figures import RESULTS
from benchmarks.judging import Table

TIERS: tuple[Tier, ...] = get_args(Tier)


def hit_ms(tier: Tier) -> float:
    """How long a hit takes, the median of what `make bench` measured; 0 where nothing was measured."""
    rows = {row["name"]: row["value"] for row in orjson.loads(RESULTS.read_bytes())} if RESULTS.is_file() else {}
    return float(rows.get("exact_49kb_p50" if tier == "exact" else "semantic_p50") or 0.0)


def thinker_ms(found: Sequence[Replayed]) -> Callable[[Replayed], float]:
    """How long a Thinker took, or would have taken: by its output, where the recording itself had a hit."""
    missed = [it.exchange for it in found if it.exchange.outcome == "miss" and it.exchange.output_tokens]
    a_token = statistics.median(it.total_ms / it.output_tokens for it in missed) if missed else 0.0
    return lambda it: it.exchange.total_ms if it.exchange.outcome == "miss" else a_token * it.exchange.output_tokens


def waiting_table(found: Sequence[Replayed]) -> Table:
    """Median and p95 to the last byte, without a cache and with this one: of all traffic, and of its kinds."""
    took, takes = thinker_ms(found), {tier: hit_ms(tier) for tier in TIERS}
    kinds = {"all requests": found} | {
        f"{kind}s": [it for it in found if it.kind == kind] for kind in ("agent turn", "question")
    }
    rows = []
    for name, some in kinds.items():
        without = [took(it) for it in some]
        having = [takes[it.tier] if it.is_hit else ms for it, ms in zip(some, without, strict=True)]
        rows.append((name, f"{len(some):,}", *_seconds(without), *_seconds(having)))
    return Table(("waiting for", "", "p50 without", "p95 without", "p50 with", "p95 with"), tuple(rows))


def _seconds(waits_ms: Sequence[float]) -> tuple[str, str]:
    if not waits_ms:
        return "—", "—"
    median, high = np.quantile(waits_ms, [0.5, 0.95]) / 1e3
    return f"{median:.2f} s", f"{high:.2f} s"
