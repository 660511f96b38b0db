"""The published `vastai` program, in a virtual environment of its own: its pins fit nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

VERSION = "1.9.1"
CACHE = Path(__file__).parents[1] / ".venv" / "vastai"
INSTALL_LIMIT_S = 300
RUN_LIMIT_S = 60


class NotInstallable(Exception):
    """The program is not here and cannot be fetched; the message says why."""


def install() -> Path:
    """The Python that has it, installed the first time; raises `NotInstallable`."""
    python = CACHE / VERSION / "bin" / "python"
    if (CACHE / VERSION / ".done").exists():
        return python
    CACHE.mkdir(parents=True, exist_ok=True)
    # A virtual environment cannot be moved, so the mark comes last; a run in parallel installs the same.
    _run([sys.executable, "-m", "venv", str(CACHE / VERSION)])
    _run([str(python), "-m", "pip", "install", "-q", f"vastai=={VERSION}"])
    (CACHE / VERSION / ".done").touch()
    return python


def _run(command: list[str]) -> None:
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(f"vastai=={VERSION}: {error}") from error
    if told.returncode:
        raise NotInstallable(f"vastai=={VERSION}: {told.stderr.strip()[-300:]}")


_DRIVER = """
import json, os, sys, tempfile
from vastai.cli.main import main

for line in sys.stdin:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
            sys.argv, code = json.loads(line), 1
            try:
                main()
            except SystemExit as leaving:
                code = 0 if leaving.code in (None, True, 0) else 1
            except BaseException as error:
                print(repr(error), file=sys.stderr)
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0), err.seek(0)
        print(json.dumps([os.waitstatus_to_exitcode(status), out.read(), err.read()]), flush=True)
"""
"""Imports the program once, which takes a second, and runs each command in a child of its own."""


class VastAi:
    """The program with one key, talking to the server at `url`, while the block runs."""

    def __init__(self, python: Path, *, url: str, key: str, home: Path) -> None:
        self._end = ["--url", url, "--api-key", key]
        self._process = subprocess.Popen(
            [str(python), "-c", _DRIVER],
            env={"HOME": str(home), "PATH": os.defpath, "COLUMNS": "250", "VASTAI_NO_UPDATE_CHECK": "1"},
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, *arguments: str) -> str:
        """What it prints; raises AssertionError when it failed."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(["vastai", *arguments, *self._end]), file=self._process.stdin, flush=True)
        with _limited(self._process):
            code, out, err = json.loads(self._process.stdout.readline())
        assert code == 0, f"vastai {' '.join(arguments)}: {out}{err}"
        return str(out)

    def json(self, *arguments: str) -> Any:
        """What it prints with ``--raw``."""
        return json.loads(self.run(*arguments, "--raw"))


@contextlib.contextmanager
def _limited(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill the process when the block takes too long: its reader then sees the end."""
    timer = threading.Timer(RUN_LIMIT_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
