"""cachellm-proxy's cache service in memory, as its proxy asks it, with vectors that are known already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cachellm.cache.memory import (  # type: ignore[import-not-found]  # stands in the peer's own environment
    MemoryAnalytics,
    MemoryExactStore,
    MemoryVectorStore,
)
from cachellm.cache.service import CacheService  # type: ignore[import-not-found]  # likewise
from cachellm.embeddings import Embedder  # type: ignore[import-not-found]  # likewise
from cachellm.models import ChatCompletionRequest  # type: ignore[import-not-found]  # likewise
from cachellm.settings import Settings  # type: ignore[import-not-found]  # likewise

from benchmarks.peers.workers.answering import Job, main

PROVIDER = "openai"


class Embedding(Embedder):  # type: ignore[misc]  # its class is unknown here
    """What it embeds with instead of downloading a model; the name is that of the threshold it has calibrated."""

    name = "sentence-transformers/all-MiniLM-L6-v2"

    def __init__(self, encode: Callable[[str], npt.NDArray[np.float32]], *, dimension: int) -> None:
        self.dim = dimension
        self._encode = encode

    async def embed(self, text: str) -> npt.NDArray[np.float32]:
        """One unit row."""
        return self._encode(text)

    async def embed_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """The same for several."""
        return [self._encode(text) for text in texts]


class Peer:
    """One cache after the other."""

    def __init__(self, job: Job) -> None:
        # It embeds some texts in a form of its own: what is asked or stored at the moment is meant.
        self._vectors = {text: np.array(vector, np.float32) for text, vector in job.vectors.items()}
        self._loop = asyncio.new_event_loop()
        self._current = ""

    def clear(self) -> None:
        """Begin anew."""
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        settings = Settings(backend="memory")
        vectors = MemoryVectorStore(settings)
        await vectors.connect()
        dimension = len(next(iter(self._vectors.values())))
        self._cache = CacheService(
            settings=settings,
            embedder=Embedding(lambda _text: self._vectors[self._current], dimension=dimension),
            vectors=vectors,
            exact=MemoryExactStore(settings),
            analytics=MemoryAnalytics(settings),
        )

    def put(self, question: str) -> None:
        """Store it, as its proxy does after a miss."""
        self._loop.run_until_complete(self._store(question))

    async def _store(self, question: str) -> None:
        lookup, request = await self._lookup(question), _request(question)
        await self._cache.store(
            lookup=lookup, request=request, provider_name=PROVIDER, response_text="an answer", prompt_tokens=10,
            completion_tokens=3, finish_reason="stop",
        )  # fmt: skip

    def get(self, question: str) -> bool:
        """Whether it serves."""
        return bool(self._loop.run_until_complete(self._lookup(question)).served_from_cache)

    def score(self, question: str) -> float | None:
        """The nearest's similarity; None where its rules keep it from looking."""
        found = self._loop.run_until_complete(self._lookup(question))
        return float(found.similarity) if found.neighbours or found.served_from_cache else None

    async def _lookup(self, question: str) -> Any:
        self._current = question
        return await self._cache.lookup(_request(question), PROVIDER)


def _request(text: str) -> Any:
    return ChatCompletionRequest(model="m", temperature=0, messages=[{"role": "user", "content": text}])


if __name__ == "__main__":
    main(Peer, package="cachellm-proxy")
