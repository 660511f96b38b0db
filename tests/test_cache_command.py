"""`python -m workbench cache …`, from a store that a proxy filled to another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.stand_ins.ollama import StandInOllama
from tests.proxying import body, get, outcome, post, proxied
from tests.stores import opened, waiting
from tests.tiny_bert import tiny_source
from workbench.__main__ import cli
from workbench.cache.model_folder import read_card, write_bert_folder
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Entry

QUESTION = "how do i reverse a list"
Command = Callable[..., Any]
"""What it returns is typer's `Result`."""


@pytest.fixture(scope="module")
def embedders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two model folders with different weights."""
    folders = {}
    for seed, name in enumerate(("one", "two")):
        source = tiny_source(tmp_path_factory.mktemp(name), seed=seed)
        folders[name] = tmp_path_factory.mktemp(f"{name}-built")
        write_bert_folder(source, name=name, target=folders[name])
    return folders


@pytest.fixture
def workbench(tmp_path: Path, embedders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `workbench cache ARGUMENTS` with the first embedder and the store that a proxy in `tmp_path` has."""
    monkeypatch.setenv("WORKBENCH_EMBEDDER", str(embedders["one"]))
    monkeypatch.setenv("WORKBENCH_STORE", f"sqlite:///{tmp_path / 'cache.sqlite'}")
    return lambda *arguments, **options: CliRunner().invoke(cli, ["cache", *map(str, arguments)], **options)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A proxy that has answered two questions."""
    with proxied(tmp_path, StandInOllama(), semantic="off") as address:
        for text in (QUESTION, "in perl?"):
            assert outcome(post(address, body(text)))[0] == "miss"
        yield address


def test_entries_move_to_another_store_which_serves_them(
    address: str, workbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "entries.jsonl.zst"
    assert "2 entries written" in workbench("export", file).stdout
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("WORKBENCH_STORE", f"sqlite:///{tmp_path / 'other' / 'cache.sqlite'}")
    with proxied(tmp_path / "other", StandInOllama(), semantic="off") as other:
        assert "2 entries stored" in workbench("import", file).stdout
        assert outcome(post(other, body(QUESTION)))[0] == "exact"
    again = workbench("import", file)
    assert (again.exit_code, "2 known already" in again.stdout) == (0, True)


def test_a_running_proxy_forgets_what_is_purged(address: str, workbench: Command) -> None:
    assert outcome(post(address, body(QUESTION)))[0] == "exact"  # so that it lies in the memory tier too
    dry = workbench("purge", "--matching", "reverse", "--dry-run")
    assert "1 entry" in dry.stdout
    assert QUESTION in dry.stdout
    assert "nothing was changed" in workbench("purge", "--matching", "reverse", input="n\n").stdout
    assert len(get(address, "/api/entries").json()["data"]) == 2
    assert "1 entry forgotten" in workbench("purge", "--matching", "reverse", "--yes").stdout
    assert len(get(address, "/api/entries").json()["data"]) == 1
    limit_s = time.monotonic() + 30
    while (seen := outcome(post(address, body(QUESTION)))[0]) == "exact" and time.monotonic() < limit_s:
        pass  # its memory tier hears of it within a second
    assert seen == "miss"


def test_purge_wants_to_be_told_what(workbench: Command) -> None:
    for arguments in ([], ["--all", "--tenant", "t"]):
        assert workbench("purge", *arguments).exit_code == 2


def test_reembedding_gives_all_questions_their_vectors(
    workbench: Command, embedders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = replace(waiting("a", text=QUESTION), created_s=time.time(), expires_s=time.time() + 1000)
    store = SqliteStore(tmp_path / "cache.sqlite", fingerprint=read_card(embedders["two"]).fingerprint)

    async def put() -> None:
        async with opened(store):
            await store.put("t", waits)

    async def pending() -> list[Entry]:
        async with opened(store):
            return await store.pending("t", waits.scope, limit=9)

    asyncio.run(put())
    assert "1 wait until" in workbench("reembed", "--embedder", embedders["two"]).stdout
    monkeypatch.setenv("WORKBENCH_EMBEDDER", str(embedders["two"]))
    for told in ("1 entry embedded, 0 had", "0 entries embedded, 1 had"):
        assert told in workbench("reembed").stdout
    assert asyncio.run(pending()) == []


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("memory:", "the proxy's own"),
        ("sqlite:////dev/null/no.sqlite", "cannot be used"),
        ("nonsense", "makes no sense"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(
    workbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, told: str
) -> None:
    monkeypatch.setenv("WORKBENCH_STORE", store)
    result = workbench("export", tmp_path / "out")
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_import_with_faults_names_the_lines(workbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "entries.jsonl.zst"
    assert workbench("export", file).exit_code == 0
    assert workbench("import", file).exit_code == 0
    file.write_bytes(b'{"format":"self-host-workbench entries","version":1,"key_version":1,"fingerprint":""}\noops\n')
    result = workbench("import", file)
    assert result.exit_code == 1
    assert "line 2: " in result.stderr
    assert "cut off" in result.stderr
    assert workbench("import", tmp_path / "none").exit_code == 2


def test_warming_tells_where_the_answers_came_from(address: str, workbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("What is new?\nWhat is old?\n")
    assert "2 would be asked" in workbench("warm", file, "--url", address, "--dry-run").stdout
    assert "2 asked of Thinkers" in workbench("warm", file, "--url", address).stdout
    assert "2 known already" in workbench("warm", file, "--url", address).stdout
