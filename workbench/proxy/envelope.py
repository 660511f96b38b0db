"""An error as the Messages API tells it: status, type, envelope, headers."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import orjson
from starlette.responses import Response

from workbench.errors import (
    BackendError,
    Forbidden,
    InvalidRequest,
    NotFound,
    Overloaded,
    RequestTooLarge,
    StoreError,
    ThinkerTimeout,
    ThinkerUnavailable,
)

STATUS: dict[type[Exception], tuple[int, str]] = {
    InvalidRequest: (400, "invalid_request_error"),
    Forbidden: (403, "permission_error"),
    NotFound: (404, "not_found_error"),
    RequestTooLarge: (413, "request_too_large"),
    Overloaded: (529, "overloaded_error"),
    ThinkerUnavailable: (529, "overloaded_error"),
    ThinkerTimeout: (504, "timeout_error"),
    BackendError: (500, "api_error"),
    StoreError: (500, "api_error"),
}
"""The nearest class of an error's line of ancestors counts; what is not in here is a 500 that says nothing."""


def status_and_type(error: Exception) -> tuple[int, str]:
    """The HTTP status and the API's error type."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), (500, "api_error"))


def envelope(kind: str, message: str, *, request_id: str) -> bytes:
    """The API's error body; ``event: error`` carries the same."""
    error = {"type": kind, "message": message}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def error_body(error: Exception, *, request_id: str) -> bytes:
    """The body for this error."""
    _, kind = status_and_type(error)
    return envelope(kind, str(error), request_id=request_id)


def error_response(error: Exception, *, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The whole response for this error; `headers` go beside its own."""
    status, _ = status_and_type(error)
    body = error_body(error, request_id=request_id)
    return Response(body, status, {**(headers or {}), **_headers(error)}, media_type="application/json")


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Overloaded):
        return {"retry-after": str(max(1, ceil(error.retry_after_s)))}
    return {}
