"""Recorded exchanges as a replay wants them: a folder's files in the order of time, without what it never reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ConfigurationError
from workbench.proxy.recording_file import Damaged, Header, Recorded, read_recording, recordings


@dataclass(frozen=True, slots=True)
class Traffic:
    """Recorded exchanges in the order of their time; `notes` say what is doubtful about them."""

    exchanges: list[Recorded]
    notes: tuple[str, ...]

    @property
    def eligible(self) -> int:
        """How many could have been matched by meaning, as far as they were recorded."""
        return sum(exchange.is_eligible and exchange.text is not None for exchange in self.exchanges)

    def __str__(self) -> str:
        sessions = len({exchange.session or exchange.id for exchange in self.exchanges})
        told = f"{len(self.exchanges):,} exchanges of {sessions:,} sessions, {self.eligible:,} could match by meaning"
        return "\n".join([told, *(f"note: {note}" for note in self.notes)])


def read_traffic(path: Path) -> Traffic:
    """The traffic of a recording or a folder of them; raises `ConfigurationError`."""
    headers: list[Header] = []
    exchanges: list[Recorded] = []
    damaged: list[Damaged] = []
    for file in recordings(path):
        for line in read_recording(file):
            match line:
                case Header():
                    headers.append(line)
                case Recorded():
                    exchanges.append(_light(line))
                case Damaged():
                    damaged.append(line)
    if not exchanges:
        raise ConfigurationError(f"{path} holds no exchange; record some first, with WORKBENCH_RECORD=true")
    exchanges.sort(key=lambda exchange: exchange.at_s)
    return Traffic(exchanges, tuple(_notes(headers, exchanges, damaged)))


def _light(exchange: Recorded) -> Recorded:
    """Without what a replay does not look at, which is most of the bytes."""
    keeps = exchange.kept == "meaning" or (exchange.is_eligible and exchange.text is not None)
    return exchange.model_copy(update={"request": None, "reply": exchange.reply if keeps else None})


def _notes(headers: Sequence[Header], exchanges: Sequence[Recorded], damaged: Sequence[Damaged]) -> Iterator[str]:
    if damaged:
        yield f"{len(damaged)} lines could not be read, the first: {damaged[0]}"
    if len(embedders := {header.embedder for header in headers if header.embedder}) > 1:
        yield f"recorded with {len(embedders)} embedders: similarities are worked out anew with one"
    if len(versions := {header.key_version for header in headers}) > 1:
        yield f"recorded with {len(versions)} canonical forms: a request of one never equals that of another"
    if hidden := sum(exchange.is_eligible and exchange.text is None for exchange in exchanges):
        yield f"{hidden:,} questions were recorded without their words: they are replayed in the exact tier only"
