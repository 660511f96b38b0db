"""Thinkers while the server runs: who is there, who joins, who leaves, and which models they fetch. For admins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from workbench.backend.backend import Pulls
from workbench.backend.thinker import Thinker
from workbench.errors import ConfigurationError, InvalidRequest, WorkbenchError
from workbench.proxy.admin import Admin, Serving, parsed
from workbench.proxy.body import read_body

router = APIRouter()

BODY_MAX_BYTES = 64 * 1024


class NewThinker(BaseModel):
    """Its address, as `--thinker` takes it."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(min_length=1, max_length=2048)]


class Pull(BaseModel):
    """The model to fetch, by the name that the Thinker's own library gives it."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1, max_length=256)]


@router.get("/api/thinkers")
async def thinkers(admin: Admin, serving: Serving) -> Response:
    """Every Thinker: its models, how busy and how fast it is, and what is wrong with it."""
    return JSONResponse({"data": [_row(thinker) for thinker in serving.pool.thinkers]})


@router.post("/api/thinkers")
async def add(admin: Admin, serving: Serving, request: Request) -> Response:
    """Add one; it stays until it is removed or the server stops. One that cannot be reached yet is added too."""
    asked = parsed(NewThinker, await read_body(request, limit_bytes=BODY_MAX_BYTES))
    try:
        thinker = await serving.pool.add(serving.backend_for(asked.url))
    except ConfigurationError as error:
        raise InvalidRequest(f"url: {error}") from error
    return JSONResponse(_row(thinker), 201)


@router.delete("/api/thinkers/{id}")
async def remove(admin: Admin, serving: Serving, id: str) -> Response:
    """Pass nothing new on to it; it is gone once it has answered what it has."""
    return JSONResponse(_row(serving.pool.drain(id)), 202)


@router.post("/api/thinkers/{id}/pull")
async def pull(admin: Admin, serving: Serving, id: str, request: Request) -> Response:
    """Fetch a model; a JSON line tells each step, the last one ``{"status": "success"}`` or ``{"error": …}``."""
    asked = parsed(Pull, await read_body(request, limit_bytes=BODY_MAX_BYTES))
    thinker = serving.pool.find(id)
    if not isinstance(thinker.backend, Pulls):
        raise InvalidRequest(f"{thinker.url} cannot fetch models: only Ollama can")
    return StreamingResponse(_steps(thinker, thinker.backend, asked.model), media_type="application/x-ndjson")


async def _steps(thinker: Thinker, backend: Pulls, model: str) -> AsyncIterator[bytes]:
    try:
        async with aclosing(backend.pull(model)) as steps:
            async for step in steps:
                yield orjson.dumps(step) + b"\n"
    except WorkbenchError as error:
        yield orjson.dumps({"error": str(error)}) + b"\n"
    await thinker.refresh()


def _row(thinker: Thinker) -> dict[str, Any]:
    station = thinker.station
    return {
        "id": thinker.id,
        "url": thinker.url,
        "state": thinker.state,
        "source": thinker.source,
        "models": [asdict(model) for model in thinker.models],
        "loaded": None if station.loaded is None else sorted(station.loaded),
        "in_flight": thinker.in_flight,
        "waiting": len(station.line),
        "slots": station.slots,
        "warm_sessions": station.warm.active,
        "prefill_tokens_per_s": round(station.prefill_tokens_per_s, 1),
        "tokens_per_s": station.tokens_per_s and round(station.tokens_per_s, 1),
        "usd_per_token": station.usd_per_token,
        "error": thinker.error,
    }
