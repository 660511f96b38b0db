"""The file under the ledger: its tables, how it is opened, and its transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import LedgerError

APPLICATION_ID = 0x5348574C
VERSION = 1
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE machines (
    label TEXT PRIMARY KEY, machine_id INTEGER NOT NULL, instance_id INTEGER, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', intended_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ended_ms INTEGER,
    gpu TEXT NOT NULL, disk TEXT NOT NULL, down TEXT NOT NULL, up TEXT NOT NULL
) STRICT;
CREATE TABLE stretches (
    seq INTEGER PRIMARY KEY, label TEXT NOT NULL REFERENCES machines, phase TEXT NOT NULL, gpu_billed INTEGER NOT NULL,
    start_ms INTEGER NOT NULL, end_ms INTEGER, gpu TEXT NOT NULL, disk TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_stretch ON stretches (label) WHERE end_ms IS NULL;
CREATE INDEX stretches_by_end ON stretches (end_ms);
CREATE TABLE traffic (
    seq INTEGER PRIMARY KEY, label TEXT NOT NULL REFERENCES machines, phase TEXT NOT NULL, at_ms INTEGER NOT NULL,
    down_bytes INTEGER NOT NULL, up_bytes INTEGER NOT NULL, down TEXT NOT NULL, up TEXT NOT NULL
) STRICT;
CREATE INDEX traffic_by_label ON traffic (label);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, which its owner alone may read; raises `LedgerError` and leaves it untouched."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        # check_same_thread: the file may be closed by another thread than the one that opened it.
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"the ledger {path} cannot be opened: {error}; may this user write there?") from error
    try:
        _prepare(db, path)
    except sqlite3.DatabaseError as error:
        db.close()
        raise LedgerError(f"the ledger {path} is unreadable ({error}); it was left untouched") from error
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    """All or nothing; `begin` is the statement that opens it."""
    db.execute(begin)
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def identity_of(db: sqlite3.Connection) -> str:
    """The random id by which this ledger is told apart from all others, made where there is none yet."""
    with transaction(db, "BEGIN IMMEDIATE"):
        db.execute("CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL) STRICT")
        db.execute("INSERT INTO identity SELECT lower(hex(randomblob(8))) WHERE NOT EXISTS (SELECT 1 FROM identity)")
        found = str(db.execute("SELECT id FROM identity").fetchone()[0])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # a copy of this file alone is the same ledger, too
    return found


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA synchronous = FULL")
    names = ("application_id", "user_version")
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    if (application, version) == (APPLICATION_ID, VERSION):
        return
    if application == APPLICATION_ID:
        raise LedgerError(f"the ledger {path} is of version {version}, expected {VERSION}: update the workbench")
    if application or _tables(db):
        raise LedgerError(f"{path} is another program's database, expected a ledger: name another file")
    db.execute("PRAGMA journal_mode = WAL")
    with transaction(db, "BEGIN IMMEDIATE"):
        if not _tables(db):  # else another process was first
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")


def _tables(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
