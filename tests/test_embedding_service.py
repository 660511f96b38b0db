"""The embedding service: micro-batches, no text twice, and waiters that do not harm each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_bert import WINDOW, WORDS, tiny_source
from workbench.cache.embedder import Embedder, EmbeddingService
from workbench.cache.model_folder import bert_folder
from workbench.cache.store import Vector
from workbench.errors import EmbeddingError


class SpyEmbedder(Embedder):
    """Notes every batch, holds it while `gate` is closed, and fails on the text "!"."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def encode_what_fits(self, texts: Sequence[str]) -> list[Vector | None]:
        self.batches.append(list(texts))
        self.entered.set()
        assert self.gate.wait(30)
        if "!" in texts:
            raise RuntimeError("no vector for an exclamation")
        return super().encode_what_fits(texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("tiny")
    return bert_folder(tiny_source(base / "source"), name="tiny", cache=base / "cache")


@pytest.fixture
def spy(folder: Path) -> SpyEmbedder:
    return SpyEmbedder(folder)


async def held_batch(service: EmbeddingService, spy: SpyEmbedder, text: str) -> asyncio.Task[Vector | None]:
    """Start embedding `text` and come back while its batch stands still in the thread."""
    spy.gate.clear()
    spy.entered.clear()
    task = asyncio.create_task(service.embed(text))
    assert await asyncio.to_thread(spy.entered.wait, 30)
    return task


def test_what_queued_during_a_batch_is_the_next_one(spy: SpyEmbedder) -> None:
    async def scenario() -> list[Vector | None]:
        service = EmbeddingService(spy)
        first = await held_batch(service, spy, "how")
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(service.embed(word)) for word in WORDS[1:6]]
            await asyncio.sleep(0)
            spy.gate.set()
        await service.close()
        return [await task for task in (first, *others)]

    vectors = asyncio.run(scenario())
    assert spy.batches == [["how"], WORDS[1:6]]
    for word, vector in zip(WORDS[:6], vectors, strict=True):
        assert vector is not None
        np.testing.assert_allclose(vector, Embedder.encode(spy, [word])[0], atol=1e-5)


def test_batches_are_bounded(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy, batch_texts=2)
        await asyncio.gather(*(service.embed(word) for word in WORDS[:7]))
        await service.close()

    asyncio.run(scenario())
    assert sorted(map(len, spy.batches)) == [1, 2, 2, 2]


def test_identical_texts_are_embedded_once(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy)
        await asyncio.gather(*(service.embed("a list") for _ in range(10)))
        await service.embed("a list")
        await service.close()

    asyncio.run(scenario())
    assert spy.batches == [["a list"]]


def test_texts_that_are_asked_together_share_a_batch(spy: SpyEmbedder) -> None:
    async def scenario() -> list[Vector | None]:
        service = EmbeddingService(spy)
        await service.embed("how")
        vectors = await service.embed_all(["list", "how", "list " * WINDOW, "python", "list"])
        assert await service.embed_all([]) == []
        await service.close()
        return vectors

    vectors = asyncio.run(scenario())
    assert spy.batches == [["how"], ["list", "list " * WINDOW, "python"]]
    assert [vector is None for vector in vectors] == [False, False, True, False, False]
    assert vectors[0] is vectors[4]


def test_known_is_what_was_embedded_lately(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy, memo_entries=1)
        assert service.known("list") is None
        running = await held_batch(service, spy, "list")
        assert service.known("list") is None
        spy.gate.set()
        vector = await running
        assert vector is not None
        assert service.known("list") is vector
        await service.embed("python")
        assert service.known("list") is None
        await service.close()

    asyncio.run(scenario())
    assert spy.batches == [["list"], ["python"]]


def test_memo_forgets_the_least_recently_seen(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy, memo_entries=2)
        for text in ("a", "list", "a", "python", "a", "list"):
            await service.embed(text)
        await service.close()

    asyncio.run(scenario())
    assert spy.batches == [["a"], ["list"], ["python"], ["list"]]


def test_text_beyond_the_window_has_no_vector_and_harms_no_other(spy: SpyEmbedder) -> None:
    async def scenario() -> tuple[Vector | None, Vector | None]:
        service = EmbeddingService(spy)
        first = await held_batch(service, spy, "how")
        both = asyncio.gather(service.embed("list " * WINDOW), service.embed("list"))
        await asyncio.sleep(0)
        spy.gate.set()
        await first
        vectors = await both
        await service.close()
        return vectors

    long, short = asyncio.run(scenario())
    assert long is None
    assert short is not None
    assert spy.batches == [["how"], ["list " * WINDOW, "list"]]


def test_vectors_cannot_be_changed_by_a_waiter(spy: SpyEmbedder) -> None:
    async def scenario() -> Vector | None:
        service = EmbeddingService(spy)
        vector = await service.embed("list")
        await service.close()
        return vector

    vector = asyncio.run(scenario())
    assert vector is not None
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1


def test_cancelled_waiter_harms_no_other(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy)
        leaver = await held_batch(service, spy, "list")
        stayer = asyncio.create_task(service.embed("list"))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        spy.gate.set()
        assert await stayer is not None
        assert await service.embed("python") is not None
        await service.close()

    asyncio.run(scenario())
    assert spy.batches == [["list"], ["python"]]


def test_failure_reaches_every_waiter_and_the_service_goes_on(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy)
        errors = await asyncio.gather(service.embed("!"), service.embed("!"), return_exceptions=True)
        assert [type(error) for error in errors] == [EmbeddingError, EmbeddingError]
        assert "exclamation" in str(errors[0])
        assert await service.embed("list") is not None
        with pytest.raises(EmbeddingError):
            await service.embed("!")
        await service.close()

    asyncio.run(scenario())
    assert spy.batches == [["!"], ["list"], ["!"]]


def test_failure_that_nobody_waits_for_disturbs_nobody(spy: SpyEmbedder) -> None:
    async def scenario() -> list[str]:
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        service = EmbeddingService(spy)
        leaver = await held_batch(service, spy, "!")
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        spy.gate.set()
        assert await service.embed("list") is not None
        await service.close()
        return complaints

    assert asyncio.run(scenario()) == []


def test_close_ends_the_running_batch_and_fails_the_queue(spy: SpyEmbedder) -> None:
    async def scenario() -> None:
        service = EmbeddingService(spy)
        running = await held_batch(service, spy, "list")
        queued = asyncio.create_task(service.embed("python"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(service.close())
        with pytest.raises(EmbeddingError, match="closed"):
            await queued
        spy.gate.set()
        await closing
        assert await running is not None
        with pytest.raises(EmbeddingError, match="closed"):
            await service.embed("list")
        await service.close()

    asyncio.run(scenario())
    assert spy.batches == [["list"]]
