"""The published `vastai` program, in a virtual environment of its own: its pins fit nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "1.9.1"
CACHE = Path(__file__).parents[1] / ".venv" / "vastai"
INSTALL_LIMIT_S = 300
RUN_LIMIT_S = 60


class NotInstallable(Exception):
    """The program is not here and cannot be fetched; the message says why."""


def install() -> Path:
    """The program, installed the first time; raises `NotInstallable`."""
    program = CACHE / VERSION / "bin" / "vastai"
    if (CACHE / VERSION / ".done").exists():
        return program
    CACHE.mkdir(parents=True, exist_ok=True)
    # A virtual environment cannot be moved, so the mark comes last; a run in parallel installs the same.
    _run([sys.executable, "-m", "venv", str(CACHE / VERSION)])
    _run([str(CACHE / VERSION / "bin" / "python"), "-m", "pip", "install", "-q", f"vastai=={VERSION}"])
    (CACHE / VERSION / ".done").touch()
    return program


def _run(command: list[str]) -> None:
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(f"vastai=={VERSION}: {error}") from error
    if told.returncode:
        raise NotInstallable(f"vastai=={VERSION}: {told.stderr.strip()[-300:]}")


@dataclass(frozen=True, slots=True)
class VastAi:
    """The program with one key, talking to the server at `url`."""

    program: Path
    url: str
    key: str

    def run(self, *arguments: str) -> str:
        """What it prints; raises AssertionError when it failed."""
        with tempfile.TemporaryDirectory() as home:
            told = subprocess.run(
                [str(self.program), *arguments, "--url", self.url, "--api-key", self.key],
                env={"HOME": home, "PATH": os.defpath, "COLUMNS": "250", "NO_PROXY": "127.0.0.1"},
                cwd=home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=RUN_LIMIT_S,
                check=False,
            )
        assert told.returncode == 0, f"vastai {' '.join(arguments)}: {told.stdout}{told.stderr}"
        assert "Traceback" not in told.stderr, told.stderr
        return told.stdout

    def json(self, *arguments: str) -> Any:
        """What it prints with ``--raw``."""
        out = self.run(*arguments, "--raw")
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(out)
        raise AssertionError(f"vastai {' '.join(arguments)} printed no JSON: {out}")
