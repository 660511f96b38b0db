"""Thinkers that come, go, fetch models and follow the settings file while the server runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.ollama_script import Gate, Script, Text, Wait, text
from tests.proxying import PLAIN, assert_refused, body, get, post, proxied, proxy
from tests.test_pool import QWEN, ScriptedBackend, ask, pool_of
from workbench.backend.urls import Timeouts, backend_for
from workbench.errors import ConfigurationError
from workbench.proxy.reloading import Reloader, Watched


@pytest.fixture
def second() -> Iterator[str]:
    with ollama_running(StandInOllama(text("second"))) as url:
        yield f"ollama+{url}"


def urls(address: str) -> dict[str, str]:
    return {row["url"]: row["state"] for row in get(address, "/api/thinkers").json()["data"]}


def test_added_thinker_answers_and_a_removed_one_ends_its_stream_first(tmp_path: Path, second: str) -> None:
    gate = Gate()
    first = StandInOllama(Script((Text("first "), Wait(gate), Text("ends"))))
    with proxied(tmp_path, first, semantic="off") as address:
        (row,) = get(address, "/api/thinkers").json()["data"]
        asked = body("one", stream=True)
        with httpx2.stream("POST", f"{address}/v1/messages", json=asked, **PLAIN) as streaming:
            lines = streaming.iter_lines()
            assert any("first " in line for line in lines)
            added = post(address, {"url": second}, path="/api/thinkers")
            assert (added.status_code, added.json()["state"]) == (201, "up")
            removed = httpx2.delete(f"{address}/api/thinkers/{row['id']}", **PLAIN)
            assert (removed.status_code, removed.json()["state"]) == (202, "draining")
            told = post(address, body("two")).json()["content"][0]["text"]
            assert told == "second"
            assert urls(address) == {row["url"]: "draining", second: "up"}
            gate.release()
            assert any("message_stop" in line for line in lines)
        assert post(address, body("three")).headers["x-thinker"] == second
        assert urls(address) == {second: "up"}
        rows = get(address, "/api/exchanges").json()["data"]
        assert [row["route"] for row in rows] == ["the only one"] * 3


def test_thinker_urls_that_make_no_sense_and_unknown_ids_are_refused(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), semantic="off") as address:
        for url in ("gopher://x", "ollama+http://x?slots=0", "ollama+http://x?usd_per_h=much"):
            refused = post(address, {"url": url}, path="/api/thinkers")
            assert_refused(refused, 400, "invalid_request_error", naming="url")
        assert_refused(post(address, {}, path="/api/thinkers"), 400, "invalid_request_error", naming="url")
        assert_refused(post(address, {"model": "m"}, path="/api/thinkers/none/pull"), 404, "not_found_error")


def test_only_admins_change_thinkers(tmp_path: Path) -> None:
    keys = ["me:use:a-secret-of-mine"]
    with proxied(tmp_path, StandInOllama(), semantic="off", keys=keys) as address:
        refused = post(address, {"url": "embedded:"}, path="/api/thinkers", x_api_key="a-secret-of-mine")
        assert_refused(refused, 403, "permission_error", naming="admin")


def test_pulled_model_is_there_at_once(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), semantic="off") as address:
        (row,) = get(address, "/api/thinkers").json()["data"]
        pulled = post(address, {"model": "qwen:small"}, path=f"/api/thinkers/{row['id']}/pull")
        assert pulled.json()["status"] == "success"
        assert post(address, body(model="qwen:small")).json()["model"] == "qwen:small"
        (row,) = get(address, "/api/thinkers").json()["data"]
        assert [model["name"] for model in row["models"]] == ["stand-in:latest", "qwen:small"]


def test_settings_file_is_followed_and_nonsense_in_it_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "workbench.toml"
        file.write_text("a:")
        made: dict[str, ScriptedBackend] = {}

        def make(url: str) -> ScriptedBackend:
            if url == "nonsense":
                raise ConfigurationError("nonsense")
            return made.setdefault(url, ScriptedBackend(url, QWEN))

        async with pool_of(ScriptedBackend("a:", QWEN)) as pool:
            await pool.add(ScriptedBackend("by-hand:", QWEN))
            async with Reloader(pool, make, Watched(file, lambda: file.read_text().split())) as reloader:

                async def follow(text: str) -> list[str]:
                    file.write_text(text)
                    await reloader.reload()
                    while any(thinker.state == "draining" for thinker in pool.thinkers):  # noqa: ASYNC110  # no event tells it
                        await asyncio.sleep(0)
                    return [thinker.url for thinker in pool.thinkers]

                assert await follow("a: b:") == ["a:", "by-hand:", "b:"]
                assert await follow("b: nonsense") == ["a:", "by-hand:", "b:"]
                assert await follow("b:") == ["by-hand:", "b:"]
                assert (await ask(pool))[1] in ("by-hand:", "b:")

    asyncio.run(story())


def test_changed_file_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "workbench.toml"
        file.write_text("a:")
        async with pool_of(ScriptedBackend("a:", QWEN)) as pool:
            watched = Watched(file, lambda: file.read_text().split())
            async with Reloader(pool, lambda url: ScriptedBackend(url, QWEN), watched, look_every_s=0.01):
                file.write_text("a: b:")
                os.utime(file, (1, 1))
                async with asyncio.timeout(10):
                    while len(pool.thinkers) < 2:  # noqa: ASYNC110  # the file's clock tells no event
                        await asyncio.sleep(0.01)

    asyncio.run(story())


def test_unreachable_thinker_may_join_and_answers_once_it_is_up(tmp_path: Path) -> None:
    timeouts = Timeouts(1, 5, 5)
    late = ScriptedBackend("late:")

    async def story() -> None:
        down = backend_for("ollama+http://127.0.0.1:9", timeouts=timeouts, num_ctx=512, keep_alive="1m")
        async with pool_of(late) as pool:
            assert (await pool.add(down)).state == "down"
            late.models_now = (QWEN,)
            await pool.refresh()
            assert (await ask(pool))[1] == "late:"

    asyncio.run(story())


def test_two_thinkers_share_what_one_session_asks_and_it_stays_with_one(tmp_path: Path, second: str) -> None:
    with (
        ollama_running(StandInOllama(text("one"))) as url,
        proxy(tmp_path, thinkers=[f"ollama+{url}", second], semantic="off") as address,
    ):
        seen = {
            post(address, body(f"question {number}"), x_claude_code_session_id="s1").headers["x-thinker"]
            for number in range(4)
        }
        assert len(seen) == 1
