"""smg: a router in Rust, without a cache of replies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.environments import Environment
from benchmarks.peers.peer import Peer, ProxyPeer, Running, Upstreams, answering
from benchmarks.peers.processes import free_port, group
from benchmarks.stand_ins.serving import LOOPBACK

MODEL = "stand-in"


@contextmanager
def _started(environment: Environment, folder: Path, upstreams: Upstreams) -> Iterator[Running]:
    port = free_port()
    command = [environment.program("smg"), "launch", "--host", LOOPBACK, "--port", str(port)]
    command += ["--worker-urls", upstreams.openai, "--backend", "openai", "--policy", "cache_aware"]
    command += ["--prometheus-host", LOOPBACK, "--prometheus-port", str(free_port())]  # else it listens for everybody
    command += ["--disable-health-check", "--log-level", "error", "--history-backend", "none"]
    with (
        group(command, folder=folder) as started,
        answering(started, f"http://{LOOPBACK}:{port}", ready="/readiness", model=MODEL) as running,
    ):
        yield running


SMG = Peer(
    "smg",
    requirements=("smg==1.13.0",),
    proxy=ProxyPeer(_started, speaks="openai", upstream="openai", remembers=False),
)
