"""Records exchanges for later replay when the user asked for it: off the event loop, bounded, never at a client's cost.

Secrets are masked whatever was asked. Sessions, digests and scopes are written under names that are keyed with a secret
of the folder (its file ``key``): who gets a recording without it cannot test guesses against them.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from workbench.cache.admission import holds_secret, mask_secrets
from workbench.cache.question import Question
from workbench.canonical import KEY_VERSION
from workbench.canonical import encode as encode_request
from workbench.errors import ConfigurationError, InvalidRequest
from workbench.proxy import payload
from workbench.proxy.recording_file import PATTERN, Header, Kept, Prompts, Recorded, RecordingFile, encoded, frame
from workbench.proxy.telemetry import Content, Exchange
from workbench.reply import Reply

log = logging.getLogger(__name__)

WAITING = 256
"""How many exchanges may wait to be written; what comes then is left out and counted."""
FRAME_BYTES = 2 * 1024 * 1024
"""So many bytes of lines make a frame, or what came …"""
FLUSH_S = 1.0
"""… until nothing more did for so long."""
FILES = 8
"""The limit is shared by so many files: the oldest one makes room."""
MEMO_TEXTS, MEMO_CHARACTERS = 256, 131_072
"""So many texts, none longer, are remembered with their masks: a system prompt and tools come with every request."""
CLOSE_S = 10.0
"""How long the last lines may take to be written when the server stops."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """An exchange as it was when it ended."""

    exchange: Exchange
    content: Content
    outcome: str
    total_ms: float


class Recorder:
    """Writes exchanges into files of a folder. An async context manager; all of its disk work is in one thread.

    `embedder` is the fingerprint of the embedder in use. A disk that fails ends the recording, with a warning; a
    request never hears of it.
    """

    def __init__(self, folder: Path, *, max_bytes: int, prompts: Prompts, embedder: str) -> None:
        self.dropped = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._file_max_bytes = max_bytes // FILES
        self._prompts = prompts
        self._embedder = embedder
        self._queue: queue.Queue[_Taken | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._file: RecordingFile | None = None
        self._key = b""
        self._files = 0
        self._remembered_mask = lru_cache(MEMO_TEXTS)(mask_secrets)

    async def __aenter__(self) -> Recorder:
        """Make the folder ready; raises `ConfigurationError` when nothing can be written there."""
        try:
            await asyncio.to_thread(self._open)
        except OSError as error:
            raise ConfigurationError(f"cannot record into {self._folder}: {error.strerror}; check record_dir") from None
        self._thread.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Write what waits."""
        await asyncio.to_thread(self._stop)
        if self.dropped:
            log.warning("recording.dropped exchanges=%d", self.dropped)

    def take(self, exchange: Exchange) -> None:
        """Record an exchange that has ended; returns at once. One that never became a question is left out."""
        if exchange.content is None or not self._thread.is_alive():
            return
        taken = _Taken(exchange, exchange.content, exchange.outcome or "refused", exchange.stages_ms["total"])
        try:
            self._queue.put_nowait(taken)
        except queue.Full:
            self.dropped += 1

    # ── in the thread ───────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = _key(self._folder / "key")
        self._next_file()

    def _stop(self) -> None:
        if not self._thread.is_alive():  # its disk failed
            return
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:
            log.warning("recording.unfinished: the disk is too slow")
        else:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            self._record()
        except OSError as error:
            log.warning("recording.ended error=%r: nothing more is recorded", error)
        except Exception:
            log.exception("recording.ended: nothing more is recorded")
        finally:
            if self._file:
                self._file.close()

    def _record(self) -> None:
        lines: list[bytes] = []
        pending_bytes, going = 0, True
        while going:
            try:
                taken = self._queue.get(timeout=FLUSH_S if lines else None)
            except queue.Empty:
                is_due = True
            else:
                going = taken is not None
                if taken and (line := self._line(taken)):
                    lines.append(line)
                    pending_bytes += len(line)
                is_due = pending_bytes >= min(FRAME_BYTES, self._file_max_bytes // 2) or not going
            if is_due and lines:
                self._write(frame(lines))
                lines, pending_bytes = [], 0

    def _write(self, data: bytes) -> None:
        if self._file is None or self._file.size_bytes + len(data) > self._file_max_bytes:
            self._next_file()
        assert self._file  # noqa: S101  # just made
        self._file.write(data)

    def _next_file(self) -> None:
        if self._file:
            self._file.close()
        old = sorted(self._folder.glob(PATTERN))
        sizes = [path.stat().st_size for path in old]
        while old and sum(sizes) + self._file_max_bytes > self._max_bytes:
            old.pop(0).unlink(missing_ok=True)
            sizes.pop(0)
        now_s = time.time()
        header = Header(
            workbench_recording=1,
            created_s=now_s,
            prompts=self._prompts,
            embedder=self._embedder,
            key_version=KEY_VERSION,
        )
        self._files += 1
        name = f"recording-{now_s:017.6f}-{os.getpid()}-{self._files}.jsonl.zst"
        self._file = RecordingFile(self._folder / name, header)

    def _line(self, taken: _Taken) -> bytes | None:
        """The exchange as a line; None, and counted, when it is too long or cannot be written as JSON."""
        try:
            line = encoded(self._recorded(taken))
        except (InvalidRequest, TypeError, ValueError, RecursionError) as error:
            log.warning("recording.unwritable id=%s error=%r", taken.exchange.id, type(error).__name__)
            self.dropped += 1
            return None
        if len(line) > self._file_max_bytes // 2:
            self.dropped += 1
            return None
        return line

    def _recorded(self, taken: _Taken) -> Recorded:
        exchange, asked, reply = taken.exchange, taken.content.question, taken.content.reply
        secret = asked.text is not None and holds_secret(asked.text) is not None
        return Recorded(
            id=exchange.id,
            at_s=exchange.at_s,
            tenant=exchange.tenant if self._prompts == "keep" else self._name(exchange.tenant),
            model=exchange.model,
            digest=self._name(asked.digest),
            session=self._name(taken.content.session),
            scope=self._name(asked.scope),
            outer_scope=self._name(asked.outer_scope),
            reason="secrets" if secret else asked.reason,
            kept="no" if secret or reply is None else _kept(reply),
            outcome=taken.outcome,
            why=exchange.reason,
            similarity=exchange.similarity,
            status=exchange.status,
            total_ms=round(taken.total_ms, 3),
            first_byte_ms=exchange.stages_ms.get("first_byte"),
            input_tokens=exchange.usage.input_tokens,
            output_tokens=exchange.usage.output_tokens,
            cache_creation_input_tokens=exchange.usage.cache_creation_input_tokens,
            cache_read_input_tokens=exchange.usage.cache_read_input_tokens,
            **self._words(asked, reply, secret=secret),
        )

    def _words(self, asked: Question, reply: Reply | None, *, secret: bool) -> dict[str, Any]:
        """What is recorded of the words, by what the user asked for."""
        content = orjson.loads(payload.encode(reply)) if reply else None
        said = orjson.dumps(content["content"]).decode() if content else ""
        match self._prompts:
            case "redact":
                return {}
            case "hash":
                return {"text_hash": self._name(asked.text or ""), "reply_hash": self._name(said)}
            case "keep":
                return {
                    "text": None if secret else asked.text,
                    "reply_hash": self._name(said),
                    "reply": masked(content, mask=self._mask),
                    "request": masked(orjson.loads(encode_request(asked.request)), mask=self._mask),
                }

    def _mask(self, text: str) -> str:
        return self._remembered_mask(text) if len(text) <= MEMO_CHARACTERS else mask_secrets(text)

    def _name(self, value: str) -> str:
        """A name for `value` that nobody can reverse; the empty text has none."""
        return hmac.digest(self._key, value.encode("utf-8", "surrogatepass"), "sha256").hex()[:32] if value else ""


def masked(value: Any, *, mask: Callable[[str], str] = mask_secrets) -> Any:
    """JSON without the secrets in its texts."""
    match value:
        case str():
            return mask(value)
        case list():
            return [masked(each, mask=mask) for each in value]
        case dict():
            return {mask(name): masked(each, mask=mask) for name, each in value.items()}
        case _:
            return value


def _kept(reply: Reply) -> Kept:
    if not payload.is_storable(reply):
        return "no"
    return "meaning" if payload.is_servable_by_meaning(reply) else "exact"


def _key(path: Path) -> bytes:
    """The folder's secret, made the first time."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    return path.read_bytes()
