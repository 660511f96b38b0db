"""The figures of the shared store, against a real Redis with search: hits through a proxy, and searches at the store.

Vectors lie in clusters, and a question is a stored vector with so much noise that their cosine is about 0.9, as that of
a paraphrase: what is stored by chance alone, without neighbours, would make recall a matter of luck.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from redis.asyncio import Redis

from benchmarks import children
from benchmarks.children import Child
from benchmarks.figures import Figure, Target
from benchmarks.load import percentile
from benchmarks.measuring import Effort, Measuring
from benchmarks.stand_ins.redis import RedisMissing, parts
from benchmarks.stand_ins.redis import running as redis_running
from workbench.cache.redis_link import RedisOptions
from workbench.cache.redis_rows import RedisLimits
from workbench.cache.redis_store import RedisStore
from workbench.cache.store import Entry, Vector
from workbench.errors import StoreError

GROUPS = ("redis-exact", "redis-search", "redis-many")
OPTIONAL = ("redis-one-scope",)
"""Only when named: it takes half an hour."""

DIMENSION = 384
CLUSTERS = 2_000
SPREAD, NOISE = 0.8, 0.48
AT_ONCE = 64
TENANT = "bench"
DAY_S = 86_400.0
SEARCHED_S = 60.0
PAYLOAD = bytes(range(256)) * 3

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many entries: in the search over scopes of three sizes, few and many in scopes of 100, and in one scope."""

    search: int = 100_000
    few: int = 10_000
    many: int = 1_000_000
    one_scope: int = 1_000_000
    questions: int = 500


SMALL = Sizes(search=1_000, few=200, many=1_000, one_scope=500, questions=20)


@dataclass(frozen=True, slots=True)
class Scope:
    """So many entries that are searched together; its vectors follow from its number."""

    number: int
    size: int
    kind: str = ""

    @property
    def name(self) -> str:
        """As a question names it."""
        return f"scope {self.number}"

    def vectors(self) -> Rows:
        """(size, 384) float32, unit rows."""
        drawn = np.random.default_rng([7, self.number])
        centres = np.random.default_rng(7).normal(size=(CLUSTERS, DIMENSION)).astype(np.float32)
        rows = _unit(centres[drawn.integers(0, CLUSTERS, self.size)])
        return _unit(rows + SPREAD * _unit(drawn.normal(size=rows.shape).astype(np.float32)))


@dataclass(frozen=True, slots=True)
class Found:
    """One search: how long it took, and whether it found the nearest, which brute force tells."""

    ms: float
    right: bool


def figures(
    folder: Path, ollama: Child, bodies: Sequence[str], effort: Effort, sizes: Sizes, groups: Sequence[str]
) -> Iterator[Figure]:
    """Those of the named groups; none where the packages with a server are missing."""
    if not {*groups} & {*GROUPS, *OPTIONAL}:
        return
    try:
        parts()
    except RedisMissing as error:
        print(f"no figures of the shared store: {error}", file=sys.stderr)
        return
    if "redis-exact" in groups:
        yield from _exact(folder, ollama, bodies, effort)
    if "redis-search" in groups:
        yield from asyncio.run(_search(folder, sizes))
    if "redis-many" in groups:
        yield asyncio.run(_many(folder, sizes))
    if "redis-one-scope" in groups:
        yield from asyncio.run(_one_scope(folder, sizes))


# ── through the proxy ───────────────────────────────────────────────────────────────────────────────────────


def _exact(folder: Path, ollama: Child, bodies: Sequence[str], effort: Effort) -> Iterator[Figure]:
    """The same requests, stored in SQLite and in Redis, without a memory tier in front of either."""
    medians: dict[str, list[float]] = {}
    with redis_running(folder / "redis-exact") as redis:
        for name, store in (("sqlite", f"sqlite:///{folder / 'beside-redis.sqlite'}"), ("redis", redis.url)):
            with children.server(folder, thinker=ollama.url, store=store, WORKBENCH_MEMORY_MAX_BYTES="0") as server:
                measuring = Measuring(server, ollama, folder, effort)
                asked = list(islice(bodies, effort.latency))
                measuring.ask(iter(asked), len(asked))
                rounds = [measuring.ask(iter(asked * 2), effort.latency) for _ in range(effort.rounds)]
                medians[name] = [found.percentile_ms("total", 50, cache="exact") for found in rounds]
    added = [ours - theirs for ours, theirs in zip(medians["redis"], medians["sqlite"], strict=True)]
    more = {name: sorted(values)[len(values) // 2] for name, values in medians.items()}
    samples = effort.rounds * effort.latency
    yield Figure("redis_exact_added", "exact hit, p50: Redis − SQLite", added, "ms", samples, Target(1), more=more)


# ── at the store ────────────────────────────────────────────────────────────────────────────────────────────


async def _search(folder: Path, sizes: Sizes) -> list[Figure]:
    """Scopes of three sizes beside each other, each asked as often."""
    scopes = _mixed(sizes.search)
    with redis_running(folder / "redis-search") as redis:
        store = await _opened(redis.url)
        try:
            await _fill(store, scopes)
            found = {kind: await _ask(store, _of(scopes, kind), sizes.questions) for kind in ("20", "1000", "30000")}
        finally:
            await store.close()
    times = [one.ms for some in found.values() for one in some]
    about = f"search among {sizes.search:,} × {DIMENSION}, scopes of 20, 1,000 and 30,000 alike"
    more = {f"scope_{kind}_p50": percentile([one.ms for one in some], 50) for kind, some in found.items()}
    more |= {f"scope_{kind}_p99": percentile([one.ms for one in some], 99) for kind, some in found.items()}
    rows = [
        Figure("redis_search_p50", f"{about}: p50", [percentile(times, 50)], "ms", len(times), Target(2), more=more),
        Figure("redis_search_p99", f"{about}: p99", [percentile(times, 99)], "ms", len(times), Target(10)),
    ]
    for kind, some in found.items():
        recall = sum(one.right for one in some) / len(some)
        about = f"recall@1 in a scope of {int(kind):,} of {sizes.search:,}"
        rows.append(Figure(f"redis_recall_{kind}", about, [recall], "", len(some), Target(0.99, at_least=True)))
    return rows


async def _many(folder: Path, sizes: Sizes) -> Figure:
    """Few entries, then many, all in scopes of 100."""
    medians = []
    with redis_running(folder / "redis-many") as redis:
        store = await _opened(redis.url)
        try:
            scopes = [Scope(number, 100) for number in range(sizes.many // 100)]
            few = sizes.few // 100
            for some in (scopes[:few], scopes[few:]):
                await _fill(store, some)
                medians.append(percentile([one.ms for one in await _ask(store, scopes[:few], sizes.questions)], 50))
            bytes_each = await _bytes_each(store)
        finally:
            await store.close()
    about = f"search, p50: {sizes.many:,} entries in {sizes.many // 100:,} scopes ÷ {sizes.few:,} in {few:,}"
    more = {"few_p50_ms": medians[0], "many_p50_ms": medians[1], "redis_bytes_an_entry": bytes_each}
    ratio = medians[1] / medians[0]
    return Figure("redis_many_ratio", about, [ratio], "", 2 * sizes.questions, Target(1.5), more=more)


async def _one_scope(folder: Path, sizes: Sizes) -> list[Figure]:
    """As many as memory allows, all in one scope."""
    with redis_running(folder / "redis-one") as redis:
        store = await _opened(redis.url)
        try:
            scope = Scope(0, sizes.one_scope)
            await _fill(store, [scope])
            found = await _ask(store, [scope], sizes.questions)
            more = {"redis_bytes_an_entry": await _bytes_each(store)}
        finally:
            await store.close()
    times, about = [one.ms for one in found], f"search in one scope of {sizes.one_scope:,}"
    recall = sum(one.right for one in found) / len(found)
    return [
        Figure("redis_one_scope_p50", f"{about}: p50", [percentile(times, 50)], "ms", len(times), more=more),
        Figure("redis_one_scope_p99", f"{about}: p99", [percentile(times, 99)], "ms", len(times)),
        Figure("redis_one_scope_recall", f"{about}: recall@1", [recall], "", len(times)),
    ]


def _mixed(total: int) -> list[Scope]:
    """One scope of 30 %, some of 1 %, and the rest in scopes of 20; named after their size among 100,000."""
    large, middle = total * 3 // 10, max(20, total // 100)
    sizes = [(large, "30000"), *[(middle, "1000")] * 20]
    sizes += [(20, "20")] * ((total - sum(size for size, _ in sizes)) // 20)
    return [Scope(number, size, kind) for number, (size, kind) in enumerate(sizes)]


def _of(scopes: Sequence[Scope], kind: str) -> list[Scope]:
    return [scope for scope in scopes if scope.kind == kind]


async def _opened(url: str) -> RedisStore:
    limits = RedisLimits(max_bytes=2**40)
    store = RedisStore(RedisOptions(url, lost_s=60.0, connections=AT_ONCE), limits=limits, fingerprint="bench")
    await store.open()
    return store


async def _fill(store: RedisStore, scopes: Sequence[Scope]) -> None:
    for scope in scopes:
        rows = scope.vectors()
        for begin in range(0, scope.size, AT_ONCE):
            some = range(begin, min(begin + AT_ONCE, scope.size))
            await asyncio.gather(*(store.put(TENANT, _entry(scope, place, rows[place])) for place in some))


def _entry(scope: Scope, place: int, vector: Vector) -> Entry:
    digest = hashlib.sha256(f"{scope.number} {place}".encode()).hexdigest()
    now_s = time.time()
    return Entry(digest, PAYLOAD, "model", now_s, now_s + DAY_S, scope.name, "outer", str(place), vector=vector)


async def _ask(store: RedisStore, scopes: Sequence[Scope], count: int) -> list[Found]:
    """Questions in scopes drawn at random, one after another; some first that do not count."""
    drawn = np.random.default_rng(11)
    found = []
    known: dict[int, Rows] = {}
    for scope in (scopes[number] for number in drawn.integers(0, len(scopes), count + 20)):
        if scope.number not in known:
            known[scope.number] = scope.vectors()
            await _until_searched(store, scope, rows=known[scope.number])
        rows = known[scope.number]
        asked = _unit(rows[drawn.integers(scope.size)] + NOISE * _unit(drawn.normal(size=DIMENSION)))
        began_s = time.perf_counter()
        nearest = await store.nearest(TENANT, scope.name, asked, k=4)
        ms = (time.perf_counter() - began_s) * 1e3
        best = int(np.argmax(np.vecdot(rows, asked)))
        found.append(Found(ms, bool(nearest) and nearest[0].entry.text == str(best)))
    return found[20:]


async def _until_searched(store: RedisStore, scope: Scope, *, rows: Rows) -> None:
    """Whether an index is complete is looked at beside all requests; the first ones do not wait for it."""
    async with asyncio.timeout(SEARCHED_S):
        while True:
            with contextlib.suppress(StoreError):
                await store.nearest(TENANT, scope.name, rows[0], k=1)
                return
            await asyncio.sleep(0.05)


async def _bytes_each(store: RedisStore) -> float:
    client = Redis.from_url(store.url)
    try:
        used: int = (await client.info("memory"))["used_memory"]
    finally:
        await client.aclose()
    return used / max(1, (await store.stats()).entries)


def _unit(rows: npt.NDArray[np.floating]) -> Rows:
    unit: Rows = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return unit
