"""What would have been: recorded traffic against another policy, store or mode, through the cache itself.

Each exchange is looked up as it came, at its own time, and what missed is stored, by the code that serves. What a hit
by meaning would have answered is compared with what was recorded: by label where people gave one, else by the replies.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import orjson

from benchmarks.blocking import result_of
from benchmarks.recorded_traffic import Traffic
from benchmarks.remembered import Remembered
from workbench.cache.admission import ALL
from workbench.cache.cache import Bypass, Hit, Miss, Semantic, SemanticCache
from workbench.cache.embedder import Embedder
from workbench.cache.judges import Judge
from workbench.cache.memory_store import MemoryStore
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Policy
from workbench.cache.question import Question
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Store
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import verifier_folder
from workbench.errors import ConfigurationError
from workbench.messages import MessagesRequest, parse_request
from workbench.proxy.judging import embedding_judge
from workbench.proxy.recording_file import Recorded
from workbench.settings import data_folder

TTL_S = 7 * 24 * 3600.0
STORE_MAX_BYTES = 2 * 1024**3
TIMEOUT_S = 60.0
UNRECORDED = "text-not-recorded"
NO_REQUEST = parse_request(b'{"model":"none","max_tokens":1,"messages":[{"role":"user","content":"-"}]}')
"""A stored question is found by its digest, scope and text; its request is asked for by nobody."""

Tier = Literal["exact", "semantic", "none"]
Kind = Literal["question", "agent turn", "auxiliary"]
Says = Literal["right", "wrong", "unknown", ""]
StoreKind = Literal["memory", "sqlite"]


# ── the replay ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Replayed:
    """One exchange, and what would have become of it; `says` is about a hit's answer."""

    exchange: Recorded
    kind: Kind
    tier: Tier
    reason: str
    says: Says
    lookup_ms: float

    @property
    def is_hit(self) -> bool:
        """Whether memory would have answered."""
        return self.tier != "none"


class Clock:
    """The time of the exchange that is being replayed."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now_s


@dataclass(frozen=True, eq=False)
class Noted(Question):
    """A question as it was when it was recorded."""

    noted_scope: str = ""
    noted_outer_scope: str = ""

    @cached_property
    def scope(self) -> str:
        """As recorded."""
        return self.noted_scope

    @cached_property
    def outer_scope(self) -> str:
        """As recorded."""
        return self.noted_outer_scope

    @cached_property
    def turns(self) -> tuple[str, ...]:
        """Not recorded, and nothing decides by them."""
        return ()


def noted(exchange: Recorded, *, request: MessagesRequest = NO_REQUEST) -> Question:
    """The question of a recorded exchange."""
    text = exchange.text if exchange.reason is None else None
    reason = exchange.reason or (UNRECORDED if text is None else None)
    return Noted(request, "", exchange.digest, text, reason, exchange.scope, exchange.outer_scope)


class Replay:
    """Puts exchanges through a cache, and remembers which of them each entry came from."""

    def __init__(self, cache: SemanticCache, clock: Clock, judge: Judge, *, semantic: Semantic) -> None:
        self._cache = cache
        self._clock = clock
        self._judge = judge
        self._semantic = semantic
        self._sources: dict[tuple[str, str], Recorded] = {}

    async def one(self, exchange: Recorded) -> Replayed:
        """What would have become of this exchange, after all those before."""
        self._clock.now_s = exchange.at_s
        asked = noted(exchange)
        began_s = time.perf_counter()
        found = await self._cache.lookup(exchange.tenant, asked, semantic=self._semantic)
        lookup_ms = (time.perf_counter() - began_s) * 1e3
        match found:
            case Hit(entry, tier):
                source = self._sources[exchange.tenant, entry.digest]
                says = "right" if tier == "exact" else await self._says(exchange, source)
                return Replayed(exchange, kind_of(exchange), tier, "", says, lookup_ms)
            case Miss(reason) | Bypass(reason):
                await self._store(exchange, asked)
                return Replayed(exchange, kind_of(exchange), "none", reason, "", lookup_ms)

    async def _store(self, exchange: Recorded, asked: Question) -> None:
        if exchange.kept == "no":
            return
        payload = orjson.dumps(exchange.reply) if exchange.reply else b"-" * 4 * exchange.output_tokens
        by_meaning = exchange.kept == "meaning"
        entry = await self._cache.insert(exchange.tenant, asked, payload, model=exchange.model, by_meaning=by_meaning)
        if entry:
            self._sources[exchange.tenant, entry.digest] = exchange

    async def _says(self, asked: Recorded, source: Recorded) -> Says:
        """Whether the reply of `source` would have answered `asked`."""
        if asked.label and source.label:
            return "right" if asked.label == source.label else "wrong"
        if asked.reply_hash and asked.reply_hash == source.reply_hash:
            return "right"
        one, other = source.reply_text, asked.reply_text
        if not one or not other:
            return "unknown"
        verdict = await self._judge.compare(asked.text or "", one, other)
        return {"same": "right", "different": "wrong", "unsure": "unknown"}[verdict.says]  # type: ignore[return-value]  # values are Says


def kind_of(exchange: Recorded) -> Kind:
    """A person's question, a turn of an agent's loop, or what a client asks for its own ends."""
    if exchange.reason in (None, "secrets"):
        return "question"
    return "agent turn" if exchange.reason in ("tool-result", "subagent", "no-user-question") else "auxiliary"


@dataclass(frozen=True, slots=True)
class Setup:
    """Policy P, store S and mode of a replay; raises `ConfigurationError` for a store or mode that there is not."""

    policy: Policy
    store: StoreKind = "memory"
    semantic: Semantic = "on"
    ttl_s: float = TTL_S

    def __post_init__(self) -> None:
        """Refuse a typing error before anything runs."""
        for what, value, known in (
            ("store", self.store, get_args(StoreKind)),
            ("semantic mode", self.semantic, get_args(Semantic)),
        ):
            if value not in known:
                raise ConfigurationError(f"there is no {what} {value!r} for a replay, only {', '.join(known)}")


def replay(
    traffic: Traffic, setup: Setup, known: Remembered, *, show: Callable[[int], None] | None = None
) -> list[Replayed]:
    """What would have become of each exchange; `show` is told the count now and then. Raises `ConfigurationError`."""
    setup.policy.check(known.embedder.fingerprint)
    if setup.semantic != "off":
        known.learn(exchange.text for exchange in traffic.exchanges if exchange.is_eligible and exchange.text)
    return result_of(_replay(traffic.exchanges, setup, known, show or (lambda _: None)))


async def _replay(
    exchanges: Iterable[Recorded], setup: Setup, known: Remembered, show: Callable[[int], None]
) -> list[Replayed]:
    clock, found = Clock(), []
    with ExitStack() as stack:
        store = _store(setup.store, clock, known, stack)
        await store.open()
        try:
            cache = SemanticCache(
                store,
                memory=None,
                embedder=known,
                verifier=known if known.verifier else None,
                policy=setup.policy if known.verifier else setup.policy.without_second(),
                admission=ALL,
                ttl_s=setup.ttl_s,
                timeout_s=TIMEOUT_S,
                clock=clock,
            )
            going = Replay(
                cache, clock, embedding_judge(known, model=setup.policy.fingerprint), semantic=setup.semantic
            )
            for exchange in exchanges:
                found.append(await going.one(exchange))
                if len(found) % 1000 == 0:
                    show(len(found))
        finally:
            await store.close()
    return found


def _store(kind: StoreKind, clock: Clock, known: Remembered, stack: ExitStack) -> Store:
    if kind == "memory":
        return MemoryStore(max_bytes=STORE_MAX_BYTES, clock=clock)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return SqliteStore(folder / "replay.sqlite", clock=clock, fingerprint=known.embedder.fingerprint)


def open_remembered(path: Path | None = None, *, policy: Policy, verify: bool = True) -> Remembered:
    """The models that ship, with what earlier replays learned; by default in the user's data folder."""
    folder = data_folder() / "embedders"
    verifier = Verifier(verifier_folder(folder)) if verify and policy.second else None
    return Remembered(path or data_folder() / "replay.sqlite", Embedder(minilm_folder(folder)), verifier)
