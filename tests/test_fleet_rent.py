"""Renting to measure, through the fleet: each machine over real SSH, given back whatever happens, within its budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from benchmarks.fleet_rent import AT_ONCE, PROJECT, rehearse, rehearsed, rent_at
from benchmarks.renting import Speeds, speeds
from benchmarks.stand_ins.vast import StandInVast, running
from benchmarks.stand_ins.vast_script import Life, Lives, Machine, all_well
from benchmarks.stand_ins.vast_ssh import SshHosting
from benchmarks.throughput import Shape
from workbench.errors import ConfigurationError
from workbench.fleet.opening import Site
from workbench.prices import load_prices

PRICES = load_prices()
SMALL = Shape(prompt_tokens=8, output_tokens=4, rounds=1, timeout_s=10)


def market(*machines: Machine, lives: Lives = all_well) -> StandInVast:
    return StandInVast(machines, hosting=SshHosting(), gaps_s={}, lives=lives)


def measured(at: StandInVast, gpus: str, folder: Path) -> Speeds:
    with running(at) as url:
        rent = rent_at(Site(SecretStr(at.key), url, folder, gaps_s={}), limits=AT_ONCE)
        return speeds(
            gpus, model="qwen3-coder:30b", prices=PRICES, max_usd=2.0, dry_run=False, rent=rent, shape=SMALL,
            results=folder / "speeds.json",
        )  # fmt: skip


def test_a_rehearsal_rents_measures_and_gives_back_each_gpu() -> None:
    found = rehearse("RTX 3090, A6000", prices=PRICES)
    assert rehearsed(found).splitlines() == [
        "RTX 3090: rented, measured at 1, 4, 16 streams, given back",
        "A6000: rented, measured at 1, 4, 16 streams, given back",
    ]


def test_a_gpu_without_a_price_is_not_rehearsed() -> None:
    with pytest.raises(ConfigurationError, match="no price for the GPU 'RTX 9999'"):
        rehearse("RTX 9999", prices=PRICES)


def test_machines_too_small_are_given_back_and_the_next_gpu_is_measured(tmp_path: Path) -> None:
    def lives(number: int, machine: Machine) -> Life:
        return Life(gpu_name="GTX 1080" if machine.gpu_name == "RTX 3090" else None)

    at = market(*(Machine(i, gpu_name="RTX 3090", gpu_usd_per_h="0.2") for i in range(3)), Machine(9), lives=lives)
    found = measured(at, "RTX 3090, RTX 4090", tmp_path)
    assert "in the GPU's memory" in found.failed["RTX 3090"]
    assert {row.gpu for row in found.rows if row.samples} == {"RTX 4090"}
    assert at.market.live() == []


def test_what_costs_more_than_the_price_list_says_is_not_rented(tmp_path: Path) -> None:
    at = market(Machine(1, gpu_usd_per_h="0.90"))
    assert "under" in measured(at, "RTX 4090", tmp_path).failed["RTX 4090"]
    assert at.market.instances == {}


def test_what_is_rented_to_be_measured_is_told_from_a_fleet_that_serves(tmp_path: Path) -> None:
    at = market(Machine(1))
    assert measured(at, "RTX 4090", tmp_path).failed == {}
    (instance,) = at.market.instances.values()
    assert PROJECT in instance.label
