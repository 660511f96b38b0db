"""The project's notebooks: which there are, what parameters they take, and how one is executed.

`benchmarks.report` is the command. A parameter that a notebook does not know is refused before anything runs
(papermill would only warn), and so is a value of another type.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.compile_embedder import study_module
from benchmarks.figures import ROOT
from benchmarks.outputs import as_shown
from workbench.errors import ConfigurationError

NOTEBOOKS = ROOT / "notebooks"
PARAMETERS = ROOT / "benchmarks" / "parameters"
RUNS = ROOT / "runs"
KERNEL = "python3"
OUTPUT = "output"
"""The parameter that names the folder for what a notebook writes; it lies beside the executed notebook."""

Scalar = str | int | float | bool
Value = Scalar | list[Scalar]
Given = Mapping[str, object]
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a parameter: one of these, or a list of them."""

    item: type[Scalar]
    is_list: bool = False

    def __str__(self) -> str:
        return f"list of {self.item.__name__}" if self.is_list else self.item.__name__


KINDS = {of.__name__: Kind(of) for of in (str, int, float, bool)}
KINDS |= {f"list[{name}]": Kind(kind.item, is_list=True) for name, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Job:
    """A notebook, and the values that replace its own."""

    path: Path
    parameters: Mapping[str, Value]

    @property
    def name(self) -> str:
        """What it is called in runs and parameter files."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a notebook did not come to its end. `is_verdict`: an assertion did not hold."""

    message: str
    is_verdict: bool = False


def find(names: Sequence[str]) -> list[Path]:
    """The notebooks at these paths, or whose names begin so; all without any. Raises `ConfigurationError`."""
    every = sorted(NOTEBOOKS.glob("*.ipynb"))
    found = []
    for name in names:
        if Path(name).suffix == ".ipynb" and Path(name).is_file():
            found.append(Path(name))
            continue
        alike = [path for path in every if path.stem.startswith(Path(name).stem)]
        if len(alike) != 1:
            there = ", ".join(path.stem for path in alike or every) or "none"
            raise ConfigurationError(f"{name!r} names {len(alike)} notebooks, expected one of: {there}")
        found += alike
    return found or every


def known_parameters(path: Path) -> dict[str, Kind]:
    """The names of the notebook's parameters and their types."""
    told: dict[str, dict[str, Any]] = study_module("papermill").inspect_notebook(str(path))
    return {name: KINDS.get(each["inferred_type_name"].strip(), Kind(str)) for name, each in told.items()}


def prepared(path: Path, given: Given) -> Job:
    """The job with these values, checked against the notebook; raises `ConfigurationError`."""
    known = known_parameters(path)
    for name in given:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ConfigurationError(f"{path.stem} has no parameter {name!r}, only: {there}; nothing was run")
    return Job(path, {name: _as(known[name], name, value) for name, value in given.items()})


def _as(kind: Kind, name: str, value: object) -> Value:
    """The value as this type; a text from the command line is read, another type is refused."""
    if not kind.is_list:
        return _as_scalar(kind.item, name, value)
    values = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise ConfigurationError(f"the parameter {name!r} is {value!r}, expected a {kind}; nothing was run")
    return [_as_scalar(kind.item, name, each) for each in values]


def _as_scalar(kind: type[Scalar], name: str, value: object) -> Scalar:
    try:
        if isinstance(value, str) and kind is not str:
            return TRUTH[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        pass
    else:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is kind:
            return value
    raise ConfigurationError(f"the parameter {name!r} is {value!r}, expected a {kind.__name__}; nothing was run")


def parameter_file(named: str) -> Path:
    """`smoke` and `full` are the project's own; anything else is a path."""
    own = PARAMETERS / f"{named}.toml"
    return own if own.is_file() else Path(named)


def file_values(file: Path, known: Iterable[Path]) -> dict[str, dict[str, object]]:
    """A parameter file's values by notebook: TOML, a table for each; raises `ConfigurationError`."""
    try:
        told = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"cannot read the parameters {file}: {error}; expected TOML with a table for each notebook"
        ) from None
    names = {path.stem for path in known}
    for name, values in told.items():
        if not isinstance(values, dict):
            first = min(names, default="name")
            raise ConfigurationError(f"{file}: {name!r} stands in no table, expected a line [{first}] above it")
        if name not in names:
            there = ", ".join(sorted(names))
            raise ConfigurationError(f"{file}: there is no notebook {name!r}, only: {there}; nothing was run")
    return told


def assigned_values(assignments: Iterable[str]) -> dict[str, object]:
    """The values of NAME=VALUE texts; raises `ConfigurationError`."""
    found: dict[str, object] = {}
    for each in assignments:
        name, sign, value = each.partition("=")
        if not sign:
            raise ConfigurationError(f"{each!r} sets nothing, expected NAME=VALUE")
        found[name.strip()] = value
    return found


def new_folder(runs: Path, name: str = "") -> Path:
    """A folder for this run below `runs`, by this name or by the time."""
    folder = runs / (name or f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    folder.mkdir(parents=True, exist_ok=bool(name))
    return folder


def run(job: Job, folder: Path) -> Failed | None:
    """Execute the notebook into this folder, with its progress on stderr; gives what went wrong."""
    papermill = study_module("papermill")
    parameters = dict(job.parameters)
    if OUTPUT in known_parameters(job.path):
        parameters.setdefault(OUTPUT, str(folder / job.name))
    target = folder / job.path.name
    try:
        papermill.execute_notebook(
            str(job.path), str(target), parameters=parameters, kernel_name=KERNEL, progress_bar=True
        )
    except papermill.exceptions.PapermillExecutionError as error:
        said = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
        return Failed(said, is_verdict=error.ename == "AssertionError")
    except RuntimeError as error:  # the kernel died
        return Failed(str(error))
    return None


def refresh(path: Path) -> Failed | None:
    """Execute the notebook as it is and keep its outputs, without what only this machine knows."""
    nbformat, nbclient = study_module("nbformat"), study_module("nbclient")
    notebook = nbformat.read(path, as_version=4)
    try:
        nbclient.NotebookClient(notebook, kernel_name=KERNEL, record_timing=False).execute()
    except (nbclient.exceptions.CellExecutionError, RuntimeError) as error:
        return Failed(str(error).strip().splitlines()[-1])
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.from_dict(output) for output in as_shown(cell.outputs)]
    kernel = {"display_name": "Python 3", "language": "python", "name": KERNEL}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.write(notebook, path)
    return None
