"""What an operator asks for: metrics, totals, exchanges, entries, explanations. Needs the admin scope."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.cache.policy import Refuse, Serve
from workbench.cache.risk import units_needed
from workbench.cache.store import Entry, StoreStats, Vector
from workbench.errors import Forbidden, InvalidRequest, NotFound, StoreError
from workbench.proxy import payload
from workbench.proxy.auditing import Auditor, Audits, next_cut
from workbench.proxy.auth import Caller
from workbench.proxy.body import read_body
from workbench.proxy.services import Services, services


def _admin(request: Request) -> Caller:
    return services(request).gate.admit_admin(request)


Admin = Annotated[Caller, Depends(_admin)]
Serving = Annotated[Services, Depends(services)]
Limit = Annotated[int, Query(ge=1, le=1000)]

Form = TypeVar("Form", bound=BaseModel)

router = APIRouter()

EXPLAIN_MAX_BYTES = 64 * 1024


@router.get("/metrics")
async def metrics(admin: Admin, serving: Serving) -> Response:
    """Prometheus' text format."""
    try:
        store = await serving.cache.store.stats()
    except StoreError:  # the other figures matter most just then
        store = StoreStats(0, 0, 0)
    health = serving.cache.store.health
    body = serving.telemetry.metrics(
        serving.auditor.audits.standings if serving.auditor else {},
        health.counts,
        store_up=not health.down,
        flights=serving.flights.calls,
        readers=serving.flights.readers,
        entries=store.entries,
        store_bytes=store.size_bytes,
        thinkers_up=sum(thinker.error is None for thinker in serving.pool.thinkers),
        audit_waiting=serving.auditor.waiting if serving.auditor else 0,
    )
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/stats")
async def stats(admin: Admin, serving: Serving) -> Response:
    """Totals since the start, and how full the store is."""
    store = asdict(await serving.cache.store.stats()) | {"url": serving.cache.store.url}
    return JSONResponse(serving.telemetry.stats() | {"store": store, "embedder": serving.embedder_name})


@router.get("/api/exchanges")
async def exchanges(admin: Admin, serving: Serving, limit: Limit = 100) -> Response:
    """The tenant's latest exchanges, newest first."""
    return JSONResponse({"data": serving.telemetry.recent(admin.tenant, limit=limit)})


@router.get("/api/entries")
async def entries(admin: Admin, serving: Serving, q: str = "", limit: Limit = 100) -> Response:
    """The tenant's newest entries whose question contains `q`."""
    found = await serving.cache.store.entries(admin.tenant, query=q, limit=limit)
    return JSONResponse({"data": [_entry(entry) for entry in found]})


@router.delete("/api/entries/{id}")
async def delete_entry(admin: Admin, serving: Serving, id: str) -> Response:
    """Remove an entry; it is served to nobody any more."""
    return JSONResponse({"deleted": _found(await serving.cache.delete(admin.tenant, id), id).id})


@router.post("/api/entries/{id}/wrong")
async def wrong(admin: Admin, serving: Serving, id: str) -> Response:
    """Somebody saw it answer another question wrongly: it is served by meaning no more.

    The audit is told which question that was, if this process remembers: even once a newer reply has taken the
    entry's place, it is not served for that question.
    """
    withdrawn = _found(await serving.cache.withdraw(admin.tenant, id), id)
    seen = serving.telemetry.served(admin.tenant, withdrawn.id)
    if serving.auditor and seen:
        audit, digest = serving.auditor.audits.of(admin.tenant), seen.question_digest
        await audit.report(admin.tenant, scope=seen.scope, entry_id=seen.entry, question_digest=digest)
    return JSONResponse({"withdrawn": withdrawn.id})


@router.get("/api/audit")
async def audit_standing(admin: Admin, serving: Serving) -> Response:
    """Where the tenant stands: mode and why, counts, bounds, what the checks cost, and the cut its labels ask for."""
    audits = _auditor(serving).audits
    await audits.look(admin.tenant)
    standing, cut = asdict(audits.of(admin.tenant).standing(admin.tenant)), next_cut(audits, admin.tenant)
    standing["spent"] = standing["spent"].model_dump()
    return JSONResponse(
        {
            "tenant": admin.tenant,
            "semantic": serving.semantic(admin.tenant),
            "alpha": audits.alpha,
            "waiting": _auditor(serving).waiting,
            **standing,
            "next_cut": asdict(cut) if cut else None,
        }
    )


class Reopen(BaseModel):
    """How the tenant's epoch begins anew: proving itself again, or serving at once."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["shadow", "open"] = "shadow"


@router.post("/api/audit/reopen")
async def reopen(admin: Admin, serving: Serving, request: Request) -> Response:
    """Start the tenant's epoch anew, closed or not; what was seen wrong stays blocked."""
    audits = _auditor(serving).audits
    asked = parsed(Reopen, await read_body(request, limit_bytes=EXPLAIN_MAX_BYTES) or b"{}")
    await audits.of(admin.tenant).reopen(admin.tenant, asked.mode)
    return JSONResponse({"tenant": admin.tenant, "mode": asked.mode})


class Adopt(BaseModel):
    """Which cut decides from now on: the one that the tenant's labels ask for, or the policy's own again."""

    model_config = ConfigDict(extra="forbid")

    tenant: str | None = None
    """Whom the caller means, for a check: it can only be their own."""
    cut: Literal["next", "policy"] = "next"


@router.post("/api/audit/adopt")
async def adopt(admin: Admin, serving: Serving, request: Request) -> Response:
    """Have this tenant's hits decided by `next_cut` of ``/api/audit``, in a new epoch; another policy forgets it."""
    audits = _auditor(serving).audits
    asked = parsed(Adopt, await read_body(request, limit_bytes=EXPLAIN_MAX_BYTES) or b"{}")
    if asked.tenant not in (None, admin.tenant):
        raise Forbidden(f"this key is {admin.tenant}'s, not {asked.tenant}'s: ask with a key of that tenant")
    await audits.look(admin.tenant)
    audit = audits.of(admin.tenant)
    cut = _next_cut(audits, admin.tenant) if asked.cut == "next" else None
    if cut is None and audit.cut(admin.tenant) is None:
        raise InvalidRequest("cut: the policy's own decides already; there is none to drop")
    await audit.adopt(admin.tenant, cut)
    return JSONResponse({"tenant": admin.tenant, "cut": cut, "mode": audit.standing(admin.tenant).mode})


def _next_cut(audits: Audits, tenant: str) -> float:
    if shift := next_cut(audits, tenant):
        return shift.cut
    labels = audits.of(tenant).standing(tenant).labels
    raise InvalidRequest(
        f"there is no next cut: of this epoch there are {labels} labels, and none keeps false hits at or below "
        f"{audits.alpha:.2%}, for which it takes at least {units_needed(audits.alpha)}; wait until GET /api/audit "
        "shows a next_cut"
    )


def _auditor(serving: Services) -> Auditor:
    if serving.auditor is None:
        raise NotFound("there is no audit here: it is switched off (WORKBENCH_AUDIT), or the semantic tier is")
    return serving.auditor


class Explain(BaseModel):
    """Two questions to compare: `a` and `b`, or a stored entry's and `question`."""

    model_config = ConfigDict(extra="forbid")

    a: Annotated[str, Field(min_length=1)] | None = None
    b: Annotated[str, Field(min_length=1)] | None = None
    entry: str | None = None
    question: Annotated[str, Field(min_length=1)] | None = None


@router.post("/api/explain")
async def explain(admin: Admin, serving: Serving, request: Request) -> Response:
    """Whether a reply to the one would be served for the other, and why; their scopes are taken as equal."""
    asked = parsed(Explain, await read_body(request, limit_bytes=EXPLAIN_MAX_BYTES))
    a, b = await _two_questions(asked, admin, serving)
    one, other = await _vector(a, serving), await _vector(b, serving)
    decision = await serving.cache.explain(admin.tenant, b, a, float(one @ other))
    return JSONResponse({"a": a, "b": b, **_decision(decision)})


def parsed(form: type[Form], body: bytes) -> Form:
    """The body as this form; raises `InvalidRequest` that names the field."""
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidRequest(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None


async def _two_questions(body: Explain, admin: Caller, serving: Services) -> tuple[str, str]:
    match body:
        case Explain(a=str(a), b=str(b), entry=None, question=None):
            return a, b
        case Explain(entry=str(id), question=str(b), a=None, b=None):
            stored = _found(await serving.cache.store.find(admin.tenant, id), id)
            if not stored.scope:
                raise InvalidRequest(f"entry {id} is served for its own identical request only, never by meaning")
            return stored.text, b
        case _:
            raise InvalidRequest("explain takes either `a` and `b`, or `entry` and `question`")


async def _vector(text: str, serving: Services) -> Vector:
    vector = await serving.embedder.embed(text) if serving.embedder else None
    if vector is None:
        raise InvalidRequest("the text is longer than the embedder's window, or there is no embedder")
    return vector


def _decision(decision: Serve | Refuse) -> dict[str, Any]:
    return {"served": isinstance(decision, Serve), "decision": asdict(decision)}


def _found(entry: Entry | None, id: str) -> Entry:
    if entry is None:
        raise NotFound(f"there is no entry {id}; GET /api/entries lists them")
    return entry


def _entry(entry: Entry) -> dict[str, Any]:
    try:
        text = payload.decode(entry.payload).text
    except payload.UnreadablePayload:
        text = ""
    return {
        "id": entry.id,
        "question": entry.text,
        "reply": text[:500],
        "model": entry.model,
        "created": entry.created_s,
        "expires": entry.expires_s,
        "size_bytes": entry.size_bytes,
        "by_meaning": bool(entry.scope),
    }
