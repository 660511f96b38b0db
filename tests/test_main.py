"""`python -m workbench claude`, with a small program in the CLI's place that tells what it was given."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.serving import serve_in_thread
from tests.proxying import proxy

ROOT = Path(__file__).parents[1]
LIMIT_S = 60

TELLS = """
import json, os, sys
settings = sys.argv[2]
told = {"arguments": sys.argv[1:], "environment": dict(os.environ), "mode": os.stat(settings).st_mode & 0o777}
print(json.dumps(told | {"settings": json.load(open(settings))}))
sys.exit(7)
"""

WAITS = """
import signal, sys
def interrupted(*_):
    sys.exit(5)
signal.signal(signal.SIGINT, interrupted)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A proxy that runs already."""
    with (
        ollama_running(StandInOllama()) as url,
        proxy(tmp_path_factory.mktemp("proxy"), thinkers=[f"ollama+{url}"], semantic="off", num_ctx=16_384) as address,
    ):
        yield address


def command(*arguments: str) -> list[str]:
    """``workbench claude ARGUMENTS``."""
    return [sys.executable, "-m", "workbench", "claude", *arguments]


def environment(folder: Path, program: str | None, *, port: int, **variables: str) -> dict[str, str]:
    """A user whose `claude` is this Python program, and whose proxy is on `port`."""
    (folder / "bin").mkdir(exist_ok=True)
    if program is not None:
        claude = folder / "bin" / "claude"
        claude.write_text(f"#!{sys.executable}\n{program}")
        claude.chmod(0o755)
    ours = {"PATH": str(folder / "bin"), "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    return ours | {"WORKBENCH_PORT": str(port), "WORKBENCH_SEMANTIC": "off"} | variables


def run(given: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        command(*arguments), env=given, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=given["HOME"]
    )


def told(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the program in the CLI's place was given."""
    assert ran.returncode == 7, ran
    given: dict[str, Any] = json.loads(ran.stdout)
    return given


def port_of(address: str) -> int:
    """The port in an address."""
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-p", "a b", "--", "--port"], ["mcp", "add", "x", "--", "y"]])
def test_all_arguments_and_the_exit_code_are_the_clis(tmp_path: Path, address: str, arguments: list[str]) -> None:
    given = told(run(environment(tmp_path, TELLS, port=port_of(address)), *arguments))
    assert given["arguments"][2:] == arguments


def test_environment_and_settings_lead_the_cli_to_the_proxy_alone(tmp_path: Path, address: str) -> None:
    diverting = {"ANTHROPIC_API_KEY": "sk-theirs", "CLAUDE_CODE_USE_BEDROCK": "1", "NO_PROXY": "intranet"}
    given = told(run(environment(tmp_path, TELLS, port=port_of(address), **diverting)))
    variables = given["settings"]["env"]
    assert variables.items() <= given["environment"].items()
    assert variables["ANTHROPIC_BASE_URL"] == address
    assert variables["ANTHROPIC_API_KEY"] == variables["CLAUDE_CODE_USE_BEDROCK"] == ""
    assert variables["no_proxy"] == variables["NO_PROXY"] == "intranet,127.0.0.1"
    assert variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "16384"
    assert given["mode"] == 0o600
    assert not Path(given["arguments"][1]).exists()


def test_key_is_the_first_one_and_no_process_list_shows_it(tmp_path: Path) -> None:
    keys = "me:use:secret-one,me:admin:secret-two"
    with (
        ollama_running(StandInOllama()) as url,
        proxy(tmp_path, thinkers=[f"ollama+{url}"], semantic="off", keys=keys) as address,
    ):
        given = told(run(environment(tmp_path, TELLS, port=port_of(address), WORKBENCH_KEYS=keys)))
    variables = given["settings"]["env"]
    assert (variables["ANTHROPIC_AUTH_TOKEN"], variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"]) == ("secret-one", "32768")
    assert "secret" not in " ".join(given["arguments"])


def test_without_a_proxy_one_is_started_and_stopped_again(tmp_path: Path) -> None:
    with ollama_running(StandInOllama()) as url:
        thinker = {"WORKBENCH_THINKERS": f"ollama+{url}", "XDG_DATA_HOME": str(tmp_path / "data")}
        ran = run(environment(tmp_path, TELLS, port=0, **thinker))
    address = told(ran)["environment"]["ANTHROPIC_BASE_URL"]
    assert f"started the proxy on {address}" in ran.stderr
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port_of(address))):
        pass
    assert (tmp_path / "data" / "workbench" / "claude.log").exists()


async def another_server(scope: Any, receive: Any, send: Any) -> None:
    """Answers everything, as many a development server does."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"status": "ok"}'})


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    """The one line that it ended with."""
    assert (ran.returncode, ran.stdout) == (2, ""), ran
    (line,) = ran.stderr.splitlines()
    return line


def test_without_the_cli_it_says_how_to_install_it(tmp_path: Path, address: str) -> None:
    line = refused(run(environment(tmp_path, None, port=port_of(address))))
    assert line.endswith("npm install -g @anthropic-ai/claude-code")


def test_another_server_on_the_port_is_not_taken_for_the_proxy(tmp_path: Path) -> None:
    with serve_in_thread(another_server) as other:
        line = refused(run(environment(tmp_path, TELLS, port=port_of(other))))
    assert f"cannot listen on 127.0.0.1:{port_of(other)}" in line


def test_setting_that_makes_no_sense_is_one_line(tmp_path: Path) -> None:
    line = refused(run(environment(tmp_path, TELLS, port=1, WORKBENCH_TTL_S="soon")))
    assert "ttl_s" in line


@contextlib.contextmanager
def waiting(given: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """It runs, with the CLI ready, in a process group of its own."""
    with subprocess.Popen(
        command(), env=given, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=given["HOME"]
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_ctrl_c_is_the_clis(tmp_path: Path, address: str) -> None:
    with waiting(environment(tmp_path, WAITS, port=port_of(address))) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(LIMIT_S) == 5


def test_sigterm_is_passed_on(tmp_path: Path, address: str) -> None:
    with waiting(environment(tmp_path, WAITS, port=port_of(address))) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 128 + signal.SIGTERM
