"""A fault in the cache is a bypass, never a failed request; the tiers agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.stores import LARGE_BYTES, STORES, Clock, opened, pointing
from workbench.cache.cache import Bypass, Hit, Miss, SemanticCache
from workbench.cache.memory_store import MemoryStore
from workbench.cache.policy import load_policy
from workbench.cache.question import Question, question
from workbench.cache.store import Entry, Store, Vector
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
    """Every short text points the same way; it notes what it embedded, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._known: dict[str, Vector] = {}

    async def embed(self, text: str) -> Vector | None:
        return (await self.embed_all([text]))[0]

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        if new := [text for text in texts if text not in self._known]:
            self.batches.append(new)
        if "fault" in texts:
            raise EmbeddingError("the model failed")
        self._known |= {text: pointing(0.0) for text in new if len(text) <= 100}
        return [self.known(text) for text in texts]

    def known(self, text: str) -> Vector | None:
        return self._known.get(text)


def cache_on(
    store: Store, *, memory: MemoryStore | None = None, embedder: SameWay | None = None, timeout_s: float = 5.0
) -> SemanticCache:
    return SemanticCache(
        store, memory=memory, embedder=embedder or SameWay(), policy=load_policy(), ttl_s=60, timeout_s=timeout_s
    )


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
        assert refused.reason == "versions"
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
        assert await cache.lookup("t", ask("y")) == Bypass("cache-fault")  # since that one is pending
        for text in ("x", "fault"):
            assert isinstance(await cache.lookup("t", ask(text)), Hit)

    asyncio.run(story())


# ── embedded when somebody asks again ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", STORES)
def test_first_question_of_a_scope_is_embedded_together_with_the_second(tmp_path: Path, kind: str) -> None:
    async def story(store: Store) -> None:
        embedder = SameWay()
        cache = cache_on(store, embedder=embedder)
        asked = [ask(f"What is monad {number}?") for number in range(4)]
        for one in asked:
            missed = await cache.lookup("t", one)
            assert isinstance(missed, Miss)
            assert await cache.insert("t", one, b"reply", model="m", by_meaning=True)
        texts = [one.text for one in asked]
        assert embedder.batches == [[texts[1], texts[0]], [texts[2]], [texts[3]]]
        assert await store.pending("t", asked[0].scope, limit=9) == []
        assert len(await store.nearest("t", asked[0].scope, pointing(0.0), k=9)) == 4
        assert isinstance(await cache.lookup("t", ask("what is monad 0")), Hit)

    async def on(store: Store) -> None:
        async with opened(store):
            await story(store)

    asyncio.run(on(STORES[kind](tmp_path, LARGE_BYTES, Clock())))


def test_lone_questions_of_many_scopes_and_exact_hits_are_never_embedded() -> None:
    async def story() -> None:
        embedder = SameWay()
        cache = cache_on(MemoryStore(max_bytes=SPARE), embedder=embedder)
        for system in "abc":
            lone = ask("x", system=system)
            assert await cache.lookup("t", lone) == Miss("no-candidate")
            await cache.insert("t", lone, b"reply", model="m", by_meaning=True)
            assert isinstance(await cache.lookup("t", lone), Hit)
        await cache.insert("t", ask("y", system="a"), b"reply", model="m", by_meaning=False)
        assert embedder.batches == []

    asyncio.run(story())


def test_many_that_are_pending_are_embedded_a_batch_at_a_time() -> None:
    async def story() -> None:
        embedder = SameWay()
        cache = cache_on(MemoryStore(max_bytes=SPARE), embedder=embedder)
        for number in range(20):
            await cache.insert("t", ask(f"old {number}"), b"reply", model="m", by_meaning=True)
        for number in range(3):
            await cache.lookup("t", ask(f"new {number}"))
        assert [len(batch) for batch in embedder.batches] == [16, 6, 1]
        assert embedder.batches[0][:2] == ["new 0", "old 19"]

    asyncio.run(story())


def test_text_that_cannot_be_read_whole_misses_and_is_tried_once() -> None:
    async def story() -> None:
        embedder = SameWay()
        store = MemoryStore(max_bytes=SPARE)
        cache = cache_on(store, embedder=embedder)
        long = ask("x" * 200)
        entry = await cache.insert("t", long, b"reply", model="m", by_meaning=True)
        assert entry
        assert await cache.lookup("t", ask("y" * 200)) == Miss("unreadable")
        assert not store.has_scope("t", long.scope)
        assert await cache.lookup("t", ask("z")) == Miss("no-candidate")
        assert len(embedder.batches) == 1
        assert isinstance(await cache.lookup("t", long), Hit)

    asyncio.run(story())


def test_entry_deleted_while_it_is_embedded_does_not_come_back() -> None:
    async def story() -> None:
        embedding, go_on = asyncio.Event(), asyncio.Event()

        class Slow(SameWay):
            async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
                embedding.set()
                await go_on.wait()
                return await super().embed_all(texts)

        store = MemoryStore(max_bytes=SPARE)
        cache = cache_on(store, embedder=Slow())
        first = ask("What is a monad?")
        entry = await cache.insert("t", first, b"reply", model="m", by_meaning=True)
        assert entry
        lookup = asyncio.create_task(cache.lookup("t", ask("what is a monad")))
        await embedding.wait()
        await cache.delete("t", entry.id)
        go_on.set()
        assert await lookup == Miss("no-candidate")
        assert not store.has_scope("t", first.scope)

    asyncio.run(story())


def test_store_that_can_only_be_read_still_answers_by_meaning() -> None:
    class ReadOnly(MemoryStore):
        is_full = False

        async def add_vectors(self, tenant: str, found: Sequence[tuple[Entry, Vector]]) -> None:
            if self.is_full:
                raise StoreError("OOM")
            await super().add_vectors(tenant, found)

    async def story() -> None:
        store = ReadOnly(max_bytes=SPARE)
        cache = cache_on(store)
        await cache.insert("t", ask("What is a monad?"), b"reply", model="m", by_meaning=True)
        assert isinstance(await cache.lookup("t", ask("what is a monad")), Hit)
        store.is_full = True
        await cache.insert("t", ask("Why is the sky blue?"), b"other", model="m", by_meaning=True)
        assert isinstance(await cache.lookup("t", ask("what is a monad!")), Hit)
        store.is_full = False
        assert isinstance(await cache.lookup("t", ask("why is the sky blue")), Hit)

    asyncio.run(story())


# ── the memory tier in front ────────────────────────────────────────────────────────────────────────────────


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


@pytest.mark.parametrize("how", ["insert", "delete", "withdraw"])
def test_what_was_done_though_the_answer_was_lost_is_not_contradicted_by_memory(how: str) -> None:
    async def story() -> None:
        class Late(MemoryStore):
            is_late = False

            async def put(self, tenant: str, entry: Entry) -> None:
                await super().put(tenant, entry)
                self._answer()

            async def delete(self, tenant: str, id: str) -> Entry | None:
                entry = await super().delete(tenant, id)
                self._answer()
                return entry

            async def withdraw(self, tenant: str, id: str) -> Entry | None:
                entry = await super().withdraw(tenant, id)
                self._answer()
                return entry

            def _answer(self) -> None:
                if self.is_late:
                    raise StoreError("no answer in time")

        store, memory = Late(max_bytes=SPARE), MemoryStore(max_bytes=SPARE)
        cache = cache_on(store, memory=memory)
        entry = await cache.insert("t", ask("x"), b"old", model="m", by_meaning=True)
        assert entry
        store.is_late = True
        if how == "insert":
            assert await cache.insert("t", ask("x"), b"new", model="m", by_meaning=True) is None
        else:
            with pytest.raises(StoreError):
                await getattr(cache, how)("t", entry.id)
        assert await memory.get("t", entry.digest) is None
        found = await cache.lookup("t", ask("x"))
        payload = found.entry.payload if isinstance(found, Hit) else None
        assert payload == {"insert": b"new", "delete": None, "withdraw": b"old"}[how]

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
