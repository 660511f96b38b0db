"""`make notebooks` and `make report`: run the notebooks, and leave one page that says what came of it.

    python -m benchmarks.report run [NAME]… [--parameters smoke|full|FILE] [--set NAME=VALUE]… [--resume --id ID]
    python -m benchmarks.report compare A B
    python -m benchmarks.report refresh [NAME]…

A run goes to `runs/<id>/`, which git ignores: the executed notebooks, what they wrote, `manifest.json` and the page
`report.html`. Unknown parameters are refused before anything runs. A notebook that dies keeps what it has, marks the
run, and does not keep the others from running. A run of hours that was interrupted is resumed: what had passed with the
same parameters is kept, with the commit that it ran at. The last line printed is JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from benchmarks import notebooks
from benchmarks.comparing import compared, comparison_table
from benchmarks.manifest import Manifest, Part, environment, load_manifest, read_verdict
from benchmarks.notebooks import NOTEBOOKS, RUNS, Job, assigned_values, file_values, find, new_folder, prepared
from benchmarks.outputs import differences
from benchmarks.report_page import write_page
from workbench.errors import ConfigurationError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run notebooks, report on them, compare two runs.")

Names = Annotated[list[str] | None, typer.Argument(help="Notebooks, all when absent; a beginning will do.")]


@app.command()
def run(
    names: Names = None,
    parameters: Annotated[str, typer.Option(help="smoke, full, or TOML with a table for each notebook.")] = "smoke",
    assignments: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, after the file's.")] = None,
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = RUNS,
    run_id: Annotated[str, typer.Option("--id", help="Its folder there, the time when absent.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Keep what has passed in the run --id.")] = False,
) -> None:
    """Run notebooks; exits with 1 when one fails, with 2 when something makes no sense."""
    with _refusing():
        jobs = _jobs(names or (), parameters, assignments or ())
        passed = _passed(runs, run_id) if resume else []
        folder = new_folder(runs, run_id)
        manifest = carry_out(jobs, folder, parameters=parameters, passed=passed)
    page = folder / "report.html"
    failed = {part.name: part.message or part.status for part in manifest.parts if part.status != "passed"}
    told = {"folder": str(folder), "report": str(page), "run": [job.name for job in jobs], "failed": failed}
    print(orjson.dumps(told).decode())
    if not manifest.passed:
        raise typer.Exit(1)


@app.command()
def refresh(names: Names = None) -> None:
    """Run the notebooks themselves, as they are, and keep their new outputs; exits with 1 when one fails."""
    failed = {}
    with _refusing():
        for path in find(names or ()):
            print(f"{path.stem} …", file=sys.stderr)
            if wrong := notebooks.refresh(path):
                failed[path.stem] = wrong.message
    print(orjson.dumps({"failed": failed}).decode())
    if failed:
        raise typer.Exit(1)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A run: its folder, or its id below `runs`.")],
    b: Annotated[str, typer.Argument(help="Another, for instance a later one.")],
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = RUNS,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in both.")] = False,
) -> None:
    """What two runs measured, side by side, with the interval at 95 % of each difference."""
    with _refusing():
        before, after = (load_manifest(_run_folder(name, runs)) for name in (a, b))
        rows = compared(before, after)
    console = Console(width=None if sys.stdout.isatty() else 160)
    comparison_table(before, after, rows, console=console, everything=everything)


class _refusing:
    """What makes no sense ends the command with 2 and one line."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigurationError):
            print(error, file=sys.stderr)
            raise typer.Exit(2) from None


def _jobs(names: Sequence[str], parameters: str, assignments: Sequence[str]) -> list[Job]:
    paths, given = find(names), assigned_values(assignments)
    by_name = file_values(notebooks.parameter_file(parameters), [*paths, *NOTEBOOKS.glob("*.ipynb")])
    return [prepared(path, by_name.get(path.stem, {}) | given) for path in paths]


def _passed(runs: Path, run_id: str) -> list[Part]:
    """What an earlier run into this folder has found; raises `ConfigurationError`."""
    if not run_id:
        raise ConfigurationError("--resume needs --id, the name of the run's folder")
    return [part for part in load_manifest(runs / run_id).parts if part.status == "passed"]


def _run_folder(name: str, runs: Path) -> Path:
    return Path(name) if Path(name).is_dir() else runs / name


# ── a run ───────────────────────────────────────────────────────────────────────────────────────────────────


def carry_out(jobs: Sequence[Job], folder: Path, *, parameters: str, passed: Sequence[Part] = ()) -> Manifest:
    """Run these into `folder` one after the other; also when it is interrupted, manifest and page say what there is.

    Of `passed`, what had the same parameters is not run again.
    """
    told = environment()
    kept = {part.name: part for part in passed}
    parts = [_kept(job, kept.get(job.name)) or _new(job, told["commit"]) for job in jobs]
    manifest = Manifest(folder.name, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", parameters, parts, told)
    try:
        for number, (job, part) in enumerate(zip(jobs, parts, strict=True), 1):
            if part.status == "passed":
                print(f"{number} of {len(jobs)}: {job.name} passed before", file=sys.stderr)
                continue
            print(f"{number} of {len(jobs)}: {job.name} …", file=sys.stderr)
            part.status = "running"
            manifest.save(folder)
            _carry_out(job, part, folder)
            if part.message:
                print(f"{job.name}: {part.message}", file=sys.stderr)
        manifest.complete = True
    finally:
        manifest.seconds_s = round(sum(part.seconds_s for part in parts), 1)
        manifest.save(folder)
        write_page(manifest, folder)
    return manifest


def _new(job: Job, commit: str) -> Part:
    return Part(job.name, dict(job.parameters), commit=commit)


def _kept(job: Job, part: Part | None) -> Part | None:
    return part if part and part.parameters == dict(job.parameters) else None


def _carry_out(job: Job, part: Part, folder: Path) -> None:
    began_s = time.monotonic()
    for stale in (folder / job.path.name, folder / job.name / "verdict.json"):
        stale.unlink(missing_ok=True)  # of an earlier run into the same folder
    wrong = notebooks.run(job, folder)
    part.seconds_s = round(time.monotonic() - began_s, 1)
    part.verdict = read_verdict(folder / job.name)
    if wrong:
        part.status, part.message = "verdict failed" if wrong.is_verdict else "died", wrong.message
        return
    part.compared = not job.parameters
    other = differences(job.path, folder / job.path.name) if part.compared else []
    part.status, part.message = ("verdict failed", "; ".join(other)) if other else ("passed", "")


if __name__ == "__main__":
    app()
