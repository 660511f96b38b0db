"""`serve.py` as a process: what it prints, how it ends, and when it refuses to start."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.stand_ins.ollama import StandInOllama, running
from benchmarks.stand_ins.ollama_script import Gate, Script, Text, Wait, text
from benchmarks.stand_ins.serving import listen
from tests.proxying import PLAIN, body, outcome, post
from workbench.cache.guards import GUARDS_VERSION
from workbench.cache.policy import POLICY_VERSION

SERVE = Path(__file__).parents[1] / "serve.py"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+$")


def start(folder: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SERVE), *flags],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def served(folder: Path, *flags: str, **variables: str) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """A running server: its address, its banner, its process; killed in the end if it still runs."""
    with start(folder, "--port", "0", *flags, **variables) as process:
        try:
            assert process.stdout is not None
            banner = process.stdout.readline()
            assert banner, process.stderr and process.stderr.read()
            while "ANTHROPIC_BASE_URL" not in banner:
                banner += process.stdout.readline()
            yield ADDRESS.findall(banner.splitlines()[0])[0], banner, process
        finally:
            process.kill()


def refusal(folder: Path, *flags: str, **variables: str) -> str:
    """What is told when it refuses to start: exit code 2, and one line."""
    with start(folder, *flags, **variables) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2, (out, err)
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return err


def test_banner_says_what_was_found_and_how_to_use_it(tmp_path: Path) -> None:
    with running(StandInOllama(models=["qwen:latest", "small:latest"])) as url:
        with served(tmp_path, "--thinker", f"ollama+{url}", "--store", "memory:") as (address, banner, _):
            assert post(address, body()).status_code == 200
        for found in (f"ollama+{url}", "qwen:latest (default), small:latest", "memory:", "all-MiniLM-L6-v2"):
            assert found in banner
        assert f"ANTHROPIC_BASE_URL={address}" in banner
        assert "-m workbench claude" in banner


def test_running_ollama_is_found_on_its_usual_address_and_a_bare_one_is_not_used(tmp_path: Path) -> None:
    ollama = running(StandInOllama(models=["qwen:latest"]))
    with ollama as url, served(tmp_path, OLLAMA_HOST=url.removeprefix("http://")) as (_, banner, _process):
        assert f"ollama+{url}" in banner
    with running(StandInOllama(models=[])) as url, served(tmp_path, OLLAMA_HOST=url) as (_, banner, _process):
        assert "embedded:" in banner
        assert "toy model, 8k context" in banner


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_a_running_reply_end_and_then_the_server(tmp_path: Path, number: signal.Signals) -> None:
    gate = Gate()
    thinker = StandInOllama(Script((Text("one "), Wait(gate), Text("two"))))
    with running(thinker) as url, served(tmp_path, "--thinker", f"ollama+{url}") as (address, _, process):
        with httpx2.stream("POST", f"{address}/v1/messages", json=body(stream=True), **PLAIN) as response:
            chunks = response.iter_raw()
            first = next(chunks)
            process.send_signal(number)
            gate.release()
            assert b"message_stop" in first + b"".join(chunks)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_entries_survive_a_killed_server(tmp_path: Path) -> None:
    with running(StandInOllama(text("kept"))) as url:
        flags = ("--thinker", f"ollama+{url}", "--store", f"sqlite:///{tmp_path / 'c.sqlite'}")
        with served(tmp_path, *flags) as (address, _, process):
            assert outcome(post(address, body()))[0] == "miss"
            process.kill()
        with served(tmp_path, *flags) as (address, _, _process):
            assert outcome(post(address, body()))[0] == "exact"


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "http://host:11434",
        "ollama://host",
        "ollama+ftp://host",
        "ollama+http://",
        "ollama+http://host:99999",
        "ollama+http://host:11434?modle=x",
        "openai+ftp://host:8000/v1",
    ],
)
def test_thinker_url_that_makes_no_sense_is_refused_with_what_is_accepted(tmp_path: Path, url: str) -> None:
    told = refusal(tmp_path, "--thinker", url)
    assert url in told
    assert "ollama+http://host:11434" in told
    assert "embedded:" in told


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    assert "redis://x" in refusal(tmp_path, "--store", "redis://x")
    assert "WORKBENCH_KEYS" in refusal(tmp_path, "--host", "0.0.0.0")  # noqa: S104  # that it is refused is the point
    assert "port" in refusal(tmp_path, WORKBENCH_PORT="many")
    assert "num_ctx" in refusal(tmp_path, "--thinker", "ollama+http://host:11434?num_ctx=lots")


def test_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with listen() as bound:
        bound.listen()
        port = str(bound.getsockname()[1])
        assert port in refusal(tmp_path, "--port", port)


def test_policy_for_another_embedder_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    found = {
        "version": POLICY_VERSION,
        "guards": GUARDS_VERSION,
        "embedder": "other",
        "fingerprint": "0123",
        "gate": 0.9,
    }
    policy.write_text(json.dumps(found))
    assert "0123" in refusal(tmp_path, "--policy", str(policy), "--thinker", "embedded:")
    policy.write_text("{")
    assert str(policy) in refusal(tmp_path, "--policy", str(policy), "--thinker", "embedded:")


@pytest.mark.parametrize("kind", ["garbage", "foreign", "newer"])
def test_store_that_is_not_ours_is_refused_and_left_untouched(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "cache.sqlite"
    if kind == "garbage":
        file.write_bytes(b"not a database, but somebody's notes" * 200)
    elif kind == "foreign":
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE notes (text TEXT)")
            database.commit()
    else:
        with served(tmp_path, "--store", f"sqlite:///{file}", "--thinker", "embedded:") as (_, _, process):
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 99")
    before = file.read_bytes()
    assert str(file) in refusal(tmp_path, "--store", f"sqlite:///{file}", "--thinker", "embedded:")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache.sqlite"]


def test_help_names_every_flag(tmp_path: Path) -> None:
    with start(tmp_path, "--help", COLUMNS="200") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    for flag in ("--host", "--port", "--store", "--thinker", "--policy", "--semantic", "--conversations", "--config"):
        assert flag in out
