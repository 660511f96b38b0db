"""A fleet for real: the stand-in market over loopback, real SSH to its machines, a model behind each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast, running
from benchmarks.stand_ins.vast_script import Life, Lives, Machine, all_well
from benchmarks.stand_ins.vast_ssh import SshHosting
from workbench.cache.memory_store import MemoryStore
from workbench.errors import FleetError, KeyRefused, MarketRefused
from workbench.fleet.links import Members
from workbench.fleet.nodes import Roll
from workbench.fleet.opening import Fleet, Site, open_fleet
from workbench.fleet.terms import Budget, Limits, Terms

LIMITS = Limits(starting_poll_s=0.05, poll_s=0.05, notice_s=0.0, lease_s=30.0)
TERMS = Terms(model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"), limits=LIMITS)
LIMIT_S = 20.0


class Spot:
    """One test's market, files and store."""

    def __init__(self, folder: Path, *, lives: Lives = all_well, **stand_in: Any) -> None:
        self.stand_in = StandInVast(hosting=SshHosting(), lives=lives, gaps_s={}, **stand_in)
        self.folder = folder
        self.store = MemoryStore(max_bytes=2**20)

    @contextlib.asynccontextmanager
    async def fleet(self, url: str, terms: Terms = TERMS, *, members: Members | None = None) -> AsyncIterator[Fleet]:
        site = Site(SecretStr(self.stand_in.key), url, self.folder, gaps_s={})
        async with asyncio.timeout(LIMIT_S), open_fleet(terms, site, self.store, members=members) as fleet:
            yield fleet


async def look_until(fleet: Fleet, happened: Callable[[Roll], bool]) -> Roll:
    async with asyncio.timeout(LIMIT_S):
        while True:
            looked = await fleet.controller.look()
            assert looked
            if happened(looked.roll):
                return looked.roll
            await asyncio.sleep(0.02)


async def states_of(fleet: Fleet, *states: str) -> None:
    """Wait until the machines on the roll are so."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if [node.state for node in (await fleet.registry.read()).nodes] == list(states):
                return
            await asyncio.sleep(0.02)


def ready(roll: Roll) -> int:
    return sum(node.state == "ready" for node in roll.nodes)


async def first_token(url: str) -> str:
    address = url.removeprefix("ollama+").partition("?")[0]
    ask = {"model": TERMS.model, "messages": [{"role": "user", "content": "Say hello"}]}
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        lines = (await client.post(f"{address}/api/chat", json=ask)).text.splitlines()
    return "".join(json.loads(line)["message"]["content"] for line in lines)


def test_two_machines_are_rented_proved_answer_and_are_given_back_to_the_cent(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path)
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                roll = await fleet.up(2)
                assert len({node.machine_id for node in roll.nodes}) == 2
                for node in roll.nodes:
                    assert node.host_key.startswith("ssh-ed25519 ")
                    assert await first_token(fleet.links.url(node.label) or "")
                await fleet.down()
                assert spot.stand_in.market.live() == []
                assert await fleet.ledger.live() == ()
                charges = await fleet.market.charges(since_s=0, until_s=4e9)
                compared = await fleet.ledger.reconcile(charges)
                assert compared.unknown == ()
                assert abs(compared.difference_usd) < Decimal("0.01")

    asyncio.run(run())


def test_a_machine_whose_gpu_is_too_small_is_excluded_its_log_kept_and_another_rented(tmp_path: Path) -> None:
    def lives(number: int, machine: Machine) -> Life:
        return Life(gpu_name="GTX 1080") if number == 0 else Life()

    async def run() -> None:
        spot = Spot(tmp_path, lives=lives)
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                roll = await fleet.up(1)
                (excluded,) = roll.excluded
                assert excluded.machine_id != roll.nodes[0].machine_id
                assert excluded.until_s - roll.nodes[0].created_s > 86_000
                (log,) = (tmp_path / "logs").iterdir()
                assert "in the GPU's memory" in log.read_text()
                await fleet.down()

    asyncio.run(run())


def test_an_up_beside_the_controller_says_why_nothing_can_be_rented(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path, credit_usd=0)
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as proxys, spot.fleet(url) as command:
                serving = asyncio.create_task(proxys.serve())
                await look_until(proxys, lambda roll: True)
                with pytest.raises(MarketRefused, match="credit"):
                    await command.up(1)
                serving.cancel()
                await asyncio.wait([serving])

    asyncio.run(run())


def test_three_failed_starts_end_it_with_the_reason(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path, lives=lambda number, machine: Life(gpu_name="GTX 1080"))
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                with pytest.raises(
                    MarketRefused, match="3 machines in a row did not start, the last one because: only"
                ):
                    await fleet.up(1)
                assert len(spot.stand_in.market.instances) == 3
                assert spot.stand_in.market.live() == []

    asyncio.run(run())


def test_when_not_all_that_are_wanted_can_be_had_it_is_told_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path)
        with running(spot.stand_in) as url:
            async with spot.fleet(url, replace(TERMS, price_cap_usd_per_h=Decimal("0.25"))) as fleet:
                with pytest.raises(MarketRefused, match=r"none of them under the cap of \$0.25/h"):
                    await fleet.up(2)
                assert ready(await fleet.registry.read()) == 1
                await fleet.down()

    asyncio.run(run())


class Pool:
    """Members whose requests the test counts."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}

    async def add(self, url: str) -> None:
        self.running[url] = 0

    async def drain(self, url: str) -> None:
        pass

    async def remove(self, url: str) -> None:
        del self.running[url]

    def in_flight(self, url: str) -> int:
        return self.running.get(url, 0)


def test_down_waits_for_the_streams_of_another_process(tmp_path: Path) -> None:
    async def run() -> None:
        spot, pool = Spot(tmp_path), Pool()
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as terminal, spot.fleet(url, members=pool) as proxy:
                await terminal.up(1)
                await proxy.follow_once()
                (thinker,) = pool.running
                pool.running[thinker] = 1
                await proxy.report_once()
                going = asyncio.create_task(terminal.down())
                await states_of(proxy, "draining")
                for _ in range(3):
                    await proxy.follow_once()
                    assert [each.state for each in (await proxy.registry.read()).nodes] == ["draining"]
                pool.running[thinker] = 0
                await proxy.report_once()
                await going
                assert spot.stand_in.market.live() == []

    asyncio.run(run())


def test_a_stream_through_the_own_tunnel_counts_without_a_pool(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path)
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                node = (await fleet.up(1)).nodes[0]
                # The proof's own stream ends a moment after its last byte.
                await look_until(fleet, lambda roll: fleet.links.in_flight(node) == 0)
                port = urlsplit(fleet.links.url(node.label) or "").port
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /api/tags HTTP/1.1\r\nHost: ollama\r\n\r\n")
                await reader.readline()
                assert fleet.links.in_flight(node) == 1
                writer.close()
                await fleet.down()

    asyncio.run(run())


@pytest.mark.parametrize("life", [Life(outbid_s=1.5), Life(offline_s=1.5), Life(exit_s=1.5)], ids=str)
def test_a_machine_that_goes_is_replaced(life: Life, tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path, lives=lambda number, machine: life if number == 0 else Life())
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                first = (await fleet.up(1)).nodes[0]
                roll = await look_until(fleet, lambda roll: ready(roll) == 1 and roll.nodes[0].label != first.label)
                assert await first_token(fleet.links.url(roll.nodes[0].label) or "")
                await fleet.down()
                assert spot.stand_in.market.live() == []

    asyncio.run(run())


def test_another_controller_goes_on_where_the_first_one_crashed(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path)
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                await fleet.up(1)
                first = fleet.registry._holder
            async with spot.fleet(url) as fleet:
                roll = await look_until(fleet, lambda roll: ready(roll) == 1)
                assert roll.holder != first
                assert len(spot.stand_in.market.instances) == 1
                await fleet.down()

    asyncio.run(run())


def test_another_host_with_its_own_ledger_and_key_leaves_the_machines_alone_until_it_adopts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        spot = Spot(tmp_path / "a")
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                (node,) = (await fleet.up(1)).nodes
            spot.folder = tmp_path / "b"
            async with spot.fleet(url) as fleet:
                for _ in range(2):
                    await fleet.follow_once()
                assert fleet.links.url(node.label) is None
                assert caplog.text.count("does not open the machines") == 1
                for refused in (fleet.up(2), fleet.down()):
                    with pytest.raises(FleetError, match=r"in the ledger .* of another host"):
                        await refused
                order = await fleet.orders.read()
                assert order is not None
                assert order.count == 0  # who has the ledger gives them back
                assert len(spot.stand_in.market.live()) == 1
                await fleet.adopt()
                await fleet.down()
                assert spot.stand_in.market.live() == []
                assert (await fleet.ledger.cost()).total_usd > 0

    asyncio.run(run())


def test_an_instance_of_this_fleet_that_nobody_knows_is_swept(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path)
        with running(spot.stand_in) as url:
            async with spot.fleet(url) as fleet:
                roll = await fleet.up(1)
                await fleet.registry.write(replace(roll, nodes=()))  # as if the roll had been lost
                await look_until(fleet, lambda roll: len(spot.stand_in.market.live()) == 1 and ready(roll) == 1)
                await fleet.down()
                assert spot.stand_in.market.live() == []

    asyncio.run(run())


# ── bad input ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("terms", "stand_in", "told"),
    [
        (replace(TERMS, price_cap_usd_per_h=Decimal("0.01")), {}, r"none of them under the cap of \$0.01/h"),
        (replace(TERMS, model_gb=500.0, disk_gb=600.0), {}, "no offer has what is asked: a GPU with 528 GB"),
        (TERMS, {"credit_usd": 0}, "credit"),
        (replace(TERMS, budget=Budget(hourly_usd=Decimal("0.05"))), {}, r"the hourly budget of \$0.05"),
    ],
    ids=("cap", "too large", "no credit", "budget"),
)
def test_what_cannot_be_rented_is_told_and_costs_nothing(
    terms: Terms, stand_in: dict[str, Any], told: str, tmp_path: Path
) -> None:
    async def run() -> None:
        spot = Spot(tmp_path, **stand_in)
        with running(spot.stand_in) as url:
            async with spot.fleet(url, terms) as fleet:
                with pytest.raises(FleetError, match=told):
                    await fleet.up(1)
                assert spot.stand_in.market.instances == {}

    asyncio.run(run())


def test_a_wrong_key_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        spot = Spot(tmp_path)
        with running(spot.stand_in) as url:
            site = Site(SecretStr("wrong"), url, tmp_path, gaps_s={})
            async with open_fleet(TERMS, site, spot.store) as fleet:
                with pytest.raises(FleetError, match="VAST_API_KEY"):
                    await fleet.up(1)

    asyncio.run(run())


def test_no_key_is_refused_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_fleet(TERMS, Site(SecretStr(""), "http://127.0.0.1:1", tmp_path), MemoryStore(max_bytes=2**20)):
            pass

    with pytest.raises(KeyRefused, match="VAST_API_KEY"):
        asyncio.run(run())
