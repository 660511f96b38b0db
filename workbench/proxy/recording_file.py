"""The form of a recording: JSON lines in zstd frames, a header first.

Each frame is whole in itself and is written at once, so that what a crash cuts off is at most the last one; the reader
gives every whole line before the cut. A file of plain JSON lines is read as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ConfigurationError
from workbench.reply import Usage

VERSION = 1
PATTERN = "recording-*.jsonl.zst"
READ_BYTES = 128 * 1024

Prompts = Literal["keep", "redact", "hash"]
"""What is recorded of words: all but secrets; none; none but a keyed hash, which tells equal from different."""

Kept = Literal["no", "exact", "meaning"]
"""Whom a reply may serve: nobody else, the identical request, or also a question that means the same."""


class Header(BaseModel):
    """The first line: what follows, and what was true when it was written."""

    model_config = ConfigDict(frozen=True)

    workbench_recording: Literal[1]
    created_s: float
    prompts: Prompts
    embedder: str
    """The fingerprint of the embedder that the recorded similarities come from; empty without one."""
    key_version: int
    """Of the canonical form that the digests were made of."""


class Recorded(BaseModel):
    """One exchange. Digests, scopes, sessions and hashes are names: equal or not, and nothing else."""

    model_config = ConfigDict(frozen=True)

    id: str
    at_s: float
    tenant: str
    model: str
    digest: str = Field(min_length=16)
    session: str = ""
    scope: str = ""
    outer_scope: str = ""
    text: str | None = None
    """The user's question, where it may be matched by meaning and words are recorded."""
    text_hash: str = ""
    reason: str | None = None
    """Why it may not be matched by meaning."""
    kept: Kept = "no"
    outcome: str = ""
    why: str = ""
    similarity: float | None = None
    status: int = 200
    total_ms: float = 0.0
    first_byte_ms: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    reply_hash: str = ""
    reply: dict[str, Any] | None = None
    """As an entry's payload has it, see `workbench.proxy.payload`."""
    label: str = ""
    """What people may add: questions with one label have one answer."""
    request: dict[str, Any] | None = None
    """The canonical request."""

    @property
    def usage(self) -> Usage:
        """The tokens of the exchange."""
        return Usage(
            self.input_tokens, self.output_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens
        )

    @property
    def is_eligible(self) -> bool:
        """Whether it could have been matched by meaning."""
        return self.reason is None

    @property
    def reply_text(self) -> str | None:
        """The words of the reply, where they were recorded."""
        if self.reply is None:
            return None
        blocks = (fields for name, fields in self.reply.get("content", ()) if name == "text")
        return "\n".join(str(fields.get("text", "")) for fields in blocks)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A place that could not be read."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


Line = Header | Recorded | Damaged


class RecordingFile:
    """A new recording that is being written; its owner alone may read it. Raises `OSError`."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.size_bytes = 0
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self.write(frame([encoded(header)]))

    def write(self, data: bytes) -> None:
        """Append one frame."""
        self._file.write(data)
        self.size_bytes += len(data)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def encoded(line: Header | Recorded) -> bytes:
    """The line as JSON, without what is at its default."""
    return orjson.dumps(line.model_dump(exclude_defaults=True))


def frame(lines: Sequence[bytes]) -> bytes:
    """These lines, compressed, as one frame of a recording."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(b"\n".join(lines) + b"\n")


def write_recording(path: Path, header: Header, exchanges: Iterator[Recorded], *, lines_a_frame: int = 256) -> int:
    """Write a whole recording in one go, for what was recorded elsewhere; gives how many exchanges it holds."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    file, count = RecordingFile(part, header), 0
    try:
        waiting: list[bytes] = []
        for exchange in exchanges:
            waiting.append(encoded(exchange))
            count += 1
            if len(waiting) == lines_a_frame:
                file.write(frame(waiting))
                waiting.clear()
        if waiting:
            file.write(frame(waiting))
    finally:
        file.close()
    part.replace(path)
    return count


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────


def recordings(path: Path) -> list[Path]:
    """The file at `path`, or the recordings in this folder, oldest first; raises `ConfigurationError` without any."""
    found = sorted(path.glob(PATTERN)) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise ConfigurationError(f"there is no recording at {path}: expected a file, or a folder with {PATTERN}")
    return found


def read_recording(path: Path) -> Iterator[Line]:
    """The lines of a recording in order, the header first; what cannot be read is `Damaged`, and the rest goes on.

    Raises `ConfigurationError` when it is no recording, or another version's.
    """
    headed = False
    for number, raw in enumerate(_raw_lines(path), 1):
        where = f"{path.name}, line {number}"
        if isinstance(raw, str):
            yield Damaged(where, raw)
        elif raw and (not headed or raw.startswith(b'{"workbench_recording"')):
            headed = True
            yield _header(raw, path)
        elif raw:
            yield _exchange(raw, where)
    if not headed:
        raise ConfigurationError(f"{path} is no recording: its first line cannot be read")


def _header(raw: bytes, path: Path) -> Header:
    try:
        found = orjson.loads(raw)
        version = found["workbench_recording"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{path} is no recording: its first line has no `workbench_recording`") from None
    if version != VERSION:
        raise ConfigurationError(f"{path} is a recording of version {version!r}, this workbench reads {VERSION}")
    try:
        return Header.model_validate(found)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: the header's {_first(error)}") from None


def _exchange(raw: bytes, where: str) -> Recorded | Damaged:
    try:
        return Recorded.model_validate(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return Damaged(where, f"no JSON, perhaps cut off after {len(raw)} bytes")
    except ValidationError as error:
        return Damaged(where, _first(error))


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}"


def _raw_lines(path: Path) -> Iterator[bytes | str]:
    """Lines without their ends; a text says why nothing more can be read."""
    rest = b""
    try:
        for piece in _pieces(path):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
    except zstandard.ZstdError as error:
        yield f"the rest cannot be unpacked ({error})"
    if rest:
        yield rest


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            is_packed = file.read(4) == zstandard.FRAME_HEADER
            file.seek(0)
            pieces = iter(lambda: file.read(READ_BYTES), b"")
            yield from _unpacked(pieces) if is_packed else pieces
    except OSError as error:
        raise ConfigurationError(f"cannot read the recording {path}: {error.strerror}; check the path") from None


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Frame by frame: what stands before a broken one is given first."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    for piece in pieces:
        while piece:
            if unpacker.eof:
                unpacker = zstandard.ZstdDecompressor().decompressobj()
            yield unpacker.decompress(piece)
            piece = unpacker.unused_data if unpacker.eof else b""
