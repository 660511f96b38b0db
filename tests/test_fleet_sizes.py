"""How many machines there are: by load, by order, by other processes, and across restarts. On a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.virtual_time import run_virtually
from tests.fleet_scene import Scene
from workbench.errors import LeaseLost, StoreError
from workbench.fleet.fleet import Controller
from workbench.fleet.nodes import Node, Roll
from workbench.fleet.orders import LAPSES_AFTER_S, NAME, TENANT
from workbench.fleet.scaling import Load
from workbench.fleet.terms import Limits, Scaling, Terms

LIMITS = Limits(poll_s=10.0, notice_s=15.0)
TERMS = Terms(
    model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"), limits=LIMITS, scaling=Scaling(least=0, most=3)
)
PATIENCE_S = 3600.0


@dataclass(slots=True)
class Asked:
    """A load that the test sets; idle since `worked_s`."""

    scene: Scene
    wait_s: float = 0.0
    worked_s: float = 0.0

    def __call__(self) -> Load:
        return Load(self.wait_s, self.scene.now_s() - self.worked_s)

    def ask(self, wait_s: float = math.inf) -> None:
        self.wait_s, self.worked_s = wait_s, self.scene.now_s()


def virtually(folder: Path, play: Callable[[Scene], Awaitable[None]], terms: Terms = TERMS) -> None:
    async def run(loop: object) -> None:
        scene = Scene(loop, folder, terms, StandInVast(clock=lambda: scene.now_s(), credit_usd=1000))  # type: ignore[arg-type]  # its loop is virtual
        await scene.ledger.open()
        try:
            await play(scene)
        finally:
            await scene.ledger.close()

    run_virtually(run)


async def look_until(controller: Controller, happened: Callable[[Roll], bool]) -> Roll:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            looked = await controller.look()
            if looked and happened(looked.roll):
                return looked.roll
            await asyncio.sleep(LIMITS.poll_s)


async def look_for(controller: Controller, seconds: float) -> Roll:
    """The roll after so long a time."""
    end_s = asyncio.get_running_loop().time() + seconds
    return await look_until(controller, lambda _: asyncio.get_running_loop().time() >= end_s)


def are(count: int, state: str = "ready") -> Callable[[Roll], bool]:
    return lambda roll: [node.state for node in roll.nodes] == [state] * count


@contextlib.asynccontextmanager
async def passing(scene: Scene, holder: str, count: int) -> AsyncIterator[Node]:
    """What `up --keep` leaves: so many machines that are ready, a lifted order, and a lease that was given back."""
    async with scene.controller(holder) as controller:
        await scene.orders.place(count)
        roll = await look_until(controller, are(count))
    await scene.orders.lift()
    await scene.registry(holder).release()
    yield roll.nodes[0]


def test_a_controller_that_comes_after_another_keeps_what_the_load_had_rented(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        asked = Asked(scene)
        asked.ask()
        async with scene.controller("a", load=asked) as controller:
            first = await look_until(controller, are(1))
        await scene.registry("a").release()
        async with scene.controller("b", load=lambda: Load(0, 1)) as controller:
            (kept,) = (await look_for(controller, 60)).nodes
            assert (kept.label, kept.state) == (first.nodes[0].label, "ready")

    virtually(tmp_path, play)


def test_a_controller_that_lost_the_lease_begins_with_what_it_finds(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        busy = lambda: Load(0, 1)  # noqa: E731  # a constant
        async with scene.controller("a", load=busy) as a, scene.controller("b") as b:
            assert await a.look()
            await scene.registry("a").release()
            await scene.orders.place(2)
            await look_until(b, are(2))
            await scene.orders.lift()
            await scene.registry("b").release()
            assert are(2)(await look_for(a, 60))

    virtually(tmp_path, play)


# ── orders ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_up_keeps_goes_when_nobody_asks_for_it(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        async with passing(scene, "up", 2), scene.controller("proxy", load=Asked(scene)) as controller:
            assert are(2)(await look_for(controller, 600))
            assert are(0)(await look_for(controller, 600))

    virtually(tmp_path, play)


def test_after_down_a_machine_is_rented_only_for_who_asks_then(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        asked = Asked(scene)
        asked.ask()
        async with scene.controller("proxy", load=asked) as controller:
            await look_until(controller, are(1))
            asked.ask()
            await scene.orders.place(0)
            await look_until(controller, are(0))
            await scene.orders.lift()
            assert are(0)(await look_for(controller, 300))
            asked.ask()
            await look_until(controller, are(1))

    virtually(tmp_path, play)
    virtually(tmp_path / "least", play, replace(TERMS, scaling=Scaling(least=1, most=1)))


def test_an_order_whose_command_died_lapses(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        asked = Asked(scene)
        async with scene.controller("proxy", load=asked) as controller:
            await scene.orders.place(1)
            await look_until(controller, are(1))
            roll = await look_for(controller, LAPSES_AFTER_S + TERMS.scaling.shrink_idle_s + 120)
            assert roll.nodes == ()

    virtually(tmp_path, play)


def test_an_order_holds_while_its_command_lives_and_the_last_one_counts(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        later = type(scene.orders)(scene.store, clock=scene.now_s)
        await scene.orders.place(1)
        for _ in range(20):
            await asyncio.sleep(60)
            await asyncio.gather(scene.orders.keep(), scene.orders.keep())
        order = await later.read()
        assert order
        assert order.until_s > scene.now_s()
        await later.place(2)
        await asyncio.sleep(200)
        await scene.orders.keep()
        await scene.orders.lift()
        order = await later.read()
        assert order
        assert order.count == 2
        assert order.until_s > scene.now_s()

    virtually(tmp_path, play)


def test_an_order_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.store.set_state(TENANT, NAME, b"2", expected=None)
        with pytest.raises(StoreError, match="newer version"):
            await scene.orders.place(1)

    virtually(tmp_path, play)


# ── other processes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_machine_that_another_process_uses_is_drained_until_that_ends(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        other = scene.reports("other")
        async with passing(scene, "up", 1) as node, scene.controller("proxy", load=Asked(scene)) as controller:
            await other.tell({node.label: 1}, None)
            await scene.orders.place(0)
            for _ in range(5):
                assert are(1, "draining")(await look_for(controller, 15))
                await other.tell({node.label: 1}, None)
            await other.tell({}, None)
            await look_until(controller, lambda roll: roll.nodes[0].state == "destroying")
            assert scene.now_s() - node.created_s < PATIENCE_S

    virtually(tmp_path, play)


def test_a_process_that_died_is_not_waited_for(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        async with passing(scene, "up", 1) as node, scene.controller("proxy", load=Asked(scene)) as controller:
            await scene.reports("other").tell({node.label: 1}, Load(math.inf, 0))
            await scene.orders.place(0)
            await look_until(controller, are(1, "draining"))
            assert are(1, "draining")(await look_for(controller, LIMITS.notice_s))
            assert are(0)(await look_for(controller, 40))
            await scene.orders.lift()
            assert are(0)(await look_for(controller, 600))

    virtually(tmp_path, play)


def test_machines_stay_while_any_process_works_and_come_when_any_waits(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        here, there, other = Asked(scene), Asked(scene), scene.reports("other")

        async def told() -> None:
            while True:
                await other.tell({}, there())
                await asyncio.sleep(1)

        telling = asyncio.create_task(told())
        async with scene.controller("proxy", load=here) as controller:
            await look_for(controller, 30)
            there.ask()
            await look_until(controller, are(1))
            for _ in range(10):
                there.ask(0.0)
                assert are(1)(await look_for(controller, 300))
            assert are(0)(await look_for(controller, TERMS.scaling.shrink_idle_s + 60))
        telling.cancel()
        await asyncio.wait([telling])

    virtually(tmp_path, play)


def test_a_process_that_nobody_asks_anything_wants_no_machine(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        unasked, other = Asked(scene, wait_s=math.inf), scene.reports("other")
        async with scene.controller("proxy", load=unasked) as controller:
            for _ in range(10):
                await other.tell({}, Load(0, 0))  # busy, with Thinkers of its own
                assert are(0)(await look_for(controller, 20))

    virtually(tmp_path, play)


# ── a market that is slow, and other terms ──────────────────────────────────────────────────────────────────


class Slow(httpx2.AsyncBaseTransport):
    """Lists nothing before it may, and then what is there at that time."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self.transport = transport
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        self.methods: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.methods.append(request.method)
        if request.url.path == "/api/v1/instances/":
            self.asked.set()
            await self.may.wait()
        return await self.transport.handle_async_request(request)


def test_who_lost_the_lease_while_it_listed_destroys_nothing(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        slow = Slow(scene.stand_in.transport())
        async with (
            scene.controller("slept", load=Asked(scene), transport=slow) as slept,
            scene.controller("successor", lease_s=1.0) as successor,
        ):
            looking = asyncio.create_task(slept.look())
            await slow.asked.wait()
            await scene.orders.place(1)
            while not scene.stand_in.market.live():
                await successor.look()
                await asyncio.sleep(2)
            slow.may.set()
            with pytest.raises(LeaseLost):
                await looking
            assert "DELETE" not in slow.methods

    virtually(tmp_path, play)


def test_a_market_that_does_not_list_in_time_is_not_waited_for(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        slow = Slow(scene.stand_in.transport())
        async with scene.controller("a", load=Asked(scene), transport=slow) as controller:
            looked = await controller.look()
        assert looked
        assert "did not list" in looked.trouble
        assert scene.loop.time() < LIMITS.lease_s

    virtually(tmp_path, play)


def test_machines_with_another_model_are_given_back(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        async with passing(scene, "up", 1) as node:
            assert (node.model, node.context_tokens) == (TERMS.model, TERMS.context_tokens)
            terms = replace(TERMS, model="other:7b", model_gb=5.0)
            async with scene.controller("proxy", terms=terms, load=lambda: Load(0, 1)) as controller:
                (old,) = (await look_until(controller, are(1, "draining"))).nodes
                assert old.why == "another model is wanted: other:7b"
                roll = await look_until(controller, are(1))
                assert roll.nodes[0].model == "other:7b"

    virtually(tmp_path, play)
