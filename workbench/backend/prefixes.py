"""Which prompts a Thinker probably still has in its KV memory: a bounded record of canonical prefixes.

A prompt is known by the chained hashes of its parts (system and tools, then each message), so that two prompts share
exactly the parts whose hashes are equal. A Thinker keeps as many sequences as it has KV slots; the least recently
used makes room.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.canonical import encode
from workbench.messages import Prompt, Wire

BYTES_PER_TOKEN = 4
"""A guess that is good enough here: only ratios of it are compared."""

MISSED_S = 15.0
"""The half-life of a silent session: agents come back within seconds, or later after a person has read."""

ACTIVE_S = 300.0
"""A session that has asked nothing for so long has probably ended."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prompt's parts: `marks` are their chained hashes, `tokens` how long the prompt is with each, ascending."""

    marks: tuple[bytes, ...]
    tokens: tuple[int, ...]

    @property
    def total_tokens(self) -> int:
        """The whole prompt."""
        return self.tokens[-1] if self.tokens else 0


def prefix_of(request: Prompt) -> Prefix:
    """The parts of a canonical request, in the order in which a model reads them."""
    parts: list[list[Wire]] = [[*(request.system or []), *(request.tools or [])]]
    parts += ([message] for message in request.messages)
    marks, tokens, mark, size = [], [], b"", 0
    for part in parts:
        written = encode(part)
        mark = hashlib.blake2b(mark + written, digest_size=8).digest()
        size += len(written)
        marks.append(mark)
        tokens.append(max(1, size // BYTES_PER_TOKEN))
    return Prefix(tuple(marks), tuple(tokens))


@dataclass(frozen=True, slots=True)
class _Held:
    prefix: Prefix
    marks: frozenset[bytes]
    used_s: float


class WarmPrefixes:
    """The sequences that one Thinker has probably warm, by the session that they belong to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def __contains__(self, session: str) -> bool:
        return session in self._held

    @property
    def active(self) -> int:
        """How many sequences belong to sessions that are probably still going on."""
        return sum(self._is_active(held) for held in self._held.values())

    def shared_tokens(self, prefix: Prefix) -> int:
        """How much of this prompt is warm: the longest prefix that it shares with any sequence."""
        best = max((_shared_parts(prefix, held.marks) for held in self._held.values()), default=0)
        return prefix.tokens[best - 1] if best else 0

    def evicted_tokens(self, *, slots: int) -> float:
        """What another session's prompt would push out; 0 while there is room.

        The longer its session has been silent, the less it is likely to be missed.
        """
        if not self._held or len(self._held) < slots:
            return 0.0
        oldest = next(iter(self._held.values()))
        return oldest.prefix.total_tokens * math.exp2((oldest.used_s - self._clock()) / MISSED_S)

    def note(self, session: str, prefix: Prefix, *, slots: int) -> None:
        """This prompt was just read, for this session."""
        self._held[session] = _Held(prefix, frozenset(prefix.marks), self._clock())
        self._held.move_to_end(session)
        while len(self._held) > slots:
            self._held.popitem(last=False)

    def moved(self, session: str) -> None:
        """This session goes on elsewhere: what is held of it here is of use to others only."""
        if held := self._held.get(session):
            self._held[session] = replace(held, used_s=-math.inf)

    def forget(self) -> None:
        """The Thinker has restarted, or unloaded the model."""
        self._held.clear()

    def _is_active(self, held: _Held) -> bool:
        return self._clock() - held.used_s < ACTIVE_S


def _shared_parts(prefix: Prefix, marks: frozenset[bytes]) -> int:
    """A chained hash is shared only if all before it are, so the shared ones come first."""
    return bisect_left(prefix.marks, True, key=lambda mark: mark not in marks)
