"""Examines a SQLite store's file without changing it, whoever has it open."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from workbench.cache.findings import Finding, capacity, fail, ok, warn
from workbench.cache.sqlite_schema import APPLICATION_ID, BUSY_S, CHECKED_BYTES, MIGRATIONS

FREE_BYTES = 1e9
"""With less on the disk the file may soon not grow any more."""

FUTURE_S = 60.0
"""An entry that is so much younger than now was written by another clock."""

MOVE = "move or delete it to start with an empty cache, or name another file with WORKBENCH_STORE"


def examine(path: Path, *, fingerprint: str, max_bytes: int, now_s: float) -> list[Finding]:
    """Findings on the file at `path`, whose proxies embed with `fingerprint`."""
    if not path.exists():
        return [ok("store", f"{path} is not there yet: the proxy makes it when it starts"), *_disk(path)]
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as database:
            found = list(_format(path, database))
            if not any(finding.status == "fail" for finding in found):
                found += _content(database, fingerprint=fingerprint, max_bytes=max_bytes, now_s=now_s)
    except sqlite3.Error as error:
        return [fail("store", f"{path} cannot be read: {error}", MOVE)]
    return [*found, *_disk(path), *_mode(path)]


def _format(path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        yield fail("store", f"{path} is an SQLite file of another program", MOVE)
    elif version > len(MIGRATIONS):
        yield fail("store", f"{path} has format {version}, known are up to {len(MIGRATIONS)}", "update this program")
    elif version < len(MIGRATIONS):
        yield fail("store", f"{path} has the older format {version}", "start the proxy once: it brings it up to date")
    elif (
        path.stat().st_size <= CHECKED_BYTES
        and (seen := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok"
    ):
        yield fail("store", f"{path} is damaged: {seen}", MOVE)
    else:
        yield ok("store", f"{path}, format {version}, SQLite {sqlite3.sqlite_version}")


def _content(database: sqlite3.Connection, *, fingerprint: str, max_bytes: int, now_s: float) -> Iterator[Finding]:
    entries, size_bytes = database.execute("SELECT entries, size_bytes FROM totals").fetchone()
    share = size_bytes / max_bytes
    filled = f"{entries:,} entries, {size_bytes / 1e6:.1f} of {max_bytes / 1e6:.0f} MB"
    more = "raise WORKBENCH_STORE_MAX_BYTES to keep more: the least recently used make room now"
    yield warn("memory", filled, more) if share > 0.95 else ok("memory", filled)
    yield capacity(entries, size_bytes)
    yield _index(database, fingerprint)
    (latest_s,) = database.execute("SELECT MAX(created_s) FROM entries").fetchone()
    if latest_s is not None and latest_s > now_s + FUTURE_S:
        seen = f"an entry was stored {latest_s - now_s:.0f} s in the future"
        yield warn("clock", seen, "set this machine's clock: entries expire by it")
    else:
        yield ok("clock", "no entry is from the future")


def _index(database: sqlite3.Connection, fingerprint: str) -> Finding:
    """How many questions this embedder has read, of those that may be matched by meaning."""
    (meant,) = database.execute("SELECT COUNT(*) FROM entries WHERE scope <> '' AND text <> ''").fetchone()
    (ours,) = database.execute("SELECT COUNT(*) FROM vectors WHERE fingerprint = ?", (fingerprint,)).fetchone()
    (others,) = database.execute("SELECT COUNT(*) FROM vectors WHERE fingerprint <> ?", (fingerprint,)).fetchone()
    seen = f"{ours:,} of {meant:,} questions have a vector of this embedder, {others:,} vectors are others'"
    if others > ours:
        return warn(
            "index", seen, "`python -m workbench cache reembed` embeds them now, else each when it is asked for"
        )
    return ok("index", seen)


def _disk(path: Path) -> Iterator[Finding]:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < FREE_BYTES:
        yield warn("disk", f"{free_bytes / 1e9:.2f} GB free below {folder}", "make room: a full disk stores nothing")


def _mode(path: Path) -> Iterator[Finding]:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield warn("privacy", f"others may read {path}, which holds prompts", f"chmod 600 {path}")
