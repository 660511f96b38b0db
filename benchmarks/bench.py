"""`make bench`: the served figures, one JSON line each, and a table at the end.

Everything runs on this machine over loopback: `serve.py` as it is started by hand, a scripted Ollama, and the load
client, each a process of its own. A whole run writes `benchmarks/results/bench.json` and the README's table from it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from benchmarks import children, redis_figures
from benchmarks.figures import RESULTS, Figure, Target, print_table, save, this_run, update_readme
from benchmarks.measuring import Effort, Measuring, Round
from benchmarks.rented_figures import rented
from benchmarks.stock import Models, Size, Stock, fill, small_body, tool_turn_body
from benchmarks.thinker_figures import many_thinkers

GROUPS = (
    "start",
    "exact",
    "exact-large",
    "cold",
    "semantic",
    "miss",
    "miss-among",
    "tool-turn",
    "memory",
    "client",
    *redis_figures.GROUPS,
    "thinkers",
    "rented",
)
WHOLE = Effort(rounds=3, latency=600, rate=3000, warmup=60)
QUICK = Effort(rounds=1, latency=6, rate=34, warmup=2)
CLIENTS = 16


class Bench:
    """The groups of figures, against running servers."""

    def __init__(self, measuring: Measuring, stock: Stock) -> None:
        self._measuring = measuring
        self._effort = measuring.effort
        self._stock = stock
        self._fastest_per_s = 0.0

    def exact(self) -> Iterator[Figure]:
        """A 2 KB request that is in memory."""
        yield from self._hits("exact_2kb", "exact hit, 2 KB", self._stock.exact, {50: 2, 99: 8}, at_least_per_s=800)

    def exact_large(self) -> Iterator[Figure]:
        """A request of Claude Code's size and shape."""
        yield from self._hits("exact_49kb", "exact hit, 49 KB of Claude Code", self._stock.large, {50: 4})

    def cold(self) -> Iterator[Figure]:
        """Stored entries that were not asked since the start: they come from SQLite."""
        bodies = iter(self._stock.cold)
        rounds = [self._measuring.ask(bodies, self._effort.latency) for _ in range(self._effort.rounds)]
        yield from _latency("exact_cold_2kb", "exact hit from SQLite, 2 KB", rounds, "exact", {})

    def semantic(self) -> Iterator[Figure]:
        """Paraphrases, each asked once, so that every one is embedded."""
        bodies = iter(self._stock.paraphrases)
        rounds = [self._measuring.ask(bodies, self._effort.latency) for _ in range(self._effort.rounds)]
        yield from _latency("semantic", "semantic hit, 15 tokens", rounds, "semantic", {50: 7, 99: 20})
        yield _stages("semantic", self._measuring.ask(bodies, self._effort.timed, timing=True))

    def miss(self) -> Iterator[Figure]:
        """Questions in conversations that nobody has had: embedded while the answer comes, and stored with it."""
        bodies = (small_body(text, system=f" Session {number}.") for number, text in enumerate(self._stock.unknown))
        yield from self._misses("miss", "miss, 15 tokens", bodies)

    def miss_among(self) -> Iterator[Figure]:
        """Questions beside all that is stored: embedded and compared before they are passed on."""
        about = f"miss, 15 tokens, {self._stock.entries:,} candidates"
        yield from self._misses("miss_among", about, map(small_body, self._stock.unknown))

    def tool_turn(self) -> Iterator[Figure]:
        """What follows a tool call, most of an agent's requests: never matched by meaning, so never embedded."""
        yield from self._misses("miss_tool_turn", "miss after a tool", map(tool_turn_body, self._stock.unknown))

    def memory(self) -> Iterator[Figure]:
        """What the server has resident after all that came before."""
        about = f"resident memory after the load, {self._stock.entries:,} entries and more"
        yield Figure("resident_memory", about, [self._measuring.server.resident_mib], "MiB", 1, Target(400))

    def client(self) -> Iterator[Figure]:
        """What the load client does at most, so that no figure above is its own."""
        rounds = self._measuring.ceiling(self._stock.exact, clients=CLIENTS)
        least = Target(round(2 * self._fastest_per_s), at_least=True) if self._fastest_per_s else None
        yield _rate("load_client", f"load client alone, {CLIENTS} clients", rounds, "exact", least)

    def _hits(
        self, name: str, about: str, bodies: list[str], at_most_ms: dict[int, float], *, at_least_per_s: int = 0
    ) -> Iterator[Figure]:
        effort, again = self._effort, _again(bodies)
        rounds = [self._measuring.ask(again, effort.latency) for _ in range(effort.rounds)]
        yield from _latency(name, about, rounds, "exact", at_most_ms)
        rounds = [self._measuring.ask(again, effort.rate, clients=CLIENTS) for _ in range(effort.rounds)]
        target = Target(at_least_per_s, at_least=True) if at_least_per_s else None
        yield self._noted(_rate(name, f"{about}, {CLIENTS} clients", rounds, "exact", target))
        yield _stages(name, self._measuring.ask(again, effort.timed, timing=True))

    def _misses(self, name: str, about: str, bodies: Iterator[str]) -> Iterator[Figure]:
        effort = self._effort
        pairs = [self._measuring.ask_both(bodies, effort.latency // 3) for _ in range(effort.rounds)]
        yield _added(f"{name}_added_ttfb", f"{about}: added TTFB", "ttfb", pairs, Target(3))
        yield _added(f"{name}_added_total", f"{about}: added total", "total", pairs, Target(6))
        rates = [self._measuring.ask_each(bodies, effort.rate // 6, clients=CLIENTS) for _ in range(effort.rounds)]
        least, clients = Target(250, at_least=True), f"{CLIENTS} clients"
        proxied = _rate(name, f"{about}, {clients}", [ours for ours, _ in rates], "miss", least)
        upstream = _rate(f"{name}_upstream", f"{about}: the upstream itself, {clients}", [up for _, up in rates], "")
        proxied.more["ratio_to_upstream"] = proxied.value / upstream.value
        yield self._noted(proxied)
        yield self._noted(upstream)
        yield _stages(name, self._measuring.ask(bodies, effort.timed, timing=True))

    def _noted(self, figure: Figure) -> Figure:
        self._fastest_per_s = max(self._fastest_per_s, figure.value)
        return figure


def _again(bodies: list[str]) -> Iterator[str]:
    while True:
        yield from bodies


# ── rounds → figures ────────────────────────────────────────────────────────────────────────────────────────


def _latency(name: str, about: str, rounds: list[Round], cache: str, at_most_ms: dict[int, float]) -> Iterator[Figure]:
    for percent in (50, 95, 99):
        target = Target(at_most_ms[percent]) if percent in at_most_ms else None
        values = [found.percentile_ms("total", percent, cache=cache) for found in rounds]
        yield _figure(f"{name}_p{percent}", f"{about}: p{percent}", values, "ms", rounds, cache, target)


def _rate(name: str, about: str, rounds: list[Round], cache: str, target: Target | None = None) -> Figure:
    values = [found.report.per_second for found in rounds]
    return _figure(f"{name}_per_s", about, values, "requests/s", rounds, cache, target)


def _added(name: str, about: str, what: str, rounds: list[Round], target: Target) -> Figure:
    """How much later it comes through the proxy than from upstream: the difference of the medians."""
    proxied = [found.percentile_ms(what, 50, cache="miss") for found in rounds]
    direct = [found.percentile_ms(what, 50, direct=True) for found in rounds]
    added = [ours - theirs for ours, theirs in zip(proxied, direct, strict=True)]
    figure = _figure(name, f"{about}, p50", added, "ms", rounds, "miss", target)
    ours, theirs = sorted(proxied)[len(proxied) // 2], sorted(direct)[len(direct) // 2]
    figure.more.update(proxied_ms=ours, upstream_ms=theirs, ratio_to_upstream=ours / theirs)
    return figure


def _stages(name: str, found: Round) -> Figure:
    """The server's own account of where the time goes, stage by stage."""
    stages = found.stages_ms()
    samples = len(found.report.samples)
    return Figure(f"{name}_server_timing", f"{name}: Server-Timing", [sum(stages.values())], "ms", samples, more=stages)


def _figure(
    name: str, about: str, values: list[float], unit: str, rounds: list[Round], cache: str, target: Target | None
) -> Figure:
    failed: Counter[str] = Counter()
    for found in rounds:
        failed.update(found.unexpected(cache))
    samples = sum(len(found.report.samples) for found in rounds)
    more = {"server_cpu_ms": sorted(found.server_cpu_ms for found in rounds)[len(rounds) // 2]}
    return Figure(name, about, values, unit, samples, target, dict(failed), more)


# ── a run ───────────────────────────────────────────────────────────────────────────────────────────────────


def measure(folder: Path, effort: Effort, size: Size, groups: list[str]) -> Iterator[Figure]:
    """Start everything in `folder`, measure these groups, and stop everything."""
    stock = asyncio.run(fill(folder / "cache.sqlite", Models.below(folder / "workbench"), size))
    with children.stand_in("ollama", "--chunks", "20", folder=folder) as ollama:
        if "start" in groups:
            yield _starts(folder, thinker=ollama.url, rounds=effort.rounds)
        with children.server(folder, thinker=ollama.url) as server:
            bench = Bench(Measuring(server, ollama, folder, effort), stock)
            for group in groups:
                if hasattr(bench, group.replace("-", "_")):
                    yield from getattr(bench, group.replace("-", "_"))()
        sizes = redis_figures.SMALL if effort is QUICK else redis_figures.Sizes()
        yield from redis_figures.figures(folder, ollama, stock.exact, effort, sizes, groups)

    if "thinkers" in groups:
        yield from many_thinkers(folder, effort)
    if "rented" in groups:
        yield from rented(folder, effort)


def _starts(folder: Path, *, thinker: str, rounds: int) -> Figure:
    times_s = []
    for _ in range(rounds + 1):
        with children.server(folder, thinker=thinker) as server:
            times_s.append(server.ready_s)
    about = "from the start of the process to the first answer, second start"
    return Figure("ready", about, times_s[1:], "s", rounds, Target(5), more={"first_start": times_s[0]})


def main(
    quick: Annotated[bool, typer.Option(help="A few requests of each kind: whether it works, not how fast.")] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"Only these groups: {', '.join(GROUPS)}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the results here. [a whole run: bench.json]")] = None,
) -> None:
    """Measure what the proxy adds and what it saves."""
    known = (*GROUPS, *redis_figures.OPTIONAL)
    if unknown := set(only or ()) - set(known):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there is {', '.join(known)}")
    for number in children.ENDING:
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that the children are stopped too
    effort = QUICK if quick else WHOLE
    size = Size(200, 10, effort.hits) if quick else Size(10_000, 250, effort.hits)
    run, rows = this_run(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for figure in measure(Path(folder), effort, size, [name for name in known if name in (only or GROUPS)]):
            rows.append(figure.row(run))
            print(orjson.dumps(rows[-1]).decode(), flush=True)
    print_table(rows, Console(width=None if sys.stdout.isatty() else 150))
    if target := out or (None if quick or only else RESULTS):
        save(rows, target)
        if target == RESULTS and not update_readme():
            print("README.md has no <!-- results --> block to fill", file=sys.stderr)


if __name__ == "__main__":
    typer.run(main)
