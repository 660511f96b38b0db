"""Between entries and what Redis is told of them: arguments for its scripts, and entries from its answers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from workbench.cache.redis_codec import Unreadable, VectorFormat, decode, encode, pairs
from workbench.cache.redis_index import cosines
from workbench.cache.redis_keys import Keys
from workbench.cache.redis_link import Argument
from workbench.cache.store import Entry, Health, Neighbour, Vector
from workbench.errors import StoreError

log = logging.getLogger(__name__)

HALF_LIFE_S = 6 * 3600.0
"""An entry that saves twice the tokens stays as if it had been used so much later: tokens × 2^(−idle ÷ half-life)
puts entries in the same order as this sum does, which no time changes."""

MOST_TOUCHED = 1_000
"""How many uses are told at once."""


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """`max_bytes` of entries (by `Entry.size_bytes`) for each tenant, and the size of the largest entry."""

    max_bytes: int = 2 * 1024**3
    entry_max_bytes: int = 8 * 1024**2


class Rows:
    """Reads and writes entries for one embedder; what is garbage is counted, and is no entry."""

    def __init__(self, keys: Keys, *, fingerprint: str, clock: Callable[[], float], health: Health) -> None:
        self._keys = keys
        self._fingerprint = fingerprint
        self._clock = clock
        self._health = health

    def entry(self, flat: list[bytes], *, kind: VectorFormat) -> Entry | None:
        """The entry in fields and values; None when it expired, or is none: the next answer takes its place."""
        if not flat:
            return None
        try:
            entry = decode(pairs(flat), fingerprint=self._fingerprint, kind=kind)
        except Unreadable as error:
            self._health.counts["garbage"] += 1
            log.warning("store.unreadable_entry error=%r", error)
            return None
        return entry if entry.expires_s > self._clock() else None

    def neighbours(self, rows: list[list[bytes]], vector: Vector, *, kind: VectorFormat) -> list[Neighbour]:
        """Those that are alive, the most similar first, of equals the newest."""
        found = [(row, entry, entry.vector) for row in rows if (entry := self.entry(row, kind=kind))]
        near = [(row, entry, held) for row, entry, held in found if held is not None and entry.scope]
        similarities = cosines([held for _, _, held in near], vector)
        ranked = sorted(
            (-similarity, -int(pairs(row)[b"q"]), place)
            for place, (similarity, (row, _, _)) in enumerate(zip(similarities, near, strict=True))
        )
        return [Neighbour(near[place][1], -similarity) for similarity, _, place in ranked]

    def put_args(
        self, tenant: str, entry: Entry, *, kind: VectorFormat, touched: list[str], entry_max_bytes: int
    ) -> list[Argument]:
        """What `redis_scripts.PUT` wants; raises `StoreError` for what cannot be written."""
        too_large = entry.size_bytes > entry_max_bytes
        self._health.counts["too-large"] += too_large
        ttl_ms = 0 if too_large else math.ceil((entry.expires_s - self._clock()) * 1e3)
        scoped = bool(entry.scope and (entry.vector is not None or entry.pending))
        try:
            fields = encode(entry, tenant, self._keys, fingerprint=self._fingerprint, kind=kind)
        except (TypeError, UnicodeError) as error:
            raise StoreError(f"the entry cannot be written: {error}") from error
        return [
            len(touched), *touched, self._keys.ref(tenant, entry.digest), entry.size_bytes,
            f"{HALF_LIFE_S * math.log2(1 + entry.tokens):.6f}", ttl_ms, repr(entry.expires_s),
            self._keys.scope(tenant, entry.scope) if scoped else "-", int(entry.pending), *fields,
        ]  # fmt: skip


class Uses:
    """What was used and Redis does not know yet, in the order of the last use."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._touched: dict[tuple[str, str], None] = {}

    @property
    def tenants(self) -> set[str]:
        """Whose entries they are."""
        return {tenant for tenant, _ in self._touched}

    def add(self, tenant: str, digest: str) -> None:
        """This one now; the oldest are forgotten when the server is away for long."""
        self._touched.pop((tenant, digest), None)
        self._touched[tenant, digest] = None
        if len(self._touched) > 10 * MOST_TOUCHED:
            del self._touched[next(iter(self._touched))]

    def take(self, tenant: str) -> list[str]:
        """Some of a tenant's, by the last part of their keys."""
        mine = [key for key in self._touched if key[0] == tenant][:MOST_TOUCHED]
        for key in mine:
            del self._touched[key]
        return [self._keys.ref(*key) for key in mine]
