"""HTTP connections to one server, kept for the next request, at a cost that does not grow with their number.

httpcore's own pool looks at every connection for every request, and at each idle one against all others: a new
stream beside 150 open ones then takes 100 ms of the event loop. Here the latest idle connection is simply taken.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol, runtime_checkable

import httpcore
import httpx

KEEP_IDLE_S = 60.0
MAX_IDLE = 64


class Connections(httpcore.AsyncConnectionPool):
    """A pool without limits: whoever opens too many streams is held in a queue elsewhere."""

    def __init__(self, *, ssl_context: ssl.SSLContext) -> None:
        super().__init__(ssl_context=ssl_context, keepalive_expiry=KEEP_IDLE_S)
        self._idle: list[httpcore.AsyncConnectionInterface] = []
        self._busy: set[httpcore.AsyncConnectionInterface] = set()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send on an idle connection, or on a new one; its body gives the connection back when it is closed."""
        connection = await self._take() or self.create_connection(request.url.origin)
        self._busy.add(connection)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self.give_back(connection)
            raise
        assert isinstance(response.stream, AsyncIterable)  # noqa: S101  # tells mypy what the async API returns
        body = _Body(response.stream, self, connection)
        return httpcore.Response(
            response.status, headers=response.headers, content=body, extensions=response.extensions
        )

    async def _take(self) -> httpcore.AsyncConnectionInterface | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_idle() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def give_back(self, connection: httpcore.AsyncConnectionInterface) -> None:
        """Keep it when its exchange is over, close it when it is not."""
        if connection not in self._busy:
            return  # closed meanwhile, with all the others
        self._busy.discard(connection)
        if connection.is_closed() or not connection.is_idle():
            await connection.aclose()
            return
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE or self._idle[0].has_expired():
            await self._idle.pop(0).aclose()

    async def aclose(self) -> None:
        """Close all of them; open streams fail."""
        connections, self._idle, self._busy = [*self._idle, *self._busy], [], set()
        for connection in connections:
            await connection.aclose()


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class _Body:
    """A response's body that gives its connection back."""

    def __init__(
        self,
        stream: AsyncIterable[bytes],
        connections: Connections,
        connection: httpcore.AsyncConnectionInterface,
    ) -> None:
        self._stream = stream
        self._connections = connections
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        """Close the connection when the body was not read to its end."""
        try:
            if isinstance(self._stream, _Closable):
                await self._stream.aclose()
        finally:
            await self._connections.give_back(self._connection)


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport on `Connections`; it brings the translation of httpcore's errors."""

    def __init__(self) -> None:
        ssl_context = httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=ssl_context, trust_env=False)
        self._pool = Connections(ssl_context=ssl_context)
