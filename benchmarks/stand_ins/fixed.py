"""A server that answers every request with the same bytes: nothing is faster, so it shows what a load client can do.

Run it with ``python -m benchmarks.stand_ins.fixed``; the first line on stdout is ``{"port": …}``.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

import orjson
import uvloop

from benchmarks.stand_ins.serving import LOOPBACK

BODY = b'{"type":"message","content":[{"type":"text","text":"%b"}]}' % (b"x" * 600)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-cache: exact\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Fixed(asyncio.Protocol):
    """One connection; requests have a lower-case content-length, as our load client writes it."""

    def __init__(self) -> None:
        self._raw = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For the event loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """For the event loop."""
        self._raw += data
        head, blank, body = self._raw.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n") if blank else None
        if length and len(body) >= int(length[1]):
            self._raw = body[int(length[1]) :]
            self._transport.write(ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Fixed, LOOPBACK, 0)
    print(orjson.dumps({"port": server.sockets[0].getsockname()[1]}).decode(), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
