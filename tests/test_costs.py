"""Costs: a month's dollars by hand, nodes by Erlang's formula, the 81 % question by its own answer."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import costs
from benchmarks.costs import (
    FIRST_TOKEN_S,
    Answer,
    Baseline,
    answer,
    answers,
    break_even_requests,
    cheapest,
    clouded,
    losses,
    needed_hit_rate,
    report,
    said,
)
from benchmarks.fleet_size import choices, erlang_c, first_token_p95_s, nodes_needed, on
from benchmarks.month import Scenario, always_on_usd, elastic_usd
from benchmarks.sensitivity import api_saving, monte_carlo, ranges, tornado
from benchmarks.throughput import PUBLISHED, Speed, read_speeds
from workbench.errors import ConfigurationError
from workbench.prices import VAST, load_prices, savings

PRICES = load_prices()
SPEEDS = read_speeds(PUBLISHED)
PLAIN = Scenario(
    gpu_usd_per_h=1.0,
    decode_tokens_per_s=100.0,
    prefill_tokens_per_s=1_000.0,
    requests_per_month=36_000.0,
    input_tokens=0.0,
    write_tokens=1_000.0,
    read_tokens=10_000.0,
    output_tokens=200.0,
    hit_rate=0.0,
    prefix_reuse=0.9,
    utilisation=0.5,
    boots_per_month=0.0,
    down_usd_per_gb=0.0,
    disk_usd_per_h=0.0,
    redis_usd_per_month=0.0,
)


def test_a_request_takes_its_fresh_prompt_and_its_output() -> None:
    assert PLAIN.prefill_s == pytest.approx(2.0)  # 1,000 new and a tenth of 10,000
    assert PLAIN.request_s == pytest.approx(4.0)


def test_an_elastic_month_is_paid_by_what_misses_and_an_always_on_one_is_not() -> None:
    assert elastic_usd(PLAIN) == pytest.approx(36_000 * 4 / 3600 / 0.5)
    assert elastic_usd(replace(PLAIN, hit_rate=0.25)) == pytest.approx(60)
    assert elastic_usd(replace(PLAIN, boots_per_month=4, boot_h=0.25, redis_usd_per_month=5)) == pytest.approx(86)
    hits = replace(PLAIN, hit_rate=0.9)
    assert always_on_usd(PLAIN, nodes=2) == always_on_usd(hits, nodes=2) == pytest.approx(1460)


def test_every_boot_pulls_the_model_and_a_disk_costs_as_long_as_its_node_exists() -> None:
    booting = replace(PLAIN, requests_per_month=0.0, boots_per_month=60, boot_h=0.5, pull_gb=19, down_usd_per_gb=0.02)
    assert elastic_usd(booting) == pytest.approx(30 * 1.0 + 60 * 19 * 0.02)
    assert elastic_usd(replace(booting, disk_usd_per_h=0.1)) == pytest.approx(30 * 1.1 + 60 * 19 * 0.02)
    assert always_on_usd(replace(booting, disk_usd_per_h=0.1), nodes=2) == pytest.approx(2 * (730 * 1.1 + 0.38))


def naive_erlang_c(servers: int, load: float) -> float:
    """As it stands in the textbooks."""
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 1.5), (5, 4.9), (20, 3.0)])
def test_erlang_agrees_with_its_obvious_twin(servers: int, load: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(naive_erlang_c(servers, load))


def test_nodes_are_the_fewest_that_reach_the_target_and_hits_need_fewer() -> None:
    busy = replace(PLAIN, requests_per_month=2_000_000)
    nodes = nodes_needed(busy, first_token_s=3)
    assert first_token_p95_s(busy, nodes=nodes) <= 3 < first_token_p95_s(busy, nodes=nodes - 1)
    assert nodes_needed(replace(busy, hit_rate=0.5), first_token_s=3) < nodes
    with pytest.raises(ConfigurationError, match=r"the prompt alone takes 2.00 s, the target is 1 s"):
        nodes_needed(PLAIN, first_token_s=1)


def test_gpus_without_a_price_or_too_slow_come_last_and_say_why() -> None:
    slow = Speed(gpu="A6000", model="m", server="ollama", streams=1, decode_tokens_per_s=0.001, source="a test")
    found = choices(costs.ASSUMED, [*SPEEDS, slow], PRICES, first_token_s=FIRST_TOKEN_S)
    assert [bool(each.why_not) for each in found] == [False, False, False, True, True]
    assert found[0].elastic_usd <= found[1].elastic_usd
    assert {each.gpu for each in found[3:]} == {"2x L40S", "A6000"}
    assert any("no price for the GPU '2x L40S'" in each.why_not for each in found)
    with pytest.raises(ConfigurationError, match="no GPU reaches the latency target"):
        cheapest(found[3:])
    with pytest.raises(ConfigurationError, match="no speed of any GPU"):
        cheapest([])


def test_the_needed_hit_rate_answers_its_own_question() -> None:
    baseline = Baseline("a cloud", 200.0, 300.0)
    found = answer(PLAIN, baseline, mode="elastic", nodes=1)
    assert found.needed is not None
    there = elastic_usd(replace(PLAIN, hit_rate=found.needed))
    assert savings(there, baseline=baseline.usd) == pytest.approx(0.81, abs=2e-4)
    assert found.needed_low is not None
    assert found.needed_high is not None
    assert found.needed_low < found.needed < found.needed_high
    assert needed_hit_rate(lambda _: 0.82) == 0.0
    assert needed_hit_rate(lambda _: 0.8) is None


def test_a_hit_on_a_node_that_never_sleeps_saves_no_money() -> None:
    own = next(each for each in costs.baselines(PLAIN, "H100", PRICES, nodes=1) if "always on" in each.name)
    here = replace(PLAIN, gpu_usd_per_h=2.40, hit_rate=1.0)
    found = answer(here, own, mode="always on", nodes=1)
    assert found.needed is None


def test_the_question_is_answered_for_every_baseline_and_losses_are_told() -> None:
    found, told = report(costs.ASSUMED, SPEEDS, PRICES)
    names = [each.baseline.name for each in found]
    for expected in ("claude-opus-5-5, prompt caching", "claude-haiku-5-5, prompt caching", "H100 at AWS"):
        assert expected in names
    for cloud in ("AWS", "Azure", "GCP"):
        assert any(name.endswith(cloud) for name in names)
    assert any("always on" in name for name in names)
    assert "Self-hosting loses: elastic, it costs" in told
    assert any("claude-haiku" in loss for loss in losses(found))
    assert not any("claude-opus" in loss for loss in losses([each for each in found if each.mode == "elastic"]))


def test_the_same_gpu_at_a_cloud_needs_no_speed() -> None:
    month = replace(costs.ASSUMED, boots_per_month=0.0)
    slow, fast = (clouded(replace(month, decode_tokens_per_s=speed), PRICES) for speed in (10.0, 1_000.0))
    for one, other in zip(slow, fast, strict=True):
        assert one.needed == pytest.approx(other.needed, abs=0.1)


def test_answers_are_said_in_words() -> None:
    base = Answer(Baseline("b", 1, 1), "elastic", 1, 0.1, 0.25, 0.25, 0.25)
    assert said(base) == "25%"
    assert said(replace(base, needed=None, needed_low=0.5, needed_high=None)) == (
        "none does (50% to none does over the prices seen)"
    )
    assert said(replace(base, needed=0.0, needed_low=0.0, needed_high=0.0)) == "none is needed"


def test_break_even_is_where_both_cost_the_same_and_never_beyond_what_a_node_serves() -> None:
    here = on(costs.ASSUMED, "RTX 4090", SPEEDS, PRICES)
    opus = PRICES.api_price("claude-opus-5-5")
    requests = break_even_requests(here, opus, nodes=1, first_token_s=FIRST_TOKEN_S)
    there = replace(here, requests_per_month=requests)
    assert always_on_usd(there, nodes=1) == pytest.approx(requests * 0.0188, rel=1e-3)
    haiku = PRICES.api_price("claude-haiku-5-5")
    assert break_even_requests(here, haiku, nodes=1, first_token_s=FIRST_TOKEN_S) == math.inf
    none = replace(here, requests_per_month=0.0)
    assert break_even_requests(none, opus, nodes=1, first_token_s=FIRST_TOKEN_S) == pytest.approx(requests)


def test_a_tornado_is_ranked_and_each_swing_starts_from_the_same_month() -> None:
    here = on(costs.ASSUMED, "RTX 4090", SPEEDS, PRICES)
    saving = api_saving(PRICES.api_price("claude-sonnet-5-5"))
    swings = tornado(here, ranges(here, PRICES.gpu_price("RTX 4090", provider=VAST)), saving)
    widths = [swing.width for swing in swings]
    assert widths == sorted(widths, reverse=True)
    assert all(min(swing.at_low, swing.at_high) <= saving(here) <= max(swing.at_low, swing.at_high) for swing in swings)


def test_monte_carlo_is_repeatable_and_stays_within_what_is_possible() -> None:
    here = on(costs.ASSUMED, "RTX 4090", SPEEDS, PRICES)
    saving = api_saving(PRICES.api_price("claude-sonnet-5-5"))
    spread = ranges(here, PRICES.gpu_price("RTX 4090", provider=VAST))
    drawn = monte_carlo(here, spread, saving, runs=200, seed=1)
    assert np.array_equal(drawn, monte_carlo(here, spread, saving, runs=200, seed=1))
    assert drawn.max() < 1
    assert drawn.std() > 0
    assert monte_carlo(here, {"hit_rate": (0.2, 0.2)}, saving, runs=3).tolist() == [saving(here)] * 3


def test_the_command_prints_the_table_and_names_what_is_wrong(tmp_path: Path) -> None:
    app = Typer()
    app.command()(costs.main)
    done = CliRunner().invoke(app, ["--no-readme"])
    assert done.exit_code == 0
    assert "| claude-opus-5-5, prompt caching | elastic |" in done.stdout
    assert "warning: H100 at AWS: the price has no date" in done.stdout
    (tmp_path / "prices.toml").write_text("version = 1")
    done = CliRunner().invoke(app, ["--no-readme", "--prices", str(tmp_path / "prices.toml")])
    assert done.exit_code == 2
    assert "no price for the GPU" in done.stdout


def test_both_modes_are_answered_for_apis_and_one_for_clouds() -> None:
    found = answers(PLAIN, "H100", PRICES, nodes=1)
    assert len(found) == 2 * len(PRICES.api) + 3 + 2
