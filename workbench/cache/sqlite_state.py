"""The small values in the SQLite file that its processes share: compare and swap on the table `states`."""

from __future__ import annotations

import sqlite3

from workbench.cache.store import State


def read_state(database: sqlite3.Connection, tenant: str, name: str) -> State | None:
    """What was last set under this name."""
    row = database.execute("SELECT value, version FROM states WHERE tenant = ? AND name = ?", (tenant, name)).fetchone()
    return State(row["value"], row["version"]) if row else None


def write_state(database: sqlite3.Connection, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
    """Set it if its version is still `expected`, within the caller's transaction."""
    if expected is None:
        statement = "INSERT INTO states (tenant, name, version, value) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING"
        return database.execute(statement, (tenant, name, value)).rowcount == 1
    statement = "UPDATE states SET version = version + 1, value = ? WHERE tenant = ? AND name = ? AND version = ?"
    return database.execute(statement, (value, tenant, name, expected)).rowcount == 1
