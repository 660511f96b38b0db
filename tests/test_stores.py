"""What every store promises, run on every store."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.cache.memory_store import MemoryStore
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Entry, Neighbour, Store, Vector
from workbench.errors import StoreError

NOW_S = 1_000_000.0
LARGE_BYTES = 2**30


class Clock:
    """Time that passes when the test says so, in Unix seconds."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


MakeStore = Callable[[Path, int, Clock], Store]

STORES: dict[str, MakeStore] = {
    "memory": lambda _folder, max_bytes, clock: MemoryStore(max_bytes=max_bytes, clock=clock),
    "sqlite": lambda folder, max_bytes, clock: SqliteStore(folder / "cache.db", max_bytes=max_bytes, clock=clock),
}


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Callable[..., Store]:
    """A store of each kind in turn; `max_bytes` may be given."""
    kind: str = request.param
    return lambda max_bytes=LARGE_BYTES: STORES[kind](tmp_path, max_bytes, clock)


def digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def entry(name: str, *, text: str = "", scope: str = "s", angle: float | None = None, ttl_s: float = 100.0) -> Entry:
    """An entry found by `digest_of(name)`, and with an `angle` (radians) also by a vector in the plane."""
    return Entry(
        digest=digest_of(name),
        payload=b"\x00payload of " + name.encode(),
        model="model",
        created_s=NOW_S,
        expires_s=NOW_S + ttl_s,
        scope=scope if angle is not None else "",
        outer_scope="outer",
        text=text,
        turns=("first turn", "zweiter Zug: ü\n"),
        vector=None if angle is None else pointing(angle),
    )


def pointing(angle: float) -> Vector:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def same(one: Entry | None, other: Entry | None) -> bool:
    """Equal in every field; vectors by value."""
    if one is None or other is None:
        return one is other
    plain = all(
        getattr(one, name) == getattr(other, name)
        for name in ("digest", "payload", "model", "created_s", "expires_s", "scope", "outer_scope", "text", "turns")
    )
    if one.vector is None or other.vector is None:
        return plain and one.vector is other.vector
    return plain and np.array_equal(one.vector, other.vector)


def names(found: list[Neighbour], *known: str) -> list[str]:
    by_digest = {digest_of(name): name for name in known}
    return [by_digest[neighbour.entry.digest] for neighbour in found]


# ── by digest ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_put_comes_back_whole(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            for stored in (entry("plain"), entry("found by meaning", text="Wie geht's?", angle=0.3)):
                await store.put("t", stored)
                assert same(await store.get("t", stored.digest), stored)
            assert await store.get("t", digest_of("unknown")) is None

    asyncio.run(story())


def test_a_new_entry_replaces_the_one_with_its_digest(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            await store.put("t", entry("a", angle=0.0))
            newer = replace(entry("a", angle=1.5), payload=b"newer")
            await store.put("t", newer)
            assert same(await store.get("t", newer.digest), newer)
            (neighbour,) = await store.nearest("t", "s", pointing(1.5), k=5)
            assert neighbour.entry.payload == b"newer"
            assert neighbour.similarity == pytest.approx(1.0)
            stats = await store.stats()
            assert (stats.entries, stats.size_bytes, stats.max_bytes) == (1, newer.size_bytes, LARGE_BYTES)

    asyncio.run(story())


def test_a_deleted_entry_is_gone_from_everywhere(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            doomed = entry("a", text="hello", angle=0.0)
            await store.put("t", doomed)
            assert same(await store.delete("t", doomed.id), doomed)
            assert await store.delete("t", doomed.id) is None
            assert await store.get("t", doomed.digest) is None
            assert await store.nearest("t", "s", pointing(0.0), k=5) == []
            assert await store.entries("t") == []
            assert (await store.stats()).size_bytes == 0

    asyncio.run(story())


def test_a_withdrawn_entry_answers_its_own_request_only(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            wrong = entry("a", text="hello", angle=0.0)
            await store.put("t", wrong)
            withdrawn = replace(wrong, scope="", vector=None)
            assert same(await store.withdraw("t", wrong.id), withdrawn)
            assert same(await store.withdraw("t", wrong.id), withdrawn)
            assert await store.nearest("t", "s", pointing(0.0), k=5) == []
            assert same(await store.get("t", wrong.digest), withdrawn)
            assert [e.id for e in await store.entries("t", query="hello")] == [wrong.id]
            assert (await store.stats()).size_bytes == withdrawn.size_bytes
            assert await store.withdraw("t", "0" * 16) is None

    asyncio.run(story())


def test_tenants_never_meet(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            mine, theirs = entry("a", text="same", angle=0.0), replace(entry("a", text="same", angle=0.0), payload=b"b")
            await store.put("mine", mine)
            await store.put("theirs", theirs)
            for tenant, own in (("mine", mine), ("theirs", theirs)):
                assert same(await store.get(tenant, own.digest), own)
                (neighbour,) = await store.nearest(tenant, "s", pointing(0.0), k=5)
                assert same(neighbour.entry, own)
                assert len(await store.entries(tenant)) == 1
            await store.withdraw("mine", mine.id)
            await store.delete("mine", mine.id)
            assert len(await store.nearest("theirs", "s", pointing(0.0), k=5)) == 1
            assert await store.get("nobody", mine.digest) is None

    asyncio.run(story())


# ── by meaning ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_nearest_come_in_order_and_of_equals_the_newest_first(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            for name, angle in (("far", 1.0), ("old twin", 0.2), ("near", 0.1), ("new twin", 0.2), ("behind", 3.0)):
                await store.put("t", entry(name, angle=angle))
            found = await store.nearest("t", "s", pointing(0.0), k=4)
            assert names(found, "far", "near", "old twin", "new twin") == ["near", "new twin", "old twin", "far"]
            assert [n.similarity for n in found] == pytest.approx(np.cos([0.1, 0.2, 0.2, 1.0]), abs=1e-6)
            assert len(await store.nearest("t", "s", pointing(0.0), k=9)) == 5
            assert await store.nearest("t", "s", pointing(0.0), k=0) == []

    asyncio.run(story())


def test_only_the_same_scope_is_searched(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            await store.put("t", entry("a", scope="one", angle=0.0))
            await store.put("t", entry("b", scope="two", angle=0.0))
            await store.put("t", entry("c"))
            assert names(await store.nearest("t", "two", pointing(0.0), k=5), "a", "b") == ["b"]
            assert await store.nearest("t", "three", pointing(0.0), k=5) == []
            assert await store.nearest("t", "", pointing(0.0), k=5) == []

    asyncio.run(story())


def test_vectors_of_two_dimensions_live_side_by_side(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            await store.put("t", entry("plane", angle=0.0))
            await store.put("t", replace(entry("space", angle=0.0), vector=np.array([1, 0, 0], np.float32)))
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), "plane", "space") == ["plane"]

    asyncio.run(story())


def test_a_spoilt_vector_is_refused_and_harms_nothing(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            await store.put("t", entry("good", angle=0.0))
            spoilt = replace(entry("bad", angle=0.0), vector=np.array([np.nan, 1], np.float32))
            with pytest.raises(StoreError):
                await store.put("t", spoilt)
            assert await store.get("t", spoilt.digest) is None
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), "good") == ["good"]

    asyncio.run(story())


# ── time and room ───────────────────────────────────────────────────────────────────────────────────────────


def test_time_to_live_is_absolute_and_use_does_not_extend_it(make_store: Callable[..., Store], clock: Clock) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            brief, long = entry("brief", text="x", angle=0.0, ttl_s=10), entry("long", text="x", angle=0.5, ttl_s=20)
            await store.put("t", brief)
            await store.put("t", long)
            clock.now_s = NOW_S + 9.5
            assert await store.get("t", brief.digest) is not None
            assert len(await store.nearest("t", "s", pointing(0.0), k=1)) == 1
            clock.now_s = NOW_S + 10
            assert await store.get("t", brief.digest) is None
            assert names(await store.nearest("t", "s", pointing(0.0), k=1), "long") == ["long"]
            assert [e.digest for e in await store.entries("t", query="x")] == [long.digest]
            assert await store.withdraw("t", brief.id) is None
            assert await store.delete("t", brief.id) is None
            stats = await store.stats()
            assert (stats.entries, stats.size_bytes) == (1, long.size_bytes)
            await store.put("t", entry("next", ttl_s=50))
            clock.now_s = NOW_S + 20
            assert (await store.stats()).entries == 1

    asyncio.run(story())


def test_the_least_recently_used_make_room(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        one = entry("0", angle=0.0)
        async with opened(make_store(max_bytes=4 * one.size_bytes)) as store:
            for number in range(4):
                await store.put("t", entry(str(number), angle=float(number)))
            await store.get("t", one.digest)
            await store.nearest("t", "s", pointing(1.0), k=1)
            await store.put("t", entry("4", angle=0.4))  # 2 goes, then 3, then 0
            assert await survivors(store) == ["0", "1", "3", "4"]
            await store.put("t", replace(entry("5"), payload=bytes(one.size_bytes)))
            assert await survivors(store) == ["1", "4", "5"]
            assert (await store.stats()).size_bytes <= 4 * one.size_bytes
            assert len(await store.nearest("t", "s", pointing(1.0), k=9)) == 2

    async def survivors(store: Store) -> list[str]:
        held = {e.digest for e in await store.entries("t")}
        return [str(number) for number in range(6) if digest_of(str(number)) in held]

    asyncio.run(story())


def test_an_entry_larger_than_the_limit_is_not_kept_and_costs_nobody_his_place(
    make_store: Callable[..., Store],
) -> None:
    async def story() -> None:
        async with opened(make_store(max_bytes=5_000)) as store:
            small = entry("small")
            await store.put("t", small)
            await store.put("t", entry("grows"))
            await store.put("t", replace(entry("grows"), payload=bytes(6_000)))
            assert await store.get("t", digest_of("grows")) is None
            assert same(await store.get("t", small.digest), small)

    asyncio.run(story())


# ── looking around ──────────────────────────────────────────────────────────────────────────────────────────


def test_entries_are_found_by_any_part_of_their_text_newest_first(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            texts = ["Reverse a LIST", "100% sure", "a_b", "aXb", "Größe ändern", "back\\slash", "it's'; DROP"]
            for text in texts:
                await store.put("t", entry(text, text=text))
            for query, expected in {
                "list": ["Reverse a LIST"],
                "%": ["100% sure"],
                "a_b": ["a_b"],
                "\\": ["back\\slash"],
                "GRÖSSE Ä": ["Größe ändern"],
                "it's'; drop": ["it's'; DROP"],
                "": texts[::-1],
                "nowhere": [],
            }.items():
                assert [e.text for e in await store.entries("t", query=query)] == expected
            assert [e.text for e in await store.entries("t", limit=2)] == texts[:-3:-1]
            assert await store.entries("t", limit=0) == []

    asyncio.run(story())


def test_own_work_is_no_change(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store(max_bytes=3_000)) as store:
            for number in range(8):
                await store.put("t", entry(str(number), angle=0.0))
            await store.put("t", entry("7", angle=0.0))
            await store.withdraw("t", digest_of("7")[:16])
            await store.delete("t", digest_of("6")[:16])
            assert await store.changes() == frozenset()

    asyncio.run(story())


def test_many_callers_at_once_are_all_served(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            await asyncio.gather(*(store.put("t", entry(str(n), angle=n / 100)) for n in range(50)))
            held = await asyncio.gather(*(store.get("t", digest_of(str(n))) for n in range(50)))
            assert all(held)
            assert (await store.stats()).entries == 50

    asyncio.run(story())


# ── all stores alike ────────────────────────────────────────────────────────────────────────────────────────

few_names = st.sampled_from("abcd")
tenants = st.sampled_from(["t", "u"])
angles = st.sampled_from([None, 0.0, 0.5, 1.0, 2.0])
operations = st.one_of(
    st.tuples(st.just("put"), tenants, few_names, angles, st.sampled_from([5.0, 50.0])),
    st.tuples(st.just("get"), tenants, few_names),
    st.tuples(st.just("nearest"), tenants, angles, st.integers(1, 3)),
    st.tuples(st.just("delete"), tenants, few_names),
    st.tuples(st.just("withdraw"), tenants, few_names),
    st.tuples(st.just("entries"), tenants, few_names),
    st.tuples(st.just("stats")),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 3.0, 30.0])),
)


async def perform(store: Store, clock: Clock, operation: tuple) -> object:  # type: ignore[type-arg] # of many shapes
    """Do it, and give the answer in a form that can be compared."""
    match operation:
        case ("put", tenant, name, angle, ttl_s):
            stored = entry(name, text=name, angle=angle, ttl_s=clock.now_s - NOW_S + ttl_s)
            return await store.put(tenant, replace(stored, payload=str(operation).encode()))
        case ("get", tenant, name):
            return outline(await store.get(tenant, digest_of(name)))
        case ("nearest", tenant, angle, k):
            found = await store.nearest(tenant, "s", pointing(angle or 0.0), k=k)
            return [(outline(neighbour.entry), neighbour.similarity) for neighbour in found]
        case ("delete", tenant, name):
            return outline(await store.delete(tenant, digest_of(name)[:16]))
        case ("withdraw", tenant, name):
            return outline(await store.withdraw(tenant, digest_of(name)[:16]))
        case ("entries", tenant, name):
            return [outline(found) for found in await store.entries(tenant, query=name.upper())]
        case ("stats",):
            return await store.stats()
        case _:
            raise AssertionError(operation)


def outline(found: Entry | None) -> object:
    if found is None:
        return None
    vector = None if found.vector is None else found.vector.tolist()
    return (found.digest, found.payload, found.scope, found.text, found.turns, found.expires_s, vector)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(operations, max_size=30))
def test_any_sequence_of_operations_gives_the_same_answers_on_all_stores(sequence: list[tuple]) -> None:  # type: ignore[type-arg] # of many shapes
    async def story(folder: Path) -> None:
        clock = Clock()
        async with AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(opened(make(folder, LARGE_BYTES, clock))) for make in STORES.values()
            ]
            for operation in sequence:
                if operation[0] == "wait":
                    clock.now_s += operation[1]
                    continue
                first, *others = [await perform(store, clock, operation) for store in stores]
                assert all(other == first for other in others)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))
