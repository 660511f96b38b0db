"""`serve.py` processes on one Redis: what they share, and what becomes of requests when it fails."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from benchmarks.soak import Load, soak
from benchmarks.stand_ins.ollama import StandInOllama, running
from benchmarks.stand_ins.ollama_script import Gate, Script, Text, Wait
from benchmarks.stand_ins.redis import RedisMissing, RedisServer, parts
from benchmarks.stand_ins.redis import running as redis_running
from tests.proxying import PLAIN, body, get, outcome, post
from tests.test_serve import refusal, served

LIMIT_S = 30.0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    try:
        parts()
    except RedisMissing as error:
        pytest.skip(str(error))
    with redis_running(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


def until(happened: Callable[[], object]) -> None:
    """Wait for what other processes do."""
    deadline_s = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)  # between two questions to another process


@contextlib.contextmanager
def two(folder: Path, redis: RedisServer, thinker: StandInOllama) -> Iterator[tuple[str, str]]:
    """The addresses of two servers."""
    with running(thinker) as url:
        flags = ("--thinker", f"ollama+{url}", "--store", redis.url)
        patient = {"WORKBENCH_STORE_LOST_S": "5"}  # on a machine that does other work besides
        with served(folder, *flags, **patient) as (one, _, _p), served(folder, *flags, **patient) as (other, _, _q):
            yield one, other


def test_what_one_server_learned_the_other_serves_and_forgets(tmp_path: Path, redis: RedisServer) -> None:
    with two(tmp_path, redis, StandInOllama()) as (one, other):
        assert outcome(post(one, body("How do I say hello?")))[0] == "miss"
        assert outcome(post(other, body("How do I say hello?")))[0] == "exact"
        assert outcome(post(other, body("how can i say hello")))[0] == "semantic"
        id = post(other, body("How do I say hello?")).headers["x-cache-entry"]
        assert post(one, {}, path=f"/api/entries/{id}/wrong").status_code == 200
        assert outcome(post(other, body("how could i say hello")))[0] == "miss"
        assert get(one, "/api/entries?q=hello").json()["data"]
        # In its own memory too:
        assert outcome(post(other, body("How do I say hello?")))[0] == "exact"
        assert httpx2.delete(f"{one}/api/entries/{id}", **PLAIN).status_code == 200
        until(
            lambda: "exact" not in outcome(post(other, body("How do I say hello?"), x_cache_control="only-if-cached"))
        )


def test_ten_identical_misses_at_both_are_one_upstream_call(tmp_path: Path, redis: RedisServer) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Text("one "), Wait(gate), Text("two"))))
    with two(tmp_path, redis, thinker) as (one, other), ThreadPoolExecutor(20) as clients:
        answers = [
            clients.submit(post, address, body(stream=streamed))
            for address in (one, other)
            for streamed in (False, True)
            for _ in range(5)
        ]
        until(lambda: sum(get(url, "/metrics").text.count("workbench_readers 10.0") for url in (one, other)) == 2)
        gate.release()
        found = [answer.result() for answer in answers]
        assert [answer.status_code for answer in found] == [200] * 20
        assert all("two" in answer.text for answer in found)
        assert sorted({outcome(answer)[1] for answer in found}) == ["no-candidate", "shared-flight"]
        assert sum(outcome(answer)[1] == "no-candidate" for answer in found) == 1
        assert len(thinker.chats) == 1


def test_another_server_takes_over_when_the_one_that_asked_dies(tmp_path: Path, redis: RedisServer) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Text("one "), Wait(gate), Text("two"))))
    with running(thinker) as url, ThreadPoolExecutor(2) as clients:
        flags = ("--thinker", f"ollama+{url}", "--store", redis.url)
        with served(tmp_path, *flags) as (one, _, leader), served(tmp_path, *flags) as (other, _, _follower):
            asked = clients.submit(post, one, body())
            until(lambda: len(thinker.chats) == 1)
            waiting = clients.submit(post, other, body())
            until(lambda: "workbench_readers 1.0" in get(other, "/metrics").text)
            leader.kill()
            gate.release()
            assert "two" in waiting.result().text
            assert len(thinker.chats) == 2
            assert asked.exception() is not None


def test_a_server_goes_on_without_its_store_and_says_so(tmp_path: Path, redis: RedisServer) -> None:
    with running(StandInOllama()) as url:
        flags = ("--thinker", f"ollama+{url}", "--store", redis.url)
        with served(tmp_path, *flags) as (address, _, process):
            assert get(address, "/readyz").json()["store"] == "up"
            assert outcome(post(address, body()))[0] == "miss"
            redis.kill()
            until(lambda: outcome(post(address, body())) == ("bypass", "cache-fault"))
            until(
                lambda: post(address, body("?")).status_code == 200 and get(address, "/readyz").json()["store"] != "up"
            )
            assert get(address, "/readyz").status_code == 200
            told = get(address, "/metrics").text
            assert "workbench_store_up 0.0" in told
            assert 'workbench_store_faults{kind="unreachable"}' in told
            redis.start()
            until(lambda: outcome(post(address, body()))[0] == "exact")
            assert get(address, "/readyz").json()["store"] == "up"
            process.terminate()
            _, log = process.communicate(timeout=LIMIT_S)
            assert "store.down" in log
            assert "store.up" in log


def test_a_store_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, redis: RedisServer) -> None:
    redis.kill()
    told = refusal(tmp_path, "--store", redis.url.replace("//", "//user:s3cret@"), "--thinker", "embedded:")
    assert "cannot be reached" in told
    assert "s3cret" not in told


def test_nothing_fails_and_nothing_is_lost_when_redis_is_killed_under_load(tmp_path: Path) -> None:
    try:
        parts()
    except RedisMissing as error:
        pytest.skip(str(error))
    found = soak(tmp_path, Load(clients=3, seconds=6, questions=200, kills=1))
    assert (found.failed, found.wrong, found.lost) == ({}, 0, 0)
    assert found.requests
    assert found.hits
    assert found.acknowledged
    assert found.back_s
