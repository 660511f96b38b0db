"""A peer's worker for tests: it serves what shares its first word with what is stored, or misbehaves as told."""

from __future__ import annotations

import sys
import time

from benchmarks.peers.workers.answering import Job, main


class Fake:
    """A cache of first words."""

    def __init__(self, job: Job) -> None:
        match job.options["mode"]:
            case "dies":
                sys.exit(3)
            case "hangs":
                time.sleep(600)
            case "chatters":
                print("a library that writes to stdout")
        self._vectors = job.vectors
        self._stored: set[str] = set()

    def clear(self) -> None:
        """Forget."""
        self._stored.clear()

    def put(self, question: str) -> None:
        """Keep its first word."""
        self._stored.add(question.split()[0])

    def get(self, question: str) -> bool:
        """Whether the first word is known."""
        return question.split()[0] in self._stored

    def score(self, question: str) -> float | None:
        """The vector's first number, to see that it came whole; None of what is unknown."""
        return self._vectors[question][0] if self.get(question) else None


if __name__ == "__main__":
    main(Fake, package="pip")
