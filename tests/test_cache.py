"""A fault in the cache is a bypass, never a failed request; the tiers agree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.stores import pointing
from workbench.cache.cache import Bypass, Hit, Miss, SemanticCache
from workbench.cache.memory_store import MemoryStore
from workbench.cache.policy import load_policy
from workbench.cache.question import Question, question
from workbench.cache.store import Entry, Vector
from workbench.errors import EmbeddingError, StoreError
from workbench.messages import MessagesRequest

SPARE = 1_000_000


def ask(text: str, **fields: Any) -> Question:
    request = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": text}]} | fields
    return question(MessagesRequest.model_validate(request), model="m", model_digest="d")


class BrokenStore(MemoryStore):
    """Fails, or hangs, when told to; counts how often it was read."""

    broken = hanging = False
    reads = 0

    async def get(self, tenant: str, digest: str) -> Entry | None:
        self.reads += 1
        await self._misbehave()
        return await super().get(tenant, digest)

    async def put(self, tenant: str, entry: Entry) -> None:
        await self._misbehave()
        await super().put(tenant, entry)

    async def _misbehave(self) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.broken:
            raise StoreError("the disk is gone")


class SameWay:
    """Every short text points the same way."""

    async def embed(self, text: str) -> Vector | None:
        if text == "fault":
            raise EmbeddingError("the model failed")
        return None if len(text) > 100 else pointing(0.0)

    def prepare(self, text: str) -> None: ...


def cache_on(store: MemoryStore, *, memory: MemoryStore | None = None, timeout_s: float = 5.0) -> SemanticCache:
    return SemanticCache(store, memory=memory, embedder=SameWay(), policy=load_policy(), ttl_s=60, timeout_s=timeout_s)


def test_lookup_answers_exactly_then_by_meaning_then_not() -> None:
    async def story() -> None:
        cache = cache_on(MemoryStore(max_bytes=SPARE))
        first = ask("What is a monad?")
        missed = await cache.lookup("t", first)
        assert isinstance(missed, Miss)
        assert missed.reason == "no-candidate"
        await cache.insert("t", first, b"reply", model="m", by_meaning=True)
        exact = await cache.lookup("t", first)
        assert isinstance(exact, Hit)
        assert exact.tier == "exact"
        near = await cache.lookup("t", ask("what is a monad"))
        assert isinstance(near, Hit)
        assert (near.tier, near.entry.payload) == ("semantic", b"reply")
        for other in (ask("what is a monad", system="s"), ask("What is not a monad?")):
            assert isinstance(await cache.lookup("t", other), Miss)
        assert isinstance(await cache.lookup("u", first), Miss)

    asyncio.run(story())


def test_nearer_candidate_that_a_guard_refuses_does_not_hide_a_good_one() -> None:
    async def story() -> None:
        cache = cache_on(MemoryStore(max_bytes=SPARE))
        for text in ("Is Python 3 fast?", "Is Python 2 fast?"):
            await cache.insert("t", ask(text), text.encode(), model="m", by_meaning=True)
        hit = await cache.lookup("t", ask("is python 3 fast"))
        assert isinstance(hit, Hit)
        assert hit.entry.payload == b"Is Python 3 fast?"
        refused = await cache.lookup("t", ask("is python 4 fast"))
        assert isinstance(refused, Miss)
        assert refused.reason == "numbers"
        assert refused.candidate is not None

    asyncio.run(story())


def test_entry_without_a_vector_is_never_found_by_meaning() -> None:
    async def story() -> None:
        cache = cache_on(MemoryStore(max_bytes=SPARE))
        await cache.insert("t", ask("What is a monad?"), b"reply", model="m", by_meaning=False)
        assert isinstance(await cache.lookup("t", ask("what is a monad")), Miss)

    asyncio.run(story())


@pytest.mark.parametrize("fault", ["broken", "hanging"])
def test_fault_of_the_store_is_a_bypass_and_insert_says_so(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        store = BrokenStore(max_bytes=SPARE)
        setattr(store, fault, True)
        cache = cache_on(store, timeout_s=0.01)
        assert await cache.lookup("t", ask("x")) == Bypass("cache-fault")
        assert await cache.insert("t", ask("x"), b"reply", model="m", by_meaning=False) is None
        await cache.discard("t", "nothing")
        setattr(store, fault, False)
        assert isinstance(await cache.lookup("t", ask("x")), Miss)

    asyncio.run(story())
    assert "cache.lookup_failed" in caplog.text
    assert "cache.insert_failed" in caplog.text


def test_fault_of_the_embedder_is_a_bypass_but_exact_hits_go_on() -> None:
    async def story() -> None:
        cache = cache_on(MemoryStore(max_bytes=SPARE))
        await cache.insert("t", ask("x"), b"reply", model="m", by_meaning=True)
        assert await cache.lookup("t", ask("fault")) == Bypass("cache-fault")
        entry = await cache.insert("t", ask("fault"), b"reply", model="m", by_meaning=True)
        assert entry
        assert entry.vector is None
        assert isinstance(await cache.lookup("t", ask("fault")), Hit)

    asyncio.run(story())


def test_text_that_cannot_be_read_whole_misses_and_is_stored_without_a_vector() -> None:
    async def story() -> None:
        cache = cache_on(MemoryStore(max_bytes=SPARE))
        await cache.insert("t", ask("x"), b"reply", model="m", by_meaning=True)
        assert await cache.lookup("t", ask("x" * 200)) == Miss("unreadable")
        entry = await cache.insert("t", ask("x" * 200), b"reply", model="m", by_meaning=True)
        assert entry
        assert entry.vector is None

    asyncio.run(story())


def test_question_is_not_embedded_before_there_is_something_to_compare_it_with() -> None:
    async def story() -> None:
        cache = cache_on(MemoryStore(max_bytes=SPARE))
        assert await cache.lookup("t", ask("fault")) == Miss("no-candidate")

    asyncio.run(story())


def test_memory_tier_spares_the_store_and_forgets_what_is_removed() -> None:
    async def story() -> None:
        store = BrokenStore(max_bytes=SPARE)
        cache = cache_on(store, memory=MemoryStore(max_bytes=SPARE))
        entry = await cache.insert("t", ask("x"), b"reply", model="m", by_meaning=True)
        assert entry
        for _ in range(3):
            assert isinstance(await cache.lookup("t", ask("x")), Hit)
        assert store.reads == 0
        assert await cache.withdraw("t", entry.id)
        assert isinstance(await cache.lookup("t", ask("X")), Miss)
        assert await cache.delete("t", entry.id)
        assert isinstance(await cache.lookup("t", ask("x")), Miss)

    asyncio.run(story())


def test_entry_removed_while_it_is_read_does_not_come_back() -> None:
    async def story() -> None:
        memory = MemoryStore(max_bytes=SPARE)
        reading, go_on = asyncio.Event(), asyncio.Event()

        class SlowStore(MemoryStore):
            async def get(self, tenant: str, digest: str) -> Entry | None:
                entry = await super().get(tenant, digest)
                reading.set()
                await go_on.wait()
                return entry

        cache = cache_on(SlowStore(max_bytes=SPARE), memory=memory)
        entry = await cache.insert("t", ask("x"), b"reply", model="m", by_meaning=False)
        assert entry
        await memory.delete("t", entry.id)
        lookup = asyncio.create_task(cache.lookup("t", ask("x")))
        await reading.wait()
        await cache.delete("t", entry.id)
        go_on.set()
        await lookup
        assert await memory.get("t", entry.digest) is None

    asyncio.run(story())
