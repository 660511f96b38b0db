"""Our cache as it ships: policy, verifier and SQLite; the embedder is replaced by vectors that are known already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.lookups import Query, last_stage, scored
from benchmarks.peers.workers.answering import Job, main
from workbench.cache.cache import Hit, SemanticCache
from workbench.cache.embedder import without_closing
from workbench.cache.memory_store import MemoryStore
from workbench.cache.policy import load_policy
from workbench.cache.question import Question, question
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Vector
from workbench.cache.verifier import Verifier, VerifyingService
from workbench.cache.verifier_folder import verifier_folder
from workbench.messages import MessagesRequest
from workbench.proxy.auth import DEFAULT_TENANT

DAY_S = 86_400.0


class Known:
    """An embedder that has embedded everything."""

    def __init__(self, job: Job) -> None:
        self._vectors = {without_closing(text): np.array(vector, np.float32) for text, vector in job.vectors.items()}

    def known(self, text: str) -> Vector | None:
        """The text's vector."""
        return self._vectors[without_closing(text)]

    async def embed(self, text: str) -> Vector | None:
        """The same."""
        return self.known(text)

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        """The same for several."""
        return [self.known(text) for text in texts]


class Peer:
    """One cache after the other, each with a file of its own."""

    def __init__(self, job: Job) -> None:
        self._embedder = Known(job)
        self._verifier = Verifier(verifier_folder(Path(job.options["models"])))
        self._verifying = VerifyingService(self._verifier)
        self._policy = load_policy()
        self._loop = asyncio.new_event_loop()
        self._folder = job.folder
        self._store: SqliteStore | None = None
        self._made = 0
        self._stored = ""

    def clear(self) -> None:
        """Begin anew."""
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        if self._store:
            await self._store.close()
        self._made += 1
        self._store = SqliteStore(self._folder / f"ours-{self._made}.sqlite", fingerprint=self._policy.fingerprint)
        await self._store.open()
        self._cache = SemanticCache(
            self._store,
            memory=MemoryStore(max_bytes=64 * 1024 * 1024),
            embedder=self._embedder,
            verifier=self._verifying,
            policy=self._policy,
            ttl_s=DAY_S,
            timeout_s=10.0,
        )

    def put(self, question: str) -> None:
        """Store it."""
        self._stored = question
        self._loop.run_until_complete(
            self._cache.insert(DEFAULT_TENANT, _question(question), b"an answer", model="m", by_meaning=True)
        )

    def get(self, question: str) -> bool:
        """Whether it serves."""
        return isinstance(self._loop.run_until_complete(self._cache.lookup(DEFAULT_TENANT, _question(question))), Hit)

    def score(self, question: str) -> float | None:
        """The last stage's logit against what was stored last."""
        a, b = self._embedder.known(self._stored), self._embedder.known(question)
        assert a is not None
        assert b is not None
        query = Query(question, "", "", "", (self._stored,), (float(a @ b),), (True,))
        lookups = scored([query], self._policy, stage=last_stage(self._policy), ask=self._verifier.logit)
        found = float(lookups.score[0])
        return max(-1e9, min(1e9, found))  # JSON knows no infinity


def _question(text: str) -> Question:
    messages = [{"role": "user", "content": text}]
    request = MessagesRequest.model_validate({"model": "m", "max_tokens": 100, "messages": messages})
    return question(request, model="m", model_digest="d")


if __name__ == "__main__":
    main(Peer)
