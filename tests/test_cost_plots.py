"""The figures of notebooks 03 and 04 draw, whatever they are given."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import costs
from benchmarks.cost_plots import NAMES, how_sure, saved, where_from
from benchmarks.costs import Answer, Baseline
from benchmarks.counterfactual import Replayed
from benchmarks.fleet_size import on
from benchmarks.replay import cost_shares
from benchmarks.sensitivity import Swing, ranges
from benchmarks.throughput import PUBLISHED, read_speeds
from tests.test_plots import check
from tests.test_replay import OPUS, asked
from workbench.prices import VAST, load_prices

pytest.importorskip("matplotlib", reason="matplotlib is in the study extra")


def test_savings_draw_with_and_without_losses() -> None:
    found, _ = costs.report(costs.ASSUMED, read_speeds(PUBLISHED), load_prices())
    check(saved(found))
    check(saved([Answer(Baseline("one", 10, 10), "elastic", 1, 0.9, 0.0, 0.0, 0.0)]))
    check(saved([Answer(Baseline("one", 10, 10), "elastic", 900, -89.0, None, None, None)]))


def test_sensitivity_draws_also_when_nothing_varies() -> None:
    check(
        how_sure([Swing("hit_rate", 0, 1, 0.2, 0.9), Swing("utilisation", 1, 1, 0.5, 0.5)], np.full(9, 0.5), base=0.5)
    )


def test_every_number_that_is_varied_has_a_name() -> None:
    here = on(costs.ASSUMED, "RTX 4090", read_speeds(PUBLISHED), load_prices())
    assert set(ranges(here, load_prices().gpu_price("RTX 4090", provider=VAST))) == set(NAMES)


def test_what_a_replay_saves_draws_with_and_without_hits() -> None:
    miss = Replayed(asked(0, output_tokens=9), "question", "none", "numbers", "", 1.0)
    hit = Replayed(asked(1, output_tokens=9), "question", "semantic", "", "right", 1.0)
    for found in ([miss], [miss, hit], [hit]):
        check(where_from(cost_shares(found, OPUS), found))
