"""One HTTP server that answers in server-sent events: connections, time limits, keys, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

import httpx2

from workbench.backend import refusals
from workbench.errors import BadReply, ConfigurationError, ThinkerTimeout, ThinkerUnavailable, WorkbenchError
from workbench.reply import Event

MAX_ANSWER_BYTES = 1024 * 1024
"""An error or a list of models longer than this is cut."""


class Reader(Protocol):
    """Makes events of one reply's bytes."""

    @property
    def done(self) -> bool:
        """Whether the reply has come to its end."""

    @property
    def progress(self) -> int:
        """Grows with everything that is said, also with what is held back; signs of life do not count."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes; raises what the server's own error event stands for."""

    def finish(self) -> Iterator[Event]:
        """The last events, now that no more bytes will come; raises `BadReply` when the reply has no end."""


class Refusal(Protocol):
    """Makes an error of an HTTP answer other than 200."""

    def __call__(self, status: int, body: bytes, *, retry_after: str | None) -> WorkbenchError:
        """The error that it stands for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    `first_event_s` runs from the request to the first event of the reply, pings aside, and again from each piece of it
    to the next: a server that pings for ever comes to an end. `idle_s` is the longest silence after the first event.
    """

    connect_s: float
    first_event_s: float
    idle_s: float


class SseServer:
    """The server at `base_url`; `url` is how the user calls it, without secrets."""

    def __init__(self, url: str, *, base_url: str, api_key: str | None, patience: Patience) -> None:
        self.url = url
        self._base_url = base_url
        self._headers = _headers(url, api_key)
        self._patience = patience
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Prepare the connections; the server need not be up yet. Raises `ConfigurationError` on a bad address."""
        try:
            address = httpx2.URL(self._base_url)
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"{self.url} is not an address: {error}") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise ConfigurationError(f"{self.url} is not an address: expected http://host:port after the `+`")
        self._client = httpx2.AsyncClient(
            base_url=address,
            headers=self._headers,
            timeout=httpx2.Timeout(None, connect=self._patience.connect_s),
            # None is kept: llama.cpp closes after a stream whatever it promises, and a request on a closing
            # connection is lost. A new one costs a round trip, a lost request costs the reply.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
            verify=address.scheme == "https",  # a TLS context takes 75 ms to make; plain HTTP needs none
            trust_env=False,  # settings are the only reader of the environment; no system proxy in between
        )

    async def close(self) -> None:
        """Close all connections; open streams end."""
        if self._client:
            await self._client.aclose()
            self._client = None

    async def get(self, path: str, *, refusal: Refusal) -> bytes:
        """A short answer's body, cut at `MAX_ANSWER_BYTES`; whoever lives gives it within the time to connect."""
        within_s = self._patience.connect_s
        with self._faults():
            try:
                async with asyncio.timeout(within_s):
                    response = await self._send("GET", path, None, refusal, within_s=within_s)
                    async with contextlib.aclosing(response):
                        return await self._whole(response)
            except TimeoutError:
                raise ThinkerTimeout(f"{self.url} did not answer {path} in {within_s:g} s") from None

    async def events(self, path: str, body: bytes, *, reader: Reader, refusal: Refusal) -> AsyncGenerator[Event, None]:
        """The reply's events as they come; closing the iterator closes the connection at once."""
        deadline_s = self._now_s + self._patience.first_event_s
        with self._faults():
            response = await self._send("POST", path, body, refusal, within_s=self._patience.first_event_s)
            async with contextlib.aclosing(response):
                await self._check_is_stream(response)
                chunks = response.aiter_bytes()
                begun, progress = False, 0
                while (chunk := await self._next(chunks, deadline_s, begun=begun)) is not None:
                    for event in reader.feed(chunk):
                        begun = True
                        yield event
                    if reader.done:
                        return
                    if reader.progress > progress:
                        progress = reader.progress
                        deadline_s = self._now_s + self._patience.first_event_s
        for event in reader.finish():
            yield event

    @property
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _send(
        self, method: str, path: str, body: bytes | None, refusal: Refusal, *, within_s: float
    ) -> httpx2.Response:
        """The answer's head; raises what a status other than 200 stands for."""
        if self._client is None:
            raise ThinkerUnavailable(f"{self.url} is closed")
        request = self._client.build_request(method, path, content=body)
        async with asyncio.timeout(within_s):
            response = await self._client.send(request, stream=True)
        if response.status_code != 200:
            async with contextlib.aclosing(response):
                said = await self._whole(response)
            raise refusal(response.status_code, said, retry_after=response.headers.get("retry-after"))
        return response

    async def _whole(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async with asyncio.timeout(self._patience.idle_s):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
        return bytes(body)

    async def _next(self, chunks: AsyncIterator[bytes], deadline_s: float, *, begun: bool) -> bytes | None:
        """The next bytes, None at the end; raises TimeoutError at the deadline, or earlier after a silence."""
        limit_s = min(deadline_s, self._now_s + self._patience.idle_s) if begun else deadline_s
        async with asyncio.timeout_at(limit_s):
            return await anext(chunks, None)

    async def _check_is_stream(self, response: httpx2.Response) -> None:
        kind = response.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise refusals.not_a_stream(kind, await self._whole(response), thinker=self.url)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate what goes wrong on the way into our errors."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ThinkerUnavailable(f"no connection to {self.url}: {error or 'timed out'}; does it run?") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise ThinkerTimeout(
                f"{self.url} sent nothing for too long (the limits are {self._patience.first_event_s:g} s "
                f"before an event, {self._patience.idle_s:g} s of silence after the first)"
            ) from error
        except httpx2.NetworkError as error:
            raise ThinkerUnavailable(f"the connection to {self.url} broke: {error or type(error).__name__}") from error
        except httpx2.HTTPError as error:
            raise BadReply(f"{self.url} broke off its answer or does not speak HTTP: {error}") from error


def _headers(url: str, api_key: str | None) -> dict[str, str]:
    headers = {
        "accept-encoding": "identity",
        "connection": "close",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }
    # vLLM reads only the second, Anthropic's own API means the first, llama.cpp takes either.
    return headers | ({"x-api-key": api_key, **bearer(url, api_key)} if api_key is not None else {})


def bearer(url: str, api_key: str) -> dict[str, str]:
    """The header that carries this key to the server at `url`; raises `ConfigurationError` when none can."""
    if not api_key.isascii() or not api_key.isprintable() or api_key != api_key.strip():
        # Said here and without the key: the HTTP library's own complaint would show it.
        raise ConfigurationError(f"the key for {url} has blanks, line ends or other characters that no header may have")
    return {"authorization": f"Bearer {api_key}"}
