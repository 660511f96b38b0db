"""RedisVL's `SemanticCache` with its default distance, on the Redis that the host names."""

from __future__ import annotations

from array import array

from redisvl.extensions.cache.llm import SemanticCache  # type: ignore[import-not-found]  # in the peer's environment
from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-not-found]  # likewise

from benchmarks.peers.workers.answering import Job, main

WHOLE_RANGE = 2.0
"""No cosine distance is larger."""


class Peer:
    """One index, emptied between jobs."""

    def __init__(self, job: Job) -> None:
        self._vectors = {text: list(array("f", vector)) for text, vector in job.vectors.items()}
        any_vector = next(iter(self._vectors.values()))  # it embeds a word of its own to learn the dimension
        vectorizer = CustomVectorizer(embed=lambda text: self._vectors.get(text, any_vector))
        self._cache = SemanticCache(redis_url=job.options["redis"], vectorizer=vectorizer, overwrite=True)

    def clear(self) -> None:
        """Remove every entry."""
        self._cache.clear()

    def put(self, question: str) -> None:
        """Store it."""
        self._cache.store(question, "an answer", vector=self._vectors[question])

    def get(self, question: str) -> bool:
        """Whether it serves."""
        return bool(self._cache.check(vector=self._vectors[question]))

    def score(self, question: str) -> float | None:
        """1 − the nearest's cosine distance."""
        found = self._cache.check(vector=self._vectors[question], distance_threshold=WHOLE_RANGE)
        return 1.0 - float(found[0]["vector_distance"]) if found else None


if __name__ == "__main__":
    main(Peer, package="redisvl")
