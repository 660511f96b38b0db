"""The ledger: exact, never surprised by a machine, and still true after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.vast_script import Life
from benchmarks.stand_ins.virtual_time import VirtualLoop, run_virtually
from workbench.errors import LedgerError
from workbench.fleet.costing import Phase, rounded
from workbench.fleet.ledger import Ledger
from workbench.fleet.ledger_file import LedgerFile
from workbench.fleet.market import Charge, Rates, Rental
from workbench.fleet.vast import VastClient

EPOCH_S = 1_800_000_000.0
RATES = Rates(Decimal("0.36"), Decimal("0.036"), Decimal("0.01"), Decimal("0.02"))


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = EPOCH_S

    def __call__(self) -> float:
        return self.now_s


@contextlib.asynccontextmanager
async def opened(path: Path, clock: Callable[[], float]) -> AsyncIterator[Ledger]:
    ledger = Ledger(path, clock=clock)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


def with_ledger(folder: Path, act: Callable[[Ledger, Clock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(folder / "deep" / "ledger.sqlite", clock) as ledger:
            await act(ledger, clock)

    asyncio.run(main())


async def intend(ledger: Ledger, label: str = "a", *, rates: Rates = RATES) -> None:
    await ledger.intend(label, machine_id=7, rates=rates, expires_s=EPOCH_S + 3600)


def test_a_machine_is_known_before_it_is_rented_and_until_it_is_confirmed_gone(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        (entry,) = await ledger.live()
        assert (entry.label, entry.state, entry.instance_id, entry.machine_id) == ("a", "intended", None, 7)
        await ledger.rented("a", instance_id=11)
        await ledger.rented("a", instance_id=11)
        (entry,) = await ledger.live()
        assert (entry.state, entry.instance_id, entry.phase, entry.gpu_billed) == ("rented", 11, "booting", False)
        clock.now_s += 5
        await ledger.destroyed("a")
        await ledger.destroyed("a")
        assert await ledger.live() == ()
        (entry,) = await ledger.entries()
        assert (entry.state, entry.ended_s) == ("destroyed", EPOCH_S + 5)

    with_ledger(tmp_path, act)


def test_disk_costs_from_the_intent_on_and_the_gpu_while_it_is_billed(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        clock.now_s += 100
        await ledger.rented("a", instance_id=11)
        await ledger.observe("a", phase="booting", gpu_billed=True)
        clock.now_s += 100
        await ledger.observe("a", phase="idle", gpu_billed=True)
        clock.now_s += 100
        await ledger.observe("a", phase="busy", gpu_billed=True)
        clock.now_s += 300
        await ledger.observe("a", phase="failed", gpu_billed=False)
        clock.now_s += 1000
        await ledger.destroyed("a")
        clock.now_s += 10_000
        cost = await ledger.cost()
        assert cost.by_phase() == {
            "booting": Decimal("0.012"),
            "idle": Decimal("0.011"),
            "busy": Decimal("0.033"),
            "failed": Decimal("0.01"),
        }
        assert cost.total_usd == sum(cost.by_phase().values()) == cost.by_label()["a"]
        busy = next(line for line in cost.lines if line.phase == "busy")
        assert (busy.existing_s, busy.running_s) == (300, 300)

    with_ledger(tmp_path, act)


def test_traffic_counts_once_and_in_the_phase_in_which_it_was_told(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        await ledger.traffic("a", down_bytes=20_000_000_000, up_bytes=0)
        await ledger.observe("a", phase="busy", gpu_billed=False)
        await ledger.traffic("a", down_bytes=20_000_000_000, up_bytes=1_000_000_000)
        await ledger.traffic("a", down_bytes=5, up_bytes=5)
        cost = await ledger.cost()
        assert cost.by_phase()["booting"] == Decimal("0.2")
        assert cost.by_phase()["busy"] == Decimal("0.02")
        assert [(line.down_bytes, line.up_bytes) for line in cost.lines] == [(20 * 10**9, 0), (0, 10**9)]

    with_ledger(tmp_path, act)


def test_what_was_not_rented_cost_nothing(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        clock.now_s += 60
        assert (await ledger.cost()).total_usd == Decimal("0.0006")
        await ledger.not_rented("a", reason="gone")
        await ledger.not_rented("a", reason="again")
        assert (await ledger.cost()).total_usd == 0
        assert [(entry.state, entry.reason) for entry in await ledger.entries()] == [("not_rented", "gone")]
        assert await ledger.live() == ()

    with_ledger(tmp_path, act)


def test_a_new_price_counts_from_its_time_on(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        await ledger.observe("a", phase="idle", gpu_billed=True)
        clock.now_s += 1000
        await ledger.reprice("a", rates=Rates(Decimal("3.6"), Decimal(0), Decimal(0), Decimal(0)))
        clock.now_s += 1000
        assert (await ledger.cost()).total_usd == Decimal("1.11")
        assert (await ledger.live())[0].phase == "idle"

    with_ledger(tmp_path, act)


def test_a_clock_that_steps_back_makes_nothing_negative(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        clock.now_s -= 3600
        assert (await ledger.cost(until_s=EPOCH_S + 10)).total_usd == 0
        await ledger.observe("a", phase="idle", gpu_billed=True)
        await ledger.destroyed("a")
        assert (await ledger.cost(until_s=EPOCH_S + 10)).total_usd == 0

    with_ledger(tmp_path, act)


def test_what_is_known_late_counts_from_when_it_was(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        clock.now_s += 100
        await ledger.observe("a", phase="booting", gpu_billed=True, at_s=EPOCH_S + 50)
        clock.now_s += 100
        await ledger.destroyed("a", at_s=EPOCH_S + 150)
        cost = await ledger.cost()
        assert [(line.existing_s, line.running_s) for line in cost.lines] == [(150, 100)]

    with_ledger(tmp_path, act)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        with pytest.raises(LedgerError, match="in the ledger already"):
            await intend(ledger)
        with pytest.raises(LedgerError, match="does not know 'b'"):
            await ledger.rented("b", instance_id=1)
        await ledger.rented("a", instance_id=1)
        with pytest.raises(LedgerError, match="is instance 1 in the ledger, not 2"):
            await ledger.rented("a", instance_id=2)
        with pytest.raises(LedgerError, match="expected its destroy"):
            await ledger.not_rented("a", reason="gone")
        await intend(ledger, "c")
        await ledger.not_rented("c", reason="gone")
        with pytest.raises(LedgerError, match="stands in the ledger as not rented"):
            await ledger.rented("c", instance_id=3)

    with_ledger(tmp_path, act)


def test_charges_are_put_beside_what_was_counted(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        await intend(ledger)
        await ledger.rented("a", instance_id=11)
        await intend(ledger, "b")
        clock.now_s += 1000
        charges = [
            Charge(11, EPOCH_S, EPOCH_S + 500, Decimal("0.006"), {"disk": Decimal("0.005")}),
            Charge(11, EPOCH_S + 500, EPOCH_S + 1000, Decimal("0.006"), {"disk": Decimal("0.006")}),
            Charge(99, EPOCH_S, EPOCH_S + 1000, Decimal("1.5"), {"gpu": Decimal("1.5")}),
        ]
        told = await ledger.reconcile(charges)
        known, unknown = told.rows
        assert (known.label, known.counted_usd, known.charged_usd) == ("a", Decimal("0.01"), Decimal("0.012"))
        assert known.difference_usd == Decimal("0.002")
        assert known.charged_by_kind == {"disk": Decimal("0.011")}
        assert told.unknown == (unknown,)
        assert (unknown.instance_id, told.difference_usd) == (99, Decimal("1.502"))

    with_ledger(tmp_path, act)


# ── against the stand-in's bill ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "life",
    [
        Life(provisioning_s=20, loading_s=70, pull_s=100, pull_gb=19.0),
        Life(loading_s=30, outbid_s=300),
        Life(exit_s=1),
    ],
)
def test_a_watched_machine_costs_what_the_market_charges(tmp_path: Path, life: Life) -> None:
    async def main(loop: VirtualLoop) -> None:
        stand_in = StandInVast(clock=lambda: EPOCH_S + loop.time(), lives=lambda *_: life)
        key = SecretStr(stand_in.key)
        async with (
            opened(tmp_path / "ledger.sqlite", lambda: EPOCH_S + loop.time()) as ledger,
            VastClient(key, base_url="http://vast.test", transport=stand_in.transport(), clock=loop.time) as client,
        ):
            await rent_and_watch(client, ledger, until_s=600)
            charges = await client.charges(since_s=EPOCH_S, until_s=EPOCH_S + 86_400)
            told = await ledger.reconcile(charges)
        assert told.unknown == ()
        assert told.charged_usd == pytest.approx(rounded(stand_in.charged_usd()), abs=Decimal("0.000001"))
        # Seen every 2.05 s: neither edge of what the GPU was billed for is known any better.
        assert abs(told.difference_usd) < Decimal("0.001")

    run_virtually(main)


async def rent_and_watch(client: VastClient, ledger: Ledger, *, until_s: float) -> None:
    loop = asyncio.get_running_loop()
    offer = (await client.search([], disk_gb=60))[0]
    await intend(ledger, rates=offer.rates)
    rented = await client.create(Rental(offer.id, "a", "image", 60, onstart="true"))
    await ledger.rented("a", instance_id=rented.instance_id)
    while loop.time() < until_s:
        instance = await client.show(rented.instance_id)
        assert instance is not None
        await ledger.observe("a", phase="idle", gpu_billed=instance.is_running)
        await ledger.traffic("a", down_bytes=instance.down_bytes or 0, up_bytes=instance.up_bytes or 0)
    await client.destroy(rented.instance_id)
    await ledger.destroyed("a")


# ── properties ──────────────────────────────────────────────────────────────────────────────────────────────────

PHASES: tuple[Phase, ...] = ("booting", "idle", "busy", "failed")
Step = tuple[Literal["wait", "observe", "traffic"], int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["wait", "observe", "traffic"]), st.integers(0, 10**6), st.integers(0, 10**11)),
    max_size=12,
)
PRICES = st.decimals(min_value=0, max_value=9, places=6)


@settings(max_examples=40)
@given(steps=STEPS, prices=st.tuples(PRICES, PRICES, PRICES, PRICES), cuts=st.lists(st.integers(0, 10**7), max_size=3))
def test_the_sum_is_that_of_a_naive_twin_and_windows_add_up(
    steps: list[Step], prices: tuple[Decimal, Decimal, Decimal, Decimal], cuts: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare_with_twin(Path(folder) / "ledger.sqlite", steps, Rates(*prices), cuts)


def compare_with_twin(path: Path, steps: list[Step], rates: Rates, cuts: list[int]) -> None:
    prices, clock = (rates.gpu_usd_per_h, rates.disk_usd_per_h, rates.down_usd_per_gb, rates.up_usd_per_gb), Clock()
    ledger = LedgerFile(path, clock=clock)
    ledger.open()
    ledger.intend("a", machine_id=1, rates=rates, expires_s=0)
    gpu_billed, expected, told = False, Fraction(0), [0, 0]
    for kind, number, size_bytes in steps:
        if kind == "wait":
            clock.now_s += number / 1000
            hours = Fraction(number, 3_600_000)
            expected += hours * (Fraction(prices[1]) + (Fraction(prices[0]) if gpu_billed else 0))
        elif kind == "observe":
            gpu_billed = bool(number % 2)
            ledger.observe("a", phase=PHASES[number % 4], gpu_billed=gpu_billed, at_s=None)
        else:
            more = [max(size_bytes, told[0]), max(size_bytes // 2, told[1])]
            ledger.traffic("a", down_bytes=more[0], up_bytes=more[1])
            expected += Fraction(more[0] - told[0], 10**9) * Fraction(prices[2])
            expected += Fraction(more[1] - told[1], 10**9) * Fraction(prices[3])
            told = more
    whole = ledger.cost(since_s=0, until_s=None)
    assert whole.total_usd == rounded(expected)
    edges = [EPOCH_S, *(EPOCH_S + cut / 1000 for cut in sorted(cuts) if EPOCH_S + cut / 1000 <= clock.now_s)]
    ends = [*edges[1:], clock.now_s]
    pieces = [ledger.cost(since_s=a, until_s=b).total_usd for a, b in zip(edges, ends, strict=True)]
    time_only = all(kind != "traffic" for kind, _, _ in steps)
    if time_only:
        assert abs(sum(pieces, Decimal(0)) - whole.total_usd) <= Decimal("0.000001") * len(pieces)
    ledger.close()


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────

_KILLED = """
import asyncio, os, signal, sys
from decimal import Decimal
from pathlib import Path
from workbench.fleet.ledger import Ledger
from workbench.fleet.market import Rates

async def main():
    ledger = Ledger(Path(sys.argv[1]), clock=lambda: 1_800_000_000.0)
    await ledger.open()
    zero = Decimal(0)
    await ledger.intend("a", machine_id=1, rates=Rates(Decimal("3.6"), zero, zero, zero), expires_s=0)
    await ledger.rented("a", instance_id=5)
    await ledger.observe("a", phase="busy", gpu_billed=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_what_was_told_survives_a_kill_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False, timeout=60)

    async def main() -> None:
        clock = Clock()
        clock.now_s += 1000
        async with opened(path, clock) as ledger:
            (entry,) = await ledger.live()
            assert (entry.instance_id, entry.phase, entry.gpu_billed) == (5, "busy", True)
            assert (await ledger.cost()).total_usd == Decimal("1.0")

    asyncio.run(main())


def test_two_processes_may_write_the_same_ledger(tmp_path: Path) -> None:
    async def main() -> None:
        clock, path = Clock(), tmp_path / "ledger.sqlite"
        async with opened(path, clock) as one, opened(path, clock) as other:
            await asyncio.gather(*(intend(ledger, f"{n}{ledger is one}") for n in range(20) for ledger in (one, other)))
            assert len(await one.live()) == len(await other.live()) == 40
            with pytest.raises(LedgerError, match="already"):
                await intend(other, "0True")

    asyncio.run(main())


def test_a_caller_that_is_cancelled_leaves_whole_rows(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        tasks = [asyncio.create_task(intend(ledger, str(n))) for n in range(30)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert len(await ledger.live()) == 30  # each had been handed over, so each is written

    with_ledger(tmp_path, act)


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        path = tmp_path / "deep" / "ledger.sqlite"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    with_ledger(tmp_path, act)


def _open(path: Path) -> None:
    async def main() -> None:
        async with opened(path, Clock()):
            pass

    asyncio.run(main())


def test_another_programs_file_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program's database"):
        _open(path)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database, but long enough to be looked at as one" * 100)
    with pytest.raises(LedgerError, match="unreadable"):
        _open(garbage)
    assert path.read_bytes() == before


def test_a_newer_ledger_asks_for_an_update(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    _open(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="version 99, expected 1: update"):
        _open(path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be opened"):
        _open(tmp_path / "file" / "ledger.sqlite")


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        with pytest.raises(LedgerError, match="closed"):
            await ledger.live()
        await ledger.close()

    asyncio.run(main())


def test_an_error_of_sqlite_is_one_of_ours(tmp_path: Path) -> None:
    async def act(ledger: Ledger, clock: Clock) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "deep" / "ledger.sqlite")) as db:
            db.execute("DROP TABLE traffic")
        with pytest.raises(LedgerError, match="file failed"):
            await ledger.cost()

    with_ledger(tmp_path, act)


def test_rounding_is_to_even_millionths() -> None:
    cases: list[tuple[Any, str]] = [("0.0000005", "0"), ("0.0000015", "0.000002"), ("-0.0000025", "-0.000002")]
    for given_usd, expected in cases:
        assert rounded(Fraction(given_usd)) == Decimal(expected)
