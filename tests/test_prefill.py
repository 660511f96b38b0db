"""A new machine reads what prompts begin with before it takes requests."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from benchmarks.stand_ins.ollama import StandInOllama, running
from benchmarks.stand_ins.ollama_script import Answer, Refusal, text
from tests.test_pool import QWEN, ScriptedBackend, pool_of
from workbench.backend.pool import Pool
from workbench.backend.prefill import KEPT, MOST, Prefills
from workbench.backend.prefixes import prefix_of
from workbench.backend.urls import Timeouts, backend_for
from workbench.messages import MessagesRequest
from workbench.proxy.rented import PoolMembers
from workbench.reply import collect

TOOLS = [{"name": "Bash", "description": "Runs a command", "input_schema": {"type": "object", "properties": {}}}]
make = partial(backend_for, timeouts=Timeouts(5, 5, 5), num_ctx=32_768, keep_alive="5m")


def asked(question: str, *, system: str = "Be brief. " * 500) -> MessagesRequest:
    return MessagesRequest.model_validate(
        {
            "model": "m", "max_tokens": 64, "system": system, "tools": TOOLS,
            "messages": [{"role": "user", "content": question}],
        }
    )  # fmt: skip


async def ask(pool: Pool, question: str, **more: Any) -> str:
    call = pool.call(asked(question, **more), await pool.resolve("claude"))
    collect([event async for event in call.events()])
    return call.thinker


def test_the_first_chat_of_a_new_machine_is_what_a_session_begins_with() -> None:
    async def story(old: str, new: str, machine: StandInOllama) -> None:
        async with Pool([make(f"ollama+{old}")], refresh_every_s=3600) as pool:
            await ask(pool, "What is a mutex?")
            await PoolMembers(pool, make).add(f"ollama+{new}")
            (prefill,) = machine.chats
            assert prefill["options"]["num_predict"] == 1
            pool.drain(pool.thinkers[0].id)
            await ask(pool, "And a semaphore?")
            session = machine.chats[1]
            assert session["options"]["num_predict"] == 64
            assert session["messages"][0] == prefill["messages"][0]
            assert session["messages"][0]["role"] == "system"
            assert session["tools"] == prefill["tools"]
            assert session["messages"][1] != prefill["messages"][1]

    machine = StandInOllama(text("Hello"))
    with running(StandInOllama(text("Hello"))) as old, running(machine) as new:
        asyncio.run(story(old, new, machine))


@pytest.mark.parametrize("answer", [Refusal(500, "broken"), text()], ids=("refuses", "says nothing"))
def test_a_machine_that_cannot_read_ahead_takes_requests_all_the_same(answer: Answer) -> None:
    async def story(old: str, new: str) -> None:
        async with Pool([make(f"ollama+{old}")], refresh_every_s=3600) as pool:
            await ask(pool, "What is a mutex?")
            await PoolMembers(pool, make).add(f"ollama+{new}")
            assert [thinker.state for thinker in pool.thinkers] == ["up", "up"]

    with running(StandInOllama(text("Hello"))) as old, running(StandInOllama(answer)) as new:
        asyncio.run(story(old, new))


def test_where_nobody_else_answers_a_machine_takes_requests_at_once() -> None:
    async def story(old: str, new: str, machine: StandInOllama) -> None:
        async with Pool([make(f"ollama+{old}")], refresh_every_s=3600) as pool:
            await ask(pool, "What is a mutex?")
            pool.drain(pool.thinkers[0].id)
            await PoolMembers(pool, make).add(f"ollama+{new}")
            assert machine.chats == []

    machine = StandInOllama(text("Hello"))
    with running(StandInOllama(text("Hello"))) as old, running(machine) as new:
        asyncio.run(story(old, new, machine))


def test_the_hottest_beginnings_are_read_the_hottest_last_and_few_are_kept() -> None:
    async def story() -> None:
        now = [0.0]
        prefills, backend = Prefills(lambda: now[0]), Heard("a:", QWEN)
        for number in range(KEPT + 5):
            for _ in range(number % 7):
                request = asked("?", system=f"{number} " * 3000)
                prefills.note(request, QWEN, prefix_of(request))
        now[0] = 3600.0
        recent = asked("?", system="recent " * 3000)
        for _ in range(3):
            prefills.note(recent, QWEN, prefix_of(recent))
        short = asked("?", system="short")
        prefills.note(short, QWEN, prefix_of(short))
        async with pool_of(backend) as pool:
            await prefills.warm(pool.thinkers[0])
            assert len(backend.heard) == MOST
            assert backend.heard[-1].startswith("recent ")
            assert pool.thinkers[0].station.warm.shared_tokens(prefix_of(recent)) == prefix_of(recent).tokens[0]
            assert pool.thinkers[0].station.warm.active == 0

    asyncio.run(story())


class Heard(ScriptedBackend):
    """Remembers the system prompts that it was sent."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard: list[str] = []

    async def stream(self, request: MessagesRequest, *, model: str) -> Any:
        self.heard.append("".join(block.text for block in request.system or []))
        async for event in super().stream(request, model=model):
            yield event


def test_a_join_that_is_cancelled_while_it_reads_ahead_leaves_nothing_open() -> None:
    async def story() -> None:
        begun, slow = asyncio.Event(), Stuck("b:", QWEN)
        slow.begun = begun
        async with pool_of(ScriptedBackend("a:", QWEN)) as pool:
            request = asked("?")
            pool.prefills.note(request, QWEN, prefix_of(request))
            joining = asyncio.create_task(pool.add(slow, is_warmed=True))
            await begun.wait()
            assert len(pool.thinkers) == 1  # it takes no requests yet
            joining.cancel()
            await asyncio.wait([joining])
            assert joining.cancelled()
            assert slow.closed == 1
            assert len(pool.thinkers) == 1

    asyncio.run(story())


class Stuck(ScriptedBackend):
    """Never answers."""

    begun: asyncio.Event

    async def stream(self, request: MessagesRequest, *, model: str) -> Any:
        self.begun.set()
        await asyncio.Event().wait()
        yield
