"""What a month costs: a rented fleet with a cache against APIs, against clouds, and against a node that never sleeps.

    python -m benchmarks.costs

prints the 81 % question answered for every baseline, writes `benchmarks/results/costs.json` and the README's table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from benchmarks.figures import ROOT, put_between_marks, this_run
from benchmarks.fleet_size import Choice, choices, first_token_p95_s, on
from benchmarks.judging import Table
from benchmarks.month import Mode, Scenario, always_on_usd, elastic_usd
from benchmarks.throughput import Speed, known_speeds
from workbench.errors import ConfigurationError
from workbench.prices import HOURS_PER_MONTH, VAST, ApiPrice, GpuPrice, Prices, api_usd, load_prices, savings

RESULTS = ROOT / "benchmarks" / "results" / "costs.json"
MODEL = "qwen3-coder:30b"
TARGET = 0.81
"""The saving that is asked for."""
FIRST_TOKEN_S = 5.0
"""The latency target: p95 to the first token."""
ASSUMED = Scenario(gpu_usd_per_h=math.nan, decode_tokens_per_s=150.0)
"""The month that is taken where nobody says otherwise: a team's Claude Code, and a GPU yet to be chosen."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Something that would serve the same month without our cache; `usd` of a month, from the lowest price seen."""

    name: str
    low_usd: float
    high_usd: float
    is_cloud: bool = False

    @property
    def usd(self) -> float:
        """The middle."""
        return (self.low_usd + self.high_usd) / 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What is saved against a baseline, and what hit rate the target takes: None when no hit rate reaches it.

    `needed_low` and `needed_high` are for the baseline's highest and lowest price.
    """

    baseline: Baseline
    mode: Mode
    usd: float
    saving: float
    needed: float | None
    needed_low: float | None
    needed_high: float | None


def baselines(month: Scenario, gpu: str, prices: Prices, *, nodes: int) -> list[Baseline]:
    """Every API, this GPU at every cloud for as many hours as a month without a cache takes, our nodes always on."""
    found = [_api(month, price) for price in prices.api]
    cold = replace(month, hit_rate=0.0)
    clouds = [provider for provider in prices.providers(gpu) if provider != VAST]
    found += [_cloud(cold, prices.gpu_price(gpu, provider=provider)) for provider in clouds]
    usd = always_on_usd(cold, nodes=nodes)
    return [*found, Baseline(f"{nodes} × {gpu} at {VAST}, always on", usd, usd)]


def _api(month: Scenario, price: ApiPrice) -> Baseline:
    usd = api_usd(month.usage, price)
    return Baseline(f"{price.model}, prompt caching", usd, usd)


def _cloud(cold: Scenario, price: GpuPrice) -> Baseline:
    # Clouds let data in for nothing, and a GPU's list price has a local disk in it.
    cold = replace(cold, redis_usd_per_month=0.0, down_usd_per_gb=0.0, disk_usd_per_h=0.0)
    low, high = (
        elastic_usd(replace(cold, gpu_usd_per_h=usd_per_h)) for usd_per_h in (price.low_usd_per_h, price.high_usd_per_h)
    )
    return Baseline(f"{price.name} at {price.provider}", low, high, is_cloud=True)


def answer(month: Scenario, baseline: Baseline, *, mode: Mode, nodes: int, target: float = TARGET) -> Answer:
    """The 81 % question for one baseline."""

    def usd(hit_rate: float) -> float:
        return always_on_usd(month, nodes=nodes) if mode == "always on" else elastic_usd(_hitting(month, hit_rate))

    def needed(baseline_usd: float) -> float | None:
        return needed_hit_rate(lambda hit_rate: savings(usd(hit_rate), baseline=baseline_usd), target=target)

    now = usd(month.hit_rate)
    low, high = needed(baseline.high_usd), needed(baseline.low_usd)
    return Answer(baseline, mode, now, savings(now, baseline=baseline.usd), needed(baseline.usd), low, high)


def _hitting(month: Scenario, hit_rate: float) -> Scenario:
    return replace(month, hit_rate=hit_rate)


def needed_hit_rate(saving: Callable[[float], float], *, target: float = TARGET) -> float | None:
    """The least hit rate with at least this saving, to a ten-thousandth; None when even 1 has less."""
    if saving(0.0) >= target:
        return 0.0
    if saving(1.0) < target:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if saving(middle) >= target else (middle, high)
    return high


def break_even_requests(month: Scenario, price: ApiPrice, *, nodes: int, first_token_s: float) -> float:
    """From how many requests a month so many always-on nodes are cheaper than the API; infinite when never.

    Never: when that many requests would no longer be served within the latency target.
    """
    many = replace(month, requests_per_month=1e6)  # any number will do, but not a month's own, which may be none
    per_request_usd = api_usd(many.usage, price) / many.requests_per_month
    requests = always_on_usd(month, nodes=nodes) / per_request_usd if per_request_usd > 0 else math.inf
    there = replace(month, requests_per_month=requests)
    if not math.isfinite(requests) or first_token_p95_s(there, nodes=nodes) > first_token_s:
        return math.inf
    return requests


# ── all answers ─────────────────────────────────────────────────────────────────────────────────────────────


def answers(month: Scenario, gpu: str, prices: Prices, *, nodes: int, target: float = TARGET) -> list[Answer]:
    """The question for every baseline of a month on this GPU; against an API, and our own node, in both modes."""
    found = []
    for baseline in baselines(month, gpu, prices, nodes=nodes):
        modes: tuple[Mode, ...] = ("elastic",) if baseline.is_cloud else ("elastic", "always on")
        found += [answer(month, baseline, mode=mode, nodes=nodes, target=target) for mode in modes]
    return found


def clouded(month: Scenario, prices: Prices, *, target: float = TARGET) -> list[Answer]:
    """The question for every GPU that a cloud rents too: its speed is on both sides and cancels out, but for boots."""
    found = []
    for gpu in dict.fromkeys(price.name for price in prices.gpu if price.provider != VAST):
        here = replace(month, gpu_usd_per_h=prices.gpu_price(gpu, provider=VAST).usd_per_h)
        found += [each for each in answers(here, gpu, prices, nodes=1, target=target) if each.baseline.is_cloud]
    return found


def said(answer: Answer) -> str:
    """The needed hit rate in words."""
    ends = [_percent(rate) for rate in (answer.needed_low, answer.needed_high)]
    middle = _percent(answer.needed)
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} to {ends[1]} over the prices seen)"


def _percent(rate: float | None) -> str:
    return "none does" if rate is None else "none is needed" if rate == 0 else f"{rate:.0%}"


def losses(found: Sequence[Answer]) -> list[str]:
    """Where self-hosting is dearer than the baseline, in plain words."""
    return [
        f"{each.mode}, it costs ${each.usd:,.0f} a month where {each.baseline.name} costs ${each.baseline.usd:,.0f}"
        for each in found
        if each.saving < 0
    ]


def answer_table(found: Sequence[Answer]) -> Table:
    """One row an answer."""
    header = ("instead of", "ours", "it costs", "ours costs", "saved", "hit rate for 81 %")
    return Table(header, tuple(_cells(each) for each in found))


def _cells(each: Answer) -> tuple[str, ...]:
    dollars = f"${each.baseline.usd:,.0f}", f"${each.usd:,.0f}"
    return each.baseline.name, each.mode, *dollars, f"{each.saving:.0%}", said(each)


def choice_table(found: Sequence[Choice]) -> Table:
    """One row a GPU."""
    header = ("GPU", "nodes", "p95 to the first token", "elastic, $ a month", "always on, $ a month", "")
    return Table(header, tuple(_choice_cells(each) for each in found))


def _choice_cells(each: Choice) -> tuple[str, ...]:
    if each.why_not:
        return each.gpu, "", "", "", "", each.why_not
    dollars = f"{each.elastic_usd:,.0f}", f"{each.always_on_usd:,.0f}"
    return each.gpu, str(each.nodes), f"{each.first_token_p95_s:.2f} s", *dollars, ""


def break_even_table(month: Scenario, prices: Prices, *, nodes: int, first_token_s: float) -> Table:
    """From how many requests a month always-on nodes are cheaper than each API, while they still keep the target."""
    found = []
    for price in prices.api:
        requests = break_even_requests(month, price, nodes=nodes, first_token_s=first_token_s)
        told = f"{requests:,.0f} requests a month" if math.isfinite(requests) else "never: they are full before that"
        found.append((price.model, told))
    return Table(("instead of", f"{nodes} always-on nodes are cheaper from"), tuple(found))


def rows(found: Sequence[Answer]) -> list[dict[str, Any]]:
    """The answers as JSON objects."""
    return [asdict(each) | {"baseline": each.baseline.name, "baseline_usd": each.baseline.usd} for each in found]


def cheapest(found: Sequence[Choice]) -> Choice:
    """The cheapest that can be had; raises `ConfigurationError` when none can."""
    if not found or found[0].why_not:
        why = "; ".join(f"{each.gpu}: {each.why_not}" for each in found) or "no speed of any GPU is known"
        raise ConfigurationError(f"no GPU reaches the latency target: {why}")
    return found[0]


def assumptions(month: Scenario) -> str:
    """The month in a sentence."""
    return (
        f"{month.requests_per_month:,.0f} requests a month of {month.read_tokens:,.0f} tokens read again, "
        f"{month.write_tokens + month.input_tokens:,.0f} new and {month.output_tokens:,.0f} generated; "
        f"{month.hit_rate:.0%} of their cost answered from memory; elastic nodes busy {month.utilisation:.0%} of the "
        f"time that they are paid and booted {month.boots_per_month:,.0f} times, pulling {month.pull_gb:g} GB at "
        f"${month.down_usd_per_gb:g} a GB each time; a disk of ${month.disk_usd_per_h * HOURS_PER_MONTH:.0f} a month"
    )


def main(
    prices_file: Annotated[Path | None, typer.Option("--prices", help="Another price list.")] = None,
    model: Annotated[str, typer.Option(help="The model whose speeds are taken.")] = MODEL,
    hit_rate: Annotated[float, typer.Option(min=0, max=1)] = ASSUMED.hit_rate,
    readme: Annotated[bool, typer.Option(help="Write results and the README's table.")] = True,
) -> None:
    """Answer for every baseline; the last line is JSON."""
    try:
        prices, speeds = load_prices(prices_file), known_speeds(model)
        found, told = report(replace(ASSUMED, hit_rate=hit_rate), speeds, prices)
    except ConfigurationError as error:
        print(error)
        raise typer.Exit(2) from None
    doubts = prices.warnings(today=datetime.now(UTC).date())
    print(told, *(f"warning: {doubt}" for doubt in doubts), sep="\n")
    document = {"answers": rows(found), "warnings": doubts} | this_run()
    if readme:
        RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        put_between_marks("costs", told)
    print(orjson.dumps(document).decode())


def report(month: Scenario, speeds: Sequence[Speed], prices: Prices) -> tuple[list[Answer], str]:
    """All answers on the cheapest GPU, those against clouds, and both as Markdown with what they rest on."""
    best = cheapest(choices(month, speeds, prices, first_token_s=FIRST_TOKEN_S))
    here = on(month, best.gpu, speeds, prices)
    found = answers(here, best.gpu, prices, nodes=best.nodes) + clouded(month, prices)
    source = "; ".join(dict.fromkeys(speed.source for speed in speeds if speed.gpu == best.gpu))
    basis = (
        f"The month is assumed: {assumptions(here)}. Against APIs: {best.nodes} × {best.gpu} at {VAST}, "
        f"${here.gpu_usd_per_h:.2f} an hour, {here.prefill_tokens_per_s:,.0f} tokens/s in and "
        f"{here.decode_tokens_per_s:,.0f} out ({source})"
    )
    losing = "".join(f"\n- Self-hosting loses: {loss}." for loss in losses(found))
    oldest = min((price.date for price in (*prices.api, *prices.gpu) if price.date), default=None)
    dated = f"Prices from {oldest} on (`workbench/data/prices.toml`), computed {datetime.now(UTC).date()} by"
    return found, f"{answer_table(found)}\n{losing}\n- {basis}.\n- {dated} `python -m benchmarks.costs`."


if __name__ == "__main__":
    typer.run(main)
