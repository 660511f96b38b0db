"""What is wrong is told in the API's own words, names the field, is never a 500 and is never stored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.stand_ins.ollama import StandInOllama
from tests.proxying import assert_refused, body, get, post, proxied
from tests.test_reply import json_values

LIMIT_BYTES = 2_000_000


@pytest.fixture(scope="module")
def thinker() -> StandInOllama:
    return StandInOllama()


@pytest.fixture(scope="module")
def address(thinker: StandInOllama) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, proxied(Path(folder), thinker, body_max_bytes=LIMIT_BYTES) as address:
        yield address


def nested_schema(depth: int) -> bytes:
    return orjson.dumps(body(tools=[{"name": "t", "input_schema": {"here": 0}}])).replace(
        b'{"here":0}', b'{"a":' * depth + b"{}" + b"}" * depth
    )


def user(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": list(blocks)}]


CALL = {"type": "tool_use", "id": "toolu_9", "name": "t", "input": {}}


@pytest.mark.parametrize(
    ("request_body", "naming"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"text"', "object"),
        (b'{"model": "\xff\xfe"}', "JSON"),
        (b'{"model": "\\ud800"}', "JSON"),
        (b"[" * 100_000, "JSON"),
        ({}, "model"),
        (body(model=7), "model"),
        (body(model=""), "model"),
        (body(model="m" * 1000), "model"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=-1), "max_tokens"),
        (body(max_tokens=10**7), "max_tokens"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":1e400}', ""),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":99999999999999999999}', "max_tokens"),
        (body(max_tokens="64"), "max_tokens"),
        (body(max_tokens=True), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(temperature="warm"), "temperature"),
        (body(temperature=-1), "temperature"),
        (body(top_p=2), "top_p"),
        (body(top_k=-1), "top_k"),
        (body(stop_sequences="x"), "stop_sequences"),
        (body(stream="yes"), "stream"),
        (body(system=7), "system"),
        (body(tools={}), "tools"),
        (body(tools=[{"input_schema": {}}]), "tools.0.name"),
        (body(tools=[{"name": "t", "input_schema": []}]), "tools.0.input_schema"),
        (nested_schema(300), "JSON"),
        (nested_schema(5000), "JSON"),
        (body(tool_choice={"type": "tool"}), "tool_choice"),
        (body(tool_choice={"type": "sometimes"}), "tool_choice"),
        (body(thinking="yes"), "thinking"),
        (body(messages=[]), "messages"),
        (body(messages="Hi"), "messages"),
        (body(messages=[{"role": "robot", "content": "x"}]), "messages.0.role"),
        (body(messages=[{"role": "user"}]), "messages.0.content"),
        (body(messages=[{"role": "user", "content": 7}]), "messages.0.content"),
        (body(messages=user("text")), "messages.0.content.0"),
        (body(messages=user({"type": "hologram"})), "messages.0.content.0"),
        (body(messages=user({"type": "text"})), "messages.0.content.0.text.text"),
        (body(messages=user({"type": "image", "source": {"type": "carrier pigeon"}})), "messages.0.content.0.image"),
        (body(messages=user({"type": "image", "source": {"type": "url", "url": "http://x/y.png"}})), "image"),
        (body(messages=user({"type": "tool_result", "tool_use_id": "toolu_1"})), "toolu_1"),
        (body(messages=user(CALL, {"type": "tool_result", "tool_use_id": "toolu_9"})), "messages.0.content.0"),
        (body(messages=[1] * 50_000), "messages.0"),
        (body(messages=user(*[1] * 50_000)), "messages.0.content.0"),
        (
            b'{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a",'
            b'"name":"n","input":{"order":20000000000000000000001}}]}]}',
            "messages.0.content.0.input.order",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_request_is_a_400_that_names_the_field(
    address: str, thinker: StandInOllama, request_body: Any, naming: str
) -> None:
    before = len(thinker.chats)
    assert_refused(post(address, request_body), 400, "invalid_request_error", naming=naming)
    if isinstance(request_body, dict):
        assert post(address, {"stream": True} | request_body).status_code == 400
    assert len(thinker.chats) == before
    assert get(address, "/api/stats").json()["store"]["entries"] == 0


@pytest.mark.parametrize("size_bytes", [LIMIT_BYTES + 1, 3 * LIMIT_BYTES])
def test_body_over_the_limit_is_a_413(address: str, size_bytes: int) -> None:
    assert_refused(post(address, b" " * size_bytes), 413, "request_too_large", naming=str(LIMIT_BYTES))


def test_chunked_body_over_the_limit_is_a_413(address: str) -> None:
    pieces = (b" " * 100_000 for _ in range(LIMIT_BYTES // 100_000 + 2))
    refused = httpx2.post(f"{address}/v1/messages", content=pieces, timeout=30, trust_env=False)
    assert_refused(refused, 413, "request_too_large")


def test_count_tokens_refuses_what_messages_refuses(address: str) -> None:
    path = "/v1/messages/count_tokens"
    assert_refused(post(address, b"{", path=path), 400, "invalid_request_error", naming="JSON")
    assert_refused(post(address, {"model": "claude-x"}, path=path), 400, "invalid_request_error", naming="messages")
    assert_refused(post(address, body(model="gpt-4"), path=path), 404, "not_found_error", naming="gpt-4")
    assert_refused(post(address, nested_schema(300), path=path), 400, "invalid_request_error", naming="JSON")


def test_wrong_query_is_a_400(address: str) -> None:
    for path in ("/v1/models?limit=0", "/v1/models?limit=many", "/api/entries?limit=0"):
        assert_refused(get(address, path), 400, "invalid_request_error", naming="limit")


STRANGE = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {},
        optional={
            "model": json_values | st.just("claude-x"),
            "max_tokens": json_values | st.just(5),
            "messages": json_values
            | st.lists(
                st.fixed_dictionaries(
                    {"role": st.sampled_from(["user", "assistant", "system", "?"]), "content": json_values}
                ),
                max_size=3,
            ),
            "system": json_values,
            "tools": json_values,
            "stream": st.booleans(),
            "stop_sequences": json_values,
            "thinking": json_values,
            "metadata": json_values,
            "output_config": json_values,
        },
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strange=STRANGE)
def test_strange_json_is_never_a_500(address: str, strange: Any) -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = post(address, orjson.dumps(strange), path=path)
        assert response.status_code in (200, 400, 404), response.text
        assert response.headers["request-id"].startswith("req_")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=200))
def test_noise_is_never_a_500(address: str, noise: bytes) -> None:
    assert_refused(post(address, noise), 400, "invalid_request_error")


REFERENCE = {"type": "tool_reference", "tool_name": "t"}
ACCEPTED: list[dict[str, Any]] = [
    body(thinking={"type": "adaptive"}, context_management={"edits": []}, output_config={"effort": "high"}),
    body(metadata={"user_id": "u"}, safeguards=[], service_tier="auto", unknown_field={"a": 1}),
    body(system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]),
    body(tools=[{"name": "t", "input_schema": {"type": "object"}, "strict": True, "defer_loading": True}]),
    body(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]),
    body(tool_choice={"type": "auto", "disable_parallel_tool_use": True}, tools=[{"name": "t", "input_schema": {}}]),
    body(stop_sequences=[], temperature=1, top_p=0.9, top_k=40),
    body(messages=[*user({"type": "text", "text": "x"}), {"role": "system", "content": "now"}]),
    body(
        messages=[
            {"role": "user", "content": "list"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "xx"},
                    {"type": "tool_use", "id": "toolu_a", "name": "t", "input": {}},
                    {"type": "tool_use", "id": "toolu_b", "name": "t", "input": {}},
                ],
            },
            *user(
                {"type": "tool_result", "tool_use_id": "toolu_b", "content": "b"},
                {"type": "tool_result", "tool_use_id": "toolu_a", "content": [REFERENCE]},
                {"type": "text", "text": "and now?"},
            ),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize("request_body", ACCEPTED, ids=lambda request: ",".join(sorted(request))[:60])
def test_what_clients_really_send_is_accepted(address: str, request_body: dict[str, Any]) -> None:
    for stream in (False, True):
        response = post(address, request_body | {"stream": stream}, anthropic_beta="a-beta-of-tomorrow-2027-01-01")
        assert response.status_code == 200, response.text
