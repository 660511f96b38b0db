"""One memory for many proxies: Redis 8 or Redis Cloud, one hash an entry, the server's own vector index.

One round trip for an identical request and one for a search.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from workbench.cache import redis_scripts as scripts
from workbench.cache.redis_claims import RedisClaims
from workbench.cache.redis_codec import VectorFormat, blob_of
from workbench.cache.redis_index import HnswOptions, VectorIndexes
from workbench.cache.redis_keys import Keys
from workbench.cache.redis_link import Argument, RedisLink, RedisOptions, StoreRefused
from workbench.cache.redis_news import News
from workbench.cache.redis_rows import RedisLimits, Rows, Uses
from workbench.cache.store import Entry, Health, Neighbour, Page, State, StoreStats, Vector
from workbench.cache.vectors import check_vector
from workbench.errors import StoreError, StoreUnusable

log = logging.getLogger(__name__)

FLUSH_EVERY_S = 5.0
LISTENING_S = 5.0
LARGE_BYTES = 256 * 1024
"""Above this, compressing goes to a thread."""
TEXTS_AT_ONCE = 500
MOST_SEARCHED = 64
"""How many are asked for when expired ones stand in the way."""


class RedisStore:
    """A `Store` that many processes share, each tenant on a slot of its own.

    The least recently used make room, later the more tokens they save. `fingerprint` names the embedder: another
    one's vectors stay beside its own and are never searched. Vectors are kept as `vectors`
    says, as float32 where the server knows no float16. `secret` keys all names.
    """

    def __init__(
        self,
        options: RedisOptions,
        *,
        limits: RedisLimits | None = None,
        hnsw: HnswOptions | None = None,
        vectors: VectorFormat = "float16",
        fingerprint: str = "",
        secret: bytes = b"",
        namespace: str = "wb",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.health = Health()
        self._limits = limits or RedisLimits()
        self._clock = clock
        self._keys = Keys(namespace=namespace, secret=secret)
        self._origin = secrets.token_hex(8)
        self._link = RedisLink(options, health=self.health, probe_key=self._keys.probe)
        self.url = self._link.url
        self._index = VectorIndexes(
            self._link, self._keys, fingerprint=fingerprint, kind=vectors, options=hnsw or HnswOptions()
        )
        self._news = News(self._link, self._keys, origin=self._origin, on_listening=self._begin_anew)
        self.claims = RedisClaims(self._link, self._keys, self._news, origin=self._origin)
        self._uses = Uses(self._keys)
        self._rows = Rows(self._keys, fingerprint=fingerprint, clock=clock, health=self.health)
        self._tenants: set[str] = set()  # those that Redis knows
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect, look what the server can, and listen; raises `StoreUnusable` with one line of cause and remedy."""
        await self._link.open()
        try:
            with self._explained():
                await self._index.open()
            await self._link.warn(self._clock() if self._clock is time.time else None)
            for work in (self._news.run, self._link.heal, self._flush_now_and_then, self.claims.run):
                self._tasks.append(asyncio.create_task(work()))
            try:
                async with asyncio.timeout(LISTENING_S):
                    await self._news.listening.wait()
            except TimeoutError:  # it may come later; until then nothing is trusted
                log.warning("store.no_channel url=%s: may this user subscribe to %s?", self.url, self._keys.channel)
            self._news.changes()  # nothing was handed out before
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Tell what was used, and hang up."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            with contextlib.suppress(StoreError):
                await self.claims.release_all()
                await self._flush()
        await self._index.close()
        await self._link.close()

    # ── the store's methods ─────────────────────────────────────────────────────────────────────────────────

    async def get(self, tenant: str, digest: str) -> Entry | None:
        """The entry with this digest, in one round trip; its use is told later."""
        entry = await self._read(tenant, digest)
        if entry is None or entry.digest != digest:
            return None
        self.touch(tenant, digest)
        return entry

    async def find(self, tenant: str, id: str) -> Entry | None:
        """The entry with this public id; it counts as no use."""
        entry = await self._read(tenant, id)
        return entry if entry and entry.id == id else None

    def has_scope(self, tenant: str, scope: str) -> bool:
        """Whether this scope may have entries, by what was heard; yes while nothing is."""
        return self._news.scopes.holds(self._keys.scope(tenant, scope))

    def touch(self, tenant: str, digest: str) -> None:
        """Somebody served this entry: it counts as a use within seconds, and before this process's next put."""
        self._uses.add(tenant, digest)

    async def nearest(self, tenant: str, scope: str, vector: Vector, *, k: int) -> list[Neighbour]:
        """At most `k` entries of this scope that have a vector, the most similar first, of equals the newest."""
        check_vector(vector)
        asked = k
        while k > 0:
            rows = await self._index.nearest(self._keys.scope(tenant, scope), vector, k=asked)
            found = self._rows.neighbours(rows, vector, kind=self._index.kind)
            if len(found) >= k or len(rows) == len(found) or asked >= MOST_SEARCHED:
                found = found[:k]
                if found:
                    self.touch(tenant, found[0].entry.digest)
                return found
            asked = MOST_SEARCHED  # expired ones are in the way
        return []

    async def pending(self, tenant: str, scope: str, *, limit: int) -> list[Entry]:
        """The newest pending entries of this scope; asks nobody where it is known that there are none."""
        name = self._keys.scope(tenant, scope)
        if limit <= 0 or not self._news.scopes.waits(name):
            return []
        found = await self._script(scripts.PENDING, tenant, name, limit)
        return [entry for flat in found if (entry := self._entry(flat))]

    async def add_vectors(self, tenant: str, found: Sequence[tuple[Entry, Vector]]) -> None:
        """Give pending entries their vectors, but for those that are pending no more."""
        for _, vector in found:
            check_vector(vector)
        for dimension in {vector.size for _, vector in found}:
            await self._index.make(dimension)
            touched = self._uses.take(tenant)
            args: list[Argument] = [len(touched), *touched, self._index.field(dimension), self._index.ours]
            for entry, vector in found:
                if vector.size == dimension:
                    ref, name = self._keys.ref(tenant, entry.digest), self._keys.scope(tenant, entry.scope)
                    args += [ref, name, entry.text, vector.nbytes, blob_of(vector, self._index.kind)]
            grown_bytes = sum(vector.nbytes for _, vector in found)
            await self._write(scripts.ADD_VECTORS, tenant, *args, room_bytes=grown_bytes)

    async def put(self, tenant: str, entry: Entry) -> None:
        """Store it; on return it is as durable as the server's settings make it (with AOF `always`: on its disk).

        One that is too large, or expired, only removes its predecessor.
        """
        if entry.vector is not None:
            check_vector(entry.vector)
            await self._index.make(entry.vector.size)
        await self._introduce(tenant)
        touched = self._uses.take(tenant)

        def write() -> list[Argument]:
            limit = self._limits.entry_max_bytes
            return self._rows.put_args(tenant, entry, kind=self._index.kind, touched=touched, entry_max_bytes=limit)

        args = await asyncio.to_thread(write) if len(entry.payload) > LARGE_BYTES else write()
        await self._write(scripts.PUT, tenant, *args, room_bytes=4 * entry.size_bytes)

    async def delete(self, tenant: str, id: str) -> Entry | None:
        """Remove an entry; returns it, or None when there was none."""
        return await self._change(scripts.DELETE, tenant, id)

    async def withdraw(self, tenant: str, id: str) -> Entry | None:
        """Serve it by meaning no more; it still answers its own identical request."""
        return await self._change(scripts.WITHDRAW, tenant, id)

    async def entries(self, tenant: str, *, query: str = "", limit: int = 100) -> list[Entry]:
        """The newest entries whose text contains `query`, whatever its case."""
        found: list[Entry] = []
        keys, folded, first, count = self._keys.of(tenant), query.casefold(), 0, 1
        while first < count and len(found) < limit:
            args: list[Argument] = [keys.entries, first, first + TEXTS_AT_ONCE - 1]
            count, rows = await self._link.script(scripts.TEXTS, keys=keys.books[3:4], args=args, patient=True)
            first += TEXTS_AT_ONCE
            for ref, text, expires in rows:
                alive = float(expires) > self._clock()
                if len(found) < limit and alive and folded in text.decode("utf-8", "replace").casefold():
                    flat = await self._link.command("HGETALL", f"{keys.entries}{ref.decode()}", patient=True)
                    found += [entry] if (entry := self._entry(flat)) else []
        return found

    async def scan(self, *, after: str = "", limit: int = 64) -> Page:
        """A page of one tenant's entries in the order of their coming; `after` is the last one's number and tenant."""
        last, _, current = after.partition(" ")
        told = await self._link.command("SMEMBERS", self._keys.tenants, patient=True)
        tenants = sorted(name for raw in told if (name := raw.decode()) >= current)
        if not tenants:
            return Page((), None)
        tenant, *rest = tenants
        keys = self._keys.of(tenant)
        least = f"({last}" if last and tenant == current else "-inf"
        args: list[Argument] = [keys.entries, least, limit]
        count, last_seq, rows = await self._link.script(scripts.PAGE, keys=keys.books[3:4], args=args, patient=True)
        found = [(tenant, entry) for row in rows if (entry := self._entry(row))]
        if count == limit:
            return Page(tuple(found), f"{last_seq.decode()} {tenant}")
        return Page(tuple(found), f" {rest[0]}" if rest else None)

    async def stats(self) -> StoreStats:
        """How full it is, all tenants together; the limit is that of each."""
        entries = size_bytes = 0
        for tenant in await self._link.command("SMEMBERS", self._keys.tenants, patient=True):
            count, size = await self._script(scripts.PURGE, tenant.decode(), patient=True)
            entries, size_bytes = entries + int(count), size_bytes + int(size)
        return StoreStats(entries, size_bytes, self._limits.max_bytes)

    async def changes(self) -> frozenset[tuple[str, str]] | None:
        """What other processes replaced, removed, evicted or withdrew since the last call; asks nobody."""
        return self._news.changes()

    async def state(self, tenant: str, name: str) -> State | None:
        """What was last set under this name."""
        version, value = await self._link.command("HMGET", self._keys.state(tenant, name), "version", "value")
        return None if version is None else State(value, int(version))

    async def set_state(self, tenant: str, name: str, value: bytes, *, expected: int | None) -> bool:
        """Set it if its version is still `expected`."""
        args: list[Argument] = ["" if expected is None else str(expected), value]
        return bool(await self._link.script(scripts.SET_STATE, keys=[self._keys.state(tenant, name)], args=args))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """At the start, what the server refuses is a reason not to start."""
        try:
            yield
        except StoreError as error:
            raise StoreUnusable(f"{error}; give the user the rights to read, write, publish and search") from error

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, tenant: str, digest_or_id: str) -> Entry | None:
        key = self._keys.of(tenant).entries + self._keys.ref(tenant, digest_or_id)
        try:
            flat = await self._link.command("HGETALL", key)
        except StoreRefused as error:
            if error.is_wrong_type:  # no hash of ours
                return None
            raise
        return self._entry(flat)

    def _entry(self, flat: list[bytes]) -> Entry | None:
        return self._rows.entry(flat, kind=self._index.kind)

    async def _change(self, script: str, tenant: str, id: str) -> Entry | None:
        flat, *_ = await self._script(script, tenant, self._keys.ref(tenant, id), patient=True)
        entry = self._entry(flat)
        return entry if entry and entry.id == id else None

    async def _script(self, script: str, tenant: str, *args: Argument, patient: bool = False) -> list[Any]:
        """Run it on a tenant's books; what it told the channel is known here at once."""
        keys = self._keys.of(tenant)
        told, *answer = await self._link.script(
            script,
            keys=keys.books,
            args=(
                keys.entries, keys.waiting, self._keys.channel, self._origin, tenant, f"{self._clock():.6f}",
                self._limits.max_bytes, *args,
            ),
            patient=patient,
        )  # fmt: skip
        self._news.take(told)
        return list(answer)

    async def _write(self, script: str, tenant: str, *args: Argument, room_bytes: int) -> None:
        """Run it; where the server is full, once more after the least valuable have made room."""
        try:
            await self._script(script, tenant, *args)
        except StoreRefused as error:
            if not error.is_full:
                raise
            await self._script(scripts.MAKE_ROOM, tenant, room_bytes)
            await self._script(script, tenant, *args)

    async def _introduce(self, tenant: str) -> None:
        if tenant not in self._tenants:
            await self._link.command("SADD", self._keys.tenants, tenant)
            self._tenants.add(tenant)

    async def _begin_anew(self) -> None:
        """The channel is heard again: who knows what the server has lost meanwhile."""
        self._tenants.clear()
        self._index.doubt()

    async def _flush(self) -> None:
        for tenant in self._uses.tenants:
            while refs := self._uses.take(tenant):
                await self._script(scripts.TOUCH, tenant, len(refs), *refs, patient=True)

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self._flush()
            except StoreError as error:
                log.debug("store.last_use_not_written error=%r", error)
