"""Who calls a Thinker for all proxies, who waits for that, and what is done when it comes to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal

import pytest

from workbench.errors import BadReply, StoreError
from workbench.proxy.flight import Flights
from workbench.proxy.shared_flight import SharedCall
from workbench.reply import Event, MessageStart, Reply, Text, Usage, collect, replay

Said = Literal["granted", "stored", "released", "again"]

REPLY = Reply("model", (Text("hello"),), "end_turn", None, Usage(1, 2))


class Saying:
    """Claims that say what they are told, and note how they end; an empty script is a store that is down."""

    def __init__(self, *script: Said) -> None:
        self.script = list(script)
        self.released: list[bool] = []

    async def claim(self, tenant: str, digest: str) -> Said:
        if not self.script:
            raise StoreError("the store is down")
        return self.script.pop(0)

    def release(self, tenant: str, digest: str, *, stored: bool) -> None:
        self.released.append(stored)


class Thinker:
    """A call that counts how often it is made; `cut` ends it too early."""

    thinker = "scripted:"
    followed = False
    reason = waits = ""
    queued_s = 0.0

    def __init__(self, *, cut: bool = False) -> None:
        self.calls = 0
        self._cut = cut

    async def events(self) -> AsyncGenerator[Event, None]:
        self.calls += 1
        for event in list(replay(REPLY))[: 1 if self._cut else None]:
            yield event


async def fly(claims: Saying, thinker: Thinker, *, stored: Reply | None = None) -> tuple[SharedCall, list[Event]]:
    """What a reader of the flight reads."""

    async def read() -> Reply | None:
        return stored

    async def finish(reply: Reply) -> bool:
        return True

    shared = SharedCall(thinker, claims, tenant="t", digest="d", read=read, finish=finish)
    events: list[Event] = []
    async with Flights() as flights:
        reader, _ = flights.join(("t", "d"), lambda: shared, shared.finish, on_end=shared.over)
        while some := await reader.read():
            events += some
        reader.close()
    return shared, events


def test_who_leads_calls_and_tells_that_the_reply_is_stored() -> None:
    claims, thinker = Saying("granted"), Thinker()
    shared, events = asyncio.run(fly(claims, thinker))
    assert collect(events) == REPLY
    assert (thinker.calls, shared.followed, claims.released) == (1, False, [True, False])  # the first word counts


@pytest.mark.parametrize("script", [("stored",), ("again", "again", "stored")])
def test_who_follows_replays_the_stored_reply_and_stores_nothing(script: tuple[Said, ...]) -> None:
    claims, thinker = Saying(*script), Thinker()
    shared, events = asyncio.run(fly(claims, thinker, stored=REPLY))
    assert isinstance(events[0], MessageStart)
    assert collect(events) == REPLY
    assert (thinker.calls, shared.followed) == (0, True)
    assert True not in claims.released


@pytest.mark.parametrize("script", [("released",), ("again", "granted"), ("again",), (), ("stored",)])
def test_who_finds_nothing_calls_for_himself(script: tuple[Said, ...]) -> None:
    thinker = Thinker()
    shared, events = asyncio.run(fly(Saying(*script), thinker))
    assert collect(events) == REPLY
    assert (thinker.calls, shared.followed) == (1, False)


def test_a_reply_that_was_cut_off_ends_the_claim() -> None:
    claims = Saying("granted")
    with pytest.raises(BadReply):
        asyncio.run(fly(claims, Thinker(cut=True)))
    assert claims.released == [False]
