"""Text → unit vector: a model folder is loaded once, and concurrent questions share its runs.

What the model cannot read whole is never matched by meaning: two long questions that differ only in their last
line, or in a word unknown to it, would otherwise look the same.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.cache.model_folder import read_card
from workbench.cache.runtime import LONGEST_PIECE_CHARACTERS, open_session, open_tokenizer, unknown_id
from workbench.cache.store import Vector
from workbench.errors import ConfigurationError, EmbeddingError

Vectors = npt.NDArray[np.float32]
"""Embeddings: shape (n, d), unit rows."""

RUN_TOKENS = 4096
"""The most tokens of one run, padding included: about 60 MB of activations in MiniLM."""


_CLOSING = re.compile(r"(?<=[\w)\]\"'`])[?.]+$")
"""What ends a sentence, right behind a word: not the dot of ``git add .``."""


def without_closing(text: str) -> str:
    """The text as it is embedded: the question mark or full stop at its end tells nothing, and moves the vector."""
    return _CLOSING.sub("", text)


# ── the embedder ────────────────────────────────────────────────────────────────────────────────────────────


class Embedder:
    """A model folder in memory.

    Raises `ConfigurationError` when the folder cannot be loaded. One thread by default: more of them fight with
    the server's own for the same cores.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.card = read_card(folder)
        try:
            self._tokenizer = open_tokenizer(folder / "tokenizer.json")
            self._session = open_session(folder / "model.onnx", threads=threads)
        except OSError as error:
            raise ConfigurationError(f"{folder} is not a whole model folder: {error}") from error
        except Exception as error:  # both libraries raise plain exceptions of their own for a bad file
            raise ConfigurationError(f"{folder} holds a broken model, delete it to have it rebuilt: {error}") from error
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name
        self._unknown_id = unknown_id(self._tokenizer)

    @property
    def fingerprint(self) -> str:
        """The card's: it travels with every threshold and names the vector index."""
        return self.card.fingerprint

    def words(self) -> frozenset[str]:
        """The words that its vocabulary holds whole, in lower case; letters only."""
        return frozenset(word for word in self._tokenizer.get_vocab() if word.isascii() and word.isalpha())

    def token_count(self, text: str) -> int:
        """How many tokens the text has, the special ones included."""
        return len(self._tokenizer.encode(text).ids)

    def fits(self, text: str) -> bool:
        """Whether the model reads all of the text: inside its window, and no word unknown to it."""
        return self._read(text) is not None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One unit row for each text, (n, d) float32, in the given order.

        Raises `EmbeddingError` when a text does not fit (nothing is ever truncated) or the model fails.
        """
        return self._encode([self._read_whole(text) for text in texts])

    def encode_what_fits(self, texts: Sequence[str]) -> list[Vector | None]:
        """A unit row for each text that fits, None for each that does not."""
        read = [self._read(text) for text in texts]
        rows = iter(self._encode([row for row in read if row is not None]))
        return [None if row is None else next(rows) for row in read]

    def _encode(self, rows: Sequence[list[int]]) -> Vectors:
        vectors = np.empty((len(rows), self.card.dimension), np.float32)
        for run in _runs([len(row) for row in rows]):
            vectors[run] = self._run([rows[index] for index in run])
        return vectors

    def _read(self, text: str) -> list[int] | None:
        if len(text) > self.card.max_tokens * LONGEST_PIECE_CHARACTERS:
            return None
        ids: list[int] = self._tokenizer.encode(text).ids
        return None if len(ids) > self.card.max_tokens or self._unknown_id in ids else ids

    def _read_whole(self, text: str) -> list[int]:
        ids = self._read(text)
        if ids is None:
            raise EmbeddingError(
                f"a text of {len(text)} characters cannot be read whole by {self.card.name}: expected at most "
                f"{self.card.max_tokens} tokens and no unknown word; ask fits() first"
            )
        return ids

    def _run(self, rows: Sequence[list[int]]) -> Vectors:
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            hidden = self._session.run([self._output], {name: feeds[name] for name in self._inputs})[0]
        except Exception as error:  # onnxruntime has no root for its errors
            raise EmbeddingError(f"{self.card.name} failed on {len(rows)} texts: {error}") from error
        return _unit(_pooled(hidden, mask, self.card.pooling))


def _runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in runs of like length: no row is padded beyond twice its own, no run exceeds `RUN_TOKENS`."""
    run: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = lengths[index]
        if run and (longest > 2 * lengths[run[0]] or longest * (len(run) + 1) > RUN_TOKENS):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _pooled(hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64], pooling: str) -> Vectors:
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.astype(np.float32) / mask.sum(axis=1, keepdims=True, dtype=np.float32)
    pooled: Vectors = np.einsum("ntd,nt->nd", hidden, weights)
    return pooled


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise EmbeddingError("the model gave a vector without a direction (zero or not finite)")
    unit: Vectors = vectors / norms
    return unit


# ── its asynchronous front ──────────────────────────────────────────────────────────────────────────────────


class EmbeddingService:
    """Embeds questions for many coroutines at once, in one thread of its own.

    The question mark or full stop at the end is left out: it tells nothing, and without it MiniLM puts "What is the
    capital of France?" at 0.91 only from the same words without one.
    What queued while a batch ran is the next batch, so a lone question waits for nobody. A text that is in
    flight, or was among the last `memo_entries`, is not embedded again. Belongs to one event loop.
    """

    def __init__(self, embedder: Embedder, *, batch_texts: int = 16, memo_entries: int = 2048) -> None:
        self.embedder = embedder
        self._batch_texts = batch_texts
        self._memo_entries = memo_entries
        self._memo: OrderedDict[str, Vector] = OrderedDict()
        self._in_flight: dict[str, asyncio.Future[Vector | None]] = {}
        self._queue: list[str] = []
        self._batch: asyncio.Future[list[Vector | None]] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")

    async def embed(self, text: str) -> Vector | None:
        """The text's unit vector, read-only; None when the model cannot read all of it (see `Embedder.fits`).

        Raises `EmbeddingError` when the model fails. Cancelling one waiter harms no other.
        """
        (vector,) = await self.embed_all([text])
        return vector

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        """The same for several texts, in the given order: they queue together, so they share a batch."""
        if self._closed:
            raise EmbeddingError("the embedder was closed: it embeds nothing more")
        asked = [self._ask(without_closing(text)) for text in texts]
        self._start_batch()
        return [await asyncio.shield(one) if isinstance(one, asyncio.Future) else one for one in asked]

    def known(self, text: str) -> Vector | None:
        """The text's vector if it is remembered; waits for nothing and embeds nothing."""
        return self._memo.get(without_closing(text))

    def _ask(self, text: str) -> Vector | asyncio.Future[Vector | None]:
        if (known := self._memo.get(text)) is not None:
            self._memo.move_to_end(text)
            return known
        if text not in self._in_flight:
            self._in_flight[text] = _quiet_future()
            self._queue.append(text)
        return self._in_flight[text]

    async def close(self) -> None:
        """Fail what is queued, let the running batch end, and stop the thread."""
        self._closed = True
        queued, self._queue = self._queue, []
        self._fail(queued, EmbeddingError("the embedder was closed while the text was queued"))
        if self._batch is not None:
            await asyncio.wait([self._batch])
        self._thread.shutdown()

    def _start_batch(self) -> None:
        if self._batch is not None or not self._queue:
            return
        texts, self._queue = self._queue[: self._batch_texts], self._queue[self._batch_texts :]
        self._batch = asyncio.get_running_loop().run_in_executor(self._thread, self._encode, texts)
        self._batch.add_done_callback(partial(self._end_batch, texts))

    def _encode(self, texts: list[str]) -> list[Vector | None]:
        """In the thread: rows of their own, since a row kept from a batch would keep the batch."""
        return [None if row is None else _frozen(row) for row in self.embedder.encode_what_fits(texts)]

    def _end_batch(self, texts: list[str], batch: asyncio.Future[list[Vector | None]]) -> None:
        self._batch = None
        self._start_batch()
        if error := batch.exception():
            self._fail(texts, error)
            return
        for text, vector in zip(texts, batch.result(), strict=True):
            self._in_flight.pop(text).set_result(vector)
            if vector is not None:
                self._memo[text] = vector
        while len(self._memo) > self._memo_entries:
            self._memo.popitem(last=False)

    def _fail(self, texts: list[str], error: BaseException) -> None:
        for text in texts:
            # One exception for each: a shared one would grow a traceback with every waiter.
            failure = EmbeddingError(f"the text could not be embedded: {error}")
            failure.__cause__ = error
            self._in_flight.pop(text).set_exception(failure)


def _quiet_future() -> asyncio.Future[Vector | None]:
    """A future that nobody scolds us for when all its waiters left before it failed."""
    future: asyncio.Future[Vector | None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _frozen(row: Vector) -> Vector:
    vector = row.copy()
    vector.flags.writeable = False
    return vector
