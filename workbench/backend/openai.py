"""A Thinker that speaks ``/v1/chat/completions``: vLLM, llama.cpp, LM Studio, SGLang, Cerebras and friends."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from workbench.backend import refusals
from workbench.backend.backend import Model
from workbench.backend.context_length import Lengths, leaves_no_room, too_long
from workbench.backend.model_list import ModelList
from workbench.backend.openai_messages import OPTIONAL, RENAMED, CompletionCall, completion_call
from workbench.backend.openai_reply import OpenAIReply
from workbench.backend.sse_server import Patience, SseServer
from workbench.errors import InvalidRequest, WorkbenchError
from workbench.messages import MessagesRequest
from workbench.reply import Event

BYTES_PER_TOKEN = 4.0
"""Until a model's own ratio is known."""

SURE = 0.9
"""A prompt has at least this share of its guessed length, once the model's own ratio is known."""

MAX_TRIES = len(OPTIONAL) + 2

_NOT_TAKEN = re.compile(
    r"un(supported|recogni[sz]ed|known|expected)|(not|isn't) (supported|permitted|allowed|recogni[sz]ed)"
    r"|extra_forbidden|does not support|additional propert|not a valid parameter",
    re.IGNORECASE,
)


class _Adjustable(WorkbenchError):
    """The server refuses the request as it was written; written otherwise, it may take it. Never leaves this file."""

    def __init__(self, refused: str | None) -> None:
        super().__init__("the request is to be written otherwise")
        self.refused = refused
        """The field that it does not take; None: `max_tokens` is more than fits."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One try: what is sent, and what is thought of its length."""

    call: CompletionCall
    lengths: Lengths


class OpenAIBackend:
    """Implements `Backend`.

    `base_url` is where ``/chat/completions`` stands, usually with ``/v1``. `model` names the default model. What the
    server once refused of the fields that not all servers take (`OPTIONAL`) is not sent to it again.
    """

    def __init__(
        self, url: str, *, base_url: str, model: str | None = None, api_key: str | None = None, patience: Patience
    ) -> None:
        self.url = url
        self._default = model
        self._listed = ModelList((), {})
        self._refused: set[str] = set()
        self._bytes_per_token: dict[str, float] = {}
        self._server = SseServer(url, base_url=base_url, api_key=api_key, patience=patience)

    async def open(self) -> None:
        """Prepare the connections; the server need not be up yet. Raises `ConfigurationError` on a bad address."""
        await self._server.open()

    async def close(self) -> None:
        """Close all connections; open streams end."""
        await self._server.close()

    async def models(self) -> tuple[Model, ...]:
        """What ``/models`` lists, the default model first."""
        refusal = partial(refusals.from_response, thinker=self.url, route="/models")
        self._listed = ModelList.read(await self._server.get("/models", refusal=refusal), default=self._default)
        return self._listed.models

    async def stream(self, request: MessagesRequest, *, model: str) -> AsyncGenerator[Event, None]:
        """The reply's events as they come; see `Backend.stream`.

        Asks again, written otherwise, when the server refuses a field that it need not have: at once, since such
        refusals cost nothing but a round trip.
        """
        if "" in (request.stop_sequences or ()):
            raise InvalidRequest("stop_sequences: a stop sequence cannot be empty")
        limit_tokens = True
        for tries_left in range(MAX_TRIES, 0, -1):
            asked = self._write(request, model, limit_tokens=limit_tokens)
            reply = OpenAIReply(model=model, lengths=asked.lengths, stop_sequences=request.stop_sequences or ())
            refusal = partial(self._refusal, asked=asked, may_adjust=tries_left > 1)
            events = self._server.events("/chat/completions", asked.call.body, reader=reply, refusal=refusal)
            try:
                async with aclosing(events):
                    async for event in events:
                        yield event
            except _Adjustable as error:
                limit_tokens = limit_tokens and error.refused is not None
                self._refused |= {error.refused} if error.refused else set()
            else:
                self._learn(asked.call, model, reply)
                return

    def _write(self, request: MessagesRequest, model: str, *, limit_tokens: bool) -> _Asked:
        """The call; without `max_tokens` where that is surely more than fits, which many servers refuse to be asked."""
        context_tokens = self._listed.context_tokens_of(model)
        write = partial(completion_call, request, model=self._listed.id_of(model), refused=frozenset(self._refused))
        call = write(limit_tokens=limit_tokens)
        lengths = Lengths(self._guess(call, model), context_tokens)
        surely = lengths.guessed_prompt_tokens * SURE if model in self._bytes_per_token else 0
        if limit_tokens and context_tokens is not None and surely + request.max_tokens > context_tokens:
            call = write(limit_tokens=False)
        return _Asked(call, lengths)

    def _guess(self, call: CompletionCall, model: str) -> int:
        return max(1, round(call.prompt_bytes / self._bytes_per_token.get(model, BYTES_PER_TOKEN)))

    def _learn(self, call: CompletionCall, model: str, reply: OpenAIReply) -> None:
        has_images = call.prompt_bytes != len(call.body)
        if reply.prompt_tokens and not has_images:
            self._bytes_per_token[model] = call.prompt_bytes / reply.prompt_tokens

    def _refusal(
        self, status: int, body: bytes, *, retry_after: str | None, asked: _Asked, may_adjust: bool
    ) -> WorkbenchError:
        """The error that an HTTP answer other than 200 stands for."""
        if 400 <= status < 500 and status not in (401, 403, 404, 429):
            error = refusals.error_object(body)
            if may_adjust and asked.call.has_limit and leaves_no_room(error, asked.lengths):
                return _Adjustable(None)
            if prompt_too_long := too_long(error, asked.lengths):
                return prompt_too_long
            if may_adjust and (name := _not_taken(error, asked.call)):
                return _Adjustable(name)
        return refusals.from_response(
            status, body, thinker=self.url, route="/chat/completions", retry_after=retry_after
        )


def _not_taken(error: dict[str, Any], call: CompletionCall) -> str | None:
    """The optional field that the server complains of as one that it does not know or take."""
    message = refusals.message_of(error)
    complaint = f"{message} {error.get('code')} {error.get('type')}"
    if not _NOT_TAKEN.search(complaint) and RENAMED not in message:
        return None
    named = [name for name in sorted(call.sent) if error.get("param") == name]
    return next(iter(named + [name for name in sorted(call.sent) if re.search(rf"\b{name}\b", message)]), None)
