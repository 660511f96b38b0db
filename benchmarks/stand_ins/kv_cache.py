"""A Thinker's KV memory and its clock, simulated: what reading a prompt costs, and how long an answer takes.

As llama.cpp's and Ollama's slots do it: each holds one sequence, the longest shared prefix is copied, the least
recently used slot makes room. Prompts are read one after the other, answers are written side by side.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second: of reading prompts, all together, and of writing, each answer."""

    prefill_tokens_per_s: float = 2500.0
    decode_tokens_per_s: float = 100.0


class KvCache:
    """So many slots, each with one session's sequence; different sessions share their first `shared_tokens`."""

    def __init__(self, slots: int, *, shared_tokens: int = 0) -> None:
        self.slots = slots
        self._shared_tokens = shared_tokens
        self._held: OrderedDict[str, int] = OrderedDict()

    def cold_tokens(self, session: str, prompt_tokens: int) -> int:
        """What of this prompt would have to be read."""
        own = self._held.get(session, 0)
        shared = self._shared_tokens if self._held else 0
        return max(1, prompt_tokens - max(own, min(shared, prompt_tokens)))

    def pushed_out_by(self, session: str) -> tuple[str, int]:
        """Whose sequence would make room for this session's, and its tokens; nobody's is "" and 0."""
        if session in self._held or len(self._held) < self.slots:
            return "", 0
        return next(iter(self._held.items()))

    def read(self, session: str, prompt_tokens: int) -> int:
        """Read it; how much of it was cold."""
        cold_tokens = self.cold_tokens(session, prompt_tokens)
        self.hold(session, prompt_tokens)
        return cold_tokens

    def hold(self, session: str, tokens: int) -> None:
        """The session's sequence is so long now."""
        self._held[session] = tokens
        self._held.move_to_end(session)
        while len(self._held) > self.slots:
            self._held.popitem(last=False)
