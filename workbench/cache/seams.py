"""What the cache needs from others, as far as it needs to know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workbench.cache.audit import Permission
from workbench.cache.question import Question
from workbench.cache.store import Vector


class AsyncEmbedder(Protocol):
    """Text → unit vector."""

    async def embed(self, text: str) -> Vector | None:
        """The text's vector; None when the model cannot read all of it. Raises `EmbeddingError`."""

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        """The same for several texts at once, in the given order."""

    def known(self, text: str) -> Vector | None:
        """The text's vector if it was embedded lately; waits for nothing."""


class AsyncVerifier(Protocol):
    """Two texts → whether one answer serves both."""

    async def logit(self, question: str, candidate: str) -> float | None:
        """The larger, the surer; None when the model cannot read all of them. Raises `EmbeddingError`."""


class Vouches(Protocol):
    """Whoever may be asked where the policy is in doubt."""

    async def vouches(self, question: Question, candidate: str) -> bool:
        """Whether one answer serves this question and the stored one; soon, and without raising anything."""


class Permits(Protocol):
    """What was learned in service of who may be served what: the audit, see `workbench.cache.audit`."""

    async def look(self, tenant: str) -> None:
        """Hear what other processes learned; raises `StoreError`."""

    def cut(self, tenant: str) -> float | None:
        """The least score for this tenant, where that is not the policy's own cut; waits for nothing."""

    def era(self, tenant: str) -> int:
        """The number of the era that this is decided in, for the audit; waits for nothing."""

    def may_serve(self, tenant: str, *, scope: str, entry_id: str, question_digest: str) -> Permission:
        """Whether this entry may answer this question by meaning; waits for nothing."""
