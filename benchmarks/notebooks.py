"""Run notebooks with other parameters than their own.

    python -m benchmarks.notebooks [NAME]… [--parameters FILE] [--set NAME=VALUE]…

Executed notebooks and what they write go to `runs/<id>/`, which git ignores. A parameter that a notebook does not know
is refused before anything runs (papermill would only warn), and so is a value of another type. With `--refresh` the
notebooks themselves are run instead, as they are, and keep their new outputs. The last line printed is JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from benchmarks.compile_embedder import study_module
from benchmarks.figures import ROOT
from workbench.errors import ConfigurationError

NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"
KERNEL = "python3"
OUTPUT = "output"
"""The parameter that names the folder for what a notebook writes; it lies beside the executed notebook."""

Value = str | int | float | bool
TYPES: dict[str, type[Value]] = {"str": str, "int": int, "float": float, "bool": bool}
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Job:
    """A notebook, and the values that replace its own."""

    path: Path
    parameters: Mapping[str, Value]


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


def known_parameters(path: Path) -> dict[str, type[Value]]:
    """The names of the notebook's parameters and their types."""
    told: dict[str, dict[str, Any]] = study_module("papermill").inspect_notebook(str(path))
    return {name: TYPES.get(each["inferred_type_name"].strip(), str) for name, each in told.items()}


def prepared(path: Path, given: Mapping[str, object]) -> Job:
    """The job with these values, checked against the notebook; raises `ConfigurationError`."""
    known = known_parameters(path)
    for name in given:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ConfigurationError(f"{path.stem} has no parameter {name!r}, only: {there}; nothing was run")
    return Job(path, {name: _as(known[name], name, value) for name, value in given.items()})


def _as(kind: type[Value], name: str, value: object) -> Value:
    """The value as this type; a text from the command line is read, another type is refused."""
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


def given_values(file: Path | None, assignments: Iterable[str]) -> dict[str, object]:
    """The values of a file (a JSON object) and of NAME=VALUE texts, which come last."""
    found: dict[str, object] = {}
    if file:
        try:
            told = orjson.loads(file.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise ConfigurationError(f"cannot read the parameters {file}: {error}; expected a JSON object") from None
        if not isinstance(told, dict):
            raise ConfigurationError(f"the parameters {file} hold a {type(told).__name__}, expected a JSON object")
        found |= told
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


def run(job: Job, folder: Path) -> str | None:
    """Execute the notebook into this folder, with its progress on stderr; gives what went wrong."""
    papermill = study_module("papermill")
    parameters = dict(job.parameters)
    if OUTPUT in known_parameters(job.path):
        parameters.setdefault(OUTPUT, str(folder / job.path.stem))
    target = folder / job.path.name
    try:
        papermill.execute_notebook(
            str(job.path), str(target), parameters=parameters, kernel_name=KERNEL, progress_bar=True
        )
    except papermill.exceptions.PapermillExecutionError as error:
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}; see {target}"
    except RuntimeError as error:  # the kernel died
        return f"{error}; see {target}"
    return None


def refresh(path: Path) -> str | None:
    """Execute the notebook as it is and keep its outputs, without what only this machine knows."""
    nbformat, nbclient = study_module("nbformat"), study_module("nbclient")
    notebook = nbformat.read(path, as_version=4)
    try:
        nbclient.NotebookClient(notebook, kernel_name=KERNEL, record_timing=False).execute()
    except (nbclient.exceptions.CellExecutionError, RuntimeError) as error:
        return str(error).strip().splitlines()[-1]
    kernel = {"display_name": "Python 3", "language": "python", "name": KERNEL}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.write(notebook, path)
    return None


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Notebooks, all when absent; a beginning will do.")] = None,
    parameters: Annotated[Path | None, typer.Option(help="A JSON object of parameters.")] = None,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, after the file's.")] = None,
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = RUNS,
    run_id: Annotated[str, typer.Option("--id", help="Its folder there, the time when absent.")] = "",
    in_place: Annotated[bool, typer.Option("--refresh", help="Run the notebooks themselves, as they are.")] = False,
) -> None:
    """Run notebooks; exits with 1 when one fails, with 2 when something makes no sense."""
    try:
        jobs = [prepared(path, given_values(parameters, assignments or ())) for path in find(names or ())]
        if in_place and any(job.parameters for job in jobs):
            raise ConfigurationError("--refresh runs notebooks as they are: leave the parameters out")
        folder = NOTEBOOKS if in_place else new_folder(runs, run_id)
        failed = {}
        for job in jobs:
            print(f"{job.path.stem} …", file=sys.stderr)
            if said := refresh(job.path) if in_place else run(job, folder):
                failed[job.path.stem] = said
                print(f"{job.path.stem} failed: {said}", file=sys.stderr)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print(orjson.dumps({"folder": str(folder), "run": [job.path.stem for job in jobs], "failed": failed}).decode())
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
