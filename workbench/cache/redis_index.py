"""The server's own vector index: one for each embedder, dimension and format, made when its first vector comes.

HNSW; a scope is a TAG. Of small scopes Redis compares every vector, of large ones it walks the graph in batches: it
chooses by the share of entries that the scope has (https://redis.io/docs/latest/develop/ai/search-and-query/vectors/).

Whether an index is complete only FT.INFO tells, which stops the server for 0.2 ms per 1,000 vectors. So that is asked
beside all requests, by one task, once for each run of the server.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.cache.redis_codec import FIELDS, VectorFormat, blob_of, vector_field, vector_prefix
from workbench.cache.redis_keys import Keys
from workbench.cache.redis_link import RedisLink, StoreRefused
from workbench.cache.store import Vector
from workbench.errors import StoreError, StoreUnusable

log = logging.getLogger(__name__)

FLOAT16_SINCE = 21_000
"""The search module's number (2.10) that first takes vectors of two bytes."""

KNN_LEAST = 8
"""Asked for fewer of an index of more than 750,000, Redis walks the graph even of a scope of 100: 80 times as long."""

SOON_S, AGAIN_S = 0.02, 0.005
"""A small index is built in a few milliseconds: so long a request waits for one that is being looked at."""
LOOK_EVERY_S, LOOK_SHARE = 0.5, 0.02
"""A large one is looked at now and then, and for a small share of the server's time."""


@dataclass(frozen=True, slots=True)
class HnswOptions:
    """Links of each vector, and how many candidates are kept when one is added and when one is looked for."""

    m: int = 16
    ef_construction: int = 200
    ef: int = 64


@dataclass(frozen=True, slots=True)
class _Look:
    """Somebody looks whether an index is complete; until `soon_s`, by the loop's clock, it is worth waiting for."""

    task: asyncio.Task[None]
    soon_s: float


class VectorIndexes:
    """The indexes of one embedder. `kind` is what its vectors are stored as, once `open` has asked the server."""

    def __init__(
        self, link: RedisLink, keys: Keys, *, fingerprint: str, kind: VectorFormat, options: HnswOptions
    ) -> None:
        self.kind: VectorFormat = kind
        self._link = link
        self._keys = keys
        self._fingerprint = fingerprint
        self._options = options
        self._made: set[int] = set()
        self._complete: set[int] = set()
        self._run_id = ""  # of the server that both are true of
        self._is_doubtful = True
        self._looks: dict[int, _Look] = {}
        self._why = ""  # the last look failed

    async def open(self) -> None:
        """Whether the server can search; raises `StoreUnusable`."""
        info = _lines(await self._link.command("INFO", "server", patient=True))
        try:
            names = await self._link.command("FT._LIST", patient=True)
        except StoreRefused as error:
            if "unknown command" not in str(error):
                raise
            raise StoreUnusable(
                f"store {self._link.url}: Redis {info.get('redis_version', '?')} has no vector search (FT.SEARCH); "
                "use Redis 8 or newer, Redis Cloud, or Redis 7 with the search module 2.10"
            ) from error
        try:
            modules = await self._link.command("MODULE", "LIST", patient=True)
        except StoreRefused:  # some providers do not tell; they are up to date
            modules = []
        if (version := _search_version(modules)) and version < FLOAT16_SINCE:
            self.kind = "float32"
        self._begin(names)

    async def close(self) -> None:
        """Look no more."""
        tasks = [look.task for look in self._looks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def doubt(self) -> None:
        """The server was not heard for a while: before the next use, see whether it is still the same run of it."""
        self._is_doubtful = True

    def forget(self) -> None:
        """The server has lost them, or may be building them: look again before the next use."""
        self._made, self._complete = set(), set()  # new ones: who looks now will not add to these

    @property
    def ours(self) -> str:
        """What the names of all fields with this embedder's vectors begin with."""
        return vector_prefix(self._fingerprint)

    def field(self, dimension: int) -> str:
        """Where a hash holds vectors of this dimension."""
        return vector_field(self._fingerprint, dimension, self.kind)

    async def ensure(self, dimension: int) -> None:
        """Make it if there is none; raises `StoreError` while it is not complete."""
        await self.make(dimension)
        if dimension in self._complete:
            return
        look = self._looks.get(dimension) or self._begin_look(dimension)
        await asyncio.wait([look.task], timeout=max(0.0, look.soon_s - asyncio.get_running_loop().time()))
        if dimension not in self._complete:
            raise StoreError(self._why or f"the store {self._link.url} is still building its index")

    async def make(self, dimension: int) -> None:
        """Make it if there is none, complete or not."""
        if self._is_doubtful:
            run_id = _lines(await self._link.command("INFO", "server")).get("run_id", "")
            if run_id != self._run_id:
                self.forget()
            self._run_id, self._is_doubtful = run_id, False
        if dimension in self._made:
            return
        made = self._made
        if self._name(dimension).encode() not in await self._link.command("FT._LIST"):
            await self._create(dimension)
        made.add(dimension)

    def _begin(self, names: list[bytes]) -> None:
        """Look at this embedder's before anybody asks: a large one takes longer than a request waits."""
        ours = re.compile(rf"{re.escape(self._keys.prefix)}:{re.escape(self.ours)}(\d+)_{self.kind}")
        for name in names:
            if found := ours.fullmatch(name.decode("utf-8", "replace")):
                self._begin_look(int(found[1]))

    def _begin_look(self, dimension: int) -> _Look:
        task = asyncio.create_task(self._look(dimension))
        look = self._looks[dimension] = _Look(task, asyncio.get_running_loop().time() + SOON_S)
        task.add_done_callback(lambda _: self._looks.pop(dimension))
        return look

    async def _look(self, dimension: int) -> None:
        """Until it is known to be complete; ends with the first failure, and the next request begins anew."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self._why = ""
        while True:
            asked_s = loop.time()
            try:
                await self.make(dimension)
                complete = self._complete
                if await self._is_complete(dimension):
                    complete.add(dimension)
            except StoreError as error:
                self._why = str(error)
                return
            if dimension in self._complete:
                return
            now_s = loop.time()
            is_small = now_s - begun_s < SOON_S
            await asyncio.sleep(AGAIN_S if is_small else max(LOOK_EVERY_S, (now_s - asked_s) / LOOK_SHARE))

    async def nearest(self, scope: str, vector: Vector, *, k: int) -> list[list[bytes]]:
        """Fields and values of at most `k` entries of this scope, the nearest first."""
        await self.ensure(vector.size)
        field, blob = self.field(vector.size), blob_of(vector, self.kind)
        try:
            _, *found = await self._link.command(
                "FT.SEARCH", self._name(vector.size), f"(@s:{{{scope}}})=>[KNN $k @v $b EF_RUNTIME $ef AS far]",
                "PARAMS", 6, "k", max(k, KNN_LEAST), "b", blob, "ef", max(self._options.ef, k),
                "RETURN", len(FIELDS) + 1, *FIELDS, field, "SORTBY", "far", "LIMIT", 0, k, "DIALECT", 2,
            )  # fmt: skip
        except StoreRefused:
            self.forget()  # it was dropped, perhaps with everything else
            raise
        return [fields for fields in found[1::2] if fields]

    def _name(self, dimension: int) -> str:
        return f"{self._keys.prefix}:{self.field(dimension)}"

    async def _is_complete(self, dimension: int) -> bool:
        try:
            info = await self._link.command("FT.INFO", self._name(dimension), patient=True)
        except StoreRefused:
            self.forget()  # it was dropped just now
            raise
        told = dict(zip(info[::2], info[1::2], strict=True))
        return float(told[b"percent_indexed"]) >= 1 and not int(told.get(b"indexing", 0))

    async def _create(self, dimension: int) -> None:
        options, known = self._options, f"{self._keys.prefix}:indexes"
        # There is none before the first vector of its kind: a new one has nothing to look for in what is stored.
        was_lost = await self._link.command("SISMEMBER", known, self._name(dimension))
        try:
            await self._link.command(
                "FT.CREATE", self._name(dimension), "ON", "HASH", "PREFIX", 1, self._keys.entries,
                "STOPWORDS", 0, *([] if was_lost else ["SKIPINITIALSCAN"]),
                "SCHEMA", "s", "TAG", "n", "TAG", "O", "TAG",
                self.field(dimension), "AS", "v", "VECTOR", "HNSW", 12,
                "TYPE", self.kind.upper(), "DIM", dimension, "DISTANCE_METRIC", "IP",
                "M", options.m, "EF_CONSTRUCTION", options.ef_construction, "EF_RUNTIME", options.ef,
            )  # fmt: skip
        except StoreRefused as error:
            if "exists" not in str(error):  # another process was faster
                raise
        await self._link.command("SADD", known, self._name(dimension))
        log.info("store.index_made name=%s", self._name(dimension))


def cosines(vectors: list[Vector], vector: Vector) -> list[float]:
    """As every store reckons them: in float64, so that equal rows come out equal."""
    if not vectors:
        return []
    found: list[float] = (np.stack(vectors) * vector.astype(np.float64)).sum(axis=1).tolist()
    return [min(max(similarity, -1.0), 1.0) for similarity in found]


def _lines(info: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


def _search_version(modules: list[list[Any]]) -> int | None:
    for module in modules:
        told = dict(zip(module[::2], module[1::2], strict=True))
        if told.get(b"name") in (b"search", b"searchlight"):
            return int(told[b"ver"])
    return None
