"""Which entries to forget: chosen here, one by one, so that no pattern of anybody's ever reaches a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workbench.cache.store import Entry, Store, walk

SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """What is chosen: entries for which all that is given holds; with nothing given, all.

    `scope` and `model` are compared whole, `scope` also by its first eight characters or more. `created_before_s` is
    in Unix seconds. `pattern` is found anywhere in the question, whatever its case; with a `*`, which stands for
    any characters, it is the whole question.
    """

    tenant: str | None = None
    scope: str | None = None
    model: str | None = None
    created_before_s: float | None = None
    pattern: str | None = None

    def holds(self, tenant: str, entry: Entry) -> bool:
        """Whether this entry is chosen."""
        return (
            self.tenant in (None, tenant)
            and self.model in (None, entry.model)
            and (self.scope is None or _is_scope(entry.scope, self.scope))
            and (self.created_before_s is None or entry.created_s < self.created_before_s)
            and (self.pattern is None or matches(entry.text, self.pattern))
        )


def _is_scope(scope: str, asked: str) -> bool:
    return scope == asked or (len(asked) >= 8 and scope.startswith(asked))


def matches(text: str, pattern: str) -> bool:
    """Whether `pattern` is in the text or, with `*` for any characters, is all of it; whatever the case.

    One pass over the text, whatever the pattern: no expression that could take for ever.
    """
    text, (first, *between) = text.casefold(), pattern.casefold().split("*")
    if not between:
        return first in text
    *between, last = between
    if not (len(text) >= len(first) + len(last) and text.startswith(first) and text.endswith(last)):
        return False
    at, stop = len(first), len(text) - len(last)
    for part in between:
        found = text.find(part, at, stop)
        if found < 0:
            return False
        at = found + len(part)
    return True


@dataclass(slots=True)
class Chosen:
    """What a selection chose: (tenant, id) of each entry, and what they are."""

    ids: list[tuple[str, str]] = field(default_factory=list)
    size_bytes: int = 0
    by_tenant: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)
    """A few of their questions."""

    def add(self, tenant: str, entry: Entry) -> None:
        """Count one more."""
        self.ids.append((tenant, entry.id))
        self.size_bytes += entry.size_bytes
        self.by_tenant[tenant] += 1
        self.by_model[entry.model] += 1
        if entry.text and len(self.samples) < SAMPLES:
            self.samples.append(entry.text)


async def choose(store: Store, selection: Selection) -> Chosen:
    """All entries that are chosen, without touching them."""
    chosen, seen = Chosen(), set()
    async for tenant, entry in walk(store):
        if (tenant, entry.digest) not in seen and selection.holds(tenant, entry):
            seen.add((tenant, entry.digest))
            chosen.add(tenant, entry)
    return chosen


async def purge(
    store: Store, ids: Sequence[tuple[str, str]], *, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Remove these entries; returns how many were still there. Running proxies follow within a second."""
    removed = 0
    for done, (tenant, id) in enumerate(ids, 1):
        removed += await store.delete(tenant, id) is not None
        progress(done)
    return removed
