"""What a replay comes to: rates with intervals, and what would have been saved, by kind of traffic and by tier.

    python -m benchmarks.replay RECORDING [--policy FILE] [--store memory|sqlite] [--semantic on|off]

The last line printed is JSON. Sessions are the independent units of every interval. A rate of few lookups is shown with
a mark, not left out.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import orjson
import typer

from benchmarks.bootstrap import Interval, ratio_interval
from benchmarks.counterfactual import Replayed, Setup, Tier, open_remembered, replay
from benchmarks.judging import Table
from benchmarks.recorded_traffic import read_traffic
from benchmarks.waiting import hit_ms, thinker_ms, waiting_table
from workbench.cache.policy import load_policy
from workbench.errors import ConfigurationError
from workbench.prices import ApiPrice, api_usd, hit_usd
from workbench.reply import Usage

FEW = 100
"""Below so many lookups, or …"""
FEW_SESSIONS = 30
"""… so many sessions, an interval says little, and the table says so."""
CACHED_SHARE = 0.9
"""How much of a prompt an API's own cache would have held, where the recording does not tell."""

Which = Callable[[Replayed], bool]


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole with its interval at 95 % over sessions."""

    name: str
    part: float
    whole: float
    interval: Interval
    is_few: bool

    @property
    def value(self) -> float:
        """Part ÷ whole; NaN of nothing."""
        return self.part / self.whole if self.whole else float("nan")


def shares(found: Sequence[Replayed], *, seed: int = 0) -> list[Share]:
    """The rates: of all traffic and of what is eligible, each apart; wrong ones per hit, lookup and request."""
    units = _units(found)

    def share(name: str, part: Which, whole: Which) -> Share:
        return _share(
            name, [part(each) and whole(each) for each in found], [whole(each) for each in found], units, seed
        )

    return [
        share("exact hits ÷ all requests", lambda it: it.tier == "exact", _all),
        share("semantic hits ÷ all requests", lambda it: it.tier == "semantic", _all),
        share("exact hits ÷ agent turns", lambda it: it.tier == "exact", lambda it: it.kind == "agent turn"),
        share("exact hits ÷ eligible questions", lambda it: it.tier == "exact", _eligible),
        share("semantic hits ÷ eligible questions", lambda it: it.tier == "semantic", _eligible),
        share("semantic hits ÷ lookups by meaning", lambda it: it.tier == "semantic", _looked_up),
        share("wrong ÷ semantic hits that were judged", _wrong, _judged),
        share("false hits ÷ lookups by meaning", _wrong, _looked_up),
        share("false hits ÷ all requests", _wrong, _all),
        share("not judged ÷ semantic hits", lambda it: it.says == "unknown", lambda it: it.tier == "semantic"),
    ]


def _all(_: Replayed) -> bool:
    return True


def _eligible(it: Replayed) -> bool:
    return it.exchange.is_eligible and it.exchange.text is not None


def _looked_up(it: Replayed) -> bool:
    """It reached the semantic decision: there was a candidate."""
    no_candidate = ("no-candidate", "semantic-off", "unreadable", "secrets", "personal", "moment", "variety")
    return _eligible(it) and it.tier != "exact" and it.reason not in no_candidate


def _wrong(it: Replayed) -> bool:
    return it.says == "wrong"


def _judged(it: Replayed) -> bool:
    return it.tier == "semantic" and it.says in ("right", "wrong")


def _units(found: Sequence[Replayed]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    names: dict[str, int] = {}
    return np.array([names.setdefault(it.exchange.session or it.exchange.id, len(names)) for it in found], np.int64)


def _share(
    name: str,
    part: Sequence[float],
    whole: Sequence[float],
    units: np.ndarray[tuple[int], np.dtype[np.int64]],
    seed: int,
) -> Share:
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    sessions = len(np.unique(units[wholes > 0]))
    interval = ratio_interval(parts, wholes, unit=units, seed=seed)
    is_few = int(np.count_nonzero(wholes)) < FEW or sessions < FEW_SESSIONS
    return Share(name, float(parts.sum()), float(wholes.sum()), interval, is_few)


PARTS: dict[str, Which] = {
    "agent turns, exact tier": lambda it: it.kind == "agent turn" and it.tier == "exact",
    "questions, exact tier": lambda it: it.kind == "question" and it.tier == "exact",
    "questions, semantic tier": lambda it: it.tier == "semantic" and it.says != "wrong",
    "auxiliary, exact tier": lambda it: it.kind == "auxiliary" and it.tier == "exact",
}
"""What saves something, each apart: repeated agent runs are another thing than questions."""


# ── what is saved ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Saved:
    """What hits of one kind and tier would have saved: an API's dollars, a Thinker's seconds, people's waiting."""

    name: str
    hits: int
    usd: float
    thinker_s: float
    waiting_s: float


def billed(usage: Usage, *, cached_share: float = CACHED_SHARE) -> Usage:
    """The usage as an API with prompt caching counts it: where it tells of no cache, it is split by the share."""
    if usage.cache_read_input_tokens or usage.cache_creation_input_tokens:
        return usage
    read = round(usage.input_tokens * cached_share)
    return replace(usage, input_tokens=usage.input_tokens - read, cache_read_input_tokens=read)


def usd_of(usage: Usage, price: ApiPrice) -> float:
    """What a hit saves: the prefix at the rate of cache reads, what is new as plain input, and the output."""
    new = usage.input_tokens + usage.cache_creation_input_tokens
    read = usage.cache_read_input_tokens
    return hit_usd(price, prefix_tokens=read, new_tokens=new, output_tokens=usage.output_tokens)


def savings_by_kind(
    found: Sequence[Replayed], price: ApiPrice, *, cached_share: float = CACHED_SHARE
) -> tuple[list[Saved], float]:
    """The savings of repeated agent runs apart from those of questions, and these by tier; and the whole bill.

    Wrong answers save nothing: a client asks again.
    """
    took = thinker_ms(found)
    rows = [_saved(name, filter(which, found), price, took, cached_share) for name, which in PARTS.items()]
    bill = sum(api_usd(billed(it.exchange.usage, cached_share=cached_share), price) for it in found)
    return rows, bill


def _saved(
    name: str, hits: Iterable[Replayed], price: ApiPrice, took: Callable[[Replayed], float], cached_share: float
) -> Saved:
    count, usd, thinker_s, waiting_s = 0, 0.0, 0.0, 0.0
    takes = {tier: hit_ms(tier) for tier in get_args(Tier)}
    for it in hits:
        count += 1
        usd += usd_of(billed(it.exchange.usage, cached_share=cached_share), price)
        thinker_s += took(it) / 1e3
        waiting_s += max(0.0, took(it) - takes[it.tier]) / 1e3
    return Saved(name, count, usd, thinker_s, waiting_s)


def cost_share(
    found: Sequence[Replayed], price: ApiPrice, *, cached_share: float = CACHED_SHARE, seed: int = 0
) -> Share:
    """The share of the bill that right hits would have saved: what `benchmarks.month` calls the hit rate."""
    return _cost_share("saved ÷ bill", _saves, found, price, cached_share, seed)


def cost_shares(
    found: Sequence[Replayed], price: ApiPrice, *, cached_share: float = CACHED_SHARE, seed: int = 0
) -> list[Share]:
    """The same for each of `PARTS`."""
    return [_cost_share(name, which, found, price, cached_share, seed) for name, which in PARTS.items()]


def _cost_share(
    name: str, which: Which, found: Sequence[Replayed], price: ApiPrice, cached_share: float, seed: int
) -> Share:
    usages = [billed(it.exchange.usage, cached_share=cached_share) for it in found]
    bill = [api_usd(usage, price) for usage in usages]
    pairs = zip(found, usages, bill, strict=True)
    saved = [min(usd_of(usage, price), usd) if which(it) else 0.0 for it, usage, usd in pairs]
    return _share(name, saved, bill, _units(found), seed)


def _saves(it: Replayed) -> bool:
    return it.is_hit and not _wrong(it)


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────


def share_table(found: Sequence[Share]) -> Table:
    """One row a rate, with its interval and what it is a part of."""
    rows = [(each.name, _said(each), f"{each.part:,.0f} of {each.whole:,.0f}", _few(each)) for each in found]
    return Table(("rate", "measured (95 % over sessions)", "of", ""), tuple(rows))


def _said(share: Share) -> str:
    if not share.whole:
        return "nothing to measure"
    low, high = share.interval
    return f"{share.value:.2%} ({low:.2%} to {high:.2%})"


def _few(share: Share) -> str:
    return "few samples" if share.is_few else ""


def savings_table(rows: Sequence[Saved], bill_usd: float, *, model: str) -> Table:
    """What would have been saved, against the whole bill."""
    cells = [
        (
            row.name,
            f"{row.hits:,}",
            f"${row.usd:,.2f} ({row.usd / bill_usd:.1%})" if bill_usd else "$0",
            f"{row.thinker_s / 3600:.2f} h",
            f"{row.waiting_s / 3600:.2f} h",
        )
        for row in rows
    ]
    header = ("saved by", "hits", f"of a {model} bill of ${bill_usd:,.2f}", "Thinker time", "waiting")
    return Table(header, tuple(cells))


def document(found: Sequence[Share], saved: Sequence[Saved], by_cost: Share) -> dict[str, Any]:
    """Rates and savings as JSON; `hit_rate` is by cost, as `benchmarks.month` takes it."""
    rates = {share.name: asdict(share) for share in found}
    return {"rates": rates, "saved": [asdict(row) for row in saved], "hit_rate": by_cost.value} | {
        "hit_rate_interval": list(by_cost.interval)
    }


def main(
    recording: Annotated[Path, typer.Argument(help="A recording, or a folder of them.")],
    policy: Annotated[Path | None, typer.Option(help="A policy; the one that ships when absent.")] = None,
    store: Annotated[str, typer.Option(help="memory or sqlite.")] = "memory",
    semantic: Annotated[str, typer.Option(help="on or off.")] = "on",
) -> None:
    """Replay, and say what would have been."""
    try:
        traffic, rules = read_traffic(recording), load_policy(policy)
        setup = replace(Setup(rules), store=store, semantic=semantic)  # type: ignore[arg-type]  # checked where it is used
        with open_remembered(policy=rules) as known:
            began_s = time.perf_counter()
            found = replay(traffic, setup, known, show=lambda count: print(f"\r{count:,}", end="", file=sys.stderr))
            print(f"\r{time.perf_counter() - began_s:.1f} s; {known.embedded:,} texts embedded", file=sys.stderr)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print(traffic, share_table(shares(found)), waiting_table(found), sep="\n\n")
    counts = Counter(f"{each.tier} {each.says}".strip() for each in found)
    print(orjson.dumps({"exchanges": len(found), "outcomes": counts}).decode())


if __name__ == "__main__":
    typer.run(main)
