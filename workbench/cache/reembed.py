"""A new embedder for what is stored: its vectors are made beside the old ones, which go on serving until the switch.

Every proxy searches its own embedder's vectors only. So nothing changes for those that run while this runs; one
that is started with the new embedder afterwards finds everything embedded. Whoever breaks it off starts it again: what
has its vector is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.cache.seams import AsyncEmbedder
from workbench.cache.store import Entry, Store, Vector, walk

BATCH_TEXTS = 16
"""What the embedder takes at once; a running proxy waits for one such write at most."""

PASSES = 3
"""What was stored while a pass ran is the next one's."""


@dataclass(slots=True)
class Reembedded:
    """What was done: `embedded` got vectors, `known` had theirs, `plain` are not found by meaning at all."""

    embedded: int = 0
    known: int = 0
    plain: int = 0
    waiting: int = 0
    """No embedder has read these, since nobody has asked in their scope again: that stays so."""
    unreadable: int = 0
    """The new embedder cannot read all of these: they stay pending for it, and go on answering with the old one."""

    @property
    def seen(self) -> int:
        """All of them."""
        return self.embedded + self.known + self.plain + self.waiting + self.unreadable


async def reembed(
    old: Store,
    new: Store,
    embedder: AsyncEmbedder,
    *,
    all_pending: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Reembedded:
    """Give every entry with a vector in `old` one in `new`: the same store, opened for the new embedder.

    What is pending in both stays so, but for `all_pending`: most questions are the only ones of their scope for ever.
    Where stores keep each embedder's entries apart, they are copied. Raises `EmbeddingError` and `StoreError`.
    """
    first = await _once(old, new, embedder, all_pending, progress)
    total, last = first, first
    for _ in range(PASSES - 1):
        if not last.embedded:
            break
        last = await _once(old, new, embedder, all_pending, lambda done: None)
        total.embedded += last.embedded
    return total


async def _once(
    old: Store, new: Store, embedder: AsyncEmbedder, all_pending: bool, progress: Callable[[int], None]
) -> Reembedded:
    done = Reembedded()
    waiting: list[tuple[str, Entry]] = []
    async for tenant, entry in walk(old):
        match await _in_new(old, new, tenant, entry):
            case None:
                continue
            case Entry(pending=True) if entry.pending and not all_pending:
                done.waiting += 1
            case Entry(pending=True) as held:
                waiting.append((tenant, held))
            case Entry(vector=None):
                done.plain += 1
            case _:
                done.known += 1
        if len(waiting) == BATCH_TEXTS:
            await _embed(new, embedder, waiting, done)
            waiting = []
        progress(done.seen)
    await _embed(new, embedder, waiting, done)
    progress(done.seen)
    return done


async def _in_new(old: Store, new: Store, tenant: str, entry: Entry) -> Entry | None:
    """The entry as the new embedder has it, copied if need be; None when it was removed meanwhile."""
    held = await new.find(tenant, entry.id)
    if held is not None and held.created_s >= entry.created_s:
        return held
    latest = await old.find(tenant, entry.id)
    if latest is None:
        return None
    held = replace(latest, vector=None)
    await new.put(tenant, held)
    return held


async def _embed(new: Store, embedder: AsyncEmbedder, waiting: list[tuple[str, Entry]], done: Reembedded) -> None:
    if not waiting:
        return
    given = await embedder.embed_all([entry.text for _, entry in waiting])
    by_tenant: dict[str, list[tuple[Entry, Vector]]] = {}
    for (tenant, entry), vector in zip(waiting, given, strict=True):
        if vector is None:
            done.unreadable += 1
        else:
            done.embedded += 1
            by_tenant.setdefault(tenant, []).append((entry, vector))
    for tenant, found in by_tenant.items():
        await new.add_vectors(tenant, found)
