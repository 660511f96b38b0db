"""The entries in one SQLite file, for one thread; `SqliteStore` lets the event loop use it.

Vectors are searched in memory and only the winners are read from the file. Every transaction of our own first takes
over what other processes did, and afterwards skips what it wrote itself.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from workbench.cache.sqlite_replica import Replica, Uses, read_marks, snapshot
from workbench.cache.sqlite_rows import (
    SELECT,
    contains,
    entry_of,
    give_vector,
    insert_entry,
    read_named,
    read_newest,
    read_page,
)
from workbench.cache.sqlite_schema import file_number, open_database, unusable
from workbench.cache.sqlite_state import read_state, write_state
from workbench.cache.store import Entry, Neighbour, Page, State, StoreStats, Vector
from workbench.cache.vectors import check_vector
from workbench.errors import StoreUnusable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often `nearest` looks for what other processes added."""

FLUSH_EVERY_S = 60.0
"""How often the times of last use are written: a killed process forgets at most these."""

SEARCHABLE = f"{SELECT} WHERE entries.seq = ? AND expires_s > ? AND vector IS NOT NULL"
PENDING = f"{SELECT} WHERE entries.seq = ? AND expires_s > ? AND vector IS NULL AND scope <> ''"

UNOPENED = -1


class SqliteFile:
    """What `Store` promises, without the waiting; every method may raise `sqlite3.Error`, `OSError`, `StoreError`."""

    def __init__(self, path: Path, *, max_bytes: int, clock: Callable[[], float], fingerprint: str) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._fingerprint = fingerprint
        self._replica = Replica(fingerprint=fingerprint)
        self._uses = Uses()
        self._flushed_s = clock()
        self._looked_s = clock()
        self._file_number = UNOPENED

    def open(self) -> None:
        """Open or create the file and load its vectors; raises `StoreUnusable`."""
        self._db = open_database(self._path)
        try:
            self._db.create_function("contains", 2, contains, deterministic=True)
            self._replica.start(self._db)
            self._uses.start(self._db)
        except sqlite3.Error as error:
            self._db.close()
            raise unusable(self._path, f"is damaged ({error})") from error
        self._file_number = file_number(self._path)

    def close(self, touched: Sequence[tuple[str, str]] = ()) -> None:
        """Write the times of last use, and let go of the file."""
        if self._file_number == UNOPENED:
            return
        if file_number(self._path) == self._file_number:  # else there is nothing left to write to
            with suppress(sqlite3.Error):
                self._use(touched)
            self._flush_quietly()
        self._db.close()
        self._file_number = UNOPENED

    # ── the store's methods ─────────────────────────────────────────────────────────────────────────────────

    def get(self, tenant: str, digest: str) -> Entry | None:
        """The entry with this digest, as it is in the file now."""
        self._follow_the_path()
        rows = self._db.execute(
            f"{SELECT} WHERE tenant = ? AND digest = ? AND expires_s > ?",
            (self._fingerprint, tenant, digest, self._clock()),
        )
        row = rows.fetchone()
        if row is None:
            return None
        self._used(row["seq"])
        return self._hand_out(row)

    def find(self, tenant: str, id: str) -> Entry | None:
        """The entry with this public id; it counts as no use."""
        self._follow_the_path()
        row = self._named(tenant, id)
        return self._hand_out(row) if row else None

    def has_scope(self, tenant: str, scope: str) -> bool:
        """Whether this scope has a vector or something pending, as far as is known; safe to ask from any thread."""
        return self._replica.index.holds(tenant, scope)

    def has_pending(self, tenant: str, scope: str) -> bool:
        """Whether this scope has something pending, as far as is known; safe to ask from any thread."""
        return self._replica.index.waits(tenant, scope)

    def pending(self, tenant: str, scope: str, *, limit: int) -> list[Entry]:
        """The newest pending entries of this scope."""
        self._follow_the_path()
        self._look()
        found: list[Entry] = []
        for seq in self._replica.index.pending(tenant, scope):
            if len(found) == limit:
                break
            if row := self._read(PENDING, seq):
                found.append(self._hand_out(row))
            else:
                self._replica.index.remove(seq)
        return found

    def add_vectors(self, tenant: str, found: Sequence[tuple[Entry, Vector]]) -> None:
        """Give pending entries their vectors, but for those that are pending no more."""
        for _, vector in found:
            check_vector(vector)
        given: dict[int, tuple[Entry, Vector]] = {}
        with self._writing() as removed:
            for entry, vector in found:
                seq = give_vector(self._db, tenant, entry, vector, fingerprint=self._fingerprint, now_s=self._clock())
                if seq is not None:
                    given[seq] = (entry, vector)
            removed += self._make_room()
        for seq in given.keys() - {row["seq"] for row in removed}:
            entry, vector = given[seq]
            self._replica.index.add(seq, tenant, entry.scope, vector)

    def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[Neighbour]:
        """At most `k` entries of this scope, the most similar first."""
        check_vector(vector)
        self._follow_the_path()
        if abs(self._clock() - self._looked_s) >= LOOK_EVERY_S:
            self._look()
        while nearest := self._replica.index.nearest(tenant, scope, vector, k=k):
            rows = {seq: row for seq, _ in nearest if (row := self._read(SEARCHABLE, seq))}
            if len(rows) == len(nearest):
                self._used(nearest[0][0])
                return [Neighbour(self._hand_out(rows[seq]), similarity) for seq, similarity in nearest]
            for seq in {seq for seq, _ in nearest} - rows.keys():
                self._replica.index.remove(seq)
            for row in self._expired("SELECT seq FROM entries WHERE expires_s <= ?"):
                self._replica.index.remove(row["seq"])
        return []

    def put(self, tenant: str, entry: Entry, *, touched: Sequence[tuple[str, str]] = ()) -> None:
        """Store it; on return it survives the end of this process, however it ends.

        `touched` are (tenant, digest) of entries that were used elsewhere since, the latest last.
        """
        if entry.vector is not None:
            check_vector(entry.vector)
        self._use(touched)
        seq = None
        with self._writing() as removed:
            removed += self._expired("DELETE FROM entries WHERE expires_s <= ? RETURNING seq, tenant, digest")
            removed += self._db.execute(
                "DELETE FROM entries WHERE tenant = ? AND digest = ? RETURNING seq, tenant, digest",
                (tenant, entry.digest),
            )
            if entry.size_bytes <= self._max_bytes:
                seq = self._insert(tenant, entry)
                removed += self._make_room(kept_seq=seq)
        if seq is not None:
            self._replica.handed_out.add((tenant, entry.digest))
            if entry.pending or (entry.scope and entry.vector is not None):
                self._replica.index.add(seq, tenant, entry.scope, entry.vector)

    def delete(self, tenant: str, id: str) -> Entry | None:
        """Remove an entry and return it."""
        with self._writing() as removed:
            row = self._named(tenant, id)
            if row is None:
                return None
            self._db.execute("DELETE FROM entries WHERE seq = ?", (row["seq"],))
            removed.append(row)
        return entry_of(row)

    def withdraw(self, tenant: str, id: str) -> Entry | None:
        """Take an entry's vector and scope away and return the rest."""
        with self._writing():
            row = self._named(tenant, id)
            if row is None:
                return None
            entry = replace(entry_of(row), scope="", vector=None)
            self._db.execute(
                "UPDATE entries SET scope = '', size_bytes = ? WHERE seq = ?",
                (entry.size_bytes, row["seq"]),
            )
        self._replica.index.remove(row["seq"])
        return entry

    def entries(self, tenant: str, *, query: str, limit: int) -> list[Entry]:
        """The newest entries whose text contains `query`, whatever its case."""
        self._follow_the_path()
        return read_newest(self._db, self._fingerprint, tenant, query, limit=limit, now_s=self._clock())

    def scan(self, *, after: str, limit: int) -> Page:
        """A page of all entries, the oldest first."""
        self._follow_the_path()
        return read_page(self._db, self._fingerprint, after=after, limit=limit, now_s=self._clock())

    def stats(self) -> StoreStats:
        """How full it is, without what has expired."""
        self._follow_the_path()
        with snapshot(self._db):
            total = self._db.execute("SELECT entries, size_bytes FROM totals").fetchone()
            expired = [
                row["size_bytes"] for row in self._expired("SELECT size_bytes FROM entries WHERE expires_s <= ?")
            ]
        return StoreStats(total["entries"] - len(expired), total["size_bytes"] - sum(expired), self._max_bytes)

    def changes(self) -> frozenset[tuple[str, str]]:
        """What other processes replaced, removed or withdrew since the last call."""
        self._follow_the_path()
        self._look()
        changed = frozenset(self._replica.changed)
        self._replica.changed.clear()
        self._replica.handed_out -= changed
        return changed

    def state(self, tenant: str, name: str) -> State | None:
        """What was last set under this name."""
        self._follow_the_path()
        return read_state(self._db, tenant, name)

    def set_state(self, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
        """Set it if its version is still `expected`."""
        with self._writing():
            return write_state(self._db, tenant, name, value, expected=expected)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────

    def _hand_out(self, row: sqlite3.Row) -> Entry:
        self._replica.handed_out.add((row["tenant"], row["digest"]))
        return entry_of(row)

    def _use(self, keys: Sequence[tuple[str, str]]) -> None:
        for key in keys:
            row = self._db.execute("SELECT seq FROM entries WHERE tenant = ? AND digest = ?", key).fetchone()
            if row:
                self._used(row["seq"])

    def _used(self, seq: int) -> None:
        self._uses.note(seq, self._clock())
        if abs(self._clock() - self._flushed_s) >= FLUSH_EVERY_S:
            self._flush_quietly()

    def _read(self, statement: str, seq: int) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(statement, (self._fingerprint, seq, self._clock())).fetchone()
        return row

    def _named(self, tenant: str, id: str) -> sqlite3.Row | None:
        return read_named(self._db, self._fingerprint, tenant, id, now_s=self._clock())

    def _expired(self, statement: str) -> list[sqlite3.Row]:
        return self._db.execute(statement, (self._clock(),)).fetchall()

    def _insert(self, tenant: str, entry: Entry) -> int:
        seq = insert_entry(self._db, tenant, entry, fingerprint=self._fingerprint)
        self._db.execute("INSERT INTO uses (seq, used_s) VALUES (?, ?)", (seq, self._uses.next_s(self._clock())))
        return seq

    def _make_room(self, *, kept_seq: int = 0) -> list[sqlite3.Row]:
        """Remove the least recently used until the limit holds, but for `kept_seq`."""
        excess_bytes = self._db.execute("SELECT size_bytes FROM totals").fetchone()[0] - self._max_bytes
        if excess_bytes <= 0:
            return []
        self._flush_uses()
        # CROSS JOIN makes SQLite walk `uses` in the order of its index instead of sorting everything.
        oldest = self._db.execute(
            "SELECT seq, size_bytes, tenant, digest FROM uses CROSS JOIN entries USING (seq)"
            " WHERE seq <> ? ORDER BY used_s, seq",
            (kept_seq,),
        )
        removed = []
        while excess_bytes > 0 and (row := oldest.fetchone()):
            removed.append(row)
            excess_bytes -= row["size_bytes"]
        oldest.close()
        self._db.executemany("DELETE FROM entries WHERE seq = ?", [(row["seq"],) for row in removed])
        return removed

    def _flush_uses(self) -> None:
        self._flushed_s = self._clock()
        self._uses.write(self._db)

    def _flush_quietly(self) -> None:
        """Outside a transaction, where it is no reason to fail: only the order of eviction suffers."""
        try:
            with self._writing():
                self._flush_uses()
        except (sqlite3.Error, OSError, StoreUnusable) as error:
            log.debug("store.last_use_not_written error=%r", error)

    @contextmanager
    def _writing(self) -> Iterator[list[sqlite3.Row]]:
        """One transaction; the rows put into its list (seq, tenant, digest) are forgotten once they are removed."""
        self._follow_the_path()
        removed: list[sqlite3.Row] = []
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._look()  # what others wrote until here; from now on the file is ours alone
            yield removed
            marks = read_marks(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._replica.skip_to(marks)
        for row in removed:
            self._replica.index.remove(row["seq"])
            self._replica.handed_out.discard((row["tenant"], row["digest"]))
            self._uses.forget(row["seq"])

    def _look(self) -> None:
        self._looked_s = self._clock()
        self._replica.look(self._db)

    def _follow_the_path(self) -> None:
        """Start anew when somebody deleted or replaced the file: what is written to the old one is lost."""
        if file_number(self._path) == self._file_number:
            return
        log.warning("store.file_replaced path=%s", self._path)
        self._file_number = UNOPENED
        self._db.close()
        self.open()
