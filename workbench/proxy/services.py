"""What the routes work with. Made in `app`'s lifespan, one for each running server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from workbench.backend.backend import Backend
from workbench.backend.pool import Pool
from workbench.cache.cache import Semantic, SemanticCache
from workbench.cache.seams import AsyncEmbedder
from workbench.proxy.auditing import Auditor
from workbench.proxy.auth import Gate
from workbench.proxy.exchange import Exchanger
from workbench.proxy.flight import Flights
from workbench.proxy.telemetry import Telemetry
from workbench.proxy.tokens import TokenCounter


@dataclass(frozen=True, slots=True)
class Limits:
    """What the wire needs from the settings: bytes and seconds."""

    body_max_bytes: int
    headers_after_s: float
    ping_every_s: float
    write_timeout_s: float
    batch_tenants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Services:
    """All collaborators of the routes, open and ready."""

    gate: Gate
    pool: Pool
    cache: SemanticCache
    embedder: AsyncEmbedder | None
    embedder_name: str
    semantic: Callable[[str], Semantic]
    flights: Flights
    exchanger: Exchanger
    auditor: Auditor | None
    tokens: TokenCounter
    telemetry: Telemetry
    limits: Limits
    backend_for: Callable[[str], Backend]
    rents: bool


def services(request: Request) -> Services:
    """The running server's services."""
    found: Services = request.app.state.services
    return found


def request_id(request: Request) -> str:
    """The id that the response's ``request-id`` header carries."""
    id: str = request.scope["state"]["request_id"]
    return id
