"""What one process keeps of a shared SQLite file: its vectors, how far it has read, and uses not yet written.

Other processes' additions are found by `seq`, which only grows; what they replaced, removed, withdrew or gave a
vector stands in the table `changes`. So a look costs what has changed, not what is there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from workbench.cache.sqlite_rows import vector_of
from workbench.cache.vectors import VectorIndex


class Marks(NamedTuple):
    """How far the file goes, or is known: the highest `entries.seq` and `changes.id`."""

    seq: int
    change: int


class Replica:
    """The searchable vectors of one file, what waits for one, and the entries that other processes changed.

    `handed_out` are the (tenant, digest) that a tier above may hold; `changed` those it should drop. Both are the
    owner's to add to and to empty.
    """

    def __init__(self, *, fingerprint: str) -> None:
        self.index = VectorIndex()
        self.handed_out: set[tuple[str, str]] = set()
        self.changed: set[tuple[str, str]] = set()
        self._fingerprint = fingerprint
        self._marks = Marks(0, 0)
        self._data_version = 0

    def start(self, database: sqlite3.Connection) -> None:
        """Read a file for the first time; all that was handed out before came from another one."""
        self.changed |= self.handed_out
        self.handed_out.clear()
        self._data_version = _data_version(database)
        with snapshot(database):
            self._reload(database)

    def look(self, database: sqlite3.Connection) -> None:
        """Take over what other processes did since the last look."""
        data_version = _data_version(database)  # before the rows: what comes between is seen at the next look
        if data_version == self._data_version:
            return
        with snapshot(database):
            self._take_over(database)
        self._data_version = data_version

    def skip_to(self, marks: Marks) -> None:
        """Call it after a transaction of our own that began with `look`: what it wrote needs no taking over."""
        self._marks = marks

    def _take_over(self, database: sqlite3.Connection) -> None:
        rows = database.execute("SELECT * FROM changes WHERE id > ?", (self._marks.change,)).fetchall()
        if read_marks(database).change - self._marks.change != len(rows):  # some were trimmed before we came
            self.changed |= self.handed_out
            self._reload(database)
            return
        kept = self._load(database, since=self._marks)
        for row in rows:
            if row["seq"] not in kept:
                self.index.remove(row["seq"])
            self.changed.add((row["tenant"], row["digest"]))

    def _reload(self, database: sqlite3.Connection) -> None:
        self.index.clear()
        self._load(database, since=Marks(0, read_marks(database).change))

    def _load(self, database: sqlite3.Connection, *, since: Marks) -> set[int]:
        """Hold what was added or changed and may be searched or is pending; returns the `seq` of each."""
        rows = database.execute(
            "SELECT entries.seq, tenant, scope, vector FROM entries"
            " LEFT JOIN vectors ON vectors.seq = entries.seq AND vectors.fingerprint = ?"
            " WHERE (entries.seq > ? OR entries.seq IN (SELECT seq FROM changes WHERE id > ?)) AND scope <> ''"
            " AND (vector IS NOT NULL OR text <> '')",
            (self._fingerprint, since.seq, since.change),
        )
        kept = set()
        for row in rows:
            vector = None if row["vector"] is None else vector_of(row["vector"])
            self.index.add(row["seq"], row["tenant"], row["scope"], vector)
            kept.add(row["seq"])
        self._marks = read_marks(database)
        return kept


class Uses:
    """When entries were last used, in Unix seconds by `seq`, as far as the file does not know it yet."""

    def __init__(self) -> None:
        self._used_s: dict[int, float] = {}
        self._last_s = 0.0

    def start(self, database: sqlite3.Connection) -> None:
        """Read a file for the first time."""
        self._used_s.clear()
        self._last_s = database.execute("SELECT MAX(used_s) FROM uses").fetchone()[0] or 0.0

    def next_s(self, now_s: float) -> float:
        """Now, and always later than the last, so that the order of uses is never in doubt."""
        self._last_s = max(now_s, self._last_s + 1e-6)
        return self._last_s

    def note(self, seq: int, now_s: float) -> None:
        """An entry is used now."""
        self._used_s[seq] = self.next_s(now_s)

    def forget(self, seq: int) -> None:
        """The entry is gone."""
        self._used_s.pop(seq, None)

    def write(self, database: sqlite3.Connection) -> None:
        """Tell the file, and forget."""
        database.executemany(
            "UPDATE uses SET used_s = MAX(used_s, ?) WHERE seq = ?",
            [(used_s, seq) for seq, used_s in self._used_s.items()],
        )
        self._used_s.clear()


@contextmanager
def snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """Reads that see one state of the file; inside a transaction they do so anyway."""
    if database.in_transaction:
        yield
        return
    database.execute("BEGIN")
    try:
        yield
    finally:
        if database.in_transaction:
            database.execute("COMMIT")


def read_marks(database: sqlite3.Connection) -> Marks:
    """How far the file goes now."""
    counters = dict(database.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    return Marks(seq=counters.get("entries", 0), change=counters.get("changes", 0))


def _data_version(database: sqlite3.Connection) -> int:
    """A number that changes when, and only when, another connection has written."""
    version: int = database.execute("PRAGMA data_version").fetchone()[0]
    return version
