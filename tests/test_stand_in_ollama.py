"""The scripted Ollama answers as the real one does, as far as its clients can see."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import httpx
import pytest

from benchmarks.stand_ins.ollama import ServedModel, StandInOllama, running
from benchmarks.stand_ins.ollama_script import Cut, Refusal, Script, Silence, Text, last_user_text


def ask(url: str, content: str = "hello", **fields: Any) -> httpx.Response:
    body = {"model": "stand-in", "messages": [{"role": "user", "content": content}], **fields}
    return httpx.post(f"{url}/api/chat", json=body)


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def test_it_echoes_the_last_user_message_in_twenty_lines_and_counts() -> None:
    with running(StandInOllama()) as url:
        *said, done = lines(ask(url, "a question of more than twenty characters"))
    assert len(said) == 20
    assert "a question of more" in "".join(line["message"]["content"] for line in said)
    assert done["done"] is True
    assert (done["done_reason"], done["eval_count"], done["prompt_eval_count"]) == ("stop", 20, 10)


def test_requests_are_recorded_and_chats_counted() -> None:
    stand_in = StandInOllama()
    with running(stand_in) as url:
        ask(url)
        httpx.get(f"{url}/api/version")
    assert [request.path for request in stand_in.requests] == ["/api/chat", "/api/version"]
    assert last_user_text(stand_in.chats[0]) == "hello"
    assert (stand_in.begun, stand_in.finished, stand_in.aborted) == (1, 1, 0)


def test_a_client_that_leaves_is_counted_as_aborted() -> None:
    stand_in = StandInOllama(Script((Text("a"), Silence())))
    with running(stand_in) as url:
        with httpx.stream("POST", f"{url}/api/chat", json={"model": "stand-in", "messages": []}) as response:
            next(response.iter_lines())
        assert stand_in.wait_until(lambda seen: seen.aborted == 1)
    assert stand_in.finished == 0


def test_a_cut_connection_is_no_clean_end() -> None:
    with running(StandInOllama(Script((Text("a"), Cut())))) as url, pytest.raises(httpx.RemoteProtocolError):
        ask(url)


def test_a_long_prompt_is_refused_only_when_truncation_is_off() -> None:
    with running(StandInOllama()) as url:
        refused = ask(url, "x" * 4000, truncate=False, options={"num_ctx": 100})
        assert (refused.status_code, refused.json()["error"]) == (400, "the input length exceeds the context length")
        assert ask(url, "x" * 4000, options={"num_ctx": 100}).status_code == 200


def test_another_num_ctx_loads_the_model_again() -> None:
    stand_in = StandInOllama()
    with running(stand_in) as url:
        for num_ctx in (8192, 8192, 4096):
            ask(url, options={"num_ctx": num_ctx})
    assert stand_in.loads == 2


def test_what_a_model_cannot_do_is_refused() -> None:
    with running(StandInOllama(models=[ServedModel("stand-in:latest", capabilities=("completion",))])) as url:
        assert ask(url, think=True).status_code == 400
        assert ask(url, tools=[{}]).status_code == 400
        assert ask(url, model="other").status_code == 404


def test_models_can_change_while_it_runs() -> None:
    stand_in = StandInOllama(models=["a"])
    with running(stand_in) as url:
        stand_in.serve_models([ServedModel("a", digest="new"), "b"])
        listed = httpx.get(f"{url}/api/tags").json()["models"]
        assert httpx.post(f"{url}/api/pull", json={"model": "c"}).json() == {"status": "success"}
        shown = httpx.post(f"{url}/api/show", json={"model": "c"}).json()
    assert [(model["name"], model["digest"][:3]) for model in listed] == [("a", "new"), ("b", listed[1]["digest"][:3])]
    assert shown["capabilities"] == ["completion", "tools"]


def test_answers_are_taken_in_turn_and_the_last_one_stays() -> None:
    with running(StandInOllama([Refusal(503, "busy"), Script((Text("a"),))])) as url:
        assert [ask(url).status_code for _ in range(3)] == [503, 200, 200]


def test_the_program_tells_its_port_and_stops_on_sigterm() -> None:
    command = [sys.executable, "-m", "benchmarks.stand_ins.ollama", "--models", "a,b", "--chunks", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # our own program
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            models = httpx.get(f"http://127.0.0.1:{port}/api/tags").json()["models"]
            assert [model["name"] for model in models] == ["a", "b"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
