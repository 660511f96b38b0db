"""Thinkers that die, stall and talk nonsense: what a client sees of it, and what it must never see."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.ollama_script import (
    Answer,
    Call,
    Calls,
    Cut,
    Delay,
    End,
    Fail,
    Gate,
    Raw,
    Refusal,
    Script,
    Silence,
    Text,
    Wait,
    echo,
    html_page,
    queue_full,
)
from tests.proxying import PLAIN, assert_refused, body, get, post, proxied, proxy
from tests.test_pool import EVENTS, OTHER, QWEN, REPLY, REQUEST, ScriptedBackend, ask, pool_of
from workbench.backend.backend import Backend
from workbench.backend.pool import Pool, Waiting
from workbench.backend.routing import Origin
from workbench.errors import BadReply, MalformedToolCall, Overloaded, ThinkerUnavailable
from workbench.messages import MessagesRequest
from workbench.reply import Event

XML_ERROR = "XML syntax error on line 4: element <parameter> closed by </function>"


# ── tries ───────────────────────────────────────────────────────────────────────────────────────────────────


def failing(url: str, *errors: Exception, after: int = 0) -> ScriptedBackend:
    return ScriptedBackend(url, QWEN, scripts=[(after, error) for error in errors])


def test_three_thinkers_are_tried_and_no_more() -> None:
    async def story() -> None:
        broken = [failing(f"{name}:", *[BadReply("broken")] * 9) for name in "abcd"]
        async with pool_of(*broken) as pool:
            with pytest.raises(BadReply):
                await ask(pool)
            assert sorted(backend.calls for backend in broken) == [0, 1, 1, 1]

    asyncio.run(story())


def test_failure_after_the_opening_alone_is_not_seen() -> None:
    async def story() -> None:
        async with pool_of(failing("a:", BadReply("died"), after=1), ScriptedBackend("b:", QWEN)) as pool:
            assert await ask(pool) == (REPLY, "b:")

    asyncio.run(story())


def test_thinker_that_is_gone_is_not_asked_again_at_once() -> None:
    async def story() -> None:
        gone = failing("a:", *[ThinkerUnavailable("refused")] * 9)
        async with pool_of(gone, ScriptedBackend("b:", QWEN)) as pool:
            for _ in range(5):
                assert await ask(pool) == (REPLY, "b:")
            assert gone.calls == 1

    asyncio.run(story())


def test_malformed_tool_call_is_salvaged_elsewhere_or_with_another_sampling() -> None:
    async def story() -> None:
        async with pool_of(failing("a:", MalformedToolCall("no")), ScriptedBackend("b:", QWEN)) as pool:
            call = pool.call(REQUEST, QWEN)
            assert [event async for event in call.events()] == EVENTS
            assert not call.is_altered
        async with pool_of(failing("a:", MalformedToolCall("no"))) as pool:
            call = pool.call(REQUEST, QWEN)
            assert [event async for event in call.events()] == EVENTS
            assert call.is_altered

    asyncio.run(story())


class Slow(ScriptedBackend):
    """Says nothing until it is let; counts who was cancelled."""

    def __init__(self, url: str) -> None:
        super().__init__(url, QWEN)
        self.go = asyncio.Event()
        self.asked = asyncio.Event()
        self.cancelled = 0

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        async for event in super().stream(request, model=model):
            yield event


def hedging_pool(*backends: Backend) -> Pool:
    return Pool(list(backends), refresh_every_s=3600, waiting=Waiting(hedge_after_s=0.01))


def test_hedged_request_is_answered_by_whoever_speaks_first_and_the_other_is_stopped() -> None:
    async def story() -> None:
        slow, quick = Slow("a:"), ScriptedBackend("b:", QWEN)
        async with hedging_pool(slow, quick) as pool:
            assert await ask(pool) == (REPLY, "b:")
            assert (slow.cancelled, quick.calls) == (1, 1)
            assert all(thinker.in_flight == 0 for thinker in pool.thinkers)
            assert not any(station.running for station in pool.dispatcher.stations)

    asyncio.run(story())


def test_hedging_with_nobody_else_waits_and_a_failed_first_is_tried_again() -> None:
    async def story() -> None:
        alone = Slow("a:")
        async with hedging_pool(alone) as pool:
            asking = asyncio.create_task(ask(pool))
            await alone.asked.wait()
            alone.go.set()
            assert await asking == (REPLY, "a:")
        async with hedging_pool(failing("a:", BadReply("no")), ScriptedBackend("b:", QWEN)) as pool:
            assert await ask(pool) == (REPLY, "b:")

    asyncio.run(story())


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────


def test_full_queue_refuses_and_whoever_waits_is_told_where_and_served_in_turn() -> None:
    async def story() -> None:
        only = Slow("a:?slots=1")
        async with Pool([only], refresh_every_s=3600, waiting=Waiting(queue_max=1)) as pool:
            first = asyncio.create_task(ask(pool))
            await only.asked.wait()
            waiting = pool.call(REQUEST, QWEN, origin=Origin("t", "s"))
            second = asyncio.create_task(anext(waiting.events()))
            while not waiting.waits:  # noqa: ASYNC110  # standing in line makes no event
                await asyncio.sleep(0)
            assert waiting.waits.startswith("queue: 0 of 0 others before you")
            with pytest.raises(Overloaded, match="queue is full") as told:
                await ask(pool)
            assert told.value.retry_after_s >= 1
            only.go.set()
            assert (await first, await second) == ((REPLY, "a:?slots=1"), EVENTS[0])
            assert waiting.waits == ""
            assert waiting.queued_s > 0

    asyncio.run(story())


def test_waiting_ends_at_its_limit_and_leaves_nothing_behind() -> None:
    async def story() -> None:
        only = Slow("a:?slots=1")
        async with Pool([only], refresh_every_s=3600, waiting=Waiting(limit_s=0.01)) as pool:
            first = asyncio.create_task(ask(pool))
            await only.asked.wait()
            with pytest.raises(Overloaded):
                await ask(pool)
            (station,) = pool.dispatcher.stations
            assert len(station.line) == 0
            first.cancel()
            await asyncio.wait([first])
            assert station.running == []

    asyncio.run(story())


def test_who_waits_for_a_thinker_that_is_drained_goes_elsewhere() -> None:
    async def story() -> None:
        busy = Slow("a:?slots=1")
        async with Pool([busy, ScriptedBackend("b:?slots=1", OTHER)], refresh_every_s=3600) as pool:
            first = asyncio.create_task(ask(pool))
            await busy.asked.wait()
            second = asyncio.create_task(ask(pool))
            while not pool.dispatcher.stations[0].line:  # noqa: ASYNC110  # standing in line makes no event
                await asyncio.sleep(0)
            pool.thinkers[1].models = (QWEN,)
            pool.drain("a:?slots=1")
            assert await second == (REPLY, "b:?slots=1")
            busy.go.set()
            assert await first == (REPLY, "a:?slots=1")

    asyncio.run(story())


# ── through the proxy ───────────────────────────────────────────────────────────────────────────────────────


def test_salvaged_reply_of_another_sampling_is_not_stored(tmp_path: Path) -> None:
    tools: list[dict[str, Any]] = [{"name": "t", "input_schema": {"type": "object"}}]
    asked = body("call it", tools=tools, temperature=1)
    good = Script((Calls((Call("t", {"x": 1}),)),))
    thinker = StandInOllama([Script((Fail(XML_ERROR),)), good])
    with proxied(tmp_path, thinker, semantic="off") as address:
        for _ in range(2):
            answered = post(address, asked)
            assert answered.json()["content"][0]["input"] == {"x": 1}
            assert answered.headers["x-cache"] == "miss"
    assert [chat["options"]["temperature"] for chat in thinker.chats] == [1, 0.3, 1]


def test_place_in_the_queue_is_told_as_comments(tmp_path: Path) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Wait(gate), Text("done"))))
    with ExitStack() as stack:
        url = stack.enter_context(ollama_running(thinker))
        settings: dict[str, Any] = {"semantic": "off", "headers_after_s": 0.01, "ping_every_s": 0.02}
        address = stack.enter_context(proxy(tmp_path, thinkers=[f"ollama+{url}?slots=1"], **settings))
        streams = [
            stack.enter_context(httpx2.stream("POST", f"{address}/v1/messages", json=body(n, stream=True), **PLAIN))
            for n in ("one", "two")
        ]
        lines = streams[1].iter_lines()
        assert any(line.startswith(": queue: 0 of 0 others before you, about ") for line in lines)
        gate.release()
        assert any("message_stop" in line for line in lines)
        assert any("message_stop" in line for line in streams[0].iter_lines())
    assert [chat["messages"][-1]["content"] for chat in thinker.chats] == ["one", "two"]


MADNESS: list[Answer | Raw] = [
    html_page(200),
    html_page(502),
    Raw(b'{"model":"m","message":{"role":"assi'),
    Refusal(500, "boom"),
    queue_full(),
    Script((Fail("boom"),)),
    Script((Text("half of it"), Cut())),
    Script((Text("half of it"), Fail("died"))),
    Script((Text("half of it"), End())),
    Script((Raw(b"\xff\xfe not JSON\n"),)),
    Script((Raw(b"x" * 1_000_000),)),
    Script((Silence(),)),
    Script((Delay(0.02), Cut())),
]
MAD: list[Answer] = [Script((step,)) if isinstance(step, Raw) else step for step in MADNESS]


@pytest.fixture
def four() -> Iterator[tuple[list[StandInOllama], list[str]]]:
    with ExitStack() as stack:
        stand_ins = [StandInOllama(echo(chunks=5, delay_s=0.001)) for _ in range(4)]
        yield stand_ins, [f"ollama+{stack.enter_context(ollama_running(it))}" for it in stand_ins]


async def converse(client: httpx2.AsyncClient, address: str, session: int, ended: asyncio.Event) -> list[str]:
    """Ask until the end; what came of each request: whole, refused, broken, or a lie."""
    seen, number = [], 0
    while not ended.is_set():
        number += 1
        question = f"question {number} of session {session}"
        headers = {"x-claude-code-session-id": str(session)}
        asked = body(question, stream=True)
        response = await client.post(f"{address}/v1/messages", json=asked, headers=headers)
        seen.append(verdict(response, question))
    return seen


def verdict(response: httpx2.Response, question: str) -> str:
    """`whole` only if every word is there; `lie` if it ends as if it were."""
    if response.status_code != 200:
        return f"refused {response.status_code}"
    events = [orjson.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    said = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    if events[-1]["type"] == "message_stop":
        return "whole" if said.rstrip(".") == f"You said: {question}" else f"lie: {said}"
    return "broken" if events[-1]["type"] == "error" else f"lie: cut off after {said}"


def test_killed_slowed_and_corrupted_thinkers_never_make_a_wrong_or_cut_reply_look_whole(
    four: tuple[list[StandInOllama], list[str]], tmp_path: Path
) -> None:
    stand_ins, urls = four
    rng = random.Random(5)  # noqa: S311  # reproducible, not secret

    async def story(address: str) -> list[str]:
        ended = asyncio.Event()
        async with httpx2.AsyncClient(**PLAIN) as client, asyncio.TaskGroup() as tasks:
            clients = [tasks.create_task(converse(client, address, number, ended)) for number in range(8)]
            for round_number, madness in enumerate(MAD * 2):
                mad = stand_ins[round_number % 4]
                mad.answer(madness)
                before = sum(it.begun for it in stand_ins)
                enough = before + 15 + rng.randrange(10)
                while sum(it.begun for it in stand_ins) < enough:  # noqa: ASYNC110  # the servers run in threads
                    await asyncio.sleep(0.005)
                mad.answer(echo(chunks=5, delay_s=0.001))
            ended.set()
        return [outcome for task in clients for outcome in task.result()]

    limits = {"first_event_timeout_s": 0.3, "idle_timeout_s": 0.3, "refresh_every_s": 0.2, "semantic": "off"}
    with proxy(tmp_path, thinkers=urls, **limits) as address:
        seen = asyncio.run(story(address))
        assert not [outcome for outcome in seen if outcome.startswith("lie")]
        assert seen.count("whole") > 0.8 * len(seen)
        # What was stored is whole too: asked again, it is the same question's answer.
        entries = get(address, "/api/entries?limit=1000").json()["data"]
        assert entries
        assert all(it["reply"].rstrip(".").startswith("You said: question") for it in entries)
        assert all(
            it["reply"].rstrip(".").removeprefix("You said: ") == it["question"] for it in entries if it["question"]
        )


def test_queue_bound_reaches_the_client_as_529_with_retry_after(tmp_path: Path) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Wait(gate), Text("done"))))
    with ExitStack() as stack:
        url = stack.enter_context(ollama_running(thinker))
        limits: dict[str, Any] = {"semantic": "off", "queue_max": 1, "headers_after_s": 0.01}
        address = stack.enter_context(proxy(tmp_path, thinkers=[f"ollama+{url}?slots=1"], **limits))
        for question in ("one", "two"):
            asked = body(question, stream=True)
            stack.enter_context(httpx2.stream("POST", f"{address}/v1/messages", json=asked, **PLAIN))
        refused = post(address, body("three"))
        assert_refused(refused, 529, "overloaded_error", naming="queue is full")
        assert int(refused.headers["retry-after"]) >= 1
        gate.release()
