"""A Thinker that is an Ollama server: Messages ⇄ ``/api/chat``. Needs Ollama 0.12.4 or later.

The `ollama` package's client carries the requests. Chats bypass its models: `ollama_messages` says why for the
way there, and on the way back parsing each line into them costs more than all the rest of this path.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

import httpx
import ollama

from workbench.backend.backend import Model, Progress
from workbench.backend.connections import Transport
from workbench.backend.ollama_messages import ChatCall, chat_call
from workbench.backend.ollama_reply import Lines, OllamaReply, refusal
from workbench.backend.sse_server import bearer
from workbench.errors import (
    BadReply,
    ConfigurationError,
    InvalidRequest,
    ThinkerTimeout,
    ThinkerUnavailable,
    WorkbenchError,
)
from workbench.messages import MessagesRequest
from workbench.reply import Event

BYTES_PER_TOKEN = 4.0
"""Until a model's own ratio is known."""

DRAIN_LIMIT_S = 1.0
"""How long the end of a body may take after ``done``; then the connection is given up instead of kept."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of a list of models, or of what is told about one."""

T = TypeVar("T")


class _Limited(httpx.AsyncByteStream):
    """A body that may not be longer than `MAX_ANSWER_BYTES`: the package reads the others whole."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise BadReply(f"Ollama sent an answer of more than {MAX_ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _limit(response: httpx.Response) -> None:
    is_read_whole = response.request.url.path.endswith(("/api/tags", "/api/show", "/api/ps"))
    if is_read_whole and isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Limited(response.stream)


class _Client(ollama.AsyncClient):
    """The package's client, able to post a chat as it is written."""

    async def post_chat(self, body: bytes) -> httpx.Response:
        """Send the request; the caller reads the body and closes the response."""
        request = self._client.build_request("POST", "/api/chat", content=body)
        response: httpx.Response = await self._client.send(request, stream=True)
        return response

    def set_key(self, headers: dict[str, str]) -> None:
        """Carry these, and not the ollama.com key that the package takes from the environment."""
        self._client.headers.pop("authorization", None)
        self._client.headers.update(headers)


class OllamaBackend:
    """Implements `Backend`.

    `model` is the default model; without it, the first that Ollama lists and that can chat. `num_ctx` is pinned
    for every request, since another value reloads the model. `api_key` is for what stands before it: Ollama has none.
    `idle_timeout_s` must outlast a long tool call: while Ollama's parsers collect one, they say nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        host: str,
        model: str | None = None,
        num_ctx: int = 32_768,
        keep_alive: str = "30m",
        api_key: str | None = None,
        connect_timeout_s: float = 5.0,
        first_event_timeout_s: float = 600.0,
        idle_timeout_s: float = 300.0,
    ) -> None:
        self.url = url
        self._default = model
        self._num_ctx = num_ctx
        self._keep_alive = keep_alive
        self._connect_timeout_s = connect_timeout_s
        self._first_event_timeout_s = first_event_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._client = _client(
            host, connect_timeout_s=connect_timeout_s, headers=bearer(url, api_key) if api_key else {}
        )
        self._digests: dict[str, str] = {}
        self._abilities: dict[tuple[str, str], frozenset[str]] = {}
        self._bytes_per_token: dict[str, float] = {}

    async def open(self) -> None:
        """Nothing to do: Ollama may come up later."""

    async def close(self) -> None:
        """Close all connections; open streams fail."""
        await self._client.close()  # type: ignore[no-untyped-call]  # the package leaves it unannotated

    async def models(self) -> tuple[Model, ...]:
        """What ``/api/tags`` lists, the default first; raises `ThinkerUnavailable` when the default is not there."""
        listed = (await self._ask(self._client.list())).models
        self._digests = {entry.model: entry.digest or "" for entry in listed if entry.model}
        names = list(self._digests)
        first = await self._first(names)
        ordered = [first, *(name for name in names if name != first)] if first else names
        return tuple(Model(name, self._digests[name], self._num_ctx) for name in ordered)

    async def loaded(self) -> frozenset[str]:
        """What ``/api/ps`` lists: the models in memory."""
        return frozenset(entry.model for entry in (await self._ask(self._client.ps())).models if entry.model)

    async def pull(self, model: str) -> AsyncGenerator[Progress, None]:
        """Have Ollama fetch a model; each layer is a download of its own."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                stream = await self._client.pull(model, stream=True)
            while True:
                async with asyncio.timeout(self._idle_timeout_s):
                    part = await anext(stream, None)
                if part is None:
                    return
                yield Progress(part.status or "", part.completed or 0, part.total or 0)
        except TimeoutError:
            raise ThinkerTimeout(f"Ollama at {self.url} says no more about its download of {model!r}") from None
        except ConnectionError as error:
            raise ThinkerUnavailable(f"no connection to Ollama at {self.url}; is it running?") from error
        except ollama.ResponseError as error:
            raise BadReply(f"Ollama could not pull {model!r}: {error.error[:500]}") from error
        except httpx.HTTPError as error:
            raise self._lost(error, answered=True) from error
        except (ValueError, TypeError) as error:
            raise BadReply(f"{self.url} does not answer as Ollama does: {str(error)[:200]}") from error

    async def _first(self, names: list[str]) -> str | None:
        if self._default is None:
            return await self._first_that_chats(names)
        for name in (self._default, f"{self._default}:latest"):
            if name in names:
                return name
        raise ThinkerUnavailable(
            f"Ollama at {self.url} has no model {self._default!r} (it has {', '.join(names) or 'none'}): "
            f"`ollama pull {self._default}`, or name another"
        )

    async def _first_that_chats(self, names: list[str]) -> str | None:
        for name in names:  # the newest may be an embedding model
            try:
                abilities = await self._abilities_of(name)
            except BadReply:
                continue  # one broken model is no reason to give up the others
            if not abilities or "completion" in abilities:  # old versions tell none
                return name
        return None

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        """Ask `model`; see `Backend.stream`."""
        if "" in (request.stop_sequences or ()):
            raise InvalidRequest("stop_sequences: a stop sequence cannot be empty")
        think = await self._think(request, model)
        call = chat_call(request, model=model, num_ctx=self._num_ctx, keep_alive=self._keep_alive, think=think)
        reply = OllamaReply(
            model=model,
            num_ctx=self._num_ctx,
            guessed_prompt_tokens=self._guess(call, model),
            stop_sequences=request.stop_sequences or (),
        )
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._first_event_timeout_s
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout_at(deadline_s):
                response = await self._client.post_chat(call.body)
            async with asyncio.timeout_at(deadline_s):
                await _check(response, reply)
            lines = Lines()
            chunks = response.aiter_raw()
            while not reply.ended:
                async with asyncio.timeout_at(deadline_s):
                    chunk = await anext(chunks, None)
                for line in _cut(lines, chunk):
                    for event in reply.feed(line):
                        deadline_s = loop.time() + self._idle_timeout_s  # empty lines do not count: they may never end
                        yield event
                if chunk is None and not reply.ended:
                    raise BadReply("Ollama's reply ended without `done`")
            self._learn(call, model, reply)
            if not reply.stopped:
                await _drain(chunks)
        except TimeoutError:
            raise self._silent(reply) from None
        except httpx.HTTPError as error:
            raise self._lost(error, answered=response is not None) from error
        finally:
            if response is not None:
                await response.aclose()

    # ── what is known of a model ────────────────────────────────────────────────────────────────────────────

    async def _think(self, request: MessagesRequest, model: str) -> bool | None:
        """What to say about thinking: nothing to a model that cannot, for which even a yes is an error.

        A model that can does think unless it is told not to.
        """
        if "thinking" not in await self._abilities_of(model):
            return None
        return request.thinking is not None and request.thinking.type != "disabled"

    async def _abilities_of(self, model: str) -> frozenset[str]:
        key = (model, self._digests.get(model, ""))
        if key not in self._abilities:
            shown = await self._ask(self._client.show(model), model=model)
            self._abilities[key] = frozenset(shown.capabilities or ())
        return self._abilities[key]

    def _guess(self, call: ChatCall, model: str) -> int:
        return max(1, round(call.prompt_bytes / self._bytes_per_token.get(model, BYTES_PER_TOKEN)))

    def _learn(self, call: ChatCall, model: str, reply: OllamaReply) -> None:
        has_images = call.prompt_bytes != len(call.body)
        if reply.prompt_tokens and not has_images:
            self._bytes_per_token[model] = call.prompt_bytes / reply.prompt_tokens

    # ── what may go wrong ───────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, question: Awaitable[T], *, model: str = "") -> T:
        """A short question through the package's own methods, its errors as ours."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await question
        except TimeoutError:
            raise ThinkerTimeout(f"Ollama at {self.url} did not answer in {self._connect_timeout_s} s") from None
        except ConnectionError as error:
            raise ThinkerUnavailable(f"no connection to Ollama at {self.url}; is it running?") from error
        except ollama.ResponseError as error:
            raise refusal(error.status_code, error.error[:500], model=model) from error
        except httpx.HTTPError as error:
            raise self._lost(error, answered=False) from error
        except (ValueError, TypeError) as error:  # not JSON, or not of the form that the package knows
            raise BadReply(f"{self.url} does not answer as Ollama does: {str(error)[:200]}") from error

    def _silent(self, reply: OllamaReply) -> ThinkerTimeout:
        limit_s = self._idle_timeout_s if reply.started else self._first_event_timeout_s
        return ThinkerTimeout(f"Ollama at {self.url} said nothing for {limit_s} s")

    def _lost(self, error: httpx.HTTPError, *, answered: bool) -> WorkbenchError:
        if answered:
            return BadReply(f"Ollama at {self.url} broke off in its reply: {error or type(error).__name__}")
        return ThinkerUnavailable(f"no connection to Ollama at {self.url}: {error or type(error).__name__}")


def _client(host: str, *, connect_timeout_s: float, headers: dict[str, str]) -> _Client:
    try:
        client = _Client(
            host,
            timeout=httpx.Timeout(None, connect=connect_timeout_s),
            transport=Transport(),
            follow_redirects=False,  # a POST would come out as a GET
            # A reverse proxy that compresses would hold lines back.
            headers={"accept-encoding": "identity"},
            trust_env=False,  # only `settings` reads the environment
            event_hooks={"response": [_limit]},
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigurationError(f"{host!r} is no address of an Ollama server, expected http://host:11434") from error
    client.set_key(headers)
    return client


async def _check(response: httpx.Response, reply: OllamaReply) -> None:
    """Raise what a status other than 200 means."""
    if response.status_code != httpx.codes.OK:
        head = bytearray()
        async for chunk in response.aiter_raw():
            head += chunk
            if len(head) > 65_536:
                break
        raise reply.refusal(response.status_code, bytes(head), retry_after=response.headers.get("retry-after"))


def _cut(lines: Lines, chunk: bytes | None) -> list[bytes]:
    """The lines that this chunk completes; None, the end of the body, completes the last."""
    if chunk is not None:
        return lines.feed(chunk)
    return [rest] if (rest := lines.rest()) else []


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end, so that the connection can be used again."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_LIMIT_S):
            async for _ in chunks:
                pass
