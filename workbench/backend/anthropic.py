"""Pass-through for servers that speak Messages themselves: vLLM, llama.cpp, LM Studio, another proxy.

Source: the Messages API reference; what the servers do beside it is said where it is handled.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from functools import partial

import orjson

from workbench.backend import refusals
from workbench.backend.backend import Model
from workbench.backend.model_list import ModelList
from workbench.backend.sse_events import EventReader
from workbench.backend.sse_server import Patience, SseServer
from workbench.messages import MessagesRequest
from workbench.reply import Event


class AnthropicBackend:
    """One server that has ``/v1/messages``; the request goes there as it is, but for the model's name.

    `url` is the address as the user gave it, without secrets; `base_url` is where the server is (with or without
    ``/v1``). `model` names its default model. For the time limits see `Patience`.
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
        self._default = model
        self._listed = ModelList((), {})
        self._refusal = partial(refusals.from_response, thinker=url, route="/v1/messages")
        self._server = SseServer(
            url,
            base_url=base_url.rstrip("/").removesuffix("/v1"),
            api_key=api_key,
            patience=Patience(connect_timeout_s, first_event_timeout_s, idle_timeout_s),
        )

    async def open(self) -> None:
        """Prepare the connections; the server need not be up yet. Raises `ConfigurationError` on a bad address."""
        await self._server.open()

    async def close(self) -> None:
        """Close all connections; open streams end."""
        await self._server.close()

    async def models(self) -> tuple[Model, ...]:
        """What ``/v1/models`` lists, the default model first."""
        body = await self._server.get("/v1/models", refusal=self._refusal)
        self._listed = ModelList.read(body, default=self._default)
        return self._listed.models

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        """The reply's events as they come; see `Backend.stream`."""
        asked = {"model": self._listed.id_of(model), "stream": True}
        body = orjson.dumps(request.model_dump(exclude_unset=True) | asked)
        events = self._server.events("/v1/messages", body, reader=EventReader(model=model), refusal=self._refusal)
        async with contextlib.aclosing(events):
            async for event in events:
                yield event
