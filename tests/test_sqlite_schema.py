"""How the SQLite store's file is made, recognised, migrated, and refused without being touched."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stores import Clock, entry, opened, pointing, same
from workbench.cache.sqlite_schema import APPLICATION_ID, MIGRATIONS, open_database
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import State
from workbench.errors import StoreUnusable

# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_folder_and_file_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cache.db"

    async def story() -> None:
        async with opened(SqliteStore(path)) as store:
            await store.put("t", entry("a"))
            assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}

    asyncio.run(story())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.touch()

    async def story() -> None:
        async with opened(SqliteStore(path, clock=Clock())) as store:
            await store.put("t", entry("a"))

    asyncio.run(story())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def written_store(path: Path) -> None:
    """A good file with a few pages."""

    async def story() -> None:
        async with opened(SqliteStore(path, clock=Clock())) as store:
            for number in range(40):
                await store.put("t", replace(entry(str(number)), payload=bytes([number]) * 3000))

    asyncio.run(story())


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 400)


def anothers(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE bookmarks (url)")


def newer(path: Path) -> None:
    written_store(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def cut_off(path: Path) -> None:
    written_store(path)
    path.write_bytes(path.read_bytes()[:9000])


def overwritten(path: Path) -> None:
    written_store(path)
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 4] = b"\xff" * 4096 * 3
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (garbage, "not a database"),
        (anothers, "another program"),
        (newer, "newer version"),
        (cut_off, "malformed|damaged"),
        (overwritten, "malformed|damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_left_untouched(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "cache.db"
    spoil(path)
    before, modified_ns = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(StoreUnusable, match=message) as raised:
        asyncio.run(SqliteStore(path).open())
    assert "move or delete it" in str(raised.value)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == modified_ns


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="is a folder"):
        asyncio.run(SqliteStore(tmp_path).open())


# ── the format ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_says_whose_it_is_and_which_version(tmp_path: Path) -> None:
    written_store(tmp_path / "cache.db")
    with closing(sqlite3.connect(tmp_path / "cache.db")) as raw:
        assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert raw.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_older_file_is_migrated_in_order_and_keeps_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    written_store(path)
    later = (
        ("ALTER TABLE entries ADD COLUMN judged INTEGER", "UPDATE entries SET judged = 1"),
        ("ALTER TABLE entries RENAME COLUMN judged TO verdict",),
    )
    with closing(open_database(path, migrations=MIGRATIONS + later)) as database:
        assert database.execute("SELECT COUNT(*), SUM(verdict) FROM entries").fetchone()[:] == (40, 40)
        assert database.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 2
    with pytest.raises(StoreUnusable, match="newer version"):
        open_database(path)


def test_a_file_of_the_first_version_gets_its_states(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.touch()
    open_database(path, migrations=MIGRATIONS[:1]).close()

    async def story() -> None:
        async with opened(SqliteStore(path)) as store:
            assert await store.set_state("t", "n", b"x", expected=None)
        async with opened(SqliteStore(path)) as store:
            assert await store.state("t", "n") == State(b"x", 1)

    asyncio.run(story())


def test_a_file_with_one_vector_an_entry_keeps_them(tmp_path: Path) -> None:
    path, old = tmp_path / "cache.db", entry("a", text="a", angle=0.5)
    path.touch()
    with closing(open_database(path, migrations=MIGRATIONS[:2])) as database:
        database.execute(
            "INSERT INTO entries VALUES (1, 't', ?, 'model', ?, ?, ?, 's', 'outer', 'mini', ?, 'a', ?, ?)",
            (
                old.digest,
                old.created_s,
                old.expires_s,
                old.size_bytes,
                pointing(0.5).tobytes(),
                json.dumps(old.turns),
                old.payload,
            ),
        )

    async def story() -> None:
        for fingerprint, stored in (("mini", old), ("large", replace(old, vector=None))):
            async with opened(SqliteStore(path, clock=Clock(), fingerprint=fingerprint)) as store:
                assert same(await store.get("t", old.digest), stored)
                assert (await store.stats()).size_bytes == old.size_bytes

    asyncio.run(story())


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    written_store(path)
    broken = ("ALTER TABLE entries ADD COLUMN judged INTEGER", "UPDATE nowhere SET judged = 1")
    with pytest.raises(StoreUnusable, match="no such table"):
        open_database(path, migrations=(*MIGRATIONS, broken))
    with closing(open_database(path)) as database:
        assert "judged" not in database.execute("SELECT * FROM entries").fetchone().keys()  # noqa: SIM118 - a Row
