"""What the models said of texts, remembered on disk: a replay embeds and verifies only what no replay has seen.

One SQLite file; vectors stand under the embedder's fingerprint, logits under the verifier's revision, texts as hashes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from workbench.cache.embedder import Embedder, without_closing
from workbench.cache.store import Vector
from workbench.cache.verifier import Verifier
from workbench.errors import ConfigurationError, EmbeddingError

SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (model TEXT, text BLOB, vector BLOB, PRIMARY KEY (model, text)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logits (model TEXT, pair BLOB, logit REAL, PRIMARY KEY (model, pair)) WITHOUT ROWID;
"""
BATCH = 256


class Remembered:
    """An embedder and a verifier with a memory, as the cache wants them. A context manager; for one thread at a time.

    `embedded` and `verified` count what had to be worked out anew.
    """

    def __init__(self, path: Path, embedder: Embedder, verifier: Verifier | None = None) -> None:
        self.embedder = embedder
        self.verifier = verifier
        self.embedded = self.verified = 0
        self._vectors: dict[bytes, Vector | None] = {}
        self._logits: dict[bytes, float | None] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, check_same_thread=False)
            self._file.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"cannot use {path} to remember vectors: {error}; delete or rename it") from None

    def __enter__(self) -> Remembered:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep what was learned, also when something went wrong."""
        self._file.commit()
        self._file.close()

    def learn(self, texts: Iterable[str]) -> None:
        """Embed those that are not known, many at a time."""
        wanted = {_key(cut): cut for cut in map(without_closing, texts)}
        new = [text for key, text in wanted.items() if not self._recall(key)]
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            for text, vector in zip(some, self.embedder.encode_what_fits(some), strict=True):
                self._learn(_key(text), vector)

    async def embed(self, text: str) -> Vector | None:
        """The text's vector; None when the model cannot read all of it."""
        (vector,) = await self.embed_all([text])
        return vector

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        """The same for several."""
        self.learn(texts)
        return [self._vectors[_key(without_closing(text))] for text in texts]

    def known(self, text: str) -> Vector | None:
        """The text's vector if it was asked for in this replay."""
        return self._vectors.get(_key(without_closing(text)))

    async def logit(self, question: str, candidate: str) -> float | None:
        """What the verifier says of these two; raises `EmbeddingError` when there is none."""
        if self.verifier is None:
            raise EmbeddingError("there is no verifier in this replay")
        key = _key("\0".join(sorted((question, candidate))))
        if key not in self._logits:
            model = self.verifier.revision
            found = self._file.execute("SELECT logit FROM logits WHERE model = ? AND pair = ?", (model, key)).fetchone()
            if found is None:
                found = (self.verifier.logit(question, candidate),)
                self.verified += 1
                self._file.execute("INSERT OR REPLACE INTO logits VALUES (?, ?, ?)", (model, key, *found))
            self._logits[key] = found[0]
        return self._logits[key]

    def _recall(self, key: bytes) -> bool:
        if key in self._vectors:
            return True
        row = self._file.execute(
            "SELECT vector FROM vectors WHERE model = ? AND text = ?", (self.embedder.fingerprint, key)
        ).fetchone()
        if row is not None:
            self._vectors[key] = np.frombuffer(row[0], np.float32) if row[0] else None
        return row is not None

    def _learn(self, key: bytes, vector: Vector | None) -> None:
        self.embedded += 1
        self._vectors[key] = vector
        stored = b"" if vector is None else vector.astype(np.float32).tobytes()
        self._file.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", (self.embedder.fingerprint, key, stored))


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
