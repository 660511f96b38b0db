"""What clients ask for → what a Thinker has, by the user's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

AUXILIARY = "auxiliary"
"""The rule of this name is for what a client asks for its own ends (titles, compaction), whatever model it names."""

_WILDCARDS = frozenset("*?[")


class Aliases:
    """Rules ``pattern=model``, the first that fits decides; ``*``, ``?`` and ``[…]`` mean what they mean in a shell."""

    def __init__(self, rules: Mapping[str, str] | None = None) -> None:
        rules = dict(rules or {})
        self.auxiliary_model = rules.pop(AUXILIARY, None)
        """Which model gets auxiliary requests; None: the one that they ask for."""
        self._rules = rules

    def meant(self, requested: str) -> str:
        """The model that a request for this name means; the name itself where no rule fits."""
        return next((model for pattern, model in self._rules.items() if fnmatchcase(requested, pattern)), requested)

    @property
    def names(self) -> dict[str, str]:
        """The aliases that are whole names, and what they mean: those that can be listed."""
        return {name: model for name, model in self._rules.items() if not _WILDCARDS & set(name)}
