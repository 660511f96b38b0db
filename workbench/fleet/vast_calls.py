"""One call to vast.ai: in its turn, within its time, with its refusal as our error, and reads again after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from pydantic import SecretStr

from workbench.errors import ConfigurationError, FleetError, KeyRefused, MarketUnavailable, RateLimited
from workbench.fleet import vast_refusals
from workbench.fleet.pacing import Pacer

log = logging.getLogger(__name__)

GAPS_S = {
    "search": 6.0,
    "create": 4.5,
    "show": 2.0,
    "list": 1.0,
    "change": 1.0,
    "destroy": 3.0,
    "bid": 5.5,
    "attach": 2.0,
    "charges": 1.0,
}
"""vast.ai's published gaps between two calls of an endpoint, in seconds."""

BACKOFF_S = (1.0, 3.0, 8.0)
"""Pauses before a read is tried again; after the last one it has failed."""

ALWAYS_THERE = ("search", "list", "charges", "account")
"""What exists for every key: a 404 is then about the key, or about the address."""

LONGEST_WAIT_S = 60.0
"""A refusal that asks for more patience than this is the caller's to deal with."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""An answer longer than this is broken off."""


class NotSent(MarketUnavailable):
    """No connection was made: whatever was asked has not happened."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `endpoint` names its pace, `doing` completes "vast.ai refused to …"."""

    endpoint: str
    method: str
    path: str
    doing: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    with_key: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes
    retry_after: str | None = None


class VastCalls:
    """The connections to one server with one key. `timeout_s` is for one call as a whole."""

    def __init__(
        self,
        key: SecretStr,
        *,
        base_url: str,
        pacer: Pacer,
        timeout_s: float,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._key = _checked(key)
        self._base_url = base_url
        self._pacer = pacer
        self._timeout_s = timeout_s
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Prepare the connections; raises `ConfigurationError` on a bad address."""
        try:
            address = httpx2.URL(self._base_url)
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"vast.ai's address {self._base_url!r} is none: {error}") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise ConfigurationError(f"vast.ai's address {self._base_url!r} is none: expected https://host")
        self._client = httpx2.AsyncClient(
            base_url=address,
            transport=self._transport,
            timeout=self._timeout_s,
            verify=address.scheme == "https",  # a TLS context takes 75 ms to make; plain HTTP needs none
            trust_env=False,  # settings are the only reader of the environment; no system proxy in between
        )

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def read(self, call: Call) -> dict[str, Any]:
        """The answer to something that changes nothing, tried again after failures and after 429s."""
        for pause_s in BACKOFF_S:
            try:
                return await self.change(call)
            except RateLimited as error:
                if error.retry_after_s > LONGEST_WAIT_S:
                    raise
                log.info("vast.rate_limited endpoint=%s retry_after_s=%g", call.endpoint, error.retry_after_s)
            except MarketUnavailable as error:
                log.info("vast.read_failed endpoint=%s pause_s=%g error=%s", call.endpoint, pause_s, error)
                await self._pacer.pause(pause_s)
        return await self.change(call)

    async def change(self, call: Call) -> dict[str, Any]:
        """The answer to one call, never tried again; raises what the market's refusal stands for."""
        answer = await self.once(call)
        decoded = vast_refusals.decoded(answer.body)
        if answer.status != 200 or decoded.get("success") is False:
            raise self.refusal(call, answer)
        if not decoded:
            raise MarketUnavailable(
                f"vast.ai answered {len(answer.body)} bytes that are not a JSON object when asked to {call.doing}"
            )
        return decoded

    async def once(self, call: Call) -> Answer:
        """Send it once, in its turn; the answer, whatever its status.

        Raises `NotSent` when there was no connection, `MarketUnavailable` when what came of it is not known.
        """
        if self._client is None:
            raise NotSent(f"the connection to {self._base_url} is closed: expected it open, to {call.doing}")
        await self._pacer.turn(call.endpoint)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(self._client, call)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotSent(
                f"no connection to {self._base_url} to {call.doing}: {error or 'timed out'}; is the network up?"
            ) from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise MarketUnavailable(f"vast.ai took more than {self._timeout_s:g} s to {call.doing}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise MarketUnavailable(
                f"the connection to vast.ai broke when asked to {call.doing}: {error or type(error).__name__}"
            ) from error

    def refusal(self, call: Call, answer: Answer) -> FleetError:
        """The error that an answer stands for; after a 429 nobody calls that endpoint too early again."""
        if answer.status == 404 and call.endpoint in ALWAYS_THERE:
            said = vast_refusals.said(answer.body)[1]
            return KeyRefused(
                f"vast.ai does not let this key {call.doing} (HTTP 404): {said}; check VAST_API_KEY, and the address"
                f" {self._base_url}"
            )
        error = vast_refusals.from_answer(
            answer.status,
            answer.body,
            doing=call.doing,
            gap_s=self._pacer.gap_s(call.endpoint),
            retry_after=answer.retry_after,
        )
        if isinstance(error, RateLimited) and error.retry_after_s <= LONGEST_WAIT_S:
            self._pacer.refused(call.endpoint, retry_after_s=error.retry_after_s)
        return error

    async def _send(self, client: httpx2.AsyncClient, call: Call) -> Answer:
        headers = {"accept": "application/json", "content-type": "application/json"}
        if call.with_key:
            headers["authorization"] = f"Bearer {self._key.get_secret_value()}"
        content = None if call.body is None else orjson.dumps(call.body)
        request = client.build_request(call.method, call.path, content=content, params=call.query, headers=headers)
        response = await client.send(request, stream=True)
        async with contextlib.aclosing(response):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise MarketUnavailable(
                        f"vast.ai sent more than {MAX_ANSWER_BYTES} bytes when asked to {call.doing}"
                    )
        return Answer(response.status_code, bytes(body), response.headers.get("retry-after"))


def _checked(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not text:
        raise KeyRefused("there is no key for vast.ai: set VAST_API_KEY, or write it to ~/.config/vastai/vast_api_key")
    if not text.isascii() or not text.isprintable() or " " in text:
        # Said here and without the key: the HTTP library's own complaint would show it.
        raise KeyRefused("the key for vast.ai has blanks, line ends or other characters that no header may have")
    return key
