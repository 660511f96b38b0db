"""The request that reaches Ollama: one case for each line of the mapping."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.backend.ollama_messages import chat_call
from workbench.errors import InvalidRequest
from workbench.messages import MessagesRequest, parse_request

Json = dict[str, Any]


def request(messages: list[Json] | str = "Hi", **fields: Any) -> MessagesRequest:
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return parse_request(orjson.dumps({"model": "m", "max_tokens": 64, "messages": turns, **fields}))


def sent(messages: list[Json] | str = "Hi", *, think: bool | None = None, **fields: Any) -> Json:
    call = chat_call(request(messages, **fields), model="qwen3:8b", num_ctx=8192, keep_alive="30m", think=think)
    body: Json = json.loads(call.body)
    return body


def user(*content: Json) -> Json:
    return {"role": "user", "content": list(content)}


def assistant(*content: Json) -> Json:
    return {"role": "assistant", "content": list(content)}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def use(tool_id: str, name: str = "Read", **arguments: Any) -> Json:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}


def result(tool_id: str, content: Any = "done", **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": tool_id, "content": content, **more}


def image(data: str = "aGk=") -> Json:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def tool(name: str = "Read", schema: Json | None = None, **more: Any) -> Json:
    return {"name": name, "description": f"the {name} tool", "input_schema": schema or {"type": "object"}, **more}


# ── the frame ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_context_is_pinned_and_never_truncated_or_shifted() -> None:
    body = sent()
    assert body["model"] == "qwen3:8b"
    assert body["options"] == {"num_ctx": 8192, "num_predict": 64}
    assert (body["truncate"], body["shift"], body["stream"], body["keep_alive"]) == (False, False, True, "30m")


def test_sampling_options_are_passed_on() -> None:
    options = sent(temperature=0.5, top_p=0.9, top_k=7)["options"]
    assert (options["temperature"], options["top_p"], options["top_k"]) == (0.5, 0.9, 7)


def test_stop_sequences_are_not_sent_since_they_are_recognised_here() -> None:
    assert "stop" not in sent(stop_sequences=["END"])["options"]


@pytest.mark.parametrize("think", [True, False])
def test_think_is_sent_when_it_is_decided(think: bool) -> None:
    assert sent(think=think)["think"] is think


def test_think_is_left_out_when_the_model_cannot() -> None:
    assert "think" not in sent(think=None)


def test_the_same_request_gives_the_same_bytes() -> None:
    one, two = (
        chat_call(request("Hi", tools=[tool()]), model="m", num_ctx=1, keep_alive="1m", think=None) for _ in "ab"
    )
    assert one == two


def test_the_prompts_size_leaves_images_out() -> None:
    small = chat_call(request([user(image("aGk="))]), model="m", num_ctx=1, keep_alive="1m")
    large = chat_call(request([user(image("aGk=" * 1000))]), model="m", num_ctx=1, keep_alive="1m")
    assert small.prompt_bytes == large.prompt_bytes


def test_arguments_nested_too_deeply_are_refused() -> None:
    nested: Json = {}
    for _ in range(400):
        nested = {"a": nested}
    built = MessagesRequest.model_validate(
        {"model": "m", "max_tokens": 1, "messages": [assistant(use("t0", **nested)), user(result("t0"))]}
    )
    with pytest.raises(InvalidRequest, match="nested"):
        chat_call(built, model="m", num_ctx=1, keep_alive="1m")


# ── system ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_system_blocks_become_one_message() -> None:
    messages = sent("Hi", system=[text("Be brief."), text("Be kind.")])["messages"]
    assert messages == [{"role": "system", "content": "Be brief.\n\nBe kind."}, {"role": "user", "content": "Hi"}]


def test_no_system_gives_no_system_message() -> None:
    assert [message["role"] for message in sent()["messages"]] == ["user"]


def test_a_system_turn_stays_in_its_place_as_a_reminder_of_the_user() -> None:
    turns = [user(text("a")), {"role": "system", "content": "note"}, assistant(text("b")), user(text("c"))]
    assert [(m["role"], m["content"]) for m in sent(turns)["messages"]] == [
        ("user", "a"),
        ("user", "<system-reminder>\nnote\n</system-reminder>"),
        ("assistant", "b"),
        ("user", "c"),
    ]


def test_a_reminder_is_not_wrapped_twice() -> None:
    turns = [{"role": "system", "content": "<system-reminder>\nnote\n</system-reminder>"}]
    assert sent(turns)["messages"][0]["content"].count("<system-reminder>") == 1


# ── tools used ──────────────────────────────────────────────────────────────────────────────────────────────


def test_tool_calls_keep_their_ids_and_the_order_of_their_arguments() -> None:
    body = sent([assistant(text("ok"), use("t0", "Edit", z=1, a={"y": 2, "b": 3})), user(result("t0"))])
    turn = body["messages"][0]
    assert turn["content"] == "ok"
    assert turn["tool_calls"] == [
        {"id": "t0", "function": {"name": "Edit", "arguments": {"z": 1, "a": {"y": 2, "b": 3}}}}
    ]
    assert json.dumps(turn["tool_calls"][0]["function"]["arguments"]) == '{"z": 1, "a": {"y": 2, "b": 3}}'


def test_tool_results_come_before_the_text_of_their_turn() -> None:
    messages = sent([assistant(use("t0")), user(text("and now?"), result("t0", "42"))])["messages"]
    assert messages[1:] == [
        {"role": "tool", "content": "42", "tool_call_id": "t0", "tool_name": "Read"},
        {"role": "user", "content": "and now?"},
    ]


def test_tool_results_come_in_the_order_of_their_calls() -> None:
    turns = [assistant(use("x", "A"), use("b", "B"), use("k", "C")), user(result("k"), result("x"), result("b"))]
    messages = sent(turns)["messages"]
    assert [(m["tool_call_id"], m["tool_name"]) for m in messages[1:]] == [("x", "A"), ("b", "B"), ("k", "C")]


def test_a_turn_of_results_alone_adds_no_user_message() -> None:
    assert [m["role"] for m in sent([assistant(use("t0")), user(result("t0"))])["messages"]] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("no such file", "Error: no such file"), ("Error: no such file", "Error: no such file"), ([], "Error: ")],
)
def test_a_failed_tool_says_so(content: Any, expected: str) -> None:
    messages = sent([assistant(use("t0")), user(result("t0", content, is_error=True))])["messages"]
    assert messages[1]["content"] == expected


def test_a_result_of_several_parts_is_flattened_and_its_images_go_with_it() -> None:
    turns = [assistant(use("t0")), user(result("t0", [text("one"), image("aW1n"), text("two")]))]
    message = sent(turns)["messages"][1]
    assert (message["content"], message["images"]) == ("one\n\ntwo", ["aW1n"])


# ── images, documents, thinking ─────────────────────────────────────────────────────────────────────────────


def test_an_image_is_sent_as_bare_base64() -> None:
    assert sent([user(text("what is this?"), image("aGk="))])["messages"] == [
        {"role": "user", "content": "what is this?", "images": ["aGk="]}
    ]


def test_an_image_that_looks_like_a_local_path_is_not_opened() -> None:
    assert sent([user(image("/etc/hostname"))])["messages"][0]["images"] == ["/etc/hostname"]


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}, r"messages\.0\.content\.1\.source"),
        (image("data:image/png;base64,aGk="), r"messages\.0\.content\.1\.source\.data"),
        ({"type": "image", "source": {"type": "base64"}}, r"messages\.0\.content\.1\.source"),
        ({"type": "document", "source": {"type": "base64", "data": "aGk="}}, r"messages\.0\.content\.1\.source"),
        (use("t0"), r"messages\.0\.content\.1: `tool_use` blocks"),
    ],
)
def test_what_no_local_model_can_be_shown_is_refused_by_field(block: Json, field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        sent([user(text("see"), block)])


def test_a_bad_image_in_a_tool_result_is_refused_by_field() -> None:
    bad = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    with pytest.raises(InvalidRequest, match=r"messages\.1\.content\.0\.content\.1\.source"):
        sent([assistant(use("t0")), user(result("t0", [text("a"), bad]))])


def test_a_text_document_is_inlined() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once."}}
    assert sent([user(document, text("Summarise."))])["messages"][0]["content"] == "Once.\n\nSummarise."


def test_replayed_thinking_is_accepted_and_passed_on() -> None:
    turn = assistant(
        {"type": "thinking", "thinking": "hmm", "signature": "x"},
        {"type": "redacted_thinking", "data": "zzz"},
        text("yes"),
    )
    assert sent([user(text("?")), turn])["messages"][1] == {"role": "assistant", "content": "yes", "thinking": "hmm"}


def test_what_server_tools_left_behind_is_shown_to_no_model() -> None:
    turn = assistant({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, text("found"))
    assert sent([user(text("?")), turn])["messages"][1] == {"role": "assistant", "content": "found"}


# ── tools offered ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_tools_schema_keeps_only_what_survives_in_its_own_order() -> None:
    schema = {
        "$schema": "x",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "format": {"type": "string", "format": "uri", "description": "d", "enum": ["a"], "minLength": 1},
            "any": {"anyOf": [{"type": "string", "pattern": "x"}, {"type": "null"}]},
            "list": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
            "anything": True,
        },
        "required": ["format"],
    }
    function = sent(tools=[tool("Get", schema)])["tools"][0]
    assert function["type"] == "function"
    assert function["function"]["name"] == "Get"
    assert json.dumps(function["function"]["parameters"]) == json.dumps(
        {
            "type": "object",
            "properties": {
                "format": {"type": "string", "description": "d", "enum": ["a"]},
                "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "list": {"type": "array", "items": {"type": "string"}},
                "anything": {},
            },
            "required": ["format"],
        }
    )


def test_server_tools_are_left_out() -> None:
    assert "tools" not in sent(tools=[{"type": "web_search_20250305", "name": "web_search"}])


def test_a_deferred_tool_is_offered_once_the_search_has_named_it() -> None:
    tools = [tool("ToolSearch"), tool("Rare", defer_loading=True), tool("Rarer", defer_loading=True)]
    found = [assistant(use("t0", "ToolSearch")), user(result("t0", [{"type": "tool_reference", "tool_name": "Rare"}]))]
    assert names(sent(tools=tools)) == ["ToolSearch"]
    assert names(sent(found, tools=tools)) == ["ToolSearch", "Rare"]


def names(body: Json) -> list[str]:
    return [offered["function"]["name"] for offered in body.get("tools", [])]


def test_tool_choice_none_offers_nothing() -> None:
    assert "tools" not in sent(tools=[tool()], tool_choice={"type": "none"})


def test_tool_choice_auto_says_nothing() -> None:
    assert sent(tools=[tool()], tool_choice={"type": "auto"})["messages"] == sent(tools=[tool()])["messages"]


def test_tool_choice_any_instructs_at_the_end() -> None:
    body = sent(tools=[tool("A"), tool("B")], tool_choice={"type": "any"})
    assert names(body) == ["A", "B"]
    assert body["messages"][0] == {"role": "user", "content": "Hi"}
    assert "at least one of the tools" in body["messages"][-1]["content"]


def test_tool_choice_tool_offers_that_tool_alone_and_instructs() -> None:
    body = sent(tools=[tool("A"), tool("B")], tool_choice={"type": "tool", "name": "B"})
    assert names(body) == ["B"]
    assert "calling the tool B" in body["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("choice", "field"),
    [({"type": "tool", "name": "Z"}, r"tool_choice\.name"), ({"type": "any"}, r"tool_choice\.type")],
)
def test_a_choice_without_its_tool_is_refused(choice: Json, field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        sent(tools=[], tool_choice=choice)


# ── nothing is lost, doubled or moved ───────────────────────────────────────────────────────────────────────


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Json], list[str]]:
    """Turns in which every text is a word of its own, and the words in the order in which the model must see them."""
    turns: list[Json] = []
    words: list[str] = []
    pending: list[str] = []

    def word() -> str:
        words.append(f"word{len(words)}.")
        return words[-1]

    for _ in range(draw(st.integers(1, 5))):
        results = [result(tool_id, word()) for tool_id in pending]
        texts = [text(word()) for _ in range(draw(st.integers(0 if results else 1, 2)))]
        shuffled = draw(st.permutations(results))
        turns.append(user(*texts, *shuffled) if draw(st.booleans()) else user(*shuffled, *texts))
        if draw(st.booleans()):
            turns.append({"role": "system", "content": word()})
        said = [text(word()) for _ in range(draw(st.integers(0, 1)))]
        pending = [f"t{len(words)}-{n}" for n in range(draw(st.integers(0 if said else 1, 2)))]
        turns.append(assistant(*said, *(use(tool_id, argument=word()) for tool_id in pending)))
    return turns, words


@given(conversations())
def test_every_text_result_and_argument_appears_exactly_once_and_in_order(drawn: tuple[list[Json], list[str]]) -> None:
    turns, words = drawn
    shown = json.dumps(sent(turns)["messages"])
    assert [shown.count(word) for word in words] == [1] * len(words)
    assert sorted(words, key=shown.index) == words
