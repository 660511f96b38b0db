"""A reply, its events, its stored bytes and its bytes on the wire are the same reply."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadReply
from workbench.proxy import payload
from workbench.proxy.sse import EventEncoder, reply_json, reply_stream
from workbench.reply import (
    Block,
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    RedactedThinking,
    Reply,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ToolUse,
    Usage,
    collect,
    replay,
)

texts = st.text(max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, texts),
    st.builds(Thinking, texts, texts),
    st.builds(RedactedThinking, texts),
    st.builds(ToolUse, st.text(min_size=1, max_size=10), st.dictionaries(texts, json_values, max_size=4)),
)
counts = st.integers(0, 10**6)
replies = st.builds(
    Reply,
    st.text(min_size=1, max_size=20),
    st.lists(blocks, max_size=5).map(tuple),
    st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal"]),
    st.none() | texts,
    st.builds(Usage, counts, counts, counts, counts),
)


@given(replies)
def test_replay_and_collect_are_inverse(reply: Reply) -> None:
    assert collect(list(replay(reply))) == reply


@given(replies)
def test_stored_bytes_give_the_same_reply_and_keep_the_order_of_tool_inputs(reply: Reply) -> None:
    stored = payload.decode(payload.encode(reply))
    assert stored == reply
    assert repr(stored) == repr(reply)  # == does not see the order of keys


@given(replies)
def test_stream_and_json_say_the_same(reply: Reply) -> None:
    streamed, whole = from_stream(reply_stream(reply)), orjson.loads(reply_json(reply))
    for message in (streamed, whole):
        message.pop("id")
        for block in message["content"]:
            block.pop("id", None)
    assert streamed == whole


@given(replies)
def test_truncated_events_are_never_a_reply(reply: Reply) -> None:
    events = list(replay(reply))
    for length in range(len(events)):
        with pytest.raises(BadReply):
            collect(events[:length])


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b'{"version":2}', b'{"version":1}', b"\xff\xfe"])
def test_garbage_in_an_entry_is_recognised(garbage: bytes) -> None:
    with pytest.raises(payload.UnreadablePayload):
        payload.decode(garbage)


def test_every_replay_has_ids_of_its_own() -> None:
    reply = Reply(
        "m", (ToolUse("Bash", {"command": "ls"}), ToolUse("Bash", {"command": "pwd"})), "tool_use", None, Usage()
    )
    streamed = [from_stream(reply_stream(reply)) for _ in range(10)]
    whole = [orjson.loads(reply_json(reply)) for _ in range(10)]
    messages = streamed + whole
    assert len({message["id"] for message in messages}) == 20
    tool_ids = {block["id"] for message in messages for block in message["content"]}
    assert len(tool_ids) == 40
    assert all(id.startswith("toolu_") for id in tool_ids)


START, END = MessageStart("m"), MessageDelta("end_turn", None, Usage())


@pytest.mark.parametrize(
    "events",
    [
        [BlockStart(0, Text())],
        [START, START],
        [START, BlockStart(1, Text())],
        [START, BlockStart(0, Text()), BlockStart(1, Text())],
        [START, BlockStart(0, Text()), TextDelta(1, "x")],
        [START, BlockStart(0, Text()), SignatureDelta(0, "x")],
        [START, BlockStart(0, Text()), END],
        [START, MessageStop()],
        [START, BlockStop(0)],
        [START, END, END],
        [START, END, BlockStart(0, Text())],
        [START, BlockStart(0, ToolUse("t")), InputJsonDelta(0, "{"), BlockStop(0)],
        [START, BlockStart(0, ToolUse("t")), InputJsonDelta(0, "[1]"), BlockStop(0)],
    ],
)
def test_events_out_of_order_and_broken_inputs_are_refused(events: list[Event]) -> None:
    with pytest.raises(BadReply):
        collect(events)


def test_pieces_of_one_encoder_share_their_message_id() -> None:
    encoder = EventEncoder()
    first, second = encoder.encode([START]), encoder.encode([START])
    assert first == second


def from_stream(body: bytes) -> dict[str, Any]:
    """What a client of the Messages API assembles from a stream."""
    message: dict[str, Any] = {}
    pieces: list[str] = []
    for chunk in body.decode().split("\n\n")[:-1]:
        name, data = chunk.split("\n", 1)
        event = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
                pieces = []
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] += delta["signature"]
                    case "input_json_delta":
                        pieces.append(delta["partial_json"])
            case "content_block_stop" if pieces:
                message["content"][event["index"]]["input"] = orjson.loads("".join(pieces))
            case "message_delta":
                message |= event["delta"] | {"usage": event["usage"]}
    return message
