"""What a fleet decides without any I/O: offers, budgets, sizes, labels; what it keeps, and what it blots out."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cache.memory_store import MemoryStore
from workbench.errors import LeaseLost, StoreError
from workbench.fleet.budget import Spent, judge
from workbench.fleet.choosing import conditions, ranked
from workbench.fleet.logs import without_secrets
from workbench.fleet.market import Condition, Hardware, Offer, Rates
from workbench.fleet.nodes import Node, Roll, decoded, encoded, new_label, new_roll, read_label
from workbench.fleet.registry import NAME, TENANT, Registry
from workbench.fleet.scaling import Load, Wanted, scaled
from workbench.fleet.terms import Budget, Limits, Scaling, Terms
from workbench.fleet.tunnel import SshAddress

TERMS = Terms(model="qwen3-coder:30b", price_cap_usd_per_h=Decimal("0.60"))
LIMITS = Limits()


def offer(id: int = 1, *, gpu: str = "RTX 4090", usd: str = "0.35", down_usd_per_gb: str = "0", **more: float) -> Offer:
    hardware = Hardware(
        machine_id=id, host_id=1, gpu_name=gpu, num_gpus=1, gpu_ram_mb=24_564, dlperf=95,
        reliability=more.get("reliability", 0.99), inet_up_mbps=400, inet_down_mbps=800, disk_gb=500,
        direct_port_count=10, cuda_max_good=12.8, geolocation="SE",
    )  # fmt: skip
    rates = Rates(Decimal(usd), Decimal("0.01"), Decimal(down_usd_per_gb), Decimal(0))
    return Offer(id, hardware, rates, Decimal("0.10"), 1e6, verified=True, is_bid=False)


# ── offers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_cheapest_token_wins_and_not_the_cheapest_hour() -> None:
    slow, fast = offer(1, gpu="RTX 3090", usd="0.30"), offer(2, gpu="RTX 4090", usd="0.35")
    assert [choice.offer.id for choice in ranked([slow, fast], TERMS, mode="on-demand")] == [2, 1]


def test_unreliable_machines_and_dear_downloads_cost_more_a_token() -> None:
    plain, shaky, dear = offer(1), offer(2, reliability=0.5), offer(3, down_usd_per_gb="0.05")
    first, *rest = ranked([dear, shaky, plain], TERMS, mode="on-demand")
    assert first.offer.id == 1
    assert {choice.offer.id for choice in rest} == {2, 3}


def test_the_cap_counts_the_disk_and_excluded_machines_are_left_out() -> None:
    at_the_cap, over = offer(1, usd="0.59"), offer(2, usd="0.60")
    assert [choice.offer.id for choice in ranked([at_the_cap, over], TERMS, mode="on-demand")] == [1]
    assert ranked([at_the_cap], TERMS, mode="on-demand", without=frozenset({1})) == ()


def test_a_bid_is_above_the_lowest_that_wins() -> None:
    (choice,) = ranked([offer()], TERMS, mode="bid")
    assert choice.bid_usd_per_h == Decimal("0.1150")
    assert choice.usd_per_h == Decimal("0.1250")


def test_a_filter_of_the_file_replaces_ours_of_the_same_field() -> None:
    theirs = Condition("reliability2", "gte", 0.5)
    asked = conditions(replace(TERMS, conditions=(theirs,)))
    assert [each for each in asked if each.field == "reliability2"] == [theirs]


def test_an_offer_that_ends_soon_is_not_asked_for() -> None:
    lasting = {each.value for each in conditions(TERMS) if each.field == "duration"}
    assert lasting == {4 * 3600}
    brief = replace(TERMS, limits=Limits(lifetime_s=1800))
    assert Condition("duration", "gte", 1800) in conditions(brief)


# ── money ───────────────────────────────────────────────────────────────────────────────────────────────────

MONEY = st.decimals(min_value=0, max_value=100, places=4)


@given(limit=MONEY, used=MONEY, rate=MONEY, more=MONEY)
def test_verdicts_only_get_stricter_as_more_is_spent(
    limit: Decimal, used: Decimal, rate: Decimal, more: Decimal
) -> None:
    order = ("rent", "hold", "drain", "destroy")

    def verdict(spent: Decimal) -> int:
        found = judge(
            Budget(total_usd=limit), Spent(spent, spent, spent), usd_per_h=rate, limits=LIMITS, more_usd_per_h=more
        )
        return order.index(found.verdict)

    assert verdict(used) <= verdict(used + 1)
    assert (verdict(used) == 3) == (used >= limit)


def test_draining_begins_so_early_that_it_ends_within_the_budget() -> None:
    spent = Decimal("0.97")
    found = judge(Budget(daily_usd=Decimal(1)), Spent(spent, spent, spent), usd_per_h=Decimal(1), limits=LIMITS)
    assert found.verdict == "drain"
    assert "daily budget of $1.00" in found.why


def test_a_rate_over_the_hourly_budget_is_never_rented() -> None:
    nothing = Spent(Decimal(0), Decimal(0), Decimal(0))
    found = judge(
        Budget(hourly_usd=Decimal(1)), nothing,
        usd_per_h=Decimal("0.6"), limits=LIMITS, more_usd_per_h=Decimal("0.5"),
    )  # fmt: skip
    assert found.verdict == "hold"


# ── size ────────────────────────────────────────────────────────────────────────────────────────────────────

RULES = Scaling(least=0, most=3, grow_wait_s=10, grow_after_s=30, shrink_idle_s=900)


def test_one_more_is_wanted_only_after_the_wait_has_lasted_and_all_are_ready() -> None:
    slow = Load(wait_s=20, idle_s=0)
    wanted = scaled(Wanted(1), slow, RULES, now_s=0, ready=1, starting=0)
    assert scaled(wanted, slow, RULES, now_s=29, ready=1, starting=0).count == 1
    assert scaled(wanted, slow, RULES, now_s=31, ready=0, starting=0).count == 1
    assert scaled(wanted, slow, RULES, now_s=31, ready=1, starting=0).count == 2
    calm = scaled(wanted, Load(wait_s=1, idle_s=0), RULES, now_s=20, ready=1, starting=0)
    assert scaled(calm, slow, RULES, now_s=31, ready=1, starting=0).count == 1


def test_the_first_request_wakes_a_fleet_of_none_and_idleness_ends_it() -> None:
    woken = scaled(Wanted(0), Load(wait_s=math.inf, idle_s=0), RULES, now_s=0, ready=0, starting=0)
    assert woken.count == 1
    assert scaled(woken, Load(wait_s=0, idle_s=899), RULES, now_s=1, ready=1, starting=0).count == 1
    assert scaled(woken, Load(wait_s=0, idle_s=900), RULES, now_s=1, ready=1, starting=0).count == 0


def test_a_machine_that_still_boots_is_not_given_up_for_idleness() -> None:
    load = Load(wait_s=math.inf, idle_s=900)
    assert scaled(Wanted(1), load, RULES, now_s=900, ready=0, starting=1).count == 1
    assert scaled(Wanted(1), load, RULES, now_s=900, ready=0, starting=0).count == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 2000), st.integers(0, 3)), max_size=50))
def test_never_less_than_the_least_or_more_than_the_most(steps: list[tuple[float, float, int]]) -> None:
    rules, wanted = replace(RULES, least=1), Wanted(1)
    for now, (wait_s, idle_s, ready) in enumerate(steps):
        wanted = scaled(wanted, Load(wait_s, idle_s), rules, now_s=float(now * 20), ready=ready, starting=0)
        assert 1 <= wanted.count <= 3


# ── what is kept ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_roll_survives_the_store_and_a_label_says_whose_it_is() -> None:
    roll = new_roll()
    label = new_label(project="mine", fleet=roll.fleet, expires_s=1_800_000_000)
    node = Node(
        label, 1, 2, "RTX 4090", "bid", Decimal("0.1234"), 1.5, 2.5, "ready", 3.5,
        addresses=(SshAddress("1.2.3.4", 22),), host_key="ssh-ed25519 AAAA",
    )  # fmt: skip
    assert decoded(encoded(roll.having(node))) == roll.having(node)
    told = read_label(label)
    assert told is not None
    assert (told.project, told.fleet, told.expires_s) == ("mine", roll.fleet, 1_800_000_000)
    assert read_label("somebody else's") is None
    with pytest.raises(StoreError, match="cannot be read"):
        decoded(b"{}")


def test_one_controller_at_a_time_and_the_loser_cannot_write() -> None:
    async def run() -> None:
        store, now = MemoryStore(max_bytes=2**20), [0.0]
        first, second = (Registry(store, holder=name, lease_s=30, clock=lambda: now[0]) for name in "ab")
        roll = await first.hold()
        assert isinstance(roll, Roll)
        assert await second.hold() is None
        now[0] = 29
        assert await first.hold()
        assert await second.hold() is None
        now[0] = 60
        assert await second.hold()
        with pytest.raises(LeaseLost):
            await first.write(roll)
        assert await first.hold() is None
        await second.release()
        assert await first.hold()

    asyncio.run(run())


def test_two_controllers_that_begin_together_do_not_both_hold() -> None:
    async def run() -> None:
        store = MemoryStore(max_bytes=2**20)
        registries = [Registry(store, holder=str(i), lease_s=30, clock=lambda: 0.0) for i in range(5)]
        held = await asyncio.gather(*(registry.hold() for registry in registries))
        assert sum(roll is not None for roll in held) == 1

    asyncio.run(run())


def test_a_registry_that_cannot_be_read_is_an_error_and_not_an_empty_fleet() -> None:
    async def run() -> None:
        store = MemoryStore(max_bytes=2**20)
        await store.set_state(TENANT, NAME, b"from a newer version", expected=None)
        with pytest.raises(StoreError, match="newer version"):
            await Registry(store, holder="a", lease_s=30, clock=lambda: 0.0).hold()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def", "abc.def"),
        ("CONTAINER_API_KEY=0123abc", "0123abc"),
        ('{"instance_api_key": "s3cr3t"}', "s3cr3t"),
        ("HF_TOKEN: hf_abcdefgh12345", "hf_abcdefgh12345"),
        ("https://user:hunter2@host/x", "hunter2"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\nnext line", "b3Blb"),
        ("key " + "a1" * 32, "a1" * 32),
    ],
)
def test_kept_logs_have_no_secrets(text: str, secret: str) -> None:
    assert secret not in without_secrets(f"before\n{text}")
    assert without_secrets(f"before\n{text}").startswith("before\n")
