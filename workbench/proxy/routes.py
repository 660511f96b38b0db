"""The Messages API's routes, and what the CLI and load balancers ask for besides."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from workbench.backend.backend import Model
from workbench.backend.pool import Pool
from workbench.canonical import canonicalise
from workbench.errors import InvalidRequest, NotFound, WorkbenchError
from workbench.messages import parse_prompt
from workbench.proxy.auth import Caller
from workbench.proxy.body import read_body
from workbench.proxy.envelope import error_response, status_and_type
from workbench.proxy.exchange import (
    CONTROLS,
    LARGE_BODY_BYTES,
    Incoming,
    Live,
    NotCached,
    Replayed,
    off_the_loop,
    read_request,
)
from workbench.proxy.live import STREAM_HEADERS, LiveJson, LiveStream
from workbench.proxy.services import Services, request_id, services
from workbench.proxy.sse import reply_json, reply_stream
from workbench.proxy.telemetry import Exchange

router = APIRouter()

UNKNOWN_DATE = "1970-01-01T00:00:00Z"
"""What the API says of a model whose release date is not known."""


@router.post("/v1/messages")
async def messages(request: Request) -> Response:
    """Answer a Messages request, from memory or from a Thinker, as a stream or as JSON."""
    serving = services(request)
    wants_timing = "x-server-timing" in request.headers
    exchange = Exchange(id=request_id(request), tenant="", model="", stream=False, wants_timing=wants_timing)
    try:
        response = await _answer(request, serving, exchange)
    except WorkbenchError as error:
        response = _refused(error, exchange)
    if not isinstance(response, LiveJson | LiveStream):
        serving.telemetry.record(exchange)
    return response


async def _answer(request: Request, serving: Services, exchange: Exchange) -> Response:
    caller = serving.gate.admit(request)
    exchange.tenant = caller.tenant
    incoming = await _read(request, serving, caller)
    exchange.model, exchange.stream = incoming.request.model, incoming.request.stream
    exchange.mark("parse")
    match await serving.exchanger.answer(incoming, exchange):
        case Replayed(reply):
            told = reply_stream(reply) if exchange.stream else reply_json(reply)
            exchange.mark("replay")
            if exchange.stream:
                return Response(told, headers=STREAM_HEADERS | exchange.headers)
            return Response(told, headers=exchange.headers, media_type="application/json")
        case Live(reader) if exchange.stream:
            limits = serving.limits
            return LiveStream(
                reader,
                exchange,
                on_end=serving.telemetry.record,
                headers_after_s=limits.headers_after_s,
                ping_every_s=limits.ping_every_s,
                write_timeout_s=limits.write_timeout_s,
            )
        case Live(reader):
            return LiveJson(reader, exchange, on_end=serving.telemetry.record)


async def _read(request: Request, serving: Services, caller: Caller) -> Incoming:
    asked = request.headers.get("x-cache-control")
    control = next((known for known in CONTROLS if known == asked), None)
    if asked and control is None:
        raise InvalidRequest(f"x-cache-control: {asked[:40]!r} is not known; there is {', '.join(CONTROLS)}")
    body = await read_body(request, limit_bytes=serving.limits.body_max_bytes)
    return Incoming(
        request=await read_request(body),
        caller=caller,
        control=control,
        agent_id=request.headers.get("x-claude-code-agent-id"),
        is_large=len(body) > LARGE_BODY_BYTES,
        session_id=request.headers.get("x-claude-code-session-id"),
        is_batch=request.headers.get("x-priority") == "batch" or caller.tenant in serving.limits.batch_tenants,
    )


def _refused(error: WorkbenchError, exchange: Exchange) -> Response:
    exchange.status, _ = status_and_type(error)
    exchange.error = str(error)
    headers = exchange.headers
    if isinstance(error, NotCached):
        headers["x-should-retry"] = "false"
    return error_response(error, request_id=exchange.id, headers=headers)


@router.post("/v1/messages/count_tokens")
async def count_tokens(request: Request) -> Response:
    """Count a prompt's tokens from what real calls of the model reported; touches no Thinker."""
    serving = services(request)
    serving.gate.admit(request)
    body = await read_body(request, limit_bytes=serving.limits.body_max_bytes)
    is_large = len(body) > LARGE_BODY_BYTES
    prompt = await off_the_loop(is_large, lambda: parse_prompt(body))
    model = await serving.pool.resolve(prompt.model)
    count = serving.tokens.count
    tokens = await off_the_loop(is_large, lambda: count(model.name, canonicalise(prompt, model=model.name)))
    return JSONResponse({"input_tokens": tokens})


@router.get("/v1/models")
async def models(request: Request, limit: int = 20, after_id: str | None = None) -> Response:
    """The models of all Thinkers, the default one first, and the aliases by which they also go."""
    serving = services(request)
    serving.gate.admit(request)
    if not 1 <= limit <= 1000:
        raise InvalidRequest(f"limit: {limit} is not between 1 and 1000")
    shown = _shown_names(serving.pool)
    names = list(shown)
    begin = names.index(after_id) + 1 if after_id in names else 0
    page = names[begin : begin + limit]
    return JSONResponse(
        {
            "data": [_model(name, shown[name]) for name in page],
            "has_more": begin + limit < len(names),
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
    )


def _shown_names(pool: Pool) -> dict[str, str]:
    """Each name that can be asked for, and what to show for it; aliases only of models that are there."""
    models = {model.name: model.name for model in pool.models}
    there = models | {name.removesuffix(":latest"): name for name in models}
    aliases = pool.aliases.names
    return models | {alias: there[meant] for alias, meant in aliases.items() if meant in there and alias not in models}


@router.get("/v1/models/{id:path}")
async def model(request: Request, id: str) -> Response:
    """One model; an alias or a ``claude…`` name is answered with the model that serves it."""
    serving = services(request)
    serving.gate.admit(request)
    resolved: Model = await serving.pool.resolve(id)
    return JSONResponse(_model(id, resolved.name))


def _model(id: str, display_name: str) -> dict[str, str]:
    return {"type": "model", "id": id, "display_name": display_name, "created_at": UNKNOWN_DATE}


@router.api_route("/", methods=["GET", "HEAD"])
@router.head("/api/hello")
@router.post("/api/event_logging/batch")
async def hello() -> Response:
    """What the CLI asks for before it starts, and where it would send its own telemetry: read by nobody."""
    return JSONResponse({"status": "ok"})


@router.get("/healthz")
async def healthz() -> Response:
    """Whether the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether it can answer: some Thinker has a model, or a fleet rents one for whoever asks.

    A store that is down is told, and no reason not to be ready.
    """
    pool, rents = services(request).pool, services(request).rents
    up = sum(thinker.error is None and bool(thinker.models) for thinker in pool.thinkers)
    why_not = "the fleet rents one for the next request" if rents else f"no Thinker has a model: {pool.why_not}"
    store = services(request).cache.store.health.down
    status = {
        "status": "ready" if up else why_not,
        "thinkers_up": up,
        "thinkers": len(pool.thinkers),
        "rents": rents,
        "store": f"down: {store}" if store else "up",
    }
    return JSONResponse(status, 200 if up or rents else 503)


def no_such_route(request: Request) -> NotFound:
    """The error for a path that is not served."""
    return NotFound(f"{request.method} {request.url.path} is not served here")
