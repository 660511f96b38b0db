"""A request's body, within a limit."""

from __future__ import annotations

from fastapi import Request

from workbench.errors import RequestTooLarge

PATIENCE = 4
"""How many times the limit is read, and thrown away, so that the client is there to hear the answer."""


async def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """The whole body; raises `RequestTooLarge` and keeps nothing of one over the limit."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= limit_bytes:
            pieces.append(piece)
        else:
            pieces.clear()
        if size > PATIENCE * limit_bytes:
            break
    if size > limit_bytes:
        raise RequestTooLarge(f"the request body has more than {limit_bytes} bytes, the maximum")
    return b"".join(pieces)
