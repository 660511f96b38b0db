"""cachellm-proxy: a semantic cache that speaks the OpenAI API, the nearest to ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.children import ROOT
from benchmarks.peers.environments import Environment
from benchmarks.peers.peer import CachePeer, Peer, ProxyPeer, Running, Upstreams, answering
from benchmarks.peers.processes import free_port, group
from benchmarks.stand_ins.serving import LOOPBACK
from workbench.cache.model_folder import minilm_folder
from workbench.settings import data_folder

MODEL = "stand-in"


@contextmanager
def _started(environment: Environment, folder: Path, upstreams: Upstreams) -> Iterator[Running]:
    port = free_port()
    minilm = minilm_folder(data_folder() / "embedders")  # by default it would download its own
    module = "benchmarks.peers.workers.cachellm_server"
    command = [str(environment.python), "-m", module, str(minilm), LOOPBACK, str(port)]
    variables = {
        "PYTHONPATH": str(ROOT),
        "CACHELLM_BACKEND": "memory",
        "CACHELLM_OPENAI_BASE_URL": f"{upstreams.openai}/v1",
        "CACHELLM_OPENAI_API_KEY": "sk-unused",
        "CACHELLM_DISCOVER_MODELS": "false",
        "CACHELLM_LOG_LEVEL": "WARNING",
    }
    with (
        group(command, folder=folder, environment=variables) as started,
        answering(started, f"http://{LOOPBACK}:{port}", ready="/readyz", model=MODEL) as running,
    ):
        yield running


CACHELLM = Peer(
    "cachellm-proxy",
    requirements=("cachellm-proxy==0.3.0",),
    cache=CachePeer("benchmarks.peers.workers.cachellm"),
    proxy=ProxyPeer(_started, speaks="openai", upstream="openai", remembers=True),
)
