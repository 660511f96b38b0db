"""A Thinker's URL, its key, and the way from the settings to the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from benchmarks.stand_ins.openai import Limits, StandInOpenAI, running
from tests.proxying import assert_refused, body, get, post, proxy, sdk
from workbench.backend.urls import Timeouts, backend_for, key_for
from workbench.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "openai+http://",
        "openai+ftp://host",
        "openai+http://host?num_ctx=4096",
        "openai+http://user:secret@host",
        "openai+http://host?key=x",
        "gemini+http://host",
        "openai:host",
    ],
)
def test_url_that_makes_no_sense_is_told_with_what_does(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"openai\+http://host:8000/v1"):
        backend_for(url, timeouts=Timeouts(1, 1, 1), num_ctx=4096, keep_alive="1m")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://gpu:8000/v1", "for 8000"),
        ("http://gpu:9000", "for all"),
        ("https://api.example", "for 443"),
        ("http://api.example", None),
        ("http://[::1]:80", "for v6"),
    ],
)
def test_key_of_the_port_goes_before_the_hosts(address: str, expected: str | None) -> None:
    keys = {"gpu:8000": "for 8000", "gpu": "for all", "api.example:443": "for 443", "::1": "for v6"}
    assert key_for(address, keys) == expected


def test_claude_is_answered_by_an_openai_server_with_its_key_and_nobody_sees_it(tmp_path: Path) -> None:
    server = StandInOpenAI(text("Hello", " there"), limits=Limits(key="sk-very-secret"))
    with running(server) as url:
        host = url.removeprefix("http://")
        with proxy(
            tmp_path, thinkers=[f"openai+{url}"], thinker_keys=f"{host}=sk-very-secret", semantic="off"
        ) as address:
            with sdk(address) as client:
                said = client.messages.create(
                    model="claude-test", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
                )
            assert said.content[0].text == "Hello there"  # type: ignore[union-attr]  # a text block
            again = post(address, body("Hi", max_tokens=9))
            assert again.headers["x-cache"] == "exact"
            thinkers = get(address, "/api/thinkers").text
    assert f"openai+{url}" in thinkers
    assert "sk-very-secret" not in thinkers + str(again.headers)


def test_wrong_key_and_wrong_model_are_told_as_the_thinkers_faults(tmp_path: Path) -> None:
    server = StandInOpenAI(text("x"))
    with running(server) as url, proxy(tmp_path, thinkers=[f"openai+{url}?model=gone"], semantic="off") as address:
        refused = post(address, body())
        assert refused.status_code == 529
        assert "does not exist" in refused.json()["error"]["message"]
    assert server.begun == 2  # there might have been another Thinker


def test_ollama_behind_a_reverse_proxy_gets_its_key(tmp_path: Path) -> None:
    seen: list[bytes] = []
    ollama = StandInOllama(text("x"))

    async def reverse_proxy(scope: object, receive: object, send: object) -> None:
        if isinstance(scope, dict) and scope["type"] == "http":
            seen.append(dict(scope["headers"]).get(b"authorization", b""))
        await ollama(scope, receive, send)  # type: ignore[arg-type]  # ASGI's own types are too narrow for a pass-through

    with running(reverse_proxy) as url:
        host = url.removeprefix("http://").partition(":")[0]
        with proxy(tmp_path, thinkers=[f"ollama+{url}"], thinker_keys=f"{host}=sk-ollama", semantic="off") as address:
            assert post(address, body()).status_code == 200
    assert set(seen) == {b"Bearer sk-ollama"}


def test_prompt_that_is_too_long_arms_the_clients_compaction(tmp_path: Path) -> None:
    server = StandInOpenAI(text("x"), limits=Limits(context_tokens=50))
    with running(server) as url, proxy(tmp_path, thinkers=[f"openai+{url}"], semantic="off") as address:
        refused = post(address, body("word " * 500))
        assert_refused(refused, 400, "invalid_request_error", naming="prompt is too long: 625 tokens > 50 maximum")
