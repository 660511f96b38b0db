"""The operations on a Redis store, as they are on any other: what SQLite knows, Redis serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.redis import RedisMissing
from benchmarks.stand_ins.redis import running as redis_running
from tests.proxying import body, outcome, post, proxied
from tests.stores import Clock, entry, opened, pointing, same, waiting
from tests.test_reembed import Counting, direction
from workbench.__main__ import cli
from workbench.cache.redis_link import RedisOptions
from workbench.cache.redis_store import RedisStore
from workbench.cache.reembed import reembed

QUESTIONS = ("How do I sort a list in Python?", "What does git stash do?")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with redis_running(tmp_path_factory.mktemp("redis")) as server:
            yield server.url
    except RedisMissing as error:
        pytest.skip(str(error))


def workbench(*arguments: object) -> Any:
    """What typer's runner says of `workbench cache ARGUMENTS`."""
    return CliRunner().invoke(cli, ["cache", *map(str, arguments)])


def test_what_sqlite_knows_redis_serves_too(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = "how do i sort a list in python"
    with proxied(tmp_path, StandInOllama(), audit=False) as address:
        for question in QUESTIONS:
            assert outcome(post(address, body(question)))[0] == "miss"
        assert outcome(post(address, body(near)))[0] == "semantic"
    monkeypatch.setenv("WORKBENCH_STORE", f"sqlite:///{tmp_path / 'cache.sqlite'}")
    assert "2 entries written" in workbench("export", tmp_path / "out.zst").stdout
    monkeypatch.setenv("WORKBENCH_STORE", url)
    assert "2 entries stored" in workbench("import", tmp_path / "out.zst").stdout
    with proxied(tmp_path, StandInOllama(), audit=False, store=url, store_lost_s=5.0) as address:
        for question in QUESTIONS:
            assert outcome(post(address, body(question)))[0] == "exact"
        assert outcome(post(address, body(near)))[0] == "semantic"
        assert "1 entry forgotten" in workbench("purge", "--matching", "git stash", "--yes").stdout
        limit_s = time.monotonic() + 30
        while (seen := outcome(post(address, body(QUESTIONS[1])))[0]) == "exact" and time.monotonic() < limit_s:
            pass  # its memory tier hears of it within a second
        assert seen == "miss"


def test_vectors_of_two_embedders_stand_side_by_side(url: str) -> None:
    def store_of(fingerprint: str) -> RedisStore:
        options = RedisOptions(url, lost_s=10.0)
        return RedisStore(options, fingerprint=fingerprint, vectors="float32", namespace="two", clock=Clock())

    async def story() -> None:
        stored = entry("a", text="a", angle=0.5)
        async with opened(store_of("old")) as old, opened(store_of("new")) as new:
            await old.put("t", stored)
            await old.put("t", waiting("b", text="b"))
            done = await reembed(old, new, Counting())
            assert (done.embedded, done.waiting) == (1, 1)
            for store, vector in ((old, pointing(0.5)), (new, direction("a"))):
                (found,) = await store.nearest("t", "s", vector, k=4)
                assert same(found.entry, replace(stored, vector=vector))
            assert len(await old.pending("t", "s", limit=9)) == 1
            assert (await reembed(old, new, Counting())).known == 1

    asyncio.run(story())
