"""What the tests of the stores share: every kind of store, a clock, entries and how to compare them."""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stand_ins.redis import RedisMissing, RedisServer
from workbench.cache.memory_store import MemoryStore
from workbench.cache.redis_link import RedisOptions
from workbench.cache.redis_rows import RedisLimits
from workbench.cache.redis_store import RedisStore
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Entry, Neighbour, Store, Vector

NOW_S = 1_000_000.0
LARGE_BYTES = 2**30


class Clock:
    """Time that passes when the test says so, in Unix seconds."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@functools.cache
def redis_server() -> RedisServer:
    """One for all tests of the session; they are skipped where its packages are missing."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    try:
        server.start()
    except RedisMissing as error:
        shutil.rmtree(folder)
        pytest.skip(str(error))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    return server


def redis_store(folder: Path, max_bytes: int, clock: Clock) -> RedisStore:
    """Who names the same folder shares the entries. With exact vectors, and patience with a busy machine."""
    return RedisStore(
        RedisOptions(redis_server().url, lost_s=10.0),
        limits=RedisLimits(max_bytes=max_bytes, entry_max_bytes=LARGE_BYTES),
        vectors="float32",
        namespace=hashlib.sha256(str(folder).encode()).hexdigest()[:16],
        clock=clock,
    )


MakeStore = Callable[[Path, int, Clock], Store]

STORES: dict[str, MakeStore] = {
    "memory": lambda _folder, max_bytes, clock: MemoryStore(max_bytes=max_bytes, clock=clock),
    "sqlite": lambda folder, max_bytes, clock: SqliteStore(folder / "cache.db", max_bytes=max_bytes, clock=clock),
    "redis": redis_store,
}


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def entry(name: str, *, text: str = "", scope: str = "s", angle: float | None = None, ttl_s: float = 100.0) -> Entry:
    """An entry found by `digest_of(name)`, and with an `angle` (radians) also by a vector in the plane."""
    return Entry(
        digest=digest_of(name),
        payload=b"\x00payload of " + name.encode(),
        model="model",
        created_s=NOW_S,
        expires_s=NOW_S + ttl_s,
        scope=scope if angle is not None else "",
        outer_scope="outer",
        text=text,
        turns=("first turn", "zweiter Zug: ü\n"),
        vector=None if angle is None else pointing(angle),
    )


def waiting(name: str, *, text: str = "", scope: str = "s", ttl_s: float = 100.0) -> Entry:
    """A pending entry, found by `digest_of(name)`; its text is its name if no other is given."""
    return replace(entry(name, text=text or name, ttl_s=ttl_s), scope=scope)


def pointing(angle: float) -> Vector:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def same(one: Entry | None, other: Entry | None) -> bool:
    """Equal in every field; vectors by value."""
    if one is None or other is None:
        return one is other
    plain = all(
        getattr(one, name) == getattr(other, name)
        for name in ("digest", "payload", "model", "created_s", "expires_s", "scope", "outer_scope", "text", "turns")
    )
    if one.vector is None or other.vector is None:
        return plain and one.vector is other.vector
    return plain and np.array_equal(one.vector, other.vector)


def names(found: list[Neighbour], *known: str) -> list[str]:
    by_digest = {digest_of(name): name for name in known}
    return [by_digest[neighbour.entry.digest] for neighbour in found]
