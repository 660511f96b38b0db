"""The tunnels of one process: to prove machines, to keep them alive, and to send requests through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

import httpx2

from workbench.errors import HostKeyChanged, TunnelError
from workbench.fleet.forward import OLLAMA_PORT, Forward
from workbench.fleet.nodes import Node, Roll
from workbench.fleet.onstart import BEAT
from workbench.fleet.proving import PROVE_S, Proof, Proved, Unfit, Waiting
from workbench.fleet.terms import Terms
from workbench.fleet.tunnel import Opener

log = logging.getLogger(__name__)

PROOF_WAIT_S = 1.0
JOIN_WAIT_S = 1.0
BEAT_EVERY_S = 20.0
BEAT_LIMIT_S = 10.0
UNASKED_S = 60.0
"""After so long without a question somebody else kept the machine alive: silence counts anew."""

ON_GPU = 0.95
"""The part of a model that must lie in the GPU's memory: "size_vram ≈ size"."""


class Members(Protocol):
    """Where ready machines take requests: the pool of Thinkers."""

    async def add(self, url: str) -> None:
        """Send requests there, too; it may take a while, and be cancelled."""

    async def drain(self, url: str) -> None:
        """Send no more requests there."""

    async def remove(self, url: str) -> None:
        """Forget it; what still runs there breaks."""

    def in_flight(self, url: str) -> int:
        """Requests that run there."""


@dataclass(slots=True)
class Link:
    """One machine's way in, and what is being done over it."""

    forward: Forward
    url: str
    model: str
    context_tokens: int
    beaten_s: float
    asked_s: float = -math.inf  # when a controller of this process last wanted it alive
    is_member: bool = False
    is_draining: bool = False
    proof: asyncio.Task[Proof] | None = None
    beat: asyncio.Task[None] | None = None
    joining: asyncio.Task[None] | None = None
    seen: Proof = field(default_factory=lambda: Waiting("ssh", "no SSH connection yet"))


class Links:
    """An async context manager. `follow` keeps tunnels and pool members in step with the roll."""

    def __init__(
        self,
        openers: Sequence[Opener],
        terms: Terms,
        *,
        members: Members | None = None,
        far_port: int = OLLAMA_PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._openers = tuple(openers)
        self._terms = terms
        self._members = members
        self._far_port = far_port
        self._clock = clock
        self._links: dict[str, Link] = {}
        self._opening = asyncio.Lock()
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(5.0, read=PROVE_S),
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),  # one kept open would look like a request
        )

    async def __aenter__(self) -> Links:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*(self.forget(label) for label in list(self._links)))
        await self._client.aclose()

    def url(self, label: str) -> str | None:
        """The Thinker's URL of this node, while there is a way in."""
        link = self._links.get(label)
        return link.url if link else None

    async def follow(self, roll: Roll) -> None:
        """Open, move, drain and close what the roll says."""
        await asyncio.gather(*(self._enlist(node) for node in roll.nodes if node.state in ("ready", "draining")))
        known = {node.label for node in roll.nodes if node.state != "destroying"}
        for label in self._links.keys() - known:
            await self.forget(label)

    async def prove(self, node: Node) -> Proof:
        """How far this machine is; see `Reach`. A proof goes on in the background between two questions."""
        link = await self._link(node)
        self._keep_alive(link)  # a long pull must not outlast the machine's own switch
        proof = link.proof = link.proof or asyncio.create_task(self._prove(link))
        await asyncio.wait([proof], timeout=PROOF_WAIT_S)
        if proof.done():
            link.proof = None
            if not proof.cancelled():  # `forget` cancels it, and the caller must not end with it
                link.seen = proof.result()
        return link.seen

    async def silent_s(self, node: Node) -> float:
        """Seconds since the last heartbeat; see `Reach`."""
        return self._keep_alive(await self._link(node))

    def _keep_alive(self, link: Link) -> float:
        """Write a heartbeat when it is time; how long none could be written, counted while this process tried."""
        now_s = self._clock()
        is_new = now_s - link.asked_s > max(UNASKED_S, 3 * self._terms.limits.poll_s)
        if is_new:
            link.beaten_s = now_s
        link.asked_s = now_s
        is_at_it = link.beat is not None and not link.beat.done()
        if not is_at_it and (is_new or now_s - link.beaten_s >= BEAT_EVERY_S):
            link.beat = asyncio.create_task(self._beat(link))
        return now_s - link.beaten_s

    def in_flight(self, node: Node) -> int:
        """Requests that this process has running there."""
        return self.busy().get(node.label, 0)

    def busy(self) -> dict[str, int]:
        """Requests that this process has running, by label; without a pool, whatever is open through its tunnels."""
        return {label: self._running(link) for label, link in self._links.items()}

    def _running(self, link: Link) -> int:
        return self._members.in_flight(link.url) if self._members else link.forward.streams

    async def forget(self, label: str) -> None:
        """Close what leads there."""
        link = self._links.pop(label, None)
        if link is None:
            return
        await _ended(link.proof, link.beat, link.joining)
        if link.is_member and self._members:
            await self._members.remove(link.url)
        await link.forward.close()

    async def _link(self, node: Node) -> Link:
        """The way to this node, opened when there is none."""
        async with self._opening:
            link = self._links.get(node.label) or await self._open(node)
        link.forward.move(node.addresses)
        return link

    async def _open(self, node: Node) -> Link:
        forward = Forward(self._openers, node.addresses, host_key=node.host_key, far_port=self._far_port)
        await forward.open()
        model, tokens = node.model or self._terms.model, node.context_tokens or self._terms.context_tokens
        url = f"ollama+http://127.0.0.1:{forward.local_port}?model={quote(model, safe=':/')}"
        priced = f"{url}&num_ctx={tokens}&usd_per_h={node.usd_per_h:.4f}"
        self._links[node.label] = Link(forward, priced, model, tokens, beaten_s=self._clock())
        return self._links[node.label]

    async def _enlist(self, node: Node) -> None:
        link = await self._link(node)
        if self._members is None:
            return
        if node.state == "ready" and not link.is_member:
            joining = link.joining = link.joining or asyncio.create_task(self._join(self._members, link))
            await asyncio.wait([joining], timeout=JOIN_WAIT_S)
            if joining.done() and not joining.cancelled():
                link.joining = None
                joining.result()  # raises what went wrong; the next round tries again
        if node.state == "draining" and not link.is_draining:
            link.is_draining = True
            await _ended(link.joining)
            if link.is_member:
                await self._members.drain(link.url)

    async def _join(self, members: Members, link: Link) -> None:
        await members.add(link.url)
        link.is_member = True

    async def _beat(self, link: Link) -> None:
        with contextlib.suppress(TunnelError):
            await link.forward.run(BEAT, timeout_s=BEAT_LIMIT_S)
            link.beaten_s = self._clock()

    # ── the proof ───────────────────────────────────────────────────────────────────────────────────────────

    async def _prove(self, link: Link) -> Proof:
        """SSH, Ollama, the model, a token, and the GPU's memory, in this order."""
        try:
            await link.forward.wait_up(timeout_s=BEAT_LIMIT_S)
        except HostKeyChanged as error:
            return Unfit(str(error))
        except TunnelError as error:
            return Waiting("ssh", str(error))
        key, base, step = link.forward.host_key, f"http://127.0.0.1:{link.forward.local_port}", "ollama"
        try:
            tags = await self._json(f"{base}/api/tags")
            step = "pull"
            if not _named(tags, link.model):
                return Waiting("pull", f"{link.model} is not there yet", key)
            step = "prove"
            return await self._token(link, base, key)
        except (httpx2.HTTPError, ValueError, TypeError, AttributeError) as error:
            return Waiting(step, f"{step}: {str(error) or type(error).__name__}", key)

    async def _token(self, link: Link, base: str, key: str) -> Proof:
        """One token of the model, and where the model lies then."""
        ask = {
            "model": link.model,
            "messages": [{"role": "user", "content": "Hi"}],
            "options": {"num_predict": 1, "num_ctx": link.context_tokens},
        }
        response = await self._client.post(f"{base}/api/chat", json=ask)
        last = (response.text.strip().splitlines() or ["nothing"])[-1]
        if response.status_code != 200 or not json.loads(last).get("done"):
            return Waiting("prove", f"no token came: {last[:200]}", key)
        loaded = _named(await self._json(f"{base}/api/ps"), link.model) or {}
        size, on_gpu = loaded.get("size") or 0, loaded.get("size_vram") or 0
        if size and on_gpu < ON_GPU * size:
            return Unfit(f"only {on_gpu / 1e9:.1f} of {size / 1e9:.1f} GB are in the GPU's memory: it is too small")
        return Proved(key)

    async def _json(self, url: str) -> dict[str, Any]:
        response = await self._client.get(url)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


async def _ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel those that there are, and wait for their end."""
    running = [task for task in tasks if task]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _named(listing: dict[str, Any], model: str) -> dict[str, Any] | None:
    """The row of this model in a list of Ollama's."""
    names = (model, f"{model}:latest")
    return next((row for row in listing.get("models") or [] if row.get("name") in names), None)
