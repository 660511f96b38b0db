"""What the scripted servers need of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from starlette.types import Receive, Send


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def send_whole(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json; charset=utf-8",
    headers: Iterable[tuple[str, str]] = (),
) -> None:
    """One whole response."""
    pairs = [("content-type", content_type), ("content-length", str(len(body))), *headers]
    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def unless_the_client_leaves(work: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Do the work; False when the client closed the connection before it was done."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
