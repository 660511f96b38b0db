"""Entries in this process's memory: a store of its own (`memory:`), or a fast tier in front of another."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush, nlargest
from itertools import islice

from workbench.cache.store import Entry, Health, Neighbour, Page, State, StoreStats, Vector
from workbench.cache.vectors import VectorIndex, check_vector


@dataclass(frozen=True, slots=True)
class _Held:
    """An entry and its number; a higher number was stored later."""

    seq: int
    entry: Entry


class MemoryStore:
    """A `Store` that keeps everything in memory and forgets it at the end.

    It holds at most `max_bytes` of entries (by `Entry.size_bytes`); the least recently used make room. `get`
    counts as a use, `nearest` as one of the most similar entry. An entry larger than the limit is not kept.
    """

    url = "memory:"

    def __init__(self, *, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self.health = Health()
        self._max_bytes = max_bytes
        self._clock = clock
        self._seq = 0
        self._size_bytes = 0
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()  # the least recently used first
        self._keys: dict[int, tuple[str, str]] = {}
        self._digests: dict[tuple[str, str], str] = {}  # by tenant and id
        self._expiries: list[tuple[float, int]] = []  # a heap of (expires_s, seq), some of them gone
        self._states: dict[tuple[str, str], State] = {}
        # Made by the first `has_scope`: a tier in front of another store is never asked, and pays nothing.
        self._index: VectorIndex | None = None

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to release."""

    async def get(self, tenant: str, digest: str) -> Entry | None:
        """The entry with this digest."""
        key = (tenant, digest)
        held = self._held.get(key)
        if held is None or held.entry.expires_s <= self._clock():
            return None
        self._held.move_to_end(key)
        return held.entry

    async def find(self, tenant: str, id: str) -> Entry | None:
        """The entry with this public id; it counts as no use."""
        held = self._held.get((tenant, self._digests.get((tenant, id), "")))
        return held.entry if held and held.entry.expires_s > self._clock() else None

    def touch(self, tenant: str, digest: str) -> None:
        """Somebody else served this entry: it counts as a use."""
        if (tenant, digest) in self._held:
            self._held.move_to_end((tenant, digest))

    def has_scope(self, tenant: str, scope: str) -> bool:
        """Whether any entry of this scope has a vector or is pending."""
        return self._vectors().holds(tenant, scope)

    async def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[Neighbour]:
        """At most `k` entries of this scope that have a vector, the most similar first."""
        check_vector(vector)
        self._forget_expired()
        keys = [
            (self._keys[seq], similarity) for seq, similarity in self._vectors().nearest(tenant, scope, vector, k=k)
        ]
        if keys:
            self._held.move_to_end(keys[0][0])
        return [Neighbour(self._held[key].entry, similarity) for key, similarity in keys]

    async def pending(self, tenant: str, scope: str, *, limit: int) -> list[Entry]:
        """The newest pending entries of this scope."""
        if not self._vectors().waits(tenant, scope):
            return []
        self._forget_expired()
        return [self._held[self._keys[seq]].entry for seq in self._vectors().pending(tenant, scope)[:limit]]

    async def add_vectors(self, tenant: str, found: Sequence[tuple[Entry, Vector]]) -> None:
        """Give pending entries their vectors; the least recently used make room for these."""
        for _, vector in found:
            check_vector(vector)
        self._forget_expired()
        for entry, vector in found:
            held = self._held.get((tenant, entry.digest))
            if held and held.entry.pending and (held.entry.scope, held.entry.text) == (entry.scope, entry.text):
                self._replace(tenant, held, replace(held.entry, vector=vector))
        self._make_room()

    async def put(self, tenant: str, entry: Entry) -> None:
        """Keep it, replacing one with the same digest; the least recently used make room."""
        if entry.vector is not None:
            check_vector(entry.vector)
        self._forget_expired()
        self._remove((tenant, entry.digest))
        if entry.size_bytes > self._max_bytes:
            return
        self._add((tenant, entry.digest), entry)
        self._make_room()

    async def delete(self, tenant: str, id: str) -> Entry | None:
        """Remove an entry; returns it, or None when there was none."""
        self._forget_expired()
        key = (tenant, self._digests.get((tenant, id), ""))
        return self._remove(key)

    async def withdraw(self, tenant: str, id: str) -> Entry | None:
        """Serve it by meaning no more; it still answers its own identical request."""
        self._forget_expired()
        key = (tenant, self._digests.get((tenant, id), ""))
        held = self._held.get(key)
        if held is None:
            return None
        withdrawn = replace(held.entry, scope="", vector=None)
        self._replace(tenant, held, withdrawn)
        return withdrawn

    async def entries(self, tenant: str, *, query: str = "", limit: int = 100) -> list[Entry]:
        """The newest entries whose text contains `query`, whatever its case."""
        self._forget_expired()
        folded = query.casefold()
        found = (
            (held.seq, held)
            for (owner, _), held in self._held.items()
            if owner == tenant and folded in held.entry.text.casefold()
        )
        return [held.entry for _, held in nlargest(limit, found)]

    async def scan(self, *, after: str = "", limit: int = 64) -> Page:
        """A page of all tenants' entries, the oldest first."""
        self._forget_expired()
        last = int(after or 0)
        found = list(islice(((seq, key) for seq, key in self._keys.items() if seq > last), limit))
        page = tuple((key[0], self._held[key].entry) for _, key in found)
        return Page(page, str(found[-1][0]) if len(found) == limit else None)

    async def stats(self) -> StoreStats:
        """How full it is."""
        self._forget_expired()
        return StoreStats(len(self._held), self._size_bytes, self._max_bytes)

    async def changes(self) -> frozenset[tuple[str, str]]:
        """Nothing: no other process sees this memory."""
        return frozenset()

    def clear(self) -> None:
        """Forget all entries: as a tier in front of a store that no longer tells what changed."""
        for key in list(self._held):
            self._remove(key)

    async def state(self, tenant: str, name: str) -> State | None:
        """What was last set under this name."""
        return self._states.get((tenant, name))

    async def set_state(self, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
        """Set it if its version is still `expected`."""
        held = self._states.get((tenant, name))
        if (held.version if held else None) != expected:
            return False
        self._states[tenant, name] = State(value, (expected or 0) + 1)
        return True

    def _add(self, key: tuple[str, str], entry: Entry) -> None:
        self._seq += 1
        self._held[key] = _Held(self._seq, entry)
        self._keys[self._seq] = key
        self._digests[key[0], entry.id] = entry.digest
        self._size_bytes += entry.size_bytes
        heappush(self._expiries, (entry.expires_s, self._seq))
        if self._index is not None:
            _index(self._index, key[0], self._held[key])

    def _replace(self, tenant: str, held: _Held, entry: Entry) -> None:
        """The same entry with another vector or scope: it stays as old, and as long unused, as it was."""
        changed = self._held[tenant, entry.digest] = _Held(held.seq, entry)
        self._size_bytes += entry.size_bytes - held.entry.size_bytes
        if self._index is not None:
            _index(self._index, tenant, changed)

    def _make_room(self) -> None:
        while self._size_bytes > self._max_bytes:
            self._remove(next(iter(self._held)))

    def _remove(self, key: tuple[str, str]) -> Entry | None:
        held = self._held.pop(key, None)
        if held is None:
            return None
        del self._keys[held.seq]
        if self._digests.get((key[0], held.entry.id)) == held.entry.digest:
            del self._digests[key[0], held.entry.id]
        self._size_bytes -= held.entry.size_bytes
        if self._index is not None:
            self._index.remove(held.seq)
        return held.entry

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            _, seq = heappop(self._expiries)
            if seq in self._keys:
                self._remove(self._keys[seq])
        if len(self._expiries) > 2 * len(self._held) + 64:  # what was replaced or evicted long before its time
            self._expiries = [(held.entry.expires_s, held.seq) for held in self._held.values()]
            heapify(self._expiries)

    def _vectors(self) -> VectorIndex:
        if self._index is None:
            self._index = VectorIndex()
            for (tenant, _), held in self._held.items():
                _index(self._index, tenant, held)
        return self._index


def _index(index: VectorIndex, tenant: str, held: _Held) -> None:
    entry = held.entry
    if entry.pending or (entry.scope and entry.vector is not None):
        index.add(held.seq, tenant, entry.scope, entry.vector)
    else:
        index.remove(held.seq)
