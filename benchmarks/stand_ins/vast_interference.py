"""How calls to the stand-in vast.ai go wrong: instead of their effect, or after it."""

from __future__ import annotations

import asyncio

import orjson
from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse

from benchmarks.stand_ins.vast_script import Trouble

SILENCE_S = 3600.0


def before(trouble: Trouble | None, gap_s: float) -> Response | None:
    """The answer to a call that is refused without any effect."""
    match trouble:
        case "error_before":
            return gateway_error()
        case "rate_limited":
            return PlainTextResponse(f"API requests too frequent endpoint threshold={gap_s}", 429)
        case "gone":
            return JSONResponse({"success": False, "error": "no_such_ask", "msg": "no_such_ask: not available"}, 404)
        case "unavailable":
            return JSONResponse({"success": False, "error": "unavailable", "msg": "cancel_unavail: no GPU"}, 410)
        case "price":
            return JSONResponse({"success": False, "error": "price_changed", "msg": "the price went up"}, 400)
        case _:
            return None


async def after(trouble: Trouble | None, response: Response) -> Response:
    """The answer to a call that took effect."""
    body = bytes(response.body)
    match trouble:
        case "error_after":
            return JSONResponse({"success": False, "error": "internal_error", "msg": "Internal Server Error"}, 500)
        case "error_with_contract":
            told = orjson.loads(body) | {"success": False, "error": "start_failed", "msg": "failed to start instance"}
            return JSONResponse(told, 400)
        case "broken_reply":
            return Response(body[: len(body) // 2], media_type="application/json")
        case "silence":
            await asyncio.sleep(SILENCE_S)
    return response


def gateway_error() -> Response:
    """What stands before the API says when that does not answer."""
    return Response("<html><body><h1>502 Bad Gateway</h1></body></html>", 502, media_type="text/html")
