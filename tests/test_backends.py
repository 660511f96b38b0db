"""What every backend promises, run on every backend: the scripted ones and the real models."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from benchmarks.stand_ins.anthropic import Answer as MessagesAnswer
from benchmarks.stand_ins.anthropic import StandInMessages
from benchmarks.stand_ins.anthropic_script import told
from benchmarks.stand_ins.ollama import ServedModel, StandInOllama
from benchmarks.stand_ins.ollama_script import (
    Answer,
    Call,
    Calls,
    Cut,
    End,
    Endless,
    Fail,
    Gate,
    Raw,
    Refusal,
    Script,
    Silence,
    Text,
    Thinking,
    Wait,
    html_page,
)
from benchmarks.stand_ins.openai import StandInOpenAI
from benchmarks.stand_ins.serving import listen, serve_in_thread
from workbench.backend.backend import Backend
from workbench.backend.embedded import EmbeddedBackend, LlamaLimits, LlamaServer, find_gguf
from workbench.backend.urls import Timeouts, backend_for
from workbench.errors import (
    BackendError,
    BadReply,
    ConfigurationError,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
    ThinkerTimeout,
    ThinkerUnavailable,
    WorkbenchError,
)
from workbench.messages import MessagesRequest, parse_request
from workbench.reply import Event, MessageStart, MessageStop, Reply, TextDelta, ToolUse, collect
from workbench.reply import Text as ReplyText
from workbench.reply import Thinking as ReplyThinking

PATIENT = Timeouts(5, 60, 60)
STOP = "END"
MIB = 1024 * 1024
SCHEMES = ["ollama", "openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Thinker:
    """A backend, and the server behind it."""

    backend: Backend
    sent: Callable[[], list[bytes]]
    """The bodies of the requests for a reply."""
    is_left: Callable[[], bool]
    """Waits until the server sees that we left it in the middle of a reply; False when it does not."""


Kind = Callable[..., AbstractAsyncContextManager[Thinker]]
"""Opens a Thinker that gives this answer."""


def request(**fields: Any) -> MessagesRequest:
    plain = {"model": "m", "max_tokens": 24, "messages": [{"role": "user", "content": "What is 2+2?"}]}
    return parse_request(orjson.dumps(plain | fields))


def backend_at(url: str, timeouts: Timeouts = PATIENT) -> Backend:
    return backend_for(url, timeouts=timeouts, num_ctx=4096, keep_alive="1m")


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[Backend]:
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def ollama(answer: Answer, *, timeouts: Timeouts = PATIENT) -> AsyncIterator[Thinker]:
    model = ServedModel("stand-in:latest", capabilities=("completion", "tools", "thinking", "vision"))
    server = StandInOllama(answer, models=[model])
    with serve_in_thread(server) as url:
        async with opened(backend_at(f"ollama+{url}", timeouts)) as backend:
            yield Thinker(
                backend,
                lambda: [got.raw for got in server.requests if got.path == "/api/chat"],
                lambda: server.wait_until(lambda it: it.aborted == 1),
            )


@asynccontextmanager
async def openai(answer: Answer, *, timeouts: Timeouts = PATIENT) -> AsyncIterator[Thinker]:
    server = StandInOpenAI(answer)
    with serve_in_thread(server) as url:
        async with opened(backend_at(f"openai+{url}/v1", timeouts)) as backend:
            yield Thinker(
                backend,
                lambda: [got.raw for got in server.completions],
                lambda: server.wait_until(lambda it: it.aborted == 1),
            )


@asynccontextmanager
async def anthropic(answer: Answer, *, timeouts: Timeouts = PATIENT) -> AsyncIterator[Thinker]:
    listed = MessagesAnswer((b'{"data": [{"id": "stand-in", "type": "model"}]}',), content_type="application/json")
    server = StandInMessages([listed, told(answer, stop_sequence=STOP)])
    loop = asyncio.get_running_loop()

    def is_left() -> bool:
        waiting = asyncio.run_coroutine_threadsafe(asyncio.wait_for(server.left.wait(), 10), loop)
        return waiting.result(10)

    async with server, opened(backend_at(f"anthropic+{server.url}", timeouts)) as backend:
        yield Thinker(backend, lambda: [orjson.dumps(got.body) for got in server.requests[1:]], is_left)


@asynccontextmanager
async def embedded(answer: Answer) -> AsyncIterator[Thinker]:
    """The real model as it is built in; it answers what it likes."""
    _real_model()
    async with opened(EmbeddedBackend()) as backend:
        yield Thinker(backend, list, bool)


@asynccontextmanager
async def llama_cpp(answer: Answer) -> AsyncIterator[Thinker]:
    """llama.cpp's real server, by its OpenAI protocol."""
    gguf = _real_model()
    server = await LlamaServer.start(gguf, LlamaLimits())
    try:
        host = server.url.removeprefix("http://")
        url = f"openai+{server.url}"
        keys = {host: server.key}
        made = backend_for(url, timeouts=PATIENT, num_ctx=4096, keep_alive="1m", keys=keys)
        async with opened(made) as backend:
            yield Thinker(backend, list, bool)
    finally:
        await server.stop()


def _real_model() -> Any:
    try:
        return find_gguf()
    except ConfigurationError as missing:
        pytest.skip(f"NOT TESTED: {missing}")


SCRIPTED: list[Kind] = [ollama, openai, anthropic]
REAL: list[Kind] = [embedded, llama_cpp]


def names(kind: Kind) -> str:
    return kind.__name__


@pytest.fixture(params=SCRIPTED, ids=names)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(params=[*SCRIPTED, *REAL], ids=names)
def any_kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


async def events_of(thinker: Thinker, asked: MessagesRequest, seen: list[Event]) -> None:
    [model, *_] = await thinker.backend.models()
    async for event in thinker.backend.stream(asked, model=model.name):
        seen.append(event)  # noqa: PERF401  # what came before a failure counts


def ask(kind: Kind, answer: Answer, asked: MessagesRequest | None = None) -> tuple[Reply, list[Event], list[bytes]]:
    """The reply, its events, and what the server was sent."""

    async def run() -> tuple[Reply, list[Event], list[bytes]]:
        async with kind(answer) as thinker:
            seen: list[Event] = []
            await events_of(thinker, asked or request(), seen)
            return collect(seen), seen, thinker.sent()

    return asyncio.run(run())


# ── what comes through ──────────────────────────────────────────────────────────────────────────────────────


def test_reply_is_complete_and_names_the_model_that_was_listed(any_kind: Kind) -> None:
    async def story() -> None:
        async with any_kind(Script((Text("It is "), Text("4.")))) as thinker:
            [model, *_] = await thinker.backend.models()
            events = [event async for event in thinker.backend.stream(request(), model=model.name)]
        reply = collect(events)
        assert events[0] == MessageStart(model.name, events[0].usage)  # type: ignore[union-attr]  # a MessageStart
        assert isinstance(events[-1], MessageStop)
        assert reply.model == model.name
        assert model.digest
        assert reply.usage.prompt_tokens > 0
        assert reply.usage.output_tokens > 0
        assert "".join(block.text for block in reply.content if isinstance(block, ReplyText)).strip()

    asyncio.run(story())


@pytest.mark.parametrize("real", REAL, ids=names)
def test_real_models_stop_at_a_stop_sequence_and_at_max_tokens(real: Kind) -> None:
    async def story() -> None:
        counting = "Write the numbers from 1 to 3000, one after another, separated by commas. Do not stop."
        async with real(Script()) as thinker:
            for fields, expected in (
                ({"stop_sequences": [","], "max_tokens": 100}, ("stop_sequence", ",")),
                ({"max_tokens": 5}, ("max_tokens", None)),
            ):
                events: list[Event] = []
                asked = request(temperature=0, messages=[{"role": "user", "content": counting}], **fields)
                await events_of(thinker, asked, events)
                reply = collect(events)
                assert (reply.stop_reason, reply.stop_sequence) == expected
            with pytest.raises(PromptTooLong):
                await events_of(thinker, request(messages=[{"role": "user", "content": "word " * 9000}]), [])

    asyncio.run(story())


def test_text_comes_piece_by_piece_with_the_servers_counts(kind: Kind) -> None:
    reply, events, _ = ask(kind, Script((Text("It "), Text("is "), Text("4.")), prompt_tokens=17, output_tokens=5))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["It ", "is ", "4."]
    assert (reply.stop_reason, reply.usage.prompt_tokens, reply.usage.output_tokens) == ("end_turn", 17, 5)


def test_parallel_tool_calls_come_in_order_with_their_inputs_order(kind: Kind) -> None:
    first, second, third = Call("Read", {"path": "b", "at": 1}), Call("Bash", {"command": "ls"}), Call("Stop")
    reply, _, _ = ask(kind, Script((Text("Look"), Calls((first, second)), Calls((third,)))))
    expected = [ToolUse(call.name, dict(call.arguments)) for call in (first, second, third)]
    assert (reply.content, reply.stop_reason) == ((ReplyText("Look"), *expected), "tool_use")
    assert [list(block.input) for block in reply.content if isinstance(block, ToolUse)] == [
        ["path", "at"],
        ["command"],
        [],
    ]


def test_thinking_is_a_block_of_its_own(kind: Kind) -> None:
    reply, _, _ = ask(kind, Script((Thinking("H"), Thinking("m"), Text("4"))), request(thinking={"type": "adaptive"}))
    thought, said = reply.content
    assert isinstance(thought, ReplyThinking)
    assert (thought.thinking, said) == ("Hm", ReplyText("4"))


def test_images_reach_the_server_also_from_tool_results(kind: Kind) -> None:
    def image(data: str) -> dict[str, Any]:
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}

    call = {"type": "tool_use", "id": "toolu_1", "name": "Shot", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [image("QkJCQg==")]}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, image("QUFBQQ==")]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    _, _, [sent] = ask(kind, Script((Text("x"),)), request(messages=turns))
    assert b"QUFBQQ==" in sent
    assert b"QkJCQg==" in sent


def test_stop_sequence_is_named_and_not_part_of_the_text(kind: Kind) -> None:
    reply, _, _ = ask(kind, Script((Text("one "), Text(f"two{STOP}three"))), request(stop_sequences=[STOP]))
    assert (reply.content, reply.stop_reason, reply.stop_sequence) == ((ReplyText("one two"),), "stop_sequence", STOP)


def test_reply_that_fills_max_tokens_says_so(kind: Kind) -> None:
    assert ask(kind, Script((Text("one"),), done_reason="length"))[0].stop_reason == "max_tokens"


CLAUDE_ONLY: dict[str, Any] = {
    "metadata": {"user_id": "u"},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": []},
    "output_config": {"effort": "max"},
    "safeguards": ["x"],
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "tools": [
        {"name": "Bash", "input_schema": {"type": "object"}, "strict": True, "defer_loading": False},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Today is Monday.", "output_config": {"effort": "low"}},
    ],
}


def test_claudes_own_fields_confuse_nobody(any_kind: Kind) -> None:
    reply, _, _ = ask(any_kind, Script((Text("Hello"),)), request(**CLAUDE_ONLY))
    assert reply.stop_reason in ("end_turn", "max_tokens")


def test_stream_that_is_closed_midway_is_aborted_at_the_server(kind: Kind) -> None:
    async def story() -> None:
        async with kind(Script((Text("It is "), Wait(Gate())))) as thinker:
            [model, *_] = await thinker.backend.models()
            async with aclosing(thinker.backend.stream(request(), model=model.name)) as events:
                assert isinstance(await anext(events), MessageStart)
            assert await asyncio.to_thread(thinker.is_left)

    asyncio.run(story())


@pytest.mark.parametrize("real", REAL, ids=names)
def test_stream_that_is_closed_midway_harms_no_later_one(real: Kind) -> None:
    async def story() -> None:
        async with real(Script()) as thinker:
            [model, *_] = await thinker.backend.models()
            async with aclosing(thinker.backend.stream(request(), model=model.name)) as events:
                assert isinstance(await anext(events), MessageStart)
            again: list[Event] = []
            await events_of(thinker, request(), again)
            assert collect(again)

    asyncio.run(story())


# ── bad input: bounded time and memory, a typed error, never a clean end ────────────────────────────────────


def failure(kind: Kind, answer: Answer, *, timeouts: Timeouts = PATIENT) -> tuple[WorkbenchError, list[Event]]:
    """What it raises, and the events before."""

    async def run() -> tuple[WorkbenchError, list[Event]]:
        seen: list[Event] = []
        async with kind(answer, timeouts=timeouts) as thinker:
            with pytest.raises(WorkbenchError) as caught:
                await events_of(thinker, request(), seen)
        return caught.value, seen

    return asyncio.run(run())


def said(message: str) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": "x", "message": message}})


REFUSALS = {
    "a bad request": (Refusal(400, body=said("bad schema")), InvalidRequest),
    "a wrong model": (Refusal(404, body=said("model 'm' not found")), ThinkerUnavailable),
    "a wrong key": (Refusal(401, body=said("who are you?")), BadReply),
    "a full queue": (Refusal(503, body=said("busy")), Overloaded),
    "too many requests": (Refusal(429, body=said("slow down")), Overloaded),
    "a fault": (Refusal(500, body=said("boom")), BadReply),
    "a gateway that gave up": (Refusal(504, body=said("timed out")), ThinkerTimeout),
    "HTML for a fault": (html_page(500), BadReply),
    "HTML with status 200": (html_page(200), BadReply),
    "a redirection": (Refusal(302), BadReply),
    "a prompt too long": (Refusal(400, body=said("prompt is too long: 9000 tokens > 4096 maximum")), PromptTooLong),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_the_same_error_whoever_says_it(kind: Kind, name: str) -> None:
    answer, expected = REFUSALS[name]
    error, seen = failure(kind, answer)
    assert (type(error), seen) == (expected, [])


BEGUN = Text("It is ")
BROKEN = {
    "cut": Script((BEGUN, Cut())),
    "ended without an end": Script((BEGUN, End())),
    "an error inside a 200": Script((BEGUN, Fail("CUDA out of memory"), End())),
    "HTML in the stream": Script((BEGUN, Raw(b"data: <html>oops</html>\n\n"), End())),
    "half a JSON line": Script((BEGUN, Raw(b'data: {"choices": [{"de\n\n'), End())),
    "invalid UTF-8": Script((BEGUN, Raw(b'data: {"error": "\xff\xfe"}\n\n'), End())),
    "50 MB in one line": Script((BEGUN, *[Raw(b"x" * MIB)] * 50, End())),
    "50 MB in one chunk": Script((BEGUN, Raw(b"data: " + b"x" * 50 * MIB + b"\n\n"), End())),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_reply_is_a_bad_reply_and_never_ends_cleanly(kind: Kind, name: str) -> None:
    error, seen = failure(kind, BROKEN[name])
    assert isinstance(error, BadReply)
    assert not any(isinstance(event, MessageStop) for event in seen)


@pytest.mark.parametrize("begins", [(), (BEGUN,)], ids=["from the start", "in the middle"])
def test_thinker_that_says_nothing_for_an_hour_is_a_timeout(kind: Kind, begins: tuple[Text, ...]) -> None:
    error, _ = failure(kind, Script((*begins, Silence())), timeouts=Timeouts(5, 0.3, 0.3))
    assert isinstance(error, ThinkerTimeout)


def test_signs_of_life_without_a_reply_come_to_an_end(kind: Kind) -> None:
    alive = {
        "ollama": b'{"message":{"role":"assistant","content":""},"done":false}\n',
        "openai": b': alive\n\ndata: {"choices":[{"delta":{"content":""}}]}\n\n',
        "anthropic": b'event: ping\ndata: {"type": "ping"}\n\n',
    }
    error, _ = failure(kind, Script((BEGUN, Endless(alive[names(kind)]))), timeouts=Timeouts(5, 0.3, 0.3))
    assert isinstance(error, ThinkerTimeout)


@pytest.mark.parametrize("scheme", SCHEMES)
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


LISTS = {
    "HTML": (b"<html>hello</html>", 1, BadReply),
    "half of it": (b'{"data": [{"id": "m', 1, BadReply),
    "something else": (b'{"models": 7, "data": 7}', 1, BadReply),
    "invalid UTF-8": (b'{"data": [{"id": "\xff"}], "models": [{"model": "\xff"}]}', 1, BadReply),
    "50 MB": (b" " * MIB, 50, BadReply),
    "no end": (b" ", None, BackendError),
    "nothing": (b"", None, ThinkerTimeout),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", LISTS)
def test_list_of_models_that_makes_no_sense_is_a_typed_error_in_bounded_time(scheme: str, name: str) -> None:
    chunk, times, expected = LISTS[name]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in itertools.repeat(None) if times is None else range(times):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    async def story() -> None:
        with serve_in_thread(answer) as url:
            limits = Timeouts(0.5 if times is None else 5, 60, 60)
            async with opened(backend_at(f"{scheme}+{url}", limits)) as backend:
                with pytest.raises(expected):
                    await backend.models()

    asyncio.run(story())


def test_every_failure_of_a_thinker_is_one_that_may_be_tried_elsewhere(kind: Kind) -> None:
    error, _ = failure(kind, Script((Cut(),)))
    assert isinstance(error, BackendError)
