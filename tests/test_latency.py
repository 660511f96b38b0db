"""What notebook 02 measures and concludes: that every point is there and told honestly, never how fast."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import Point, Scale, measure, percentile_estimate
from benchmarks.latency_plots import stages, stores, sweeps
from benchmarks.latency_verdict import GOALS, goal_table, judge, table, write
from benchmarks.load import percentile

TIMES = [float(value) for value in range(1, 41)]
POINTS = [
    Point("clients", "1", 1, "exact", TIMES, stages_ms={"parse": 0.1, "replay": 0.2}),
    Point("clients", "1", 1, "semantic", TIMES, stages_ms={"embed": 4.0, "decide": 3.0}),
    Point("clients", "1", 1, "miss", TIMES, [value / 2 for value in TIMES], {"first_byte": 1.0}),
    Point("body size", "2 KB", 2, "miss", TIMES, TIMES, {"first_byte": 1.0}),
    Point("body size", "2 KB", 2, "exact", TIMES),
    Point("store", "sqlite", 0, "exact", TIMES),
    Point("store", "memory", 1, "semantic", [3.0]),
]


def test_every_kind_is_measured_at_every_setting_and_answered_as_expected() -> None:
    scale = Scale(
        requests=4, body_kb=[2, 49], words=[10, 100], entries=[100], clients=[1, 2], stores=["memory:", "redis"]
    )
    points = measure(scale)
    assert {(point.dimension, point.setting, *point.failed) for point in points if point.failed} == set()
    assert all(len(point.times_ms) >= 3 for point in points)
    found = {(point.dimension, point.setting): set[str]() for point in points}
    for point in points:
        found[point.dimension, point.setting].add(point.outcome)
    three = {"exact", "semantic", "miss"}
    assert found == {
        ("entries stored", "100"): three,
        ("store", "sqlite"): three,
        ("store", "memory"): three,
        ("store", "redis"): three,
        ("body size", "2 KB"): {"exact", "miss"},
        ("body size", "49 KB"): {"exact", "miss"},
        ("question length", "10 words"): {"semantic", "miss"},
        ("question length", "100 words"): {"miss"},
        ("clients", "1"): three,
        ("clients", "2"): three,
    }
    semantic = next(point for point in points if point.outcome == "semantic")
    assert {"parse", "question", "exact", "embed", "search", "decide", "replay"} <= semantic.stages_ms.keys()


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_a_percentile_lies_in_its_interval(values: list[float], percent: int) -> None:
    found = percentile_estimate(values, percent)
    assert found.value == percentile(values, percent)
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.high >= found.value


def test_too_few_values_have_no_interval_and_none_have_no_percentile() -> None:
    assert percentile_estimate([1.0, 2.0], 95).high is None
    assert math.isnan(percentile_estimate([], 50).value)


def test_a_miss_is_what_it_takes_longer_than_upstream() -> None:
    assert POINTS[2].percentile(50).value == 10
    assert POINTS[0].percentile(50).value == 20


def test_a_figure_from_too_few_samples_is_neither_reached_nor_missed() -> None:
    verdict = judge(POINTS)
    reached = {each.name: each.reached for each in verdict.judged}
    assert reached["exact hit, 2 KB: p50"] is False
    assert reached["exact hit, 2 KB: p99"] is None
    assert reached["semantic hit, store memory: p95"] is None
    assert reached["exact hit, store sqlite: p95"] is True
    assert verdict.slow_hits == ["semantic hit, store memory: p50"]
    assert "too few (40)" in repr(goal_table(verdict))
    assert "too few (1)" in repr(table(POINTS))


def test_a_hit_that_is_slow_or_did_not_come_is_found() -> None:
    slow = replace(POINTS[5], times_ms=[150.0] * 40)
    other = replace(POINTS[5], times_ms=[], failed={"proxy miss": 4})
    assert judge([slow]).slow_hits == judge([other]).slow_hits == ["exact hit, store sqlite: p50"]
    assert judge([slow]).missed == ["exact hit, store sqlite: p50", "exact hit, store sqlite: p95"]
    assert judge([other]).failures == ("store sqlite, exact: 4 × proxy miss",)


def test_many_clients_are_measured_and_not_judged() -> None:
    assert judge([replace(POINTS[0], setting="64", at=64, times_ms=[500.0] * 40)]).judged == ()


def test_the_verdict_is_json_with_every_interval(tmp_path: Path) -> None:
    folder = write(judge(POINTS), POINTS, str(tmp_path / "out"))
    told: dict[str, Any] = orjson.loads((folder / "verdict.json").read_bytes())
    first = next(figure for figure in told["figures"] if figure["name"] == GOALS[0].name)
    assert (first["value"], first["unit"], first["samples"], first["reached"]) == (20, "ms", 40, False)
    assert first["low"] < 20 < first["high"]
    assert len(orjson.loads((folder / "points.json").read_bytes())) == len(POINTS)


def test_the_figures_draw_with_few_points_and_with_none_of_a_kind() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is in the study extra")
    for picture in (sweeps(POINTS), stages(POINTS), stores(POINTS)):
        assert 3_000 < len(picture.png) < 60_000
