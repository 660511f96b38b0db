"""Who answers a question for all proxies: a lease with a token of its own, and a word when the flight has landed.

A leader that lives renews its lease; of one that died the lease runs out, and another takes over. The token fences: a
leader that lost its lease can neither extend nor end that of its successor, since theirs is another. If it still ends,
it stores a complete reply to the same question, which harms nobody.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Literal

import orjson

from workbench.cache import redis_scripts as scripts
from workbench.cache.redis_keys import Keys
from workbench.cache.redis_link import RedisLink
from workbench.cache.redis_news import News
from workbench.errors import StoreError

log = logging.getLogger(__name__)

LEASE_S = 5.0
RENEW_EVERY_S = 1.0
LOOK_EVERY_S = 1.0
"""How long a follower trusts that it would hear of the landing, before it asks again."""

AT_ONCE = 8
"""Leases that are renewed or ended side by side, with the connections left to the requests."""

Claim = Literal["granted", "stored", "released", "again"]
"""Ours to answer; there is a reply now; another's try came to nothing; ask again, since nothing was heard for long."""


class RedisClaims:
    """The leases of one process; `run` is the task that renews and ends them, so no request waits for that."""

    def __init__(self, link: RedisLink, keys: Keys, news: News, *, origin: str) -> None:
        self._link = link
        self._keys = keys
        self._news = news
        self._origin = origin
        self._held: dict[str, str] = {}  # lease → token
        self._ending: dict[tuple[str, str], bool] = {}  # lease and token → whether the reply was stored
        self._work = asyncio.Event()

    async def claim(self, tenant: str, digest: str) -> Claim:
        """Try to lead; where another does, wait a while for its landing. Raises `StoreError`."""
        lease, token = self._keys.lease(tenant, digest), f"{self._origin} {secrets.token_hex(8)}"
        with self._news.landing(lease) as landing:
            entry = self._keys.of(tenant).entries + self._keys.ref(tenant, digest)
            try:
                said = await self._link.script(scripts.CLAIM, keys=[lease, entry], args=[token, int(LEASE_S * 1e3)])
            except BaseException:  # a cancellation too: it may have been granted, and nobody would know
                self._end_soon(lease, token, stored=False)
                raise
            if said == b"stored":
                return "stored"
            if said == b"granted":
                self._held[lease] = token
                return "granted"
            done, _ = await asyncio.wait([landing], timeout=LOOK_EVERY_S)
            if not done:
                return "again"
            return "stored" if landing.result() else "released"

    def release(self, tenant: str, digest: str, *, stored: bool) -> None:
        """The flight is over; who follows it is told soon. Waits for nothing; a second call changes nothing."""
        lease = self._keys.lease(tenant, digest)
        if token := self._held.pop(lease, None):
            self._end_soon(lease, token, stored=stored)

    def _end_soon(self, lease: str, token: str, *, stored: bool) -> None:
        self._ending[lease, token] = stored
        self._work.set()

    async def run(self) -> None:
        """For ever: end what is over, and renew the rest; neither waits for the other."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_ending())
            tasks.create_task(self._keep_renewing())

    async def release_all(self) -> None:
        """At the end: nobody shall wait for this process."""
        for lease, token in self._held.items():
            self._ending[lease, token] = False
        self._held.clear()
        await self._end()

    async def _keep_ending(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            await self._end()

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            await _all(partial(self._renew, lease, token) for lease, token in list(self._held.items()))

    async def _renew(self, lease: str, token: str) -> None:
        await self._link.script(scripts.RENEW, keys=[lease], args=[token, int(LEASE_S * 1e3)], patient=True)

    async def _end(self) -> None:
        ending, self._ending = self._ending, {}
        await _all(partial(self._tell, lease, token, stored=stored) for (lease, token), stored in ending.items())

    async def _tell(self, lease: str, token: str, *, stored: bool) -> None:
        told = orjson.dumps({"l": lease, "k": stored})
        await self._link.script(scripts.RELEASE, keys=[lease], args=[token, self._keys.channel, told], patient=True)


async def _all(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do it all, some at a time; a fault of one is no reason to leave the others."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(do: Callable[[], Awaitable[None]]) -> None:
        async with free:
            try:
                await do()
            except StoreError as error:
                log.debug("store.lease_not_told error=%r", error)

    async with asyncio.TaskGroup() as tasks:
        for each in work:
            tasks.create_task(one(each))
