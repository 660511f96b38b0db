"""What the doctor says of a SQLite store's file, which it never changes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stores import NOW_S, Clock, entry, opened
from workbench.cache.findings import Finding, capacity
from workbench.cache.sqlite_doctor import examine
from workbench.cache.sqlite_schema import MIGRATIONS, open_database
from workbench.cache.sqlite_store import SqliteStore


def filled(folder: Path, *, created_s: float = NOW_S) -> Path:
    """A good file with 30 entries, embedded by `mini`."""
    path = folder / "cache.sqlite"

    async def story() -> None:
        async with opened(SqliteStore(path, clock=Clock(), fingerprint="mini")) as store:
            for number in range(30):
                stored = entry(str(number), text=f"question {number}", angle=0.1)
                await store.put("t", replace(stored, payload=b"x" * 2000, created_s=created_s))

    asyncio.run(story())
    return path


def examined(path: Path, *, fingerprint: str = "mini", max_bytes: int = 10**6) -> dict[str, Finding]:
    found = examine(path, fingerprint=fingerprint, max_bytes=max_bytes, now_s=NOW_S)
    return {finding.check: finding for finding in found}


def test_a_good_file_has_nothing_to_complain_of_and_stays_as_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    found = examined(path)
    assert {finding.status for finding in found.values()} == {"ok"}
    assert "30 entries" in found["memory"].seen
    assert "30 of 30 questions" in found["index"].seen
    assert path.read_bytes() == before


def test_a_file_that_a_proxy_has_open_is_examined_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(SqliteStore(tmp_path / "cache.sqlite", clock=Clock())) as store:
            await store.put("t", entry("a"))
            assert examined(tmp_path / "cache.sqlite")["memory"].seen.startswith("1 entries")

    asyncio.run(story())


def test_no_file_yet_is_no_fault(tmp_path: Path) -> None:
    assert examined(tmp_path / "new" / "cache.sqlite")["store"].status == "ok"
    assert list(tmp_path.iterdir()) == []


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 400)


def anothers(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE bookmarks (url)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def older(path: Path) -> None:
    path.write_bytes(b"")
    open_database(path, migrations=MIGRATIONS[:1]).close()


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 5] = b"\xff" * 4096 * 3
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (garbage, "not a database"),
        (anothers, "another program"),
        (newer, f"format {len(MIGRATIONS) + 1}"),
        (older, "older format 1"),
        (overwritten, "malformed|damaged"),
    ],
)
def test_a_file_that_cannot_be_used_fails_with_a_remedy(
    tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    path = filled(tmp_path)
    spoil(path)
    finding = examined(path)["store"]
    assert finding.status == "fail"
    assert any(word in finding.seen for word in told.split("|"))
    assert finding.remedy


def test_a_full_file_another_embedder_a_wrong_clock_and_open_doors_are_warnings(tmp_path: Path) -> None:
    path = filled(tmp_path, created_s=NOW_S + 3600)
    path.chmod(0o644)
    found = examined(path, fingerprint="large", max_bytes=10**5 * 3 // 4)
    warned = {name: finding.seen for name, finding in found.items() if finding.status == "warn"}
    assert warned.keys() == {"memory", "index", "clock", "privacy"}
    assert "0 of 30" in warned["index"]
    assert "3600 s in the future" in warned["clock"]


def test_what_fits_a_plan_is_reckoned_from_what_entries_take() -> None:
    assert "30 MB (free) 10,000" in capacity(100, 300_000).seen
    assert "a guess" in capacity(3, 300_000).seen
