"""Warming asks a running proxy as any client would; what is answered from memory costs nothing the second time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import Cut, Script, Text
from benchmarks.stand_ins.serving import listen, serve_in_thread
from tests.proxying import body, post, proxied
from workbench.cache.jsonl import written_lines
from workbench.proxy.warming import Asked, Fault, Target, Warmed, read_requests, warm

QUESTIONS = "How do I sort a list?\n\nWie geht's?\nHow do I sort a list?\n"


@pytest.fixture(scope="module")
def thinker() -> StandInOllama:
    return StandInOllama()


@pytest.fixture(scope="module")
def address(thinker: StandInOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = "ann:use:ann-secret,bob:use:bob-secret"
    with proxied(tmp_path_factory.mktemp("warm"), thinker, semantic="off", keys=keys) as address:
        yield address


def warmed(path: Path, target: Target) -> Warmed:
    return asyncio.run(warm(read_requests(path), target))


def test_questions_are_asked_once_and_known_the_second_time(address: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS)
    target = Target(address, "ann-secret", concurrency=1)
    assert warmed(path, Target(address, "ann-secret", dry_run=True)).by_source == {"miss": 3}
    assert warmed(path, target).by_source == {"miss": 2, "exact": 1}
    assert warmed(path, target).by_source == {"exact": 3}
    assert warmed(path, Target(address, "ann-secret", dry_run=True)).by_source == {"exact": 3}
    assert warmed(path, Target(address, "bob-secret", dry_run=True)).by_source == {"miss": 3}
    asked = body("Wie geht's?") | {"max_tokens": 1024}
    assert {found.body["model"] for found in read_requests(path, model="m") if isinstance(found, Asked)} == {"m"}
    assert post(address, asked, x_api_key="ann-secret").headers["x-cache"] == "exact"


def test_recorded_requests_are_asked_as_they_were(address: str, tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl.zst"
    first, second = body("recorded", system="Be brief."), body("recorded too")
    with written_lines(path) as append:
        append(b'{"workbench_recording":1,"prompts":"keep"}')
        append(orjson.dumps({"request": first, "reply": {"content": []}}))
        append(b"no JSON")
        append(orjson.dumps(second | {"stream": True}))
        append(b'{"reply":{}}')
        append(orjson.dumps(body("no such model", model="nobody")))
        append(orjson.dumps({"messages": "what?"}))
        append(orjson.dumps({"digest": "0" * 32, "request": None}))
    done = warmed(path, Target(address, "ann-secret"))
    assert done.by_source == {"miss": 2}
    assert done.failed == 5
    assert sorted(fault.partition(":")[0] for fault in done.faults) == [
        "line 3",
        "line 5",
        "line 6",
        "line 7",
        "line 8",
    ]
    assert any("nobody" in fault for fault in done.faults)
    assert any("without words" in fault for fault in done.faults)
    for asked in (first, second):
        assert post(address, asked, x_api_key="ann-secret").headers["x-cache"] == "exact"


def test_a_refused_key_ends_it_at_once(address: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS * 10)
    done = warmed(path, Target(address, "wrong-secret"))
    assert "refuses the key" in done.stopped
    assert done.seen == 0


def test_an_answer_that_breaks_off_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("How?\n")
    with proxied(tmp_path, StandInOllama(Script((Text("half"), Cut()))), semantic="off") as broken:
        done = warmed(tmp_path / "questions.txt", Target(broken))
    assert (done.failed, done.by_source) == (1, {})
    assert done.faults[0].startswith("line 1: ")
    assert "no reason given" not in done.faults[0]


class Scripted:
    """A server that answers with these statuses in turn, the last of them for ever."""

    def __init__(self, *statuses: int, headers: dict[str, str]) -> None:
        self._statuses = list(statuses)
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        await send({"type": "http.response.start", "status": status, "headers": self._headers})
        await send({"type": "http.response.body", "body": b'{"type":"error","error":{"message":"too busy"}}\n'})


def test_a_busy_proxy_is_asked_again_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("How?\n")
    headers = {"x-cache": "miss", "retry-after": "0"}
    with serve_in_thread(Scripted(529, 529, 404, headers=headers)) as address:
        assert warmed(path, Target(address)).faults == ["line 1: 404: too busy"]
    with serve_in_thread(Scripted(529, headers=headers)) as address:
        assert warmed(path, Target(address)).faults == ["line 1: 529: too busy"]


def test_what_is_not_this_proxy_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("How?\n")
    with serve_in_thread(Scripted(200, headers={})) as address:
        assert "is not this proxy" in warmed(path, Target(address)).stopped
    assert "is no address" in warmed(path, Target("nonsense")).stopped


def test_a_proxy_that_does_not_run_ends_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS)
    with listen() as free:
        port = free.getsockname()[1]
    assert "make serve" in warmed(path, Target(f"http://127.0.0.1:{port}")).stopped


def test_a_damaged_file_is_asked_up_to_its_damage(tmp_path: Path) -> None:
    path = tmp_path / "questions.zst"
    with written_lines(path) as append:
        append(b"How?")
        append(b"\xff\xfe")
    path.write_bytes(path.read_bytes() + b"\x28\xb5\x2f\xfdgarbage!!!")
    first, no_text, damage = read_requests(path)
    assert isinstance(first, Asked)
    assert isinstance(no_text, Fault)
    assert isinstance(damage, Fault)
    assert (first.body["messages"][0]["content"], no_text.number) == ("How?", 2)
    assert "damaged after line 2" in damage.seen
