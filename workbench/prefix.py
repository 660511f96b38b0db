"""Where two prompts part: from there on, what a Thinker keeps of the first in its KV cache is lost for the second.

The order is that of the usual chat templates: system, tools, then the messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from workbench.canonical import canonicalise
from workbench.errors import InvalidRequest
from workbench.messages import Prompt, Wire

BYTES_PER_TOKEN = 4.0
"""A rule of thumb for English and code."""

EXCERPT_BYTES = 60


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a prompt: where it stands, in words for people, and its JSON, tool inputs in their own key order."""

    where: str
    json: bytes


@dataclass(frozen=True, slots=True)
class Parting:
    """The first byte at which two prompts differ; all sizes in bytes of their canonical JSON."""

    where: str
    byte_in_part: int
    shared_bytes: int
    lost_bytes: int
    """What the first prompt has after it."""
    new_bytes: int
    """What the second prompt has after it, all of which a Thinker has to read."""
    excerpts: tuple[str, str]
    """What stands around it in the first and in the second."""


@dataclass(frozen=True, slots=True)
class Continued:
    """The second prompt goes on where the first ends: nothing is lost."""

    shared_bytes: int
    new_bytes: int


def estimated_tokens(size_bytes: int) -> int:
    """About how many tokens these are: a rule of thumb, and not a count."""
    return round(size_bytes / BYTES_PER_TOKEN)


def compare(first: Prompt, second: Prompt) -> Parting | Continued:
    """Where the canonical forms of two requests part. Raises `InvalidRequest` for what cannot be written as JSON."""
    a, b = list(parts(canonicalise(first, model="m"))), list(parts(canonicalise(second, model="m")))
    total_a, total_b = (sum(len(part.json) for part in each) for each in (a, b))
    shared = 0
    for mine, theirs in zip_longest(a, b):
        if mine is None:
            break
        if mine == theirs:
            shared += len(mine.json)
            continue
        other = theirs.json if theirs is not None else b""
        at = shared_length(mine.json, other)
        shared += at
        return Parting(
            where=mine.where,
            byte_in_part=at,
            shared_bytes=shared,
            lost_bytes=total_a - shared,
            new_bytes=total_b - shared,
            excerpts=(_excerpt(mine.json, at), _excerpt(other, at)),
        )
    return Continued(shared, total_b - shared)


def parts(prompt: Prompt) -> Iterator[Part]:
    """A canonical prompt in pieces, in the order in which a model reads them."""
    for i, block in enumerate(prompt.system or ()):
        yield Part(f"system block {i}", _json(block))
    for i, tool in enumerate(prompt.tools or ()):
        yield Part(f"tool {i} ({tool.name})", _json(tool))
    for i, message in enumerate(prompt.messages):
        for j, content in enumerate(message.content):
            yield Part(f"message {i} ({message.role}), block {j} ({content.type})", _json([message.role, content]))


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_fields)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"the request cannot be written as JSON ({error}): nest tool inputs less deep") from None


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, Wire):
        return {name: field for name, field in value if field is not None}
    raise TypeError(f"{type(value).__name__} is not JSON")


def shared_length(a: bytes, b: bytes) -> int:
    """The length of the longest common beginning, by halves: it may be megabytes."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _excerpt(json: bytes, at: int) -> str:
    before = json[max(0, at - EXCERPT_BYTES) : at].decode(errors="replace")
    after = json[at : at + EXCERPT_BYTES].decode(errors="replace")
    return f"{before}▸{after}"
