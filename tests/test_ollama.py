"""The Ollama backend against the scripted Ollama, over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest

from benchmarks.stand_ins.ollama import ServedModel, StandInOllama, running
from benchmarks.stand_ins.ollama_script import (
    Call,
    Calls,
    Cut,
    End,
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
    queue_full,
    text,
)
from workbench import reply as r
from workbench.backend.backend import Backend
from workbench.backend.ollama import OllamaBackend
from workbench.backend.ollama_reply import Lines, OllamaReply
from workbench.errors import (
    BackendError,
    BadReply,
    ConfigurationError,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
    ThinkerTimeout,
    ThinkerUnavailable,
)
from workbench.messages import MessagesRequest, parse_request

MODEL = "stand-in:latest"
THINKER = ServedModel(MODEL, capabilities=("completion", "tools", "thinking"))
TOOL = {"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}

Work = Callable[[OllamaBackend], Awaitable[Any]]


def request(content: str = "Hi", **fields: Any) -> MessagesRequest:
    body = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": content}], **fields}
    return parse_request(orjson.dumps(body))


def with_backend(url: str, work: Work, **settings: Any) -> Any:
    """Run `work` on a fresh backend, in a loop of its own."""

    async def go() -> Any:
        backend = OllamaBackend(f"ollama+{url}", host=url, **settings)
        await backend.open()
        try:
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(go())


async def events_of(
    backend: OllamaBackend, asked: MessagesRequest | None = None, *, model: str = MODEL
) -> list[r.Event]:
    return [event async for event in backend.stream(asked or request(), model=model)]


def events(answer: Any, asked: MessagesRequest | None = None, *, model: ServedModel | str = MODEL) -> list[r.Event]:
    """All events of one reply."""
    with running(StandInOllama(answer, models=[model])) as url:
        got: list[r.Event] = with_backend(url, lambda backend: events_of(backend, asked))
        return got


def reply(answer: Any, asked: MessagesRequest | None = None, *, model: ServedModel | str = MODEL) -> r.Reply:
    return r.collect(events(answer, asked, model=model))


def seen_before_failure(answer: Any, expected: type[Exception], **settings: Any) -> tuple[list[r.Event], Exception]:
    """The events before the failure, and the failure."""
    seen: list[r.Event] = []

    async def work(backend: OllamaBackend) -> None:
        async for event in backend.stream(request(), model=MODEL):
            seen.append(event)  # noqa: PERF401  # what came before the exception must be kept

    with running(StandInOllama(answer)) as url, pytest.raises(expected) as caught:
        with_backend(url, work, **settings)
    return seen, caught.value


def failure(answer: Any, expected: type[Exception], **settings: Any) -> Exception:
    """The failure, before which nothing came."""
    seen, error = seen_before_failure(answer, expected, **settings)
    assert seen == []
    return error


# ── replies ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_text_arrives_piece_by_piece_with_real_counts() -> None:
    got = events(Script((Text("Hel"), Text("lo")), prompt_tokens=7, output_tokens=3))
    assert got == [
        r.MessageStart(MODEL),
        r.BlockStart(0, r.Text()),
        r.TextDelta(0, "Hel"),
        r.TextDelta(0, "lo"),
        r.BlockStop(0),
        r.MessageDelta("end_turn", None, r.Usage(7, 3)),
        r.MessageStop(),
    ]


def test_thinking_is_a_block_of_its_own_signed_and_closed_before_the_text() -> None:
    asked = request(thinking={"type": "enabled", "budget_tokens": 1024})
    got = reply(Script((Thinking("h"), Thinking("mm"), Text("yes"))), asked, model=THINKER)
    thinking, answer = got.content
    assert isinstance(thinking, r.Thinking)
    assert (thinking.thinking, bool(thinking.signature)) == ("hmm", True)
    assert answer == r.Text("yes")


def test_two_calls_in_one_line_are_two_blocks() -> None:
    got = reply(Script((Calls((Call("Read", {"b": 1, "a": 2}), Call("Write", {"x": "y"}))),)))
    assert got.content == (r.ToolUse("Read", {"b": 1, "a": 2}), r.ToolUse("Write", {"x": "y"}))
    assert got.stop_reason == "tool_use"


def test_two_calls_in_two_lines_are_two_blocks() -> None:
    got = reply(Script((Calls((Call("Read", {"a": 1}, id="call_1"),)), Calls((Call("Read", {"a": 2}),)))))
    assert got.content == (r.ToolUse("Read", {"a": 1}), r.ToolUse("Read", {"a": 2}))


def test_the_order_of_arguments_is_kept() -> None:
    got = events(Script((Calls((Call("Read", {"z": 1, "a": {"y": 1, "b": 2}}),)),)))
    assert [event.partial_json for event in got if isinstance(event, r.InputJsonDelta)] == ['{"z":1,"a":{"y":1,"b":2}}']


def test_text_calls_and_text_again_are_blocks_in_order() -> None:
    got = events(Script((Text("a"), Calls((Call("Read"), Call("Read"))), Text("b"), Text("c"))))
    assert r.collect(got).content == (r.Text("a"), r.ToolUse("Read", {}), r.ToolUse("Read", {}), r.Text("bc"))
    assert [event.index for event in got if isinstance(event, r.BlockStart)] == [0, 1, 2, 3]


def test_a_line_with_text_and_calls_gives_both() -> None:
    assert reply(Script((Calls((Call("Read"),), text="so:"),))).content == (r.Text("so:"), r.ToolUse("Read", {}))


@pytest.mark.parametrize(("said", "expected"), [("stop", "end_turn"), ("length", "max_tokens"), (None, "end_turn")])
def test_done_reasons_are_mapped(said: str | None, expected: str) -> None:
    assert reply(Script((Text("a"),), done_reason=said)).stop_reason == expected


def test_an_unknown_done_reason_is_no_clean_end() -> None:
    seen_before_failure(Script((Text("a"),), done_reason="load"), BadReply)


def test_an_empty_reply_is_a_reply() -> None:
    got = reply(Script(prompt_tokens=5, output_tokens=1))
    assert (got.content, got.stop_reason, got.usage) == ((), "end_turn", r.Usage(5, 1))


def test_counts_that_ollama_leaves_out_are_guessed_never_zero() -> None:
    usage = reply(Script((Text("a"), Text("b")), prompt_tokens=0, output_tokens=0)).usage
    assert usage.input_tokens > 0
    assert usage.output_tokens == 2


def test_an_unterminated_last_line_still_counts() -> None:
    done = orjson.dumps({"message": {"content": "x"}, "done": True, "done_reason": "stop"})
    assert reply(Script((Raw(done), End()))).content == (r.Text("x"),)


# ── stop sequences ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_stop_sequence_across_lines_ends_the_reply_and_aborts_the_generation() -> None:
    stand_in = StandInOllama(Script((Text("one <"), Text("end"), Text("> two"), Silence())))
    with running(stand_in) as url:
        got = with_backend(url, lambda b: events_of(b, request(stop_sequences=["<end>", "zzz"])))
        assert stand_in.wait_until(lambda seen: seen.aborted == 1)
    whole = r.collect(got)
    assert (whole.content, whole.stop_reason, whole.stop_sequence) == ((r.Text("one "),), "stop_sequence", "<end>")
    assert whole.usage.output_tokens == 3
    assert whole.usage.input_tokens > 0


def test_text_held_back_for_a_stop_sequence_comes_before_what_follows() -> None:
    script = Script((Text("a <e"), Calls((Call("Read"),)), Text("<en")))
    got = reply(script, request(stop_sequences=["<end>"]))
    assert got.content == (r.Text("a <e"), r.ToolUse("Read", {}), r.Text("<en"))
    assert (got.stop_reason, got.stop_sequence) == ("tool_use", None)


def test_a_stop_sequence_in_thinking_or_arguments_is_none() -> None:
    script = Script((Thinking("END"), Calls((Call("Read", {"a": "END"}),))))
    assert reply(script, request(stop_sequences=["END"])).stop_reason == "tool_use"


def test_a_reply_that_is_all_stop_sequence_is_empty() -> None:
    got = reply(Script((Text("END"), Text("more"))), request(stop_sequences=["END"]))
    assert (got.content, got.stop_sequence) == ((), "END")


def test_lines_that_come_with_the_stop_sequence_are_dropped() -> None:
    line = b'{"message":{"content":"%s","tool_calls":[{"function":{"name":"Read"}}]}}\n'
    script = Script((Raw(line % b"a END b" + line % b"c" + b'{"error":"late"}\n'),))
    got = reply(script, request(stop_sequences=["END"]))
    assert (got.content, got.stop_reason) == ((r.Text("a "),), "stop_sequence")


def test_an_empty_stop_sequence_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="stop_sequences"):
        events(text("a"), request(stop_sequences=[""]))


def test_the_guess_at_the_prompt_learns_from_real_counts() -> None:
    async def work(backend: OllamaBackend) -> list[r.Event]:
        await events_of(backend)
        return await events_of(backend, request(stop_sequences=["b"]))

    stand_in = StandInOllama([Script((Text("a"),), prompt_tokens=10), Script((Text("b"),))])
    with running(stand_in) as url:
        learned = r.collect(with_backend(url, work)).usage.input_tokens
    assert learned == 10


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_queue_is_overloaded() -> None:
    assert isinstance(failure(queue_full(), Overloaded), Overloaded)


def test_a_retry_after_is_heeded() -> None:
    error = failure(Refusal(503, "busy", headers=(("retry-after", "7"),)), Overloaded)
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Refusal(500, "the runner has crashed"), BadReply),
        (Refusal(404, "model 'x' not found"), ThinkerUnavailable),
        (Refusal(400, "x does not support tools"), InvalidRequest),
        (html_page(502), ThinkerUnavailable),
        (html_page(504), ThinkerTimeout),
        (html_page(403), BadReply),
        (html_page(200), BadReply),
        (Script((Fail("an error was encountered while running the model"),)), BadReply),
        (Script((Raw(b'{"message":{"content":"a"'), End())), BadReply),
        (Script((Raw(b'{"message":{"content":"\xff\xfe"}}\n'),)), BadReply),
        (Script((Raw(b"[1]\n"),)), BadReply),
        (Script((Raw(b""), End())), BadReply),
        (Script((Cut(),)), BadReply),
    ],
)
def test_what_is_no_reply_raises_before_any_event(answer: Any, expected: type[Exception]) -> None:
    failure(answer, expected)


@pytest.mark.parametrize(
    "line",
    [
        b'{"message":"text"}',
        b'{"message":{"content":5}}',
        b'{"message":{"thinking":["a"]}}',
        b'{"message":{"tool_calls":{}}}',
        b'{"message":{"tool_calls":["x"]}}',
        b'{"message":{"tool_calls":[{"function":{"arguments":{}}}]}}',
        b'{"message":{"tool_calls":[{"function":{"name":"a","arguments":"{}"}}]}}',
    ],
)
def test_a_line_of_an_unknown_form_is_a_bad_reply(line: bytes) -> None:
    with pytest.raises(BadReply):
        OllamaReply(model="m", num_ctx=1, guessed_prompt_tokens=1).feed(line)


@pytest.mark.parametrize(
    "end",
    [
        (Fail("unexpected EOF"),),
        (Cut(),),
        (End(),),
        (Raw(b'{"message":'), End()),
        (Raw(b"<html>\n"),),
    ],
)
def test_a_reply_that_breaks_off_never_ends_cleanly(end: tuple[Any, ...]) -> None:
    seen, _ = seen_before_failure(Script((Text("a"), *end)), BadReply)
    assert seen == [r.MessageStart(MODEL), r.BlockStart(0, r.Text()), r.TextDelta(0, "a")]


def test_the_words_of_a_failure_are_passed_on() -> None:
    assert "the runner has crashed" in str(failure(Refusal(500, "the runner has crashed"), BadReply))


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("the input length exceeds the context length", (8193, 8192)),
        ("request (9000 tokens) exceeds the available context size (8000 tokens), try increasing it", (9000, 8000)),
        ("prompt is too long: 70000 tokens > 65536 maximum", (70000, 65536)),
    ],
)
@pytest.mark.parametrize("wrap", [lambda said: Refusal(400, said), lambda said: Script((Fail(said),))])
def test_a_prompt_over_the_context_is_told_in_the_apis_words(
    words: str, numbers: tuple[int, int], wrap: Callable[[str], Any]
) -> None:
    error = failure(wrap(words), PromptTooLong, num_ctx=8192)
    assert str(error) == f"prompt is too long: {numbers[0]} tokens > {numbers[1]} maximum"


def test_ollamas_own_check_of_the_context_is_asked_for() -> None:
    with running(StandInOllama()) as url, pytest.raises(PromptTooLong) as caught:
        with_backend(url, lambda b: events_of(b, request("x" * 9000)), num_ctx=1024)
    assert caught.value.tokens > caught.value.maximum_tokens == 1024


def test_a_refused_connection_is_unavailable() -> None:
    with running(StandInOllama()) as url:
        pass  # its port is free again
    with pytest.raises(ThinkerUnavailable, match="no connection"):
        with_backend(url, events_of)
    with pytest.raises(ThinkerUnavailable, match="is it running"):
        with_backend(url, lambda backend: backend.models())


def test_silence_before_the_first_line_times_out() -> None:
    failure(Script((Silence(),)), ThinkerTimeout, first_event_timeout_s=0.05)


def test_silence_in_the_middle_times_out() -> None:
    seen, _ = seen_before_failure(Script((Text("a"), Silence())), ThinkerTimeout, idle_timeout_s=0.05)
    assert len(seen) == 3


def test_a_line_without_end_is_given_up() -> None:
    lines = Lines(max_line_bytes=1000)
    lines.feed(b"x" * 999)
    with pytest.raises(BadReply, match="1000 bytes"):
        lines.feed(b"xx")


def test_lines_are_the_same_however_they_are_cut() -> None:
    data = b'{"a":1}\n\n{"b":2}\n{"c"'
    for size in range(1, len(data) + 1):
        lines = Lines()
        got = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
        assert (got, lines.rest()) == ([b'{"a":1}', b'{"b":2}'], b'{"c"')


# ── leaving ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_the_iterator_aborts_the_generation() -> None:
    async def work(backend: OllamaBackend) -> None:
        stream = backend.stream(request(), model=MODEL)
        await anext(stream)
        await closed(stream)

    assert_aborted(work)


async def closed(stream: AsyncIterator[r.Event]) -> None:
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, as `Backend.stream` says


def test_cancelling_the_task_aborts_the_generation() -> None:
    async def work(backend: OllamaBackend) -> None:
        first = asyncio.Event()

        async def read() -> None:
            async for _ in backend.stream(request(), model=MODEL):
                first.set()

        task = asyncio.create_task(read())
        await first.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    assert_aborted(work)


def test_cancelling_in_the_prefill_aborts_it() -> None:
    stand_in = StandInOllama(Script((Silence(),)))

    async def work(backend: OllamaBackend) -> None:
        task = asyncio.create_task(events_of(backend))
        assert await asyncio.to_thread(stand_in.wait_until, lambda seen: seen.begun == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(stand_in.wait_until, lambda seen: seen.aborted == 1)

    with running(stand_in) as url:
        with_backend(url, work)


def assert_aborted(work: Work) -> None:
    stand_in = StandInOllama(Script((Text("a"), Silence())))

    async def then_look(backend: OllamaBackend) -> None:
        await work(backend)
        assert await asyncio.to_thread(stand_in.wait_until, lambda seen: seen.aborted == 1)

    with running(stand_in) as url:
        with_backend(url, then_look)


def test_closing_the_backend_ends_open_streams() -> None:
    async def work(backend: OllamaBackend) -> None:
        stream = backend.stream(request(), model=MODEL)
        await anext(stream)
        await anext(stream)
        await anext(stream)
        rest = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)  # let it wait
        await backend.close()
        with pytest.raises(BackendError):
            await rest

    with running(StandInOllama(Script((Text("a"), Silence())))) as url:
        with_backend(url, work)


def test_a_finished_reply_leaves_its_connection_for_the_next() -> None:
    ports: list[int] = []
    stand_in = StandInOllama(text("a"))

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            ports.append(scope["client"][1])
        await stand_in(scope, receive, send)

    async def work(backend: OllamaBackend) -> None:
        for _ in range(3):
            await events_of(backend)

    with running(spy) as url:
        with_backend(url, work)
    assert len(set(ports)) == 1


def test_a_connection_that_ollama_closed_is_not_used_again() -> None:
    async def work(backend: OllamaBackend) -> list[r.Event]:
        await events_of(backend)
        stopping.close()
        with running(StandInOllama(text("b")), port=port):
            return await events_of(backend)

    with contextlib.ExitStack() as stopping:
        url = stopping.enter_context(running(StandInOllama(text("a"))))
        port = int(url.rpartition(":")[2])
        assert r.collect(with_backend(url, work)).content == (r.Text("b"),)


def test_many_streams_run_at_once() -> None:
    gate = Gate()
    stand_in = StandInOllama(Script((Text("a"), Wait(gate), Text("b"))))

    async def work(backend: OllamaBackend) -> list[list[r.Event]]:
        tasks = [asyncio.create_task(events_of(backend)) for _ in range(150)]
        assert await asyncio.to_thread(stand_in.wait_until, lambda seen: seen.begun == 150)
        gate.release()
        return await asyncio.gather(*tasks)

    with running(stand_in) as url:
        replies = with_backend(url, work)
    assert {r.collect(got).content for got in replies} == {(r.Text("ab"),)}


# ── models, thinking, the connection ────────────────────────────────────────────────────────────────────────


def models(stand_in: StandInOllama, **settings: Any) -> list[str]:
    with running(stand_in) as url:
        return [model.name for model in with_backend(url, lambda backend: backend.models(), **settings)]


def test_models_carry_their_digest_and_the_pinned_context() -> None:
    stand_in = StandInOllama(models=[ServedModel("a:1b", digest="d1")])
    with running(stand_in) as url:
        (model,) = with_backend(url, lambda backend: backend.models(), num_ctx=4096)
    assert (model.name, model.digest, model.context_tokens) == ("a:1b", "d1", 4096)


@pytest.mark.parametrize("named", ["b", "b:latest"])
def test_the_named_model_comes_first(named: str) -> None:
    assert models(StandInOllama(models=["a", "b:latest", "c"]), model=named) == ["b:latest", "a", "c"]


def test_without_a_name_the_first_that_can_chat_comes_first() -> None:
    embedder = ServedModel("embed", capabilities=("embedding",))
    assert models(StandInOllama(models=[embedder, "a", "b"])) == ["a", "embed", "b"]


def test_a_named_model_that_is_not_there_is_said() -> None:
    with pytest.raises(ThinkerUnavailable, match="ollama pull zzz"):
        models(StandInOllama(models=["a"]), model="zzz")


def test_an_ollama_without_models_has_none() -> None:
    assert models(StandInOllama(models=[])) == []


def test_a_server_that_is_not_ollama_is_a_bad_reply() -> None:
    async def html(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
            await send({"type": "http.response.body", "body": b"<html>"})

    with running(html) as url, pytest.raises(BadReply, match="does not answer as Ollama"):
        with_backend(url, lambda backend: backend.models())


@pytest.mark.parametrize(
    ("asked", "sent"),
    [({"thinking": {"type": "adaptive"}}, True), ({"thinking": {"type": "disabled"}}, False), ({}, False)],
)
def test_a_model_that_can_think_is_told_whether_to(asked: dict[str, Any], sent: bool) -> None:
    assert chat_sent(THINKER, **asked)["think"] is sent


def test_a_model_that_cannot_think_is_told_nothing() -> None:
    assert "think" not in chat_sent(ServedModel(MODEL), thinking={"type": "enabled", "budget_tokens": 1024})


def chat_sent(model: ServedModel, **fields: Any) -> dict[str, Any]:
    stand_in = StandInOllama(text("a"), models=[model])
    with running(stand_in) as url:
        with_backend(url, lambda backend: events_of(backend, request(**fields)))
    (body,) = stand_in.chats
    assert isinstance(body, dict)
    return body


def test_what_a_model_can_is_asked_once_for_each_digest() -> None:
    stand_in = StandInOllama(text("a"), models=[ServedModel(MODEL, digest="d1")])

    async def work(backend: OllamaBackend) -> None:
        for digest in ("d1", "d1", "d2"):
            stand_in.serve_models([ServedModel(MODEL, digest=digest)])
            await backend.models()
            await events_of(backend)

    with running(stand_in) as url:
        with_backend(url, work)
    assert [request.path for request in stand_in.requests].count("/api/show") == 2


def test_the_context_stays_the_same_so_the_model_is_loaded_once() -> None:
    stand_in = StandInOllama(text("a"))

    async def work(backend: OllamaBackend) -> None:
        await events_of(backend, request("a", max_tokens=10))
        await events_of(backend, request("b", max_tokens=10_000, temperature=1.0))

    with running(stand_in) as url:
        with_backend(url, work)
    assert stand_in.loads == 1


def test_the_key_for_ollamas_own_cloud_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    headers: list[dict[bytes, bytes]] = []
    stand_in = StandInOllama(text("a"))

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers.append(dict(scope["headers"]))
        await stand_in(scope, receive, send)

    with running(spy) as url:
        with_backend(url, events_of)
    assert headers
    assert all(b"authorization" not in sent for sent in headers)


def test_a_tool_round_trip_reaches_ollama_as_it_wants_it() -> None:
    body = chat_sent(ServedModel(MODEL), tools=[TOOL])
    assert body["tools"][0]["function"]["parameters"] == TOOL["input_schema"]
    assert (body["truncate"], body["shift"], body["options"]["num_ctx"]) == (False, False, 32_768)


@pytest.mark.parametrize("host", ["http://[::1", "http://host:port"])
def test_a_host_that_makes_no_sense_is_a_configuration_error(host: str) -> None:
    with pytest.raises(ConfigurationError, match="11434"):
        OllamaBackend("ollama+x", host=host)


def test_it_is_a_backend() -> None:
    backend: Backend = OllamaBackend("ollama+http://localhost:11434", host="http://localhost:11434")
    assert backend.url == "ollama+http://localhost:11434"


@contextlib.contextmanager
def dead_end() -> Iterator[str]:
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_question_about_models_has_a_time_limit() -> None:
    with dead_end() as url, pytest.raises(ThinkerTimeout):
        with_backend(url, lambda backend: backend.models(), connect_timeout_s=0.05)
