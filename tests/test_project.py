"""The project's frame: what is declared, pinned, shipped and promised is what is there."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from fastapi.routing import APIRoute
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

from workbench import errors
from workbench.proxy import admin, routes, thinkers

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = PROJECT["project"]["name"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
STUDY_ONLY = {"torch", "sentence-transformers", "transformers", "pandas", "matplotlib", "jupyterlab"}
LOADED_BY_UVICORN = {"httptools", "uvloop"}


def pins() -> dict[str, str]:
    """Canonical name → exact version, from constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def closure(*extras: str) -> dict[str, str]:
    """Canonical name → installed version of everything that the project with these extras asks for."""
    found: dict[str, str] = {}
    waiting = [(NAME, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        distribution = importlib.metadata.distribution(name)
        found[name] = distribution.version
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            asked = {(canonicalize_name(requirement.name), part) for part in ("", *requirement.extras)} - seen
            seen |= asked
            waiting += asked
    del found[NAME]
    return found


def python_files() -> list[Path]:
    folders = [ROOT / name for name in ("workbench", "benchmarks", "tests")]
    return [ROOT / "serve.py", *(path for folder in folders for path in sorted(folder.rglob("*.py")))]


# ── what is installed ───────────────────────────────────────────────────────────────────────────────────────


def test_what_serves_asks_for_no_torch() -> None:
    asked = closure("embedded")
    assert not asked.keys() & STUDY_ONLY
    assert not [name for name in asked if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_torch_is_not_importable_where_the_workbench_serves() -> None:
    if importlib.util.find_spec("sentence_transformers"):
        pytest.skip("the study extra is installed here, and it brings torch")
    assert importlib.util.find_spec("torch") is None


def test_serving_imports_nothing_of_the_study_extra() -> None:
    listing = "import sys, workbench.proxy.app; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", listing]
    modules = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {name.replace("-", "_") for name in STUDY_ONLY} & set(modules)


def test_constraints_pin_everything_installed_exactly() -> None:
    weights = [canonicalize_name(name) for name in PROJECT["dependency-groups"]["weights"]]
    installed = closure("embedded", "test") | {name: importlib.metadata.version(name) for name in weights}
    assert {name: version for name, version in installed.items() if pins().get(name) != version} == {}


def test_constraints_pin_every_declared_dependency_and_the_installer() -> None:
    declared = PROJECT["project"]["dependencies"] + [entry for extra in EXTRAS.values() for entry in extra]
    names = {canonicalize_name(Requirement(entry).name) for entry in declared} | {"pip", "setuptools"}
    assert names - pins().keys() == set()
    assert pins()["torch"] == "2.13.0"  # any other brings gigabytes of CUDA to the build machines


def test_constraints_name_versions_and_nothing_of_the_machine_that_made_them() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    strange = [line for line in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)]
    assert strange == []


def test_every_base_dependency_is_used_by_what_serves() -> None:
    sources = "\n".join(path.read_text() for path in [ROOT / "serve.py", *(ROOT / "workbench").rglob("*.py")])
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", sources, flags=re.MULTILINE))
    packages = importlib.metadata.packages_distributions()
    used = {canonicalize_name(name) for module in imported for name in packages.get(module, [])}
    declared = {canonicalize_name(Requirement(entry).name) for entry in PROJECT["project"]["dependencies"]}
    assert declared - LOADED_BY_UVICORN - used == set()


# ── environment.yml ─────────────────────────────────────────────────────────────────────────────────────────


def test_conda_entries_parse_and_add_no_second_list_of_dependencies() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    specs = [MatchSpec(entry) for entry in environment["dependencies"] if isinstance(entry, str)]
    names = [spec.name.normalized for spec in specs if spec.name]
    assert names == ["python", "pip", "redis-server", "ollama"]
    (pip_lines,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip_lines[0] == "-c constraints.txt"
    (extras,) = re.findall(r"^-e \.\[(.+)\]$", "\n".join(pip_lines[1:]))
    assert set(extras.split(",")) <= EXTRAS.keys()


# ── what is shipped ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_wheel_ships_every_file_of_the_package() -> None:
    package = ROOT / "workbench"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["workbench"]
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files - shipped == set()


def test_every_module_says_what_it_is_for() -> None:
    trees = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in python_files()}
    assert [path for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^ {4}[│├└─ ]*(\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    defined = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert drawn == defined


# ── what outsiders rely on ──────────────────────────────────────────────────────────────────────────────────

ROUTES = """
    POST /v1/messages  POST /v1/messages/count_tokens  GET /v1/models  GET /v1/models/{}
    GET /  HEAD /  HEAD /api/hello  POST /api/event_logging/batch  GET /healthz  GET /readyz
    GET /metrics  GET /api/stats  GET /api/exchanges  GET /api/entries  DELETE /api/entries/{}
    POST /api/entries/{}/wrong  GET /api/audit  POST /api/audit/reopen  POST /api/audit/adopt  POST /api/explain
    GET /api/thinkers  POST /api/thinkers  DELETE /api/thinkers/{}  POST /api/thinkers/{}/pull
"""
FLAGS = ("--host", "--port", "--store", "--thinker", "--policy", "--semantic", "--fleet", "--config")


def test_the_routes_that_outsiders_rely_on_are_served() -> None:
    found = [
        route
        for route in [*routes.router.routes, *admin.router.routes, *thinkers.router.routes]
        if isinstance(route, APIRoute)
    ]
    served = {f"{method} {re.sub('{.*?}', '{}', route.path)}" for route in found for method in route.methods or ()}
    assert set(re.findall(r"[A-Z]+ \S+", ROUTES)) - served == set()


def test_the_flags_that_outsiders_rely_on_are_accepted() -> None:
    command = [sys.executable, "serve.py", "--help"]
    wide = {"COLUMNS": "200", "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    text = subprocess.run(command, cwd=ROOT, env=wide, capture_output=True, text=True, check=True).stdout
    assert [flag for flag in FLAGS if flag not in text] == []


# ── make ────────────────────────────────────────────────────────────────────────────────────────────────────


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` with its own inherited flags taken away, since these tests may run below `make test`."""
    command = ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_lists_its_targets() -> None:
    listed = [line.split()[0] for line in make("help").stdout.splitlines()]
    assert {"serve", "test", "lint", "bench"} <= set(listed)


def test_a_python_that_is_too_old_gets_one_line() -> None:
    result = make("serve", "PYTHON=/bin/false", "VENV=/nonexistent")
    first, *rest = result.stderr.splitlines()
    assert first.startswith("Needs Python 3.11 or newer with venv, seen")
    assert result.returncode == 2
    assert len(rest) == 1  # make's own closing line
