"""Counts are learnt from what real calls reported."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import Script, Text
from tests.proxying import body, post, proxied
from workbench.messages import MessagesRequest
from workbench.proxy.tokens import TokenCounter

COUNT = "/v1/messages/count_tokens"


def conversation(characters: int, *, turns: int = 1, tools: int = 0) -> MessagesRequest:
    messages = [{"role": "user", "content": "x" * (characters // turns)}] * turns
    schema = {"type": "object", "properties": {"path": {"type": "string", "description": "d" * 1400}}}
    return MessagesRequest.model_validate(
        {
            "model": "m",
            "max_tokens": 5,
            "messages": messages,
            "tools": [{"name": f"tool{i}", "description": "d" * 800, "input_schema": schema} for i in range(tools)],
        }
    )


TOKENIZERS: dict[str, Callable[[int, int, int], float]] = {
    "coarse": lambda characters, turns, tools: (characters + 2300 * tools) / 4.5 + 5 * turns + 3,
    "fine": lambda characters, turns, tools: (characters + 2300 * tools) / 2.5 + 8 * turns,
    "uneven": lambda characters, turns, tools: characters / 4.2 + 2300 * tools / 3.2 + 4 * turns + 20,
}


@pytest.mark.parametrize("truth", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("tools", [0, 12])
def test_after_five_calls_counts_are_within_ten_percent(truth: Callable[[int, int, int], float], tools: int) -> None:
    counter = TokenCounter()
    for characters, turns in ((4000, 1), (6000, 3), (5000, 5), (9000, 7), (12000, 9)):
        known = conversation(characters, turns=turns, tools=tools)
        counter.learn("m", known, round(truth(characters, turns, tools)))
    for characters, turns in ((3000, 1), (8000, 5), (20000, 11), (60000, 31)):
        counted = counter.count("m", conversation(characters, turns=turns, tools=tools))
        assert counted == pytest.approx(truth(characters, turns, tools), rel=0.1)


def test_count_includes_tools_and_their_calls_and_results_and_is_never_zero() -> None:
    counter = TokenCounter()
    plain = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "t", "input": {"k": "v" * 400}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "r" * 400}]}
    empty = plain | {"messages": [{"role": "user", "content": ""}]}
    requests: list[dict[str, Any]] = [
        empty,
        plain,
        plain | {"tools": [{"name": "t", "input_schema": {"d": "x" * 400}}]},
        plain | {"messages": [*plain["messages"], call]},  # type: ignore[misc]  # a list of messages
        plain | {"messages": [*plain["messages"], call, result]},  # type: ignore[misc]  # a list of messages
    ]
    counts = [counter.count("m", MessagesRequest.model_validate(request)) for request in requests]
    assert counts[0] >= 1
    assert counts[2] > counts[1] + 50
    assert counts[4] > counts[3] + 50 > counts[1] + 100


def test_image_counts_as_an_image_and_not_as_its_base64() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}
    picture = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    request = MessagesRequest.model_validate({"model": "m", "max_tokens": 1, "messages": picture})
    assert 500 < TokenCounter().count("m", request) < 3000


def test_burst_of_counts_touches_no_thinker(tmp_path: Path) -> None:
    thinker = StandInOllama()
    with proxied(tmp_path, thinker) as address, ThreadPoolExecutor(12) as pool:
        counts = list(pool.map(lambda _: post(address, body("foo"), path=COUNT).json()["input_tokens"], range(24)))
    assert len(set(counts)) == 1
    assert counts[0] > 0
    assert thinker.chats == []


def test_proxy_learns_from_misses(tmp_path: Path) -> None:
    thinker = StandInOllama(lambda request: Script((Text("ok"),), prompt_tokens=len(str(request["messages"])) // 2))
    with proxied(tmp_path, thinker) as address:
        before = post(address, body("w" * 6000), path=COUNT).json()["input_tokens"]
        for length in (3000, 4000, 5000, 7000, 8000):
            post(address, body("w" * length))
        after = post(address, body("w" * 6000), path=COUNT).json()["input_tokens"]
    assert before < 2000
    assert after == pytest.approx(3010, rel=0.1)
