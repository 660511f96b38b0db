"""The embedded default store: one SQLite file that several processes may share.

All work is done in one thread of its own, so the event loop never waits for the disk. A caller that is cancelled
leaves at once; what it asked for is then done completely or, when its turn had not come, not at all.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from workbench.cache.sqlite_file import SqliteFile
from workbench.cache.store import Entry, Health, Neighbour, Page, State, StoreStats, Vector
from workbench.errors import StoreError, StoreUnusable

T = TypeVar("T")

MAX_BYTES = 2 * 1024**3


class SqliteStore:
    """A `Store` in the file at `path`, made with its folder when there is none; its owner alone may read it.

    It holds at most `max_bytes` of entries (by `Entry.size_bytes`; the file is somewhat larger and never shrinks);
    the least recently used make room. `get` counts as a use, `nearest` as one of the most similar entry. An entry
    larger than the limit is not kept. `fingerprint` names the embedder: vectors of another one are kept beside its own
    and never searched; what only another one has read is pending.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
        url: str = "",
        fingerprint: str = "",
    ) -> None:
        self.url = url or f"sqlite:///{path}"
        self.health = Health()
        self._file = SqliteFile(Path(path), max_bytes=max_bytes, clock=clock, fingerprint=fingerprint)
        self._thread: ThreadPoolExecutor | None = None
        self._touched: dict[tuple[str, str], None] = {}  # in order of their last use, not yet told to the file

    async def open(self) -> None:
        """Open or create the file and load its vectors; raises `StoreUnusable` and leaves the file untouched."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-store")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Write what is pending and let go of the file; nothing happens when it is not open."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            touched = self._take_touched()
            await asyncio.get_running_loop().run_in_executor(thread, lambda: self._file.close(touched))
        finally:
            thread.shutdown(wait=False)

    async def get(self, tenant: str, digest: str) -> Entry | None:
        """The entry with this digest, as it is in the file now."""
        return await self._do(lambda: self._file.get(tenant, digest))

    async def find(self, tenant: str, id: str) -> Entry | None:
        """The entry with this public id; it counts as no use."""
        return await self._do(lambda: self._file.find(tenant, id))

    def touch(self, tenant: str, digest: str) -> None:
        """Somebody else served this entry: it counts as a use before the next eviction."""
        self._touched.pop((tenant, digest), None)
        self._touched[tenant, digest] = None

    def has_scope(self, tenant: str, scope: str) -> bool:
        """Whether any entry of this scope has a vector or is pending; a look into memory, no turn in the thread."""
        return self._file.has_scope(tenant, scope)

    async def pending(self, tenant: str, scope: str, *, limit: int) -> list[Entry]:
        """The newest pending entries of this scope, as they are in the file now."""
        if not self._file.has_pending(tenant, scope):
            return []
        return await self._do(lambda: self._file.pending(tenant, scope, limit=limit))

    async def add_vectors(self, tenant: str, found: Sequence[tuple[Entry, Vector]]) -> None:
        """Give pending entries their vectors; the least recently used make room for these."""
        await self._do(lambda: self._file.add_vectors(tenant, found))

    async def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[Neighbour]:
        """At most `k` entries of this scope that have a vector, the most similar first."""
        return await self._do(lambda: self._file.nearest(tenant, scope, vector, k=k))

    async def put(self, tenant: str, entry: Entry) -> None:
        """Store it, replacing one with the same digest; on return it survives a killed process."""
        touched = self._take_touched()
        await self._do(lambda: self._file.put(tenant, entry, touched=touched))

    async def delete(self, tenant: str, id: str) -> Entry | None:
        """Remove an entry; returns it, or None when there was none."""
        return await self._do(lambda: self._file.delete(tenant, id))

    async def withdraw(self, tenant: str, id: str) -> Entry | None:
        """Serve it by meaning no more; it still answers its own identical request."""
        return await self._do(lambda: self._file.withdraw(tenant, id))

    async def entries(self, tenant: str, *, query: str = "", limit: int = 100) -> list[Entry]:
        """The newest entries whose text contains `query`, whatever its case."""
        return await self._do(lambda: self._file.entries(tenant, query=query, limit=limit))

    async def scan(self, *, after: str = "", limit: int = 64) -> Page:
        """A page of all tenants' entries, the oldest first."""
        return await self._do(lambda: self._file.scan(after=after, limit=limit))

    async def stats(self) -> StoreStats:
        """How full it is."""
        return await self._do(self._file.stats)

    async def changes(self) -> frozenset[tuple[str, str]]:
        """(tenant, digest) of what other processes replaced, removed, evicted or withdrew since the last call."""
        return await self._do(self._file.changes)

    async def state(self, tenant: str, name: str) -> State | None:
        """What was last set under this name, as it is in the file now."""
        return await self._do(lambda: self._file.state(tenant, name))

    async def set_state(self, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
        """Set it if its version is still `expected`; on return it survives a killed process."""
        return await self._do(lambda: self._file.set_state(tenant, name, value, expected=expected))

    def _take_touched(self) -> list[tuple[str, str]]:
        touched, self._touched = list(self._touched), {}
        return touched

    async def _do(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"the store {self.url} is not open; open() comes first")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError, UnicodeError, StoreUnusable) as error:
            raise StoreError(f"the store {self.url} failed: {error}") from error
