"""The canonical form: what makes two requests one, and what makes them two."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.canonical import canonicalise, digest, encode, first_difference
from workbench.errors import InvalidRequest
from workbench.messages import MessagesRequest, parse_prompt, parse_request

Body = dict[str, Any]
Path = tuple[str | int, ...]

STEADY = settings(derandomize=True, deadline=None)

BODY: Body = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "stop_sequences": ["END"],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 512},
    "context_management": {"edits": [{"type": "clear"}]},
    "output_config": {"effort": "high"},
    "surprise": {"depth": 1},
    "system": [{"type": "text", "text": "You are terse."}, {"type": "text", "text": "Use metric units."}],
    "tools": [
        {
            "name": "Bash",
            "description": "Run a command",
            "defer_loading": True,
            "input_schema": {"type": "object", "properties": {"command": {"type": "string", "cache_control": "x"}}},
        },
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "List the files"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "They want ls"},
                {"type": "redacted_thinking", "data": "opaque"},
                {"type": "text", "text": "Listing"},
                {"type": "tool_use", "id": "toolu_A", "name": "Bash", "input": {"command": "ls", "flags": ["-l", 1]}},
                {"type": "tool_use", "id": "toolu_B", "name": "Bash", "input": {}},
                {"type": "server_tool_use", "id": "srvtoolu_C", "name": "web_search", "input": {"query": "ls"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_C", "content": [{"url": "https://a.b"}]},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_A",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "a.txt"},
                        {"type": "tool_reference", "tool_name": "Bash"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "toolu_B", "content": [{"type": "text", "text": ""}]},
                {"type": "document", "source": {"type": "url", "url": "https://a.b/c.pdf"}, "title": "C"},
                {"type": "text", "text": "What is in it?"},
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "cwd: /home/u"}], "output_config": {"effort": "low"}},
    ],
}


def parsed(body: Body) -> MessagesRequest:
    return parse_request(orjson.dumps(body))


def key(body: Body, *, model: str = "toy", model_digest: str = "sha256:1") -> str:
    return digest(canonicalise(parsed(body), model=model), model_digest=model_digest)


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    else:
        yield path


def at(body: Body, path: Path) -> Any:
    value: Any = body
    for step in path:
        value = value[step]
    return value


def changed(body: Body, path: Path, value: Any) -> Body:
    body = copy.deepcopy(body)
    at(body, path[:-1])[path[-1]] = value
    return body


def nudged(value: Any) -> Any:
    """Another value of the same type, as near as can be."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2
        case str():
            return value + "."
    raise AssertionError(value)


# ── one form ────────────────────────────────────────────────────────────────────────────────────────────────


def _content_as_strings(body: Body) -> None:
    for holder in body["messages"]:
        match holder["content"]:
            case [{"type": "text", "text": text}]:
                holder["content"] = text
            case blocks:
                for block in blocks:
                    if block["type"] == "tool_result" and len(block["content"]) == 1:
                        block["content"] = block["content"][0]["text"]


def _cache_control_everywhere(body: Body) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    blocks = [
        block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
    ]
    inner = [part for block in blocks if isinstance(block.get("content"), list) for part in block["content"]]
    for thing in (body, *body["system"], *body["tools"], *blocks, *(part for part in inner if "type" in part)):
        thing["cache_control"] = mark


def _other_ids(body: Body) -> None:
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            for field in ("id", "tool_use_id"):
                if field in block:
                    block[field] = f"other_{block[field][::-1]}"


def _billing_block(body: Body) -> None:
    body["system"].insert(0, {"type": "text", "text": f"x-anthropic-billing-header: cch={len(body)};"})


def _billing_line(body: Body) -> None:
    first = body["system"][0]
    if not first["text"].startswith("x-anthropic"):
        first["text"] = f"x-anthropic-billing-header: cc_version=2; cch=1\n\n{first['text']}"


def _noise(body: Body) -> None:
    body |= {"metadata": {"user_id": "u"}, "stream": True, "safeguards": {"a": 1}, "service": None, "mcp_servers": []}
    body["thinking"]["display"] = "omitted"
    body["messages"][0]["note"] = None


def _signatures_and_citations(body: Body) -> None:
    assistant = body["messages"][1]["content"]
    assistant[0]["signature"] = "c2ln"
    assistant[2]["citations"] = []
    body["messages"][2]["content"][1]["is_error"] = False


def _reversed_keys(body: Body) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(inner) for name, inner in reversed(value.items())}
        return [turned(inner) for inner in value] if isinstance(value, list) else value

    body.update(turned(body))


EQUIVALENCES: list[Callable[[Body], None]] = [
    _cache_control_everywhere,
    _content_as_strings,
    _other_ids,
    _billing_block,
    _billing_line,
    _noise,
    _signatures_and_citations,
    _reversed_keys,
]


@STEADY
@given(st.lists(st.sampled_from(EQUIVALENCES), min_size=1, unique=True))
def test_equivalent_forms_have_one_digest(rewrites: list[Callable[[Body], None]]) -> None:
    body = copy.deepcopy(BODY)
    for rewrite in rewrites:
        rewrite(body)

    assert key(body) == key(BODY), first_difference(
        canonicalise(parsed(body), model="m"), canonicalise(parsed(BODY), model="m")
    )


def test_every_rewrite_alone_changes_the_body_but_not_the_digest() -> None:
    for rewrite in EQUIVALENCES:
        body = copy.deepcopy(BODY)
        rewrite(body)
        assert orjson.dumps(body) != orjson.dumps(BODY), rewrite.__name__
        assert key(body) == key(BODY), rewrite.__name__


def test_no_tools_no_system_and_no_stop_sequences_are_the_same_as_empty_ones() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}

    assert key(body | {"tools": [], "system": [], "stop_sequences": []}) == key(body)
    assert key(body | {"tools": None, "system": None, "tool_choice": None}) == key(body)
    assert key(body | {"system": "x-anthropic-billing-header: cch=1"}) == key(body)


def test_tool_result_without_content_is_one_with_empty_content() -> None:
    body = copy.deepcopy(BODY)
    body["messages"][2]["content"][1]["content"] = []
    without = copy.deepcopy(body)
    del without["messages"][2]["content"][1]["content"]

    assert key(body) == key(without)


def test_name_that_the_client_used_for_the_model_does_not_matter() -> None:
    assert key(changed(BODY, ("model",), "claude-haiku")) == key(BODY)


def test_canonical_form_of_a_canonical_form_is_itself() -> None:
    once = canonicalise(parsed(BODY), model="toy")

    assert encode(canonicalise(once, model="toy")) == encode(once)


# ── two forms ───────────────────────────────────────────────────────────────────────────────────────────────

BEARING_MEANING = [path for path in leaves(BODY) if path != ("model",)]


@pytest.mark.parametrize("path", BEARING_MEANING, ids=lambda path: ".".join(map(str, path)))
def test_change_of_any_value_changes_the_digest(path: Path) -> None:
    body = changed(BODY, path, nudged(at(BODY, path)))

    try:
        other = key(body)
    except InvalidRequest:
        return  # not a request any more: an unknown block type, a result of no call
    assert other != key(BODY)


@pytest.mark.parametrize("path", BEARING_MEANING, ids=lambda path: ".".join(map(str, path)))
def test_leaving_any_value_out_changes_the_digest(path: Path) -> None:
    body = copy.deepcopy(BODY)
    del at(body, path[:-1])[path[-1]]

    with suppress(InvalidRequest):
        assert key(body) != key(BODY)


@STEADY
@given(st.sampled_from([path for path in BEARING_MEANING if path[-1] in ("text", "thinking", "command")]), st.text())
def test_texts_are_told_apart_to_the_character(path: Path, text: str) -> None:
    body = changed(BODY, path, text)

    assert (key(body) == key(BODY)) == (text == at(BODY, path))


def test_order_of_messages_blocks_and_tools_bears_meaning() -> None:
    for path in (("tools",), ("system",), ("messages", 1, "content"), ("stop_sequences",)):
        items = [*at(BODY, path), *(["STOP"] if path == ("stop_sequences",) else [])]
        assert key(changed(BODY, path, items)) != key(changed(BODY, path, items[::-1]))


def test_whitespace_and_case_bear_meaning() -> None:
    path = ("messages", 0, "content", 0, "text")

    assert len({key(changed(BODY, path, text)) for text in ("List", "list", "List ", " List", "List\n")}) == 5


def test_role_bears_meaning() -> None:
    assert key(changed(BODY, ("messages", 0, "role"), "system")) != key(BODY)


def test_which_call_a_result_answers_bears_meaning() -> None:
    swapped = copy.deepcopy(BODY)
    one, other = swapped["messages"][2]["content"][:2]
    one["tool_use_id"], other["tool_use_id"] = other["tool_use_id"], one["tool_use_id"]

    assert key(swapped) != key(BODY)


def test_resolved_model_and_its_digest_are_in_the_key() -> None:
    keys = {
        key(BODY),
        key(BODY, model="other"),
        key(BODY, model_digest="sha256:2"),
        key(BODY, model="toy1", model_digest=""),
    }

    assert len(keys) == 4


def test_cache_control_inside_a_tools_schema_or_input_is_left_alone() -> None:
    schema = ("tools", 0, "input_schema", "properties", "command", "cache_control")
    tool_input = ("messages", 1, "content", 3, "input", "cache_control")

    assert key(changed(BODY, schema, "y")) != key(BODY)
    assert key(changed(BODY, tool_input, None)) != key(BODY)


def test_text_that_mentions_the_billing_header_further_down_is_kept() -> None:
    path = ("system", 1, "text")
    texts = (
        "Say x-anthropic-billing-header: 1",
        "Say x-anthropic-billing-header: 2",
        "a\nx-anthropic-billing-header: 1",
    )

    assert len({key(changed(BODY, path, text)) for text in texts}) == 3


# ── what is sent ────────────────────────────────────────────────────────────────────────────────────────────


def test_callers_request_is_not_touched() -> None:
    body = copy.deepcopy(BODY)
    for rewrite in (_cache_control_everywhere, _noise, _billing_block, _signatures_and_citations):
        rewrite(body)
    request = parsed(body)

    canonicalise(request, model="toy")

    assert request == parsed(body)
    assert orjson.loads(request.model_dump_json(exclude_unset=True)) == body


def test_dropped_fields_are_gone_from_what_is_sent() -> None:
    body = copy.deepcopy(BODY)
    for rewrite in (_cache_control_everywhere, _noise, _billing_block, _signatures_and_citations):
        rewrite(body)

    sent = canonicalise(parsed(body), model="toy")

    assert sent.model == "toy"
    assert not sent.stream
    text = sent.model_dump_json(exclude_none=True)
    assert "ephemeral" not in text
    assert not any(word in text for word in ("metadata", "safeguards", "display", "billing", "signature", "citations"))
    assert sent.model_fields_set.isdisjoint({"metadata", "safeguards", "cache_control", "mcp_servers"})


def test_tool_ids_are_numbered_by_first_appearance() -> None:
    sent = canonicalise(parsed(BODY), model="toy").model_dump()

    assert [block["id"] for block in sent["messages"][1]["content"] if "id" in block] == ["t0", "t1", "t2"]
    assert sent["messages"][1]["content"][6]["tool_use_id"] == "t2"
    assert [block["tool_use_id"] for block in sent["messages"][2]["content"][:2]] == ["t0", "t1"]


def test_order_of_a_tools_arguments_is_kept_for_sending() -> None:
    path = ("messages", 1, "content", 3, "input")
    request = parsed(changed(BODY, path, {"z": 1, "a": 2}))

    sent = canonicalise(request, model="toy").model_dump()

    assert list(at(sent, path)) == ["z", "a"]


def test_prompt_without_max_tokens_has_a_canonical_form_too() -> None:
    prompt = parse_prompt(b'{"model":"a","messages":[{"role":"user","content":"hi"}],"metadata":{},"system":[]}')

    assert encode(canonicalise(prompt, model="b")) == (
        b'{"messages":[{"content":[{"text":"hi","type":"text"}],"role":"user"}],"model":"b"}'
    )


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────


def _nested(depth: int) -> Body:
    value: Body = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_tool_input_too_deep_for_json_is_an_invalid_request() -> None:
    request = parsed(changed(BODY, ("messages", 1, "content", 3, "input"), _nested(200)))
    assert digest(canonicalise(request, model="m"), model_digest="")

    text = orjson.dumps(BODY).replace(b'"command":"ls"', b'"command":' + b'{"a":' * 1000 + b"1" + b"}" * 1000)
    with pytest.raises(InvalidRequest, match="250 levels"):
        encode(canonicalise(parse_request(text), model="m"))


def test_lone_surrogate_is_an_invalid_request() -> None:
    message = {"role": "user", "content": "\ud800"}
    request = MessagesRequest.model_validate({"model": "m", "max_tokens": 1, "messages": [message]}).model_copy()

    with pytest.raises(InvalidRequest, match="Unicode"):
        encode(request)


# ── the first difference ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("messages", 2, "content", 3, "text"), "What is not in it?", "messages.2.content.3.text at character 8"),
        (("max_tokens",), 2, "max_tokens"),
        (("surprise", "depth"), True, "surprise.depth"),
        (("surprise", "depth"), 1.0, "surprise.depth"),
        (("stop_sequences",), ["END", "STOP"], "stop_sequences.1: only in the second"),
        (("stop_sequences",), [], "stop_sequences: only in the first"),
    ],
)
def test_first_difference_names_the_place(path: Path, value: Any, expected: str) -> None:
    a = canonicalise(parsed(BODY), model="m")
    b = canonicalise(parsed(changed(BODY, path, value)), model="m")

    assert first_difference(a, b) == expected


@STEADY
@given(st.sampled_from(BEARING_MEANING))
def test_requests_differ_somewhere_exactly_when_their_digests_do(path: Path) -> None:
    body = changed(BODY, path, nudged(at(BODY, path)))
    try:
        a, b = canonicalise(parsed(BODY), model="m"), canonicalise(parsed(body), model="m")
    except InvalidRequest:
        return

    assert (first_difference(a, b) is None) == (digest(a, model_digest="") == digest(b, model_digest=""))
