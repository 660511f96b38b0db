"""The notebooks keep the house rules, and their runner refuses what they do not know."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.figures import ROOT
from benchmarks.manifest import load_manifest
from benchmarks.notebooks import (
    KINDS,
    assigned_values,
    file_values,
    find,
    known_parameters,
    new_folder,
    parameter_file,
    prepared,
)
from workbench.errors import ConfigurationError

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
LARGEST_BYTES = 200_000


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(path.read_bytes())["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEachNotebook:
    def test_has_one_typed_and_commented_parameters_cell(self, path: Path) -> None:
        tagged = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", ())]
        assert len(tagged) == 1
        lines = source(tagged[0]).splitlines()
        assert lines
        assert all(": " in line.split("=")[0] and "  # " in line for line in lines)

    def test_defines_nothing(self, path: Path) -> None:
        for cell in cells(path):
            assert not [node for node in ast.walk(ast.parse(source(cell))) if isinstance(node, DEFINITIONS)]

    def test_was_run_from_a_fresh_kernel_or_not_at_all(self, path: Path) -> None:
        counts = [cell["execution_count"] for cell in cells(path)]
        assert counts in ([None] * len(counts), list(range(1, len(counts) + 1)))

    def test_is_small_and_knows_no_machine(self, path: Path) -> None:
        text = path.read_text()
        assert len(text.encode()) <= LARGEST_BYTES
        for place in (str(ROOT), str(Path.home()), "/tmp/", "site-packages"):  # noqa: S108  # looked for, not used
            assert place not in text
        assert orjson.loads(text)["metadata"]["kernelspec"]["name"] == "python3"


def test_names_are_found_by_their_beginning() -> None:
    assert [path.stem for path in find(["01"])] == ["01_tune_threshold"]
    assert [path.stem for path in find(["notebooks/01_tune_threshold.ipynb"])] == ["01_tune_threshold"]
    assert find([]) == NOTEBOOKS
    with pytest.raises(ConfigurationError, match="'nothing' names 0 notebooks, expected one of: 00_train_verifier"):
        find(["nothing"])
    with pytest.raises(ConfigurationError, match="'0' names"):
        find(["0"])


def test_values_of_the_command_line_are_names_and_texts() -> None:
    assert assigned_values(["seed=2", "dataset=a=b"]) == {"seed": "2", "dataset": "a=b"}
    with pytest.raises(ConfigurationError, match="'seed' sets nothing"):
        assigned_values(["seed"])


def test_a_parameter_file_names_only_notebooks_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "parameters.toml"
    file.write_text("[01_tune_threshold]\nalpha = 0.02\n")
    assert file_values(file, NOTEBOOKS) == {"01_tune_threshold": {"alpha": 0.02}}
    for text, expected in (
        ("[", "cannot read the parameters"),
        ("[01_tune_treshold]\nalpha = 1\n", "no notebook '01_tune_treshold', only: 00_train_verifier"),
        ("alpha = 1\n", "'alpha' stands in no table, expected a line \\[00_train_verifier\\]"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=expected):
            file_values(file, NOTEBOOKS)
    with pytest.raises(ConfigurationError, match="cannot read the parameters"):
        file_values(tmp_path / "absent.toml", NOTEBOOKS)


@pytest.mark.usefixtures("papermill")
@pytest.mark.parametrize("name", ["smoke", "full"])
def test_the_own_parameter_files_fit_the_notebooks(name: str) -> None:
    given = file_values(parameter_file(name), NOTEBOOKS)
    for path in NOTEBOOKS:
        prepared(path, given.get(path.stem, {}))


def test_a_run_never_writes_into_an_earlier_one(tmp_path: Path) -> None:
    assert new_folder(tmp_path) != new_folder(tmp_path)
    assert new_folder(tmp_path, "smoke") == new_folder(tmp_path, "smoke") == tmp_path / "smoke"


# ── with papermill ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def papermill() -> None:
    pytest.importorskip("papermill", reason="papermill is in the study extra")


def notebook(folder: Path, *sources: str) -> Path:
    """A notebook whose first cell holds the parameters."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{place}",
            "metadata": {"tags": ["parameters"] if place == 0 else []},
            "source": text,
            "outputs": [],
            "execution_count": None,
        }
        for place, text in enumerate(sources)
    ]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path = folder / "made.ipynb"
    path.write_bytes(orjson.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


PARAMETERS = """alpha: float = 0.5  # one
seed: int = 3  # two
fast: bool = False  # three
sizes: list[int] = [1, 2]  # four
output: str = ""  # five"""


@pytest.mark.usefixtures("papermill")
def test_values_become_what_the_notebook_says(tmp_path: Path) -> None:
    path = notebook(tmp_path, PARAMETERS)
    kinds = {"alpha": "float", "seed": "int", "fast": "bool", "sizes": "list[int]", "output": "str"}
    assert known_parameters(path) == {name: KINDS[kind] for name, kind in kinds.items()}
    job = prepared(path, {"alpha": "1", "seed": 4, "fast": "true", "sizes": "1, 20", "output": "7"})
    assert job.parameters == {"alpha": 1.0, "seed": 4, "fast": True, "sizes": [1, 20], "output": "7"}


@pytest.mark.usefixtures("papermill")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"alhpa": "1"}, "made has no parameter 'alhpa', only: alpha, seed, fast, sizes, output; nothing was run"),
        ({"alpha": "much"}, "the parameter 'alpha' is 'much', expected a float"),
        ({"seed": 1.5}, "the parameter 'seed' is 1.5, expected a int"),
        ({"fast": "perhaps"}, "the parameter 'fast' is 'perhaps', expected a bool"),
        ({"sizes": "1,a"}, "the parameter 'sizes' is 'a', expected a int"),
        ({"sizes": 3}, "the parameter 'sizes' is 3, expected a list of int"),
        ({"output": 3}, "the parameter 'output' is 3, expected a str"),
    ],
)
def test_what_a_notebook_does_not_know_is_refused(tmp_path: Path, given: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepared(notebook(tmp_path, PARAMETERS), given)
    assert str(caught.value).startswith(expected)


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of this notebook."""
    return report(path, "run", str(path), "--runs", str(path.parent / "runs"), *arguments)


def report(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in the notebook's folder."""
    command = [sys.executable, "-m", "benchmarks.report", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(path.parent / "ipython")}
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent, env=environment, check=False)


@pytest.mark.usefixtures("papermill")
def test_unknown_parameter_runs_nothing(tmp_path: Path) -> None:
    done = run(notebook(tmp_path, PARAMETERS, "1 / 0"), "--set", "alhpa=1")
    assert done.returncode == 2
    assert "made has no parameter 'alhpa'" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("papermill")
def test_a_notebook_that_dies_keeps_what_it_has_and_marks_the_run(tmp_path: Path) -> None:
    writes = "import pathlib\npathlib.Path(output).mkdir()\npathlib.Path(output, 'part').write_text('kept')"
    done = run(notebook(tmp_path, PARAMETERS, writes, "1 / 0"), "--id", "here")
    assert done.returncode == 1, done.stderr
    told = orjson.loads(done.stdout.splitlines()[-1])
    assert told["failed"]["made"].startswith("cell 4: ZeroDivisionError")
    folder = tmp_path / "runs" / "here"
    assert (folder / "made" / "part").read_text() == "kept"
    assert load_manifest(folder).parts[0].status == "died"
    assert "ZeroDivisionError" in (folder / "report.html").read_text()


@pytest.mark.usefixtures("papermill")
def test_a_verdict_that_fails_fails_the_run(tmp_path: Path) -> None:
    done = run(notebook(tmp_path, PARAMETERS, "assert seed > 3, 'too few'"), "--id", "here")
    assert done.returncode == 1, done.stderr
    manifest = load_manifest(tmp_path / "runs" / "here")
    assert (manifest.parts[0].status, manifest.passed, manifest.complete) == ("verdict failed", False, True)
    assert "too few" in manifest.parts[0].message


@pytest.mark.usefixtures("papermill")
def test_a_resumed_run_keeps_what_passed_with_the_same_parameters(tmp_path: Path) -> None:
    counts = "import pathlib\nwith pathlib.Path('count').open('a') as file: print('once', file=file)"
    path = notebook(tmp_path, PARAMETERS, counts)
    for given in ("--id=here", "--id=here --resume", "--id=here --resume --set seed=4"):
        assert run(path, *given.split()).returncode == 0
    assert (tmp_path / "count").read_text().splitlines() == ["once", "once"]
    refused = run(path, "--resume", "--id", "nowhere")
    assert (refused.returncode, "cannot read" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("papermill")
def test_a_notebook_writes_beside_its_executed_copy(tmp_path: Path) -> None:
    verdict = "pathlib.Path(output, 'verdict.json').write_text('{\"rate\": 0.5}')"
    path = notebook(
        tmp_path,
        PARAMETERS,
        f"import pathlib\npathlib.Path(output).mkdir()\n{verdict}\nassert (alpha, seed) == (0.25, 3)",
    )
    before = path.read_bytes()
    done = run(path, "--set", "alpha=0.25", "--id", "here")
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before
    manifest = load_manifest(tmp_path / "runs" / "here")
    assert manifest.passed
    assert (manifest.parts[0].verdict, manifest.parts[0].compared) == ({"rate": 0.5}, False)


@pytest.mark.usefixtures("papermill")
def test_refreshing_keeps_outputs_and_nothing_of_the_machine(tmp_path: Path) -> None:
    path = notebook(tmp_path, PARAMETERS, "print(seed)")
    done = report(path, "refresh", str(path))
    assert done.returncode == 0, done.stderr
    kept = orjson.loads(path.read_bytes())
    assert kept["cells"][1]["outputs"][0]["text"] in ("3\n", ["3\n"])
    assert [cell["execution_count"] for cell in kept["cells"]] == [1, 2]
    assert kept["metadata"]["language_info"] == {"name": "python"}


@pytest.mark.usefixtures("papermill")
def test_outputs_that_are_not_as_kept_fail_the_run_as_they_fail_nbval(tmp_path: Path) -> None:
    pytest.importorskip("nbval", reason="nbval is in the test extra")
    path = notebook(tmp_path, PARAMETERS, "print(seed)", "import time\ntime.time()")
    told = orjson.loads(path.read_bytes())
    told["cells"][2]["metadata"]["tags"] = ["nbval-ignore-output"]
    path.write_bytes(orjson.dumps(told))
    assert report(path, "refresh", str(path)).returncode == 0
    assert run(path, "--id", "same").returncode == 0
    assert nbval(path).returncode == 0
    path.write_text(path.read_text().replace('"3\\n"', '"4\\n"'))
    done = run(path, "--id", "other")
    assert done.returncode == 1
    assert "code cell 2: stdout was '4\\n', is '3\\n'" in orjson.loads(done.stdout.splitlines()[-1])["failed"]["made"]
    assert nbval(path).returncode == 1


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    """nbval's own word on it."""
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(path)]
    environment = os.environ | {"IPYTHONDIR": str(path.parent / "ipython")}
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent, env=environment, check=False)
