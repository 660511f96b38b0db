"""What notebook 02 measures: a hit's time, and what a miss takes longer, as one thing after the other grows.

Server, upstream and load client are processes of their own on this machine, over loopback; the upstream is a scripted
Ollama that answers at once, so what is left of a miss is what the proxy adds.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import tempfile
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from benchmarks import children
from benchmarks.children import Child
from benchmarks.comparing import Estimate, difference
from benchmarks.load import Plan, Sample, Target, run
from benchmarks.measuring import PROXY, UPSTREAM, chat_body
from benchmarks.stand_ins import redis
from benchmarks.stock import Models, Size, Stock, add_others, fill, large_body, small_body

Outcome = Literal["exact", "semantic", "miss"]
OUTCOMES: tuple[Outcome, ...] = ("exact", "semantic", "miss")
Dimension = Literal["body size", "question length", "entries stored", "clients", "store"]

T = TypeVar("T")

CONTEXT_TOKENS = 262_144
"""The largest requests do not fit into what is usual."""

SERVED_EACH = 8
"""Of so many forms of a question at least, on the average, the policy serves its answer."""

WARMUP = 5
LIMIT_S = 300.0
MOST_BY_ASKING = 10_000
"""Entries that a store other than a file is filled with: each costs a request."""
OWN_REDIS = "redis"
"""A store that is started for the measurement."""
VERIFIED_WORDS = 40
"""The verifier reads no longer pair, so what is longer is never served by meaning."""
MOST_BYTES = str(64 * 1024**3)


@dataclass(frozen=True, slots=True)
class Scale:
    """What is measured: bodies in KB, questions in words, entries, clients, and stores beside the file.

    A store is a URL, or `redis`: one of its own, started for this.
    """

    requests: int
    body_kb: Sequence[int]
    words: Sequence[int]
    entries: Sequence[int]
    clients: Sequence[int]
    stores: Sequence[str]


@dataclass(frozen=True, slots=True)
class Point:
    """One kind of request at one setting. Times in milliseconds: of hits to the last byte, of misses to the first.

    `direct_ms` are the same requests at the upstream itself; `stages_ms` the server's own account; `failed` what else
    happened, by name and count.
    """

    dimension: Dimension
    setting: str
    at: float
    outcome: Outcome
    times_ms: Sequence[float]
    direct_ms: Sequence[float] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)

    def percentile(self, percent: float) -> Estimate:
        """Of a hit's time, or of what a miss takes longer than upstream; with its interval at 95 % if there is one."""
        ours = percentile_estimate(self.times_ms, percent)
        return difference(percentile_estimate(self.direct_ms, percent), ours) if self.outcome == "miss" else ours


def percentile_estimate(values: Sequence[float], percent: float) -> Estimate:
    """The nearest-rank percentile with the interval at 95 % between two ranks, free of any distribution.

    The ranks follow from the binomial, approximated by the normal (Conover, Practical Nonparametric Statistics,
    section 3.2). An end that so few values cannot give is None.
    """
    ranked, share = sorted(values), percent / 100
    if not ranked:
        return Estimate(math.nan, unit="ms")
    middle, spread = len(ranked) * share, 1.96 * math.sqrt(len(ranked) * share * (1 - share))
    low, high = math.floor(middle - spread), math.ceil(middle + spread) + 1
    return Estimate(
        ranked[max(0, math.ceil(middle) - 1)],
        ranked[low - 1] if low >= 1 else None,
        ranked[high - 1] if high <= len(ranked) else None,
        "ms",
    )


# ── one setting ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a point stands."""

    dimension: Dimension
    name: str
    at: float
    clients: int = 1


class Asking:
    """Asks a running proxy, and for misses its upstream too, by turns."""

    def __init__(self, server: Child, ollama: Child, requests: int) -> None:
        timing = {"x-server-timing": "1"}
        self._proxy = Target(PROXY, f"{server.url}/v1/messages", contains='"message_stop"', headers=timing)
        self._upstream = Target(UPSTREAM, f"{ollama.url}/api/chat", contains='"done":true')
        self._requests = requests

    def teach(self, bodies: Sequence[str]) -> None:
        """Have each of these answered once, so that it is stored; raises `ChildFailed` when one is not."""
        report = run(Plan([self._proxy], list(bodies), [(0, i) for i in range(len(bodies))], 4, limit_s=3600))
        if wrong := [sample.error for sample in report.samples if sample.error]:
            raise children.ChildFailed(f"{len(wrong)} of {len(bodies)} requests failed, the first: {wrong[0]}")

    def hits(self, setting: Setting, outcome: Outcome, bodies: Iterable[str]) -> Point:
        """The next of `bodies`, which should be answered with this outcome."""
        warmup = max(WARMUP, setting.clients)
        taken = list(itertools.islice(bodies, self._requests + warmup))
        order = [(0, i) for i in range(len(taken))]
        return self._point(setting, outcome, Plan([self._proxy], taken, order, setting.clients, warmup, LIMIT_S))

    def misses(self, setting: Setting, bodies: Iterable[str]) -> Point:
        """The next of `bodies` at the proxy and at its upstream, by turns."""
        warmup = max(WARMUP, setting.clients)
        taken = list(itertools.islice(bodies, self._requests + warmup))
        mixed = [text for body in taken for text in (body, chat_body(body, num_ctx=CONTEXT_TOKENS))]
        order = [(i % 2, i) for i in range(len(mixed))]
        plan = Plan([self._proxy, self._upstream], mixed, order, setting.clients, 2 * warmup, LIMIT_S)
        return self._point(setting, "miss", plan)

    def _point(self, setting: Setting, outcome: Outcome, plan: Plan) -> Point:
        report = run(plan)
        ours, theirs = report.good(PROXY, cache=outcome), report.good(UPSTREAM)
        expected = {f"{PROXY} {outcome}", f"{UPSTREAM} 200"}
        return Point(
            setting.dimension,
            setting.name,
            setting.at,
            outcome,
            [sample.ttfb_ms if outcome == "miss" else sample.total_ms for sample in ours],
            [sample.ttfb_ms for sample in theirs],
            median_stages_ms(ours),
            {what: count for what, count in report.outcomes.items() if what not in expected},
        )


def median_stages_ms(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of each stage of the ``Server-Timing`` headers, in the order of the stages."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        for part in filter(None, sample.timing.split(", ")):
            stage, _, duration = part.partition(";dur=")
            found.setdefault(stage, []).append(float(duration))
    return {stage: percentile_estimate(values, 50).value for stage, values in found.items()}


# ── everything ──────────────────────────────────────────────────────────────────────────────────────────────


def measure(scale: Scale, *, progress: bool = True) -> list[Point]:
    """Every kind of request, at every setting of the scale; the servers are gone afterwards."""
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="latency-") as name:
        folder = Path(name)
        models = Models.below(folder / "workbench")
        with children.stand_in("ollama", "--chunks", "20", folder=folder) as ollama:
            for found in _all(scale, folder, models, ollama):
                points.append(found)
                if progress:
                    print(f"\r{len(points)} points: {found.dimension} {found.setting}, {found.outcome}    ", end="")
    if progress:
        print()
    return points


def _all(scale: Scale, folder: Path, models: Models, ollama: Child) -> Iterator[Point]:
    for number, entries in enumerate(scale.entries):
        with _serving(folder / str(number), models, scale, ollama, entries=entries) as (asking, stock):
            setting = Setting("entries stored", f"{entries:,}", entries)
            found = list(_three(asking, stock, setting, iter(stock.paraphrases)))
            yield from found
            if number == 0:
                yield from (replace(point, dimension="store", setting="sqlite", at=0) for point in found)
                yield from _by_size(asking, scale)
                yield from _by_words(asking, scale)
                yield from _by_clients(asking, stock, scale)
    for number, store in enumerate(scale.stores, 1):
        entries = min(scale.entries[0], MOST_BY_ASKING)
        place, setting = folder / f"store-{number}", Setting("store", store.partition(":")[0], number)
        with ExitStack() as stack:
            try:
                url = stack.enter_context(redis.running(folder / "redis")).url if store == OWN_REDIS else store
            except redis.RedisMissing as error:
                print(f"store {store}: not measured, {error}")
                continue
            serving = _serving(place, models, scale, ollama, entries=entries, store=url)
            asking, stock = stack.enter_context(serving)
            yield from _three(asking, stock, setting, iter(stock.paraphrases))


@contextmanager
def _serving(
    folder: Path, models: Models, scale: Scale, ollama: Child, *, entries: int, store: str = ""
) -> Iterator[tuple[Asking, Stock]]:
    """A proxy whose store holds so many entries, and requests that go with them."""
    folder.mkdir(parents=True)
    forms = (scale.requests + WARMUP) + sum(scale.requests + max(WARMUP, clients) for clients in scale.clients)
    asked = max(20, scale.requests // 4, forms // SERVED_EACH)
    path = folder / "cache.sqlite"
    stock = _run(fill(path, models, Size(asked + 50, asked, forms)))
    if not store and entries > asked + 50:
        _run(add_others(path, models, entries - asked - 50))
    with children.server(
        folder,
        thinker=ollama.url,
        store=store,
        WORKBENCH_STORE_MAX_BYTES=MOST_BYTES,
        WORKBENCH_NUM_CTX=str(CONTEXT_TOKENS),
    ) as server:
        asking = Asking(server, ollama, scale.requests)
        if store:
            more = (small_body(f"How many are number {i}?") for i in range(max(0, entries - len(stock.exact))))
            asking.teach([*stock.exact, *more])
        yield asking, stock


def _run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread, since a notebook's own has a loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _three(asking: Asking, stock: Stock, setting: Setting, paraphrases: Iterator[str]) -> Iterator[Point]:
    yield asking.hits(setting, "exact", itertools.cycle(stock.exact))
    yield asking.hits(setting, "semantic", paraphrases)
    yield asking.misses(setting, map(small_body, stock.unknown))


def _by_size(asking: Asking, scale: Scale) -> Iterator[Point]:
    for kb in scale.body_kb:
        setting = Setting("body size", f"{kb} KB", kb)
        bodies = [_sized(f"What is number {i}?", kb) for i in range(scale.requests + WARMUP)]
        asking.teach(bodies[:4])
        yield asking.hits(setting, "exact", itertools.cycle(bodies[:4]))
        yield asking.misses(setting, (_sized(f"What is word {i}?", kb) for i in itertools.count()))


def _sized(text: str, kb: int) -> str:
    """A request of so many KB; what Claude Code sends from 49 KB on. Each has a scope of its own."""
    small = small_body(text, system=f" {text}") if kb < 49 else large_body(text).replace("coding agent", text)
    missing = max(0, kb * 1000 - len(small))
    return small.replace("You are" if kb >= 49 else f" {text}", f"{'word ' * (missing // 5)} {text} You are", 1)


def _by_words(asking: Asking, scale: Scale) -> Iterator[Point]:
    """Every question goes with a long explanation, which is the same in its paraphrase."""
    for words in scale.words:
        setting = Setting("question length", f"{words} words", words)
        count = scale.requests + WARMUP
        about = [" ".join(f"I use part {i} of it.".split() * (words // 6 + 1)) for i in range(count)]
        told = [" ".join(text.split()[: max(1, words - 7)]) for text in about]
        # a system prompt of its own: a search among these alone, so that only the length grows
        system = f" Questions of {words} words."
        asking.teach([small_body(f"How do I mend tool {i}? {text}", system=system) for i, text in enumerate(told)])
        again = (small_body(f"how do i mend tool {i}? {text}", system=system) for i, text in enumerate(told))
        if words <= VERIFIED_WORDS:
            yield asking.hits(setting, "semantic", again)
        new = (small_body(f"Where is shop {i}? {text}", system=system) for i, text in enumerate(told))
        yield asking.misses(setting, new)


def _by_clients(asking: Asking, stock: Stock, scale: Scale) -> Iterator[Point]:
    paraphrases = iter(stock.paraphrases[scale.requests + WARMUP :])
    for clients in scale.clients:
        yield from _three(asking, stock, Setting("clients", f"{clients}", clients, clients), paraphrases)
