"""Who answers a question for all proxies: a lease with a token that grows, and a word when the flight has landed.

A leader that lives renews its lease; of one that died the lease runs out, and another takes over. A leader that lost
its lease and still ends stores a complete reply to the same question, which harms nobody; but it can neither extend nor
end the lease of its successor, since its token is older.
"""

from __future__ import annotations

import asyncio
import logging
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
        self._ending: dict[str, bool] = {}  # lease → whether the reply was stored
        self._work = asyncio.Event()

    async def claim(self, tenant: str, digest: str) -> Claim:
        """Try to lead; where another does, wait a while for its landing. Raises `StoreError`."""
        lease = self._keys.lease(tenant, digest)
        with self._news.landing(lease) as landing:
            entry = self._keys.of(tenant).entries + self._keys.ref(tenant, digest)
            said = await self._link.script(
                scripts.CLAIM,
                keys=[lease, self._keys.fence(tenant), entry],
                args=[self._origin, int(LEASE_S * 1e3)],
            )
            told = said.decode()
            if told == "stored":
                return "stored"
            if told != "taken":
                self._held[lease] = told
                return "granted"
            done, _ = await asyncio.wait([landing], timeout=LOOK_EVERY_S)
            if not done:
                return "again"
            return "stored" if landing.result() else "released"

    def release(self, tenant: str, digest: str, *, stored: bool) -> None:
        """The flight is over; who follows it is told soon. Waits for nothing; a second call changes nothing."""
        lease = self._keys.lease(tenant, digest)
        if lease in self._held:
            self._ending.setdefault(lease, stored)
            self._work.set()

    async def run(self) -> None:
        """For ever: end what is over, and renew the rest."""
        renewed_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(RENEW_EVERY_S):
                    await self._work.wait()
            except TimeoutError:
                pass
            self._work.clear()
            try:
                await self._end()
                if loop.time() - renewed_at >= RENEW_EVERY_S:
                    renewed_at = loop.time()
                    await self._renew()
            except StoreError as error:
                log.debug("store.lease_not_told error=%r", error)

    async def release_all(self) -> None:
        """At the end: nobody shall wait for this process."""
        for lease in self._held:
            self._ending.setdefault(lease, False)
        await self._end()

    async def _end(self) -> None:
        while self._ending:
            lease, stored = self._ending.popitem()
            token = self._held.pop(lease)
            told = orjson.dumps({"l": lease, "k": stored})
            await self._link.script(scripts.RELEASE, keys=[lease], args=[token, self._keys.channel, told])

    async def _renew(self) -> None:
        for lease, token in list(self._held.items()):
            await self._link.script(scripts.RENEW, keys=[lease], args=[token, int(LEASE_S * 1e3)])
