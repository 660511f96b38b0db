"""What a row of the SQLite file holds, and the statements that read and write one."""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from workbench.cache.store import Entry, Page, Vector

SELECT = (
    "SELECT entries.*, vectors.vector FROM entries"
    " LEFT JOIN vectors ON vectors.seq = entries.seq AND vectors.fingerprint = ?"
)
"""The rows that `entry_of` reads; its one parameter is the embedder's fingerprint. What follows begins with WHERE."""


def entry_of(row: sqlite3.Row) -> Entry:
    """The entry in a row of `SELECT`; what this embedder has not read is pending."""
    return Entry(
        digest=row["digest"],
        payload=row["payload"],
        model=row["model"],
        created_s=row["created_s"],
        expires_s=row["expires_s"],
        scope=row["scope"],
        outer_scope=row["outer_scope"],
        text=row["text"],
        turns=tuple(json.loads(row["turns"])),
        vector=None if row["vector"] is None else vector_of(row["vector"]),
    )


def read_named(
    database: sqlite3.Connection, fingerprint: str, tenant: str, id: str, *, now_s: float
) -> sqlite3.Row | None:
    """The row of the entry with this public id."""
    row: sqlite3.Row | None = database.execute(
        f"{SELECT} WHERE tenant = ? AND digest BETWEEN ? AND ? AND substr(digest, 1, 16) = ?"
        " AND expires_s > ? ORDER BY digest LIMIT 1",
        (fingerprint, tenant, id, id + "\U0010ffff", id, now_s),
    ).fetchone()
    return row


def read_newest(
    database: sqlite3.Connection, fingerprint: str, tenant: str, query: str, *, limit: int, now_s: float
) -> list[Entry]:
    """The newest entries whose text contains `query`; the connection must have `contains`."""
    # The pluses keep SQLite off the indexes, so that it walks from the newest on and stops at the limit.
    rows = database.execute(
        f"{SELECT} WHERE +tenant = ? AND +expires_s > ? AND contains(text, ?) ORDER BY entries.seq DESC LIMIT ?",
        (fingerprint, tenant, now_s, query.casefold(), max(limit, 0)),
    )
    return [entry_of(row) for row in rows]


def contains(text: str, folded: str) -> bool:
    """SQL's `contains`: whatever the case, in any language."""
    return folded in text.casefold()


def read_page(database: sqlite3.Connection, fingerprint: str, *, after: str, limit: int, now_s: float) -> Page:
    """Entries of all tenants behind the `seq` in `after`, the oldest first."""
    rows = database.execute(
        f"{SELECT} WHERE entries.seq > ? AND +expires_s > ? ORDER BY entries.seq LIMIT ?",
        (fingerprint, int(after or 0), now_s, limit),
    ).fetchall()
    found = tuple((row["tenant"], entry_of(row)) for row in rows)
    return Page(found, str(rows[-1]["seq"]) if len(rows) == limit else None)


def insert_entry(database: sqlite3.Connection, tenant: str, entry: Entry, *, fingerprint: str) -> int:
    """Add an entry, with its vector if it has one; returns its `seq`."""
    inserted = database.execute(
        "INSERT INTO entries (tenant, digest, model, created_s, expires_s, size_bytes, scope, outer_scope,"
        " text, turns, payload) VALUES (:tenant, :digest, :model, :created_s, :expires_s, :size_bytes, :scope,"
        " :outer_scope, :text, :turns, :payload) RETURNING seq",
        _row_of(tenant, entry),
    )
    seq: int = inserted.fetchone()["seq"]
    if entry.vector is not None:
        _insert_vector(database, seq, entry.vector, fingerprint=fingerprint)
    return seq


def give_vector(
    database: sqlite3.Connection, tenant: str, entry: Entry, vector: Vector, *, fingerprint: str, now_s: float
) -> int | None:
    """Returns its `seq`; None, and nothing is changed, when this is not the same pending entry any more."""
    row = database.execute(
        "SELECT seq FROM entries WHERE tenant = :tenant AND digest = :digest AND scope = :scope AND scope <> ''"
        " AND text = :text AND text <> '' AND expires_s > :now_s AND NOT EXISTS"
        " (SELECT 1 FROM vectors WHERE vectors.seq = entries.seq AND vectors.fingerprint = :fingerprint)",
        {
            "fingerprint": fingerprint,
            "tenant": tenant,
            "digest": entry.digest,
            "scope": entry.scope,
            "text": entry.text,
            "now_s": now_s,
        },
    ).fetchone()
    if row is None:
        return None
    seq: int = row["seq"]
    _insert_vector(database, seq, vector, fingerprint=fingerprint)
    # Its trigger is also what tells other processes of the vector.
    database.execute("UPDATE entries SET size_bytes = size_bytes + ? WHERE seq = ?", (vector.nbytes, seq))
    return seq


def _insert_vector(database: sqlite3.Connection, seq: int, vector: Vector, *, fingerprint: str) -> None:
    database.execute("INSERT INTO vectors VALUES (?, ?, ?)", (seq, fingerprint, _blob_of(vector)))


def _row_of(tenant: str, entry: Entry) -> dict[str, str | bytes | float]:
    """The columns of `entries` for an entry, but for `seq`."""
    return {
        "tenant": tenant,
        "digest": entry.digest,
        "model": entry.model,
        "created_s": entry.created_s,
        "expires_s": entry.expires_s,
        "size_bytes": entry.size_bytes,
        "scope": entry.scope,
        "outer_scope": entry.outer_scope,
        "text": entry.text,
        "turns": json.dumps(entry.turns),
        "payload": entry.payload,
    }


def _blob_of(vector: Vector) -> bytes:
    """Little-endian float32."""
    return vector.astype("<f4").tobytes()


def vector_of(blob: bytes) -> Vector:
    """The vector in what `_blob_of` made."""
    return np.frombuffer(blob, "<f4")
