"""Pass-through for servers that speak Messages themselves: vLLM, llama.cpp, LM Studio, another proxy.

Source: the Messages API reference; what the servers do beside it is said where it is handled.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import httpx2
import orjson

from workbench.backend import refusals
from workbench.backend.backend import Model
from workbench.backend.sse_events import EventReader
from workbench.errors import BadReply, ConfigurationError, ThinkerTimeout, ThinkerUnavailable
from workbench.messages import MessagesRequest
from workbench.reply import Event

MAX_ANSWER_BYTES = 1024 * 1024
"""An error or a list of models longer than this is cut."""

_STEADY_FIELDS = ("id", "owned_by", "root", "meta", "max_model_len", "max_context_length", "quantization")
"""What identifies a model in ``/v1/models``. Not `created`: vLLM and llama.cpp give the time of the question."""

_LOCAL_PATH = re.compile(r"^(/|\.|~|[A-Za-z]:[\\/])|\.gguf$")


class AnthropicBackend:
    """One server that has ``/v1/messages``; the request goes there as it is, but for the model's name.

    `url` is the address as the user gave it, without secrets; `base_url` is where the server is (with or without
    ``/v1``). `model` names its default model. `first_event_timeout_s` runs from the request to the first event of the
    reply, pings aside; `idle_timeout_s` is the longest silence after it, pings included.
    """

    def __init__(
        self,
        url: str,
        *,
        base_url: str,
        model: str | None = None,
        api_key: str | None = None,
        connect_timeout_s: float,
        first_event_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        self.url = url
        self._base_url = base_url.rstrip("/").removesuffix("/v1")
        self._model = model
        self._headers = _headers(url, api_key)
        self._connect_timeout_s = connect_timeout_s
        self._first_event_timeout_s = first_event_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._ids: dict[str, str] = {}
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Prepare the connections; the server need not be up yet. Raises `ConfigurationError` on a bad address."""
        try:
            address = httpx2.URL(self._base_url)
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"{self.url} is not an address: {error}") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise ConfigurationError(f"{self.url} is not an address: expected anthropic+http://host:port")
        self._client = httpx2.AsyncClient(
            base_url=address,
            headers=self._headers,
            timeout=httpx2.Timeout(None, connect=self._connect_timeout_s),
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

    async def models(self) -> tuple[Model, ...]:
        """What ``/v1/models`` lists, in Anthropic's or OpenAI's shape, the default model first.

        A model that goes by a file's path is named by the file's name alone.
        """
        with self._faults():
            response = await self._send("GET", "/v1/models", body=None, within_s=self._idle_timeout_s)
            async with contextlib.aclosing(response):
                listed = _listed(await self._whole(response))
        self._ids = {_public_name(entry["id"]): entry["id"] for entry in reversed(listed)}
        models = [_model(entry) for entry in listed]
        if self._model:
            default = [model for model in models if model.name == self._model]
            # Not listed: the server may answer to it all the same, as llama.cpp does to any name.
            default = default or [Model(self._model, _digest([self._model, *(model.digest for model in models)]))]
            models = default + [model for model in models if model.name != self._model]
        return tuple(models)

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        """The reply's events as they come; see `Backend.stream`."""
        reader = EventReader(model=model)
        body = orjson.dumps(
            request.model_dump(exclude_unset=True) | {"model": self._ids.get(model, model), "stream": True}
        )
        deadline_s = asyncio.get_running_loop().time() + self._first_event_timeout_s
        with self._faults():
            response = await self._send("POST", "/v1/messages", body=body, within_s=self._first_event_timeout_s)
            async with contextlib.aclosing(response):
                self._check_is_stream(response)
                chunks = response.aiter_bytes()
                begun = False
                while (chunk := await self._next(chunks, None if begun else deadline_s)) is not None:
                    for event in reader.feed(chunk):
                        begun = True
                        yield event
                    if reader.done:
                        return
        reader.finish()

    async def _send(self, method: str, path: str, *, body: bytes | None, within_s: float) -> httpx2.Response:
        """The answer's head; raises what a status other than 200 stands for."""
        if self._client is None:
            raise ThinkerUnavailable(f"{self.url} is closed")
        request = self._client.build_request(method, path, content=body)
        async with asyncio.timeout(within_s):
            response = await self._client.send(request, stream=True)
        if response.status_code != 200:
            async with contextlib.aclosing(response):
                said = await self._whole(response)
            retry_after = response.headers.get("retry-after")
            raise refusals.from_response(response.status_code, said, thinker=self.url, retry_after=retry_after)
        return response

    async def _whole(self, response: httpx2.Response) -> bytes:
        """The body of a short answer, cut at the limit."""
        body = bytearray()
        async with asyncio.timeout(self._idle_timeout_s):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
        return bytes(body)

    async def _next(self, chunks: AsyncIterator[bytes], deadline_s: float | None) -> bytes | None:
        """The next bytes, None at the end; raises TimeoutError at the deadline, or after a silence where it is None."""
        idle_s = asyncio.get_running_loop().time() + self._idle_timeout_s
        async with asyncio.timeout_at(idle_s if deadline_s is None else deadline_s):
            return await anext(chunks, None)

    def _check_is_stream(self, response: httpx2.Response) -> None:
        kind = response.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise BadReply(
                f"{self.url} answered with {kind[:80]!r}, expected text/event-stream: is it a Messages server?"
            )

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate what goes wrong on the way into our errors."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ThinkerUnavailable(f"no connection to {self.url}: {error or 'timed out'}; does it run?") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise ThinkerTimeout(
                f"{self.url} sent nothing for too long (the limits are {self._first_event_timeout_s:g} s "
                f"before the first event, {self._idle_timeout_s:g} s after it)"
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
    if api_key is None:
        return headers
    if not api_key.isascii() or not api_key.isprintable() or api_key != api_key.strip():
        # Said here and without the key: the HTTP library's own complaint would show it.
        raise ConfigurationError(f"the key for {url} has blanks, line ends or other characters that no header may have")
    # vLLM reads only the second, Anthropic's own API means the first, llama.cpp takes either.
    return headers | {"x-api-key": api_key, "authorization": f"Bearer {api_key}"}


def _listed(body: bytes) -> list[dict[str, Any]]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    match data:
        case {"data": list(entries)}:
            return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        case _:
            raise BadReply(f"/v1/models answered {len(body)} bytes that are not a list of models")


def _model(entry: dict[str, Any]) -> Model:
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    sizes = (entry.get("max_model_len"), meta.get("n_ctx"), entry.get("max_input_tokens"))
    context_tokens = next((size for size in sizes if isinstance(size, int) and size > 0), None)
    return Model(_public_name(entry["id"]), _digest([entry.get(field) for field in _STEADY_FIELDS]), context_tokens)


def _public_name(id: str) -> str:
    """The name shown to clients: a file's path on the server is nobody's business."""
    if not _LOCAL_PATH.search(id):
        return id
    return re.split(r"[\\/]", id.rstrip("\\/"))[-1].removesuffix(".gguf") or id


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()
