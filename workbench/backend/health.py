"""A circuit breaker: whether a Thinker may be asked, from what became of the calls before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

FAILURES = 3
"""So many calls in a row that fail open the circuit; one that finds nobody at the address does at once."""

OPEN_S = 1.0
OPEN_MAX_S = 60.0
"""How long nothing is asked: doubled with each trial that fails."""

SLOW_START_S = 10.0
"""How long a recovered Thinker takes to get its full share again."""

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed: all is well. Open: nothing is asked. Half-open: one trial call decides."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._open_s = OPEN_S
        self._opened_at_s: float | None = None
        self._recovered_at_s: float | None = None
        self._trial = False

    @property
    def state(self) -> State:
        """Open turns half-open by itself, after a while."""
        if self._opened_at_s is None:
            return "closed"
        return "half-open" if self._clock() >= self._opened_at_s + self._open_s else "open"

    @property
    def allows(self) -> bool:
        """Whether a call may be made now."""
        return self.state == "closed" or (self.state == "half-open" and not self._trial)

    @property
    def share(self) -> float:
        """Of its slots, how much to use, in (0, 1]: less than all for a while after it has recovered."""
        if self._opened_at_s is not None:
            return 0.01
        if self._recovered_at_s is None:
            return 1.0
        return min(1.0, max(0.01, (self._clock() - self._recovered_at_s) / SLOW_START_S))

    def asked(self) -> None:
        """A call is made; if it is not closed, that is the trial."""
        self._trial = self._trial or self._opened_at_s is not None

    def unasked(self) -> None:
        """The call was given up by its client: it says nothing."""
        self._trial = False

    def back(self) -> None:
        """It answers again when it is asked how it is: the next call is a trial."""
        if self._opened_at_s is not None:
            self._opened_at_s = self._clock() - self._open_s

    def succeeded(self) -> None:
        """A call was answered, or refused for reasons of its own."""
        if self._opened_at_s is not None:
            self._recovered_at_s = self._clock()
        self._failures, self._open_s, self._opened_at_s, self._trial = 0, OPEN_S, None, False

    def failed(self, *, is_gone: bool = False) -> None:
        """A call failed; `is_gone`: there was nobody to ask."""
        self._failures += 1
        if self._opened_at_s is not None:
            if self._trial or self.state == "half-open":
                self._open_s = min(OPEN_MAX_S, 2 * self._open_s)
                self._opened_at_s = self._clock()
        elif is_gone or self._failures >= FAILURES:
            self._opened_at_s = self._clock()
        self._trial = False
