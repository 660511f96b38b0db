"""A new embedder's vectors are made beside the old one's, which are searched until the switch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stores import LARGE_BYTES, Clock, entry, opened, same, waiting
from workbench.cache.memory_store import MemoryStore
from workbench.cache.reembed import reembed
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Vector
from workbench.errors import EmbeddingError


class Counting:
    """An embedder of three dimensions that counts what it reads, and can fail."""

    def __init__(self, *, fails_after: int = 10**9) -> None:
        self.texts: list[str] = []
        self._fails_after = fails_after

    async def embed(self, text: str) -> Vector | None:
        return (await self.embed_all([text]))[0]

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        if len(self.texts) >= self._fails_after:
            raise EmbeddingError("out of order")
        self.texts += texts
        return [None if text == "too long" else direction(text) for text in texts]

    def known(self, text: str) -> Vector | None:
        return None


def direction(text: str) -> Vector:
    seed = sum(text.encode())
    vector = np.random.default_rng(seed).normal(size=3).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def store_of(folder: Path, fingerprint: str) -> SqliteStore:
    return SqliteStore(folder / "cache.db", clock=Clock(), fingerprint=fingerprint)


def test_the_old_index_serves_throughout_and_the_new_one_is_whole_afterwards(tmp_path: Path) -> None:
    stored = [entry(str(number), text=f"question {number}", angle=number / 50) for number in range(40)]

    async def story() -> None:
        async with opened(store_of(tmp_path, "old")) as serving:
            for one in stored:
                await serving.put("t", one)
            await serving.put("u", waiting("p", text="pending"))
            await serving.put("u", waiting("l", text="too long"))
            await serving.put("u", entry("plain"))
            async with opened(store_of(tmp_path, "old")) as old, opened(store_of(tmp_path, "new")) as new:
                done = await reembed(old, new, Counting())
            assert (done.embedded, done.known, done.plain, done.waiting) == (40, 0, 1, 2)
            await serving.changes()
            for one in stored[:3]:
                assert one.vector is not None
                (found,) = await serving.nearest("t", "s", one.vector, k=1)
                assert same(found.entry, one)
            assert [one.text for one in await serving.pending("u", "s", limit=9)] == ["too long", "pending"]
            async with opened(store_of(tmp_path, "new")) as old, opened(store_of(tmp_path, "new")) as new:
                done = await reembed(old, new, Counting(), all_pending=True)
            assert (done.embedded, done.known, done.plain, done.unreadable) == (1, 40, 1, 1)
        async with opened(store_of(tmp_path, "new")) as started:
            (found,) = await started.nearest("t", "s", direction("question 7"), k=1)
            assert found.entry.text == "question 7"
            assert found.similarity == pytest.approx(1.0)
            assert await started.pending("t", "s", limit=9) == []

    asyncio.run(story())


def test_broken_off_it_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(store_of(tmp_path, "old")) as old, opened(store_of(tmp_path, "new")) as new:
            for number in range(50):
                await old.put("t", entry(str(number), text=f"question {number}", angle=0.0))
            with pytest.raises(EmbeddingError):
                await reembed(old, new, Counting(fails_after=32))
            second = Counting()
            done = await reembed(old, new, second)
            assert (done.embedded, done.known) == (18, 32)
            assert len(second.texts) == 18

    asyncio.run(story())


def test_stores_that_keep_embedders_apart_get_copies_and_nothing_that_was_removed(tmp_path: Path) -> None:
    async def story() -> None:
        old, new = (MemoryStore(max_bytes=LARGE_BYTES, clock=Clock()) for _ in range(2))
        first, plain = entry("a", text="a", angle=0.0), entry("plain")
        for one in (first, plain):
            await old.put("t", one)
        await new.put("t", replace(first, created_s=first.created_s - 1, payload=b"older"))
        done = await reembed(old, new, Counting())
        assert (done.embedded, done.plain) == (1, 1)
        assert same(await new.get("t", first.digest), replace(first, vector=direction("a")))
        assert same(await new.get("t", plain.digest), plain)
        assert same(await old.get("t", first.digest), first)

    asyncio.run(story())
