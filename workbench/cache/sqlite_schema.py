"""The SQLite file's format: how a file is recognised, created and brought up to date.

The version is SQLite's `user_version`, counted up by one with each migration; `application_id` says that the
file is ours (https://www.sqlite.org/fileformat2.html#the_database_header).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from workbench.errors import StoreUnusable

APPLICATION_ID = 0x57424348  # "WBCH"

BUSY_S = 1.0
"""How long one process waits for another's write."""

CHECKED_BYTES = 256 * 1024**2
"""Files up to this size are checked whole when they are opened: a quarter of a second, at about 1 GB/s."""

Migration = Sequence[str]
"""The statements that lead from one version to the next."""

FIRST_VERSION: Migration = (
    # `seq` is never used again, so that "everything after seq" is what other processes added. The vector stands
    # before the long columns: reading all vectors touches no payload.
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        digest TEXT NOT NULL,
        model TEXT NOT NULL,
        created_s REAL NOT NULL,
        expires_s REAL NOT NULL,
        size_bytes INTEGER NOT NULL,
        scope TEXT NOT NULL,
        outer_scope TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        vector BLOB,
        text TEXT NOT NULL,
        turns TEXT NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (tenant, digest)
    ) STRICT""",
    "CREATE INDEX entries_by_expiry ON entries (expires_s)",
    # A table of its own, since it is written often and entries are large.
    "CREATE TABLE uses (seq INTEGER PRIMARY KEY, used_s REAL NOT NULL) STRICT",
    "CREATE INDEX uses_by_time ON uses (used_s)",
    "CREATE TABLE totals (entries INTEGER NOT NULL, size_bytes INTEGER NOT NULL) STRICT",
    "INSERT INTO totals VALUES (0, 0)",
    # What was replaced, removed or withdrawn; `id` has no gaps, so that a reader sees when some are trimmed.
    """CREATE TABLE changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        seq INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        digest TEXT NOT NULL
    ) STRICT""",
    # Triggers keep the books, so that they are right whoever writes, even by hand.
    """CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
        UPDATE totals SET entries = entries + 1, size_bytes = size_bytes + NEW.size_bytes;
    END""",
    """CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
        UPDATE totals SET entries = entries - 1, size_bytes = size_bytes - OLD.size_bytes;
        DELETE FROM uses WHERE seq = OLD.seq;
        INSERT INTO changes (seq, tenant, digest) VALUES (OLD.seq, OLD.tenant, OLD.digest);
    END""",
    """CREATE TRIGGER entry_changed AFTER UPDATE ON entries BEGIN
        UPDATE totals SET size_bytes = size_bytes + NEW.size_bytes - OLD.size_bytes;
        INSERT INTO changes (seq, tenant, digest) VALUES (OLD.seq, OLD.tenant, OLD.digest);
    END""",
    # A process that missed more than these reads everything anew.
    """CREATE TRIGGER change_noted AFTER INSERT ON changes BEGIN
        DELETE FROM changes WHERE id <= NEW.id - 10000;
    END""",
)

SHARED_STATE: Migration = (
    """CREATE TABLE states (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (tenant, name)
    ) STRICT""",
)

VECTORS_BY_EMBEDDER: Migration = (
    # Side by side, so that a new embedder's can be made while the old one's serve. An entry's `size_bytes` counts all.
    """CREATE TABLE vectors (
        seq INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (seq, fingerprint)
    ) STRICT""",
    "INSERT INTO vectors SELECT seq, fingerprint, vector FROM entries WHERE vector IS NOT NULL",
    "ALTER TABLE entries DROP COLUMN vector",
    "ALTER TABLE entries DROP COLUMN fingerprint",
    """CREATE TRIGGER vectors_removed AFTER DELETE ON entries BEGIN
        DELETE FROM vectors WHERE seq = OLD.seq;
    END""",
    """CREATE TRIGGER vectors_withdrawn AFTER UPDATE OF scope ON entries WHEN NEW.scope = '' BEGIN
        DELETE FROM vectors WHERE seq = NEW.seq;
    END""",
)

MIGRATIONS: tuple[Migration, ...] = (FIRST_VERSION, SHARED_STATE, VECTORS_BY_EMBEDDER)
"""In order; number n leads from version n to n + 1, and a new file starts at 0. Only ever append."""


def open_database(path: Path, *, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """A connection to the file, created or migrated when needed, that commits only when told.

    Raises `StoreUnusable` when the file is not ours, newer, or cannot be read; it is left as it was.
    """
    if path.is_dir():
        raise StoreUnusable(f"{path} is a folder; name a file in it with --store sqlite:///path")
    try:
        if _is_new(path):
            _create_empty(path)
        else:
            _check(path, len(migrations))
        return _connect(path, migrations)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, f"cannot be used ({error})") from error


def unusable(path: Path, seen: str) -> StoreUnusable:
    """The error to raise, with what the user can do."""
    return StoreUnusable(
        f"{path} {seen}; expected a cache file of this program, or none. It was left as it is: "
        "move or delete it to start with an empty cache, or name another file with --store sqlite:///path"
    )


def _is_new(path: Path) -> bool:
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def _create_empty(path: Path) -> None:
    """An empty file that only its owner may read: it will hold prompts. SQLite gives its WAL the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)


def _check(path: Path, newest: int) -> None:
    """Look without touching: `immutable` takes no locks and leaves no -wal or -shm behind.

    Reading the header with `open` would be shorter, but closing it drops the locks of any other connection that
    this process has to the file (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            _identify(path, database, newest)
    except sqlite3.DatabaseError:
        if Path(f"{path}-journal").exists():
            return  # half made or migrated, by another process or by one that was killed: `_connect` sees to it
        with closing(sqlite3.connect(address, uri=True)) as database:  # perhaps it was made in this moment
            _identify(path, database, newest)


def _identify(path: Path, database: sqlite3.Connection, newest: int) -> None:
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise unusable(path, "is an SQLite file of another program")
    version = _version(database)
    if version > newest:
        raise unusable(path, f"was written by a newer version of this program (format {version}, known: {newest})")


def _connect(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        database.row_factory = sqlite3.Row
        # With a WAL this survives a killed process: what is committed lies in the system's hands. A power cut may
        # lose the last commits, never the file; a sync for each of them would buy nothing that a cache needs.
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("PRAGMA page_count").fetchone()[0] > 0:
            _identify(path, database, len(migrations))
        if _version(database) < len(migrations):
            _migrate(database, migrations)
        if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise unusable(path, "lies in a folder where SQLite cannot share memory (a network drive?)")
        database.execute("PRAGMA journal_size_limit = 16777216")
        if path.stat().st_size <= CHECKED_BYTES:
            _check_pages(path, database)
    except BaseException:
        database.close()
        raise
    return database


def _check_pages(path: Path, database: sqlite3.Connection) -> None:
    (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise unusable(path, f"is damaged ({finding})")


def _migrate(database: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply what is missing, all or nothing, alone with the file.

    Not in WAL mode: the version must lie in the file itself, where an older program looks for it.
    """
    if _version(database) > 0:
        database.execute("PRAGMA journal_mode = DELETE")
    database.execute("BEGIN EXCLUSIVE")
    try:
        for number in range(_version(database), len(migrations)):  # none, when another process was faster
            for statement in migrations[number]:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {number + 1}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version


def file_number(path: Path) -> int:
    """The inode, or 0 when there is none to be seen: it tells when the file was deleted or replaced."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
