"""GPTCache: a library that compares vectors in faiss and keeps texts in SQLite."""

from __future__ import annotations

from benchmarks.peers.peer import CachePeer, Peer

GPTCACHE = Peer(
    "GPTCache",
    # The versions that it asks for are open; SQLAlchemy and faiss it would install by itself, while it runs.
    requirements=("gptcache==0.1.44", "faiss-cpu==1.15.1", "sqlalchemy==2.1.9", "numpy==2.4.6"),
    cache=CachePeer(
        "benchmarks.peers.workers.gptcache",
    ),
)
