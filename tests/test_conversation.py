"""Conversations in other words: which earlier turns say the same, what refuses, and that nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as steady
from hypothesis import strategies as st

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from tests.proxying import body, outcome, post, proxied
from tests.stores import pointing, redis_server
from workbench.cache.audit import Permission
from workbench.cache.cache import Bypass, Conversations, Hit, Miss, SemanticCache
from workbench.cache.conversation import CROWD, MOST_CHARACTERS, MOST_EARLIER, SEARCHED
from workbench.cache.memory_store import MemoryStore
from workbench.cache.policy import Policy, Refuse, load_policy
from workbench.cache.question import Question, question
from workbench.cache.store import Vector
from workbench.messages import MessagesRequest

SPARE = 10_000_000
READ, WRITE = "How do I read a file in Python?", "And how do I write one?"
REPLY, SAME_REPLY = "Call open and read it.", "Call `open`, and read it."
STORED = (READ, REPLY, WRITE)


class Vouching:
    """Vouches for everything."""

    async def vouches(self, question: Question, candidate: str) -> bool:
        return True


@cache
def policy_that_ships() -> Policy:
    """Its first stage: no verifier is here."""
    return load_policy().without_second()


def ask(*turns: Any, **fields: Any) -> Question:
    """The question at the end of these turns, by turns the user's and the assistant's."""
    return question(MessagesRequest.model_validate(request(*turns, **fields)), model="m", model_digest="d")


def request(*turns: Any, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "assistant" if place % 2 else "user", "content": turn} for place, turn in enumerate(turns)]
    return body(**({"messages": messages} | fields))


class Placing:
    """Every text points the same way, but for those that a test puts elsewhere; what begins with 'long' has none."""

    def __init__(self, **angles: float) -> None:
        self._angles = angles
        self.embedded: list[str] = []

    async def embed(self, text: str) -> Vector | None:
        return self.known(text)

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        self.embedded += texts
        return [self.known(text) for text in texts]

    def known(self, text: str) -> Vector | None:
        return None if text.startswith("long") else pointing(self._angles.get(text.split()[-1], 0.0))


class Lazy(Placing):
    """Remembers nothing, so what is stored is pending."""

    def known(self, text: str) -> None:
        return None

    async def embed_all(self, texts: Sequence[str]) -> list[Vector | None]:
        return [super(Lazy, self).known(text) for text in texts]


class Noting:
    """Permits everything but one scope, and notes what it is asked."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def look(self, tenant: str) -> None:
        return None

    def cut(self, tenant: str) -> None:
        return None

    def era(self, tenant: str) -> int:
        return 0

    def may_serve(self, tenant: str, *, scope: str, entry_id: str, question_digest: str) -> Permission:
        self.scopes.append(scope)
        return "serve"


def cache_on(
    store: MemoryStore | None = None,
    conversations: Conversations = "aligned",
    *,
    embedder: Placing | None = None,
    permits: Noting | None = None,
    voucher: Vouching | None = None,
    policy: Policy | None = None,
) -> SemanticCache:
    return SemanticCache(
        store or MemoryStore(max_bytes=SPARE),
        memory=None,
        embedder=embedder or Placing(),
        permits=permits,
        voucher=voucher,
        policy=policy or policy_that_ships(),
        conversations=conversations,
        ttl_s=60,
        timeout_s=5.0,
    )


async def put(cache: SemanticCache, *stored: Question) -> None:
    for one in stored:
        assert await cache.insert("t", one, one.digest.encode(), model="m", by_meaning=True)


def found(stored: Sequence[Question], asked: Question, **given: Any) -> Hit | Miss | Bypass:
    async def story() -> Hit | Miss | Bypass:
        cache = cache_on(**given)
        await put(cache, *stored)
        return await cache.lookup("t", asked)

    return asyncio.run(story())


# ── what says the same ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("turns", "differing"),
    [
        (("how do i read a file in python", REPLY, WRITE), 1),
        (("how do i read a file in python", REPLY, "and how do i write one"), 1),
        ((READ, SAME_REPLY, "and how do i write one"), 1),
        (("how do i read a file in python", SAME_REPLY, WRITE), 2),
        ((READ, REPLY, "and how do i write one"), 0),
    ],
)
def test_conversation_whose_turns_say_the_same_is_served(turns: tuple[str, ...], differing: int) -> None:
    hit = found([ask(*STORED)], ask(*turns))

    assert isinstance(hit, Hit)
    assert hit.decision
    assert (hit.tier, hit.decision.turns) == ("semantic", differing)
    assert ("turns=" in hit.decision.short) == (differing > 0)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (("How do I write a file in Python?", REPLY, WRITE), "turn-1-antonyms"),
        (("How do I read a file in Perl?", REPLY, WRITE), "turn-1-technology"),
        (("How do I read today's file in Python?", REPLY, WRITE), "turn-1-moment"),
        ((READ, "Call open and do not read it.", WRITE), "turn-2-negation"),
        ((READ, "Call open and read 3 of it.", WRITE), "turn-2-numbers-missing"),
        ((READ, "1. Call open and\n2. read it.", WRITE), "turn-2-list"),
        ((READ, "- Call open\n- read it.", WRITE), "turn-2-list"),
        ((READ, "Call open and read elsewhere", WRITE), "turn-2-below-threshold"),
        ((READ, "long words, and ever more of them", WRITE), "turn-2-unreadable"),
        (("how do i read a file in python", REPLY, "And how do I not write one?"), "negation"),
    ],
)
def test_refusal_names_the_turn_and_what_differs(turns: tuple[str, ...], reason: str) -> None:
    missed = found([ask(*STORED)], ask(*turns), embedder=Placing(elsewhere=0.6))

    assert isinstance(missed, Miss)
    assert missed.reason == reason
    assert isinstance(missed.decision, Refuse)
    assert missed.decision.turns == 1


@pytest.mark.parametrize(("first", "comes_to"), [(READ, Hit), ("how can i read files in python", Miss)])
def test_nobody_vouches_for_last_words_whose_earlier_turns_were_not_compared(first: str, comes_to: type) -> None:
    score = policy_that_ships().score
    assert score
    strict = {"score": score.model_copy(update={"cut": 1000.0}), "second": None}
    policy = policy_that_ships().model_copy(update=strict)

    asked = ask(first, REPLY, "and how do i write one")
    assert isinstance(found([ask(*STORED)], asked, voucher=Vouching(), policy=policy), comes_to)


def test_refusal_of_a_turn_shows_its_values() -> None:
    missed = found([ask("Sort 12 numbers", REPLY, WRITE)], ask("Sort 13 numbers", REPLY, WRITE))

    assert isinstance(missed, Miss)
    assert isinstance(missed.decision, Refuse)
    assert (missed.decision.slot, missed.decision.asked, missed.decision.stored) == ("numbers", "13", "12")


def test_so_many_turns_that_differ_are_refused_unread() -> None:
    embedder = Placing()
    stored, asked = ([f"{say} it {place}" for place in range(6)] for say in ("Say", "say"))

    missed = found([ask(*stored, WRITE)], ask(*asked, WRITE), embedder=embedder)

    assert isinstance(missed, Miss)
    assert missed.reason == "turns-differing"
    assert not {f"say: it {place}" for place in range(6)} & set(embedder.embedded)


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


@pytest.mark.parametrize(
    ("turns", "fields"),
    [
        ((READ, REPLY, READ, REPLY, WRITE), {}),
        (([{"type": "text", "text": READ}, IMAGE], REPLY, WRITE), {}),
        (STORED, {"system": "Be terse."}),
        (STORED, {"max_tokens": 3}),
        (STORED, {"tools": [{"name": "Bash", "input_schema": {"type": "object"}}]}),
        ((f"<system-reminder>x</system-reminder>{READ}", REPLY, WRITE), {}),
    ],
)
def test_all_but_words_must_be_identical(turns: tuple[Any, ...], fields: dict[str, Any]) -> None:
    missed = found([ask(*STORED)], ask(*turns, **fields))

    assert isinstance(missed, Miss)
    assert missed.reason == "no-candidate"


def test_strict_mode_wants_identical_earlier_turns() -> None:
    missed = found([ask(*STORED)], ask("how do i read a file in python", REPLY, WRITE), conversations="strict")

    assert isinstance(missed, Miss)
    assert missed.reason == "no-candidate"


# ── what must not be lost by it ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("embedder", [Placing(), Lazy()])
def test_right_conversation_is_found_among_many_with_the_same_last_words(embedder: Placing) -> None:
    others = [ask(f"Item {number} in Java?", REPLY, "Why?") for number in range(2 * SEARCHED[0])]
    stored = [ask(*STORED[:2], "Why?"), *others]

    for asked in (ask(*STORED[:2], "why"), ask("how do i read a file in python", REPLY, "Why?")):
        hit = found(stored, asked, embedder=embedder)
        assert isinstance(hit, Hit)
        assert hit.entry.digest == stored[0].digest


WORDS = st.sampled_from(["Is Python 3 fast?", "is python 3 fast", "Is Python 2 fast?", "Why?", "why"])
TALKS = st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5)


@steady(max_examples=40)
@given(stored=TALKS, asked=st.tuples(WORDS, WORDS, WORDS))
def test_aligned_mode_serves_whatever_strict_mode_serves(
    stored: list[tuple[str, str, str]], asked: tuple[str, str, str]
) -> None:
    talks = [ask(*turns) for turns in stored]
    strict = found(talks, ask(*asked), conversations="strict")
    aligned = found(talks, ask(*asked))

    if isinstance(strict, Hit):
        assert isinstance(aligned, Hit)
        assert aligned.entry.digest == strict.entry.digest
    elif isinstance(aligned, Hit):
        assert aligned.decision
        assert aligned.decision.turns > 0


# ── where it is kept ────────────────────────────────────────────────────────────────────────────────────────

SECRET = "My key is sk-ant-api03-Zx8Qw2Lm5Rt7Yp9Kc4Vb6Nh1Jd3Gf0SaQeWrTyUi"  # noqa: S105  # nobody's


@pytest.mark.parametrize(
    "first",
    [SECRET, "a " * MOST_CHARACTERS],
    ids=["secret", "large"],
)
def test_conversation_that_may_not_be_kept_whole_is_matched_in_its_strict_scope(first: str) -> None:
    async def story() -> None:
        store = MemoryStore(max_bytes=SPARE)
        cache = cache_on(store)
        await put(cache, ask(first, REPLY, WRITE))
        (entry,) = await store.entries("t")
        assert (entry.scope, entry.turns) == (ask(first, REPLY, WRITE).scope, ())
        assert isinstance(await cache.lookup("t", ask(first, REPLY, "and how do i write one")), Hit)

    asyncio.run(story())


def test_long_conversation_is_matched_in_its_strict_scope() -> None:
    earlier = [f"Say it {place}" for place in range(MOST_EARLIER + 2)]

    hit = found([ask(*earlier, WRITE)], ask(*earlier, "and how do i write one"))

    assert isinstance(hit, Hit)
    assert (hit.entry.scope, hit.entry.turns) == (ask(*earlier, WRITE).scope, ())


def test_only_what_is_matched_turn_by_turn_keeps_its_turns() -> None:
    async def story() -> None:
        store = MemoryStore(max_bytes=SPARE)
        await put(cache_on(store, "strict"), ask(*STORED))
        await put(cache_on(store), ask(READ))
        assert [entry.turns for entry in await store.entries("t")] == [(), ()]
        await put(cache_on(store), ask(*STORED))
        assert (await store.entries("t"))[0].turns == (f"user: {READ}", f"assistant: {REPLY}", f"user: {WRITE}")

    asyncio.run(story())


def test_conversation_in_a_crowd_is_kept_and_found_in_its_strict_scope() -> None:
    async def story() -> None:
        cache, right = cache_on(), ask(*STORED[:2], "Why?")
        crowd = [ask(f"Item {number} in Java?", REPLY, "Why?") for number in range(CROWD + 1)]
        await put(cache, *crowd)
        assert isinstance(await cache.lookup("t", right), Miss)
        await put(cache, right, *(ask(f"Thing {number} in Java?", REPLY, "Why?") for number in range(SEARCHED[-1])))
        entry = await cache.store.find("t", right.digest[:16])
        assert entry
        assert (entry.scope, entry.turns) == (right.scope, ())
        hit = await cache.lookup("t", ask(*STORED[:2], "why"))
        assert isinstance(hit, Hit)
        assert hit.entry.digest == right.digest

    asyncio.run(story())


@pytest.mark.parametrize(("before", "after", "found"), [("strict", "aligned", Hit), ("aligned", "strict", Miss)])
def test_switching_back_loses_conversations_by_meaning_and_nothing_else(
    before: Conversations, after: Conversations, found: type
) -> None:
    async def story() -> None:
        store = MemoryStore(max_bytes=SPARE)
        await put(cache_on(store, before), ask(*STORED), ask(READ))
        cache = cache_on(store, after)
        assert isinstance(await cache.lookup("t", ask(*STORED)), Hit)
        assert isinstance(await cache.lookup("t", ask("how do i read a file in python")), Hit)
        assert isinstance(await cache.lookup("t", ask(READ, REPLY, "and how do i write one")), found)

    asyncio.run(story())


def test_permits_are_asked_about_the_scope_that_the_entry_is_under() -> None:
    permits = Noting()

    hit = found([ask(*STORED)], ask("how do i read a file in python", REPLY, WRITE), permits=permits)

    assert isinstance(hit, Hit)
    assert set(permits.scopes) == {hit.entry.scope} == {ask(*STORED).outer_scope}


def test_withdrawn_conversation_is_served_no_more() -> None:
    async def story() -> None:
        cache, asked = cache_on(), ask("how do i read a file in python", REPLY, WRITE)
        await put(cache, ask(*STORED))
        assert isinstance(await cache.lookup("t", asked), Hit)
        await cache.withdraw("t", ask(*STORED).digest[:16])
        assert isinstance(await cache.lookup("t", asked), Miss)
        assert isinstance(await cache.lookup("t", ask(*STORED)), Hit)

    asyncio.run(story())


# ── through the whole proxy, with the policy and the models that ship ───────────────────────────────────────


def stored_in(kind: str) -> dict[str, Any]:
    match kind:
        case "memory":
            return {"store": "memory:"}
        case "redis":
            return {"store": redis_server().url, "store_lost_s": 10.0}
        case _:
            return {}


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_conversation_goes_on_in_other_words_through_the_proxy(tmp_path: Path, kind: str) -> None:
    given = stored_in(kind)
    enable, disable = "How do I enable 2FA?", "How do I disable 2FA?"
    with proxied(tmp_path, StandInOllama(text("In the settings.")), conversations="aligned", **given) as address:

        def told(*turns: str) -> tuple[str, str]:
            return outcome(post(address, request(*turns, system=f"For {tmp_path.name}.")))

        assert told(enable, "In the settings.", "Where are these?")[0] == "miss"
        assert told("how can i enable 2fa", "In the settings.", "where are these") == ("semantic", "same-meaning")
        assert told(disable, "In the settings.", "Where are these?") == ("miss", "turn-1-antonyms")
        assert told(enable, "In 3 of the settings.", "Where are these?")[1].startswith("turn-2-")
        assert told(enable, "In the settings.", "Where are these?")[0] == "exact"


def test_hit_in_other_words_marked_wrong_is_served_no_more(tmp_path: Path) -> None:
    asked = request("how can i enable 2fa", "In the settings.", "where are these")
    with proxied(tmp_path, StandInOllama(text("In the settings.")), conversations="aligned") as address:
        post(address, request("How do I enable 2FA?", "In the settings.", "Where are these?"))
        hit = post(address, asked)
        assert "turns=1" in hit.headers["x-cache-decision"]
        post(address, {}, path=f"/api/entries/{hit.headers['x-cache-entry']}/wrong")
        assert outcome(post(address, asked))[0] == "miss"
