"""The main job, end to end: the official SDK → the proxy → a scripted Ollama, and the same again from memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from benchmarks.stand_ins.ollama import ServedModel, StandInOllama
from benchmarks.stand_ins.ollama_script import (
    Call,
    Calls,
    Cut,
    Delay,
    Fail,
    Gate,
    Refusal,
    Script,
    Text,
    Wait,
    queue_full,
    text,
)
from tests.proxying import PLAIN, QUESTION, assert_refused, body, get, outcome, post, proxied, sdk
from tests.test_reply import from_stream

SAME = (
    "how do i reverse a list in python",
    "How can I reverse a list in Python?",
    "Please tell me how to reverse a list in Python.",
    "How do I reverse a Python list?",
)
OTHER = (
    "How do I reverse a list in Python 2?",
    "How do I not reverse a list in Python?",
    "How do I sort a list in Python?",
    "How do I reverse a list in Perl?",
)


def test_same_request_again_is_answered_exactly_and_again_after_a_restart(tmp_path: Path) -> None:
    thinker = StandInOllama(text("Use ", "reversed()."))
    with proxied(tmp_path, thinker) as address, sdk(address) as client:
        first = client.messages.with_raw_response.create(**body())
        again = client.messages.with_raw_response.create(**body())
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "exact")
    assert first.parse().content[0].text == again.parse().content[0].text == "Use reversed()."
    assert first.parse().id != again.parse().id
    assert first.parse().usage == again.parse().usage
    with proxied(tmp_path, thinker) as address:
        assert outcome(post(address, body())) == ("exact", "identical")
    assert len(thinker.chats) == 1


def test_stream_and_json_share_one_entry(tmp_path: Path) -> None:
    thinker = StandInOllama(text("Use ", "reversed()."))
    with proxied(tmp_path, thinker) as address, sdk(address) as client:
        with client.messages.stream(**body()) as live:
            assert "".join(live.text_stream) == "Use reversed()."
            assert live.response.headers["x-cache"] == "miss"
        assert client.messages.create(**body()).content[0].text == "Use reversed()."
        with client.messages.stream(**body()) as replayed:
            assert "".join(replayed.text_stream) == "Use reversed()."
            assert replayed.response.headers["x-cache"] == "exact"
    assert len(thinker.chats) == 1


def test_paraphrase_is_answered_by_meaning_and_a_trap_is_not(tmp_path: Path) -> None:
    thinker = StandInOllama()
    with proxied(tmp_path, thinker) as address:
        post(address, body(QUESTION))
        for paraphrase in SAME:
            response = post(address, body(paraphrase))
            assert outcome(response) == ("semantic", "same-meaning"), paraphrase
            assert float(response.headers["x-cache-similarity"]) > 0.97
        for trap in OTHER:
            assert post(address, body(trap), x_cache_control="no-cache").status_code == 200  # even when it is stored
            assert outcome(post(address, body(trap), x_cache_control="only-if-cached"))[0] == "exact"
    assert len(thinker.chats) == 1 + len(OTHER)


@pytest.mark.parametrize("trap", OTHER)
def test_trap_misses(tmp_path: Path, trap: str) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        post(address, body(QUESTION))
        assert outcome(post(address, body(trap)))[0] == "miss"


def said(role: str, *texts: str) -> dict[str, object]:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


REMINDER = "<system-reminder>now</system-reminder>"


@pytest.mark.parametrize(
    "change",
    [
        {"system": "Answer in French."},
        {"max_tokens": 65},
        {"temperature": 0.5},
        {"tools": [{"name": "t", "input_schema": {"type": "object"}}]},
        {"messages": [said("user", SAME[0], REMINDER)]},
        {"messages": [said("user", SAME[0]), said("system", "Be brief.")]},
        {"messages": [said("user", "Hi"), said("assistant", "Hello"), said("user", SAME[0])]},
    ],
)
def test_paraphrase_misses_when_anything_else_differs(tmp_path: Path, change: dict[str, object]) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        post(address, body(QUESTION))
        assert outcome(post(address, body(SAME[0], **change)))[0] == "miss"


def test_another_model_or_another_digest_turns_the_hit_into_a_miss(tmp_path: Path) -> None:
    thinker = StandInOllama(models=[ServedModel("qwen:latest", digest="1" * 64)])
    for models, expected in (
        (["qwen:latest"], "miss"),
        ([ServedModel("qwen:latest", digest="2" * 64)], "miss"),
        ([ServedModel("other:latest", digest="2" * 64)], "miss"),
        (["qwen:latest"], "exact"),
    ):
        thinker.serve_models(models)
        with proxied(tmp_path, thinker) as address:
            assert outcome(post(address, body()))[0] == expected


def test_ten_identical_streams_make_one_upstream_call_and_ten_replies(tmp_path: Path) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Text("one "), Wait(gate), Text("two"))))
    with proxied(tmp_path, thinker) as address, ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(post, address, body(stream=True)) for _ in range(10)]
        assert thinker.wait_until(lambda it: it.begun == 1)
        poll(address, lambda: "workbench_readers 10.0" in get(address, "/metrics").text)
        gate.release()
        responses = [future.result() for future in waiting]
    messages = [from_stream(response.content) for response in responses]
    assert all(message["content"] == [{"type": "text", "text": "one two"}] for message in messages)
    assert len({message["id"] for message in messages}) == 10
    assert (
        sorted(outcome(response) for response in responses)
        == [("miss", "no-candidate")] + [("miss", "shared-flight")] * 9
    )
    assert thinker.begun == 1


def test_failing_store_does_not_multiply_the_upstream_calls(tmp_path: Path) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Text("one "), Wait(gate), Text("two"))))
    with proxied(tmp_path, thinker, cache_timeout_s=1e-9) as address, ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(post, address, body(stream=True)) for _ in range(5)]
        poll(address, lambda: "workbench_readers 5.0" in get(address, "/metrics").text)
        gate.release()
        responses = [future.result() for future in waiting]
    reasons = sorted(outcome(response) for response in responses)
    assert reasons == [("bypass", "cache-fault")] + [("bypass", "shared-flight")] * 4
    assert thinker.begun == 1


def test_upstream_stops_when_the_last_client_leaves_and_nothing_is_stored(tmp_path: Path) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Text("one "), Wait(gate), Text("two"))))
    with proxied(tmp_path, thinker) as address:
        with httpx2.stream("POST", f"{address}/v1/messages", json=body(stream=True), **PLAIN) as response:
            next(response.iter_raw())
        assert thinker.wait_until(lambda it: it.aborted == 1)
        assert_refused(post(address, body(), x_cache_control="only-if-cached"), 404, "not_found_error")


def test_client_that_leaves_before_the_first_event_stops_the_upstream_too(tmp_path: Path) -> None:
    thinker = StandInOllama(Script((Wait(Gate()), Text("late"))))
    with proxied(tmp_path, thinker) as address:
        for stream in (True, False):
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(f"{address}/v1/messages", json=body(stream=stream), **(PLAIN | {"timeout": 0.3}))
            assert thinker.wait_until(lambda it, stream=stream: it.aborted == (1 if stream else 2))  # type: ignore[misc]  # binds the loop's value


@pytest.mark.parametrize("stream", [True, False])
def test_failure_before_the_first_event_is_tried_once_more(tmp_path: Path, stream: bool) -> None:
    thinker = StandInOllama([queue_full(), text("second try")])
    with proxied(tmp_path, thinker) as address:
        response = post(address, body(stream=stream))
        assert response.status_code == 200
        assert "second try" in response.text
    assert len(thinker.chats) == 2


def test_overloaded_thinker_is_529_with_retry_after(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(queue_full())) as address:
        response = post(address, body(stream=True))
        assert_refused(response, 529, "overloaded_error")
        assert int(response.headers["retry-after"]) >= 1


def test_prompt_that_is_too_long_is_the_400_that_arms_compaction(tmp_path: Path) -> None:
    refusal = Refusal(400, "the input length exceeds the context length")
    with proxied(tmp_path, StandInOllama(refusal)) as address:
        assert_refused(post(address, body(stream=True)), 400, "invalid_request_error", naming="prompt is too long")


@pytest.mark.parametrize("broken", [Cut(), Fail("boom")], ids=["cut", "error-line"])
def test_broken_upstream_never_ends_cleanly_and_is_not_stored(tmp_path: Path, broken: Cut | Fail) -> None:
    call = Calls((Call("Bash", {"command": "rm -rf /"}),))
    thinker = StandInOllama(Script((Text("half "), call, Delay(0.01), broken)))
    with proxied(tmp_path, thinker) as address:
        streamed = post(address, body(stream=True)).text
        assert "event: error" in streamed
        assert "message_stop" not in streamed
        assert "message_delta" not in streamed
        assert streamed.count("event: content_block_stop") == 1  # the text's: after a tool call's the CLI runs the tool
        assert post(address, body()).status_code == 500
        assert_refused(post(address, body(), x_cache_control="only-if-cached"), 404, "not_found_error")


def test_cut_off_reply_is_served_again_for_the_identical_request_only(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("long ", "answer", done_reason="length"))) as address:
        post(address, body(QUESTION))
        assert outcome(post(address, body(QUESTION)))[0] == "exact"
        assert outcome(post(address, body(SAME[0])))[0] == "miss"


def test_reply_with_a_tool_call_is_never_served_by_meaning(tmp_path: Path) -> None:
    thinker = StandInOllama(Script((Text("Let me look."), Calls((Call("Bash", {"command": "ls"}),)))))
    with proxied(tmp_path, thinker) as address:
        assert post(address, body(QUESTION)).json()["stop_reason"] == "tool_use"
        assert outcome(post(address, body(QUESTION)))[0] == "exact"
        assert outcome(post(address, body(SAME[0])))[0] == "miss"


def test_client_that_reads_nothing_is_let_go(tmp_path: Path) -> None:
    thinker = StandInOllama(Script(tuple(Text("x" * 100_000) for _ in range(200))))
    with proxied(tmp_path, thinker, write_timeout_s=0.2) as address:
        with httpx2.stream("POST", f"{address}/v1/messages", json=body(stream=True), **PLAIN):
            poll(address, lambda: get(address, "/api/exchanges").json()["data"][:1])
        [row] = get(address, "/api/exchanges").json()["data"]
    assert (row["status"], row["error"]) == (499, "the client does not read")


def test_empty_reply_is_not_stored(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(Script(()))) as address:
        assert outcome(post(address, body()))[0] == "miss"
        assert outcome(post(address, body()))[0] == "miss"


def test_cache_control_of_the_client_is_obeyed(tmp_path: Path) -> None:
    thinker = StandInOllama()
    with proxied(tmp_path, thinker) as address:
        assert outcome(post(address, body(), x_cache_control="no-store")) == ("bypass", "no-store")
        refused = post(address, body(), x_cache_control="only-if-cached")
        assert_refused(refused, 404, "not_found_error")
        assert refused.headers["x-should-retry"] == "false"
        assert outcome(post(address, body(), x_cache_control="no-cache")) == ("bypass", "no-cache")
        assert outcome(post(address, body(), x_cache_control="only-if-cached"))[0] == "exact"
        assert_refused(post(address, body(), x_cache_control="never"), 400, "invalid_request_error", naming="never")
    assert len(thinker.chats) == 2


def test_shadow_observes_and_off_does_not_look(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), semantic="shadow") as address:
        post(address, body(QUESTION))
        observed = post(address, body(SAME[0]))
        assert outcome(observed) == ("miss", "shadow")
        assert float(observed.headers["x-cache-similarity"]) > 0.97
    with proxied(tmp_path, StandInOllama(), semantic="off") as address:
        assert outcome(post(address, body(QUESTION)))[0] == "exact"
        assert outcome(post(address, body(SAME[1]))) == ("miss", "semantic-off")


def test_question_longer_than_the_embedders_window_is_never_matched_by_meaning(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        long = "What does this log mean?" + " line of the log." * 100
        post(address, body(QUESTION))
        assert outcome(post(address, body(long))) == ("miss", "unreadable")
        assert outcome(post(address, body(long + "?"))) == ("miss", "unreadable")
        assert outcome(post(address, body(long)))[0] == "exact"


def test_claude_names_get_the_default_model_and_other_unknown_names_a_404(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(models=["qwen:latest", "small:latest"])) as address:
        assert post(address, body(model="claude-opus-4")).json()["model"] == "qwen:latest"
        assert post(address, body(model="small")).json()["model"] == "small:latest"
        assert_refused(post(address, body(model="gpt-4")), 404, "not_found_error", naming="gpt-4")
        assert get(address, "/v1/models/claude-opus-4").json()["display_name"] == "qwen:latest"
        assert_refused(get(address, "/v1/models/gpt-4"), 404, "not_found_error", naming="gpt-4")
        listed = get(address, "/v1/models?limit=1000").json()
        assert [model["id"] for model in listed["data"]] == ["qwen:latest", "small:latest"]
        with sdk(address) as client:
            assert [model.id for model in client.models.list(limit=1)] == ["qwen:latest", "small:latest"]


def test_thinker_that_is_down_is_told_and_one_that_comes_back_is_used(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(models=[])) as address:
        assert_refused(post(address, body()), 529, "overloaded_error", naming="no Thinker has a model")
        assert get(address, "/readyz").status_code == 503
        assert get(address, "/healthz").status_code == 200


def test_what_the_cli_asks_besides_is_answered(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        for method, path in (("HEAD", "/"), ("GET", "/"), ("HEAD", "/api/hello"), ("POST", "/api/event_logging/batch")):
            assert httpx2.request(method, address + path, **PLAIN).status_code == 200
        assert get(address, "/readyz").json()["thinkers_up"] == 1
        assert_refused(get(address, "/v1/nothing"), 404, "not_found_error", naming="/v1/nothing")
        assert_refused(get(address, "/v1/messages"), 405, "invalid_request_error")


def test_server_timing_comes_on_request(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        missed = post(address, body(stream=True), x_server_timing="1")
        assert "server-timing" not in post(address, body()).headers
        hit = post(address, body(), x_server_timing="1")
        similar = post(address, body(f"{QUESTION.lower()} please"), x_server_timing="1")
    assert stages(missed) == ["parse", "question", "exact", "first_byte"]
    assert stages(hit) == ["parse", "question", "exact", "replay"]
    assert stages(similar)[:6] == ["parse", "question", "exact", "embed", "search", "decide"]


def stages(response: httpx2.Response) -> list[str]:
    return [part.split(";")[0] for part in response.headers["server-timing"].split(", ")]


@pytest.mark.parametrize("ending", ["answers", "fails"])
def test_pings_keep_a_waiting_client_patient(tmp_path: Path, ending: str) -> None:
    gate = Gate()
    last = Text("at last") if ending == "answers" else Fail("boom")
    thinker = StandInOllama(Script((Wait(gate), last)))
    with proxied(tmp_path, thinker, headers_after_s=0.02, ping_every_s=0.02) as address:
        with httpx2.stream("POST", f"{address}/v1/messages", json=body(stream=True), **PLAIN) as response:
            chunks = response.iter_raw()
            waited = next(chunks) + next(chunks)
            assert set(waited.decode().split("\n\n")) == {'event: ping\ndata: {"type":"ping"}', ""}
            gate.release()
            rest = b"".join(chunks)
        assert (b"message_stop" in rest) == (ending == "answers")
        assert (b"event: error" in rest) == (ending == "fails")


def test_body_of_almost_32_megabytes_is_served(tmp_path: Path) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBO" * 7_900_000}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    large = body(messages=[{"role": "user", "content": blocks}])
    with proxied(tmp_path, StandInOllama()) as address:
        assert outcome(post(address, large)) == ("miss", "attachment")
        assert outcome(post(address, large))[0] == "exact"


def poll(address: str, happened: Callable[[], object]) -> None:
    """Ask until it has happened; each time is a request, so nothing is slept on."""
    for _ in range(2000):
        if happened():
            return
    raise AssertionError(f"it never happened; exchanges: {get(address, '/api/exchanges').text}")
