"""`make bench`: that it measures and cleans up, never how fast; and what figures, tables and the README make of it."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from benchmarks.figures import README, RESULTS, Figure, Target, markdown, print_table, save, update_readme

ROOT = Path(__file__).parents[1]
LIMIT_S = 120
RUN: dict[str, Any] = {"machine": {"cpu": "Z80", "cores": 1}, "python": "3.11", "date": "2026-01-01", "commit": "abc"}


def bench(*options: str) -> subprocess.Popen[str]:
    """A run in a process group of its own, so that what it leaves behind can be seen."""
    command = [sys.executable, "-m", "benchmarks.bench", "--quick", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def assert_nothing_is_left_of(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    pytest.fail("a process that the benchmark started still ran")


TUNNELS = ("asyncssh", "ssh") if shutil.which("ssh") else ("asyncssh",)


def figure(*rounds: float, limit: float = 2, at_least: bool = False, **fields: Any) -> Figure:
    target = Target(limit, at_least=at_least)
    return Figure("name", "what it is", list(rounds), "ms", samples=9, target=target, **fields)


def test_a_quick_run_measures_every_figure_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = bench("--out", str(tmp_path / "bench.json"))
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    assert_nothing_is_left_of(process)
    rows = [orjson.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert rows == orjson.loads((tmp_path / "bench.json").read_bytes())
    assert [row["name"] for row in rows if row["target"]] == [
        "ready", "exact_2kb_p50", "exact_2kb_p99", "exact_2kb_per_s", "exact_49kb_p50", "semantic_p50", "semantic_p99",
        "miss_added_ttfb", "miss_added_total", "miss_per_s",
        "miss_among_added_ttfb", "miss_among_added_total", "miss_among_per_s",
        "miss_tool_turn_added_ttfb", "miss_tool_turn_added_total", "miss_tool_turn_per_s",
        "resident_memory", "load_client_per_s",
        "redis_exact_added", "redis_search_p50", "redis_search_p99",
        "redis_recall_20", "redis_recall_1000", "redis_recall_30000", "redis_many_ratio",
        "eight_added_ttfb", "idle_streams", "killed_errors", "rented_start",
        *(f"tunnel_{kind}_{what}" for kind in TUNNELS for what in ("added", "mb_per_s", "back")),
    ]  # fmt: skip
    assert {row["name"]: row["failed"] for row in rows if row["failed"]} == {}
    assert [row["name"] for row in rows if row["value"] is None or not row["samples"]] == []
    assert {"parse", "question", "exact"} <= rows[-1]["more"].keys() | rows[5]["more"].keys()
    assert "resident memory" in output.rpartition("}")[2]


def test_a_run_that_is_told_to_end_stops_its_servers_first() -> None:
    process = bench("--only", "exact", "--only", "semantic")
    assert process.stdout is not None
    assert process.stdout.readline().startswith('{"name":"exact_2kb_p50"')
    process.terminate()
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert_nothing_is_left_of(process)


def test_an_unknown_group_is_refused_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks.bench", "--only", "everything"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "semantic" in done.stderr


def test_a_figure_is_the_median_of_its_rounds_the_worse_one_of_two() -> None:
    assert (figure(3, 1, 2).value, figure(1, 2).value, figure(1, 2, at_least=True).value) == (2, 2, 1)


@pytest.mark.parametrize(
    ("found", "reached"),
    [
        (figure(2), True),
        (figure(2.001), False),
        (figure(2, at_least=True), True),
        (figure(1.999, at_least=True), False),
        (figure(float("nan")), False),
        (figure(), False),
        (figure(1, failed={"proxy error: status 500": 1}), False),
        (Figure("name", "about", [1], "ms", 1), None),
    ],
)
def test_a_figure_is_reached_within_its_target_and_when_nothing_failed(found: Figure, reached: bool | None) -> None:
    assert found.reached is reached


def test_a_row_says_where_it_comes_from_and_is_json() -> None:
    row = orjson.loads(orjson.dumps(figure(1.23456, float("nan"), more={"cpu": 0.00049}).row(RUN)))
    assert (row["value"], row["rounds"], row["target"], row["unit"]) == (None, [1.235, None], "≤ 2", "ms")
    assert (row["commit"], row["date"], row["machine"]["cores"], row["more"]) == ("abc", "2026-01-01", 1, {"cpu": 0.0})


def test_the_table_shows_every_row_those_with_a_target_first() -> None:
    told = io.StringIO()
    free = Figure("free", "has no target", [7.0], "s", 1).row(RUN)
    print_table([free, figure(1, 3, 5).row(RUN), figure().row(RUN)], Console(file=told, width=150))
    text = told.getvalue()
    assert text.index("what it is") < text.index("has no target")
    assert "1 … 5" in text
    assert "7 s" in text


def test_the_readme_gets_the_table_between_its_marks_and_keeps_the_rest(tmp_path: Path) -> None:
    results, readme = tmp_path / "results" / "bench.json", tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    save(
        [
            figure(1.5).row(RUN),
            figure(3).row(RUN | {"commit": "def"}),
            Figure("free", "has no target", [7.0], "s", 1).row(RUN),
        ],
        results,
    )
    assert update_readme(results, readme)
    text = readme.read_text()
    assert text.startswith("before\n<!-- results -->\n| figure")
    assert (
        "| what it is | 1.5 ms | ≤ 2 | ✓ |\n| what it is | 3 ms | ≤ 2 | ✗ |\n\n`make bench` on 1 cores of Z80" in text
    )
    assert text.endswith("commit abc, def.\n<!-- /results -->\nafter\n")
    assert "old" not in text
    assert "has no target" not in text


def test_a_readme_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing to fill\n")
    save([], tmp_path / "bench.json")
    assert not update_readme(tmp_path / "bench.json", readme)
    assert readme.read_text() == "nothing to fill\n"


def test_the_readmes_figures_are_those_of_the_results_file() -> None:
    if not RESULTS.exists():
        pytest.skip("nothing was measured yet: `make bench`")
    block = re.search(r"(<!-- results -->\n).*?(<!-- /results -->)", README.read_text(), re.DOTALL)
    assert block
    assert block[0] == f"{block[1]}{markdown(orjson.loads(RESULTS.read_bytes()))}\n{block[2]}"
