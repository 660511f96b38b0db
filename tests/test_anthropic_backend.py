"""The pass-through, against a scripted Messages server that misbehaves on demand."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stand_ins.anthropic import Answer, Cut, Hang, StandInMessages, Step, event, text_reply
from workbench.backend.anthropic import AnthropicBackend
from workbench.backend.sse_events import EventReader
from workbench.errors import (
    BadReply,
    ConfigurationError,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
    RequestTooLarge,
    ThinkerTimeout,
    ThinkerUnavailable,
)
from workbench.messages import MessagesRequest, parse_request
from workbench.reply import Event, MessageStart, RedactedThinking, Reply, Text, Thinking, ToolUse, Usage, collect

HELLO = text_reply("Hel", "lo")
START, BLOCK, STOP = HELLO[0], HELLO[2:6], HELLO[-1]


def request(**more: Any) -> MessagesRequest:
    plain = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    return parse_request(orjson.dumps(plain | more))


@contextlib.asynccontextmanager
async def backend_for(url: str, **more: Any) -> AsyncIterator[AnthropicBackend]:
    limits = {"connect_timeout_s": 5.0, "first_event_timeout_s": 10.0, "idle_timeout_s": 10.0}
    backend = AnthropicBackend(f"anthropic+{url}", base_url=url, **(limits | more))
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def ask(backend: AnthropicBackend, model: str = "qwen", *, seen: list[Event] | None = None) -> list[Event]:
    """The events of one reply; those before an error are left in `seen`."""
    events = [] if seen is None else seen
    async for each in backend.stream(request(), model=model):
        events.append(each)  # a comprehension would lose them to the error
    return events


def answered(*steps: Step, **answer: Any) -> Reply:
    """The reply that the backend makes of one scripted answer."""

    async def run() -> Reply:
        async with StandInMessages([Answer(steps, **answer)]) as server, backend_for(server.url) as backend:
            return collect(await ask(backend))

    return asyncio.run(run())


def delta(index: int, kind: str, **fields: str) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": {"type": kind} | fields})


def block(index: int, content_block: dict[str, Any], *deltas: bytes) -> bytes:
    start = event({"type": "content_block_start", "index": index, "content_block": content_block})
    return start + b"".join(deltas) + event({"type": "content_block_stop", "index": index})


def ended(reason: str, sequence: str | None = None, **usage: int) -> bytes:
    return event(
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage}
    ) + event({"type": "message_stop"})


# ── what comes through ──────────────────────────────────────────────────────────────────────────────────────


def test_text_reply_carries_our_model_name_and_the_prompts_tokens() -> None:
    reply = answered(*HELLO)
    assert reply == Reply("qwen", (Text("Hello"),), "end_turn", None, Usage(12, 2))


def test_every_kind_of_block_comes_through() -> None:
    reply = answered(
        START,
        event({"type": "rate_limits", "of": "tomorrow"}),
        b": a comment\n\n",
        block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            delta(0, "thinking_delta", thinking="Hm."),
            delta(0, "signature_delta", signature="s1"),
        ),
        block(1, {"type": "redacted_thinking", "data": "xyz"}),
        block(2, {"type": "text", "text": "So"}, delta(2, "text_delta", text=": 4"), delta(2, "citations_delta")),
        block(
            3,
            {"type": "tool_use", "id": "toolu_upstream", "name": "Bash", "input": {}},
            delta(3, "input_json_delta", partial_json='{"b":1,'),
            delta(3, "input_json_delta", partial_json='"a":2}'),
        ),
        block(4, {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {"path": "x"}}),
        ended("tool_use", input_tokens=0, output_tokens=7, cache_read_input_tokens=3),
    )
    assert reply.content == (
        Thinking("Hm.", "s1"),
        RedactedThinking("xyz"),
        Text("So: 4"),
        ToolUse("Bash", {"b": 1, "a": 2}),
        ToolUse("Read", {"path": "x"}),
    )
    assert reply.usage == Usage(12, 7, 0, 3)


def test_named_stop_sequence_corrects_llama_cpps_end_turn() -> None:
    reply = answered(START, *BLOCK, ended("end_turn", "three"))
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "three")


def test_vllms_done_line_after_the_end_is_ignored() -> None:
    assert answered(*HELLO, b"data: [DONE]\n\n").content == (Text("Hello"),)
    assert answered(*HELLO[:-1], b"data: [DONE]\n\n", STOP).content == (Text("Hello"),)


def test_request_is_passed_on_but_for_model_and_stream() -> None:
    async def run() -> None:
        async with (
            StandInMessages([Answer(HELLO)]) as server,
            backend_for(server.url + "/v1/", api_key="k1") as backend,
        ):
            sent = request(stream=False, top_k=3, output_config={"effort": "low"}, temperature=0)
            collect([event async for event in backend.stream(sent, model="qwen")])
            (got,) = server.requests
        assert (got.method, got.path) == ("POST", "/v1/messages")
        assert got.body == {
            "model": "qwen",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            "stream": True,
            "top_k": 3,
            "output_config": {"effort": "low"},
            "temperature": 0,
        }
        assert (got.headers["x-api-key"], got.headers["authorization"]) == ("k1", "Bearer k1")

    asyncio.run(run())


def test_every_request_has_a_connection_of_its_own() -> None:
    async def run() -> None:
        async with StandInMessages([Answer(HELLO)]) as server, backend_for(server.url) as backend:
            await ask(backend)
            await ask(backend)
            assert (len(server.requests), server.connections) == (2, 2)

    asyncio.run(run())


def test_server_that_lingers_after_message_stop_does_not_hold_the_reply_up() -> None:
    assert answered(*HELLO, Hang()).content == (Text("Hello"),)


WHOLE = b"".join(HELLO)


@settings(derandomize=True, deadline=None)
@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=20), line_end=st.sampled_from([b"\n", b"\r\n"]))
def test_events_do_not_depend_on_where_the_chunks_end(cuts: list[int], line_end: bytes) -> None:
    def read(chunks: list[bytes]) -> list[Event]:
        reader = EventReader(model="m")
        events = [event for chunk in chunks for event in reader.feed(chunk)]
        reader.finish()
        return events

    data = WHOLE.replace(b"\n", line_end)
    edges = [0, *sorted(cuts), len(data)]
    assert read([data[a:b] for a, b in itertools.pairwise(edges)]) == read([data])


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────


def said(kind: str, message: str = "m", **fields: Any) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message} | fields})


VLLM = "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. Shorten it."
REFUSALS = [
    (400, said("invalid_request_error", "bad field"), InvalidRequest, "bad field"),
    (400, said("x", "prompt is too long: 9 tokens > 8 maximum"), PromptTooLong, "9 tokens > 8 maximum"),
    (400, said("exceed_context_size_error", n_prompt_tokens=9, n_ctx=8), PromptTooLong, "9 tokens > 8 maximum"),
    (400, said("BadRequestError", VLLM), PromptTooLong, "5000 tokens > 4096 maximum"),
    (400, b"<html>", InvalidRequest, "6 bytes that are not JSON"),
    (422, b'{"detail":"field required"}', InvalidRequest, "field required"),
    (401, said("authentication_error"), BadReply, "key"),
    (404, said("NotFoundError", "The model `x` does not exist."), ThinkerUnavailable, "does not exist"),
    (404, b'{"detail":"Not Found"}', BadReply, "no /v1/messages"),
    (413, said("request_too_large"), RequestTooLarge, "m"),
    (429, said("rate_limit_error"), Overloaded, "429"),
    (503, said("unavailable_error", "Loading model"), Overloaded, "Loading model"),
    (529, said("overloaded_error"), Overloaded, "529"),
    (504, said("timeout_error"), ThinkerTimeout, "504"),
    (500, said("api_error", "boom"), BadReply, "boom"),
    (502, b"<html>Bad gateway</html>", BadReply, "502"),
    (302, b"", BadReply, "302"),
]


@pytest.mark.parametrize(("status", "body", "error", "words"), REFUSALS)
def test_http_error_becomes_ours(status: int, body: bytes, error: type[Exception], words: str) -> None:
    steps = (body,) if body else ()
    with pytest.raises(error, match=words) as caught:
        answered(*steps, status=status, content_type="application/json")
    assert type(caught.value) is error


@pytest.mark.parametrize(("header", "expected_s"), [("7", 7.0), ("soon", 2.0), ("-1", 2.0), ("nan", 2.0)])
def test_retry_after_is_taken_when_it_makes_sense(header: str, expected_s: float) -> None:
    with pytest.raises(Overloaded) as caught:
        answered(said("overloaded_error"), status=529, headers=(("retry-after", header),))
    assert caught.value.retry_after_s == expected_s


BROKEN: dict[str, tuple[tuple[Step, ...], type[Exception]]] = {
    "cut inside the HTTP answer": ((*HELLO[:4], Cut()), BadReply),
    "clean end without message_stop": (HELLO[:-1], BadReply),
    "message_stop without message_delta": ((START, *BLOCK, STOP), BadReply),
    "nothing at all": ((), BadReply),
    "half a line": ((*HELLO[:4], HELLO[4][:40]), BadReply),
    "half an event": ((START, b'data: {"type":"content_block_start",\n\n'), BadReply),
    "invalid UTF-8": ((START, HELLO[2], b'data: {"type":"x","t":"\xff\xfe"}\n\n'), BadReply),
    "an array": ((START, b"data: [1]\n\n"), BadReply),
    "a delta without text": ((START, HELLO[2], delta(0, "text_delta")), BadReply),
    "a start without a message": ((event({"type": "message_start"}),), BadReply),
    "an unknown block": ((START, block(0, {"type": "hologram"})), BadReply),
    "an unknown stop reason": ((START, *BLOCK, ended("bored")), BadReply),
    "error event": ((START, event({"type": "error", "error": {"type": "api_error", "message": "x"}})), BadReply),
    "overloaded event": ((START, event({"type": "error", "error": {"type": "overloaded_error"}})), Overloaded),
    "timeout event": ((START, event({"type": "error", "error": {"type": "timeout_error"}})), ThinkerTimeout),
    "llama.cpp's error event": ((START, b'event: error\ndata: {"error":{"code":500,"message":"x"}}\n\n'), BadReply),
    "an error that is a string": ((START, b'data: {"error":"no more memory"}\n\n'), BadReply),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_stream_never_ends_cleanly(name: str) -> None:
    steps, error = BROKEN[name]
    with pytest.raises(error):
        answered(*steps)


def test_html_with_status_200_is_a_bad_reply() -> None:
    with pytest.raises(BadReply, match="text/html"):
        answered(b"<html>Welcome</html>", content_type="text/html")


@pytest.mark.parametrize("line", [b"data: " + b"x" * 100, b"x" * 100, b"data: x\n" * 40])
def test_endless_line_is_a_bad_reply(line: bytes) -> None:
    reader = EventReader(model="m", max_event_bytes=64)
    with pytest.raises(BadReply, match="more than 64 bytes"):
        _ = [event for offset in range(len(line)) for event in reader.feed(line[offset : offset + 1])]


def test_events_before_a_fault_are_still_given() -> None:
    got: list[Event] = []
    with pytest.raises(BadReply):
        got.extend(EventReader(model="m").feed(START + b"data: nonsense\n\n"))
    assert got == [MessageStart("m", Usage(12, 1))]


def test_silence_is_a_timeout() -> None:
    async def run() -> None:
        ping = event({"type": "ping"})
        steps: list[tuple[Step, ...]] = [(Hang(),), (ping, Hang()), (*HELLO[:4], Hang())]
        answers = [Answer(each) for each in steps]
        async with (
            StandInMessages(answers) as server,
            backend_for(server.url, first_event_timeout_s=0.1, idle_timeout_s=0.1) as backend,
        ):
            for expected in (0, 0, 3):
                events: list[Event] = []
                with pytest.raises(ThinkerTimeout, match="nothing for too long"):
                    await ask(backend, seen=events)
                assert len(events) == expected

    asyncio.run(run())


def test_nobody_listening_is_thinker_unavailable() -> None:
    async def run() -> None:
        async with StandInMessages([]) as server:
            pass
        async with backend_for(server.url) as backend:
            with pytest.raises(ThinkerUnavailable, match="no connection to anthropic"):
                await ask(backend)
            with pytest.raises(ThinkerUnavailable):
                await backend.models()

    asyncio.run(run())


def test_closing_the_iterator_closes_the_socket() -> None:
    async def run() -> None:
        async with (
            StandInMessages([Answer((*HELLO[:4], Hang()))]) as server,
            backend_for(server.url) as backend,
        ):
            stream = backend.stream(request(), model="m")
            assert isinstance(await anext(stream), MessageStart)
            await stream.aclose()
            async with asyncio.timeout(10):
                await server.left.wait()

    asyncio.run(run())


def test_cancelling_before_the_first_event_closes_the_socket() -> None:
    async def run() -> None:
        async with StandInMessages([Answer((Hang(),))]) as server, backend_for(server.url) as backend:
            task = asyncio.create_task(ask(backend))
            await server.hangs.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):
                await server.left.wait()

    asyncio.run(run())


# ── models, addresses, keys ─────────────────────────────────────────────────────────────────────────────────

ANTHROPIC_LIST = {"data": [{"type": "model", "id": "a", "display_name": "A"}, {"id": "b"}], "has_more": False}
VLLM_LIST = {
    "object": "list",
    "data": [{"id": "/models/Qwen3", "created": 1, "owned_by": "vllm", "max_model_len": 4096, "permission": [{}]}],
}
LLAMA_LIST = {"models": [], "data": [{"id": "C:\\m\\smol.Q4.gguf", "created": 5, "meta": {"n_ctx": 8192}}]}


def listed(answer: dict[str, Any], **more: Any) -> list[tuple[str, int | None]]:
    async def run() -> list[tuple[str, int | None]]:
        reply = Answer((orjson.dumps(answer),), content_type="application/json")
        async with StandInMessages([reply]) as server, backend_for(server.url, **more) as backend:
            return [(model.name, model.context_tokens) for model in await backend.models()]

    return asyncio.run(run())


def test_models_are_read_in_both_shapes_and_never_named_by_a_path() -> None:
    assert listed(ANTHROPIC_LIST) == [("a", None), ("b", None)]
    assert listed(VLLM_LIST) == [("Qwen3", 4096)]
    assert listed(LLAMA_LIST) == [("smol.Q4", 8192)]


def test_configured_model_comes_first_listed_or_not() -> None:
    assert listed(ANTHROPIC_LIST, model="b") == [("b", None), ("a", None)]
    assert listed(ANTHROPIC_LIST, model="c") == [("c", None), ("a", None), ("b", None)]


def test_digest_does_not_change_with_the_time_of_the_question_but_with_the_model() -> None:
    async def run() -> None:
        def answer(created: int, meta: dict[str, int]) -> Answer:
            models = {"data": [{"id": "x", "created": created, "meta": meta}]}
            return Answer((orjson.dumps(models),), content_type="application/json")

        answers = [answer(1, {"size": 1}), answer(2, {"size": 1}), answer(2, {"size": 2})]
        async with StandInMessages(answers) as server, backend_for(server.url) as backend:
            digests = [(await backend.models())[0].digest for _ in answers]
        assert digests[0] == digests[1] != digests[2]

    asyncio.run(run())


def test_server_is_asked_for_the_model_by_its_own_name() -> None:
    async def run() -> None:
        models = Answer((orjson.dumps(VLLM_LIST),), content_type="application/json")
        async with StandInMessages([models, Answer(HELLO)]) as server, backend_for(server.url) as backend:
            (model,) = await backend.models()
            reply = collect(await ask(backend, model.name))
            assert (reply.model, server.requests[1].body["model"]) == ("Qwen3", "/models/Qwen3")

    asyncio.run(run())


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data":5}'])
def test_list_of_models_that_is_none_is_a_bad_reply(body: bytes) -> None:
    async def run() -> None:
        async with StandInMessages([Answer((body,))]) as server, backend_for(server.url) as backend:
            with pytest.raises(BadReply, match="list of models"):
                await backend.models()

    asyncio.run(run())


@pytest.mark.parametrize("base_url", ["host:8000", "ftp://host", "http://", "http://a:b:c"])
def test_address_that_makes_no_sense_is_refused(base_url: str) -> None:
    async def run() -> None:
        async with backend_for(base_url):
            pass

    with pytest.raises(ConfigurationError, match="is not an address"):
        asyncio.run(run())


def test_key_appears_in_no_log_and_no_message(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with (
            StandInMessages([Answer(HELLO), Answer((said("x"),), status=401)]) as server,
            backend_for(server.url, api_key="sk-secret") as backend,
        ):
            await ask(backend)
            with pytest.raises(BadReply) as caught:
                await ask(backend)
            assert "sk-secret" not in str(caught.value)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    assert "sk-secret" not in caplog.text
    with pytest.raises(ConfigurationError) as refused:
        AnthropicBackend(
            "u",
            base_url="http://h",
            api_key="sk-secret\n",
            connect_timeout_s=1,
            first_event_timeout_s=1,
            idle_timeout_s=1,
        )
    assert "sk-secret" not in str(refused.value)
