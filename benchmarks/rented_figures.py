"""What renting and tunnels cost: against the stand-in of vast.ai with its delays at zero, over real SSH on loopback."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx2
from pydantic import SecretStr

from benchmarks.figures import Figure, Target
from benchmarks.measuring import Effort
from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from benchmarks.stand_ins.vast import StandInVast, running
from benchmarks.stand_ins.vast_ssh import SshHosting
from workbench.cache.memory_store import MemoryStore
from workbench.fleet.asyncssh_tunnel import AsyncsshOpener
from workbench.fleet.forward import Forward
from workbench.fleet.nodes import Node
from workbench.fleet.opening import Site, open_fleet
from workbench.fleet.system_tunnel import SystemOpener
from workbench.fleet.terms import Limits, Terms
from workbench.fleet.tunnel import Opener

MODEL = "qwen3-coder:30b"
TERMS = Terms(
    model=MODEL,
    price_cap_usd_per_h=Decimal("0.60"),
    limits=Limits(starting_poll_s=0.05, poll_s=0.2, notice_s=0.0),
)
LARGE_BYTES = 20_000_000
LIMIT_S = 60.0


@dataclass(slots=True)
class _Found:
    """Rounds of one kind of tunnel."""

    added_ms: list[float] = field(default_factory=list)
    mb_per_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)


def rented(folder: Path, effort: Effort) -> Iterator[Figure]:
    """From `up` to the first token, and what each kind of tunnel adds, carries, and takes to come back."""
    starts_s: list[float] = []
    kinds = {kind: _Found() for kind in ("asyncssh", "ssh") if kind == "asyncssh" or shutil.which(kind)}
    requests = max(20, effort.latency // 2)
    for number in range(effort.rounds):
        asyncio.run(_round(folder / f"rented-{number}", requests, starts_s, kinds))
    yield Figure("rented_start", "fleet up: to the first token through the tunnel", starts_s, "s", 1, Target(3))
    for kind, found in kinds.items():
        name, about = f"tunnel_{kind}", f"tunnel by {kind}"
        yield Figure(f"{name}_added", f"{about}: added to a request, p50", found.added_ms, "ms", requests, Target(0.5))
        speed = Target(10, at_least=True)
        yield Figure(f"{name}_mb_per_s", f"{about}: carries", found.mb_per_s, "MB/s", 1, speed)
        yield Figure(f"{name}_back", f"{about}: back after a drop, on the same port", found.back_s, "s", 1, Target(2))


async def _round(folder: Path, requests: int, starts_s: list[float], kinds: dict[str, _Found]) -> None:
    hosting = SshHosting(thinking=lambda _: StandInOllama(text("x" * LARGE_BYTES), models=()))
    market = StandInVast(hosting=hosting, gaps_s={})
    async with AsyncExitStack() as stack:
        url = stack.enter_context(running(market))
        client = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=LIMIT_S))
        site = Site(SecretStr(market.key), url, folder, gaps_s={})
        fleet = await stack.enter_async_context(open_fleet(TERMS, site, MemoryStore(max_bytes=2**20)))
        began_s = time.perf_counter()
        (node,) = (await fleet.up(1)).nodes
        await _first_token(client, (fleet.links.url(node.label) or "").removeprefix("ollama+").partition("?")[0])
        starts_s.append(time.perf_counter() - began_s)
        key = site.folder / "ssh_key"
        openers: dict[str, Opener] = {"asyncssh": AsyncsshOpener(key), "ssh": SystemOpener(key)}
        for kind, found in kinds.items():
            await _through(openers[kind], node, hosting, client, requests, found)
        await fleet.down()


async def _through(
    opener: Opener, node: Node, hosting: SshHosting, client: httpx2.AsyncClient, requests: int, found: _Found
) -> None:
    direct = hosting.address(node.instance_id or 0)
    async with Forward([opener], node.addresses, host_key=node.host_key) as forward:
        await forward.wait_up(timeout_s=LIMIT_S)
        here = f"http://127.0.0.1:{forward.local_port}"
        found.added_ms.append(await _median_ms(client, here, requests) - await _median_ms(client, direct, requests))
        began_s = time.perf_counter()
        carried = await _first_token(client, here)
        found.mb_per_s.append(carried / 1e6 / (time.perf_counter() - began_s))
        hosting.drop(node.instance_id or 0)
        began_s = time.perf_counter()
        while forward.is_up:  # noqa: ASYNC110  # its going down makes no event
            await asyncio.sleep(0.001)
        await forward.wait_up(timeout_s=LIMIT_S)
        (await client.get(f"{here}/api/version")).raise_for_status()
        found.back_s.append(time.perf_counter() - began_s)


async def _first_token(client: httpx2.AsyncClient, address: str) -> int:
    """Ask for a reply of one large token; gives its bytes."""
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    answer = await client.post(f"{address}/api/chat", json=ask)
    answer.raise_for_status()
    return len(answer.content)


async def _median_ms(client: httpx2.AsyncClient, address: str, requests: int) -> float:
    times_ms = []
    for _ in range(requests):
        began_s = time.perf_counter()
        (await client.get(f"{address}/api/version")).raise_for_status()
        times_ms.append((time.perf_counter() - began_s) * 1e3)
    return statistics.median(times_ms)
