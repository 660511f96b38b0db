"""Which Thinker takes a request, and the second try."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from workbench.backend.backend import Backend, Model
from workbench.backend.pool import Pool
from workbench.errors import InvalidRequest, NotFound, Overloaded, ThinkerUnavailable
from workbench.messages import MessagesRequest
from workbench.reply import Event, Reply, Text, Usage, collect, replay

REPLY = Reply("qwen", (Text("hello"),), "end_turn", None, Usage(1, 2))
EVENTS = list(replay(REPLY))
QWEN, OTHER = Model("qwen:latest", "1"), Model("other", "2")
REQUEST = MessagesRequest.model_validate(
    {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
)


class ScriptedBackend:
    """Answers each call with the next of its scripts: events, then an error if there is one."""

    def __init__(self, url: str, *models: Model, scripts: list[tuple[int, Exception | None]] | None = None) -> None:
        self.url = url
        self.models_now: tuple[Model, ...] | Exception = models
        self.listed = asyncio.Event()
        self.scripts = scripts or []
        self.calls = self.closed = 0

    async def open(self) -> None: ...

    async def close(self) -> None:
        self.closed += 1

    async def models(self) -> tuple[Model, ...]:
        self.listed.set()
        if isinstance(self.models_now, Exception):
            raise self.models_now
        return self.models_now

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        self.calls += 1
        count, error = self.scripts.pop(0) if self.scripts else (len(EVENTS), None)
        for event in EVENTS[:count]:
            yield event
        if error:
            raise error


def pool_of(*backends: Backend) -> Pool:
    return Pool(list(backends), refresh_every_s=3600)


async def ask(pool: Pool, model: Model = QWEN) -> tuple[Reply, str]:
    call = pool.call(REQUEST, model)
    reply = collect([event async for event in call.events()])
    return reply, call.thinker


def test_names_are_resolved_and_unknown_ones_are_told_what_there_is() -> None:
    async def story() -> None:
        async with pool_of(ScriptedBackend("a:", QWEN), ScriptedBackend("b:", OTHER, QWEN)) as pool:
            assert [model.name for model in pool.models] == ["qwen:latest", "other"]
            for name, expected in (("qwen", QWEN), ("qwen:latest", QWEN), ("other", OTHER), ("claude-x", QWEN)):
                assert await pool.resolve(name) == expected
            with pytest.raises(NotFound, match=r"gpt-4.*qwen:latest, other"):
                await pool.resolve("gpt-4")

    asyncio.run(story())


def test_thinker_that_comes_up_later_is_asked_again() -> None:
    async def story() -> None:
        late = ScriptedBackend("a:")
        late.models_now = ThinkerUnavailable("refused")
        async with pool_of(late) as pool:
            with pytest.raises(ThinkerUnavailable, match="refused"):
                await pool.resolve("claude-x")
            late.models_now = (QWEN,)
            assert await pool.resolve("claude-x") == QWEN
            late.models_now = ThinkerUnavailable("gone again")
            await pool.refresh()
            assert await pool.resolve("claude-x") == QWEN  # what it had is still what the cache is keyed by

    asyncio.run(story())


def test_failure_before_the_first_event_goes_to_another_thinker() -> None:
    async def story() -> None:
        failing = ScriptedBackend("a:", QWEN, scripts=[(0, Overloaded("full"))])
        async with pool_of(failing, ScriptedBackend("b:", QWEN)) as pool:
            assert await ask(pool) == (REPLY, "b:")

    asyncio.run(story())


def test_where_there_is_no_other_the_same_is_tried_once_more_and_no_more() -> None:
    async def story() -> None:
        only = ScriptedBackend("a:", QWEN, scripts=[(0, Overloaded("full"))])
        async with pool_of(only) as pool:
            assert await ask(pool) == (REPLY, "a:")
            only.scripts, only.calls = [(0, Overloaded("full"))] * 5, 0
            with pytest.raises(Overloaded):
                await ask(pool)
            assert only.calls == 2

    asyncio.run(story())


@pytest.mark.parametrize(
    ("count", "error"), [(2, Overloaded("died")), (0, InvalidRequest("no")), (2, InvalidRequest("no"))]
)
def test_failure_after_an_event_and_a_deterministic_one_are_not_tried_again(count: int, error: Exception) -> None:
    async def story() -> None:
        failing, other = ScriptedBackend("a:", QWEN, scripts=[(count, error)]), ScriptedBackend("b:", QWEN)
        async with pool_of(failing, other) as pool:
            with pytest.raises(type(error)):
                await ask(pool)
            assert other.calls == 0

    asyncio.run(story())


def test_same_model_with_another_context_is_the_same_model() -> None:
    async def story() -> None:
        small, large = Model("qwen:latest", "1", 4096), Model("qwen:latest", "1", 32768)
        failing = ScriptedBackend("a:", small, scripts=[(0, Overloaded("full"))])
        async with pool_of(failing, ScriptedBackend("b:", large)) as pool:
            assert pool.models == [small]
            assert await ask(pool, await pool.resolve("claude-x")) == (REPLY, "b:")

    asyncio.run(story())


def test_memory_still_answers_for_the_models_of_the_last_thinker_that_left() -> None:
    async def story() -> None:
        async with pool_of(ScriptedBackend("a:", QWEN)) as pool:
            pool.drain("a:")
            while pool.thinkers:  # noqa: ASYNC110  # its going makes no event
                await asyncio.sleep(0)
            assert await pool.resolve("claude-opus-4") == QWEN
            with pytest.raises(ThinkerUnavailable):
                await ask(pool)

    asyncio.run(story())


def test_least_busy_thinker_that_has_the_model_is_taken() -> None:
    async def story() -> None:
        backends = [ScriptedBackend("a:", QWEN), ScriptedBackend("b:", OTHER), ScriptedBackend("c:", QWEN)]
        async with pool_of(*backends) as pool:
            first = pool.call(REQUEST, QWEN).events()
            await anext(first)
            assert (await ask(pool))[1] == "c:"
            await first.aclose()
            assert (await ask(pool))[1] == "a:"
            assert (await ask(pool, OTHER))[1] == "b:"
            assert all(thinker.in_flight == 0 for thinker in pool.thinkers)
            with pytest.raises(ThinkerUnavailable):
                await ask(pool, Model("qwen:latest", "another digest"))
        assert [backend.closed for backend in backends] == [1, 1, 1]

    asyncio.run(story())
