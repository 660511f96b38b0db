"""The real Claude Code CLI: found or installed, run with nothing of the user's around it; models to make it work."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

from benchmarks.stand_ins.ollama_script import Call, Calls, Chooser, Script, Text, Thinking, text

VERSION = "2.1.328"
PACKAGE = f"@anthropic-ai/claude-code@{VERSION}"
CACHE = Path(__file__).parents[1] / ".venv" / "claude-code"
INSTALL_LIMIT_S = 300
RUN_LIMIT_S = 60


class NotInstallable(Exception):
    """The CLI is not here and cannot be fetched; the message says why."""


def install() -> Path:
    """The folder that holds `claude`, filled the first time; raises `NotInstallable`."""
    folder = CACHE / VERSION
    if not _program(folder).exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as fresh:
            _fetch(Path(fresh))
            with contextlib.suppress(OSError):  # another run was faster
                os.rename(fresh, folder)
    return _program(folder).parent


def _program(folder: Path) -> Path:
    return folder / "node_modules" / ".bin" / "claude"


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstallable("npm is not on the PATH")
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error", PACKAGE]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
        if told.returncode:
            raise NotInstallable(f"npm could not install {PACKAGE}: {told.stderr.strip()[:300]}")
        started = run([str(_program(folder)), "--version"], {"HOME": str(folder)}, folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(f"{PACKAGE}: {error}") from error
    if not started.out.startswith(VERSION):
        raise NotInstallable(f"{PACKAGE} is installed and does not run here: {started.err.strip()[:300]}")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run of the CLI ended."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """What it printed with ``--output-format json``."""
        told: dict[str, Any] = json.loads(self.out)
        return told


@dataclass(frozen=True, slots=True)
class Claude:
    """The CLI as one user has it: a home, a folder to work in, and a proxy at `address`."""

    bin: Path
    home: Path
    folder: Path
    address: str
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folders."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """All that the CLI finds in its environment: a home, a path and where to send requests."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "ANTHROPIC_BASE_URL": self.address,
            "ANTHROPIC_AUTH_TOKEN": "any",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",  # what goes wrong is to be seen, soon
            **self.variables,
        }

    def __call__(self, *arguments: str) -> Ran:
        """Run ``claude ARGUMENTS`` to its end."""
        return run([str(self.bin / "claude"), *arguments], self.environment, self.folder)

    def ask(self, prompt: str, *arguments: str) -> str:
        """What ``claude -p PROMPT ARGUMENTS`` answers; it must succeed."""
        ran = self("-p", prompt, *arguments)
        assert ran.code == 0, ran
        return ran.out.strip()

    def converse(self, prompts: list[str], *arguments: str) -> list[str]:
        """What one session answers to these prompts, each sent after the answer to the one before."""
        streams = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        command = [str(self.bin / "claude"), "-p", *streams, *arguments]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdin=PIPE, stdout=PIPE, text=True
        ) as process:
            limit = threading.Timer(RUN_LIMIT_S, process.kill)
            limit.start()
            try:
                assert process.stdin
                assert process.stdout
                return [_answer(prompt, process.stdin, process.stdout) for prompt in prompts]
            finally:
                limit.cancel()
                process.kill()


def _answer(prompt: str, stdin: IO[str], stdout: IO[str]) -> str:
    stdin.write(json.dumps({"type": "user", "message": {"role": "user", "content": prompt}}) + "\n")
    stdin.flush()
    events = map(json.loads, stdout)
    return next(str(event["result"]) for event in events if event["type"] == "result")


def run(command: list[str], environment: dict[str, str], folder: Path) -> Ran:
    """Run a command in this environment, and in nothing of ours."""
    ran = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


# ── scripted models ─────────────────────────────────────────────────────────────────────────────────────────


def bash(command: str) -> Calls:
    """The model runs a command."""
    return Calls((Call("Bash", {"command": command, "description": "As asked"}),))


def results(chat: dict[str, Any]) -> int:
    """How many tool results a chat request holds."""
    return sum(message["role"] == "tool" for message in chat["messages"])


def one_by_one(*steps: Calls, thinks: bool = False) -> Chooser:
    """A model that makes these calls, each after the results of those before, and then says that it is done."""
    before = (Thinking("What next?"), Text("Next.")) if thinks else (Text("Next."),)

    def choose(chat: dict[str, Any]) -> Script:
        seen = results(chat)
        for step in steps:
            if seen <= 0:
                return Script((*before, step))
            seen -= len(step.calls)
        return text("All done.")

    return choose
