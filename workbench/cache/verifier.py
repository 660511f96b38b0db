"""Two questions → whether one answer serves both: a small cross-encoder that reads them together.

An embedder sees each text alone and cannot tell what sets two of them apart; this model attends from one to the
other. It costs as much as an embedding, so it is asked only where cheaper evidence leaves a doubt.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from workbench.cache.runtime import LONGEST_PIECE_CHARACTERS, open_session, open_tokenizer, unknown_id
from workbench.cache.verifier_folder import HEAD_FILE, VERIFIER_CARD, VerifierCard
from workbench.errors import ConfigurationError, EmbeddingError


class Verifier:
    """A verifier's model folder in memory. Raises `ConfigurationError` when it cannot be loaded."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        try:
            self.card = VerifierCard.model_validate_json((folder / VERIFIER_CARD).read_bytes())
            self._tokenizer = open_tokenizer(folder / "tokenizer.json")
            self._session = open_session(folder / "model.onnx", threads=threads)
            self._head = np.load(folder / HEAD_FILE)
        except (OSError, ValidationError, ValueError) as error:
            raise ConfigurationError(f"{folder} is not a whole verifier folder: {error}") from error
        except Exception as error:  # both libraries raise plain exceptions of their own for a bad file
            raise ConfigurationError(f"{folder} holds a broken model, delete it to have it rebuilt: {error}") from error
        self._unknown_id = unknown_id(self._tokenizer)

    @property
    def revision(self) -> str:
        """Names all that its answers depend on: a policy was fitted with one."""
        return self.card.revision

    def logit(self, question: str, candidate: str) -> float | None:
        """The larger, the surer that one answer serves both; whichever comes first, it is the same.

        None when the two do not fit into the window or hold something unknown. Raises `EmbeddingError`.
        """
        one, other = sorted((question, candidate))
        if len(one) + len(other) > self.card.max_tokens * LONGEST_PIECE_CHARACTERS:
            return None
        read = self._tokenizer.encode(one, other)
        if len(read.ids) > self.card.max_tokens or self._unknown_id in read.ids:
            return None
        feeds = {
            "input_ids": np.array([read.ids], np.int64),
            "attention_mask": np.ones((1, len(read.ids)), np.int64),
            "token_type_ids": np.array([read.type_ids], np.int64),
        }
        try:
            (hidden,) = self._session.run(None, feeds)
        except Exception as error:  # onnxruntime has no root for its errors
            raise EmbeddingError(f"the verifier failed on two texts: {error}") from error
        return float(hidden[0, 0] @ self._head[:-1] + self._head[-1])

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The same for many pairs, one after the other."""
        return [self.logit(question, candidate) for question, candidate in pairs]


class VerifyingService:
    """Asks a verifier from many coroutines, in one thread of its own; remembers its last answers."""

    def __init__(self, verifier: Verifier, *, memo_entries: int = 2048) -> None:
        self.verifier = verifier
        self._memo_entries = memo_entries
        self._memo: OrderedDict[tuple[str, str], float | None] = OrderedDict()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verifier")

    async def logit(self, question: str, candidate: str) -> float | None:
        """See `Verifier.logit`; raises `EmbeddingError` also when it was closed."""
        key = (question, candidate)
        if key in self._memo:
            self._memo.move_to_end(key)
            return self._memo[key]
        if self._closed:
            raise EmbeddingError("the verifier was closed: it reads nothing more")
        loop = asyncio.get_running_loop()
        logit = await loop.run_in_executor(self._thread, self.verifier.logit, question, candidate)
        self._memo[key] = logit
        while len(self._memo) > self._memo_entries:
            self._memo.popitem(last=False)
        return logit

    async def close(self) -> None:
        """Let the running call end, and stop the thread."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
