"""Examines a Redis server as a store: what is wrong is one line of cause and one of remedy.

It writes one key of its own, which expires by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from workbench.cache.findings import Finding, capacity, fail, ok, warn
from workbench.cache.redis_trouble import first_line, shown_url, why_not

NEEDED = (
    "use Redis 8 or newer, Redis Cloud, or Redis 7 with the search module; without any, WORKBENCH_STORE=sqlite:///…"
)
FAR_S = 0.010
"""A lookup is a round trip or two, and the proxy gives them 50 ms."""

SKEW_S = 1.0
SMALL_BYTES = 25e6
FULL_SHARE = 0.9


async def examine(url: str, *, ca: Path | None = None, prefix: str = "wb1", timeout_s: float = 3.0) -> list[Finding]:
    """Findings on the server at this ``redis://`` or ``rediss://`` URL.

    `ca` holds certificates to trust beside the system's; the store's names begin with `prefix`.
    """
    trust: dict[str, Any] = {"ssl_ca_certs": str(ca)} if ca and url.startswith("rediss:") else {}
    try:
        client = Redis.from_url(
            url,
            protocol=2,  # replies of one shape, whatever the version
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            **trust,
        )
    except ValueError as error:
        return [fail("store", f"the URL makes no sense: {error}", "write redis://user:password@host:port/0")]
    async with client:
        try:
            async with asyncio.timeout(timeout_s):
                await _command(client, "PING")
        except (RedisError, OSError, TimeoutError) as error:
            return [await why_not(url, error, timeout_s)]
        found: list[Finding] = []
        try:
            async with asyncio.timeout(10 * timeout_s):
                async for finding in _examine(client, shown_url(url), prefix):
                    found.append(finding)  # noqa: PERF401  # one by one: what comes before a fault is kept
        except (RedisError, OSError, TimeoutError) as error:
            found.append(fail("store", f"it failed while it was examined: {first_line(error)}", "try again"))
        return found


# ── it can be asked ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _examine(client: Redis, shown: str, prefix: str) -> AsyncIterator[Finding]:
    info = await _info(client)
    yield ok("store", f"{shown}, Redis {info.get('redis_version', 'of an unknown version')}")
    yield await _modules(client, info)
    yield await _writes(client, prefix)
    indexed = 0
    for finding, entries in await _indexes(client, prefix):
        yield finding
        indexed = max(indexed, entries)
    for finding in _memory(info, indexed):
        yield finding
    for finding in _persistence(info):
        yield finding
    yield await _distance(client)
    yield await _clock(client)


async def _info(client: Redis) -> Mapping[str, Any]:
    """What the server tells of itself; nothing where this user may not ask."""
    try:
        told: Mapping[str, Any] = await client.info()
    except ResponseError:
        return {}
    return told


async def _modules(client: Redis, info: Mapping[str, Any]) -> Finding:
    try:
        await _command(client, "FT._LIST")
    except ResponseError as error:
        version = info.get("redis_version", "?")
        if "unknown command" in str(error).lower():
            return fail("modules", f"Redis {version} has no vector search (FT.SEARCH)", NEEDED)
        return fail(
            "modules", f"this user may not search: {first_line(error)}", "allow it +@search, or FT.* one by one"
        )
    return ok("modules", "vector search is there (FT.SEARCH)")


async def _writes(client: Redis, prefix: str) -> Finding:
    """Whether this user may write now: the only way to know is to do it."""
    try:
        await _command(client, "SET", f"{prefix}:doctor", b"1", "EX", 10)
    except ResponseError as error:
        said = first_line(error)
        if "read only replica" in said.lower() or said.startswith("READONLY"):
            return fail("writes", "it is a read-only replica", "name the primary's address")
        if "maxmemory" in said or said.startswith("OOM"):
            return fail(
                "writes",
                "its memory is full",
                "`python -m workbench cache purge`, or a larger plan",
            )
        if "MISCONF" in said or "NOREPLICAS" in said:
            return fail("writes", f"it refuses to write: {said}", "see the server's log: its disk or its replicas fail")
        return fail(
            "writes",
            f"this user may not write: {said}",
            f"allow it the keys {prefix}* and the commands +@all -@dangerous",
        )
    return ok("writes", "it takes them")


async def _indexes(client: Redis, prefix: str) -> list[tuple[Finding, int]]:
    """Each index of ours, and how many entries it holds."""
    try:
        names = [_text(name) for name in await _command(client, "FT._LIST")]
    except ResponseError:
        return []  # told already
    ours = sorted(name for name in names if name.startswith(prefix))
    if not ours:
        return [(ok("index", "none yet: the first question with a vector makes it"), 0)]
    return [await _index(client, name) for name in ours]


async def _index(client: Redis, name: str) -> tuple[Finding, int]:
    flat = await _command(client, "FT.INFO", name)
    told = {_text(key): value for key, value in zip(flat[::2], flat[1::2], strict=True)}
    entries, failures = int(_number(told, "num_docs")), int(_number(told, "hash_indexing_failures"))
    indexed = _number(told, "percent_indexed", 1.0)
    if indexed < 1:
        seen = f"{name} is being built: {indexed:.0%} of its entries"
        return warn("index", seen, "wait: until it is complete, questions are not matched by meaning"), entries
    if failures:
        return warn(
            "index", f"{name}: {failures:,} entries could not be indexed", "purge what another program wrote there"
        ), entries
    return ok("index", f"{name}: {entries:,} entries"), entries


def _memory(info: Mapping[str, Any], entries: int) -> Iterator[Finding]:
    used_bytes, most_bytes = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    policy = info.get("maxmemory_policy", "?")
    seen = f"{used_bytes / 1e6:.1f} MB of {f'{most_bytes / 1e6:.0f} MB' if most_bytes else 'no limit'}, {policy}"
    if most_bytes and used_bytes > FULL_SHARE * most_bytes:
        yield warn("memory", f"nearly full: {seen}", "`python -m workbench cache purge`, or a larger plan")
    elif most_bytes and most_bytes < SMALL_BYTES:
        yield warn("memory", f"small: {seen}", "raise maxmemory to 30 MB at least")
    elif str(policy).startswith("allkeys"):
        yield warn(
            "memory", f"{seen}: it may drop what the audit knows", "maxmemory-policy volatile-lru, or noeviction"
        )
    elif info:
        yield ok("memory", seen)
    else:
        yield warn("memory", "this user may not ask (INFO)", "allow it +info")
    yield capacity(entries, int(info.get("used_memory_dataset", 0)))


def _persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    if "aof_enabled" in info and not int(info["aof_enabled"]):
        yield warn(
            "persistence",
            "no append-only file: a crash loses what was stored since the last snapshot",
            "appendonly yes",
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        yield fail(
            "persistence", "the append-only file cannot be written", "see the server's log: its disk may be full"
        )
    elif "aof_enabled" in info:
        yield ok("persistence", "append-only file")


async def _distance(client: Redis) -> Finding:
    took_s = []
    for _ in range(5):
        begun_s = time.perf_counter()
        await _command(client, "PING")
        took_s.append(time.perf_counter() - begun_s)
    seen = f"{sorted(took_s)[2] * 1e3:.2f} ms there and back"
    return warn("distance", seen, "run the proxy nearer to it") if sorted(took_s)[2] > FAR_S else ok("distance", seen)


async def _clock(client: Redis) -> Finding:
    begun_s = time.time()
    try:
        seconds, microseconds = await client.time()
    except ResponseError:
        return warn("clock", "this user may not ask (TIME)", "allow it +time")
    skew_s = seconds + microseconds / 1e6 - (begun_s + time.time()) / 2
    seen = f"the server's differs by {skew_s:+.2f} s"
    if abs(skew_s) > SKEW_S:
        return warn("clock", seen, "set both clocks (NTP): entries expire by them")
    return ok("clock", seen)


async def _command(client: Redis, *words: Any) -> Any:
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]  # the package ships no type for it


def _number(told: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    try:
        return float(told.get(name, default))
    except (TypeError, ValueError):
        return default


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
