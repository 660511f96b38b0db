"""Any sequence of operations gives the same answers on every store (which entries make room aside)."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores import LARGE_BYTES, NOW_S, STORES, Clock, digest_of, entry, opened, pointing, redis_store, waiting
from workbench.cache.memory_store import MemoryStore
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Entry, Store

Operation = tuple[Any, ...]
"""A name and its arguments."""

few_names = st.sampled_from("abcd")
tenants = st.sampled_from(["t", "u"])
angles = st.sampled_from([None, 0.0, 0.5, 1.0, 2.0])
operations = st.one_of(
    st.tuples(st.just("put"), tenants, few_names, angles, st.sampled_from([5.0, 50.0])),
    st.tuples(st.just("put pending"), tenants, few_names, st.sampled_from([5.0, 50.0])),
    st.tuples(st.just("pending"), tenants, st.integers(0, 3)),
    st.tuples(st.just("add_vectors"), tenants, st.lists(st.tuples(few_names, angles), max_size=3)),
    st.tuples(st.just("get"), tenants, few_names),
    st.tuples(st.just("nearest"), tenants, angles, st.integers(1, 3)),
    st.tuples(st.just("delete"), tenants, few_names),
    st.tuples(st.just("withdraw"), tenants, few_names),
    st.tuples(st.just("entries"), tenants, few_names),
    st.tuples(st.just("stats")),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 3.0, 30.0])),
)


async def perform(store: Store, clock: Clock, operation: Operation) -> object:
    """Do it, and give the answer in a form that can be compared."""
    match operation:
        case ("put", tenant, name, angle, ttl_s):
            stored = entry(name, text=name, angle=angle, ttl_s=clock.now_s - NOW_S + ttl_s)
            await store.put(tenant, replace(stored, payload=str(operation).encode()))
            return None
        case ("put pending", tenant, name, ttl_s):
            stored = waiting(name, ttl_s=clock.now_s - NOW_S + ttl_s)
            await store.put(tenant, replace(stored, payload=str(operation).encode()))
            return None
        case ("pending", tenant, limit):
            return [outline(found) for found in await store.pending(tenant, "s", limit=limit)]
        case ("add_vectors", tenant, given):
            await store.add_vectors(tenant, [(waiting(name), pointing(angle or 0.0)) for name, angle in given])
            return None
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
        case ("wait", _):
            return None
        case _:
            raise AssertionError(operation)


def outline(found: Entry | None) -> object:
    if found is None:
        return None
    vector = None if found.vector is None else found.vector.tolist()
    return (found.digest, found.payload, found.scope, found.text, found.turns, found.expires_s, vector)


def assert_scope_is_known(stores: list[Store], pending: list[Entry]) -> None:
    """A scope may be taken for there when its entries have expired, never for gone when one is pending."""
    if pending:
        assert all(store.has_scope("t", "s") for store in stores)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(operations, max_size=30))
def test_all_stores_give_the_same_answers(sequence: list[Operation]) -> None:
    async def story(folder: Path) -> None:
        clock = Clock()
        async with AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(opened(make(folder, LARGE_BYTES, clock))) for make in STORES.values()
            ]
            for operation in sequence:
                clock.now_s += operation[1] if operation[0] == "wait" else 0
                first, *others = [await perform(store, clock, operation) for store in stores]
                assert all(other == first for other in others)
                assert_scope_is_known(stores, await stores[0].pending("t", "s", limit=9))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2), operations), max_size=30))
def test_three_that_share_a_redis_answer_as_one(sequence: list[tuple[int, Operation]]) -> None:
    async def story(folder: Path) -> None:
        clock = Clock()
        memory = MemoryStore(max_bytes=LARGE_BYTES, clock=clock)
        async with AsyncExitStack() as stack:
            sharing = [
                await stack.enter_async_context(opened(redis_store(folder, LARGE_BYTES, clock))) for _ in range(3)
            ]
            for who, operation in sequence:
                clock.now_s += operation[1] if operation[0] == "wait" else 0
                if operation[0] == "pending":
                    continue  # what others stored counts once they were heard
                assert await perform(sharing[who], clock, operation) == await perform(memory, clock, operation)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2), operations), max_size=30))
def test_three_that_share_a_file_answer_as_one(sequence: list[tuple[int, Operation]]) -> None:
    async def story(path: Path) -> None:
        clock = Clock()
        memory = MemoryStore(max_bytes=LARGE_BYTES, clock=clock)
        async with AsyncExitStack() as stack:
            stores = [SqliteStore(path, max_bytes=LARGE_BYTES, clock=clock) for _ in range(3)]
            sharing = [await stack.enter_async_context(opened(store)) for store in stores]
            for who, operation in sequence:
                clock.now_s += operation[1] if operation[0] == "wait" else 0.5  # long enough to look again
                if operation[0] == "pending":
                    await sharing[who].changes()  # what others stored counts from here on
                assert await perform(sharing[who], clock, operation) == await perform(memory, clock, operation)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder) / "cache.db"))
