"""Entries out of a store into a file, and back into any other: what carries over when a store is changed.

The file holds JSON lines, compressed with zstd: a header, one entry a line, and an end that tells how many there
were, so that a file that was cut off is seen. Digests are plain, whatever a store makes of them, and so are texts: the
file is as private as the store. A question's vector is of use to the embedder alone that made it; for another one
the entry waits to be embedded.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, ValidationError

from workbench.cache.jsonl import read_lines, written_lines
from workbench.cache.store import Entry, Store, Vector, walk
from workbench.errors import UnreadableFile

FORMAT = "self-host-workbench entries"
FORMAT_VERSION = 1

FAULTS_KEPT = 20
"""How many unreadable lines are told one by one."""

UNIT_TOLERANCE = 1e-3

Progress = Callable[[int], None]
"""Called with how many entries are done so far."""


@dataclass(frozen=True, slots=True)
class Space:
    """What makes entries comparable: the embedder that vectors come from, and the version of the digests."""

    fingerprint: str
    dimension: int
    key_version: int


@dataclass(slots=True)
class Imported:
    """What came of an import; `faults` name lines that could not be read (the first ones; `unreadable` counts all)."""

    stored: int = 0
    known: int = 0
    """There already, as new or newer."""
    expired: int = 0
    pending: int = 0
    """Of the stored ones: will be embedded when somebody asks in their scope."""
    unreadable: int = 0
    faults: list[str] = field(default_factory=list)
    is_whole: bool = False
    """Whether the file went on to its end."""

    def fault(self, number: int, seen: str) -> None:
        """Note a line that could not be read."""
        self.unreadable += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"line {number}: {seen}")


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────


def _from_base64(value: object) -> object:
    """Strict, unlike pydantic's own, which passes over what is no base64."""
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


Blob = Annotated[bytes, BeforeValidator(_from_base64)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(max_length=200)]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class Header(BaseModel):
    """The first line."""

    model_config = ConfigDict(frozen=True)

    format: Literal["self-host-workbench entries"]
    version: NonNegativeInt
    key_version: NonNegativeInt
    fingerprint: Name


class End(BaseModel):
    """The last line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    end: NonNegativeInt


class Line(BaseModel):
    """One entry, as it stands in the file."""

    model_config = ConfigDict(frozen=True)  # what a later version adds is no fault

    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    digest: Hex
    model: Name
    created_s: Moment
    expires_s: Moment
    scope: Name = ""
    outer_scope: Name = ""
    text: str = ""
    turns: tuple[str, ...] = ()
    tokens: NonNegativeInt = 0
    vector: Blob | None = None
    payload: Blob

    def entry(self, *, dimension: int | None) -> Entry:
        """With its vector if there is one of this dimension; None leaves vectors out. Raises `ValueError`."""
        fields = self.model_dump(exclude={"tenant", "vector"})
        given = None if self.vector is None or dimension is None else _vector(self.vector, dimension)
        return Entry(**fields, vector=given)


def _vector(blob: bytes, dimension: int) -> Vector:
    if len(blob) != 4 * dimension:
        raise ValueError(f"a vector of {len(blob)} bytes, expected {4 * dimension}")
    vector = np.frombuffer(blob, "<f4").astype(np.float32)
    if not abs(float(np.linalg.norm(vector)) - 1) <= UNIT_TOLERANCE:  # so written that a NaN is refused
        raise ValueError("a vector that has not the length 1")
    return vector


def _line(tenant: str, entry: Entry) -> bytes:
    vector = None if entry.vector is None else base64.b64encode(entry.vector.astype("<f4").tobytes()).decode()
    document = {
        "tenant": tenant,
        "digest": entry.digest,
        "model": entry.model,
        "created_s": entry.created_s,
        "expires_s": entry.expires_s,
        "scope": entry.scope,
        "outer_scope": entry.outer_scope,
        "text": entry.text,
        "turns": entry.turns,
        "tokens": entry.tokens,
        "vector": vector,
        "payload": base64.b64encode(entry.payload).decode(),
    }
    return orjson.dumps(document)


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _no_progress(done: int) -> None:
    """For whoever does not watch."""


async def export_entries(
    store: Store, path: Path, *, space: Space, tenant: str | None = None, progress: Progress = _no_progress
) -> int:
    """Write all entries, or one tenant's, to `path`; returns how many. Reads by pages, so nobody waits for it."""
    header = Header(format=FORMAT, version=FORMAT_VERSION, key_version=space.key_version, fingerprint=space.fingerprint)
    written = 0
    with written_lines(path) as append:
        append(header.model_dump_json().encode())
        async for owner, entry in walk(store):
            if tenant in (None, owner):  # one that a store shows twice is known at its second import
                append(_line(owner, entry))
                written += 1
                progress(written)
        append(End(end=written).model_dump_json().encode())
    return written


# ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def import_entries(
    store: Store,
    path: Path,
    *,
    space: Space,
    tenant: str | None = None,
    clock: Callable[[], float] = time.time,
    progress: Progress = _no_progress,
) -> Imported:
    """Put the file's entries into `store`, each by itself, those of all tenants into `tenant` if one is given.

    What is there already and no older stays as it is, so a second import changes nothing. What can be read is kept,
    however the file goes on. Raises `UnreadableFile` when it is no export or one that would be of no use.
    """
    lines = read_lines(path)
    header = _read_header(path, next(lines, (1, b""))[1], space)
    dimension = space.dimension if header.fingerprint == space.fingerprint else None
    imported, count = Imported(), 0
    try:
        for number, content in lines:
            if (end := _read_end(content)) is not None:
                imported.is_whole = end == count
                break
            count += 1
            try:
                line = Line.model_validate_json(content)
                entry = line.entry(dimension=dimension)
            except ValueError as error:
                imported.fault(number, _seen(error))
            else:
                await _take(store, tenant or line.tenant, entry, imported, now_s=clock())
            progress(count)
    except UnreadableFile as error:
        imported.faults.append(str(error))
    return imported


def _read_header(path: Path, content: bytes, space: Space) -> Header:
    try:
        header = Header.model_validate_json(content)
    except ValidationError:
        raise UnreadableFile(
            f"{path}, line 1: expected the header of an export (`workbench cache export`), saw {content[:60]!r}"
        ) from None
    if header.version > FORMAT_VERSION:
        raise UnreadableFile(
            f"{path}, line 1: format {header.version}, known are up to {FORMAT_VERSION}: import it with the program's "
            "newer version that wrote it"
        )
    if header.key_version != space.key_version:
        raise UnreadableFile(
            f"{path}, line 1: keys of version {header.key_version}, this program makes version {space.key_version}: "
            "no request would find these entries; ask the questions anew with `workbench cache warm`"
        )
    return header


def _read_end(content: bytes) -> int | None:
    if not content.startswith(b'{"end"'):
        return None
    try:
        return End.model_validate_json(content).end
    except ValidationError:
        return None


async def _take(store: Store, tenant: str, entry: Entry, imported: Imported, *, now_s: float) -> None:
    if entry.expires_s <= now_s:
        imported.expired += 1
        return
    held = await store.find(tenant, entry.id)
    if held is None or held.digest != entry.digest or held.created_s < entry.created_s:
        await store.put(tenant, entry)
        imported.stored += 1
        imported.pending += entry.pending
        return
    imported.known += 1
    if entry.vector is not None and held.pending and _same_question(held, entry):
        await store.add_vectors(tenant, [(held, entry.vector)])


def _same_question(held: Entry, entry: Entry) -> bool:
    return (held.scope, held.text) == (entry.scope, entry.text)


def _seen(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
