"""The connection to Redis: one bound of time for each request, one kind of error, and a cause with its remedy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from workbench.cache.breaker import Breaker
from workbench.cache.patience import within
from workbench.cache.store import Health
from workbench.errors import StoreError, StoreUnusable

log = logging.getLogger(__name__)

T = TypeVar("T")
Argument = str | bytes | int | float

OPEN_S = 3.0
"""How long the first connection may take."""
LOADING_S = 60.0
"""How long a server may read its own file at our start."""
PROBE_FIRST_S, PROBE_EVERY_S = 0.05, 0.2
"""How soon it is looked after a failure, and how often while it goes on."""
FOLLOW_EVERY_S = 2.0
"""How often new connections are made while the server says that it is a replica."""
CLOCKS_S = 5.0
"""By how much clocks may differ."""
PATIENT_S = 10.0
"""For what an operator asks, and what happens in the background."""


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How to reach the server.

    `lost_s` is what one request may lose to a store that does not answer. `ca` is a file of certificates to trust, for
    `rediss://`; the system's are trusted without one.
    """

    url: str
    lost_s: float = 0.05
    connections: int = 8
    ca: Path | None = None


class RedisLink:
    """Commands and scripts, each within a bound of time; raises `StoreError`, at once while the circuit is open."""

    def __init__(self, options: RedisOptions, *, health: Health, probe_key: str) -> None:
        self.url = without_secrets(options.url)
        self.breaker = Breaker(health, name=self.url)
        self._health = health
        self._options = options
        self._probe_key = probe_key
        self._client: Redis | None = None
        self._scripts: dict[str, Any] = {}
        self._demoted = asyncio.Event()

    async def open(self) -> None:
        """Connect; raises `StoreUnusable` with one line of cause and remedy."""
        self._client = Redis(connection_pool=_pool(self._options, self.url))
        self._client.response_callbacks.clear()  # answers as they come: there are no two shapes of one
        deadline = asyncio.get_running_loop().time() + LOADING_S
        try:
            while True:
                try:
                    await self._connect()
                    return
                except exceptions.BusyLoadingError:
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(PROBE_EVERY_S)
        except (exceptions.RedisError, OSError, TimeoutError, ValueError) as error:
            await self.close()
            raise StoreUnusable(f"store {self.url}: {_remedy(error, self._options.url)}") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        self._scripts.clear()
        if client is not None:
            with contextlib.suppress(exceptions.RedisError, OSError):
                await client.aclose()
                await client.connection_pool.disconnect()

    async def warn(self, now_s: float | None) -> None:
        """Say once what an operator should know: of the rules of eviction, and of the clocks if `now_s` is ours."""
        try:
            policy = await self.command("CONFIG", "GET", "maxmemory-policy", patient=True)
            seconds, _ = await self.command("TIME", patient=True)
        except StoreRefused:  # some providers do not tell
            return
        if policy and b"allkeys" in policy[1]:
            remedy = "use volatile-lru or noeviction"
            log.warning(
                "store.policy url=%s: under %s Redis may drop shared state; %s", self.url, policy[1].decode(), remedy
            )
        if now_s is not None and abs(int(seconds) - now_s) > CLOCKS_S:
            log.warning("store.clock url=%s: %.0f s from ours; set both by NTP", self.url, int(seconds) - now_s)

    def pubsub(self) -> PubSub:
        """A connection of its own for what is told to everybody."""
        return self._redis.pubsub()

    async def command(self, *parts: Argument, patient: bool = False) -> Any:
        """What the server answers; bytes stay bytes."""
        execute: Callable[..., Awaitable[Any]] = self._redis.execute_command
        return await self._ask(lambda: execute(*parts), patient=patient)

    async def script(
        self, text: str, *, keys: Sequence[str], args: Sequence[Argument] = (), patient: bool = False
    ) -> Any:
        """What the script returns; its text is sent once only."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self._redis.register_script(text)
        return await self._ask(lambda: script(keys=keys, args=args), patient=patient)

    async def heal(self) -> None:
        """For ever: look whether a server that failed works again, and whether one that was demoted has a successor."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_probing())
            tasks.create_task(self._keep_following())

    async def _keep_following(self) -> None:
        """A server that is only read now may have been the master: by its name another one may be found."""
        while True:
            await self._demoted.wait()
            with contextlib.suppress(*LOST):
                await self._redis.connection_pool.disconnect(inuse_connections=False)
                await self._connect()
            await asyncio.sleep(FOLLOW_EVERY_S)
            self._demoted.clear()

    async def _keep_probing(self) -> None:
        """While the circuit is open, look whether reading and writing work again, in time."""
        while True:
            await self.breaker.opened()
            await asyncio.sleep(PROBE_FIRST_S)
            while self.breaker.is_open:
                try:
                    await self._probe()
                except (exceptions.RedisError, OSError, TimeoutError) as error:
                    log.debug("store.probe_failed error=%r", error)
                    await asyncio.sleep(PROBE_EVERY_S)
                else:
                    self.breaker.close()

    async def _probe(self) -> None:
        await self._connect()
        async with within(self._options.lost_s):
            with contextlib.suppress(exceptions.ReadOnlyError, exceptions.OutOfMemoryError):
                await self._redis.set(self._probe_key, b"", px=1000)

    async def _connect(self) -> None:
        """Have all connections ready: over a long way, making one takes more time than a request may lose."""
        async with asyncio.timeout(OPEN_S):
            first, *_ = await asyncio.gather(
                *(self._redis.ping() for _ in range(self._options.connections)), return_exceptions=True
            )
        if isinstance(first, BaseException):
            raise first

    @property
    def _redis(self) -> Redis:
        if self._client is None:
            raise StoreError(f"the store {self.url} is not open; open() comes first")
        return self._client

    async def _ask(self, work: Callable[[], Awaitable[T]], *, patient: bool) -> T:
        if self.breaker.is_open:
            raise StoreError(f"the store {self.url} is down: {self.breaker.why}")
        timeout_s = max(PATIENT_S, self._options.lost_s) if patient else self._options.lost_s
        try:
            async with within(timeout_s):
                answer = await work()
        except (TimeoutError, exceptions.TimeoutError) as error:
            self._count("slow", f"no answer within {timeout_s * 1e3:.0f} ms")
            raise StoreError(f"the store {self.url} gave no answer within {timeout_s * 1e3:.0f} ms") from error
        except (exceptions.ConnectionError, OSError) as error:
            self._count("unreachable", _first_line(error))
            raise StoreError(f"the store {self.url} cannot be reached: {_first_line(error)}") from error
        except (exceptions.RedisError, UnicodeError) as error:
            self._refused(error)
            raise StoreRefused(f"the store {self.url} refused: {_first_line(error)}", error) from error
        self.breaker.succeeded()
        return answer

    def _count(self, kind: str, why: str) -> None:
        self._health.counts[kind] += 1
        self.breaker.failed(why)

    def _refused(self, error: Exception) -> None:
        """It answers, so the circuit stays closed."""
        kind = "read-only" if isinstance(error, exceptions.ReadOnlyError) else "full" if _is_full(error) else "refused"
        self._health.counts[kind] += 1
        if kind == "read-only":
            self._demoted.set()
        self.breaker.succeeded()


class StoreRefused(StoreError):
    """The server answers, and does not want to do this."""

    def __init__(self, message: str, cause: Exception) -> None:
        super().__init__(message)
        self.is_full = _is_full(cause)
        self.is_wrong_type = "WRONGTYPE" in str(cause)


LOST = (exceptions.RedisError, OSError, TimeoutError, ssl.SSLError)
"""What a connection of its own may fail with."""


def without_secrets(url: str) -> str:
    """The address without user, password and options."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _pool(options: RedisOptions, url: str) -> BlockingConnectionPool:
    trust = {"ssl_ca_certs": str(options.ca)} if options.ca and options.url.startswith("rediss:") else {}
    try:
        database = urlsplit(options.url).path.strip("/")
        if database not in ("", "0"):
            raise StoreUnusable(f"store {url}: database {database} cannot be searched; name database 0, or none")
        return BlockingConnectionPool.from_url(
            options.url,
            max_connections=options.connections,
            timeout=PATIENT_S,
            protocol=2,  # the shapes of the search module's answers differ in RESP3
            legacy_responses=True,
            socket_timeout=None,  # every wait has its bound in `_ask`
            socket_connect_timeout=OPEN_S,
            # One more try at once: a connection that was idle may have been closed meanwhile.
            retry=Retry(NoBackoff(), 1),
            **trust,
        )
    except (ValueError, TypeError) as error:
        raise StoreUnusable(f"store {url}: {error}; expected redis://user:password@host:port") from error


def _remedy(error: Exception, url: str) -> str:
    """One line of cause, and what to do."""
    told = _first_line(error)
    if isinstance(error, exceptions.BusyLoadingError):
        return f"it still loads its data after {LOADING_S:.0f} s; wait, and start again"
    if "CERTIFICATE_VERIFY_FAILED" in told:
        return "its certificate is not trusted; name the authority's file in WORKBENCH_STORE_CA"
    if any(sign in told for sign in ("SSL", "record layer", "WRONG_VERSION")):
        return "it does not speak TLS on this port; use redis:// or its TLS port"
    if isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in told or "WRONGPASS" in told:
        return f"user or password refused ({told}); put them into the URL: {urlsplit(url).scheme}://user:password@host"
    if isinstance(error, exceptions.NoPermissionError):
        return f"the user may not do this ({told}); give it the rights to read, write, publish and search"
    if url.startswith("rediss:") and isinstance(error, TimeoutError):
        return f"no TLS handshake within {OPEN_S:.0f} s; does this port speak TLS? Else use redis://"
    if "onnection closed" in told or "onnection reset" in told or isinstance(error, exceptions.InvalidResponse):
        return f"it hung up without an answer ({told}); if this port speaks TLS, use rediss://"
    told = told if str(error) else f"no answer within {OPEN_S:.0f} s"
    return f"cannot be reached ({told}); is it running, and are host and port right?"


def _is_full(error: Exception) -> bool:
    return isinstance(error, exceptions.OutOfMemoryError) or "OOM " in str(error)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
