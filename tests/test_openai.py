"""The OpenAI-speaking Thinker, against a scripted server of many dialects."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stand_ins.ollama_script import (
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
    Step,
    Text,
    Thinking,
    Wait,
    text,
)
from benchmarks.stand_ins.openai import Limits, StandInOpenAI, running
from benchmarks.stand_ins.openai_chunks import Dialect
from workbench.backend.context_length import Lengths
from workbench.backend.openai import OpenAIBackend
from workbench.backend.openai_messages import OPTIONAL
from workbench.backend.openai_reply import OpenAIReply
from workbench.backend.sse_server import Patience
from workbench.errors import (
    BadReply,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
    ThinkerTimeout,
    ThinkerUnavailable,
    WorkbenchError,
)
from workbench.messages import MessagesRequest, parse_request
from workbench.reply import Event, MessageStart, Reply, ToolUse, Usage, collect
from workbench.reply import Text as ReplyText
from workbench.reply import Thinking as ReplyThinking


def request(**fields: Any) -> MessagesRequest:
    plain = {"model": "stand-in", "max_tokens": 50, "messages": [{"role": "user", "content": "What is 2+2?"}]}
    return parse_request(orjson.dumps(plain | fields))


@contextlib.asynccontextmanager
async def at(url: str, **more: Any) -> AsyncIterator[OpenAIBackend]:
    patience = more.pop("patience", Patience(5, 20, 20))
    backend = OpenAIBackend(f"openai+{url}/v1", base_url=f"{url}/v1", patience=patience, **more)
    await backend.open()
    try:
        await backend.models()
        yield backend
    finally:
        await backend.close()


def ask(server: StandInOpenAI, *asked: MessagesRequest, seen: list[Event] | None = None, **more: Any) -> list[Reply]:
    """The replies to these requests in turn; the events before an error are left in `seen`."""

    async def run() -> list[Reply]:
        replies = []
        with running(server) as url:
            async with at(url, **more) as backend:
                for each in asked or (request(),):
                    events: list[Event] = [] if seen is None else seen
                    async for event in backend.stream(each, model="stand-in"):
                        events.append(event)  # noqa: PERF401  # a comprehension would lose them to the error
                    replies.append(collect(events))
        return replies

    return asyncio.run(run())


def answered(
    *steps: Step, asked: MessagesRequest | None = None, dialect: Dialect | None = None, **script: Any
) -> Reply:
    server = StandInOpenAI(Script(steps, **script), dialect=dialect or Dialect())
    return ask(server, asked or request())[0]


def chunk(**choice: Any) -> Raw:
    return Raw(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n")


# ── what comes through ──────────────────────────────────────────────────────────────────────────────────────


def test_text_comes_through_with_the_servers_counts() -> None:
    reply = answered(Text("4"), Text("."), prompt_tokens=17, output_tokens=3)
    assert reply == Reply("stand-in", (ReplyText("4."),), "end_turn", None, Usage(17, 3))


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_is_a_block_of_its_own_before_the_text(name: Any) -> None:
    reply = answered(Thinking("Hm"), Thinking("."), Text("4"), dialect=Dialect(thinking=name))
    thought, said = reply.content
    assert isinstance(thought, ReplyThinking)
    assert (thought.thinking, bool(thought.signature), said) == ("Hm.", True, ReplyText("4"))


CALLS = (Call("Read", {"path": "b", "at": 1}), Call("Bash", {"command": 'echo "ü"'}), Call("Bash"))


@pytest.mark.parametrize("form", ["fragments", "by-turns", "whole", "bare", "index-0"])
def test_parallel_calls_come_through_however_they_are_cut(form: Any) -> None:
    reply = answered(Text("Look:"), Calls(CALLS), dialect=Dialect(calls=form))
    expected = [ToolUse(call.name, dict(call.arguments)) for call in CALLS]
    assert reply.content == (ReplyText("Look:"), *expected)
    first = reply.content[1]
    assert isinstance(first, ToolUse)
    assert list(first.input) == ["path", "at"]  # in the model's order
    assert reply.stop_reason == "tool_use"


@pytest.mark.parametrize("nothing", [{}, {"arguments": None}, {"arguments": ""}, {"arguments": "null"}])
def test_call_without_arguments_has_an_empty_input(nothing: dict[str, Any]) -> None:
    bare = chunk(delta={"tool_calls": [{"index": 0, "id": "a", "function": {"name": "Stop"} | nothing}]})
    assert answered(bare, done_reason="tool_calls").content == (ToolUse("Stop", {}),)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("tool_calls", "end_turn")],
)
def test_finish_reasons_are_the_apis(reason: str, expected: str) -> None:
    assert answered(Text("x"), done_reason=reason).stop_reason == expected


@pytest.mark.parametrize("reason", ["abort", "error", None])
def test_other_reasons_are_no_end(reason: str | None) -> None:
    with pytest.raises(BadReply, match="finish_reason"):
        answered(Text("x"), done_reason=reason)


def test_call_that_the_limit_cut_in_two_is_left_out_and_said_to_be_max_tokens() -> None:
    half = chunk(delta={"tool_calls": [{"index": 1, "function": {"name": "Write", "arguments": '{"a'}}]})
    reply = answered(Calls((Call("Read", {"path": "b"}),)), half, done_reason="length")
    assert (reply.content, reply.stop_reason) == ((ToolUse("Read", {"path": "b"}),), "max_tokens")
    with pytest.raises(BadReply, match="not a JSON object"):
        answered(half)


def test_stop_sequence_is_found_named_and_ends_the_call_at_once() -> None:
    gate = Gate()
    server = StandInOpenAI(Script((Text("one ST"), Text("OP two"), Wait(gate))))
    with running(server) as url:

        async def run() -> Reply:
            async with at(url) as backend:
                return collect([e async for e in backend.stream(request(stop_sequences=["STOP"]), model="stand-in")])

        reply = asyncio.run(run())
        assert server.wait_until(lambda it: it.aborted == 1)
    assert (reply.content, reply.stop_reason, reply.stop_sequence) == ((ReplyText("one "),), "stop_sequence", "STOP")
    assert reply.usage.prompt_tokens > 0


def test_server_that_counts_nothing_and_says_no_done_gets_guessed_counts() -> None:
    reply = answered(Text("a"), Text("b"), dialect=Dialect(usage=False, done=False))
    assert reply.usage.prompt_tokens > 5
    assert reply.usage.output_tokens == 2


def test_cached_tokens_are_told_apart() -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}}
    usage = Raw(b"data: " + orjson.dumps({"choices": [], "usage": counts}) + b"\n\n")
    end = chunk(delta={}, finish_reason="stop")
    assert answered(Text("x"), end, usage, End()).usage == Usage(1, 1, 0, 8)


STREAM = b"".join(
    b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"
    for choice in [
        {"delta": {"role": "assistant", "content": "Grüße"}},
        {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}},
        {"delta": {}, "finish_reason": "tool_calls"},
    ]
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20), line_end=st.sampled_from([b"\n", b"\r\n"]))
def test_events_do_not_depend_on_where_the_chunks_end(cuts: list[int], line_end: bytes) -> None:
    def read(chunks: list[bytes]) -> list[Event]:
        reader = OpenAIReply(model="m", lengths=Lengths(5))
        return [*(event for chunk in chunks for event in reader.feed(chunk)), *reader.finish()]

    data = STREAM.replace(b"\n", line_end)
    edges = [0, *sorted(cuts), len(data)]
    assert read([data[a:b] for a, b in itertools.pairwise(edges)]) == read([data])


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────


BROKEN: dict[str, tuple[Step, ...]] = {
    "cut": (Text("x"), Cut()),
    "ended without a reason": (Text("x"), End()),
    "done without a reason": (Text("x"), Raw(b"data: [DONE]\n\n"), End()),
    "an error in the stream": (Text("x"), Fail("CUDA out of memory")),
    "llama.cpp's old error line": (Text("x"), Raw(b'error: {"code":500,"message":"x"}\n\n')),
    "half a line": (Text("x"), Raw(b'data: {"choices":[{"de\n\n')),
    "invalid UTF-8": (Raw(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'),),
    "an array": (Raw(b"data: [1]\n\n"),),
    "choices of another type": (Raw(b'data: {"choices":{}}\n\n'),),
    "a choice of another type": (Raw(b'data: {"choices":[7]}\n\n'),),
    "content of another type": (chunk(delta={"content": [1]}),),
    "arguments of another type": (chunk(delta={"tool_calls": [{"function": {"name": "f", "arguments": 7}}]}),),
    "arguments that are no object": (
        Calls((Call("f"),)),
        chunk(delta={"tool_calls": [{"function": {"arguments": "]"}}]}),
    ),
    "a call without a name": (chunk(delta={"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),),
    "a thousand calls": tuple(
        chunk(delta={"tool_calls": [{"index": i, "function": {"name": "f"}}]}) for i in range(999)
    ),
    "HTML": (Raw(b"<html>hello</html>"),),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_stream_never_ends_cleanly_and_shows_no_whole_call(name: str) -> None:
    seen: list[Event] = []
    with pytest.raises(BadReply):
        ask(StandInOpenAI(Script(BROKEN[name])), seen=seen)
    assert not any(type(event).__name__ == "MessageStop" for event in seen)


def error(message: str, **fields: Any) -> bytes:
    return orjson.dumps({"error": {"message": message} | fields})


LONG = [
    "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
    "This model's maximum context length is 4096 tokens. However, you requested 5100 tokens (5000 in the messages, 100 "
    "in the completion). Please reduce the length of the messages or completion.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length "
    "of only 4096 tokens, which is not enough.",
    "Please reduce the length of the messages or completion. Current length is 5000 while limit is 4096",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
]


@pytest.mark.parametrize("message", LONG)
def test_prompt_that_is_too_long_is_told_in_the_apis_words_with_the_servers_numbers(message: str) -> None:
    with pytest.raises(PromptTooLong, match="5000 tokens > 4096 maximum"):
        ask(StandInOpenAI(Refusal(400, body=error(message))))


def test_too_long_without_numbers_still_has_two_that_make_sense() -> None:
    with pytest.raises(PromptTooLong) as caught:
        ask(StandInOpenAI(Refusal(400, body=error("x", code="context_length_exceeded"))))
    assert caught.value.tokens > caught.value.maximum_tokens
    told = error("the request exceeds the available context size", n_prompt_tokens=9, n_ctx=8)
    with pytest.raises(PromptTooLong, match="9 tokens > 8 maximum"):
        ask(StandInOpenAI(Refusal(400, body=told)))


REFUSALS: list[tuple[Refusal, type[WorkbenchError]]] = [
    (Refusal(400, body=error("bad schema")), InvalidRequest),
    (Refusal(422, body=b'{"detail":[{"type":"missing","loc":["body","x"],"msg":"Field required"}]}'), InvalidRequest),
    (Refusal(401, body=error("wrong key")), BadReply),
    (Refusal(404, body=error("The model `x` does not exist")), ThinkerUnavailable),
    (Refusal(404, body=b"<html>"), BadReply),
    (Refusal(429, body=error("slow down")), Overloaded),
    (Refusal(503, body=error("Loading model")), Overloaded),
    (Refusal(504, body=b""), ThinkerTimeout),
    (Refusal(500, body=error("boom")), BadReply),
    (Refusal(200, body=b"<html>hello</html>", content_type="text/html"), BadReply),
    (Refusal(200, body=error("no memory")), BadReply),
    (Refusal(200, body=error("busy", type="overloaded_error")), Overloaded),
]


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS)
def test_http_answer_becomes_our_error(refusal: Refusal, expected: type[WorkbenchError]) -> None:
    with pytest.raises(expected) as caught:
        ask(StandInOpenAI(refusal))
    assert type(caught.value) is expected


PIECE = {"tool_calls": [{"index": 0, "function": {"name": "Write", "arguments": "x" * 1024 * 1024}}]}
NOTHING = {"tool_calls": [{"index": 0, "function": {"name": "Write", "arguments": ""}}]}


@pytest.mark.parametrize(("delta", "expected"), [(PIECE, BadReply), (NOTHING, ThinkerTimeout)])
def test_endless_tool_call_comes_to_an_end(delta: dict[str, Any], expected: type[WorkbenchError]) -> None:
    server = StandInOpenAI(Script((Endless(chunk(delta=delta).data),)))
    with pytest.raises(expected):
        ask(server, patience=Patience(5, 1.0, 1.0) if expected is ThinkerTimeout else Patience(5, 20, 20))


# ── servers that take less ──────────────────────────────────────────────────────────────────────────────────


def test_refused_fields_are_left_out_and_stay_left_out() -> None:
    everything = request(
        temperature=0.5,
        top_p=0.5,
        top_k=5,
        tools=[{"name": "t", "input_schema": {"type": "object"}}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        messages=[
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"},
        ],
    )
    server = StandInOpenAI(text("fine"), limits=Limits(refused=sorted(OPTIONAL)))
    assert len(ask(server, everything, everything)) == 2
    assert server.begun == len(OPTIONAL) + 2
    last = server.completions[-1].body
    assert not OPTIONAL & last.keys()
    assert last["max_completion_tokens"] == 50


ROOM = [
    "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 4096 tokens "
    "and your request has 20 input tokens (32000 > 4096 - 20).",
    "This model's maximum context length is 4096 tokens. However, you requested 32020 tokens (20 in the messages, "
    "32000 in the completion). Please reduce the length of the messages or completion.",
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 32020 "
    "tokens: 20 tokens from the input messages and 32000 tokens for the completion.",
    "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.",
    "`max_tokens` must be less than or equal to `16384`, the maximum value for `max_tokens` is less than asked for",
]


@pytest.mark.parametrize("message", ROOM)
def test_limit_that_the_server_finds_too_large_is_left_out(message: str) -> None:
    server = StandInOpenAI([Refusal(400, body=error(message)), text("fine")])
    ask(server, request(max_tokens=32_000))
    assert ["max_tokens" in got.body for got in server.completions] == [True, False]


def test_field_that_is_refused_for_its_value_is_the_clients_fault() -> None:
    server = StandInOpenAI(Refusal(400, body=error("temperature must be at most 1", param="temperature")))
    with pytest.raises(InvalidRequest, match="at most 1"):
        ask(server, request(temperature=1.5))
    assert server.begun == 1


def test_limit_that_does_not_fit_is_left_out_when_known_and_after_a_refusal_when_not() -> None:
    for tells_context, calls in ((True, 1), (False, 2)):
        limits = Limits(context_tokens=4096, counts_reply=True, tells_context=tells_context)
        server = StandInOpenAI(text("fine"), limits=limits)
        ask(server, request(max_tokens=32_000))
        assert server.begun == calls
        assert "max_tokens" not in server.completions[-1].body


# ── time, keys, models ──────────────────────────────────────────────────────────────────────────────────────


def test_silence_is_a_timeout_before_and_after_the_first_event() -> None:
    for steps, events in (((Wait(Gate()),), 0), ((Text("x"), Wait(Gate())), 3)):
        seen: list[Event] = []
        with pytest.raises(ThinkerTimeout):
            ask(StandInOpenAI(Script(steps)), seen=seen, patience=Patience(5, 0.2, 0.2))
        assert len(seen) == events


def test_cancelling_aborts_the_server_before_and_after_the_first_event() -> None:
    async def run(url: str, *, after: int) -> None:
        async with at(url) as backend:
            stream = backend.stream(request(), model="stand-in")
            for _ in range(after):
                assert isinstance(await anext(stream), MessageStart)
            waiting = asyncio.ensure_future(collected(stream))
            assert await asyncio.to_thread(server.wait_until, lambda it: it.begun == 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert await asyncio.to_thread(server.wait_until, lambda it: it.aborted == 1)

    async def collected(stream: AsyncIterator[Event]) -> list[Event]:
        return [event async for event in stream]

    for steps, after in (((Wait(Gate()),), 0), ((Text("x"), Wait(Gate())), 1)):
        server = StandInOpenAI(Script(steps))
        with running(server) as url:
            asyncio.run(run(url, after=after))


def test_key_is_sent_and_a_wrong_one_is_told_without_it() -> None:
    server = StandInOpenAI(text("x"), limits=Limits(key="sk-right"))
    ask(server, api_key="sk-right")
    with pytest.raises(BadReply, match="refused the proxy's key") as caught:
        ask(server, api_key="sk-wrong")
    assert "sk-wrong" not in str(caught.value)


def test_models_are_listed_the_default_first_with_context_and_digest() -> None:
    async def run() -> None:
        server = StandInOpenAI(models=["a", "b"], limits=Limits(context_tokens=4096))
        with running(server) as url:
            async with at(url, model="b") as backend:
                models = await backend.models()
        assert [(model.name, model.context_tokens) for model in models] == [("b", 4096), ("a", 4096)]
        assert len({model.digest for model in models}) == 2

    asyncio.run(run())
