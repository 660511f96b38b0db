"""`make soak`: two proxies on one Redis, many clients, and the server killed again and again.

What must hold: no request fails, no answer is another question's, nothing is lost that was acknowledged (Redis with
`appendfsync always`), and the hits come back soon after Redis can serve again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
import typer

from benchmarks import children
from benchmarks.figures import Figure, Target, this_run
from benchmarks.http_client import Answer, Connection, MalformedAnswer
from benchmarks.stand_ins.redis import RedisServer
from benchmarks.stand_ins.redis import running as redis_running
from workbench.cache.redis_link import RedisOptions
from workbench.cache.redis_store import RedisStore
from workbench.cache.store import Entry
from workbench.errors import StoreError

DOWN_S = 1.0
WINDOW = 40
"""So many of the latest repeated questions tell the hit rate."""
BACK_SHARE = 0.8
"""The hits are back when their rate is at least this share of what it was before: what was asked meanwhile is new."""
TENANT = "ledger"
TTL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Load:
    """Two proxies with so many clients each, for so long, asking so many questions, with Redis killed so often."""

    clients: int = 32
    seconds: float = 60.0
    questions: int = 5_000
    kills: int = 2


@dataclass(slots=True)
class Outcome:
    """What came of it. `back_s` is how long the hits took to come back after each restart, from when Redis answers."""

    requests: int = 0
    hits: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    acknowledged: int = 0
    lost: int = 0
    back_s: list[float] = field(default_factory=list)

    def fail(self, what: str) -> None:
        """A request failed."""
        self.failed[what] = self.failed.get(what, 0) + 1

    def figures(self, load: Load) -> Iterator[Figure]:
        """As `make bench` tells figures."""
        about = f"two proxies × {load.clients} clients, {load.seconds:g} s, Redis killed {load.kills} times"
        more: dict[str, float] = {"hits": self.hits, "acknowledged": self.acknowledged}
        failed = float(sum(self.failed.values()))
        yield Figure("soak_failed", f"{about}: failed requests", [failed], "", self.requests, Target(0), more=more)
        yield Figure("soak_wrong", f"{about}: wrong answers", [float(self.wrong)], "", self.requests, Target(0))
        yield Figure("soak_lost", f"{about}: lost entries", [float(self.lost)], "", self.acknowledged, Target(0))
        worst = [max(self.back_s)] if len(self.back_s) == load.kills and self.back_s else []
        yield Figure("soak_back", f"{about}: until the hits were back", worst, "s", len(self.back_s), Target(5))


class Rate:
    """The hit rate of repeated questions, and when it was back after each restart."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._latest: deque[bool] = deque(maxlen=WINDOW)
        self._before = 0.0
        self._up_s: float | None = None

    def add(self, *, hit: bool) -> None:
        """A repeated question was answered."""
        self._latest.append(hit)
        if self._up_s is not None and len(self._latest) == WINDOW and self._share >= BACK_SHARE * self._before:
            self._outcome.back_s.append(time.perf_counter() - self._up_s)
            self._up_s = None

    def killed(self) -> None:
        """Redis is gone."""
        self._before = self._share

    def up(self) -> None:
        """Redis answers again."""
        self._latest.clear()
        self._up_s = time.perf_counter()

    @property
    def _share(self) -> float:
        return sum(self._latest) / max(1, len(self._latest))


class Soak:
    """One run against running proxies."""

    def __init__(self, load: Load, redis: RedisServer, urls: list[str]) -> None:
        self.outcome = Outcome()
        self._load = load
        self._redis = redis
        self._urls = urls
        self._rate = Rate(self.outcome)
        self._asked: set[int] = set()
        self._end_s = time.perf_counter() + load.seconds

    async def run(self) -> Outcome:
        """Load, kills and the ledger, all at once; then what was acknowledged is counted."""
        ledger = RedisStore(RedisOptions(self._redis.url, lost_s=2.0))
        await ledger.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._load.clients):
                    for place, url in enumerate(self._urls):
                        tasks.create_task(self._client(url, random.Random(2 * number + place)))  # noqa: S311  # a load
                tasks.create_task(self._kill_now_and_then())
                written = tasks.create_task(self._write(ledger))
            self.outcome.acknowledged = len(written.result())
            for digest in written.result():
                self.outcome.lost += await ledger.get(TENANT, digest) is None
        finally:
            await ledger.close()
        return self.outcome

    @property
    def _is_over(self) -> bool:
        return time.perf_counter() > self._end_s

    async def _kill_now_and_then(self) -> None:
        for _ in range(self._load.kills):
            await asyncio.sleep(self._load.seconds / (self._load.kills + 1) - DOWN_S)
            self._rate.killed()
            await asyncio.to_thread(self._redis.kill)
            await asyncio.sleep(DOWN_S)
            await asyncio.to_thread(self._redis.start)
            self._rate.up()

    async def _write(self, ledger: RedisStore) -> list[str]:
        """Entries whose `put` returned."""
        acknowledged: list[str] = []
        number = 0
        while not self._is_over:
            number += 1
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            now_s = time.time()
            with contextlib.suppress(StoreError):
                await ledger.put(TENANT, Entry(digest, digest.encode(), "m", now_s, now_s + TTL_S))
                acknowledged.append(digest)
            await asyncio.sleep(0.01)
        return acknowledged

    async def _client(self, url: str, drawn: random.Random) -> None:
        address = urlsplit(url)
        connection: Connection | None = None
        while not self._is_over:
            number = min(int(drawn.paretovariate(0.6)), self._load.questions)
            try:
                if connection is None:
                    _, connection = await asyncio.get_running_loop().create_connection(
                        Connection, address.hostname or "", address.port or 80
                    )
                self._note(number, await connection.ask(_request(address.netloc, number)))
            except (OSError, MalformedAnswer) as error:
                self.outcome.fail(f"{type(error).__name__}: {error}")
                connection = None
        if connection:
            connection.close()

    def _note(self, number: int, answer: Answer) -> None:
        self.outcome.requests += 1
        if answer.status != 200:
            self.outcome.fail(f"status {answer.status}")
            return
        hit = answer.headers.get("x-cache") in ("exact", "semantic")
        self.outcome.hits += hit
        self.outcome.wrong += f'"You said: {_question(number)}"'.encode() not in answer.body
        if number in self._asked:
            self._rate.add(hit=hit)
        self._asked.add(number)


def _question(number: int) -> str:
    return f"What is on page {number} of the manual?"


def _request(host: str, number: int) -> bytes:
    messages = [{"role": "user", "content": _question(number)}]
    body = orjson.dumps({"model": "claude-soak", "max_tokens": 64, "messages": messages})
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


def soak(folder: Path, load: Load) -> Outcome:
    """Start everything in `folder`, run the load, and stop everything."""
    with (
        redis_running(folder / "redis", "--appendonly", "yes", "--appendfsync", "always") as redis,
        children.stand_in("ollama", folder=folder) as ollama,
        children.server(folder, thinker=ollama.url, store=redis.url) as one,
        children.server(folder, thinker=ollama.url, store=redis.url) as two,
    ):
        return asyncio.run(Soak(load, redis, [one.url, two.url]).run())


def main(
    clients: Annotated[int, typer.Option(help="Of each proxy.")] = 32,
    seconds: Annotated[float, typer.Option(help="How long.")] = 60.0,
    kills: Annotated[int, typer.Option(help="How often Redis is killed.")] = 2,
) -> None:
    """Two proxies, one Redis that is killed and started again under load; a JSON line a figure."""
    for number in children.ENDING:
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that the children are stopped too
    load, run = Load(clients=clients, seconds=seconds, kills=kills), this_run()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = soak(Path(folder), load)
    rows: list[dict[str, Any]] = [figure.row(run) for figure in outcome.figures(load)]
    for row in rows:
        print(orjson.dumps(row).decode())
    if outcome.failed:
        print(outcome.failed, file=sys.stderr)
    raise SystemExit(0 if all(row["reached"] for row in rows) else 1)


if __name__ == "__main__":
    typer.run(main)
