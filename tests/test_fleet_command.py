"""`python -m workbench fleet` against the stand-in market, and the proxy that follows what it rented."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import Chooser
from benchmarks.stand_ins.vast import StandInVast, running
from benchmarks.stand_ins.vast_market import StandInInstance
from benchmarks.stand_ins.vast_ssh import SshHosting
from tests.claude_cli import Claude, bash, one_by_one
from tests.proxying import body, get, post, proxy
from workbench.__main__ import cli
from workbench.backend.pool import Pool
from workbench.errors import ConfigurationError
from workbench.proxy.app import create_app
from workbench.proxy.rented import load_of
from workbench.proxy.telemetry import Exchange, Telemetry
from workbench.settings import Settings

FILE = """
price_cap_usd_per_h = 0.60
[limits]
starting_poll_s = 0.05
poll_s = 0.2
notice_s = 0
"""


LIMIT_S = 30.0


class Desk:
    """A terminal with a market of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model: Chooser | None = None
        self.ollamas: dict[int, StandInOllama] = {}
        self.hosting = SshHosting(thinking=self._thinks)
        self.stand_in = StandInVast(hosting=self.hosting, gaps_s={})
        self.file = folder / "fleet.toml"
        self.file.write_text(FILE)
        self.store = f"sqlite:///{folder / 'cache.sqlite'}"

    def _thinks(self, instance: StandInInstance) -> StandInOllama:
        self.ollamas[instance.id] = StandInOllama(self.model, models=())
        return self.ollamas[instance.id]

    def at_work(self) -> list[int]:
        """The instances that were asked for more than the proof that they work."""
        return [id for id, ollama in self.ollamas.items() if any(chat.get("tools") for chat in ollama.chats)]

    def halt(self, instance_id: int) -> None:
        """The machine exits; returns when nothing listens there any more."""
        instance = self.stand_in.market.instances[instance_id]
        at = self.hosting.place(instance, now_s=time.time())
        instance.life = replace(instance.life, exit_s=0.0)
        until(lambda: not listens(at.direct_host, at.direct_port))

    def run(self, *words: str, input: str = "") -> Result:
        return CliRunner().invoke(cli, ["fleet", *words, "--file", str(self.file)], input=input)

    def json(self, *words: str) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def until(happened: Callable[[], bool]) -> None:
    """Wait for it; raises AssertionError when it takes too long."""
    end_s = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < end_s, happened
        time.sleep(0.02)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_STORE", desk.store)
    monkeypatch.setenv("VAST_API_KEY", desk.stand_in.key)
    with running(desk.stand_in) as url:
        monkeypatch.setenv("WORKBENCH_VAST_URL", url)
        yield desk


def test_dry_run_shows_machines_and_price_and_rents_nothing(desk: Desk) -> None:
    planned = desk.json("up", "-n", "2", "--dry-run")
    assert [machine["mode"] for machine in planned["machines"]] == ["on-demand", "on-demand"]
    assert float(planned["usd_per_h"]) == pytest.approx(
        sum(float(each["usd_per_h"]) for each in planned["machines"]), abs=0.001
    )
    assert planned["budget"] == "$2/hour, $10/day, $50/in all"
    assert desk.stand_in.market.instances == {}
    assert "2 of 2 machines" in desk.run("up", "-n", "2", "--dry-run").output


def test_a_refusal_to_confirm_rents_nothing(desk: Desk) -> None:
    result = desk.run("up", "-n", "1", input="n\n")
    assert result.exit_code == 1
    assert desk.stand_in.market.instances == {}


def test_machines_are_rented_followed_by_the_proxy_and_returned(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(desk.json("up", "-n", "2", "--keep", "--yes")["nodes"]) == 2
    with proxy(desk.folder, thinkers=[], fleet=desk.file, store=desk.store) as address:
        replies = [post(address, body(f"Question {i}?", max_tokens=64)) for i in range(2)]
        assert [reply.status_code for reply in replies] == [200, 200]
        assert "127.0.0.1" in replies[0].headers["x-thinker"]
    assert [node["state"] for node in desk.json("status")["nodes"]] == ["ready", "ready"]
    assert desk.json("sweep", "--yes")["orphans"] == []
    assert desk.json("down", "--yes")["nodes"] == []
    assert desk.stand_in.market.live() == []
    cost = desk.json("cost")
    assert len(cost["instances"]) == 2
    assert abs(float(cost["difference_usd"])) < 0.01


def test_a_proxy_without_a_machine_is_ready_rents_for_who_asks_and_answers_from_memory(desk: Desk) -> None:
    desk.file.write_text(FILE + "[nodes]\nmost = 1\ngrow_after_s = 0\n")
    question = body("What is a monad?", max_tokens=64)
    with proxy(desk.folder, thinkers=[], fleet=desk.file, store=desk.store) as address:
        ready = get(address, "/readyz")
        assert (ready.status_code, ready.json()["thinkers_up"], ready.json()["rents"]) == (200, 0, True)
        assert post(address, {"model": "claude"}).status_code == 400
        assert post(address, question).status_code == 529
        until(lambda: post(address, question).status_code == 200)
        desk.json("down", "--yes")
        until(lambda: get(address, "/readyz").json()["thinkers"] == 0)
        assert post(address, question).headers["x-cache"] == "exact"


@pytest.mark.parametrize(("status", "wants"), [(403, 0.0), (400, 0.0), (404, 0.0), (529, math.inf), (499, math.inf)])
def test_what_is_refused_wants_no_machine(status: int, wants: float) -> None:
    pool, telemetry = Pool([], refresh_every_s=3600), Telemetry(keep=1)
    load = load_of(pool, telemetry)
    assert load().wait_s == 0
    exchange = Exchange("an id", "t", "m", stream=False)
    exchange.status = status
    telemetry.record(exchange)
    assert load().wait_s == wants


def test_claude_codes_tool_loop_goes_on_when_its_rented_machine_dies(desk: Desk, claude_bin: Path) -> None:
    halted = "until [ -e halted ]; do sleep 0.05; done"
    desk.model = one_by_one(bash(f"echo one >> log.txt; {halted}"), bash("echo two >> log.txt"))
    assert len(desk.json("up", "-n", "2", "--keep", "--yes")["nodes"]) == 2
    with (
        proxy(desk.folder, thinkers=[], fleet=desk.file, store=desk.store, semantic="off") as address,
        ThreadPoolExecutor(1) as beside,
    ):
        claude = Claude(claude_bin, desk.folder / "home", desk.folder / "work", address)
        answer = beside.submit(claude.ask, "Write to the log.", "--allowedTools", "Bash")
        until((claude.folder / "log.txt").exists)
        (first,) = desk.at_work()
        desk.halt(first)
        (claude.folder / "halted").touch()
        assert answer.result() == "All done."
        rows = get(address, "/api/exchanges").json()["data"]
    assert (claude.folder / "log.txt").read_text() == "one\ntwo\n"
    assert [row["status"] for row in rows] == [200, 200, 200]
    assert rows[0]["thinker"] == rows[1]["thinker"] != rows[2]["thinker"]
    assert desk.at_work() != [first]
    desk.json("down", "--yes")
    assert desk.stand_in.market.live() == []
    assert abs(float(desk.json("cost")["difference_usd"])) < 0.01


def test_an_up_that_fails_half_way_returns_what_it_rented(desk: Desk) -> None:
    limits = "[limits]\nstarting_poll_s = 0.05\nnotice_s = 0\nstart_s = 1.5\n"
    desk.file.write_text(f"price_cap_usd_per_h = 0.25\n{limits}")  # one machine is that cheap
    result = desk.run("up", "-n", "2", "--yes")
    assert result.exit_code == 2
    assert "2 machines are not ready" in result.output
    assert len(desk.stand_in.market.instances) == 1
    assert desk.stand_in.market.live() == []
    assert desk.json("status")["nodes"] == []


def test_bad_input_is_one_clear_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, told in (
        ("prise_cap_usd_per_h = 1", "there is no key prise_cap_usd_per_h; did you mean price_cap_usd_per_h?"),
        ("[filters.gpu_rum]\ngte = 1", "gpu_rum"),
        ("disk_gb = 20", "qwen3-coder:30b is 19 GB and needs a disk of at least 29 GB"),
        ('model = "nobody-knows:7b"', "Set model_gb to its size"),
        ("[nodes]\nleast = 3\nmost = 1", "expected 0 ≤ least ≤ most"),
        ("= what", "fleet file"),
    ):
        desk.file.write_text(text)
        result = desk.run("offers")
        assert result.exit_code == 2, result.output
        assert told in result.output
    desk.file.write_text(FILE)
    monkeypatch.setenv("VAST_API_KEY", "wrong")
    assert "VAST_API_KEY" in desk.run("offers").output
    monkeypatch.setenv("WORKBENCH_STORE", "memory:")
    assert "ends with this process" in desk.run("status").output
    with pytest.raises(ConfigurationError, match="ends with this process"):
        create_app(Settings(store="memory:", fleet=desk.file))
