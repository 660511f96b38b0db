"""Where entries are kept: the protocol that all stores follow.

The payload is opaque bytes here; tenants are kept apart by every call. `MemoryStore` keeps everything in
memory, within a limit in bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""One embedding: shape (d,), unit length."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One stored reply and what it may be found by.

    `digest`, `scope` and `outer_scope` are hex SHA-256 of the canonical request, of the same without the
    question, and of the same without any turn's text. `scope` is empty when the entry may only be served for an
    identical request, and the outer one where it is matched turn by turn; only then there are `turns`. With a scope
    and a text but no `vector` it is pending: it will be embedded when somebody asks in its scope again. Times are Unix
    seconds; `expires_s` is absolute and never slides. `tokens` is what a Thinker writes where this is not served; a
    store that has to choose keeps those that save most, and may forget it.
    """

    digest: str
    payload: bytes
    model: str
    created_s: float
    expires_s: float
    scope: str = ""
    outer_scope: str = ""
    text: str = ""
    turns: tuple[str, ...] = ()
    vector: Vector | None = None
    tokens: int = 0

    @property
    def id(self) -> str:
        """The entry's public name, unique within its tenant."""
        return self.digest[:16]

    @property
    def pending(self) -> bool:
        """Whether its text waits to be embedded."""
        return self.vector is None and bool(self.scope and self.text)

    @property
    def size_bytes(self) -> int:
        """About what it takes: payload, texts, vector and some overhead."""
        texts = len(self.text) + sum(map(len, self.turns))
        vector = 0 if self.vector is None else self.vector.nbytes
        return len(self.payload) + texts + vector + 512


@dataclass(frozen=True, slots=True, eq=False)
class Neighbour:
    """An entry near a vector; `similarity` is their cosine (1 = identical)."""

    entry: Entry
    similarity: float


@dataclass(frozen=True, slots=True)
class State:
    """A small value that all processes of a store share; `version` counts its writes, from 1."""

    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store holds now, all tenants together."""

    entries: int
    size_bytes: int
    max_bytes: int


@dataclass(slots=True)
class Health:
    """How a store does: why it cannot be asked now ("" while it can), and what went wrong how often, by kind."""

    down: str = ""
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a store's entries, each with its tenant; `after` leads to the next page, None where there is none.

    A page may be empty and not the last.
    """

    found: tuple[tuple[str, Entry], ...]
    after: str | None


class Store(Protocol):
    """Entries by tenant and digest, and by meaning within a scope. Expired entries are never returned.

    Every method raises `StoreError` on a fault. `id` is `Entry.id`.
    """

    url: str
    """The address as the user gave it, without secrets."""

    health: Health
    """How it does; reading it costs nothing."""

    async def open(self) -> None:
        """Make it ready; raises `StoreUnusable` when the file is unreadable or from a newer version."""

    async def close(self) -> None:
        """Flush and release everything."""

    async def get(self, tenant: str, digest: str) -> Entry | None:
        """The entry with this digest."""

    def has_scope(self, tenant: str, scope: str) -> bool:
        """Whether any entry of this scope has a vector or is pending; asked first: to embed a question costs far more.

        Waits for nothing. May say yes when all of them have expired; what another process stored counts after the
        next `changes`.
        """

    async def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[Neighbour]:
        """At most `k` entries of this scope that have a vector, the most similar first."""

    async def pending(self, tenant: str, scope: str, *, limit: int) -> list[Entry]:
        """The newest pending entries of this scope; costs nothing when there is none. It counts as no use.

        What another process stored counts after the next `changes`.
        """

    async def add_vectors(self, tenant: str, found: Sequence[tuple[Entry, Vector]]) -> None:
        """Give pending entries their vectors; the least recently used make room for these.

        One that was removed, replaced, withdrawn, or given a vector since it was read stays as it is now.
        """

    async def find(self, tenant: str, id: str) -> Entry | None:
        """The entry with this public id; it counts as no use."""

    def touch(self, tenant: str, digest: str) -> None:
        """A memory tier in front served this entry: it counts as a use. Costs nothing and waits for nothing."""

    async def put(self, tenant: str, entry: Entry) -> None:
        """Store it durably, replacing one with the same digest; the least recently used make room."""

    async def delete(self, tenant: str, id: str) -> Entry | None:
        """Remove an entry; returns it, or None when there was none."""

    async def withdraw(self, tenant: str, id: str) -> Entry | None:
        """Serve it by meaning no more (somebody saw it wrong); it still answers its own identical request."""

    async def entries(self, tenant: str, *, query: str = "", limit: int = 100) -> list[Entry]:
        """The newest entries whose text contains `query`, whatever its case."""

    async def scan(self, *, after: str = "", limit: int = 64) -> Page:
        """A page of all tenants' entries, about `limit` of them; `after` is the last page's, "" for the first.

        Whoever follows the pages to the end sees each entry that is there all the while, perhaps twice. It counts
        as no use. An entry that only another embedder has read is pending.
        """

    async def stats(self) -> StoreStats:
        """How full it is."""

    async def changes(self) -> frozenset[tuple[str, str]] | None:
        """(tenant, digest) of every entry that ANOTHER process replaced, removed or withdrew since the last call.

        One that it gave a vector may be among them. None when it cannot be known: any entry may. A memory tier in
        front of the store drops these; asked at most every half second.
        """

    async def state(self, tenant: str, name: str) -> State | None:
        """What was last set under this name. It is no entry: it is not counted, never expires and is never evicted."""

    async def set_state(self, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
        """Set it durably if its version is still `expected` (None: there is none yet); False, and no change, if not."""


async def walk(store: Store) -> AsyncGenerator[tuple[str, Entry], None]:
    """Every entry of all tenants, each with its tenant, by `Store.scan`; raises `StoreError`."""
    after: str | None = ""
    while after is not None:
        page = await store.scan(after=after)
        for found in page.found:
            yield found
        after = page.after
