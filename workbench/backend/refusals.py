"""What a server that speaks Messages says when it cannot answer, as our errors.

Shapes seen: Anthropic and LM Studio ``{"type":"error","error":{type,message}}``; llama.cpp ``{"error":{code,type,
message,n_prompt_tokens,n_ctx}}``; vLLM ``{"error":{type,message,code}}`` and, for an unknown route, ``{"detail"}``.
"""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

from workbench.errors import (
    BadReply,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
    RequestTooLarge,
    ThinkerTimeout,
    ThinkerUnavailable,
    WorkbenchError,
)

MAX_SHOWN = 500
"""Characters of a foreign message that go into ours."""

_ANTHROPIC_TOO_LONG = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")
_VLLM_TOO_LONG = re.compile(r"maximum context length is (\d+) tokens\. However, [a-z ]*(\d+)")


def from_response(
    status: int, body: bytes, *, thinker: str, route: str, retry_after: str | None = None
) -> WorkbenchError:
    """The error that an HTTP answer other than 200 stands for.

    `thinker` names the server in the message, `route` what a 404 says that it does not have.
    """
    error = error_object(body)
    message = message_of(error)
    match status:
        case 404 if "model" not in message.lower():
            return BadReply(f"{thinker} has no {route} (HTTP 404): {message}; check the Thinker's URL")
        case 404:
            # It listed the model before, or its URL names it: the Thinker's fault, and another may have it.
            return ThinkerUnavailable(f"{thinker} has no such model (HTTP 404): {message}")
        case 400 if error.get("code") == "model_not_found":
            return ThinkerUnavailable(f"{thinker} has no such model (HTTP 400): {message}")
        case 401 | 402 | 403:
            # The proxy's key is wrong, not the client's: another Thinker may well answer.
            return BadReply(f"{thinker} refused the proxy's key (HTTP {status}): {message}; check the Thinker's key")
        case 413:
            return RequestTooLarge(message)
        case 408 | 504:
            return ThinkerTimeout(f"{thinker} gave up (HTTP {status}): {message}")
        case 429 | 503 | 529:
            text = f"{thinker} is overloaded (HTTP {status}): {message}"
            return Overloaded(text, retry_after_s=_retry_after_s(retry_after))
        case _ if 400 <= status < 500:
            return _too_long(error, message) or InvalidRequest(message)
        case _:
            return BadReply(f"{thinker} answered HTTP {status}: {message}")


def not_a_stream(kind: str, body: bytes, *, thinker: str) -> WorkbenchError:
    """The error that a 200 stands for which is no stream of events but of this content type."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict) and said.get("error"):
        return from_event(said["error"], thinker=thinker)
    return BadReply(f"{thinker} answered with {kind[:80]!r}, expected text/event-stream: is its URL the right one?")


def from_event(error: Any, *, thinker: str = "the Thinker") -> WorkbenchError:
    """The error that an SSE ``error`` event stands for."""
    error = error if isinstance(error, dict) else {"message": error}
    message = message_of(error)
    match error.get("type"):
        case "overloaded_error" | "rate_limit_error" | "unavailable_error":
            return Overloaded(f"{thinker} is overloaded: {message}")
        case "timeout_error":
            return ThinkerTimeout(f"{thinker} gave up: {message}")
        case _:
            return _too_long(error, message) or BadReply(f"{thinker} failed in the middle of its reply: {message}")


def _too_long(error: dict[str, Any], message: str) -> PromptTooLong | None:
    """With the server's own two numbers, or None when it did not complain of the prompt's length."""
    match error:
        case {"n_prompt_tokens": int(tokens), "n_ctx": int(maximum)}:
            return PromptTooLong(tokens, maximum)
    if found := _ANTHROPIC_TOO_LONG.search(message):
        return PromptTooLong(int(found[1]), int(found[2]))
    if found := _VLLM_TOO_LONG.search(message):
        return PromptTooLong(int(found[2]), int(found[1]))
    return None


def error_object(body: bytes) -> dict[str, Any]:
    """The error in an answer's body, {} when it has none that can be read."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": f"{len(body)} bytes that are not JSON"}
    match data:
        case {"error": dict(error)}:
            return error
        case {"detail": list(details)}:  # FastAPI's complaints about single fields
            return {"message": orjson.dumps([_without_input(detail) for detail in details]).decode()}
        case {"error": str(message)} | {"detail": str(message)}:
            return {"message": message}
        case {"message": str()}:
            return dict(data)
        case _:
            return {}


def message_of(error: dict[str, Any]) -> str:
    """What the server said, at most `MAX_SHOWN` characters of it."""
    message = error.get("message")
    return message[:MAX_SHOWN] if isinstance(message, str) and message else "it gave no message"


def _without_input(detail: Any) -> Any:
    """A complaint without the value that it is about, which may be the whole prompt."""
    return {key: detail[key] for key in ("type", "loc", "msg") if key in detail} if isinstance(detail, dict) else None


def _retry_after_s(header: str | None, *, default_s: float = 2.0) -> float:
    """Seconds of a ``retry-after`` header; its other form, a date, is rare enough to be guessed."""
    try:
        seconds = float(header or "")
    except ValueError:
        return default_s
    return seconds if math.isfinite(seconds) and seconds >= 0 else default_s
