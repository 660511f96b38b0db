"""ollama-herd: a router with an agent beside every Ollama; no cache of replies.

While it runs it announces itself by mDNS, which no setting of it prevents.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.environments import Environment
from benchmarks.peers.peer import Peer, ProxyPeer, Running, Upstreams, answering
from benchmarks.peers.processes import free_port, group
from benchmarks.stand_ins.serving import LOOPBACK

MODEL = "stand-in:latest"
SILENT = {"FLEET_NODE_TELEMETRY": "false"}
"""By default it reports daily counts to its makers."""


@contextmanager
def _started(environment: Environment, folder: Path, upstreams: Upstreams) -> Iterator[Running]:
    url = f"http://{LOOPBACK}:{(port := free_port())}"
    router = [environment.program("herd"), "--host", LOOPBACK, "--port", str(port), "--log-level", "ERROR"]
    agent = [environment.program("herd-node"), "--ollama-host", upstreams.ollama, "--router-url", url]
    with (
        group(router, folder=folder, environment=SILENT) as started,
        answering(started, url, ready="/", model=MODEL) as running,
        group(agent, folder=folder / "node", environment=SILENT) as node,
    ):
        node.wait_until_answering(f"{url}/api/tags", holding=MODEL, limit_s=60)
        yield running


OLLAMA_HERD = Peer(
    "ollama-herd",
    requirements=("ollama-herd==0.11.4",),
    proxy=ProxyPeer(_started, speaks="ollama", upstream="ollama", remembers=False),
)
