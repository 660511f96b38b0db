"""The tunnels of one process: proofs that are interrupted, and what a controller makes of that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast, running
from workbench.cache.memory_store import MemoryStore
from workbench.errors import TunnelError
from workbench.fleet.links import BEAT_EVERY_S, Links
from workbench.fleet.nodes import Node, Roll, State
from workbench.fleet.onstart import BEAT
from workbench.fleet.opening import Site, open_fleet
from workbench.fleet.proving import Waiting
from workbench.fleet.scaling import Load
from workbench.fleet.terms import Limits, Terms
from workbench.fleet.tunnel import Reader, SshAddress, Tunnel, Writer

TERMS = Terms(model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"), limits=Limits(starting_poll_s=0.01))
BOOTING = Node(
    "thinker:mine:00000000-000000000000:9", 1, 2, "RTX 4090", "bid", Decimal("0.1"), 1.5, 2.5, "booting", 3.5,
    step="ssh", addresses=(SshAddress("127.0.0.1", 1),),
)  # fmt: skip


class Nowhere:
    """Never connects, and says when somebody tries."""

    def __init__(self) -> None:
        self.tried = asyncio.Event()

    async def open(self, address: SshAddress, *, host_key: str, far_port: int) -> Tunnel:
        self.tried.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]  # it never returns


def test_a_proof_whose_link_is_closed_meanwhile_is_not_there_yet() -> None:
    async def run() -> None:
        nowhere = Nowhere()
        async with Links([nowhere], TERMS) as links:
            for stored in (replace(BOOTING, state="renting"), replace(BOOTING, state="destroying")):
                proving = asyncio.create_task(links.prove(BOOTING))
                await nowhere.tried.wait()
                await links.follow(Roll(fleet="00000000", nodes=(stored,)))
                assert isinstance(await proving, Waiting)

    asyncio.run(run())


def test_the_link_to_a_machine_that_the_store_does_not_know_as_booting_yet_stays() -> None:
    async def run() -> None:
        async with Links([Nowhere()], TERMS) as links:
            await links.prove(BOOTING)
            await links.follow(Roll(fleet="00000000", nodes=(replace(BOOTING, state="renting"),)))
            assert links.url(BOOTING.label)

    asyncio.run(run())


class Open:
    """A tunnel that notes what is run, and leads to no Ollama."""

    address, host_key = SshAddress("127.0.0.1", 1), "ssh-ed25519 theirs"

    def __init__(self) -> None:
        self.commands: list[str] = []

    async def open(self, address: SshAddress, *, host_key: str, far_port: int) -> Tunnel:
        return self

    async def dial(self) -> tuple[Reader, Writer]:
        raise TunnelError("nobody listens there")

    async def run(self, command: str, *, timeout_s: float) -> str:
        self.commands.append(command)
        return ""

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


def test_a_machine_is_kept_alive_while_it_boots_and_is_not_silent_when_it_is_ready() -> None:
    async def run() -> None:
        now_s, tunnel = 0.0, Open()
        async with Links([tunnel], TERMS, clock=lambda: now_s) as links:
            for _ in range(20):  # the pull takes long
                await links.prove(BOOTING)
                now_s += BEAT_EVERY_S
            assert tunnel.commands.count(BEAT) >= 10
            assert await links.silent_s(replace(BOOTING, state="ready")) <= 2 * BEAT_EVERY_S

    asyncio.run(run())


def test_silence_counts_from_when_this_process_is_asked_for_it() -> None:
    async def run() -> None:
        now_s, ready = 0.0, replace(BOOTING, state="ready")
        async with Links([Nowhere()], TERMS, clock=lambda: now_s) as links:
            await links.follow(Roll(fleet="00000000", nodes=(ready,)))
            now_s += 600  # another process was the controller, and kept it alive
            assert await links.silent_s(ready) == 0
            for _ in range(13):
                now_s += 10
                silent_s = await links.silent_s(ready)
            assert silent_s == 130  # this one cannot

    asyncio.run(run())


class SlowPool:
    """Takes for ever to add what it has not added before."""

    def __init__(self) -> None:
        self.adding = 0
        self.drained: list[str] = []

    async def add(self, url: str) -> None:
        self.adding += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.adding -= 1

    async def drain(self, url: str) -> None:
        self.drained.append(url)

    async def remove(self, url: str) -> None:
        self.drained.append(url)

    def in_flight(self, url: str) -> int:
        return 0


@pytest.mark.parametrize("state", ["draining", "destroying"])
def test_a_machine_that_is_slow_to_join_keeps_no_other_waiting_and_can_go(state: State) -> None:
    async def run() -> None:
        pool = SlowPool()
        ready = replace(BOOTING, state="ready")
        async with Links([Nowhere()], TERMS, members=pool) as links:
            async with asyncio.timeout(20):
                for _ in range(2):
                    await links.follow(Roll(fleet="00000000", nodes=(ready,)))
                assert pool.adding == 1
                await links.follow(Roll(fleet="00000000", nodes=(replace(ready, state=state),)))
                assert pool.adding == 0
                assert pool.drained == []
                await links.follow(Roll(fleet="00000000"))
                assert links.url(ready.label) is None

    asyncio.run(run())


def test_a_controller_that_ends_by_itself_begins_again(tmp_path: Path) -> None:
    ends: list[BaseException] = [asyncio.CancelledError(), KeyError("a mistake")]

    async def run() -> None:
        looked = asyncio.Event()

        def load() -> Load:
            if ends:
                raise ends.pop()
            looked.set()
            return Load(0.0, 0.0)

        stand_in = StandInVast(gaps_s={})
        with running(stand_in) as url:
            site = Site(SecretStr(stand_in.key), url, tmp_path, gaps_s={})
            async with open_fleet(TERMS, site, MemoryStore(max_bytes=2**20), load=load) as fleet:
                serving = asyncio.create_task(fleet.serve())
                async with asyncio.timeout(20):
                    await looked.wait()
                serving.cancel()
                await asyncio.wait([serving])
                assert serving.cancelled()

    asyncio.run(run())
