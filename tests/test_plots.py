"""Every figure draws, small enough for a notebook, whatever it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.audit_plots import falsely_closed, shadow_opens, wrongs_until_closed
from benchmarks.judging import Point, SlotCount
from benchmarks.lookups import STAGES, Stage
from benchmarks.peers.plots import served_and_added
from benchmarks.plots import Picture, budget_curves, distributions, rate_curves, traps_through
from benchmarks.sliding import SERVERS, explore_budgets
from benchmarks.watching import hit_rate, rate_interval
from workbench.cache.risk import Lookups

pytest.importorskip("matplotlib", reason="matplotlib is in the study extra")

RANDOM = np.random.default_rng(2)
UNITS = 320
SCORE = RANDOM.normal(size=UNITS * 3)
SCORE[::7] = -np.inf
SCORE[::50] = np.inf
WRONG = (RANDOM.random(len(SCORE)) < 1 / (1 + np.exp(4 * SCORE.clip(-5, 5)))) & np.isfinite(SCORE)
LOOKUPS = Lookups(SCORE, WRONG, np.repeat(np.arange(UNITS), 3))
LAST: tuple[Stage, ...] = STAGES[1:]
STEPS: dict[Stage, Lookups] = dict.fromkeys(LAST, LOOKUPS)


def check(picture: Picture) -> None:
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert 3_000 < len(picture.png) < 60_000


def test_distributions_draw_with_and_without_a_cut() -> None:
    check(
        distributions({"score": SCORE, "cosine": np.abs(np.sin(SCORE.clip(-5, 5)))}, same=~WRONG, cuts={"score": 1.0})
    )
    check(distributions({"score": SCORE}, same=~WRONG, cuts={"score": np.inf}))


def test_curves_draw_with_and_without_a_point() -> None:
    check(rate_curves(STEPS, alpha=0.01, chosen=Point(0.005, 0.4)))
    check(rate_curves(STEPS, alpha=0.2))


def test_slots_draw_when_nothing_or_everything_gets_through() -> None:
    check(traps_through([SlotCount("numbers", 9, 9, 9), SlotCount("dates", 3, 0, 0), SlotCount("order", 3, 0, 1)]))
    check(traps_through([SlotCount("numbers", 9, 0, 0)]))


def test_budgets_draw() -> None:
    check(budget_curves({"cosine": [(0.01, 0.0), (0.1, 0.2)], "score": [(0.01, 0.1), (0.1, 0.4)]}, alpha=0.01))


def test_budgets_are_a_figure_where_nobody_can_move_a_slider(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)
    check(explore_budgets(STEPS, alpha=0.05))


def test_budgets_are_a_slider_where_somebody_can(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets", reason="ipywidgets is in the study extra")
    monkeypatch.setenv(SERVERS[0], "here")
    widget: Any = explore_budgets(STEPS, alpha=0.05)
    slider = widget.children[0]
    assert slider.value == 0.05
    slider.value = 0.1
    check(widget.result)


def test_audit_figures_draw() -> None:
    jump = {"name": "jump at 20", "before": 0.005, "after": 0.2, "p50": 5.0, "p95": 40.0, "within_30": 0.97}
    check(wrongs_until_closed([jump, jump | {"within_30": 0.5}]))
    steady = {"name": "steady", "hits": 1_000, "runs": 50, "closed": 1, "closed_share": 0.02, "audited_share": 0.1}
    check(falsely_closed([steady | {"closed_share_at_most": 0.09}]))
    opened = [
        {"rate": rate, "opened_by": [[100, 0.0], [200, end], [400, end]]} for rate, end in ((0.0, 1.0), (0.03, 0.0))
    ]
    check(shadow_opens(opened))


def test_the_hit_rate_draws_of_nothing_and_of_much_and_says_when_it_is_little() -> None:
    for seen in ([], ["miss"], ["miss", "exact", "semantic", "refused"] * 20):
        check(hit_rate(seen))


def test_a_rates_interval_is_wilsons() -> None:
    assert rate_interval(0, 0) == (0, 1)
    assert rate_interval(39, 64) == pytest.approx((0.4869, 0.7195), abs=1e-3)


def test_peers_draw_with_and_without_hits() -> None:
    values = {"near_default": 77.0, "trap_default": 2.0, "hit_p50": 0.5, "miss_added_total": 2.0}
    rows = [{"peer": "ours", "name": name, "value": value} for name, value in values.items()]
    rows += [{"peer": "a router", "name": "miss_added_total", "value": -0.1}, {"peer": "a third", "skipped": "why"}]
    check(served_and_added({"rows": rows}))
    check(served_and_added({"rows": rows[-1:]}))
