"""Finding stop sequences in text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopSequences:
    """Watches a growing text for the first stop sequence to become complete.

    What it finds does not depend on how the text is cut into pieces: the sequence that ends first wins, of those
    that end together the longest. Text that may be the beginning of a sequence is held back.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._held = ""
        self.found: str | None = None
        """The sequence that was found; nothing may be fed after it."""

    def feed(self, piece: str) -> str:
        """Take the next piece; returns the text that is now certain to stand before any stop sequence."""
        if not self._sequences:
            return piece
        text = self._held + piece
        self._held = ""
        ends = [(at + len(seq), -len(seq), seq) for seq in self._sequences if (at := text.find(seq)) >= 0]
        if ends:
            end, minus_length, self.found = min(ends)
            return text[: end + minus_length]
        keep = max(_overlap(text, sequence) for sequence in self._sequences)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def release(self) -> str:
        """The text held back, since no more will follow it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str) -> int:
    """The length of the longest end of `text` that is a proper beginning of `sequence`."""
    start = text.find(sequence[0], max(0, len(text) - len(sequence) + 1))
    while start >= 0:
        if sequence.startswith(text[start:]):
            return len(text) - start
        start = text.find(sequence[0], start + 1)
    return 0
