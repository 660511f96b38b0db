"""The client of vast.ai against the stand-in, in process and on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from benchmarks.stand_ins.serving import LOOPBACK, listen
from benchmarks.stand_ins.vast import StandInVast
from benchmarks.stand_ins.vast_script import Life, Machine, random_lives, random_troubles
from benchmarks.stand_ins.virtual_time import VirtualLoop, run_virtually
from workbench.errors import (
    ConfigurationError,
    CreateUnknown,
    FleetError,
    KeyRefused,
    MarketRefused,
    MarketUnavailable,
    NoCredit,
    OfferGone,
    PriceChanged,
    RateLimited,
)
from workbench.fleet import vast_refusals, vast_wire
from workbench.fleet.market import Address, Condition, Instance, Rental
from workbench.fleet.vast import VastClient
from workbench.fleet.vast_calls import NotSent

EPOCH_S = 1_800_000_000.0
BASE = "http://vast.test"


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    return lambda: EPOCH_S + loop.time()


@contextlib.asynccontextmanager
async def client_of(stand_in: StandInVast, *, key: str | None = None, **given: Any) -> AsyncIterator[VastClient]:
    loop = asyncio.get_running_loop()
    client = VastClient(
        SecretStr(key or stand_in.key), base_url=BASE, transport=stand_in.transport(), clock=loop.time, **given
    )
    async with client:
        yield client


def with_client(act: Callable[[VastClient, StandInVast], Awaitable[None]], *given: Any, **settings: Any) -> None:
    """Run it against a stand-in of its own."""

    async def main(loop: VirtualLoop) -> None:
        stand_in = StandInVast(*given, clock=clock_of(loop), **settings)
        async with client_of(stand_in) as client:
            await act(client, stand_in)

    run_virtually(main)


def raw(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def rental(offer_id: int, label: str = "thinker:a", **given: Any) -> Rental:
    return Rental(offer_id, label, "image", 60.0, onstart="true", **given)


async def rent(client: VastClient, **given: Any) -> int:
    offer = (await client.search([], disk_gb=60))[0]
    return (await client.create(rental(offer.id, **given))).instance_id


async def seen(client: VastClient, instance_id: int) -> Instance:
    instance = await client.show(instance_id)
    assert instance is not None
    return instance


# ── search ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strings", [False, True])
def test_offers_are_priced_with_the_disk_that_is_asked_for(strings: bool) -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        (offer,) = await client.search([Condition("gpu_name", "eq", "RTX 5090")], disk_gb=73)
        assert offer.rates.gpu_usd_per_h == Decimal("0.89")
        assert offer.rates.disk_usd_per_h == Decimal("0.015")
        assert (offer.price_usd_per_h, offer.hardware.gpu_ram_mb) == (Decimal("0.905"), 32_607.0)

    with_client(act, strings=strings)


def test_offers_come_cheapest_first_verified_and_within_the_conditions() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        fast = await client.search(
            [Condition("inet_down", "gt", 200), Condition("gpu_name", "in", ("RTX 4090", "RTX 3090"))], disk_gb=60
        )
        assert [offer.hardware.machine_id for offer in fast] == [103, 101, 102]
        anybody = await client.search([Condition("verified", "in", (True, False))], disk_gb=60, limit=1)
        assert [offer.verified for offer in anybody] == [False]

    with_client(act)


def test_a_bid_search_tells_the_lowest_bid() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        offer = (await client.search([], disk_gb=60, mode="bid"))[0]
        assert (offer.is_bid, offer.min_bid_usd_per_h) == (True, Decimal("0.09"))

    with_client(act)


def test_an_unknown_field_is_named_with_the_nearest_one_before_anything_is_sent() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        with pytest.raises(ConfigurationError, match=r"'gpu_rma'.*did you mean 'gpu_ram'"):
            await client.search([Condition("gpu_rma", "gte", 24_000)], disk_gb=60)
        with pytest.raises(ConfigurationError, match="gpu_ram gte twice"):
            await client.search([Condition("gpu_ram", "gte", 1), Condition("gpu_ram", "gte", 2)], disk_gb=60)
        assert not stand_in.calls

    with_client(act)


# ── create ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("trouble", [None, "error_after", "error_with_contract", "broken_reply", "silence"])
def test_a_create_that_happened_is_found_whatever_the_answer(trouble: Any) -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        rented = await client.create(rental((await client.search([], disk_gb=60))[0].id))
        assert [instance.id for instance in stand_in.market.live()] == [rented.instance_id]
        assert stand_in.labels["thinker:a"] == 1
        assert bool(rented.complaint) == (trouble is not None)

    with_client(act, troubles=lambda endpoint, _: trouble if endpoint == "create" else None)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ("error_before", CreateUnknown),
        ("rate_limited", RateLimited),
        ("gone", OfferGone),
        ("unavailable", OfferGone),
        ("price", PriceChanged),
    ],
)
def test_a_create_that_did_not_happen_is_sent_once_and_told_by_its_kind(trouble: Any, expected: type) -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        with pytest.raises(expected) as told:
            await rent(client)
        assert type(told.value) is expected
        assert (stand_in.calls["create"], stand_in.market.live()) == (1, [])

    with_client(act, troubles=lambda endpoint, _: trouble if endpoint == "create" else None)


def test_an_instance_that_lists_show_late_is_found_all_the_same() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        assert await rent(client) in stand_in.market.instances

    with_client(
        act,
        troubles=lambda endpoint, _: "error_after" if endpoint == "create" else None,
        lives=lambda *_: Life(hidden_s=10),
    )


def test_a_create_that_lists_do_not_show_stays_unknown_and_names_its_label() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        with pytest.raises(CreateUnknown, match="do not send it again") as told:
            await rent(client)
        assert (told.value.label, stand_in.calls["create"]) == ("thinker:a", 1)
        await asyncio.sleep(600)
        assert [found.label for found in await client.find(told.value.label)] == ["thinker:a"]

    with_client(
        act,
        troubles=lambda endpoint, _: "silence" if endpoint == "create" else None,
        lives=lambda *_: Life(hidden_s=300),
    )


def test_a_market_that_cannot_be_reached_rents_nothing() -> None:
    async def main() -> None:
        with listen() as bound:
            port = bound.getsockname()[1]  # bound and never listening: nobody answers
            key = SecretStr("any")
            async with VastClient(key, base_url=f"http://{LOOPBACK}:{port}", gaps_s={}) as client:
                with pytest.raises(NotSent, match="is the network up"):
                    await client.create(rental(1))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"disk_gb": 9000.0}, MarketRefused),
        ({"image": ""}, MarketRefused),
        ({"bid_usd_per_h": Decimal("0.01")}, PriceChanged),
        ({"offer_id": 1}, OfferGone),
    ],
)
def test_what_the_market_refuses_is_told_by_its_kind(change: dict[str, Any], expected: type) -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        asked = {f.name: getattr(rental(next(iter(stand_in.market.offers))), f.name) for f in fields(Rental)}
        with pytest.raises(expected) as told:
            await client.create(Rental(**asked | change))
        assert type(told.value) is expected

    with_client(act)


def test_without_credit_nothing_is_rented() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        with pytest.raises(NoCredit, match="add credit"):
            await rent(client)

    with_client(act, credit_usd=0)


def test_a_script_too_long_for_the_market_is_refused_here() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        with pytest.raises(ConfigurationError, match="4097 characters, expected at most 4096"):
            await client.create(Rental(1, "a", "image", 60.0, onstart="x" * 4097))
        assert not stand_in.calls

    with_client(act)


def test_only_a_bid_makes_an_instance_interruptible() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        plain = await seen(client, await rent(client, label="plain"))
        bidding = await seen(client, await rent(client, label="bid", bid_usd_per_h=Decimal("0.2")))
        assert (plain.is_bid, bidding.is_bid) == (False, True)
        assert bidding.rates.gpu_usd_per_h == Decimal("0.2")
        await client.change_bid(bidding.id, Decimal("0.25"))
        assert (await seen(client, bidding.id)).rates.gpu_usd_per_h == Decimal("0.25")

    with_client(act)


@pytest.mark.parametrize("seed", range(20))
def test_no_create_is_ever_repeated_and_no_instance_unaccounted_for(seed: int) -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        known: set[int] = set()
        unknown: set[str] = set()
        for number, offer_id in enumerate(list(stand_in.market.offers)):
            try:
                known.add((await client.create(rental(offer_id, f"l{number}"))).instance_id)
            except CreateUnknown as error:
                unknown.add(error.label)
            except FleetError:
                pass
        for instance in stand_in.market.live():
            assert instance.id in known or instance.label in unknown
        assert set(stand_in.labels.values()) <= {1}
        assert known

    troubles, lives = random_troubles(seed, share=0.5), random_lives(seed, share=0.5, horizon_s=600)
    with_client(act, [Machine(n) for n in range(12)], troubles=troubles, lives=lives)


# ── reads, changes, pace ────────────────────────────────────────────────────────────────────────────────────────


def test_reads_are_tried_again_and_changes_are_not() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        instance_id = await rent(client)
        assert stand_in.calls["search"] == 2
        with pytest.raises(MarketUnavailable):
            await client.relabel(instance_id, "b")
        assert stand_in.calls["change"] == 1
        assert (await seen(client, instance_id)).label == "thinker:a"

    def troubles(endpoint: str, number: int) -> Any:
        return "error_before" if endpoint in ("search", "change") and number == 0 else None

    with_client(act, troubles=troubles)


def test_calls_of_many_at_once_keep_the_published_gaps() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        ids = [await rent(client, label=str(n)) for n in range(3)]
        await asyncio.gather(*(seen(client, i) for i in ids), *(client.instances() for _ in range(5)))
        await asyncio.gather(*(client.destroy(i) for i in ids), *(client.search([], disk_gb=9) for _ in range(3)))
        assert not stand_in.too_early
        assert stand_in.market.live() == []

    with_client(act)


def test_a_429_of_another_program_is_waited_out_as_long_as_it_says() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        async with client_of(stand_in) as other:
            await client.search([], disk_gb=60)
            began_s = asyncio.get_running_loop().time()
            assert await other.search([], disk_gb=60)
            assert asyncio.get_running_loop().time() - began_s == pytest.approx(6.0, abs=0.2)
        assert stand_in.too_early == {"search": 1}

    with_client(act)


def test_an_outage_longer_than_the_patience_is_told_as_such() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        stand_in.outages.append((EPOCH_S, EPOCH_S + 3600))
        with pytest.raises(MarketUnavailable, match="HTTP 502"):
            await client.instances()
        assert stand_in.calls["list"] == 4

    with_client(act)


def test_a_silent_market_is_left_after_the_time_out() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        instance_id = await rent(client)
        with pytest.raises(MarketUnavailable, match="took more than 30 s to destroy"):
            await client.destroy(instance_id)

    with_client(act, troubles=lambda endpoint, _: "silence" if endpoint == "destroy" else None)


def test_a_destroy_may_be_repeated() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        instance_id = await rent(client)
        for _ in range(3):
            await client.destroy(instance_id)
        assert (await client.show(instance_id), await client.show(instance_id + 1)) == (None, None)
        assert (stand_in.market.live(), await client.instances()) == ([], ())

    with_client(act)


@pytest.mark.parametrize(
    ("status", "told"),
    [(404, {"msg": "no such instance"}), (400, {"error": "unavailable", "msg": "service unavailable"})],
)
def test_a_refused_destroy_of_what_is_still_there_is_no_destroy(status: int, told: dict[str, str]) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            return httpx2.Response(status, json={"success": False, **told})
        return httpx2.Response(200, json={"instances": {"id": 5}})

    async def main(loop: VirtualLoop) -> None:
        transport = httpx2.MockTransport(answer)
        async with VastClient(SecretStr("k"), base_url=BASE, transport=transport, clock=loop.time) as client:
            with pytest.raises(MarketUnavailable, match="still there"):
                await client.destroy(5)

    run_virtually(main)


def test_an_answer_without_an_instance_is_not_a_machine_that_is_gone() -> None:
    async def main(loop: VirtualLoop) -> None:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"success": True}))
        async with VastClient(SecretStr("k"), base_url=BASE, transport=transport, clock=loop.time) as client:
            with pytest.raises(MarketUnavailable, match="no instance"):
                await client.show(5)

    run_virtually(main)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_is_never_taken_for_a_machine_that_is_gone(status: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        stand_in = StandInVast(clock=clock_of(loop), bad_key_status=status)
        async with client_of(stand_in) as good, client_of(stand_in, key="wrong-key") as bad:
            instance_id = await rent(good)
            for asking in (bad.destroy(instance_id), bad.show(instance_id), bad.instances(), bad.account()):
                with pytest.raises(KeyRefused, match="VAST_API_KEY") as told:
                    await asking
                assert "wrong-key" not in str(told.value)

    run_virtually(main)


def test_an_instances_own_key_destroys_it_and_no_other() -> None:
    async def main(loop: VirtualLoop) -> None:
        stand_in = StandInVast(clock=clock_of(loop))
        async with client_of(stand_in) as client:
            offers = await client.search([], disk_gb=60)
            one = await client.create(rental(offers[0].id, "one"))
            two = await client.create(rental(offers[1].id, "two"))
            assert one.key
            async with client_of(stand_in, key=one.key) as scoped:
                with pytest.raises(KeyRefused):
                    await scoped.destroy(two.instance_id)
                await scoped.destroy(one.instance_id)
        assert [instance.id for instance in stand_in.market.live()] == [two.instance_id]

    run_virtually(main)


def test_all_pages_are_read() -> None:
    async def act(client: VastClient, stand_in: StandInVast) -> None:
        for number, offer_id in enumerate(list(stand_in.market.offers)):
            stand_in.market.create(offer_id, {"label": f"l{number}"}, bid=None)
        assert [instance.label for instance in await client.instances()] == [f"l{n}" for n in range(60)]
        assert [instance.label for instance in await client.find("l59")] == ["l59"]
        await asyncio.sleep(3600)
        charges = await client.charges(since_s=EPOCH_S, until_s=EPOCH_S + 86_400)
        assert (len(charges), stand_in.calls["list"], stand_in.calls["charges"]) == (60, 4, 1)

    with_client(act, [Machine(n) for n in range(60)])


@pytest.mark.parametrize(
    "answer",
    [
        {"instances": [], "next_token": "again"},
        {"instances": None},
        {"something": "else"},
        {"instances": [{"label": "no id"}]},
        [],
        "text",
        b"half an ans",
    ],
)
def test_a_list_that_makes_no_sense_is_an_error_and_not_an_empty_list(answer: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=raw(answer)))
        client = VastClient(SecretStr("k"), base_url=BASE, transport=transport, clock=loop.time)
        async with client:
            with pytest.raises(MarketUnavailable):
                await client.instances()

    run_virtually(main)


def test_logs_are_fetched_without_showing_the_key_to_their_host() -> None:
    keys: list[str | None] = []

    async def main(loop: VirtualLoop) -> None:
        stand_in = StandInVast(clock=clock_of(loop))

        async def note(request: httpx2.Request) -> httpx2.Response:
            if "stand-in" in request.url.path:
                keys.append(request.headers.get("authorization"))
            return await stand_in.transport().handle_async_request(request)

        transport = httpx2.MockTransport(note)
        async with VastClient(SecretStr(stand_in.key), base_url=BASE, transport=transport, clock=loop.time) as client:
            instance_id = await rent(client, env={"A": "b"})
            assert "export A=b" in await client.logs(instance_id)

    run_virtually(main)
    assert keys == [None, None]


# ── what is read of an instance ─────────────────────────────────────────────────────────────────────────────────


def test_the_direct_address_is_known_only_while_it_runs() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        instance_id = await rent(client)
        loading = await seen(client, instance_id)
        await asyncio.sleep(60)
        running = await seen(client, instance_id)
        assert (loading.status, loading.direct, loading.is_running) == ("loading", None, False)
        assert (running.status, running.direct, running.is_running) == ("running", Address("203.0.113.1", 40_001), True)
        assert running.addresses == (Address("203.0.113.1", 40_001), Address("ssh1.vast.example", 10_001))

    with_client(act, lives=lambda *_: Life(loading_s=30))


@pytest.mark.parametrize(
    ("life", "failure"),
    [
        (Life(), ""),
        (Life(provisioning_s=1000), ""),
        (Life(outbid_s=50), "outbid"),
        (Life(offline_s=50), "offline"),
        (Life(offline_s=50, online_s=60), ""),
        (Life(exit_s=50), "exited"),
        (Life(stuck_loading=True), ""),
    ],
)
def test_a_failure_is_seen_in_what_the_market_says(life: Life, failure: str) -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        instance_id = await rent(client)
        await asyncio.sleep(100)
        assert (await seen(client, instance_id)).failure == failure

    with_client(act, lives=lambda *_: life)


def test_stopping_ends_the_gpus_bill_and_not_the_disks() -> None:
    async def act(client: VastClient, _: StandInVast) -> None:
        instance_id = await rent(client)
        await asyncio.sleep(3600)
        await client.stop(instance_id)
        stopped_s = asyncio.get_running_loop().time()
        assert not (await seen(client, instance_id)).is_running
        await asyncio.sleep(3600)
        (charge,) = await client.charges(since_s=EPOCH_S, until_s=EPOCH_S + 86_400)
        assert charge.parts["gpu"] == pytest.approx(Decimal("0.22") * int(stopped_s) / 3600, abs=Decimal("0.001"))
        assert charge.parts["disk"] > Decimal("0.0246")
        await client.start(instance_id)
        assert (await seen(client, instance_id)).is_running

    with_client(act)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
_NAMES = sorted(set(vast_wire._InstanceRow.model_fields) - {"id"})


@given(st.integers(min_value=1, max_value=10**9), st.dictionaries(st.sampled_from(_NAMES), _JSON))
def test_no_instance_with_an_id_is_ever_overlooked(instance_id: int, row: dict[str, Any]) -> None:
    assert vast_wire.instance({"id": instance_id, **row}).id == instance_id


@given(st.integers(100, 599), st.binary() | _JSON.map(lambda value: json.dumps(value).encode()), st.text())
def test_every_refusal_is_one_of_our_errors(status: int, body: bytes, retry_after: str) -> None:
    error = vast_refusals.from_answer(status, body, doing="do it", gap_s=1.0, retry_after=retry_after)
    assert isinstance(error, FleetError)
    assert len(str(error)) < 1000


# ── the key ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "said"), [("", "there is no key"), ("with space", "has blanks"), ("line\n", "has blanks"), ("ключ", "has")]
)
def test_a_key_that_is_none_is_refused_at_once_and_not_shown(key: str, said: str) -> None:
    with pytest.raises(KeyRefused, match=said) as told:
        VastClient(SecretStr(key))
    assert not key.strip() or key not in str(told.value)


def test_no_log_line_holds_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def act(client: VastClient, stand_in: StandInVast) -> None:
        await client.destroy(await rent(client, env={"SECRET": "very-secret"}))
        assert stand_in.key not in repr(client)

    with_client(act, troubles=lambda endpoint, number: "broken_reply" if endpoint == "create" else None)
    assert "stand-in-key" not in caplog.text
    assert "instance-key" not in caplog.text
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize("address", ["vast.ai", "ftp://vast.ai", "http://"])
def test_a_bad_address_is_a_configuration_error(address: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match="expected https"):
            await VastClient(SecretStr("k"), base_url=address).open()

    asyncio.run(main())
