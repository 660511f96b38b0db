"""What an OpenAI-speaking server is sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from workbench.backend.openai_messages import completion_call
from workbench.canonical import canonicalise
from workbench.errors import InvalidRequest
from workbench.messages import parse_request


def body(*, refused: frozenset[str] = frozenset(), limit_tokens: bool = True, **fields: Any) -> dict[str, Any]:
    """What is sent for this request."""
    plain = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    request = canonicalise(parse_request(orjson.dumps(plain | fields)), model="m")
    call = completion_call(request, model="served", refused=refused, limit_tokens=limit_tokens)
    sent: dict[str, Any] = orjson.loads(call.body)
    return sent


def messages(*turns: Any, **fields: Any) -> list[Any]:
    """The messages that are sent for these turns."""
    sent: list[Any] = body(messages=list(turns), **fields)["messages"]
    return sent


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def call(id: str, name: str = "Bash", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def result(id: str, content: Any = "done", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content} | fields


def image(data: str = "QUFB") -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}}


SHOWN = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUFB"}}


def test_plain_request_is_this_and_no_more() -> None:
    assert body() == {
        "model": "served",
        "stream": True,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": False},
        "max_tokens": 9,
    }


def test_sampling_is_passed_on_and_stop_sequences_are_not() -> None:
    sent = body(temperature=0, top_p=0.5, top_k=7, stop_sequences=["x"], thinking={"type": "adaptive"})
    assert (sent["temperature"], sent["top_p"], sent["top_k"]) == (0, 0.5, 7)
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
    assert "stop" not in sent
    assert "top_k" not in body(top_k=0)


def test_what_was_refused_is_left_out_and_max_tokens_has_another_name() -> None:
    refused = frozenset({"max_tokens", "stream_options", "chat_template_kwargs", "temperature"})
    assert body(refused=refused, temperature=1) == {
        "model": "served",
        "stream": True,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 9,
    }
    assert "max_tokens" not in body(limit_tokens=False)


def test_system_blocks_are_one_message_without_the_billing_block() -> None:
    billing = said("x-anthropic-billing-header: cch=1;")
    assert messages(user(said("Hi")), system=[billing, said("A"), said("B")])[0] == {
        "role": "system",
        "content": "A\n\nB",
    }


def test_later_system_turns_stay_in_place_and_users_turns_never_follow_each_other() -> None:
    turns = [user(said("a")), {"role": "system", "content": "S"}, user(said("b")), user(said("c"))]
    assert messages(*turns) == [{"role": "user", "content": "a\n\n<system-reminder>\nS\n</system-reminder>\n\nb\n\nc"}]


def test_tool_loop_keeps_order_ids_and_key_order() -> None:
    sent = messages(
        user(said("go")),
        {"role": "assistant", "content": [said("Look:"), call("x", z=1, a="ü"), call("y")]},
        user(said("and?"), result("y", is_error=True), result("x", [said("1"), said("2")])),
    )
    calls = [
        {"id": "call00000", "type": "function", "function": {"name": "Bash", "arguments": '{"z":1,"a":"ü"}'}},
        {"id": "call00001", "type": "function", "function": {"name": "Bash", "arguments": "{}"}},
    ]
    assert sent == [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "Look:", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call00000", "content": "1\n\n2"},
        {"role": "tool", "tool_call_id": "call00001", "content": "Error: done"},
        {"role": "user", "content": "and?"},
    ]


def test_images_stand_where_they_stood_and_those_of_tools_in_the_users_next_message() -> None:
    sent = messages(
        user(said("this"), image(), said("or that?")),
        {"role": "assistant", "content": [call("x"), call("y")]},
        user(result("x", [image()]), result("y"), said("so?")),
    )
    assert sent[0]["content"] == [said("this"), SHOWN, said("or that?")]
    assert [turn["role"] for turn in sent[2:]] == ["tool", "tool", "user"]
    assert sent[2]["content"] == "The image follows."
    assert sent[4]["content"] == [said("What the tool call call00000 shows:"), SHOWN, said("so?")]


def test_images_are_no_part_of_the_guess_at_the_prompts_length() -> None:
    request = parse_request(orjson.dumps({"model": "m", "max_tokens": 9, "messages": [user(image("QUFB" * 10_000))]}))
    assert completion_call(request, model="m").prompt_bytes < 500


def test_earlier_thinking_is_sent_unless_refused() -> None:
    thought = [{"type": "thinking", "thinking": "hm"}, {"type": "redacted_thinking", "data": "x"}, said("b")]
    turns = [user(said("a")), {"role": "assistant", "content": thought}, user(said("c"))]
    assert messages(*turns)[1] == {"role": "assistant", "content": "b", "reasoning_content": "hm"}
    assert messages(*turns, refused=frozenset({"reasoning_content"}))[1] == {"role": "assistant", "content": "b"}


TOOLS = [
    {"name": "Bash", "description": "Runs", "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}},
    {"name": "Bare", "input_schema": {}},
    {"name": "Later", "input_schema": {}, "defer_loading": True},
    {"name": "web_search", "type": "web_search_20250305"},
]


@pytest.mark.parametrize(
    ("choice", "names", "sent"),
    [
        (None, ["Bash", "Bare"], None),
        ({"type": "auto"}, ["Bash", "Bare"], None),
        ({"type": "any"}, ["Bash", "Bare"], "required"),
        ({"type": "none"}, ["Bash", "Bare"], "none"),
        ({"type": "tool", "name": "Bare"}, ["Bare"], "required"),
    ],
)
def test_tools_and_their_choice(choice: Any, names: list[str], sent: str | None) -> None:
    got = body(tools=TOOLS, **({"tool_choice": choice} if choice else {}))
    assert [tool["function"]["name"] for tool in got["tools"]] == names
    assert got.get("tool_choice") == sent
    assert "parallel_tool_calls" not in got


def test_tool_schemas_are_sent_as_they_are() -> None:
    [bash, bare] = body(tools=TOOLS)["tools"]
    assert list(bash["function"]["parameters"]["properties"]) == ["b", "a"]
    assert bare["function"] == {"name": "Bare", "description": "", "parameters": {"type": "object", "properties": {}}}


def test_one_call_at_a_time_is_asked_for_when_the_client_does() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert body(tools=TOOLS, tool_choice=choice)["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("fields", "naming"),
    [
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "Nope"}}, "Nope"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        (
            {"messages": [user({"type": "image", "source": {"type": "url", "url": "http://x/y"}})]},
            "messages.0.content.0",
        ),
        ({"messages": [user({"type": "document", "source": {"type": "base64", "data": "x"}})]}, "messages.0.content.0"),
        (
            {"messages": [{"role": "system", "content": [{"type": "thinking", "thinking": "x"}]}]},
            "messages.0.content.0",
        ),
    ],
)
def test_what_cannot_be_shown_is_named(fields: dict[str, Any], naming: str) -> None:
    with pytest.raises(InvalidRequest, match=naming):
        body(**fields)
