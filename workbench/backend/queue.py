"""The line before one Thinker: fair between tenants, then between their sessions; warm prompts and batch work apart.

Whose prompt is still in the Thinker's memory may be served out of turn: reading the others first would push it out,
and all would be read anew each time. So that this starves nobody, every few turns belong to who is next in fairness.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, Protocol, TypeVar

from workbench.backend.routing import Origin

BATCH_EVERY = 8
"""While interactive work waits too, every so many grants one goes to batch work, so that it is never starved."""

OUT_OF_TURN = 8
"""So many warm prompts in a row may be read before the one whose turn it is."""

REMEMBERED = 4096
"""Of so many tenants and sessions it is known when they were last served."""

Key = tuple[str, ...]


class Waits(Protocol):
    """Whoever stands in line."""

    @property
    def origin(self) -> Origin:
        """Who it is."""


W = TypeVar("W", bound=Waits)


class Turns:
    """When each tenant and each session was last served, by any Thinker: one for all lines."""

    def __init__(self) -> None:
        self._served: OrderedDict[Key, int] = OrderedDict()
        self._last = 0

    def served(self, origin: Origin) -> None:
        """Now."""
        self._last += 1
        for key in keys_of(origin):
            self._served[key] = self._last
            self._served.move_to_end(key)
        while len(self._served) > REMEMBERED:
            self._served.popitem(last=False)

    def of(self, origin: Origin) -> tuple[int, int]:
        """Of its tenant, and of its session; 0 is never."""
        tenant, session = keys_of(origin)
        return self._served.get(tenant, 0), self._served.get(session, 0)


class Line(Generic[W]):
    """Who waits, and whose turn it is: of the tenants the one served least recently, of its sessions likewise."""

    def __init__(self, turns: Turns, *, is_warm: Callable[[W], bool] = lambda _: False) -> None:
        self._waiting: list[W] = []
        self._turns = turns
        self._is_warm = is_warm
        self._since_batch = 0
        self._out_of_turn = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[W]:
        """About in the order in which they will be served if nobody else comes."""
        warm = [item for item in self._in_turn() if self._is_warm(item)]
        cold = iter([item for item in self._in_turn() if item not in warm])
        first = islice(warm, max(0, OUT_OF_TURN - self._out_of_turn))
        yield from first
        for item in warm[max(0, OUT_OF_TURN - self._out_of_turn) :]:
            yield from islice(cold, 1)
            yield item
        yield from cold

    def join(self, item: W) -> None:
        """Stand at the end."""
        self._waiting.append(item)

    def leave(self, item: W) -> None:
        """Give up, wherever in the line."""
        self._waiting.remove(item)

    def take(self) -> W:
        """Whose turn it is leaves the line, and counts as served."""
        item = self._next()
        self._waiting.remove(item)
        return item

    def served(self, item: W) -> None:
        """This one was served, in line or without waiting."""
        self._turns.served(item.origin)
        self._since_batch = 0 if item.origin.is_batch else self._since_batch + 1

    def _next(self) -> W:
        ordered = self._in_turn()
        tenant = ordered[0].origin.tenant, ordered[0].origin.is_batch
        warm = [it for it in ordered if (it.origin.tenant, it.origin.is_batch) == tenant and self._is_warm(it)]
        if warm and warm[0] is not ordered[0] and self._out_of_turn < OUT_OF_TURN:
            self._out_of_turn += 1
            return warm[0]
        self._out_of_turn = 0
        return ordered[0]

    def _in_turn(self) -> list[W]:
        has_batch = any(item.origin.is_batch for item in self._waiting)
        batch_turn = has_batch and self._since_batch >= BATCH_EVERY - 1
        # Sorting is stable: of equals, who came first.
        return sorted(
            self._waiting, key=lambda item: (item.origin.is_batch != batch_turn, *self._turns.of(item.origin))
        )


def keys_of(origin: Origin) -> tuple[Key, Key]:
    """What its tenant and its session are called here."""
    return (origin.tenant,), (origin.tenant, origin.session, origin.agent)
