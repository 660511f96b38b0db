"""One canonical form of a request: what the cache keys and what is sent upstream.

Two requests that any model must answer alike have one form, whoever sent them and however they were written
down; two that differ in anything that bears meaning have two. What is dropped or renamed is listed here and
nowhere else. Tool inputs and tool schemas are opaque: nothing in them is touched, not even their key order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from operator import eq
from typing import Any, TypeVar

import orjson

from workbench.errors import InvalidRequest
from workbench.messages import (
    ContentBlock,
    Message,
    Prompt,
    ServerBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Wire,
)

KEY_VERSION = 1
"""Raise it when the canonical form changes: what was stored under the old form is then never found."""

BILLING_HEADER = "x-anthropic-billing-header:"
"""How Claude Code's accounting block begins; it differs between conversations and says nothing to a model."""

_NOT_FOR_THE_MODEL = frozenset({"metadata", "safeguards", "cache_control"})
_CACHE_CONTROL = frozenset({"cache_control"})
_SIGNED = frozenset({"cache_control", "signature"})
_DISPLAY = frozenset({"display"})

P = TypeVar("P", bound=Prompt)
W = TypeVar("W", bound=Wire)


# ── the canonical form ──────────────────────────────────────────────────────────────────────────────────────


def canonicalise(request: P, *, model: str) -> P:
    """The one form of `request`, asking `model` (the resolved name); `request` itself stays as it is.

    Parts that are canonical already are shared with `request`, not copied.
    """
    names = _ToolIds()
    changes: dict[str, Any] = {
        "model": model,
        "messages": [_message(message, names) for message in request.messages],
        "system": [_block(block, names) for block in _without_billing(request.system or [])] or None,
        "tools": [_without(tool, _CACHE_CONTROL) for tool in request.tools or []] or None,
        "thinking": request.thinking and _without(request.thinking, _DISPLAY),
    }
    if "stream" in type(request).model_fields:
        changes |= {"stream": False, "stop_sequences": getattr(request, "stop_sequences", None) or None}
    empty = {name for name, value in (request.model_extra or {}).items() if value == []}
    return _without(request, _NOT_FOR_THE_MODEL | empty).model_copy(update=changes)


class _ToolIds:
    """Gives tool ids new names, t0, t1, …, by first appearance."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, id: str) -> str:
        return self._names.setdefault(id, f"t{len(self._names)}")


def _message(message: Message, names: _ToolIds) -> Message:
    content = [_block(block, names) for block in message.content]
    clean = _without(message, _CACHE_CONTROL)
    if all(new is old for new, old in zip(content, message.content, strict=True)):
        return clean
    return clean.model_copy(update={"content": content})


def _block(block: ContentBlock, names: _ToolIds) -> ContentBlock:
    match block:
        case ToolUseBlock():
            changes: dict[str, Any] = {"id": names(block.id)}
        case ToolResultBlock():
            changes = {
                "tool_use_id": names(block.tool_use_id),
                "content": [_block(part, names) for part in block.content],
            }
        case ServerBlock():
            extra = block.model_extra or {}
            changes = {key: names(extra[key]) for key in ("id", "tool_use_id") if isinstance(extra.get(key), str)}
        case _:
            changes = {}
    clean = _without(block, _SIGNED if isinstance(block, ThinkingBlock) else _CACHE_CONTROL)
    return clean.model_copy(update=changes) if changes else clean


def _without(thing: W, names: Iterable[str]) -> W:
    """`thing` without these unknown fields, without unknown fields that are null, and without empty citations."""
    extra = thing.model_extra
    if not extra:
        return thing
    dropped = [k for k, v in extra.items() if v is None or k in names or (k == "citations" and not v)]
    if not dropped:
        return thing
    copy = thing.model_copy()  # has a dict and a set of its own: changing them does not reach `thing`
    for name in dropped:
        (copy.model_extra or {}).pop(name)
        copy.model_fields_set.discard(name)
    return copy


def _without_billing(system: list[TextBlock]) -> list[TextBlock]:
    """The system prompt without the accounting line that Claude Code puts first."""
    while system and system[0].text.startswith(BILLING_HEADER):
        rest = system[0].text.partition("\n")[2].lstrip("\n")
        system = [system[0].model_copy(update={"text": rest}), *system[1:]] if rest.strip() else system[1:]
    return system


# ── its bytes and its digest ────────────────────────────────────────────────────────────────────────────────


def encode(request: Prompt | Sequence[Wire]) -> bytes:
    """A canonical request, or parts of one, as JSON with sorted keys, for keys and comparisons.

    A field left out and a field given its default are written alike. Raises `InvalidRequest` when a tool's
    input or schema is nested deeper than JSON can be written (about 250 levels).
    """
    try:
        return orjson.dumps(request, default=_fields, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(
            f"the request cannot be written as JSON ({error}): keep tool inputs and schemas "
            "under 250 levels deep and their text valid Unicode"
        ) from None


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, Wire):
        return {name: field for name, field in value if field is not None}
    raise TypeError(f"{type(value).__name__} is not JSON")


def digest(request: Prompt, *, model_digest: str) -> str:
    """Hex SHA-256 of a canonical request as asked of one exact model (`model_digest` names its revision)."""
    head = orjson.dumps([KEY_VERSION, model_digest])  # a JSON list ends by itself: no separator to forge
    return hashlib.sha256(head + encode(request)).hexdigest()


# ── where two of them part ──────────────────────────────────────────────────────────────────────────────────


def first_difference(a: Prompt, b: Prompt) -> str | None:
    """Where two canonical requests first part, in words for people; None when they are one.

    For example ``messages.3.content.0.text at character 117`` or ``tools: only in the second``.
    """
    return _difference(orjson.loads(encode(a)), orjson.loads(encode(b)), "")


def _difference(a: Any, b: Any, path: str) -> str | None:
    match a, b:
        case dict(), dict():
            return _first(a, b, sorted(a.keys() | b.keys()), path)
        case list(), list():
            one, other = dict(enumerate(a)), dict(enumerate(b))
            return _first(one, other, range(max(len(a), len(b))), path)
        case str(), str() if a != b:
            return f"{path} at character {sum(takewhile(bool, map(eq, a, b)))}"
        case _ if orjson.dumps(a) != orjson.dumps(b):  # in Python True == 1 == 1.0, in JSON not
            return path
        case _:
            return None


def _first(a: dict[Any, Any], b: dict[Any, Any], keys: Iterable[Any], path: str) -> str | None:
    for key in keys:
        here = f"{path}.{key}" if path else str(key)
        if key not in a or key not in b:
            return f"{here}: only in the {'first' if key in a else 'second'}"
        if (found := _difference(a[key], b[key], here)) is not None:
            return found
    return None
