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
from benchmarks.notebooks import find, given_values, known_parameters, new_folder, prepared
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


def test_values_of_the_command_line_come_after_the_files(tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text('{"alpha": 0.02, "seed": 1}')
    assert given_values(file, ["seed=2", "dataset=a=b"]) == {"alpha": 0.02, "seed": "2", "dataset": "a=b"}
    with pytest.raises(ConfigurationError, match="'seed' sets nothing"):
        given_values(None, ["seed"])
    for text, expected in (("{", "cannot read"), ("[]", "hold a list")):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=expected):
            given_values(file, [])


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


PARAMETERS = 'alpha: float = 0.5  # one\nseed: int = 3  # two\nfast: bool = False  # three\noutput: str = ""  # four'


@pytest.mark.usefixtures("papermill")
def test_values_become_what_the_notebook_says(tmp_path: Path) -> None:
    path = notebook(tmp_path, PARAMETERS)
    assert known_parameters(path) == {"alpha": float, "seed": int, "fast": bool, "output": str}
    job = prepared(path, {"alpha": "1", "seed": 4, "fast": "true", "output": "7"})
    assert job.parameters == {"alpha": 1.0, "seed": 4, "fast": True, "output": "7"}


@pytest.mark.usefixtures("papermill")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"alhpa": "1"}, "made has no parameter 'alhpa', only: alpha, seed, fast, output; nothing was run"),
        ({"alpha": "much"}, "the parameter 'alpha' is 'much', expected a float"),
        ({"seed": 1.5}, "the parameter 'seed' is 1.5, expected a int"),
        ({"fast": "perhaps"}, "the parameter 'fast' is 'perhaps', expected a bool"),
        ({"output": 3}, "the parameter 'output' is 3, expected a str"),
    ],
)
def test_what_a_notebook_does_not_know_is_refused(tmp_path: Path, given: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepared(notebook(tmp_path, PARAMETERS), given)
    assert str(caught.value).startswith(expected)


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, on this notebook."""
    command = [sys.executable, "-m", "benchmarks.notebooks", str(path), "--runs", str(path.parent / "runs"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(path.parent / "ipython")}
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent, env=environment, check=False)


@pytest.mark.usefixtures("papermill")
def test_unknown_parameter_runs_nothing(tmp_path: Path) -> None:
    done = run(notebook(tmp_path, PARAMETERS, "1 / 0"), "--set", "alhpa=1")
    assert done.returncode == 2
    assert "made has no parameter 'alhpa'" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("papermill")
def test_a_failing_notebook_is_named_and_exits_with_one(tmp_path: Path) -> None:
    done = run(notebook(tmp_path, PARAMETERS, "1 / 0"), "--id", "here")
    assert done.returncode == 1, done.stderr
    told = orjson.loads(done.stdout.splitlines()[-1])
    assert told["failed"]["made"].startswith("cell 3: ZeroDivisionError")
    assert (tmp_path / "runs" / "here" / "made.ipynb").exists()


@pytest.mark.usefixtures("papermill")
def test_a_notebook_writes_beside_its_executed_copy(tmp_path: Path) -> None:
    path = notebook(
        tmp_path, PARAMETERS, "import pathlib\npathlib.Path(output).mkdir()\nassert (alpha, seed) == (0.25, 3)"
    )
    before = path.read_bytes()
    done = run(path, "--set", "alpha=0.25", "--id", "here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "here" / "made").is_dir()
    assert path.read_bytes() == before


@pytest.mark.usefixtures("papermill")
def test_refreshing_keeps_outputs_and_nothing_of_the_machine(tmp_path: Path) -> None:
    path = notebook(tmp_path, PARAMETERS, "print(seed)")
    assert run(path, "--refresh", "--set", "seed=1").returncode == 2
    done = run(path, "--refresh")
    assert done.returncode == 0, done.stderr
    kept = orjson.loads(path.read_bytes())
    assert kept["cells"][1]["outputs"][0]["text"] in ("3\n", ["3\n"])
    assert [cell["execution_count"] for cell in kept["cells"]] == [1, 2]
    assert kept["metadata"]["language_info"] == {"name": "python"}
