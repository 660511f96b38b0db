"""The order of steps for one request, and nothing else.

resolve the model → question → cache → one flight a digest → store what is complete.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from workbench.backend.backend import Model
from workbench.backend.pool import Pool
from workbench.cache.cache import Bypass, Hit, Miss, Semantic, SemanticCache
from workbench.cache.question import Question, question
from workbench.errors import NotFound
from workbench.messages import MessagesRequest, parse_request
from workbench.proxy import payload
from workbench.proxy.auth import Caller
from workbench.proxy.flight import Call, Finish, Flights, Reader
from workbench.proxy.telemetry import Exchange
from workbench.proxy.tokens import TokenCounter
from workbench.reply import Reply, Text, ToolUse

Control = Literal["no-store", "no-cache", "only-if-cached"]
"""What the client asks of the cache: neither read nor write; write only; read only."""

CONTROLS: tuple[Control, ...] = ("no-store", "no-cache", "only-if-cached")

LARGE_BODY_BYTES = 256 * 1024
"""Above this, parsing and hashing go to a thread, so that nobody else waits for them."""

STORABLE = ("end_turn", "tool_use", "stop_sequence", "max_tokens")


class NotCached(NotFound):
    """`only-if-cached` was asked and nothing stored answers the request."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer comes from memory."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Live:
    """The answer comes from a Thinker; whoever gets this closes the reader."""

    reader: Reader


Answer = Replayed | Live
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request, who sent it, and what its headers ask for."""

    request: MessagesRequest
    caller: Caller
    control: Control | None
    agent_id: str | None
    is_large: bool


class Exchanger:
    """Answers requests from memory when that is safe, and from a Thinker when it is not."""

    def __init__(
        self, cache: SemanticCache, pool: Pool, flights: Flights, tokens: TokenCounter, *, semantic: Semantic
    ) -> None:
        self._cache = cache
        self._pool = pool
        self._flights = flights
        self._tokens = tokens
        self._semantic = semantic

    async def answer(self, incoming: Incoming, exchange: Exchange) -> Answer:
        """Answer one request and note in `exchange` how; raises `RequestError` and `BackendError`."""
        model = await self._pool.resolve(incoming.request.model)
        asked = await off_the_loop(
            incoming.is_large,
            lambda: question(incoming.request, model=model.name, model_digest=model.digest, agent_id=incoming.agent_id),
        )
        exchange.model = model.name
        exchange.mark("question")
        found = await self._look_up(incoming, asked)
        exchange.mark("cache")
        if isinstance(found, Hit):
            if reply := await self._read(found, incoming.caller):
                _note(exchange, found)
                exchange.usage = reply.usage
                return Replayed(reply)
            found = Miss("unreadable-entry")
        _note(exchange, found)
        if incoming.control == "only-if-cached":
            raise NotCached(f"nothing stored answers this request ({found.reason}), and it is only-if-cached")
        return self._fly(found, asked, model, incoming.caller, exchange)

    async def _look_up(self, incoming: Incoming, asked: Question) -> Hit | Miss | Bypass:
        match incoming.control:
            case "no-store":
                return Bypass("no-store")
            case "no-cache":
                return Bypass("no-cache", store=True)
            case _:
                return await self._cache.lookup(incoming.caller.tenant, asked, semantic=self._semantic)

    async def _read(self, hit: Hit, caller: Caller) -> Reply | None:
        """The stored reply; one that cannot be read is removed, and the request is a miss."""
        try:
            return payload.decode(hit.entry.payload)
        except payload.UnreadablePayload:
            await self._cache.discard(caller.tenant, hit.entry.id)
            return None

    def _fly(self, found: Miss | Bypass, asked: Question, model: Model, caller: Caller, exchange: Exchange) -> Live:
        def call() -> Call:
            return self._pool.call(asked.request, model)

        finish = self._finish(asked, caller, store=isinstance(found, Miss) or found.store)
        if found.reason in CONTROLS:  # the client wants an answer of its own
            return Live(self._flights.alone(call(), finish))
        # Also when the cache failed: that is no reason to ask a Thinker the same thing many times at once.
        reader, exchange.shared = self._flights.join((caller.tenant, asked.digest), call, finish)
        if exchange.shared:
            exchange.reason = "shared-flight"
        return Live(reader)

    def _finish(self, asked: Question, caller: Caller, *, store: bool) -> Finish:
        async def finish(reply: Reply) -> None:
            if reply.stop_reason != "stop_sequence":  # then the usage may be a guess: the call was cut short
                self._tokens.learn(reply.model, asked.request, reply.usage.prompt_tokens)
            if store and is_storable(reply):
                by_meaning = is_servable_by_meaning(reply)
                await self._cache.insert(
                    caller.tenant, asked, payload.encode(reply), model=reply.model, by_meaning=by_meaning
                )

        return finish


def is_storable(reply: Reply) -> bool:
    """Whether a reply may answer the same request again: it ended by itself and says or does something."""
    says_something = any(
        isinstance(block, ToolUse) or (isinstance(block, Text) and block.text) for block in reply.content
    )
    calls = any(isinstance(block, ToolUse) for block in reply.content)
    return reply.stop_reason in STORABLE and says_something and calls == (reply.stop_reason == "tool_use")


def is_servable_by_meaning(reply: Reply) -> bool:
    """Whether a reply may also answer a question that means the same: only text, and all of it."""
    return reply.stop_reason == "end_turn" and reply.is_text_only


async def read_request(body: bytes) -> MessagesRequest:
    """Parse a request's body; raises `InvalidRequest`."""
    return await off_the_loop(len(body) > LARGE_BODY_BYTES, lambda: parse_request(body))


async def off_the_loop(is_large: bool, work: Callable[[], T]) -> T:
    """Do it here, or in a thread if it is about a large body."""
    return await asyncio.to_thread(work) if is_large else work()


def _note(exchange: Exchange, found: Hit | Miss | Bypass) -> None:
    match found:
        case Hit(entry, tier, similarity, decision):
            exchange.outcome = tier
            exchange.reason = "identical" if tier == "exact" else "same-meaning"
            exchange.similarity = similarity
            exchange.entry = entry.id
            exchange.age_s = max(0, int(time.time() - entry.created_s))
            exchange.decision = decision
        case Miss(reason, candidate, decision):
            exchange.outcome, exchange.reason = "miss", reason
            exchange.decision = decision
            if candidate:
                exchange.similarity, exchange.candidate = candidate.similarity, candidate.entry.id
        case Bypass(reason):
            exchange.outcome, exchange.reason = "bypass", reason
