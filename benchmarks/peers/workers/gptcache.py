"""GPTCache as its documents start it: SQLite and faiss, distances judged by `SearchDistanceEvaluation`."""

from __future__ import annotations

import numpy as np
from gptcache import Cache as GptCache  # type: ignore[import-not-found]  # stands in the peer's own environment
from gptcache.adapter.api import get, put  # type: ignore[import-not-found]  # likewise
from gptcache.manager import CacheBase, VectorBase, get_data_manager  # type: ignore[import-not-found]  # likewise
from gptcache.processor.pre import get_prompt  # type: ignore[import-not-found]  # likewise
from gptcache.similarity_evaluation import SearchDistanceEvaluation  # type: ignore[import-not-found]  # likewise

from benchmarks.peers.workers.answering import Job, main


class Peer:
    """One cache after the other, each with files of its own, since it cannot be emptied."""

    def __init__(self, job: Job) -> None:
        self._vectors = {text: np.array(vector, np.float32) for text, vector in job.vectors.items()}
        self._entries = len(job.stored) + 1000
        self._folder = job.folder
        self._made = 0

    def clear(self) -> None:
        """Begin anew."""
        self._made += 1
        place = self._folder / f"gptcache-{self._made}"
        place.mkdir()
        width = len(next(iter(self._vectors.values())))
        self._data = get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{place / 'cache.sqlite'}"),
            VectorBase("faiss", dimension=width, index_path=str(place / "faiss.index")),
            max_size=self._entries,  # by default 1,000, fewer than are stored
        )
        self._cache = GptCache()
        self._cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda text, **_: self._vectors[text],
            data_manager=self._data,
            similarity_evaluation=SearchDistanceEvaluation(),
        )

    def put(self, question: str) -> None:
        """Store it."""
        put(question, "an answer", cache_obj=self._cache)

    def get(self, question: str) -> bool:
        """Whether it serves."""
        return get(question, cache_obj=self._cache) is not None

    def score(self, question: str) -> float | None:
        """4 − the squared distance, as it judges."""
        found = self._data.search(self._vectors[question])
        return 4.0 - float(found[0][0]) if found else None


if __name__ == "__main__":
    main(Peer, package="gptcache")
