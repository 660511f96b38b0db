"""RedisVL's SemanticCache: a library on a Redis with vector search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.environments import PeerSkipped
from benchmarks.peers.peer import CachePeer, Peer
from benchmarks.stand_ins.redis import RedisMissing, parts, running


@contextmanager
def _redis(folder: Path) -> Iterator[dict[str, str]]:
    """A Redis of its own."""
    try:
        parts()
    except RedisMissing as missing:
        raise PeerSkipped(str(missing)) from None
    with running(folder / "redis") as server:
        yield {"redis": server.url}


REDISVL = Peer(
    "RedisVL",
    requirements=("redisvl==0.28.0",),
    cache=CachePeer("benchmarks.peers.workers.redisvl", needs=_redis),
)
