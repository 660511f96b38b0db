"""What every store promises, run on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stores import LARGE_BYTES, NOW_S, STORES, Clock, digest_of, entry, names, opened, pointing, same, waiting
from workbench.cache.store import Entry, State, Store, walk
from workbench.errors import StoreError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Callable[..., Store]:
    """A store of each kind in turn; `max_bytes` may be given."""
    kind: str = request.param
    return lambda max_bytes=LARGE_BYTES: STORES[kind](tmp_path, max_bytes, clock)


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


def test_what_a_tier_in_front_served_counts_as_used(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        one = entry("0", angle=0.0)
        async with opened(make_store(max_bytes=2 * one.size_bytes)) as store:
            await store.put("t", one)
            await store.put("t", entry("1", angle=1.0))
            store.touch("t", one.digest)
            store.touch("t", digest_of("nothing"))
            await store.put("t", entry("2", angle=2.0))
            assert {e.digest for e in await store.entries("t")} == {one.digest, digest_of("2")}

    asyncio.run(story())


def test_a_scope_is_there_while_it_has_a_vector(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            one, two = entry("0", angle=0.0), entry("1", angle=1.0)
            assert not store.has_scope("t", "s")
            await store.put("t", entry("2"))
            assert not store.has_scope("t", "s")
            await store.put("t", one)
            await store.put("t", two)
            assert store.has_scope("t", "s")
            assert not store.has_scope("t", "other")
            assert not store.has_scope("other", "s")
            await store.delete("t", one.id)
            assert store.has_scope("t", "s")
            await store.withdraw("t", two.id)
            assert not store.has_scope("t", "s")

    asyncio.run(story())


def test_an_entry_is_found_by_its_public_id(make_store: Callable[..., Store], clock: Clock) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            one = entry("0", ttl_s=10)
            await store.put("t", one)
            assert same(await store.find("t", one.id), one)
            assert await store.find("other", one.id) is None
            assert await store.find("t", one.id[:-1]) is None
            clock.now_s = NOW_S + 10
            assert await store.find("t", one.id) is None

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


# ── what waits for its vector ───────────────────────────────────────────────────────────────────────────────


async def pending_texts(store: Store, *, tenant: str = "t", scope: str = "s", limit: int = 9) -> list[str]:
    return [found.text for found in await store.pending(tenant, scope, limit=limit)]


def test_pending_entries_of_a_scope_come_newest_first(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            assert await store.pending("t", "s", limit=9) == []
            stored = [waiting(name) for name in "abc"]
            for one in (*stored, waiting("elsewhere", scope="x"), entry("embedded", text="e", angle=0.0)):
                await store.put("t", one)
            await store.put("t", replace(entry("no text"), scope="s"))
            await store.put("t", entry("no scope", text="n"))
            for found, one in zip(await store.pending("t", "s", limit=9), stored[::-1], strict=True):
                assert same(found, one)
            assert await pending_texts(store, limit=2) == ["c", "b"]
            assert await store.pending("t", "s", limit=0) == []
            assert await store.pending("u", "s", limit=9) == []
            assert await pending_texts(store, scope="x") == ["elsewhere"]
            assert names(await store.nearest("t", "s", pointing(0.0), k=9), "embedded") == ["embedded"]

    asyncio.run(story())


def test_a_pending_entry_makes_its_scope_be_there_until_it_goes(make_store: Callable[..., Store], clock: Clock) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            for name in ("deleted", "withdrawn", "replaced", "expired"):
                await store.put("t", waiting(name, scope=name, ttl_s=10))
                assert store.has_scope("t", name)
                assert not store.has_scope("u", name)
            assert same(
                await store.delete("t", digest_of("deleted")[:16]), waiting("deleted", scope="deleted", ttl_s=10)
            )
            withdrawn = await store.withdraw("t", digest_of("withdrawn")[:16])
            assert withdrawn
            assert withdrawn.scope == ""
            await store.put("t", entry("replaced", ttl_s=10))
            clock.now_s += 10
            assert await store.pending("t", "expired", limit=9) == []
            for name in ("deleted", "withdrawn", "replaced", "expired"):
                assert not store.has_scope("t", name)
                assert await store.pending("t", name, limit=9) == []

    asyncio.run(story())


def test_pending_entries_make_room_as_others_do(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store(max_bytes=2 * waiting("a").size_bytes)) as store:
            for name in "abc":
                await store.put("t", waiting(name, scope=name))
            assert [store.has_scope("t", scope) for scope in "abc"] == [False, True, True]

    asyncio.run(story())


def test_an_entry_that_got_its_vector_is_found_by_meaning(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            for name in "abc":
                await store.put("t", waiting(name))
            c, b, a = await store.pending("t", "s", limit=9)
            await store.add_vectors("t", [(a, pointing(0.1)), (c, pointing(0.0))])
            assert names(await store.nearest("t", "s", pointing(0.0), k=9), *"abc") == ["c", "a"]
            assert await pending_texts(store) == ["b"]
            embedded = replace(a, vector=pointing(0.1))
            assert same(await store.get("t", a.digest), embedded)
            assert (await store.stats()).size_bytes == 2 * embedded.size_bytes + b.size_bytes
            await store.delete("t", b.id)
            await store.add_vectors("u", [(a, pointing(3.0))])
            await store.add_vectors("t", [(a, pointing(3.0)), (b, pointing(0.0)), (waiting("new"), pointing(0.0))])
            await store.add_vectors("t", [])
            assert same(await store.get("t", a.digest), embedded)
            assert (await store.stats()).entries == 2
            assert await store.changes() == frozenset()
            await store.withdraw("t", a.id)
            await store.delete("t", c.id)
            assert not store.has_scope("t", "s")

    asyncio.run(story())


async def delete(store: Store, old: Entry) -> None:
    await store.delete("t", old.id)


async def withdraw(store: Store, old: Entry) -> None:
    await store.withdraw("t", old.id)


async def replace_by_one_without_a_scope(store: Store, old: Entry) -> None:
    await store.put("t", replace(old, scope=""))


async def replace_by_one_with_another_text(store: Store, old: Entry) -> None:
    await store.put("t", replace(old, text="another"))


async def replace_by_one_of_another_scope(store: Store, old: Entry) -> None:
    await store.put("t", replace(old, scope="another"))


async def replace_by_one_with_a_vector(store: Store, old: Entry) -> None:
    await store.put("t", replace(old, vector=pointing(1.0)))


@pytest.mark.parametrize(
    "meanwhile",
    [
        delete,
        withdraw,
        replace_by_one_without_a_scope,
        replace_by_one_with_another_text,
        replace_by_one_of_another_scope,
        replace_by_one_with_a_vector,
    ],
)
def test_a_vector_that_comes_too_late_changes_nothing(
    make_store: Callable[..., Store], meanwhile: Callable[[Store, Entry], Awaitable[None]]
) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            old = waiting("a")
            await store.put("t", old)
            await meanwhile(store, old)
            before, size_bytes = await store.get("t", old.digest), (await store.stats()).size_bytes
            scopes = [store.has_scope("t", scope) for scope in ("s", "another")]
            await store.add_vectors("t", [(old, pointing(0.0))])
            assert same(await store.get("t", old.digest), before)
            assert (await store.stats()).size_bytes == size_bytes
            assert [store.has_scope("t", scope) for scope in ("s", "another")] == scopes
            found = await store.nearest("t", "s", pointing(0.0), k=9)
            assert all(same(neighbour.entry, before) for neighbour in found)
            assert len(found) == (before is not None and before.vector is not None)

    asyncio.run(story())


def test_a_vector_that_comes_after_its_entry_expired_changes_nothing(
    make_store: Callable[..., Store], clock: Clock
) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            await store.put("t", waiting("a", ttl_s=10))
            clock.now_s += 10
            await store.add_vectors("t", [(waiting("a"), pointing(0.0))])
            assert await store.nearest("t", "s", pointing(0.0), k=9) == []
            assert (await store.stats()).size_bytes == 0

    asyncio.run(story())


def test_a_spoilt_vector_is_given_to_nobody(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            good, bad = waiting("good"), waiting("bad")
            await store.put("t", good)
            await store.put("t", bad)
            with pytest.raises(StoreError):
                await store.add_vectors("t", [(good, pointing(0.0)), (bad, np.array([np.nan, 1], np.float32))])
            assert await pending_texts(store) == ["bad", "good"]

    asyncio.run(story())


def test_vectors_that_need_room_cost_the_least_recently_used_their_place(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        stored = [waiting(name, scope=name) for name in "abc"]
        async with opened(make_store(max_bytes=sum(one.size_bytes for one in stored) + 7)) as store:
            for one in stored:
                await store.put("t", one)
            await store.get("t", stored[0].digest)
            await store.add_vectors("t", [(one, pointing(0.0)) for one in stored])  # 8 bytes each
            assert [store.has_scope("t", scope) for scope in "abc"] == [True, False, True]
            assert await store.get("t", stored[1].digest) is None
            assert len(await store.nearest("t", "c", pointing(0.0), k=9)) == 1

    asyncio.run(story())


# ── state that processes share ──────────────────────────────────────────────────────────────────────────────


def test_a_state_is_set_only_by_one_who_knows_its_version(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            assert await store.state("t", "audit") is None
            assert not await store.set_state("t", "audit", b"x", expected=1)
            assert await store.set_state("t", "audit", b"first \x00", expected=None)
            assert not await store.set_state("t", "audit", b"x", expected=None)
            assert await store.state("t", "audit") == State(b"first \x00", 1)
            assert await store.set_state("t", "audit", b"", expected=1)
            assert not await store.set_state("t", "audit", b"x", expected=1)
            assert not await store.set_state("t", "audit", b"x", expected=3)
            assert await store.state("t", "audit") == State(b"", 2)
            assert await store.state("u", "audit") is None
            assert await store.state("t", "other") is None

    asyncio.run(story())


def test_of_many_who_set_a_state_at_once_one_wins_each_round(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            for expected in (None, 1, 2):
                tries = (store.set_state("t", "n", bytes([who]), expected=expected) for who in range(9))
                assert sum(await asyncio.gather(*tries)) == 1
            held = await store.state("t", "n")
            assert held
            assert held.version == 3

    asyncio.run(story())


def test_a_state_is_no_entry_and_stays_when_entries_make_room(make_store: Callable[..., Store], clock: Clock) -> None:
    async def story() -> None:
        async with opened(make_store(max_bytes=3_000)) as store:
            await store.set_state("t", "n", bytes(9_000), expected=None)
            for number in range(8):
                await store.put("t", entry(str(number), angle=0.0))
            clock.now_s += 1_000
            assert await store.state("t", "n") == State(bytes(9_000), 1)
            assert await store.entries("t") == []
            stats = await store.stats()
            assert (stats.entries, stats.size_bytes) == (0, 0)
            assert await store.changes() == frozenset()

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


# ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────


def test_scan_goes_through_all_entries_of_all_tenants_once(make_store: Callable[..., Store], clock: Clock) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            expected = {(tenant, digest_of(name)) for tenant in "tu" for name in "abcde"}
            for tenant in "tu":
                for name in "abcde":
                    await store.put(tenant, entry(name, text=name, angle=0.5))
                await store.put(tenant, entry("expired", ttl_s=1))
            clock.now_s += 2
            seen: list[tuple[str, Entry]] = []
            after = ""
            while True:
                page = await store.scan(after=after, limit=3)
                seen += page.found
                if page.after is None:
                    break
                await store.delete("t", digest_of("expired")[:16])  # what is removed on the way harms nothing
                after = page.after
            assert {(tenant, found.digest) for tenant, found in seen} == expected
            assert same(next(found for tenant, found in seen if tenant == "u"), entry("a", text="a", angle=0.5))
            assert {(tenant, found.digest) async for tenant, found in walk(store)} == expected

    asyncio.run(story())


def test_an_empty_store_is_scanned_at_once(make_store: Callable[..., Store]) -> None:
    async def story() -> None:
        async with opened(make_store()) as store:
            assert [found async for found in walk(store)] == []

    asyncio.run(story())
