"""litellm's proxy, with its cache in memory: exact repeats only."""

from __future__ import annotations

import json
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
    upstream = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{upstreams.openai}/v1", "api_key": "sk-unused"}
    told = {
        "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
        "litellm_settings": {"cache": True, "cache_params": {"type": "local"}, "telemetry": False},
    }
    (folder / "config.yaml").write_text(json.dumps(told))  # JSON is YAML
    command = [environment.program("litellm"), "--config", str(folder / "config.yaml"), "--telemetry", "False"]
    command += ["--host", LOOPBACK, "--port", str(port)]
    variables = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for prices
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # on loopback, and ours asks for no key either
        "LITELLM_LOG": "ERROR",
    }
    with (
        group(command, folder=folder, environment=variables) as started,
        answering(started, f"http://{LOOPBACK}:{port}", ready="/health/liveliness", model=MODEL) as running,
    ):
        yield running


LITELLM = Peer(
    "litellm",
    requirements=("litellm[proxy]==1.106.2",),
    proxy=ProxyPeer(_started, speaks="openai", upstream="openai", remembers=True),
)
