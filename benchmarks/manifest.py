"""What a run of notebooks left behind: `manifest.json`, written anew at every step, so that it is never stale."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from benchmarks.figures import this_run
from workbench.errors import ConfigurationError

MANIFEST, VERDICT = "manifest.json", "verdict.json"
VERSION = 1
PACKAGES = (
    "anthropic", "fastapi", "matplotlib", "numpy", "onnxruntime", "pandas", "papermill", "scikit-learn", "tokenizers",
    "torch", "uvicorn",
)  # fmt: skip

Status = Literal["waiting", "running", "passed", "verdict failed", "died"]
"""`verdict failed`: an assertion did not hold, or kept outputs came out differently; `died`: anything else."""


@dataclass(slots=True)
class Part:
    """One notebook of a run. `verdict` is what it wrote as ``verdict.json``, None when it wrote none.

    `commit` is what it ran at: a run that was resumed may have parts of several.
    """

    name: str
    parameters: dict[str, Any]
    status: Status = "waiting"
    seconds_s: float = 0.0
    message: str = ""
    compared: bool = False
    verdict: dict[str, Any] | None = None
    commit: str = ""


@dataclass(slots=True)
class Manifest:
    """A run: who, when, where, with what, and how each notebook ended."""

    id: str
    started: str
    parameters: str
    parts: list[Part]
    environment: dict[str, Any] = field(default_factory=dict)
    seconds_s: float = 0.0
    complete: bool = False
    version: int = VERSION

    @property
    def passed(self) -> bool:
        """Whether every notebook came to its end and found what it should."""
        return self.complete and all(part.status == "passed" for part in self.parts)

    def save(self, folder: Path) -> None:
        """Write it into the run's folder."""
        told = orjson.dumps(self, option=orjson.OPT_INDENT_2)
        (folder / MANIFEST).write_bytes(told + b"\n")


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a run; raises `ConfigurationError` when there is none that can be read."""
    path = folder / MANIFEST
    try:
        told = orjson.loads(path.read_bytes())
        if told["version"] != VERSION:
            raise ConfigurationError(f"{path} has version {told['version']}, expected {VERSION}; run it again")
        parts = [Part(**part) for part in told.pop("parts")]
        return Manifest(parts=parts, **told)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; expected the folder of a run") from None
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise ConfigurationError(f"{path} is no manifest of a run ({error!r}); run it again") from None


def read_verdict(folder: Path) -> dict[str, Any] | None:
    """What a notebook wrote into its folder, None when nothing."""
    path = folder / VERDICT
    found: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.is_file() else None
    return found


def environment() -> dict[str, Any]:
    """Machine, date, commit, and the versions of what matters."""
    return this_run() | {"packages": _versions()}


def _versions() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
