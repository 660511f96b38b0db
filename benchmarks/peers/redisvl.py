"""RedisVL's SemanticCache: a library on a Redis with vector search."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.environments import PeerSkipped
from benchmarks.peers.peer import CachePeer, Peer

STAND_IN = "benchmarks.stand_ins.redis"


@contextmanager
def _redis(folder: Path) -> Iterator[dict[str, str]]:
    """A Redis of its own."""
    if importlib.util.find_spec(STAND_IN) is None:
        raise PeerSkipped(f"needs a Redis with vector search: {STAND_IN} is not there")
    redis = importlib.import_module(STAND_IN)
    try:
        redis.parts()
    except redis.RedisMissing as missing:
        raise PeerSkipped(str(missing)) from None
    with redis.running(folder / "redis") as server:
        yield {"redis": server.url}


REDISVL = Peer(
    "RedisVL",
    requirements=("redisvl==0.28.0",),
    cache=CachePeer("benchmarks.peers.workers.redisvl", needs=_redis),
)
