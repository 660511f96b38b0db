"""An entry as the fields of a Redis hash, and back.

d digest · m model · c created · x expires · S scope · o outer scope · t text · u turns as JSON · p payload, zstd
s, O, n: scope, outer scope and tenant as the index knows them · w: "1" while pending · q: order of coming
z: bytes without vectors · k: tokens saved · v_…: the vector of the embedder and the format that the name tells
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import orjson
import zstandard

from workbench.cache.redis_keys import Keys
from workbench.cache.store import Entry, Vector

VectorFormat = Literal["float16", "float32"]

LARGEST_BYTES = 64 * 1024**2
"""No payload is larger: what claims to be is garbage."""

FIELDS = (b"d", b"m", b"c", b"x", b"S", b"o", b"t", b"u", b"p", b"q", b"k")

Fields = Mapping[bytes, bytes]


class Unreadable(ValueError):
    """Not an entry that this version wrote."""


def vector_field(fingerprint: str, dimension: int, kind: VectorFormat) -> str:
    """Which field holds the vectors of an embedder: another one's are never read, and both may live on one entry."""
    return f"{vector_prefix(fingerprint)}{dimension}_{kind}"


def vector_prefix(fingerprint: str) -> str:
    """What the names of all fields with this embedder's vectors begin with."""
    return f"v_{fingerprint[:16] or 'none'}_"


def blob_of(vector: Vector, kind: VectorFormat) -> bytes:
    """Little-endian numbers."""
    return vector.astype("<f2" if kind == "float16" else "<f4").tobytes()


def vector_of(blob: bytes, kind: VectorFormat) -> Vector:
    """The vector in what `blob_of` made, as float32."""
    try:
        return np.frombuffer(blob, "<f2" if kind == "float16" else "<f4").astype(np.float32)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def encode(entry: Entry, tenant: str, keys: Keys, *, fingerprint: str, kind: VectorFormat) -> list[bytes | str]:
    """Fields and values in turn."""
    fields: list[bytes | str] = [
        "d", entry.digest, "m", entry.model, "c", repr(entry.created_s), "x", repr(entry.expires_s),
        "S", entry.scope, "o", entry.outer_scope, "t", entry.text, "u", orjson.dumps(entry.turns),
        "p", zstandard.compress(entry.payload), "n", keys.of(tenant).tag, "O", keys.outer(tenant, entry.outer_scope),
        "z", str(entry.size_bytes - (0 if entry.vector is None else entry.vector.nbytes)), "k", str(entry.tokens),
    ]  # fmt: skip
    if entry.scope:
        fields += ["s", keys.scope(tenant, entry.scope)]
    if entry.pending:
        fields += ["w", "1"]
    if entry.vector is not None:
        fields += [vector_field(fingerprint, entry.vector.size, kind), blob_of(entry.vector, kind)]
    return fields


def decode(fields: Fields, *, fingerprint: str, kind: VectorFormat) -> Entry:
    """The entry; raises `Unreadable`. What only another embedder has read is pending."""
    prefix = vector_prefix(fingerprint).encode()
    ours = [name for name in fields if name.startswith(prefix) and name.endswith(kind.encode())]
    try:
        return Entry(
            digest=fields[b"d"].decode(),
            payload=_decompress(fields[b"p"]),
            model=fields[b"m"].decode(),
            created_s=float(fields[b"c"]),
            expires_s=float(fields[b"x"]),
            scope=fields.get(b"S", b"").decode(),
            outer_scope=fields[b"o"].decode(),
            text=fields[b"t"].decode(),
            turns=tuple(map(str, orjson.loads(fields[b"u"]))),
            vector=vector_of(fields[ours[0]], kind) if ours else None,
            tokens=int(fields.get(b"k", b"0")),
        )
    except (KeyError, TypeError, ValueError, zstandard.ZstdError) as error:
        raise Unreadable(f"not an entry: {error!r}") from error


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Fields and values in turn, as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _decompress(blob: bytes) -> bytes:
    if not 0 <= zstandard.frame_content_size(blob) <= LARGEST_BYTES:
        raise Unreadable("the payload has no plausible size")
    return zstandard.decompress(blob)
