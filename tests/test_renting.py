"""Renting to measure: a dry run rents nothing, a budget holds, every machine is given back, failures are told."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.renting import Rent, Speeds, speeds
from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.ollama_script import text
from benchmarks.throughput import Shape
from workbench.errors import BackendError, ConfigurationError
from workbench.prices import load_prices

PRICES = load_prices()
MODEL = "stand-in:latest"
SMALL = Shape(prompt_tokens=8, output_tokens=4, rounds=1, timeout_s=10)


class Fleet:
    """Rents the stand-in; the GPUs in `broken` cannot be had."""

    def __init__(self, url: str, *, broken: tuple[str, ...] = ()) -> None:
        self.url = url
        self.broken = broken
        self.log: list[str] = []

    @asynccontextmanager
    async def rent(self, gpu: str, *, model: str, max_usd: float) -> AsyncIterator[str]:
        """Note what is asked for, and what is given back."""
        if gpu in self.broken:
            raise BackendError(f"no offer for {gpu} under ${max_usd:.2f}")
        self.log.append(f"rent {gpu} {model}")
        try:
            yield self.url
        finally:
            self.log.append(f"destroy {gpu}")


def run(tmp_path: Path, gpus: str, **fields: Any) -> Speeds:
    given: dict[str, Any] = {
        "model": MODEL,
        "prices": PRICES,
        "max_usd": 2.0,
        "shape": SMALL,
        "results": tmp_path / "speeds.json",
    }
    return speeds(gpus, **(given | fields))


def test_a_dry_run_rents_nothing_and_says_what_it_would_cost(tmp_path: Path) -> None:
    found = run(tmp_path, "RTX 4090, H100")
    assert "dry run: nothing was rented; it would cost at most $1.91" in str(found)
    assert found.rows == []
    assert "none: measure it" in repr(found.table)
    assert not (tmp_path / "speeds.json").exists()


def test_each_gpu_is_rented_measured_and_destroyed_before_the_next(tmp_path: Path) -> None:
    with ollama_running(StandInOllama(text(*["one "] * 4))) as url:
        fleet = Fleet(url)
        found = run(tmp_path, "RTX 4090, RTX 3090", dry_run=False, rent=fleet.rent)
    assert fleet.log == [f"rent RTX 4090 {MODEL}", "destroy RTX 4090", f"rent RTX 3090 {MODEL}", "destroy RTX 3090"]
    assert sorted({row.gpu for row in found.rows}) == ["RTX 3090", "RTX 4090"]
    assert {row.streams for row in found.rows} == {1, 4, 16}
    assert found.failed == {}
    last = str(found).splitlines()[-1]
    assert last.startswith('for fleet.toml: tokens_per_s = { "RTX 4090" = ')
    assert set(tomllib.loads(last.partition(": ")[2])["tokens_per_s"]) == {"RTX 3090", "RTX 4090"}


def test_one_that_cannot_be_had_stops_no_other_and_is_told(tmp_path: Path) -> None:
    with ollama_running(StandInOllama(text(*["one "] * 4))) as url:
        fleet = Fleet(url, broken=("RTX 4090",))
        found = run(tmp_path, "RTX 4090, RTX 3090", dry_run=False, rent=fleet.rent)
    assert {row.gpu for row in found.rows} == {"RTX 3090"}
    assert "RTX 4090 failed: no offer for RTX 4090 under $0.51" in str(found)


def test_a_machine_that_dies_is_given_back(tmp_path: Path) -> None:
    fleet = Fleet("http://127.0.0.1:9")
    found = run(tmp_path, "RTX 4090", dry_run=False, rent=fleet.rent)
    assert fleet.log[-1] == "destroy RTX 4090"
    assert found.failed["RTX 4090"].startswith("1 streams: Connect")


def test_an_ollama_of_ones_own_is_measured_without_renting(tmp_path: Path) -> None:
    with ollama_running(StandInOllama(text(*["one "] * 4))) as url:
        found = run(tmp_path, "RTX 4090", ollama_url=url)
    assert len(found.rows) == 3
    assert str(found).startswith("measured\n")


@pytest.mark.parametrize(
    ("gpus", "fields", "expected"),
    [
        ("RTX 9999", {}, "no price for the GPU 'RTX 9999' at vast.ai"),
        ("H200", {"dry_run": False, "max_usd": 1.0, "rent": Fleet("").rent}, r"may cost \$3.26, max_usd is 1.00"),
        ("H200", {"dry_run": False}, "nobody to rent from"),
    ],
)
def test_what_makes_no_sense_rents_nothing(tmp_path: Path, gpus: str, fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        run(tmp_path, gpus, **fields)


def test_the_seam_is_what_a_fleet_gives() -> None:
    rent: Rent = Fleet("").rent
    assert callable(rent)
