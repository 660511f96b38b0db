"""Which vectors of a scope lie nearest, exactly: one matrix a scope, one pass over it a question.

The vectors here are a copy of what a store holds, never the truth. Which entries wait for a vector stands here too.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from workbench.cache.store import Vector
from workbench.errors import StoreError

_NO_VECTOR: Vector = np.empty(0, np.float32)

ROUNDING = 1e-4
"""More than float32 can err in a dot product of unit vectors of any usual dimension."""


class _Place(NamedTuple):
    """Vectors of different dimensions (another embedder's) never meet; what is pending has dimension 0."""

    tenant: str
    scope: str
    dimension: int


class VectorIndex:
    """Vectors by tenant and scope. A key is the store's own number for an entry; a higher one is newer."""

    def __init__(self) -> None:
        self._groups: dict[_Place, _Group] = {}
        self._places: dict[int, _Place] = {}
        self._scopes: Counter[tuple[str, str]] = Counter()  # how many groups (dimensions) each has

    def __len__(self) -> int:
        return len(self._places)

    def add(self, key: int, tenant: str, scope: str, vector: Vector | None) -> None:
        """Hold a copy of a vector, shape (d,), unit length, or None for pending; it replaces what the key had."""
        vector = _NO_VECTOR if vector is None else vector
        before, place = self._places.get(key), _Place(tenant, scope, vector.size)
        if place not in self._groups:
            self._groups[place] = _Group(vector.size)
            self._scopes[tenant, scope] += 1
        self._groups[place].add(key, vector)
        self._places[key] = place
        # Last, so that to another thread that asks `holds` the scope is never empty in between.
        if before is not None and before != place:
            self._leave(before, key)

    def remove(self, key: int) -> None:
        """Forget a vector, or what is pending; one that is not there is no fault."""
        place = self._places.pop(key, None)
        if place is not None:
            self._leave(place, key)

    def _leave(self, place: _Place, key: int) -> None:
        group = self._groups[place]
        group.remove(key)
        if not group.keys:
            del self._groups[place]
            self._scopes[place.tenant, place.scope] -= 1
            if not self._scopes[place.tenant, place.scope]:
                del self._scopes[place.tenant, place.scope]

    def holds(self, tenant: str, scope: str) -> bool:
        """Whether this scope has anything, with a vector or pending; safe to ask from any thread."""
        return (tenant, scope) in self._scopes

    def waits(self, tenant: str, scope: str) -> bool:
        """Whether anything is pending in this scope; safe to ask from any thread."""
        return _Place(tenant, scope, 0) in self._groups

    def pending(self, tenant: str, scope: str) -> list[int]:
        """The keys that are pending in this scope, the newest first."""
        group = self._groups.get(_Place(tenant, scope, 0))
        return sorted(group.keys, reverse=True) if group else []

    def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[tuple[int, float]]:
        """(key, cosine) of the `k` nearest in this scope: the most similar first, of equals the newest."""
        group = self._groups.get(_Place(tenant, scope, vector.size))
        return group.nearest(vector.astype(np.float32, copy=False), k) if group and k > 0 else []

    def clear(self) -> None:
        """Forget everything."""
        self._groups.clear()
        self._places.clear()
        self._scopes.clear()


class _Group:
    """One scope's vectors: the rows before `len(keys)` are in use, in no order."""

    __slots__ = ("_row_of", "_rows", "keys")

    def __init__(self, dimension: int) -> None:
        self.keys: list[int] = []
        self._row_of: dict[int, int] = {}
        # One row at first: most scopes hold one entry only, and there may be very many scopes.
        self._rows = np.empty((1, dimension), np.float32)

    def add(self, key: int, vector: Vector) -> None:
        row = self._row_of.setdefault(key, len(self.keys))
        if row == len(self.keys):
            self.keys.append(key)
        if row == len(self._rows):
            self._rows = np.concatenate((self._rows, np.empty_like(self._rows)))
        self._rows[row] = vector

    def remove(self, key: int) -> None:
        row, last = self._row_of.pop(key), self.keys.pop()
        if key != last:
            self.keys[row] = last
            self._row_of[last] = row
            self._rows[row] = self._rows[len(self.keys)]

    def nearest(self, vector: Vector, k: int) -> list[tuple[int, float]]:
        rows = self._rows[: len(self.keys)]
        # Not `rows @ vector`: BLAS shares that out to threads, and with one core busy it took 20 ms in place of 0.4.
        candidates = _candidates(np.vecdot(rows, vector), k)
        # Again in float64, so that equal rows come out equal in every store and the newest of them goes first.
        similarities = (rows[candidates] * vector.astype(np.float64)).sum(axis=1).tolist()
        found = zip(similarities, (self.keys[row] for row in candidates), strict=True)
        return [(key, min(max(similarity, -1.0), 1.0)) for similarity, key in sorted(found, reverse=True)[:k]]


def _candidates(scores: Vector, k: int) -> list[int]:
    """The rows that may be among the best `k`, whatever the rounding."""
    if len(scores) <= k:
        return list(range(len(scores)))
    least = scores[np.argpartition(scores, -k)[-k]]
    candidates: list[int] = np.flatnonzero(scores >= least - ROUNDING).tolist()
    return candidates


def check_vector(vector: Vector) -> None:
    """Refuse what would spoil a whole scope; raises `StoreError`."""
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise StoreError(f"the vector has shape {vector.shape} or is not finite; expected one row of finite numbers")
