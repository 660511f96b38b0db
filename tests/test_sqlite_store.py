"""What only the SQLite store promises: durability, one file for several processes, and honest faults."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stores import Clock, digest_of, entry, names, opened, pointing, same, waiting
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import State
from workbench.errors import StoreError

# ── a killed process ────────────────────────────────────────────────────────────────────────────────────────

WRITE_FOR_EVER = """
import asyncio, random, sys, time
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Entry

async def main(path, seed):
    sizes = random.Random(seed)
    store = SqliteStore(path)
    await store.open()
    for number in range(1_000_000):
        name = f"{seed}-{number}"
        payload = name.encode() + bytes(sizes.randrange(20_000))
        await store.put("t", Entry(name, payload, "m", time.time(), time.time() + 1000))
        print(name, len(payload), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def write_and_be_killed(path: Path, seed: int, acknowledged: int) -> dict[str, int]:
    """Kill a writing process after so many puts; the size in bytes of each payload that it said is stored."""
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(acknowledged)]
        child.kill()
        lines += child.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {name: int(size) for name, size in whole}


def test_every_acknowledged_entry_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    moments = random.Random(2024)  # noqa: S311 - no secret
    acknowledged: dict[str, int] = {}
    for seed in range(5):
        acknowledged |= write_and_be_killed(path, seed, moments.randrange(1, 300))

    async def story() -> None:
        async with opened(SqliteStore(path)) as store:
            for name, size_bytes in acknowledged.items():
                found = await store.get("t", name)
                assert found is not None
                assert found.payload == name.encode() + bytes(size_bytes - len(name))
            assert (await store.stats()).entries >= len(acknowledged)

    asyncio.run(story())
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        entries, size_bytes = raw.execute("SELECT entries, size_bytes FROM totals").fetchone()
        assert (entries, size_bytes) == raw.execute("SELECT COUNT(*), SUM(size_bytes) FROM entries").fetchone()


def test_a_process_killed_at_its_start_leaves_a_usable_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(path), "0"]
    for delay_s in (0.0, 0.001, 0.002, 0.004, 0.008):
        remove_files(tmp_path)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
            while not path.exists():
                assert child.poll() is None
            threading.Event().wait(delay_s)  # no synchronisation: it picks the moment of death
            child.kill()

        async def story() -> None:
            async with opened(SqliteStore(path)) as store:
                await store.put("t", entry("a"))

        asyncio.run(story())


# ── what stays ──────────────────────────────────────────────────────────────────────────────────────────────


def test_entries_vectors_and_their_order_are_there_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        first = [entry(name, text=name, angle=angle) for name, angle in (("a", 0.0), ("b", 0.1), ("c", 0.1))]
        async with opened(SqliteStore(tmp_path / "cache.db", clock=Clock())) as store:
            for stored in first:
                await store.put("t", stored)
            await store.withdraw("t", first[0].id)
        async with opened(SqliteStore(tmp_path / "cache.db", clock=Clock())) as store:
            assert same(await store.get("t", first[1].digest), first[1])
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), "b", "c") == ["c", "b"]
            assert await store.changes() == frozenset()

    asyncio.run(story())


def test_uses_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        path, size_bytes = tmp_path / "cache.db", entry("a").size_bytes
        async with opened(SqliteStore(path, clock=Clock(), max_bytes=2 * size_bytes)) as store:
            await store.put("t", entry("a"))
            await store.put("t", entry("b"))
            await store.get("t", digest_of("a"))
        async with opened(SqliteStore(path, clock=Clock(), max_bytes=2 * size_bytes)) as store:
            await store.put("t", entry("c"))
            assert await store.get("t", digest_of("b")) is None
            assert await store.get("t", digest_of("a")) is not None

    asyncio.run(story())


def test_uses_are_written_in_batches_and_not_for_each_hit(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(SqliteStore(tmp_path / "cache.db", clock=clock)) as store:
            await store.put("t", entry("a"))
            with closing(sqlite3.connect(tmp_path / "cache.db")) as raw:
                before = raw.execute("PRAGMA data_version").fetchone()
                for _ in range(20):
                    await store.get("t", digest_of("a"))
                assert raw.execute("PRAGMA data_version").fetchone() == before
                clock.now_s += 61
                await store.get("t", digest_of("a"))
                assert raw.execute("SELECT used_s FROM uses").fetchone()[0] == pytest.approx(clock.now_s)

    asyncio.run(story())


def test_another_embedders_vectors_are_kept_and_not_searched_and_their_entries_answer(tmp_path: Path) -> None:
    def store_of(fingerprint: str) -> SqliteStore:
        return SqliteStore(tmp_path / "cache.db", clock=Clock(), fingerprint=fingerprint)

    async def story() -> None:
        old = entry("old", angle=0.0)
        async with opened(store_of("mini")) as store:
            await store.put("t", old)
        async with opened(store_of("large")) as store:
            await store.put("t", entry("new", angle=1.0))
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), "old", "new") == ["new"]
            assert same(await store.get("t", old.digest), replace(old, vector=None))
        async with opened(store_of("mini")) as store:
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), "old", "new") == ["old"]

    asyncio.run(story())


def test_what_is_pending_is_found_again_after_a_restart_and_by_any_embedder(tmp_path: Path) -> None:
    def store_of(fingerprint: str) -> SqliteStore:
        return SqliteStore(tmp_path / "cache.db", clock=Clock(), fingerprint=fingerprint)

    async def story() -> None:
        async with opened(store_of("mini")) as store:
            for one in (waiting("a"), waiting("b"), entry("c", angle=0.0, text="c"), waiting("d")):
                await store.put("t", one)
            await store.put("t", replace(entry("no text"), scope="without text"))
            await store.withdraw("t", digest_of("d")[:16])
        async with opened(store_of("large")) as store:
            assert store.has_scope("t", "s")
            assert not store.has_scope("t", "without text")
            c, b, a = await store.pending("t", "s", limit=9)
            assert same(a, waiting("a"))
            assert same(c, replace(entry("c", angle=0.0, text="c"), vector=None))
            await store.add_vectors("t", [(b, pointing(0.5))])
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), *"abc") == ["b"]
        async with opened(store_of("large")) as store:
            assert [found.text for found in await store.pending("t", "s", limit=9)] == ["c", "a"]
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), *"abc") == ["b"]
        async with opened(store_of("mini")) as store:
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), *"abc") == ["c"]
            assert same(await store.get("t", b.digest), b)

    asyncio.run(story())


def test_vectors_of_two_embedders_stand_side_by_side(tmp_path: Path) -> None:
    async def story() -> None:
        stored = entry("a", text="a", angle=0.0)
        mini, large = (
            SqliteStore(tmp_path / "cache.db", clock=Clock(), fingerprint=name) for name in ("mini", "large")
        )
        async with opened(mini), opened(large):
            await mini.put("t", stored)
            before = (await mini.stats()).size_bytes
            await large.changes()
            (pending,) = await large.pending("t", "s", limit=9)
            await large.add_vectors("t", [(pending, pointing(1.0))])
            await large.add_vectors("t", [(pending, pointing(2.0))])  # the second came too late
            await mini.changes()
            for store, angle in ((mini, 0.0), (large, 1.0)):
                (found,) = await store.nearest("t", "s", pointing(angle), k=1)
                assert found.similarity == pytest.approx(1.0)
            assert (await mini.stats()).size_bytes == before + pointing(0.0).nbytes
            await mini.withdraw("t", stored.id)
            await large.changes()
            assert await large.nearest("t", "s", pointing(1.0), k=1) == []
            await mini.delete("t", stored.id)
            assert (await large.stats()).size_bytes == 0
        with closing(sqlite3.connect(tmp_path / "cache.db")) as raw:
            assert raw.execute("SELECT COUNT(*) FROM vectors").fetchone() == (0,)

    asyncio.run(story())


# ── two processes, one file ─────────────────────────────────────────────────────────────────────────────────


def test_what_another_process_does_is_seen(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        one, two = (SqliteStore(tmp_path / "cache.db", clock=clock) for _ in range(2))
        async with opened(one), opened(two):
            for number, name in enumerate("abcd"):
                await one.put("t", entry(name, angle=number / 10))
            assert names(await two.nearest("t", "s", pointing(0.0), k=9), *"abcd") == []  # looked just now
            clock.now_s += 0.5
            assert names(await two.nearest("t", "s", pointing(0.0), k=9), *"abcd") == list("abcd")
            assert await two.changes() == frozenset()

            await one.put("t", entry("a", angle=0.9))
            await one.delete("t", digest_of("b")[:16])
            await one.withdraw("t", digest_of("c")[:16])
            assert await two.get("t", digest_of("b")) is None
            assert names(await two.nearest("t", "s", pointing(0.0), k=9), *"abcd") == ["d"]  # the winners are read
            clock.now_s += 0.5
            assert names(await two.nearest("t", "s", pointing(0.0), k=9), *"abcd") == ["d", "a"]
            assert await two.changes() == {("t", digest_of(name)) for name in "abc"}
            assert await two.changes() == frozenset()
            assert await one.changes() == frozenset()

    asyncio.run(story())


def test_what_is_pending_is_shared_and_so_is_the_vector_that_it_gets(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        one, two = (SqliteStore(tmp_path / "cache.db", clock=clock) for _ in range(2))
        async with opened(one), opened(two):
            for name in "abc":
                await one.put("t", waiting(name))
            assert not two.has_scope("t", "s")
            assert await two.changes() == frozenset()
            assert two.has_scope("t", "s")
            pending = await two.pending("t", "s", limit=9)
            assert [found.text for found in pending] == ["c", "b", "a"]

            c, b, a = pending
            await two.add_vectors("t", [(b, pointing(0.1))])
            assert [found.text for found in await one.pending("t", "s", limit=9)] == ["c", "a"]
            assert names(await one.nearest("t", "s", pointing(0.0), k=9), *"abc") == ["b"]
            await one.add_vectors("t", [(b, pointing(1.0)), (c, pointing(0.2))])  # the first came too late
            clock.now_s += 0.5
            for store in (one, two):
                found = await store.nearest("t", "s", pointing(0.0), k=9)
                assert names(found, *"abc") == ["b", "c"]
                assert found[0].similarity == pytest.approx(np.cos(0.1))

            await two.withdraw("t", a.id)
            for doomed in (b, c):
                await one.delete("t", doomed.id)
                await two.add_vectors("t", [(doomed, pointing(0.0))])
            for store in (one, two):
                await store.changes()
                assert not store.has_scope("t", "s")

    asyncio.run(story())


def test_what_another_process_evicts_or_lets_expire_is_a_change(tmp_path: Path) -> None:
    async def story() -> None:
        clock, size_bytes = Clock(), entry("a").size_bytes
        one, two = (SqliteStore(tmp_path / "cache.db", clock=clock, max_bytes=2 * size_bytes) for _ in range(2))
        async with opened(one), opened(two):
            await one.put("t", entry("a"))
            await one.put("t", entry("b", ttl_s=5))
            await two.put("t", entry("c"))
            assert await one.changes() == {("t", digest_of("a"))}
            clock.now_s += 6
            await two.put("t", entry("d"))
            assert await one.changes() == {("t", digest_of("b"))}
            assert await two.changes() == frozenset()

    asyncio.run(story())


def test_changes_made_between_two_own_writes_are_not_taken_for_own(tmp_path: Path) -> None:
    async def story() -> None:
        one, two = (SqliteStore(tmp_path / "cache.db", clock=Clock()) for _ in range(2))
        async with opened(one), opened(two):
            await one.put("t", entry("a", angle=0.0))
            await two.put("t", entry("b", angle=0.1))
            await two.delete("t", digest_of("a")[:16])
            await one.put("t", entry("c", angle=0.2))
            assert names(await one.nearest("t", "s", pointing(0.0), k=5), *"abc") == ["b", "c"]
            assert await one.changes() == {("t", digest_of("a"))}

    asyncio.run(story())


def test_whoever_missed_too_much_reads_everything_anew(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(SqliteStore(tmp_path / "cache.db", clock=clock)) as store:
            for name in "abc":
                await store.put("t", entry(name, angle=0.0))
            with closing(sqlite3.connect(tmp_path / "cache.db")) as raw, raw:
                raw.execute("DELETE FROM entries WHERE digest = ?", (digest_of("a"),))
                raw.execute(  # enough changes to push that one out of the log
                    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
                    " INSERT INTO changes (seq, tenant, digest) SELECT i + 1000, 'u', 'x' FROM n"
                )
                assert raw.execute("SELECT COUNT(*) FROM changes").fetchone() == (10_000,)
            assert await store.changes() == frozenset(("t", digest_of(name)) for name in "abc")
            assert names(await store.nearest("t", "s", pointing(0.0), k=5), *"abc") == ["c", "b"]
            assert await store.changes() == frozenset()

    asyncio.run(story())


def test_processes_that_start_together_create_one_file(tmp_path: Path) -> None:
    script = WRITE_FOR_EVER.replace("1_000_000", "20")
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "cache.db"), str(seed)], stdout=subprocess.PIPE)
        for seed in range(3)
    ]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0, 0, 0]

    async def story() -> None:
        async with opened(SqliteStore(tmp_path / "cache.db")) as store:
            assert (await store.stats()).entries == 60

    asyncio.run(story())


def test_processes_share_a_state_and_one_of_them_wins(tmp_path: Path) -> None:
    async def story() -> None:
        one, two = SqliteStore(tmp_path / "cache.db"), SqliteStore(tmp_path / "cache.db")
        async with opened(one), opened(two):
            tries = [store.set_state("t", "n", url, expected=None) for store, url in ((one, b"1"), (two, b"2"))]
            won = await asyncio.gather(*tries)
            assert sum(won) == 1
            assert await one.state("t", "n") == await two.state("t", "n") == State(b"1" if won[0] else b"2", 1)

    asyncio.run(story())


# ── a deleted file ──────────────────────────────────────────────────────────────────────────────────────────


def remove_files(folder: Path, pattern: str = "*") -> None:
    for file in folder.glob(pattern):
        file.unlink()


@pytest.mark.parametrize("deleted", ["cache.db*", "cache.db"])
def test_files_deleted_between_runs_mean_an_empty_start(tmp_path: Path, deleted: str) -> None:
    path = tmp_path / "cache.db"
    acknowledged = write_and_be_killed(path, 1, 20)
    assert (tmp_path / "cache.db-wal").exists()
    remove_files(tmp_path, deleted)

    async def story() -> None:
        async with opened(SqliteStore(path)) as store:
            assert await store.get("t", next(iter(acknowledged))) is None
            assert (await store.stats()).entries == 0

    asyncio.run(story())


def test_a_file_deleted_while_in_use_is_made_anew(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "deep" / "cache.db"
        async with opened(SqliteStore(path, clock=Clock())) as store:
            await store.put("t", entry("old", angle=0.0))
            remove_files(path.parent)
            path.parent.rmdir()
            assert await store.get("t", digest_of("old")) is None
            assert await store.changes() == frozenset([("t", digest_of("old"))])
            assert await store.nearest("t", "s", pointing(0.0), k=5) == []
            await store.put("t", entry("new", angle=0.0))
        async with opened(SqliteStore(path, clock=Clock())) as store:
            assert await store.get("t", digest_of("new")) is not None

    asyncio.run(story())


def test_a_file_replaced_by_something_else_while_in_use_is_a_fault_until_it_is_gone(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "cache.db"
        async with opened(SqliteStore(path, clock=Clock())) as store:
            await store.put("t", entry("a"))
            remove_files(tmp_path)
            path.write_bytes(b"not a database at all")
            for _ in range(2):
                with pytest.raises(StoreError):
                    await store.put("t", entry("b"))
            assert path.read_bytes() == b"not a database at all"
            path.unlink()
            await store.put("t", entry("b"))

    asyncio.run(story())


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fault_of_the_file_is_a_store_error_and_leaves_no_trace(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(SqliteStore(tmp_path / "cache.db", clock=Clock())) as store:
            await store.put("t", entry("a", angle=0.0))
            with closing(sqlite3.connect(tmp_path / "cache.db")) as raw:
                raw.execute("PRAGMA writable_schema = ON")
                raw.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END")
            with pytest.raises(StoreError, match="disk full") as raised:
                await store.put("t", entry("a", angle=1.0))
            assert isinstance(raised.value.__cause__, sqlite3.Error)
            assert same(await store.get("t", digest_of("a")), entry("a", angle=0.0))
            assert len(await store.nearest("t", "s", pointing(0.0), k=5)) == 1
            with pytest.raises(StoreError):
                await store.put("t", replace(entry("b"), text="half a pair: \ud800"))

    asyncio.run(story())


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        store = SqliteStore(tmp_path / "cache.db", url="sqlite:///elsewhere")
        with pytest.raises(StoreError, match="sqlite:///elsewhere is not open"):
            await store.get("t", "d")
        await store.open()
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="not open"):
            await store.stats()

    asyncio.run(story())


def test_cancelled_callers_corrupt_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(SqliteStore(tmp_path / "cache.db", clock=Clock())) as store:
            puts = [asyncio.create_task(store.put("t", entry(str(n), angle=n / 100))) for n in range(60)]
            await puts[3]
            for put in puts[::2]:
                put.cancel()
            outcomes = await asyncio.gather(*puts, return_exceptions=True)
            assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            for number, outcome in enumerate(outcomes):
                if outcome is None:
                    assert await store.get("t", digest_of(str(number))) is not None
            held = (await store.stats()).entries
            assert len(await store.nearest("t", "s", pointing(0.0), k=100)) == held

    asyncio.run(story())
