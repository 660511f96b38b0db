"""Where a request goes, and whose turn it is: what holds for any Thinkers, sessions and loads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import README, markdown
from benchmarks.routing import RESULTS, figures_of, measure_grid
from benchmarks.simulation import Simulation, Work
from workbench.backend.health import OPEN_S, SLOW_START_S, Breaker
from workbench.backend.options import options_of
from workbench.backend.prefixes import ACTIVE_S, WarmPrefixes, prefix_of
from workbench.backend.queue import BATCH_EVERY, OUT_OF_TURN, Line, Turns
from workbench.backend.routing import Origin, View, choose, rendezvous
from workbench.backend.station import ASSUMED_SLOTS, Station, Ticket
from workbench.errors import ConfigurationError
from workbench.messages import MessagesRequest

names = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=2, max_size=8, unique=True)
keys = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30, unique=True)
views = st.lists(
    st.builds(
        View,
        id=st.uuids().map(str),
        wait_s=st.floats(0, 100),
        load_s=st.sampled_from([0.0, 20.0]),
        warm_tokens=st.integers(0, 20_000),
        prefill_tokens_per_s=st.floats(10, 10_000),
        kv_slots=st.integers(1, 16),
        sessions=st.integers(0, 32),
        is_home=st.booleans(),
        evicted_tokens=st.floats(0, 20_000),
        in_flight=st.integers(0, 20),
        usd_per_token=st.none() | st.floats(0, 1),
        has_room=st.booleans(),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda view: view.id,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


# ── the choice ──────────────────────────────────────────────────────────────────────────────────────────────


@given(names, keys)
def test_only_the_keys_of_a_thinker_that_leaves_move(ids: list[str], sessions: list[str]) -> None:
    all_views = [View(id) for id in ids]
    left = all_views[1:]
    for key in sessions:
        before, after = rendezvous(all_views, key), rendezvous(left, key)
        assert before is all_views[0] or after is before


@given(views, st.text(max_size=5), st.integers(1, 30_000))
def test_choice_is_one_of_the_views_with_a_reason_and_the_same_in_any_order(
    given_views: list[View], key: str, tokens: int
) -> None:
    choice = choose(given_views, key, tokens)
    assert choice.id in {view.id for view in given_views}
    assert choice.reason
    if key and not any(view.is_home for view in given_views):
        assert choose(given_views[::-1], key, tokens).first_token_s == pytest.approx(choice.first_token_s)


@given(views, st.integers(1, 30_000))
def test_nobody_waits_at_home_while_another_thinker_would_be_much_sooner(given_views: list[View], tokens: int) -> None:
    free = [replace(view, has_room=True, is_home=False, evicted_tokens=0.0) for view in given_views]
    free[0] = replace(free[0], is_home=True)
    choice = choose(free, "a session", tokens)
    assert choice.first_token_s <= min(view.first_token_s(tokens) for view in free) + 0.25


def test_session_stays_where_its_prompt_is_warm_until_waiting_costs_more_than_reading() -> None:
    home = View("home", warm_tokens=10_000, is_home=True)
    other = View("other")
    assert choose([home, other], "s", 10_500).id == "home"
    assert choose([replace(home, wait_s=3.0), other], "s", 10_500).id == "home"
    spilled = choose([replace(home, wait_s=5.0), other], "s", 10_500)
    assert spilled.id == "other"
    assert spilled.reason.startswith("spill: 4.2 s to the first token, 5.2 s on home (warm: 10000")


def test_new_sessions_fill_all_kv_slots_before_any_is_pushed_out() -> None:
    held = Counter[str]()
    for number in range(16):
        seen = [View(id, kv_slots=4, sessions=held[id]) for id in "abcd"]
        held[choose(seen, f"session {number}", 11_000).id] += 1
    assert set(held.values()) == {4}


def test_loaded_and_among_equals_the_cheapest_thinker_is_taken() -> None:
    cold, dear, cheap = View("cold", load_s=20), View("dear", usd_per_token=2e-6), View("cheap", usd_per_token=1e-6)
    for key in ("", "a", "b", "c"):
        assert choose([cold, dear, cheap], key, 1000).id == "cheap"


def test_thinker_whose_queue_is_full_is_not_taken() -> None:
    assert choose([View("full", has_room=False), View("other", wait_s=60.0)], "", 10).id == "other"


# ── the line ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Item:
    """Somebody in line."""

    origin: Origin
    number: int = 0
    is_warm: bool = False


def line() -> Line[Item]:
    return Line(Turns(), is_warm=lambda item: item.is_warm)


def take_all(waiting: Line[Item]) -> list[Item]:
    taken = []
    while waiting:
        taken.append(waiting.take())
        waiting.served(taken[-1])
    return taken


origins = st.builds(
    Origin, tenant=st.sampled_from("xyz"), session=st.sampled_from("1234"), agent=st.just(""), is_batch=st.booleans()
)


@given(st.lists(st.tuples(origins, st.booleans()), max_size=40))
def test_everybody_is_served_once_and_a_session_in_its_own_order(items: list[tuple[Origin, bool]]) -> None:
    waiting = line()
    joined = [Item(origin, number, is_warm) for number, (origin, is_warm) in enumerate(items)]
    for item in joined:
        waiting.join(item)
    assert sorted(map(id, waiting)) == sorted(map(id, joined))
    taken = take_all(waiting)
    assert sorted(map(id, taken)) == sorted(map(id, joined))
    for origin in {item.origin for item in joined}:
        for is_warm in (True, False):
            own = [item.number for item in taken if (item.origin, item.is_warm) == (origin, is_warm)]
            assert own == sorted(own)


@given(st.integers(1, 30), st.integers(1, 30))
def test_tenant_with_many_requests_delays_another_by_one(many: int, few: int) -> None:
    waiting = line()
    for number in range(many):
        waiting.join(Item(Origin("many", session=str(number))))
    for number in range(few):
        waiting.join(Item(Origin("few", session=str(number))))
    tenants = [item.origin.tenant for item in take_all(waiting)]
    both = 2 * min(many, few)
    assert abs(tenants[:both].count("few") - tenants[:both].count("many")) <= 1


def test_nobody_is_starved_by_warm_prompts_or_by_interactive_work() -> None:
    waiting = line()
    cold, batch = Item(Origin("t", "cold")), Item(Origin("t", "batch", is_batch=True))
    waiting.join(cold)
    waiting.join(batch)
    taken: list[Item] = []
    for number in range(50):  # somebody warm comes whenever somebody is served
        while len(waiting) < 4:
            waiting.join(Item(Origin("t", "warm"), number, is_warm=True))
        taken.append(waiting.take())
        waiting.served(taken[-1])
    assert taken.index(cold) <= 2 * OUT_OF_TURN
    assert taken.index(batch) <= 2 * BATCH_EVERY + OUT_OF_TURN


# ── what is warm, how fast, how many ────────────────────────────────────────────────────────────────────────


def asking(*texts: str) -> MessagesRequest:
    turns = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts]
    return MessagesRequest.model_validate({"model": "m", "max_tokens": 1, "messages": turns})


def test_next_turn_shares_all_of_the_one_before_and_another_conversation_nothing() -> None:
    clock = Clock()
    warm = WarmPrefixes(clock)
    first, second, other = prefix_of(asking("a" * 400)), prefix_of(asking("a" * 400, "b" * 400)), prefix_of(asking("c"))
    warm.note("s", first, slots=2)
    assert warm.shared_tokens(second) == first.total_tokens == warm.shared_tokens(first)
    assert warm.shared_tokens(other) == other.tokens[0]  # the same (empty) system prompt
    warm.note("t", other, slots=2)
    assert warm.evicted_tokens(slots=2) == first.total_tokens
    warm.note("u", other, slots=2)
    assert "s" not in warm
    clock.now_s = ACTIVE_S
    assert warm.active == 0


def ticket(session: str, tokens: str = "") -> Ticket:
    return Ticket(Origin(session=session), prefix_of(asking(tokens or session)), "m", lambda _: True, lambda: None)


def test_parallelism_is_learned_upwards_and_downwards() -> None:
    clock = Clock()
    station = Station("a", clock=clock)
    together = [ticket(str(number)) for number in range(ASSUMED_SLOTS + 1)]
    for one in together:
        station.start(one)
        station.begin(one)
    assert station.slots == ASSUMED_SLOTS + 1
    for one in together:
        station.end(one)
    alone = Station("b", clock=clock)
    waiting = [ticket(str(number)) for number in range(ASSUMED_SLOTS)]
    for one in waiting:
        alone.start(one)
    for number in range(30):  # it answers one at a time, whatever it is given
        alone.begin(waiting[0])
        alone.end(waiting.pop(0))
        waiting.append(ticket(f"next {number}"))
        alone.start(waiting[-1])
    assert alone.slots == 1


def test_speed_of_reading_is_measured_on_long_cold_prompts() -> None:
    clock = Clock()
    station = Station("a", clock=clock, slots=1)
    for number in range(40):
        one = ticket(f"s{number}", str(number) * 8000)
        station.start(one)
        clock.now_s += one.cold_tokens / 1000
        station.begin(one)
        one.output_tokens = 50
        clock.now_s += 1
        station.end(one)
    assert station.prefill_tokens_per_s == pytest.approx(1000, rel=0.01)
    assert station.tokens_per_s == pytest.approx(50)
    assert station.reply_s == pytest.approx(1, rel=0.01)


def test_circuit_opens_tries_once_and_comes_back_slowly() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.failed(is_gone=True)
    assert (breaker.state, breaker.allows) == ("open", False)
    clock.now_s += OPEN_S
    assert (breaker.state, breaker.allows) == ("half-open", True)
    breaker.asked()
    assert not breaker.allows
    breaker.failed()
    clock.now_s += OPEN_S
    assert breaker.state == "open"  # twice as long now
    clock.now_s += OPEN_S
    breaker.asked()
    breaker.succeeded()
    assert breaker.allows
    assert breaker.share < 0.1
    clock.now_s += SLOW_START_S
    assert breaker.share == 1.0


@pytest.mark.parametrize("query", ["slots=0", "slots=many", "usd_per_h=-1", "usd_per_h=cheap", "usd_per_h=nan"])
def test_options_that_make_no_sense_are_refused(query: str) -> None:
    assert options_of("ollama+http://x?slots=4&usd_per_h=0.5").slots == 4
    with pytest.raises(ConfigurationError, match=query.partition("=")[0]):
        options_of(f"ollama+http://x?{query}")


# ── all together, on virtual time ───────────────────────────────────────────────────────────────────────────


def test_where_slots_suffice_routing_is_far_better_than_round_robin() -> None:
    work = Work(sessions=16, slots=4, turns=8)
    ours, theirs = Simulation(work, "workbench").run(), Simulation(work, "round robin").run()
    assert len(ours.ttft_s) == len(theirs.ttft_s) == 16 * 8
    assert 3 * sum(ours.ttft_s) < sum(theirs.ttft_s)
    assert ours.cold_share < 0.5 * theirs.cold_share


def test_grid_tells_every_target_and_every_place() -> None:
    work = Work(sessions=0, slots=0, turns=3)
    cells = measure_grid(work, seeds=1, slots=(1, 4), sessions=(16,))
    rows = [figure.row({}) for figure in figures_of("tiny", cells)]
    assert [cell.has_slots for cell in cells] == [False, True]
    assert sum(row["target"] is not None for row in rows) == 7
    assert [row["more"]["slots"] for row in rows if row["target"] is None] == [1, 4]


def test_the_readmes_routing_figures_are_those_of_the_results_file() -> None:
    table = markdown(orjson.loads(RESULTS.read_bytes()), command="python -m benchmarks.routing")
    assert f"<!-- routing -->\n{table}\n<!-- /routing -->" in README.read_text()
