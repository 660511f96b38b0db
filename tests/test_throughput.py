"""Throughput is measured on an Ollama, what failed is told, and a measurement goes before what was published."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.ollama_script import Fail, Script, Text, text
from benchmarks.throughput import PUBLISHED, Measured, Shape, Speed, known_speeds, measure, read_speeds, save_speeds
from workbench.errors import ConfigurationError

SMALL = Shape(prompt_tokens=8, output_tokens=4, rounds=2, timeout_s=10)


def measured(ollama: StandInOllama, *streams: int) -> Measured:
    with ollama_running(ollama) as url:
        return asyncio.run(measure(url, model="stand-in:latest", gpu="RTX 4090", streams=streams, shape=SMALL))


def speed(**fields: Any) -> Speed:
    given = {"gpu": "H100", "model": "m", "server": "ollama", "streams": 1, "decode_tokens_per_s": 9.0, "source": "t"}
    return Speed(**(given | fields))


def test_every_number_of_streams_is_measured_with_its_samples() -> None:
    ollama = StandInOllama(text(*["one "] * 5))
    found = measured(ollama, 1, 4)
    assert found.failed == {}
    assert [(each.streams, each.samples, each.server) for each in found.speeds] == [(1, 2, "ollama"), (4, 8, "ollama")]
    assert all(each.prefill_tokens_per_s and each.first_token_s is not None for each in found.speeds)
    assert len(ollama.chats) == 1 + 2 + 8  # one loads the model
    prompts = [chat["messages"][0]["content"] for chat in ollama.chats]
    assert len({prompt[:16] for prompt in prompts}) == len(prompts)  # no prefix is shared
    assert {chat["options"]["num_predict"] for chat in ollama.chats} == {4}


def test_what_was_measured_before_a_failure_is_kept_and_the_failure_is_told() -> None:
    good, bad = text("one ", "two "), Script((Text("one"), Fail("the GPU has gone")))
    found = measured(StandInOllama([good] * 3 + [bad] * 4), 1, 4)
    assert [each.streams for each in found.speeds] == [1]
    assert found.failed == {4: "ValueError: Ollama says 'the GPU has gone'"}


def test_nobody_there_is_told() -> None:
    found = asyncio.run(measure("http://127.0.0.1:9", model="m", gpu="H100", streams=(1,), shape=SMALL))
    assert found.speeds == []
    assert found.failed[1].startswith("Connect")


def test_a_measurement_replaces_its_own_row_and_goes_before_what_was_published(tmp_path: Path) -> None:
    measured_file, published = tmp_path / "results" / "throughput.json", tmp_path / "published.json"
    save_speeds([speed(), speed(gpu="A100 80GB")], published)
    save_speeds([speed(decode_tokens_per_s=5.0), speed(streams=4)], measured_file)
    save_speeds([speed(decode_tokens_per_s=7.0)], measured_file)
    found = known_speeds("m", measured=measured_file, published=published)
    assert [(each.gpu, each.streams, each.decode_tokens_per_s) for each in found] == [
        ("H100", 4, 9.0),
        ("H100", 1, 7.0),
        ("A100 80GB", 1, 9.0),
    ]
    assert known_speeds("another", measured=measured_file, published=published) == []


@pytest.mark.parametrize("document", [[], {"version": 2}, {"version": 1, "rows": [{"gpu": "x"}]}])
def test_a_wrong_file_is_refused(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "throughput.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(ConfigurationError, match=r"cannot read the speeds .*throughput\.json"):
        read_speeds(path)


def test_published_speeds_say_that_they_were_not_measured_here() -> None:
    rows = read_speeds(PUBLISHED)
    assert rows
    assert all("not measured here" in row.source and row.samples == 0 for row in rows)
