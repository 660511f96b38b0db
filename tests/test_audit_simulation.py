"""The simulation of the audit writes what a figure and a report need."""

from __future__ import annotations

from pathlib import Path

import orjson

from benchmarks.audit_simulation import main


def test_the_simulation_writes_its_curves_and_its_verdict(tmp_path: Path) -> None:
    main(out=tmp_path / "out.json", quick=True)
    found = orjson.loads((tmp_path / "out.json").read_bytes())
    assert found["verdict"]["≤ 30 wrong answers in ≥ 95 % of runs, jump at 20"]
    assert found["verdict"]["shadow stays shut at 3 % in ≥ 95 %"]
    assert {row["name"] for row in found["jump"]} >= {"jump at 20", "jump at 500", "jump at 5000"}
    assert all(sum(row["wrongs_histogram"]) == row["runs"] - row["closed_before_the_jump"] for row in found["jump"])
