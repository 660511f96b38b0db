"""A virtual environment a peer, made on demand, with exact versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.children import ROOT

ENVIRONMENTS = ROOT / ".venv" / "peers"
INSTALL_LIMIT_S = 300.0


class PeerSkipped(Exception):  # no error: the run goes on, and says so
    """This peer cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a peer runs: its interpreter, and everything that is installed beside it, by name."""

    python: Path
    packages: dict[str, str]

    def program(self, name: str) -> str:
        """A command that the peer brought."""
        return str(self.python.parent / name)

    def version_of(self, requirements: Sequence[str]) -> str:
        """The version of the first requirement's package; empty when there is none."""
        wanted = re.split(r"[\[=]", requirements[0])[0].lower() if requirements else ""
        return next((found for name, found in self.packages.items() if name.lower() == wanted), "")


def own_environment() -> Environment:
    """The one that this runs in."""
    return Environment(Path(sys.executable), {})


def environment(name: str, requirements: Sequence[str], *, below: Path = ENVIRONMENTS) -> Environment:
    """The environment with these requirements, kept for the next time; raises `PeerSkipped`."""
    folder, wanted = below / name, "\n".join(requirements) + "\n"
    python, marker = folder / "bin" / "python", folder / "requirements.txt"
    if not (marker.exists() and marker.read_text() == wanted):
        _make(folder, python, requirements)
        marker.write_text(wanted)
    listed = _run([str(python), "-m", "pip", "list", "--format", "json"], limit_s=60)
    return Environment(python, {each["name"]: each["version"] for each in orjson.loads(listed)})


def _make(folder: Path, python: Path, requirements: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    try:
        _run([str(python), "-m", "pip", "install", "-qq", *requirements], limit_s=INSTALL_LIMIT_S)
    except PeerSkipped:
        shutil.rmtree(folder)  # half an environment would be taken for a whole one
        raise


def _run(command: Sequence[str], *, limit_s: float) -> bytes:
    """Its stdout; what it complains of goes to our stderr, since it may name what no results file should."""
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=limit_s).stdout  # noqa: S603  # pip
    except subprocess.TimeoutExpired:
        raise PeerSkipped(f"not installed within {limit_s:g} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerSkipped(f"could not be installed ({type(error).__name__}); pip's own words are on stderr") from None
