"""What the embedded model is shown of a request: text alone, by turns."""

from typing import Any

import orjson
import pytest

from workbench.backend.text_only import text_only
from workbench.errors import InvalidRequest
from workbench.messages import parse_request


def told(*messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": role, "content": said} for role, said in messages]}
    return text_only(parse_request(orjson.dumps(body | more))).model_dump(exclude_unset=True)


def spoken(*messages: tuple[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"][0]["text"]) for message in told(*messages)["messages"]]


def test_limits_and_sampling_are_kept_and_everything_else_is_dropped() -> None:
    got = told(
        ("user", "Hi"),
        stop_sequences=["x"],
        temperature=0,
        top_k=3,
        tools=[{"name": "Bash", "input_schema": {}}],
        tool_choice={"type": "any"},
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={},
        metadata={"user_id": "u"},
        stream=True,
    )
    assert set(got) == {"model", "max_tokens", "messages", "stop_sequences", "temperature", "top_k"}


def test_system_blocks_become_one_text() -> None:
    got = told(("user", "Hi"), system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B"}])
    assert got["system"] == [{"type": "text", "text": "A\n\nB"}]


def test_system_turn_becomes_a_reminder_where_it_stands_and_turns_alternate() -> None:
    assert spoken(
        ("user", "Hi"), ("system", "Be brief"), ("assistant", "Yes"), ("assistant", "?"), ("user", "2+2")
    ) == [
        ("user", "Hi\n\n<system-reminder>\nBe brief\n</system-reminder>"),
        ("assistant", "Yes\n\n?"),
        ("user", "2+2"),
    ]


def test_tool_loop_is_told_as_text() -> None:
    call = {"type": "tool_use", "id": "t0", "name": "Bash", "input": {"command": "ls"}}
    result = {"type": "tool_result", "tool_use_id": "t0", "content": "a.txt", "is_error": True}
    thinking = {"type": "thinking", "thinking": "secret", "signature": "s"}
    assert spoken(("user", "List"), ("assistant", [thinking, call]), ("user", [result])) == [
        ("user", "List"),
        ("assistant", '<tool_use name="Bash">\n{"command":"ls"}\n</tool_use>'),
        ("user", "<tool_result>\nError: a.txt\n</tool_result>"),
    ]


def test_empty_turns_vanish_and_a_request_of_nothing_stays_a_request() -> None:
    assert spoken(("user", "Hi"), ("assistant", ""), ("user", [])) == [("user", "Hi")]
    assert spoken(("user", " "), ("assistant", [])) == [("user", "")]


def test_text_document_is_read() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "the text"}}
    assert spoken(("user", [document])) == [("user", "the text")]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
CALL = {"type": "tool_use", "id": "t0", "name": "Read", "input": {}}


@pytest.mark.parametrize("block", [IMAGE, PDF])
def test_what_is_not_text_is_refused_by_its_place(block: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"messages\.0\.content\.1: this model reads text only"):
        told(("user", [{"type": "text", "text": "See"}, block]))


def test_image_inside_a_tool_result_is_refused_by_its_place() -> None:
    result = {"type": "tool_result", "tool_use_id": "t0", "content": [IMAGE]}
    with pytest.raises(InvalidRequest, match=r"messages\.2\.content\.0\.content\.0"):
        told(("user", "x"), ("assistant", [CALL]), ("user", [result]))
