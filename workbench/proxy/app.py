"""create_app: the wiring, what is opened and closed with the server, and error → HTTP."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.backend.aliases import Aliases
from workbench.backend.backend import Backend
from workbench.backend.pool import Pool, Waiting
from workbench.backend.urls import Timeouts, backend_for
from workbench.cache.audit_state import Rules
from workbench.cache.cache import SemanticCache
from workbench.cache.embedder import Embedder, EmbeddingService
from workbench.cache.judges import Judge
from workbench.cache.memory_store import MemoryStore
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Policy, load_policy
from workbench.cache.redis_index import HnswOptions
from workbench.cache.redis_link import RedisOptions
from workbench.cache.redis_rows import RedisLimits
from workbench.cache.redis_store import RedisStore
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Store
from workbench.cache.verifier import Verifier, VerifyingService
from workbench.cache.verifier_folder import verifier_folder
from workbench.errors import ConfigurationError, Forbidden, InvalidRequest, WorkbenchError
from workbench.fleet.fleet_file import load_terms
from workbench.fleet.opening import Site, open_fleet
from workbench.proxy import admin, routes, thinkers
from workbench.proxy.asker import Asker
from workbench.proxy.auditing import Auditor, Audits
from workbench.proxy.auth import Caller, Gate, KnownKey
from workbench.proxy.envelope import envelope, error_response
from workbench.proxy.exchange import Exchanger
from workbench.proxy.flight import Flights
from workbench.proxy.judging import embedding_judge, llm_judge
from workbench.proxy.recording import Recorder
from workbench.proxy.reloading import Reloader, Watched
from workbench.proxy.rented import PoolMembers, controlled, load_of
from workbench.proxy.services import Limits, Services, request_id
from workbench.proxy.sse import new_id
from workbench.proxy.telemetry import Telemetry
from workbench.proxy.tokens import TokenCounter
from workbench.proxy.vouching import ThinkerVoucher
from workbench.settings import Settings, data_folder

log = logging.getLogger(__name__)

OLLAMA_USUALLY = "127.0.0.1:11434"
DISCOVERY_TIMEOUT_S = 1.0
OnReady = Callable[[Services], None]


def create_app(settings: Settings, *, on_ready: OnReady | None = None, watched: Watched | None = None) -> FastAPI:
    """The server as an ASGI app; `on_ready` is called once it can serve, and `watched` is the file that it follows.

    Raises `ConfigurationError` here for what can be known before anything is opened, else at its start-up.
    """
    gate = _gate(settings)
    policy = load_policy(settings.policy)
    _check_vouching_is_audited(settings)
    if settings.fleet:
        check_keeps_a_roll(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = served = await _open(settings, gate, policy, stack)
            if watched:
                await stack.enter_async_context(Reloader(served.pool, served.backend_for, watched))
            if on_ready:
                on_ready(app.state.services)
            yield

    app = FastAPI(title="Self-host workbench", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(routes.router)
    app.include_router(admin.router)
    app.include_router(thinkers.router)
    app.add_exception_handler(WorkbenchError, _workbench_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _unexpected_error)
    app.add_middleware(FrontDoor, gate=gate)
    return app


# ── the wiring ──────────────────────────────────────────────────────────────────────────────────────────────


async def _open(settings: Settings, gate: Gate, policy: Policy, stack: AsyncExitStack) -> Services:
    embedding = _embedding(settings, policy)
    if embedding:
        stack.push_async_callback(embedding.close)
    named = _digest(policy.model_dump_json())
    verifying, policy = _verifying(settings, policy)
    if verifying:
        stack.push_async_callback(verifying.close)
    store = store_for(settings, fingerprint=embedding.embedder.fingerprint if embedding else "")
    await store.open()
    stack.push_async_callback(store.close)
    backends = await backends_for(settings)
    aliases = Aliases(settings.aliases)
    waiting = Waiting(settings.queue_max, settings.queue_timeout_s, settings.hedge_after_s or None)
    pool = await stack.enter_async_context(
        Pool(backends, refresh_every_s=settings.refresh_every_s, aliases=aliases, waiting=waiting)
    )
    recorder = await _recorder(settings, embedding, stack) if settings.record else None
    telemetry = Telemetry(keep=settings.recent_exchanges, on_record=recorder.take if recorder else None)
    asker = Asker(pool, idle_s=settings.audit_idle_s, patience_s=settings.audit_patience_s)
    audits = None
    if embedding and settings.audit:
        judge = await _judge(settings, policy, embedding, asker, telemetry, pool)
        audits = _audits(settings, store, policy, judge, named=named)
    in_front = settings.memory_max_bytes and not isinstance(store, MemoryStore)
    cache = SemanticCache(
        store,
        memory=MemoryStore(max_bytes=settings.memory_max_bytes) if in_front else None,
        embedder=embedding,
        verifier=verifying,
        permits=audits,
        voucher=_voucher(settings, pool, telemetry),
        policy=policy,
        conversations=settings.conversations,
        admission=frozenset(settings.admission),
        ttl_s=settings.ttl_s,
        timeout_s=settings.cache_timeout_s,
    )
    if settings.fleet:
        members, load = PoolMembers(pool, _maker(settings)), load_of(pool, telemetry)
        terms = load_terms(settings.fleet)
        fleet = await stack.enter_async_context(open_fleet(terms, site_of(settings), store, members=members, load=load))
        await stack.enter_async_context(controlled(fleet))
    auditor = None
    if audits:
        is_scored = policy.score is not None
        auditor = Auditor(audits, asker=asker, telemetry=telemetry, is_scored=is_scored)
        await stack.enter_async_context(auditor)
    flights = await stack.enter_async_context(Flights())  # ends before the auditor, which hears of what it finished
    tokens = TokenCounter()
    claims = store.claims if isinstance(store, RedisStore) else None
    return Services(
        gate=gate,
        pool=pool,
        cache=cache,
        embedder=embedding,
        embedder_name=embedding.embedder.card.name if embedding else "",
        semantic=settings.semantic_of,
        flights=flights,
        exchanger=Exchanger(
            cache, pool, flights, tokens, semantic=settings.semantic_of, auditor=auditor, claims=claims
        ),
        auditor=auditor,
        tokens=tokens,
        telemetry=telemetry,
        limits=Limits(
            settings.body_max_bytes,
            settings.headers_after_s,
            settings.ping_every_s,
            settings.write_timeout_s,
            frozenset(settings.batch_tenants),
        ),
        backend_for=_maker(settings),
        rents=settings.fleet is not None,
    )


def _gate(settings: Settings) -> Gate:
    keys = [KnownKey.of(key.secret.get_secret_value(), Caller(key.tenant, key.scope)) for key in settings.all_keys()]
    return Gate(keys=keys, bound_host=settings.host, allowed_hosts=settings.allowed_hosts)


async def _recorder(settings: Settings, embedding: EmbeddingService | None, stack: AsyncExitStack) -> Recorder:
    recorder = Recorder(
        settings.record_dir,
        max_bytes=settings.record_max_bytes,
        prompts=settings.record_prompts,
        embedder=embedding.embedder.fingerprint if embedding else "",
    )
    return await stack.enter_async_context(recorder)  # ends after the flights, whose exchanges it takes


async def _judge(
    settings: Settings, policy: Policy, embedding: EmbeddingService, asker: Asker, telemetry: Telemetry, pool: Pool
) -> Judge | None:
    match settings.audit_judge:
        case "embedding":
            return embedding_judge(embedding, model=policy.fingerprint)
        case "llm":
            return await llm_judge(pool, asker, telemetry, model=settings.audit_judge_model)
        case "none":
            return None


def _audits(settings: Settings, store: Store, policy: Policy, judge: Judge | None, *, named: str) -> Audits:
    """The audit; its epoch is named after all that decides: the policy as it was `named` in its file, and the rest."""
    beside = "" if named == _digest(policy.model_dump_json()) else "without its second stage"
    if settings.gray_verifier == "thinker":
        beside += f" and in doubt a Thinker {settings.gray_verifier_model}"
    if settings.conversations == "aligned":
        beside += " and conversations turn by turn"
    epoch = named + (f"+{_digest(beside)}" if beside else "")
    rules = Rules(alpha=policy.alpha) if policy.alpha else Rules()
    return Audits(store, epoch=epoch, rules=rules, judge=judge, mode=settings.semantic_of)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _voucher(settings: Settings, pool: Pool, telemetry: Telemetry) -> ThinkerVoucher | None:
    if settings.gray_verifier == "none":
        return None
    model, timeout_s = settings.gray_verifier_model, settings.gray_verifier_timeout_s
    return ThinkerVoucher(pool, telemetry, timeout_s=timeout_s, model=model)


def _check_vouching_is_audited(settings: Settings) -> None:
    """Raises `ConfigurationError` where nothing would ever show that what a Thinker vouches for is wrong."""
    if settings.gray_verifier == "thinker" and (not settings.audit or settings.audit_judge == "none"):
        raise ConfigurationError(
            "gray_verifier is 'thinker', and the audit or its judge is off: no calibration covers what a Thinker "
            "vouches for, only the audit does; set audit = true and audit_judge = 'embedding' or 'llm'"
        )


def _embedding(settings: Settings, policy: Policy) -> EmbeddingService | None:
    if not settings.is_semantic:
        return None
    embedder = Embedder(embedder_folder(settings))
    policy.check(embedder.fingerprint)
    return EmbeddingService(embedder)


def embedder_folder(settings: Settings) -> Path:
    """The model folder of the settings; the default one is built when it is not there yet."""
    return settings.embedder or minilm_folder(data_folder() / "embedders")


def _verifying(settings: Settings, policy: Policy) -> tuple[VerifyingService | None, Policy]:
    """The verifier, and the policy that goes with what can be had: with its second stage or without."""
    if not settings.is_semantic or policy.second is None:
        return None, policy
    try:
        verifier = Verifier(verifier_folder(data_folder() / "embedders", layers=settings.verifier))
        why_not = policy.second.why_not(verifier)
    except ConfigurationError as error:
        why_not = str(error)
    if why_not:
        log.warning("policy.second_stage_off reason=%r", why_not)
        return None, policy.without_second()
    return VerifyingService(verifier), policy


def site_of(settings: Settings) -> Site:
    """Where the fleet's market is, and its files."""
    return Site(settings.vast_api_key, settings.vast_url, data_folder() / "fleet")


def check_keeps_a_roll(settings: Settings) -> None:
    """Raises `ConfigurationError` for a store that forgets what is rented while that goes on costing."""
    if settings.store.startswith("memory:"):
        raise ConfigurationError(
            "store memory: ends with this process, and with it the roll of what is rented; use sqlite:///path or redis://"
        )


def store_for(settings: Settings, *, fingerprint: str) -> Store:
    """The store of the settings, not yet open; raises `ConfigurationError`."""
    scheme, _, rest = settings.store.partition(":")
    if scheme == "memory":
        return MemoryStore(max_bytes=settings.store_max_bytes)
    if scheme == "sqlite" and rest.startswith("///") and rest != "///":
        path = Path(rest.removeprefix("///")).expanduser()
        return SqliteStore(path, max_bytes=settings.store_max_bytes, fingerprint=fingerprint)
    if scheme in ("redis", "rediss"):
        return _redis_store(settings, fingerprint=fingerprint)
    raise ConfigurationError(
        f"store {settings.store!r} makes no sense; accepted is sqlite:///path, memory:, redis://host or rediss://host"
    )


def _redis_store(settings: Settings, *, fingerprint: str) -> RedisStore:
    return RedisStore(
        RedisOptions(settings.store, settings.store_lost_s, settings.store_connections, settings.store_ca),
        limits=RedisLimits(settings.store_max_bytes, settings.entry_max_bytes),
        hnsw=HnswOptions(settings.hnsw_m, settings.hnsw_ef_construction, settings.hnsw_ef),
        vectors=settings.store_vectors,
        fingerprint=fingerprint,
        secret=settings.store_secret.get_secret_value().encode(),
    )


async def backends_for(settings: Settings) -> list[Backend]:
    """The Thinkers of the settings, not yet open; with none and no fleet given, what is found on this machine."""
    make = _maker(settings)
    known = settings.thinkers or ([] if settings.fleet else [await _discover(settings.ollama_host)])
    return [make(url) for url in known]


def _maker(settings: Settings) -> Callable[[str], Backend]:
    """From a Thinker's URL to its backend."""
    timeouts = Timeouts(settings.connect_timeout_s, settings.first_event_timeout_s, settings.idle_timeout_s)
    return partial(
        backend_for,
        timeouts=timeouts,
        num_ctx=settings.num_ctx,
        keep_alive=settings.keep_alive,
        keys=settings.secret_of_thinker,
    )


async def _discover(ollama_host: str) -> str:
    """A running Ollama that has a model, on its usual address; else the embedded model."""
    host = ollama_host.removeprefix("http://").rstrip("/").replace("0.0.0.0", "127.0.0.1") or OLLAMA_USUALLY  # noqa: S104  # what OLLAMA_HOST holds when Ollama listens everywhere
    if ":" not in host:
        host += ":11434"
    try:
        async with httpx2.AsyncClient(timeout=DISCOVERY_TIMEOUT_S, trust_env=False) as client:
            tags = (await client.get(f"http://{host}/api/tags")).json()
    except (httpx2.HTTPError, ValueError):
        return "embedded:"
    return f"ollama+http://{host}" if tags.get("models") else "embedded:"


# ── the front door, and error → HTTP ────────────────────────────────────────────────────────────────────────


class FrontDoor:
    """Gives every request its id, and turns away what is not meant for this host."""

    def __init__(self, app: ASGIApp, *, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP requests on, with ``request-id`` on every response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = new_id("req")
        scope.setdefault("state", {})["request_id"] = id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"request-id", id.encode())]
            await send(message)

        try:
            self._gate.check_host(Request(scope))
        except Forbidden as error:
            await error_response(error, request_id=id)(scope, receive, send_with_id)
        else:
            await self._app(scope, receive, send_with_id)


async def _workbench_error(request: Request, error: Exception) -> Response:
    return error_response(error, request_id=request_id(request))


async def _validation_error(request: Request, error: Exception) -> Response:
    """A wrong query or admin body, in the API's own form."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class alone
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return error_response(InvalidRequest(f"{where}: {first['msg']}"), request_id=request_id(request))


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class alone
    if error.status_code == 404:
        return error_response(routes.no_such_route(request), request_id=request_id(request))
    body = envelope("invalid_request_error", str(error.detail), request_id=request_id(request))
    return Response(body, error.status_code, error.headers, media_type="application/json")


async def _client_left(request: Request, error: Exception) -> Response:
    """The client went while its request was being read: nobody gets this."""
    return Response(status_code=400)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has the traceback, the client has an id to quote."""
    body = envelope("api_error", "internal error; the server's log says more", request_id=request_id(request))
    return Response(body, 500, media_type="application/json")
