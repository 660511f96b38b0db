"""What one process knows of the others: what they changed, which scopes there are, and whose flights have landed.

All of it comes over one channel. While that is not heard, everything may have changed, and every scope may be there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from workbench.cache.redis_keys import Keys
from workbench.cache.redis_link import LOST, RedisLink
from workbench.errors import StoreError

log = logging.getLogger(__name__)

LISTEN_S = 0.15
"""How long a silence lasts before a ping asks whether there still is a channel."""
LOST_S = 0.45
"""A channel that is silent for so long is lost. With the half second between two looks that is within a second."""
AGAIN_S = 0.2

MOST_SCOPES = 500_000
"""About 40 MB. Of more scopes it is not known which there are, and so every one may be."""
MOST_CHANGES = 10_000
MOST_RECENT = 4_096
PAGE = 2_000


class Scopes:
    """Which scopes have entries, and in which some are pending; it may say yes too often."""

    def __init__(self) -> None:
        self._there: set[int] = set()
        self._waiting: set[int] = set()
        self._recent: OrderedDict[int, int] = OrderedDict()  # what news arrive twice or late is known by `seq`
        self._all = True

    def holds(self, scope: str) -> bool:
        """Whether this scope may have entries."""
        return self._all or _number(scope) in self._there

    def waits(self, scope: str) -> bool:
        """Whether something may be pending in it."""
        return self._all or _number(scope) in self._waiting

    def start(self) -> None:
        """Know nothing: every scope may be there."""
        self._there, self._waiting, self._all = set(), set(), True
        self._recent.clear()

    def add(self, scope: str) -> None:
        """One that was found; what is pending in it is not known yet."""
        number = _number(scope)
        self._there.add(number)
        self._waiting.add(number)

    @property
    def is_full(self) -> bool:
        """Whether there are too many to know them all."""
        return len(self._there) > MOST_SCOPES

    def know(self) -> None:
        """All of them were found."""
        self._all = self.is_full

    def tell(self, scope: str, *, seq: int, there: bool, waiting: bool) -> None:
        """How it is since `seq`."""
        number = _number(scope)
        if seq <= self._recent.get(number, 0):
            return
        self._recent[number] = seq
        if len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        (self._there.add if there else self._there.discard)(number)
        (self._waiting.add if there and waiting else self._waiting.discard)(number)
        self._all = self._all or self.is_full


class News:
    """Listens to the channel; `run` is its task."""

    def __init__(self, link: RedisLink, keys: Keys, *, origin: str, on_listening: Callable[[], Any]) -> None:
        self.scopes = Scopes()
        self._link = link
        self._keys = keys
        self._origin = origin
        self._on_listening = on_listening
        self._changed: set[tuple[str, str]] = set()
        self._everything = True
        self._heard_at = float("-inf")
        self._landings: dict[str, set[asyncio.Future[bool]]] = {}
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """For ever: listen, and begin anew when the channel is lost."""
        while True:
            try:
                await self._listen()
            except (*LOST, StoreError) as error:
                log.info("store.channel_lost error=%r", error)
            self._lose()
            await asyncio.sleep(AGAIN_S)

    def changes(self) -> frozenset[tuple[str, str]] | None:
        """What others changed since the last call; None when that is not known."""
        if asyncio.get_running_loop().time() - self._heard_at > LOST_S:
            self._everything = True
        everything, self._everything = self._everything, False
        changed, self._changed = frozenset(self._changed), set()
        return None if everything else changed

    def take(self, told: bytes | str) -> None:
        """Hear what a script told; what is our own changes nothing for a tier in front."""
        if not told:
            return
        news: dict[str, Any] = orjson.loads(told)
        if "l" in news:
            for landing in self._landings.get(news["l"], ()):
                if not landing.done():
                    landing.set_result(bool(news["k"]))
            return
        for scope, there, waiting in news["s"] or ():
            self.scopes.tell(scope, seq=int(news["n"]), there=bool(there), waiting=bool(waiting))
        if news["o"] != self._origin:
            self._changed.update((news["t"], digest) for digest in news["c"] or ())
        if len(self._changed) > MOST_CHANGES:
            self._changed, self._everything = set(), True

    def _take_from_others(self, told: bytes) -> None:
        try:
            self.take(told)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConnectionError(f"not one of ours speaks on the channel: {error!r}") from error

    @contextmanager
    def landing(self, lease: str) -> Iterator[asyncio.Future[bool]]:
        """Done when the flight of this lease has landed: whether its reply was stored."""
        landing: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._landings.setdefault(lease, set()).add(landing)
        try:
            yield landing
        finally:
            landing.cancel()
            self._landings[lease].discard(landing)
            if not self._landings[lease]:
                del self._landings[lease]

    def _lose(self) -> None:
        self._heard_at = float("-inf")
        self.listening.clear()
        self.scopes.start()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        pubsub = self._link.pubsub()
        try:
            async with asyncio.timeout(2 * LOST_S):
                await pubsub.subscribe(self._keys.channel)
                while (await pubsub.get_message(timeout=LISTEN_S)) is None:
                    pass
            self._everything = True
            await self._load()
            await self._on_listening()
            self._heard_at = loop.time()
            self.listening.set()
            while loop.time() - self._heard_at < LOST_S:
                message = await pubsub.get_message(timeout=LISTEN_S)
                if message is None:
                    async with asyncio.timeout(LISTEN_S):
                        await pubsub.ping()
                    continue
                if message["type"] == "subscribe":
                    raise ConnectionError("redis-py connected again by itself: who knows what was told meanwhile")
                self._heard_at = loop.time()
                if message["type"] == "message":
                    self._take_from_others(message["data"])
            raise TimeoutError("the channel is silent")
        finally:
            await _close(pubsub)

    async def _load(self) -> None:
        """Which scopes there are now; what is told meanwhile waits in the channel."""
        self.scopes.start()
        for tenant in await self._link.command("SMEMBERS", self._keys.tenants, patient=True):
            async for scope in self._scopes_of(tenant.decode()):
                self.scopes.add(scope)
                if self.scopes.is_full:
                    return
        self.scopes.know()

    async def _scopes_of(self, tenant: str) -> AsyncIterator[str]:
        cursor = b"0"
        key = self._keys.of(tenant).books[-1]
        while True:
            cursor, flat = await self._link.command("HSCAN", key, cursor, "COUNT", PAGE, patient=True)
            for scope in flat[::2]:
                yield scope.decode()
            if int(cursor) == 0:
                return


async def _close(pubsub: Any) -> None:
    try:
        async with asyncio.timeout(LISTEN_S):
            await pubsub.aclose()
    except LOST as error:
        log.debug("store.channel_not_closed error=%r", error)


def _number(scope: str) -> int:
    """60 of its bits: it saves memory, and two that collide only make it say yes too often."""
    return int(scope[:15], 16)
