"""The seam behind which Thinkers stand.

A backend speaks one Thinker's protocol. It takes the canonical request (content always a list of blocks, no
billing block, tool ids t0, t1, …; what is keyed is what is sent) and yields the reply's events as they come.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from workbench.messages import MessagesRequest
from workbench.reply import Event


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a Thinker has; `digest` tells one quantisation or revision from another."""

    name: str
    digest: str
    context_tokens: int | None = None


class Backend(Protocol):
    """One Thinker. Implementations are bound to one event loop and opened and closed in `app`'s lifespan."""

    url: str
    """The address as the user gave it, without secrets; it names the Thinker in logs and headers."""

    async def open(self) -> None:
        """Connect or start what is needed; raises `ConfigurationError` when it can never work."""

    async def close(self) -> None:
        """Release everything; open streams end."""

    async def models(self) -> tuple[Model, ...]:
        """What it has now, its default model first; raises `BackendError` when it cannot be asked."""

    def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        """Ask `model` and yield the reply's events.

        The first event comes with the Thinker's first sign of an answer, not before: until then a failure can
        still be retried. A complete reply ends with `MessageStop`; anything else raises: `BackendError` when
        another try may succeed, `InvalidRequest` (`PromptTooLong`) when it cannot. Closing the iterator
        (``aclose``) or cancelling its task aborts the generation at once.
        """


@runtime_checkable
class SeesLoads(Protocol):
    """A backend that can tell which of its models are in memory now."""

    async def loaded(self) -> frozenset[str]:
        """Their names; raises `BackendError`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download has come; 0 of 0 bytes where nothing is counted."""

    status: str
    done_bytes: int = 0
    total_bytes: int = 0


@runtime_checkable
class Pulls(Protocol):
    """A backend that can fetch a model it does not have."""

    def pull(self, model: str) -> AsyncGenerator[Progress, None]:
        """Fetch it; raises `BackendError`, and `NotFound` when there is none of that name."""
