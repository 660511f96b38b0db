"""The order of steps for one request, and nothing else.

resolve the model → question → cache → one flight a digest → store what is complete.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from workbench.auxiliary import is_auxiliary
from workbench.backend.call import Call
from workbench.backend.pool import Pool
from workbench.backend.routing import Origin
from workbench.cache.cache import Bypass, Hit, Miss, Semantic, SemanticCache
from workbench.cache.policy import Refuse, Serve
from workbench.cache.question import Question, question
from workbench.errors import NotFound, StoreError
from workbench.messages import MessagesRequest, parse_request
from workbench.proxy import payload
from workbench.proxy.asker import Asked
from workbench.proxy.auditing import Auditor
from workbench.proxy.auth import Caller
from workbench.proxy.flight import Flights, Reader
from workbench.proxy.shared_flight import Claims, SharedCall
from workbench.proxy.telemetry import Content, Exchange
from workbench.proxy.tokens import TokenCounter
from workbench.reply import Reply

Control = Literal["no-store", "no-cache", "only-if-cached"]
"""What the client asks of the cache: neither read nor write; write only; read only."""

CONTROLS: tuple[Control, ...] = ("no-store", "no-cache", "only-if-cached")

LARGE_BODY_BYTES = 256 * 1024
"""Above this, parsing and hashing go to a thread, so that nobody else waits for them."""


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
    session_id: str | None = None
    is_batch: bool = False

    @property
    def origin(self) -> Origin:
        """Who asks, for routing and for fairness."""
        return Origin(self.caller.tenant, self.session_id or "", self.agent_id or "", self.is_batch)


class Exchanger:
    """Answers requests from memory when that is safe, and from a Thinker when it is not."""

    def __init__(
        self,
        cache: SemanticCache,
        pool: Pool,
        flights: Flights,
        tokens: TokenCounter,
        *,
        semantic: Callable[[str], Semantic],
        auditor: Auditor | None = None,
        claims: Claims | None = None,
    ) -> None:
        self._cache = cache
        self._pool = pool
        self._flights = flights
        self._tokens = tokens
        self._semantic = semantic
        self._auditor = auditor
        self._claims = claims

    async def answer(self, incoming: Incoming, exchange: Exchange) -> Answer:
        """Answer one request and note in `exchange` how; raises `RequestError` and `BackendError`."""
        model = await self._pool.resolve(self._asked_model(incoming.request))
        asks = await off_the_loop(
            incoming.is_large,
            lambda: question(incoming.request, model=model.name, model_digest=model.digest, agent_id=incoming.agent_id),
        )
        asked = Asked(incoming.caller.tenant, asks, model)
        exchange.model = model.name
        exchange.content = Content(asks, session=_session(incoming.request))
        exchange.mark("question")
        found = await self._look_up(incoming, asks, exchange)
        if isinstance(found, Hit):
            if reply := await self._read(found, incoming.caller):
                _note(exchange, found)
                exchange.usage, exchange.content.reply = reply.usage, reply
                self._tell(asked, found, exchange, reply=reply)
                return Replayed(reply)
            found = Miss("unreadable-entry")
        _note(exchange, found)
        self._tell(asked, found, exchange)
        if incoming.control == "only-if-cached":
            raise NotCached(f"nothing stored answers this request ({found.reason}), and it is only-if-cached")
        return self._fly(found, asked, exchange, incoming.origin)

    def _asked_model(self, request: MessagesRequest) -> str:
        """The name that it asks for; an auxiliary request may be meant for a model of its own."""
        auxiliary_model = self._pool.aliases.auxiliary_model
        return auxiliary_model if auxiliary_model and is_auxiliary(request) else request.model

    def _tell(
        self, asked: Asked, found: Hit | Miss | Bypass, exchange: Exchange, *, reply: Reply | None = None
    ) -> None:
        """Let the audit know what the cache decided."""
        if self._auditor is None:
            return
        self._auditor.asked_again(asked.tenant, asked.question)
        match found:
            case Hit(tier="semantic") if reply:
                exchange.scope, exchange.question_digest = found.entry.scope, asked.question.digest
                self._auditor.served(asked, found, reply)
            case Miss(reason=reason, decision=Serve() | Refuse(), era=era) if reason != "shadow":
                self._auditor.missed(asked.tenant, era=era)

    async def _look_up(self, incoming: Incoming, asked: Question, exchange: Exchange) -> Hit | Miss | Bypass:
        match incoming.control:
            case "no-store":
                return Bypass("no-store")
            case "no-cache":
                return Bypass("no-cache", store=True)
            case _:
                tenant = incoming.caller.tenant
                semantic, may_ask = self._semantic(tenant), incoming.control != "only-if-cached"
                return await self._cache.lookup(tenant, asked, semantic=semantic, may_ask=may_ask, mark=exchange.mark)

    async def _read(self, hit: Hit, caller: Caller) -> Reply | None:
        """The stored reply; one that cannot be read is removed, and the request is a miss."""
        try:
            return payload.decode(hit.entry.payload)
        except payload.UnreadablePayload:
            await self._cache.discard(caller.tenant, hit.entry.id)
            return None

    def _fly(self, found: Miss | Bypass, asked: Asked, exchange: Exchange, origin: Origin) -> Live:
        # Nothing is sent before its events are read.
        call = self._pool.call(asked.question.request, asked.model, origin=origin)
        finish = self._finish(found, asked, call)

        async def finish_alone(reply: Reply) -> None:
            await finish(reply)

        if found.reason in CONTROLS:  # the client wants an answer of its own
            return Live(self._flights.alone(call, finish_alone))
        key = (asked.tenant, asked.question.digest)
        # Also when the cache failed: that is no reason to ask a Thinker the same thing many times at once.
        if self._claims:
            shared = self._share(call, self._claims, asked, finish)
            reader, exchange.shared = self._flights.join(key, lambda: shared, shared.finish, on_end=shared.over)
        else:
            reader, exchange.shared = self._flights.join(key, lambda: call, finish_alone)
        if exchange.shared:
            exchange.reason = "shared-flight"
        return Live(reader)

    def _share(
        self, call: Call, claims: Claims, asked: Asked, finish: Callable[[Reply], Awaitable[bool]]
    ) -> SharedCall:
        async def read() -> Reply | None:
            try:
                entry = await self._cache.store.get(asked.tenant, asked.question.digest)
                return payload.decode(entry.payload) if entry else None
            except (StoreError, payload.UnreadablePayload):
                return None

        return SharedCall(call, claims, tenant=asked.tenant, digest=asked.question.digest, read=read, finish=finish)

    def _finish(self, found: Miss | Bypass, asked: Asked, call: Call) -> Callable[[Reply], Awaitable[bool]]:
        """What is done with a complete reply; it tells whether the reply was stored."""
        store = isinstance(found, Miss) or found.store
        asks = asked.question

        async def finish(reply: Reply) -> bool:
            entry = None
            if reply.stop_reason != "stop_sequence":  # then the usage may be a guess: the call was cut short
                self._tokens.learn(reply.model, asks.request, reply.usage.prompt_tokens)
            if call.is_altered:  # an answer to another request, so to say
                return False
            if store and payload.is_storable(reply):
                by_meaning = payload.is_servable_by_meaning(reply)
                entry = await self._cache.insert(
                    asked.tenant,
                    asks,
                    payload.encode(reply),
                    model=reply.model,
                    by_meaning=by_meaning,
                    tokens=reply.usage.output_tokens,
                )
            if self._auditor and isinstance(found, Miss):
                self._auditor.answered(asked, found, reply)
            return entry is not None

        return finish


async def read_request(body: bytes) -> MessagesRequest:
    """Parse a request's body; raises `InvalidRequest`."""
    return await off_the_loop(len(body) > LARGE_BODY_BYTES, lambda: parse_request(body))


async def off_the_loop(is_large: bool, work: Callable[[], T]) -> T:
    """Do it here, or in a thread if it is about a large body."""
    return await asyncio.to_thread(work) if is_large else work()


def _session(request: MessagesRequest) -> str:
    """What the client says of who asks: Claude Code names its session there."""
    metadata = (request.model_extra or {}).get("metadata")
    return str(metadata.get("user_id") or "") if isinstance(metadata, dict) else ""


def _note(exchange: Exchange, found: Hit | Miss | Bypass) -> None:
    match found:
        case Hit(entry, tier, similarity, decision):
            exchange.outcome = tier
            exchange.reason = "identical" if tier == "exact" else "same-meaning"
            if decision and decision.vouched:
                exchange.reason = "vouched"
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
