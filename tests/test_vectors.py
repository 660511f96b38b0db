"""The vector index against its slow, obvious twin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from workbench.cache.store import Vector
from workbench.cache.vectors import VectorIndex, check_vector
from workbench.errors import StoreError


class NaiveIndex:
    """The same by sorting everything, one number after the other."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[str, str, Vector]] = {}

    def add(self, key: int, tenant: str, scope: str, vector: Vector | None) -> None:
        self._held[key] = (tenant, scope, np.empty(0, np.float32) if vector is None else vector.copy())

    def remove(self, key: int) -> None:
        self._held.pop(key, None)

    def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[tuple[int, float]]:
        found = [
            (sum(float(a) * float(b) for a, b in zip(held, vector, strict=True)), key)
            for key, (owner, place, held) in self._held.items()
            if (owner, place, held.size) == (tenant, scope, vector.size)
        ]
        return [(key, similarity) for similarity, key in sorted(found, reverse=True)[:k]]

    def holds(self, tenant: str, scope: str) -> bool:
        return any((owner, place) == (tenant, scope) for owner, place, _ in self._held.values())

    def pending(self, tenant: str, scope: str) -> list[int]:
        held = self._held.items()
        return sorted((key for key, value in held if value[:2] == (tenant, scope) and not value[2].size), reverse=True)


def unit(numbers: npt.NDArray[np.floating[Any]]) -> Vector:
    return np.asarray(numbers / np.linalg.norm(numbers), np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_random_work_gives_the_same_answers_as_the_naive_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    index, twin = VectorIndex(), NaiveIndex()
    pool = [unit(random.standard_normal(size)) for size in (3, 8, 8, 8, 8, 8, 8)]  # few, so that there are ties
    for key in range(600):
        tenant, scope = random.choice(["a", "b"]), random.choice(["x", "y"])
        vector = pool[random.integers(len(pool))] if random.random() < 0.8 else None
        for held in (index, twin):
            held.add(key, tenant, scope, vector)
        for gone in random.integers(key + 1, size=random.integers(3)).tolist():
            index.remove(gone)
            twin.remove(gone)
        if (pending := twin.pending(tenant, scope)) and random.random() < 0.5:
            late = int(random.choice(pending))
            for held in (index, twin):
                held.add(late, tenant, scope, pool[0])
        assert index.pending(tenant, scope) == twin.pending(tenant, scope)
        assert index.waits(tenant, scope) == bool(twin.pending(tenant, scope))
        assert index.holds(tenant, scope) == twin.holds(tenant, scope)
        question, k = pool[random.integers(len(pool))], int(random.integers(1, 6))
        found, expected = (held.nearest(tenant, scope, question, k=k) for held in (index, twin))
        assert [key for key, _ in found] == [key for key, _ in expected]
        assert [s for _, s in found] == pytest.approx([s for _, s in expected], abs=1e-6)


def test_the_best_of_many_are_found_among_near_equals() -> None:
    random = np.random.default_rng(7)
    centre = unit(random.standard_normal(384))
    index, twin = VectorIndex(), NaiveIndex()
    for key in range(500):
        vector = unit(centre + np.float32(1e-3) * random.standard_normal(384).astype(np.float32))
        index.add(key, "t", "s", vector)
        twin.add(key, "t", "s", vector)
    found = index.nearest("t", "s", centre, k=10)
    assert [key for key, _ in found] == [key for key, _ in twin.nearest("t", "s", centre, k=10)]


def test_of_equal_vectors_the_newest_comes_first() -> None:
    index = VectorIndex()
    vector = unit(np.arange(1, 385, dtype=np.float32))
    for key in (5, 1, 9, 3, 7):
        index.add(key, "t", "s", vector)
    assert [key for key, _ in index.nearest("t", "s", vector, k=3)] == [9, 7, 5]


def test_similarity_is_never_beyond_one() -> None:
    index = VectorIndex()
    vector = unit(np.full(384, 0.3, np.float32)) * np.float32(1.00001)
    index.add(1, "t", "s", vector)
    index.add(2, "t", "s", -vector)
    assert index.nearest("t", "s", vector, k=2) == [(1, 1.0), (2, -1.0)]


def test_the_index_holds_copies() -> None:
    index = VectorIndex()
    vector = np.array([1, 0], np.float32)
    index.add(1, "t", "s", vector)
    vector[:] = 0
    assert index.nearest("t", "s", np.array([1, 0], np.float32), k=1) == [(1, 1.0)]


def test_vectors_of_another_dimension_do_not_meet() -> None:
    index = VectorIndex()
    index.add(1, "t", "s", np.array([1, 0], np.float32))
    index.add(2, "t", "s", np.array([1, 0, 0], np.float32))
    assert index.nearest("t", "s", np.array([0, 0, 1], np.float32), k=5) == [(2, 0.0)]
    assert index.nearest("t", "s", np.array([1], np.float32), k=5) == []


def test_what_is_pending_is_not_searched_until_it_has_a_vector() -> None:
    index = VectorIndex()
    vector = np.array([1, 0], np.float32)
    for key in (1, 3, 2):
        index.add(key, "t", "s", None)
    assert (index.holds("t", "s"), index.waits("t", "s"), index.pending("t", "s")) == (True, True, [3, 2, 1])
    assert not index.waits("t", "other")
    assert index.nearest("t", "s", vector, k=5) == []
    index.add(3, "t", "s", vector)
    assert index.nearest("t", "s", vector, k=5) == [(3, 1.0)]
    assert index.pending("t", "s") == [2, 1]
    for key in (1, 2):
        index.remove(key)
    assert (index.holds("t", "s"), index.waits("t", "s")) == (True, False)
    index.remove(3)
    assert not index.holds("t", "s")


def test_a_vector_replaces_the_one_with_its_key() -> None:
    index = VectorIndex()
    for key, numbers in ((1, [1, 0]), (2, [1, 0]), (1, [0, 1])):
        index.add(key, "t", "s", np.array(numbers, np.float32))
    assert index.nearest("t", "s", np.array([0, 1], np.float32), k=5) == [(1, 1.0), (2, 0.0)]
    index.add(1, "t", "elsewhere", np.array([0, 1], np.float32))
    assert [key for key, _ in index.nearest("t", "s", np.array([0, 1], np.float32), k=5)] == [2]
    assert len(index) == 2


def test_nothing_is_left_when_all_are_removed() -> None:
    index = VectorIndex()
    for key in range(20):
        index.add(key, "t", f"s{key % 3}", np.array([1, 0], np.float32))
    assert len(index) == 20
    for key in range(25):
        index.remove(key)
    assert len(index) == 0
    assert index.nearest("t", "s0", np.array([1, 0], np.float32), k=1) == []


def test_none_are_asked_for_and_none_come() -> None:
    index = VectorIndex()
    index.add(1, "t", "s", np.array([1, 0], np.float32))
    assert index.nearest("t", "s", np.array([1, 0], np.float32), k=0) == []


@pytest.mark.parametrize("numbers", [[[1.0, 0.0]], 1.0, [], [math.nan, 1.0], [math.inf, 0.0]])
def test_a_vector_that_would_spoil_its_scope_is_refused(numbers: object) -> None:
    with pytest.raises(StoreError, match="expected one row of finite numbers"):
        check_vector(np.array(numbers, np.float32))
