"""Answers to unrelated questions, for the audit to see whether its judge tells anything apart."""

from __future__ import annotations

from collections import defaultdict, deque

from workbench.cache.audit_check import Match

REMEMBERED, MOST_CHARACTERS = 8, 20_000
"""Of each tenant so many of the last matches are at hand, with stored answers of at most this length."""

UNRELATED = 0.25
"""Two questions that share no larger part of their words are taken for unrelated."""


class Contrasts:
    """The last matches of each tenant that were checked here."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[Match]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def remember(self, match: Match) -> None:
        """Have it at hand, unless its answer is too long."""
        if len(match.stored) <= MOST_CHARACTERS:
            self._seen[match.tenant].append(match)

    def unrelated(self, match: Match) -> Match | None:
        """Of the tenant's other entries the one whose question is the least like this one's, if it is unlike enough."""
        others = [other for other in self._seen[match.tenant] if other.entry_id != match.entry_id]
        least = min(others, key=lambda other: _shared(match.question, other.question), default=None)
        return least if least and _shared(match.question, least.question) <= UNRELATED else None


def _shared(one: str, other: str) -> float:
    """Of the words of both questions, the share that both have."""
    words, others = set(one.casefold().split()), set(other.casefold().split())
    return len(words & others) / max(1, len(words | others))
