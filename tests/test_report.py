"""The page and the manifest of a run, and the comparison of two."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.comparing import Estimate, compared, comparison_table, difference, figures
from benchmarks.manifest import Manifest, Part, environment, load_manifest
from benchmarks.report_page import rendered, write_page
from workbench.errors import ConfigurationError

PICTURE = base64.b64encode(b"a picture").decode()


def manifest(*parts: Part, complete: bool = True, **fields: Any) -> Manifest:
    return Manifest("one", "2026-01-01 00:00:00 UTC", "smoke", list(parts), complete=complete, **fields)


def executed(folder: Path, *outputs: dict[str, Any], markdown: str = "# Title") -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": markdown},
        {"cell_type": "code", "metadata": {}, "source": "1 < 2", "outputs": list(outputs)},
    ]
    (folder / "nb.ipynb").write_bytes(orjson.dumps({"cells": cells}))


def measured(value: float, low: float, high: float) -> Manifest:
    return manifest(Part("nb", {}, "passed", verdict={"rates": {"right": {"rate": value, "low": low, "high": high}}}))


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_what_was_found_and_loads_nothing(tmp_path: Path) -> None:
    executed(
        tmp_path,
        {"output_type": "display_data", "data": {"image/png": PICTURE, "text/plain": "Picture()"}},
        {"output_type": "execute_result", "data": {"text/markdown": "| a |\n|---|\n| 7 |", "text/plain": "a"}},
        {"output_type": "stream", "name": "stdout", "text": ["half\r", "whole\n"]},
        {"output_type": "error", "traceback": ["\x1b[31mValueError\x1b[0m: <b>"]},
    )
    page = rendered(manifest(Part("nb", {"seed": 3}, "passed", verdict={"rates": {"right": 0.5}})), tmp_path)
    for part in (f"data:image/png;base64,{PICTURE}", "<td>7</td>", "whole", "ValueError: &lt;b&gt;", "rates right"):
        assert part in page
    assert "half" not in page
    assert "1 &lt; 2" in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.findall(r"""(?:src|href)=['"](?!data:|#)""", page)


def test_what_a_notebook_says_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    executed(
        tmp_path, {"output_type": "display_data", "data": {"text/html": "<script>1</script>"}}, markdown="<script>"
    )
    page = rendered(manifest(Part("nb", {"<i>": "<b>"}, "died", message="<u>")), tmp_path)
    assert not re.findall("<(?:script|i|b|u)>", page)


def test_a_page_that_would_be_too_large_leaves_the_figures_out(tmp_path: Path) -> None:
    executed(tmp_path, {"output_type": "display_data", "data": {"image/png": "A" * 40_000}})
    made = manifest(Part("nb", {}, "passed"))
    assert write_page(made, tmp_path).stat().st_size > 40_000
    assert write_page(made, tmp_path, largest_bytes=30_000).stat().st_size < 20_000


def test_a_notebook_that_was_never_run_or_half_written_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "nb.ipynb").write_text('{"cells": [')
    page = rendered(manifest(Part("nb", {}, "running"), Part("later", {}), complete=False), tmp_path)
    assert "incomplete" in page
    assert "waiting" in page


# ── the manifest ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = manifest(Part("nb", {"seed": 3}, "died", 1.5, "lost", False, {"rate": 1}), environment=environment())
    made.save(tmp_path)
    assert load_manifest(tmp_path) == made
    assert made.environment["packages"]["numpy"]


def test_only_a_complete_run_whose_notebooks_all_passed_has_passed() -> None:
    assert manifest(Part("nb", {}, "passed")).passed
    assert not manifest(Part("nb", {}, "passed"), complete=False).passed
    assert not manifest(Part("nb", {}, "passed"), Part("other", {}, "verdict failed")).passed


@pytest.mark.parametrize("text", [None, "{", "[]", '{"version": 0}', '{"version": 1}'])
def test_what_is_no_manifest_is_refused_with_its_path(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"manifest\.json"):
        load_manifest(tmp_path)


# ── two runs ────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3))
def test_a_difference_lies_in_its_interval_and_turns_with_the_runs(one: list[float], other: list[float]) -> None:
    a, b = (Estimate(value, low, high) for low, value, high in (sorted(one), sorted(other)))
    there, back = difference(a, b), difference(b, a)
    assert there.low is not None
    assert there.high is not None
    assert there.low <= there.value <= there.high
    assert (back.value, back.low, back.high) == (-there.value, -there.high, -there.low)


@pytest.mark.parametrize(
    ("after", "word"),
    [((0.5, 0.45, 0.55), "higher"), ((0.1, 0.05, 0.15), "lower"), ((0.31, 0.26, 0.36), "no difference seen")],
)
def test_a_change_is_told_only_beyond_its_interval(after: tuple[float, float, float], word: str) -> None:
    (row,) = compared(measured(0.3, 0.25, 0.35), measured(*after))
    assert (row.name, row.word) == ("nb: rates right", word)


def test_figures_are_the_numbers_of_a_verdict_and_not_where_it_was_made() -> None:
    verdict = {
        "commit": "1234567",
        "machine": {"cores": 2},
        "kept": True,
        "cut": None,
        "traps": [{"slot": "dates", "of": 3}],
        "p50": {"value": 2.0, "low": None, "high": 3.0, "unit": "ms"},
    }
    found = figures(manifest(Part("nb", {}, verdict=verdict), Part("none", {})))
    assert found == {"nb: traps dates of": Estimate(3), "nb: p50": Estimate(2.0, None, 3.0, "ms")}


def test_the_comparison_says_what_makes_it_doubtful() -> None:
    told = io.StringIO()
    before = manifest(Part("nb", {"seed": 1}, "died"), environment={"machine": "one"})
    after = manifest(Part("nb", {"seed": 2}, "passed", verdict={"rate": 1.5}), environment={"machine": "two"})
    comparison_table(before, after, compared(before, after), console=Console(file=told, width=150))
    text = told.getvalue()
    for part in ("A (one) did not pass: nb died", "the machines differ", "other parameters", "only in B"):
        assert part in text
