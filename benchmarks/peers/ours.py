"""Our own proxy and cache, in the same run: `serve.py` as it is started by hand, and the cache behind it alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks.children import ROOT
from benchmarks.peers.environments import Environment
from benchmarks.peers.peer import CachePeer, Peer, ProxyPeer, Running, Upstreams, answering
from benchmarks.peers.processes import free_port, group
from benchmarks.stand_ins.serving import LOOPBACK
from workbench.settings import data_folder


@contextmanager
def _served(_environment: Environment, folder: Path, upstreams: Upstreams) -> Iterator[Running]:
    port = free_port()
    options = ["--port", str(port), "--store", f"sqlite:///{folder / 'cache.sqlite'}"]
    command = [sys.executable, str(ROOT / "serve.py"), *options, "--thinker", f"ollama+{upstreams.ollama}"]
    data = {"XDG_DATA_HOME": str(data_folder().parent), "PYTHONPATH": str(ROOT)}
    with (
        group(command, folder=folder, environment=data) as started,
        answering(started, f"http://{LOOPBACK}:{port}", ready="/readyz", model="claude-sonnet-4-5") as running,
    ):
        yield running


OURS = Peer(
    "ours",
    cache=CachePeer(
        "benchmarks.peers.workers.ours",
        needs=lambda _folder: nullcontext({"models": str(data_folder() / "embedders")}),
    ),
    proxy=ProxyPeer(_served, speaks="messages", upstream="ollama", remembers=True),
)
