"""What vast.ai says when it does not do what was asked, as our errors.

Shapes seen: ``{"success": false, "error": code, "msg": text}``, plain text (429 above all), and HTML of a gateway.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from workbench.errors import (
    FleetError,
    KeyRefused,
    MarketRefused,
    MarketUnavailable,
    NoCredit,
    OfferGone,
    PriceChanged,
    RateLimited,
)

MAX_SHOWN = 300
"""Characters of a foreign message that go into ours."""

QUOTA_S = 3600.0
"""When to look again after a day's quota is used up; it is given anew at midnight UTC."""

_GAP = re.compile(r"threshold\s*=\s*(\d+(?:\.\d+)?)")
_KEY = re.compile(r"api.?key|auth_error|not authorized|log in|invalid user|user not found", re.IGNORECASE)
_CREDIT = re.compile(r"credit|balance|billing|spend|payment|funds", re.IGNORECASE)
_PRICE = re.compile(r"price|bid\b|too low", re.IGNORECASE)
_OFFER = re.compile(
    r"no_such_ask|no such ask|unavailable|not available|already rented|not rentable|no_such_instance", re.IGNORECASE
)


def from_answer(status: int, body: bytes, *, doing: str, gap_s: float, retry_after: str | None = None) -> FleetError:
    """The error that an answer stands for; `doing` says what was asked, `gap_s` how often it may be."""
    code, message = said(body)
    shown = f"vast.ai refused to {doing} (HTTP {status}): {message}"
    telling = f"{code} {message}"
    match status:
        case 401 | 403:
            return KeyRefused(f"{shown}; check VAST_API_KEY and what its key may do")
        case 404 if _KEY.search(telling):
            return KeyRefused(f"{shown}; check VAST_API_KEY")
        case 404 | 410:
            return OfferGone(f"{shown}; expected an offer or instance that exists, search anew")
        case 408:
            return MarketUnavailable(f"{shown}; try again later")
        case 429:
            wait_s = QUOTA_S if code == "search_quota_exceeded" else _wait_s(message, retry_after, gap_s=gap_s)
            return RateLimited(f"{shown}; try again in {wait_s:g} s", retry_after_s=wait_s)
        case _ if status >= 500:
            return MarketUnavailable(f"vast.ai failed to {doing} (HTTP {status}): {message}; try again later")
        case _:
            return _by_words(telling)(f"{shown}{_ADVICE[_by_words(telling)]}")


def said(body: bytes) -> tuple[str, str]:
    """Error code and message of an answer, whatever its shape."""
    answer = decoded(body)
    if not answer:
        text = body[: 4 * MAX_SHOWN].decode(errors="replace").strip()
        # A page of a gateway says nothing, and half an answer may hold a key.
        readable = text and not text.startswith(("<", "{", "["))
        return "", text[:MAX_SHOWN] if readable else f"{len(body)} bytes that cannot be read"
    code = str(answer.get("error") or "")
    return code, str(answer.get("msg") or code or "it gave no message")[:MAX_SHOWN]


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object that an answer is, empty when it is none."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _by_words(telling: str) -> type[FleetError]:
    for words, kind in ((_CREDIT, NoCredit), (_OFFER, OfferGone), (_PRICE, PriceChanged)):
        if words.search(telling):
            return kind
    return MarketRefused


_ADVICE: dict[type[FleetError], str] = {
    NoCredit: "; add credit at https://cloud.vast.ai/billing/ or raise the spend limit",
    OfferGone: "; search anew",
    PriceChanged: "; search anew, or bid more",
    MarketRefused: "; the same request would be refused again",
}


def _wait_s(message: str, retry_after: str | None, *, gap_s: float) -> float:
    """From the header, else from the text (``threshold=4.5``), else the published gap."""
    try:
        return max(float(retry_after or ""), 0.0)
    except ValueError:
        found = _GAP.search(message)
        return max(float(found[1]) if found else gap_s, 1.0)
