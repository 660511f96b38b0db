"""Every command of the README runs here, in order and against the server that it starts, or says why it does not.

A comment right above a block marks it: ``<!-- serves -->`` starts the server that the later blocks talk to,
``<!-- not run: reason -->`` is taken at its word. In a ``console`` block ``$`` (and ``>``, where a command goes on)
stand before commands; the other lines must come out in this order, ``…`` standing for anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.stand_ins.serving import listen

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCE = r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$"
BLOCK = re.compile(FENCE, re.DOTALL | re.MULTILINE)
PROMPT = ("$ ", "> ")
RUN = ("bash", "console", "python")
SHOWN = ("json", "mermaid", "text", "toml")
PORT_IN_README = "8000"
START_LIMIT_S = 60
COMMAND_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of the README: its mark is empty where there is none."""

    mark: str
    language: str
    text: str

    @property
    def commands(self) -> str:
        """What is to be run."""
        if self.language != "console":
            return self.text
        return "\n".join(line[2:] for line in self.text.splitlines() if line.startswith(PROMPT))

    @property
    def output(self) -> re.Pattern[str]:
        """What must come out."""
        lines = [line for line in self.text.splitlines() if self.language == "console" and not line.startswith(PROMPT)]
        return re.compile(".*?".join(re.escape(line).replace("…", ".*?") for line in lines), re.DOTALL)


BLOCKS = [Block(mark or "", language, text) for mark, language, text in BLOCK.findall(README)]
TO_RUN = [block for block in BLOCKS if block.language in RUN and not block.mark]


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where the commands run: the repository, with a port, a data folder and a small model of the test's own."""

    port: int
    environment: dict[str, str]

    def start(self, commands: str, *, language: str = "bash", log: Path) -> subprocess.Popen[str]:
        """Start the commands, their output going to `log`, in a process group of their own."""
        program = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
        with log.open("w") as output:
            return subprocess.Popen(  # the README's own commands
                [*program, re.sub(rf"\b{PORT_IN_README}\b", str(self.port), commands)],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )


def answers(port: int) -> bool:
    """Whether a server on this port says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in which the block marked `serves` is running."""
    up_to_date = subprocess.run(["make", "-q", ".venv/.serve"], cwd=ROOT, check=False)  # noqa: S607  # from PATH
    if up_to_date.returncode or Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("`make serve` would install first: run these tests with `make test`")
    folder = tmp_path_factory.mktemp("readme")
    with listen() as free:
        port = free.getsockname()[1]
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WORKBENCH_", "MAKE", "MFLAGS", "ARGS"))
    }
    ours |= {"WORKBENCH_PORT": str(port), "WORKBENCH_THINKERS": "embedded:", "XDG_DATA_HOME": str(folder)}
    terminal = Terminal(port, ours)
    (serving,) = [block for block in BLOCKS if block.mark == "serves"]
    log = folder / "serve.log"
    server = terminal.start(serving.commands, log=log)
    try:
        deadline_s = time.monotonic() + START_LIMIT_S
        while not answers(port):
            assert server.poll() is None, f"the server ended:\n{log.read_text()}"
            assert time.monotonic() < deadline_s, f"the server is not ready:\n{log.read_text()}"
            time.sleep(0.05)  # between two questions to a server of another process
        yield terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)  # what Ctrl-C does
        server.wait(START_LIMIT_S)
    assert not answers(port)


def test_every_fence_is_one_that_is_read_here() -> None:
    assert README.count("```") == 2 * len(BLOCKS)
    assert {block.language for block in BLOCKS} <= {*RUN, *SHOWN}
    assert [block.mark for block in BLOCKS if not re.fullmatch(r"|serves|not run: \S.*", block.mark)] == []


def test_every_make_target_of_the_readme_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", "".join(block.text for block in BLOCKS if block.language in RUN)))
    assert named - targets == set()


@pytest.mark.parametrize("block", TO_RUN, ids=[block.commands.splitlines()[0] for block in TO_RUN])
def test_readme_block_does_what_it_says(block: Block, terminal: Terminal, tmp_path: Path) -> None:
    if "curl " in block.commands and not shutil.which("curl"):
        pytest.skip("curl is not installed here")
    log = tmp_path / "output"
    process = terminal.start(block.commands, language=block.language, log=log)
    try:
        code = process.wait(COMMAND_LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 0, log.read_text()
    assert block.output.search(log.read_text()), log.read_text()
