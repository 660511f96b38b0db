"""What a peer is: a cache that is asked in a process of its own, or a proxy that is asked over HTTP, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.peers.environments import Environment
from benchmarks.peers.processes import Group

Dialect = Literal["messages", "openai", "ollama"]
"""The API that is spoken."""


def _no_options(_folder: Path) -> AbstractContextManager[dict[str, str]]:
    return nullcontext({})


@dataclass(frozen=True, slots=True)
class CachePeer:
    """A library: the worker's module, and what it needs beside itself while it works.

    `needs` may raise `PeerSkipped`.
    """

    worker: str
    needs: Callable[[Path], AbstractContextManager[Mapping[str, str]]] = _no_options


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The scripted servers that stand behind a proxy, by the API that they speak; no `/v1` at the end."""

    ollama: str
    openai: str


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that answers: whom to ask, in which way, and what it calls the model."""

    group: Group
    url: str
    model: str


@dataclass(frozen=True, slots=True)
class ProxyPeer:
    """A server: how it is started (which may raise `PeerSkipped`), and what it speaks on either side."""

    start: Callable[[Environment, Path, Upstreams], AbstractContextManager[Running]]
    speaks: Dialect
    upstream: Literal["openai", "ollama"]
    remembers: bool
    """Whether it has a cache of replies."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One of those that are compared. Without requirements it is our own; the first one's version is told."""

    name: str
    requirements: tuple[str, ...] = ()
    cache: CachePeer | None = None
    proxy: ProxyPeer | None = None


@contextmanager
def answering(group: Group, url: str, *, ready: str, model: str, limit_s: float = 60.0) -> Iterator[Running]:
    """The proxy once this path of it answers."""
    group.wait_until_answering(f"{url}{ready}", limit_s=limit_s)
    yield Running(group, url, model)
