"""Prices are dated and doubted aloud; the formulae have the units that they say."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import pytest

from workbench.errors import ConfigurationError
from workbench.prices import (
    VAST,
    ApiPrice,
    GpuPrice,
    PriceMissing,
    Rental,
    api_usd,
    fleet_usd,
    hit_usd,
    load_prices,
    savings,
    stopped_usd_per_h,
    usd_per_mtok_out,
)
from workbench.reply import Usage

SEEN = date(2026, 11, 1)
ROUND = ApiPrice(
    model="round",
    input_usd_per_mtok=2,
    output_usd_per_mtok=10,
    cache_read_usd_per_mtok=0.1,
    cache_write_usd_per_mtok=2.5,
    date=SEEN,
    source="a test",
)


def prices_file(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text)
    return path


def gpu(dated: str = "date = 2026-11-01", *, low: float = 1.0, high: float = 2.0) -> str:
    return (
        f'version = 1\n[[gpu]]\nname = "H100"\nprovider = "here"\nlow_usd_per_h = {low}\nhigh_usd_per_h = {high}\n'
        f'{dated}\nsource = "a test"\n'
    )


# ── the list ────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_price_that_ships_has_a_source_and_is_found_by_its_name() -> None:
    prices = load_prices()
    assert all(price.source for price in (*prices.api, *prices.gpu, *prices.redis))
    assert prices.api_price("claude-opus-5-5").cache_read_usd_per_mtok == 0.20
    assert prices.gpu_price("H100", provider=VAST).usd_per_h == 2.40
    assert prices.providers("H200") == [VAST, "GCP"]


def test_old_undated_and_incomplete_prices_are_named() -> None:
    prices = load_prices()
    warnings = prices.warnings(today=date(2026, 11, 23))
    assert any(said.startswith("RTX 5090 at vast.ai: the price is 175 days old") for said in warnings)
    assert any(said.startswith("H100 at AWS: the price has no date") for said in warnings)
    assert any(said.startswith("claude-haiku-5-5: no price for cache writes") for said in warnings)
    assert not any(said.startswith(("H100 at vast.ai", "claude-opus")) for said in warnings)


@pytest.mark.parametrize(("age_days", "doubted"), [(0, False), (90, False), (91, True)])
def test_a_price_is_doubted_from_its_91st_day(tmp_path: Path, age_days: int, doubted: bool) -> None:
    prices = load_prices(prices_file(tmp_path, gpu()))
    assert bool(prices.warnings(today=SEEN + timedelta(days=age_days))) is doubted


def test_a_missing_price_says_what_there_is() -> None:
    with pytest.raises(PriceMissing, match="'H200' at AWS, only for: A100 80GB, H100; add it"):
        load_prices().gpu_price("H200", provider="AWS")
    with pytest.raises(PriceMissing, match="'claude-1', only for: claude-opus-5-5"):
        load_prices().api_price("claude-1")


def test_a_price_seen_now_takes_the_place_of_the_old_one() -> None:
    now = GpuPrice(name="H100", provider=VAST, low_usd_per_h=2, high_usd_per_h=3, date=SEEN, source="an offer")
    prices = load_prices().with_gpu(now)
    assert prices.gpu_price("H100", provider=VAST) == now
    assert len(prices.gpu) == len(load_prices().gpu)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = ", "not valid TOML"),
        ("version = 2", "have version 2, expected 1"),
        ("", "have version None"),
        (gpu(low=3), "low_usd_per_h 3.0 is above"),
        (gpu(low=-1), r"gpu\.0\.low_usd_per_h"),
        (gpu("datum = 1"), r"gpu\.0\.datum"),
        (gpu(high=math.inf), r"gpu\.0\.high_usd_per_h"),
    ],
)
def test_a_wrong_list_is_refused_with_the_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        load_prices(prices_file(tmp_path, text))


def test_an_absent_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the prices .*nowhere"):
        load_prices(tmp_path / "nowhere")


# ── the formulae ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_api_bills_each_sort_of_token_at_its_own_rate() -> None:
    million = 1_000_000
    assert api_usd(Usage(million, 0, 0, 0), ROUND) == 2
    assert api_usd(Usage(0, million, 0, 0), ROUND) == 10
    assert api_usd(Usage(0, 0, million, 0), ROUND) == 2.5
    assert api_usd(Usage(0, 0, 0, million), ROUND) == pytest.approx(0.1)
    assert api_usd(Usage(1000, 1000, 1000, 1000), ROUND) == pytest.approx(0.0146)


def test_a_hit_saves_the_prefix_only_at_the_rate_of_cache_reads() -> None:
    saved = hit_usd(ROUND, prefix_tokens=20_000, new_tokens=100, output_tokens=300)
    assert saved == pytest.approx(20_000 * 0.1e-6 + 100 * 2e-6 + 300 * 10e-6)
    assert saved < api_usd(Usage(20_100, 300), ROUND)


def test_a_node_costs_by_the_hour_and_a_token_by_its_share_of_it() -> None:
    assert stopped_usd_per_h(60, storage_usd_per_gb_month=0.73) == pytest.approx(0.06)
    assert usd_per_mtok_out(0.36, tokens_per_s=100, utilisation=1) == pytest.approx(1.0)
    assert usd_per_mtok_out(0.36, tokens_per_s=100, utilisation=0.5) == pytest.approx(2.0)
    assert usd_per_mtok_out(0.36, tokens_per_s=100, utilisation=0) == math.inf


def test_a_fleet_is_paid_for_running_existing_moving_failing_and_storing() -> None:
    rental = Rental(7200, 36_000, 2.4, 0.06, up_gb=1, down_gb=20, up_usd_per_gb=0.01, down_usd_per_gb=0.02)
    assert rental.usd == pytest.approx(2 * 2.4 + 10 * 0.06 + 0.01 + 0.4)
    assert fleet_usd([rental, rental], failed_boots_usd=0.5, redis_usd=5) == pytest.approx(2 * rental.usd + 5.5)


def test_savings_are_a_share_of_the_baseline_and_negative_where_it_is_cheaper() -> None:
    assert savings(19, baseline=100) == pytest.approx(0.81)
    assert savings(150, baseline=100) == pytest.approx(-0.5)
    assert savings(1, baseline=0) == -math.inf


@pytest.mark.parametrize(("gpu_name", "cloud", "at_least"), [("H100", "AWS", 0.65), ("H100", "GCP", 0.78)])
def test_the_same_gpu_is_cheaper_at_vast(gpu_name: str, cloud: str, at_least: float) -> None:
    prices = load_prices()
    here, there = (prices.gpu_price(gpu_name, provider=name).usd_per_h for name in (VAST, cloud))
    assert round(savings(here, baseline=there), 2) >= at_least
