"""Files of JSON lines, compressed with zstd where they say so: read within limits, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import zstandard

from workbench.errors import UnreadableFile

LINE_MAX_BYTES = 64 * 1024**2
"""A longer line is no request and no entry; it may be one that unpacks for ever."""

WINDOW_MAX_BYTES = 128 * 1024**2
"""The most memory that a compressed file may ask for: what `zstd --long` needs by default."""

PIECE_BYTES = 128 * 1024

OWNER_ONLY = 0o600


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line) of each line that is not empty, numbered from 1, without its end.

    A file that was cut off yields what is left of its last line. Raises `UnreadableFile` when it cannot be opened,
    is damaged (after all lines before the damage), or has a line beyond `LINE_MAX_BYTES`.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            for number, line in enumerate(_split(_unpacked(raw)), 1):
                if len(line) > LINE_MAX_BYTES:
                    raise UnreadableFile(f"{path}, line {number}: longer than {LINE_MAX_BYTES // 1024**2} MiB")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from None
    except zstandard.ZstdError as error:
        raise UnreadableFile(f"{path} is damaged after line {number}: {error}") from None


def _unpacked(raw: IO[bytes]) -> Iterator[bytes]:
    """The content, piece by piece, so that all that stands before a damage is had."""
    is_compressed = raw.read(4) == zstandard.FRAME_HEADER
    raw.seek(0)
    if not is_compressed:
        yield from iter(lambda: raw.read(PIECE_BYTES), b"")
        return
    unpacker = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX_BYTES)
    with unpacker.stream_reader(raw, read_across_frames=True, closefd=False) as reader:
        yield from iter(lambda: reader.read1(PIECE_BYTES), b"")


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines; one that is too long comes as soon as that is seen, for the caller to refuse."""
    line = bytearray()
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            yield bytes(line + part).rstrip(b"\r")
            line.clear()
        line += rest
        if len(line) > LINE_MAX_BYTES:
            break
    if line:
        yield bytes(line)


@contextmanager
def written_lines(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yields what appends one line. The file replaces `path` when the block ends well, else nothing is left of it.

    Only its owner may read it. Raises `UnreadableFile` when it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
        try:
            with open(descriptor, "wb") as raw:
                with zstandard.ZstdCompressor(write_checksum=True).stream_writer(raw, closefd=False) as packer:
                    yield lambda line: _append(packer, line)
                os.fsync(descriptor)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be written: {error.strerror or error}") from None


def _append(packer: zstandard.ZstdCompressionWriter, line: bytes) -> None:
    packer.write(line + b"\n")
