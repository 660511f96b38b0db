"""The prompt's beginning stays what it was from turn to turn, and where it does not, the doctor says so."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from workbench.__main__ import cli
from workbench.backend.ollama_messages import chat_call
from workbench.backend.openai_messages import completion_call
from workbench.canonical import canonicalise
from workbench.messages import MessagesRequest, parse_request
from workbench.prefix import Continued, Parting, compare, shared_length

EPHEMERAL: dict[str, Any] = {"type": "ephemeral"}
TOOLS: list[dict[str, Any]] = [
    {"name": "Bash", "description": "Runs", "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}},
    {"name": "Find", "input_schema": {"type": "object"}, "defer_loading": True},
]
RULES: dict[str, Any] = {"type": "text", "text": "You are Claude Code. Be brief."}


def billing(cch: str) -> dict[str, Any]:
    return {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.328; cch={cch};"}


FIRST_TURN: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 32000,
    "metadata": {"user_id": "session-1"},
    "system": [billing("a1"), RULES | {"cache_control": EPHEMERAL}],
    "tools": TOOLS,
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "List the files.", "cache_control": EPHEMERAL}]},
        {"role": "system", "content": "Working folder: /home/me", "output_config": {"effort": "high"}},
    ],
}
CALLS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "I look.", "signature": "one"},
    {"type": "tool_use", "id": "toolu_7", "name": "Bash", "input": {"b": "ls", "a": "-l"}},
    {"type": "tool_use", "id": "toolu_8", "name": "Bash", "input": {"b": "pwd"}},
]
RESULTS: list[dict[str, Any]] = [
    {"type": "tool_result", "tool_use_id": "toolu_8", "content": "/home/me"},
    {"type": "tool_result", "tool_use_id": "toolu_7", "content": [{"type": "text", "text": "a.py"}], "is_error": False},
]
SECOND_TURN: dict[str, Any] = {
    **FIRST_TURN,
    "metadata": {"user_id": "session-2"},
    "system": [billing("b2"), RULES],
    "messages": [
        {"role": "user", "content": "List the files."},
        {
            "role": "system",
            "content": [{"type": "text", "text": "Working folder: /home/me"}],
            "output_config": {"effort": "high"},
        },
        {"role": "assistant", "content": CALLS},
        {"role": "user", "content": [*RESULTS[:1], RESULTS[1] | {"cache_control": EPHEMERAL}]},
    ],
}
THIRD_TURN: dict[str, Any] = {
    **SECOND_TURN,
    "system": [billing("c3"), RULES],
    "messages": [
        *SECOND_TURN["messages"][:2],
        {"role": "assistant", "content": [CALLS[0] | {"signature": "other"}, *CALLS[1:]]},
        {"role": "user", "content": RESULTS},
        {"role": "assistant", "content": [{"type": "text", "text": "One file."}]},
        {"role": "user", "content": [{"type": "text", "text": "Thanks."}]},
    ],
}
TURNS = [FIRST_TURN, SECOND_TURN, THIRD_TURN]


def parsed(turn: dict[str, Any]) -> MessagesRequest:
    return parse_request(orjson.dumps(turn))


def canonical(turn: dict[str, Any]) -> MessagesRequest:
    return canonicalise(parsed(turn), model="m")


def to_ollama(turn: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(chat_call(canonical(turn), model="m", num_ctx=4096, keep_alive="1m").body)
    return body


def to_openai(turn: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(completion_call(canonical(turn), model="m").body)
    return body


def to_anthropic(turn: dict[str, Any]) -> dict[str, Any]:
    return canonical(turn).model_dump(exclude_unset=True)


@pytest.mark.parametrize("write", [to_ollama, to_openai, to_anthropic])
def test_what_is_sent_of_a_turn_begins_byte_by_byte_with_the_turn_before(write: Any) -> None:
    sent = [write(turn) for turn in TURNS]
    for before, after in itertools.pairwise(sent):
        assert json.dumps(after.get("tools")) == json.dumps(before.get("tools"))
        assert json.dumps(after.get("system")) == json.dumps(before.get("system"))
        earlier = json.dumps(before["messages"])
        assert json.dumps(after["messages"][: len(before["messages"])]) == earlier


def test_turns_as_they_were_recorded_continue_each_other() -> None:
    for before, after in itertools.pairwise(TURNS):
        found = compare(parsed(before), parsed(after))
        assert isinstance(found, Continued)
        assert found.new_bytes > 0 < found.shared_bytes


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"system": [RULES | {"text": "You are Claude Code. Be long."}]}, "system block 0"),
        ({"tools": [TOOLS[0], TOOLS[1] | {"description": "new"}]}, "tool 1 (Find)"),
        ({"tools": TOOLS[:1]}, "tool 1 (Find)"),
        ({"messages": [{"role": "user", "content": "List them."}]}, "message 0 (user), block 0 (text)"),
        (
            {"messages": [*SECOND_TURN["messages"][:2], {"role": "assistant", "content": CALLS[::-1]}]},
            "message 2 (assistant), block 0 (thinking)",
        ),
        ({"messages": SECOND_TURN["messages"][:3]}, "message 3 (user), block 0 (tool_result)"),
    ],
)
def test_the_first_part_that_differs_is_named(change: dict[str, Any], where: str) -> None:
    found = compare(parsed(SECOND_TURN), parsed(SECOND_TURN | change))
    assert isinstance(found, Parting)
    assert found.where == where
    assert found.lost_bytes > 0


def test_parting_has_its_byte_what_stands_around_it_and_what_is_lost() -> None:
    a, b = {"system": "same date: Monday"}, {"system": "same date: Tuesday"}
    found = compare(parsed(FIRST_TURN | a), parsed(FIRST_TURN | b))
    assert isinstance(found, Parting)
    assert found.byte_in_part == found.shared_bytes == len(b'{"type":"text","text":"same date: ')
    assert [excerpt.partition("▸")[2][:6] for excerpt in found.excerpts] == ["Monday", "Tuesda"]
    assert found.new_bytes - found.lost_bytes == len("Tuesday") - len("Monday")


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def testshared_length_is_that_of_the_slow_and_obvious_way(same: bytes, a: bytes, b: bytes) -> None:
    a, b = same + a, same + b
    naive = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert shared_length(a, b) == naive


def run(tmp_path: Path, *turns: Any) -> tuple[int, str]:
    files = []
    for i, turn in enumerate(turns):
        files.append(tmp_path / f"{i}.json")
        files[-1].write_bytes(turn if isinstance(turn, bytes) else orjson.dumps(turn))
    done = CliRunner().invoke(cli, ["prefix", *map(str, files)])
    return done.exit_code, done.output


def test_doctor_tells_the_byte_the_block_and_the_estimate(tmp_path: Path) -> None:
    code, told = run(tmp_path, FIRST_TURN, SECOND_TURN)
    assert (code, "nothing is lost" in told) == (0, True)
    code, told = run(tmp_path, SECOND_TURN, THIRD_TURN | {"tools": TOOLS[1:], "model": "claude-haiku-4-5"})
    assert code == 0
    assert re.search(r"part at byte \d+ of the canonical prompt: tool 0 \(Bash\), byte \d+ there", told)
    assert re.search(r"Lost of the first: [\d,]+ bytes \(about [\d,]+ tokens, estimated\)", told)
    assert "'claude-haiku-4-5'" in told


@pytest.mark.parametrize("wrong", [b"", b"<html>", b"\xff", b'{"model": "m"}', orjson.dumps([1])])
def test_file_that_holds_no_request_is_told_in_one_line(tmp_path: Path, wrong: bytes) -> None:
    code, told = run(tmp_path, FIRST_TURN, wrong)
    assert (code, len(told.splitlines())) == (2, 1)
    assert "1.json" in told
    assert CliRunner().invoke(cli, ["prefix", "missing.json", "missing.json"]).exit_code == 2
