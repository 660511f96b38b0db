"""What the Redis store promises beyond the contract: sharing, names, room, and what happens when the server fails."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from redis.asyncio import Redis

from benchmarks.stand_ins.redis import RedisMissing, RedisServer, parts
from benchmarks.stand_ins.redis import running as redis_running
from benchmarks.stand_ins.serving import LOOPBACK
from tests.stores import LARGE_BYTES, Clock, digest_of, entry, names, opened, pointing, redis_server, same, waiting
from workbench.cache.breaker import Breaker
from workbench.cache.redis_codec import VectorFormat
from workbench.cache.redis_link import RedisOptions
from workbench.cache.redis_rows import RedisLimits
from workbench.cache.redis_store import RedisStore
from workbench.cache.store import Health, Neighbour
from workbench.errors import StoreError, StoreUnusable

LIMIT_S = 20.0
Made = Callable[..., RedisStore]


async def until(happened: Callable[[], object]) -> None:
    """Wait for what another process tells."""
    async with asyncio.timeout(LIMIT_S):
        while not happened():  # noqa: ASYNC110  # it happens in another process
            await asyncio.sleep(0.01)  # between two looks at what comes over a socket


async def changes(store: RedisStore) -> frozenset[tuple[str, str]] | None:
    """The next that are told."""
    async with asyncio.timeout(LIMIT_S):
        while (told := await store.changes()) is not None and not told:  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.01)
    return told


@pytest.fixture
def shared(tmp_path: Path) -> Made:
    """Stores that share what is in the session's server under this test's name."""

    def make(*, url: str = "", lost_s: float = 10.0, vectors: VectorFormat = "float32", **given: Any) -> RedisStore:
        options = RedisOptions(url or redis_server().url, lost_s=lost_s)
        return RedisStore(options, namespace=tmp_path.name, vectors=vectors, clock=Clock(), **given)

    return make


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One of the test's own, to be mistreated; every write is on its disk before it is answered."""
    try:
        parts()
    except RedisMissing as error:
        pytest.skip(str(error))
    with redis_running(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as own:
        yield own


@contextlib.asynccontextmanager
async def raw(server: RedisServer | None = None) -> AsyncIterator[Redis]:
    """A plain client."""
    async with Redis.from_url((server or redis_server()).url, protocol=2) as client:
        yield client


# ── many processes ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_one_process_learned_the_other_serves(shared: Made) -> None:
    async def story() -> None:
        async with opened(shared()) as one, opened(shared()) as two:
            assert not two.has_scope("t", "s")
            await one.put("t", entry("a", angle=0.0))
            assert await two.get("t", digest_of("a"))
            await until(lambda: two.has_scope("t", "s"))
            assert names(await two.nearest("t", "s", pointing(0.1), k=4), "a") == ["a"]
            await two.put("t", waiting("b", scope="x"))
            await until(lambda: one.has_scope("t", "x"))
            assert [found.text for found in await one.pending("t", "x", limit=4)] == ["b"]
            await one.delete("t", digest_of("b")[:16])
            await until(lambda: not two.has_scope("t", "x"))
        async with opened(shared()) as three:
            assert three.has_scope("t", "s")
            assert not three.has_scope("t", "x")

    asyncio.run(story())


def test_what_one_changes_the_others_hear(shared: Made) -> None:
    async def story() -> None:
        one, two = shared(), shared()
        async with opened(one), opened(two):
            for name in "abc":
                await one.put("t", entry(name, angle=0.0))
            await one.delete("t", digest_of("a")[:16])
            assert await changes(two) == frozenset([("t", digest_of("a"))])
            await one.withdraw("t", digest_of("b")[:16])
            assert await changes(two) == frozenset([("t", digest_of("b"))])
            await one.put("t", entry("c"))
            assert await changes(two) == frozenset([("t", digest_of("c"))])
            assert await one.changes() == frozenset()

    asyncio.run(story())


def test_who_lost_the_channel_trusts_nothing_and_hears_again(shared: Made) -> None:
    async def story() -> None:
        one, two = shared(), shared()
        async with opened(one), opened(two), raw() as client:
            await client.client_kill_filter(_type="pubsub")
            assert await changes(two) is None
            await until(lambda: two._news.listening.is_set())  # the one sign of it inside the process
            await until(lambda: one._news.listening.is_set())
            await two.changes()
            await one.put("t", entry("a", angle=0.0))
            await until(lambda: two.has_scope("t", "s"))
            await one.delete("t", digest_of("a")[:16])
            assert await changes(two) == frozenset([("t", digest_of("a"))])

    asyncio.run(story())


def test_one_leads_and_the_others_hear_of_the_landing(shared: Made) -> None:
    async def story() -> None:
        one, two, three = shared(), shared(), shared()
        async with opened(one), opened(two), opened(three):
            assert await one.claims.claim("t", digest_of("a")) == "granted"
            async with asyncio.TaskGroup() as tasks:
                followers = [tasks.create_task(store.claims.claim("t", digest_of("a"))) for store in (two, three)]
                other = tasks.create_task(two.claims.claim("u", digest_of("a")))
                assert await other == "granted"
                await one.put("t", entry("a"))
                one.claims.release("t", digest_of("a"), stored=True)
            assert [task.result() for task in followers] == ["stored", "stored"]
            assert await two.claims.claim("t", digest_of("b")) == "granted"
            async with asyncio.TaskGroup() as tasks:
                follower = tasks.create_task(three.claims.claim("t", digest_of("b")))
                await until(lambda: three._news._landings)
                two.claims.release("t", digest_of("b"), stored=False)
            assert follower.result() in ("released", "granted")  # granted: it asked after the end

    asyncio.run(story())


def test_who_follows_a_dead_leader_takes_over_and_the_dead_one_ends_nothing(shared: Made) -> None:
    async def story() -> None:
        one, two = shared(), shared()
        async with opened(one), opened(two), raw() as client:
            assert await one.claims.claim("t", digest_of("a")) == "granted"
            lease = one._keys.lease("t", digest_of("a"))
            await client.pexpire(lease, 1)  # as if it had not renewed it for long
            while await two.claims.claim("t", digest_of("a")) != "granted":
                pass
            one.claims.release("t", digest_of("a"), stored=False)
            await until(lambda: not one.claims._ending)
            assert await two.state("t", "nothing") is None  # a round trip later
            assert two._origin in str(await client.get(lease))

    asyncio.run(story())


def test_a_claim_that_was_given_up_before_its_answer_came_is_given_back(server: RedisServer, shared: Made) -> None:
    async def story() -> None:
        way = Cutting(server.port)
        async with way.listening() as port, raw(server) as client:
            store = shared(url=f"redis://{LOOPBACK}:{port}", lost_s=LIMIT_S)
            async with opened(store):
                assert (
                    await store.claims.claim("t", digest_of("another")) == "granted"
                )  # the server knows the script now
                lease = store._keys.lease("t", digest_of("a"))
                way.go_on.clear()
                claiming = asyncio.create_task(store.claims.claim("t", digest_of("a")))
                async with asyncio.timeout(LIMIT_S):
                    while not await client.pexpire(lease, 1_000_000):  # the server has done it; it would stay for long
                        pass
                claiming.cancel()
                await asyncio.wait([claiming])
                way.go_on.set()
                async with asyncio.timeout(LIMIT_S):
                    while await client.exists(lease):
                        pass

    asyncio.run(story())


def test_many_claims_are_renewed_and_ended_side_by_side(shared: Made) -> None:
    async def story() -> None:
        one = shared()
        async with opened(one), raw() as client:
            digests = [digest_of(str(number)) for number in range(100)]
            for digest in digests:
                assert await one.claims.claim("t", digest) == "granted"
            leases = [one._keys.lease("t", digest) for digest in digests]
            for lease in leases:
                await client.pexpire(lease, 4_000)
            async with asyncio.timeout(LIMIT_S):  # they are renewed
                while any([await client.pttl(lease) <= 4_000 for lease in leases]):
                    pass
            for digest in digests:
                one.claims.release("t", digest, stored=True)
            async with asyncio.timeout(LIMIT_S):
                while await client.exists(*leases):
                    pass

    asyncio.run(story())


# ── names and formats ───────────────────────────────────────────────────────────────────────────────────────


def test_names_tell_nothing_and_differ_with_the_secret(shared: Made) -> None:
    async def story() -> None:
        async with opened(shared(secret=b"one")) as one, opened(shared(secret=b"two")) as two, raw() as client:
            await one.put("tenant-name", entry("a", scope="scope-name", angle=0.0))
            assert await one.get("tenant-name", digest_of("a"))
            assert await two.get("tenant-name", digest_of("a")) is None
            assert await two.nearest("tenant-name", "scope-name", pointing(0.0), k=4) == []
            told = b" ".join([key async for key in client.scan_iter(count=10_000)])
            assert digest_of("a")[:16].encode() not in told
            assert b"tenant-name" not in told
            assert b"scope-name" not in told

    asyncio.run(story())


def test_another_embedders_entry_answers_its_own_request_and_waits_for_ours(shared: Made) -> None:
    async def story() -> None:
        async with opened(shared(fingerprint="old")) as old, opened(shared(fingerprint="new")) as new:
            await old.put("t", entry("a", angle=0.0))
            assert same(await new.get("t", digest_of("a")), replace(entry("a", angle=0.0), vector=None))
            assert await new.nearest("t", "s", pointing(0.0), k=4) == []
            assert len(await old.nearest("t", "s", pointing(0.0), k=4)) == 1

    asyncio.run(story())


def test_float16_keeps_a_cosine_to_three_digits(shared: Made) -> None:
    async def story() -> None:
        rows = np.random.default_rng(7).normal(size=(40, 384)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        async with opened(shared(vectors="float16")) as store:
            for number, row in enumerate(rows):
                await store.put("t", replace(entry(str(number), angle=0.0), vector=row))
            found = await store.nearest("t", "s", rows[3], k=4)
            assert found[0].entry.digest == digest_of("3")
            exact = sorted((rows @ rows[3]).tolist(), reverse=True)[:4]
            assert [one.similarity for one in found] == pytest.approx(exact, abs=1e-3)
            assert found[0].entry.vector is not None
            assert found[0].entry.vector == pytest.approx(rows[3], abs=1e-3)

    asyncio.run(story())


@pytest.mark.parametrize("garbage", ["string", "no fields", "no payload", "a bomb", "wild numbers", "no turns"])
def test_garbage_in_an_entry_is_no_entry_and_is_replaced(shared: Made, garbage: str) -> None:
    async def story() -> None:
        store = shared()
        async with opened(store), raw() as client:
            await store.put("t", entry("a", text="t", angle=0.0))
            await store.put("t", entry("good", text="t", angle=0.5))
            key = store._keys.of("t").entries + store._keys.ref("t", digest_of("a"))
            if garbage in ("string", "no fields"):
                await client.delete(key)
            match garbage:
                case "string":
                    await client.set(key, "not a hash")
                case "no fields":
                    await client.hset(key, "hello", "world")
                case "no payload":
                    await client.hset(key, "p", b"\x28\xb5\x2f\xfd\xff\xff")
                case "a bomb":
                    await client.hset(key, "p", b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x7f")
                case "wild numbers":
                    await client.hset(key, "c", "yesterday")
                case "no turns":
                    await client.hset(key, "u", "{")
            assert await store.get("t", digest_of("a")) is None
            assert await store.find("t", digest_of("a")[:16]) is None
            assert names(await store.nearest("t", "s", pointing(0.0), k=4), "good") == ["good"]
            assert [found.digest for found in await store.entries("t")] == [digest_of("good")]
            await store.put("t", entry("a", text="t", angle=0.0))
            assert same(await store.get("t", digest_of("a")), entry("a", text="t", angle=0.0))
            assert (await store.stats()).entries == 2
            assert store.health.down == ""

    asyncio.run(story())


# ── room ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_saves_more_stays_longer_and_no_tenant_pays_for_another(shared: Made) -> None:
    async def story() -> None:
        limits = RedisLimits(max_bytes=3 * entry("0000").size_bytes, entry_max_bytes=LARGE_BYTES)
        async with opened(shared(limits=limits)) as store:
            await store.put("other", entry("0"))
            await store.put("t", replace(entry("dear"), tokens=5_000))
            for number in range(9):
                await store.put("t", replace(entry(str(number)), tokens=10))
            held = {found.digest for found in await store.entries("t")}
            assert held == {digest_of(name) for name in ("dear", "7", "8")}
            assert await store.get("other", digest_of("0"))

    asyncio.run(story())


def test_an_entry_above_its_limit_is_not_stored_and_counted(shared: Made) -> None:
    async def story() -> None:
        async with opened(shared(limits=RedisLimits(entry_max_bytes=2_000))) as store:
            await store.put("t", entry("a"))
            await store.put("t", replace(entry("a"), payload=bytes(4_000)))
            assert await store.get("t", digest_of("a")) is None
            assert store.health.counts["too-large"] == 1

    asyncio.run(story())


def test_a_full_server_makes_room_or_refuses_and_goes_on_reading(server: RedisServer, shared: Made) -> None:
    async def story() -> None:
        store = shared(url=server.url)
        async with opened(store), raw(server) as client:
            large = replace(entry("first"), payload=np.random.default_rng(1).bytes(400_000))
            await store.put("t", large)
            await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + 1_000_000)
            for number in range(9):  # more than fits: the oldest make room
                await store.put("t", replace(large, digest=digest_of(str(number))))
            assert await store.get("t", digest_of("8"))
            assert await store.get("t", digest_of("first")) is None
            assert store.health.counts["full"]
            await client.config_set("maxmemory", 1)
            with pytest.raises(StoreError, match="maxmemory"):
                await store.put("u", entry("more"))
            assert await store.get("u", digest_of("more")) is None
            assert await store.set_state("t", "roll", b"kept", expected=None)  # few bytes, on which much hangs
            assert await store.get("t", digest_of("8"))
            assert await store.delete("t", digest_of("8")[:16])
            assert store.health.down == ""

    asyncio.run(story())


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl"])
def test_what_redis_evicts_by_itself_is_gone_and_harms_nothing(server: RedisServer, shared: Made, policy: str) -> None:
    async def story() -> None:
        async with raw(server) as client:
            await client.config_set("maxmemory-policy", policy)
            async with opened(shared(url=server.url)) as store:
                await store.put("t", entry("0", angle=0.0))
                await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + 500_000)
                filled = [entry(str(number), angle=number / 200) for number in range(200)]
                for one in filled:
                    await store.put("t", replace(one, payload=np.random.default_rng(1).bytes(20_000)))
                held = [found for one in filled if (found := await store.get("t", one.digest))]
                assert 0 < len(held) < 200
                assert all(len(found.payload) == 20_000 for found in held)
                near = await store.nearest("t", "s", pointing(0.0), k=4)
                assert {found.entry.digest for found in near} <= {found.digest for found in held}
                await client.config_set("maxmemory", 0)
                await store.put("t", entry("last", angle=0.0))
                assert await store.get("t", digest_of("last"))

    asyncio.run(story())


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────


async def fails(store: RedisStore) -> None:
    """Ask until it is asked no more."""
    async with asyncio.timeout(LIMIT_S):
        while not store.health.down:
            with contextlib.suppress(StoreError):
                await store.get("t", digest_of("a"))


def test_a_killed_server_opens_the_circuit_and_comes_back_with_all_that_was_acknowledged(
    server: RedisServer, shared: Made
) -> None:
    async def story() -> None:
        store = shared(url=server.url, lost_s=0.5)
        async with opened(store):
            for number in range(50):
                await store.put("t", entry(str(number), angle=number / 50))
            server.kill()
            await fails(store)
            with pytest.raises(StoreError, match="is down"):
                await store.nearest("t", "s", pointing(0.0), k=4)
            assert await changes(store) is None
            assert store.has_scope("t", "anything")  # who knows
            server.start()
            await until(lambda: not store.health.down)
            held = [await store.get("t", digest_of(str(number))) for number in range(50)]
            assert all(held)
            await until(lambda: store._news.listening.is_set())
            assert names(await store.nearest("t", "s", pointing(0.0), k=2), "0", "1") == ["0", "1"]
            assert not store.has_scope("t", "anything")

    asyncio.run(story())


@pytest.mark.parametrize("how", ["stopped", "paused", "writes paused"])
def test_a_server_that_hangs_opens_the_circuit_until_it_goes_on(server: RedisServer, shared: Made, how: str) -> None:
    async def story() -> None:
        store = shared(url=server.url, lost_s=0.1)
        async with opened(store), raw(server) as client:
            await store.put("t", entry("a", angle=0.0))
            if how == "stopped":
                server.signal(signal.SIGSTOP)
            else:
                await client.client_pause(2_000, all="writes" not in how)
            async with asyncio.timeout(LIMIT_S):
                while not store.health.down:
                    with contextlib.suppress(StoreError):
                        await store.put("t", entry("b"))
            assert "no answer" in store.health.down
            if how == "stopped":
                server.signal(signal.SIGCONT)
            await until(lambda: not store.health.down)
            for _ in range(40):  # on every connection that is left
                assert same(await store.get("t", digest_of("a")), entry("a", angle=0.0))

    asyncio.run(story())


def test_a_read_only_server_is_read(server: RedisServer, shared: Made) -> None:
    async def story() -> None:
        store = shared(url=server.url)
        async with opened(store), raw(server) as client:
            await store.put("t", entry("a", angle=0.0))
            await client.replicaof(LOOPBACK, 1)
            for _ in range(5):
                with pytest.raises(StoreError, match="refused"):
                    await store.put("t", entry("b"))
            assert await store.get("t", digest_of("a"))
            assert await store.nearest("t", "s", pointing(0.0), k=4)
            assert store.health.down == ""
            assert store.health.counts["read-only"]
            await client.replicaof("NO", "ONE")
            await store.put("t", entry("b"))

    asyncio.run(story())


def test_who_writes_to_a_demoted_server_finds_its_successor(server: RedisServer, shared: Made) -> None:
    async def story() -> None:
        successor = shared()
        way = Cutting(server.port)
        async with opened(successor), way.listening() as port, raw(server) as client:
            store = shared(url=f"redis://{LOOPBACK}:{port}")
            async with opened(store):
                await store.put("t", entry("a"))
                way.lead_to(urlsplit(successor.url).port or 0)
                await client.replicaof(LOOPBACK, 1)  # its connections stay open
                async with asyncio.timeout(LIMIT_S):
                    while await successor.get("t", digest_of("b")) is None:
                        with contextlib.suppress(StoreError):
                            await store.put("t", entry("b"))
                assert store.health.counts["read-only"]

    asyncio.run(story())


def test_a_connection_that_breaks_in_the_midst_of_an_answer_is_one_fault(server: RedisServer, shared: Made) -> None:
    async def story() -> None:
        cutting = Cutting(server.port)
        async with cutting.listening() as port:
            store = shared(url=f"redis://{LOOPBACK}:{port}")
            async with opened(store):
                await store.put("t", replace(entry("a"), payload=np.random.default_rng(1).bytes(100_000)))
                cutting.after_bytes = 5_000
                with pytest.raises(StoreError):
                    await store.get("t", digest_of("a"))
                cutting.after_bytes = None
                await until(lambda: not store.health.down)
                found = await store.get("t", digest_of("a"))
                assert found
                assert len(found.payload) == 100_000

    asyncio.run(story())


class Cutting:
    """A way to the server that breaks after so many bytes of answers, keeps them back, or leads to another server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.after_bytes: int | None = None
        self.go_on = asyncio.Event()  # cleared, it keeps the answers back
        self.go_on.set()

    def lead_to(self, port: int) -> None:
        """Whoever connects from now on."""
        self._port = port

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection(LOOPBACK, self._port)
        with contextlib.suppress(OSError):
            await asyncio.gather(self._copy(reader, to), self._copy(there, writer, answers=True))
        for end in (to, writer):
            end.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        passed = 0
        while data := await reader.read(4096):
            passed += len(data)
            if answers:
                await self.go_on.wait()
            if answers and self.after_bytes is not None and passed > self.after_bytes:
                break
            writer.write(data)
            await writer.drain()
        writer.close()


def test_a_cancelled_caller_leaves_the_connections_in_order(shared: Made) -> None:
    async def story() -> None:
        async with opened(shared()) as store:
            for number in range(20):
                await store.put("t", replace(entry(str(number)), payload=bytes([number]) * 50_000))
            tasks = [asyncio.create_task(store.get("t", digest_of(str(number % 20)))) for number in range(200)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                await asyncio.wait(tasks[1:2])
                task.cancel()
            await asyncio.wait(tasks)
            for number, task in enumerate(tasks):
                found = None if task.cancelled() else task.result()
                assert task.cancelled() or (found and found.payload == bytes([number % 20]) * 50_000)

    asyncio.run(story())


def test_the_breaker_opens_after_so_many_in_a_row_and_only_a_probe_closes_it() -> None:
    health = Health()
    breaker = Breaker(health, name="x", failures=3)
    for _ in range(2):
        breaker.failed("slow")
    breaker.succeeded()
    for _ in range(2):
        breaker.failed("slow")
        assert not breaker.is_open
    breaker.failed("gone")
    assert (breaker.is_open, health.down, health.counts["opened"]) == (True, "gone", 1)
    breaker.succeeded()
    assert breaker.is_open
    breaker.close()
    assert not breaker.is_open


async def nearest_at_last(store: RedisStore) -> list[Neighbour]:
    """What is nearest once the server has built its index."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(StoreError):
                return await store.nearest("t", "s", pointing(0.0), k=4)
            await asyncio.sleep(0.01)


def test_an_index_that_was_dropped_is_built_again(shared: Made) -> None:
    async def story() -> None:
        store = shared()
        async with opened(store), raw() as client:
            for name, angle in (("a", 0.0), ("b", 0.5)):
                await store.put("t", entry(name, angle=angle))
            await nearest_at_last(store)
            await client.ft(store._index._name(2)).dropindex()
            with pytest.raises(StoreError):
                await store.nearest("t", "s", pointing(0.0), k=4)
            found: list[str] = []
            async with asyncio.timeout(LIMIT_S):
                while found != ["a", "b"]:
                    found = names(await nearest_at_last(store), "a", "b")

    asyncio.run(story())


def test_a_lost_channel_is_no_reason_to_look_at_an_index_again(shared: Made) -> None:
    """FT.INFO stops the server for a while that grows with the index."""

    async def looks(client: Redis) -> int:
        return int((await client.info("commandstats")).get("cmdstat_FT.INFO", {}).get("calls", 0))

    async def story() -> None:
        store = shared()
        async with opened(store), raw() as client:
            await store.put("t", entry("a", angle=0.0))
            await nearest_at_last(store)
            before = await looks(client)
            await client.client_kill_filter(_type="pubsub")
            await until(lambda: not store._news.listening.is_set())
            await until(lambda: store._news.listening.is_set())
            assert names(await store.nearest("t", "s", pointing(0.0), k=4), "a") == ["a"]
            assert await looks(client) == before > 0

    asyncio.run(story())


def test_an_index_is_looked_at_from_the_start(shared: Made) -> None:
    async def story() -> None:
        async with opened(shared()) as store:
            await store.put("t", entry("a", angle=0.0))
        store = shared()
        async with opened(store):
            await until(lambda: 2 in store._index._complete)

    asyncio.run(story())


def test_many_at_once_look_once(shared: Made) -> None:
    async def story() -> None:
        store = shared()
        async with opened(store), raw() as client:
            await store.put("t", entry("a", angle=0.0))
            await client.config_resetstat()
            found = await asyncio.gather(
                *(store.nearest("t", "s", pointing(0.0), k=1) for _ in range(20)), return_exceptions=True
            )
            told = (await client.info("commandstats"))["cmdstat_FT.INFO"]["calls"]
            assert told <= 6
            for each in found:
                assert isinstance(each, StoreError) or (isinstance(each, list) and names(each, "a") == ["a"])

    asyncio.run(story())


def test_what_others_say_on_the_channel_is_not_believed(shared: Made) -> None:
    async def story() -> None:
        store = shared()
        async with opened(store), raw() as client:
            for nonsense in (b"hello", b"[]", b'{"s": 1}', b'{"o": "x", "s": [], "c": 3}'):
                await client.publish(store._keys.channel, nonsense)
                assert await changes(store) is None
                await until(lambda: store._news.listening.is_set())
                await store.changes()

    asyncio.run(story())


# ── refused at the start ────────────────────────────────────────────────────────────────────────────────────


def refusal(url: str) -> str:
    """Why a store does not open: one line."""

    async def story() -> str:
        with pytest.raises(StoreUnusable) as told:
            await RedisStore(RedisOptions(url)).open()
        return str(told.value)

    line = asyncio.run(story())
    assert len(line.splitlines()) == 1
    assert "s3cret" not in line
    return line


def test_a_wrong_password_is_told_with_what_to_do(server: RedisServer) -> None:
    async def lock() -> None:
        async with raw(server) as client:
            await client.config_set("requirepass", "right-one")

    asyncio.run(lock())
    told = refusal(server.url.replace("//", "//:s3cret@"))
    assert "password" in told
    assert "redis://user:password@" in told
    assert "password" in refusal(server.url)


def test_tls_to_a_plain_port_and_an_address_where_nobody_is_are_told(server: RedisServer) -> None:
    assert "TLS" in refusal(server.url.replace("redis:", "rediss:"))
    server.kill()
    assert "cannot be reached" in refusal(server.url)
    assert "database" in refusal(f"{server.url}/3")
    assert "redis://" in refusal("redis://host:port")


def test_plain_to_a_tls_port_is_told(tmp_path: Path) -> None:
    try:
        parts()
    except RedisMissing as error:
        pytest.skip(str(error))

    async def story() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)  # a TLS server that hears no handshake hangs up
            writer.write(b"\x15\x03\x03\x00\x02\x02\x46")
            writer.close()

        server = await asyncio.start_server(hang_up, LOOPBACK, 0)
        async with server:
            with pytest.raises(StoreUnusable, match="rediss://"):
                await RedisStore(RedisOptions(f"redis://{LOOPBACK}:{server.sockets[0].getsockname()[1]}")).open()

    asyncio.run(story())


def test_a_server_without_search_is_told_with_its_version(tmp_path: Path) -> None:
    try:
        parts()
    except RedisMissing as error:
        pytest.skip(str(error))
    with redis_running(tmp_path / "bare", search=False) as bare:
        told = refusal(bare.url)
    assert "Redis 8." in told
    assert "no vector search" in told
