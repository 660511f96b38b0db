"""What every backend promises, run on every backend: the scripted ones and the real embedded model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import pytest

from benchmarks.stand_ins import anthropic as messages_server
from benchmarks.stand_ins.anthropic import Answer, StandInMessages, text_reply
from benchmarks.stand_ins.ollama import StandInOllama, running
from benchmarks.stand_ins.ollama_script import Cut as OllamaCut
from benchmarks.stand_ins.ollama_script import Gate as OllamaGate
from benchmarks.stand_ins.ollama_script import Script, Step, Text, Wait
from benchmarks.stand_ins.serving import listen
from workbench.backend.backend import Backend
from workbench.backend.embedded import EmbeddedBackend, find_gguf
from workbench.backend.urls import Timeouts, backend_for
from workbench.errors import BackendError, ConfigurationError, ThinkerUnavailable
from workbench.messages import MessagesRequest
from workbench.reply import Event, MessageStart, MessageStop, collect
from workbench.reply import Text as ReplyText

Opened = Callable[[str], AbstractAsyncContextManager[Backend]]
"""Opens a backend whose Thinker does what its name says: `answers`, `hangs` in mid-reply or is `cut` off there."""


def request(**fields: Any) -> MessagesRequest:
    question = [{"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]}]
    return MessagesRequest.model_validate({"model": "m", "max_tokens": 24, "messages": question} | fields)


def backend_at(url: str) -> Backend:
    return backend_for(url, timeouts=Timeouts(5, 60, 60), num_ctx=4096, keep_alive="1m")


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[Backend]:
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def ollama(behaviour: str) -> AsyncIterator[Backend]:
    scripts: dict[str, Step] = {"answers": Text("4."), "hangs": Wait(OllamaGate()), "cut": OllamaCut()}
    with running(StandInOllama(Script((Text("It is "), scripts[behaviour])))) as url:
        async with opened(backend_at(f"ollama+{url}")) as backend:
            yield backend


@asynccontextmanager
async def anthropic(behaviour: str) -> AsyncIterator[Backend]:
    events = text_reply("It is ", "4.")
    listed = Answer((b'{"data": [{"id": "stand-in", "type": "model"}]}',), content_type="application/json")
    broken = messages_server.Hang() if behaviour == "hangs" else messages_server.Cut()
    steps = events if behaviour == "answers" else (*events[:4], broken)
    server = StandInMessages([listed, Answer(steps), Answer(events)])
    async with server, opened(backend_at(f"anthropic+{server.url}")) as backend:
        yield backend


@asynccontextmanager
async def embedded(behaviour: str) -> AsyncIterator[Backend]:
    if behaviour == "cut":
        pytest.skip("the real model is not cut off; test_embedded kills it instead")
    try:
        find_gguf()
    except ConfigurationError as missing:
        pytest.skip(f"NOT TESTED: {missing}")
    async with opened(EmbeddedBackend()) as backend:
        yield backend


@pytest.fixture(params=[ollama, anthropic, embedded], ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Opened:
    chosen: Opened = request.param
    return chosen


def test_reply_is_complete_and_names_the_model_that_was_listed(kind: Opened) -> None:
    async def story() -> None:
        async with kind("answers") as backend:
            [model, *_] = await backend.models()
            events = [event async for event in backend.stream(request(), model=model.name)]
        reply = collect(events)
        assert events[0] == MessageStart(model.name, events[0].usage)  # type: ignore[union-attr]  # a MessageStart
        assert isinstance(events[-1], MessageStop)
        assert reply.model == model.name
        assert model.digest
        assert reply.usage.prompt_tokens > 0
        assert reply.usage.output_tokens > 0
        assert "".join(block.text for block in reply.content if isinstance(block, ReplyText)).strip()

    asyncio.run(story())


def test_stream_that_is_closed_midway_harms_no_later_one(kind: Opened) -> None:
    async def story() -> None:
        async with kind("hangs") as backend:
            [model, *_] = await backend.models()
            async with aclosing(backend.stream(request(), model=model.name)) as events:
                assert isinstance(await anext(events), MessageStart)
            if kind is not ollama:  # whose script would hang again
                assert collect([event async for event in backend.stream(request(), model=model.name)])

    asyncio.run(story())


def test_reply_that_is_cut_off_raises(kind: Opened) -> None:
    async def story() -> None:
        seen: list[Event] = []
        async with kind("cut") as backend:
            [model, *_] = await backend.models()
            with pytest.raises(BackendError):  # noqa: PT012  # reads as far as it comes
                async for event in backend.stream(request(), model=model.name):
                    seen.append(event)  # noqa: PERF401  # what came before the failure counts
        assert seen
        assert not any(isinstance(event, MessageStop) for event in seen)

    asyncio.run(story())


@pytest.mark.parametrize("scheme", ["ollama", "anthropic"])
def test_thinker_that_is_not_there_is_unavailable_and_opening_it_is_no_error(scheme: str) -> None:
    async def story() -> None:
        with listen() as bound:  # bound, but it does not listen
            port = bound.getsockname()[1]
            async with opened(backend_at(f"{scheme}+http://127.0.0.1:{port}")) as backend:
                with pytest.raises(ThinkerUnavailable, match=str(port)):
                    await backend.models()
                with pytest.raises(ThinkerUnavailable, match=str(port)):
                    await anext(backend.stream(request(), model="m"))

    asyncio.run(story())
