"""What may be answered from memory: the exact tier, then the semantic one.

A fault here is a bypass with a warning, never a failed request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

from workbench.cache.admission import ALL, first_reason, holds_secret
from workbench.cache.audit import Permission
from workbench.cache.choosing import Candidate, Choice, Chooser
from workbench.cache.conversation import Aligner
from workbench.cache.gray import is_doubtful, vouched
from workbench.cache.memory_store import MemoryStore
from workbench.cache.policy import Policy, Refuse, Serve
from workbench.cache.question import Question
from workbench.cache.seams import AsyncEmbedder, AsyncVerifier, Permits, Vouches
from workbench.cache.store import Entry, Neighbour, Store, Vector
from workbench.errors import EmbeddingError, StoreError

log = logging.getLogger(__name__)

Mark = Callable[[str], None]
"""Told the name of each step of a lookup when it ends: exact, embed, search, decide."""

Semantic = Literal["on", "shadow", "off"]
"""Whether questions are matched by meaning; `shadow` observes and never serves."""

Conversations = Literal["strict", "aligned"]
"""How a question with earlier turns is matched by meaning: where these are identical, or turn by turn."""

NEIGHBOURS = 4
"""How many of the nearest are considered: the nearest may be refused by a guard, the next may not."""

PENDING_AT_ONCE = 15
"""How many stored questions are embedded with the one that is asked: together they fill one batch."""

MOST_PENDING = 64
"""Among how many these are chosen where conversations in other words share a scope."""

CHANGES_EVERY_S = 0.5
"""How often the store is asked what other processes changed: half of the promised second."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored reply that answers the question.

    A semantic hit's `decision` says why, and `era` in which of the audit's eras that was.
    """

    entry: Entry
    tier: Literal["exact", "semantic"]
    similarity: float = 1.0
    decision: Serve | None = None
    era: int = 0


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing stored may answer it. `reason` names why not by meaning.

    `candidate` is the nearest entry that was refused, if there was one, `decision` why, and `era` the
    audit's in which that was.
    """

    reason: str
    candidate: Neighbour | None = None
    decision: Serve | Refuse | None = None
    era: int = 0


@dataclass(frozen=True, slots=True)
class Bypass:
    """The cache was not asked, or failed; nothing is stored unless `store` says so."""

    reason: str
    store: bool = False


class SemanticCache:
    """Looks questions up in a store, with a bounded exact tier in memory in front of it.

    Most questions are the only ones of their scope for ever. So the first is stored without a vector, and embedded
    together with the second when that is asked.
    """

    def __init__(
        self,
        store: Store,
        *,
        memory: MemoryStore | None,
        embedder: AsyncEmbedder | None,
        verifier: AsyncVerifier | None = None,
        permits: Permits | None = None,
        voucher: Vouches | None = None,
        policy: Policy,
        conversations: Conversations = "strict",
        admission: Set[str] = ALL,
        ttl_s: float,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.policy = policy
        self._memory = memory
        self._embedder = embedder
        self._verifier = verifier
        self._aligner: Aligner | None = None
        if embedder and conversations == "aligned":
            self._aligner = Aligner(embedder, admission=admission)
        self._permits = permits
        self._voucher = voucher
        self._admission = admission
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._changes_at = 0.0
        self._generation = 0  # counts removals, so that a racing read does not bring a removed entry back

    async def lookup(
        self,
        tenant: str,
        question: Question,
        *,
        semantic: Semantic = "on",
        may_ask: bool = True,
        mark: Mark = lambda _: None,
    ) -> Hit | Miss | Bypass:
        """The stored reply for this question, or why there is none; `mark` hears of each step that was taken.

        Where there are permits, they tell whether shadow mode is over. `may_ask` is whether a Thinker may be asked to
        vouch, where there is one for that.
        """
        found = await self._found(tenant, question, semantic, mark)
        if self._voucher and may_ask and isinstance(found, Miss):
            return await self._vouched(self._voucher, tenant, question, found, semantic, mark)
        return found

    async def _found(self, tenant: str, question: Question, semantic: Semantic, mark: Mark) -> Hit | Miss | Bypass:
        try:
            async with asyncio.timeout(self._timeout_s):
                entry = await self._exact(tenant, question.digest)
                mark("exact")
                return Hit(entry, "exact") if entry else await self._by_meaning(tenant, question, semantic, mark)
        except (StoreError, EmbeddingError, TimeoutError) as error:
            log.warning("cache.lookup_failed error=%r", error)
            return Bypass("cache-fault")

    async def insert(
        self, tenant: str, question: Question, payload: bytes, *, model: str, by_meaning: bool, tokens: int = 0
    ) -> Entry | None:
        """Store a reply that took so many `tokens` to write, to be served by meaning only if `by_meaning`.

        None when the question holds a secret, or the store failed.
        """
        if "secrets" in self._admission and question.text and holds_secret(question.text):
            return None
        now = self._clock()
        meant, vector = False, None
        if by_meaning and self._embedder is not None and question.text is not None and not self._why_not(question):
            meant, vector = True, self._embedder.known(question.text)
        aligner = self._aligned(question) if meant else None
        is_outer = aligner is not None and not aligner.leave_crowd(tenant, question)
        entry = Entry(
            digest=question.digest,
            payload=payload,
            model=model,
            created_s=now,
            expires_s=now + self._ttl_s,
            scope=(question.outer_scope if is_outer else question.scope) if meant else "",
            outer_scope=question.outer_scope if meant else "",
            text=question.text or "",
            turns=question.turns if is_outer else (),  # for nobody else: they may be long, or hold a secret
            vector=vector,
            tokens=tokens,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._put(tenant, entry)
        except (StoreError, TimeoutError) as error:
            log.warning("cache.insert_failed error=%r", error)
            return None
        return entry

    async def _put(self, tenant: str, entry: Entry) -> None:
        try:
            await self.store.put(tenant, entry)
        except BaseException:  # a cancellation too: nobody knows whether it was done, so the old one is served no more
            await self._forget(tenant, entry.id)
            raise
        if self._memory:
            await self._memory.put(tenant, entry)

    async def delete(self, tenant: str, id: str) -> Entry | None:
        """Remove an entry from every tier; raises `StoreError`."""
        try:
            return await self.store.delete(tenant, id)
        finally:  # after an error nobody knows whether it was done
            await self._forget(tenant, id)

    async def discard(self, tenant: str, id: str) -> None:
        """Remove an entry that turned out unreadable; a fault of the store is logged, not raised."""
        try:
            await self.delete(tenant, id)
        except StoreError as error:
            log.warning("cache.discard_failed id=%s error=%r", id, error)

    async def withdraw(self, tenant: str, id: str) -> Entry | None:
        """Serve an entry by meaning no more; raises `StoreError`."""
        try:
            return await self.store.withdraw(tenant, id)
        finally:
            await self._forget(tenant, id)

    async def _exact(self, tenant: str, digest: str) -> Entry | None:
        await self._notice_changes()
        if self._memory is None:
            return await self.store.get(tenant, digest)
        if entry := await self._memory.get(tenant, digest):
            self.store.touch(tenant, digest)
            return entry
        generation = self._generation
        entry = await self.store.get(tenant, digest)
        if entry and generation == self._generation:
            await self._memory.put(tenant, entry)
        return entry

    async def _by_meaning(self, tenant: str, question: Question, semantic: Semantic, mark: Mark) -> Hit | Miss:
        if semantic == "off" or self._embedder is None:
            return Miss("semantic-off")
        reason = self._why_not(question)
        if question.text is None or reason:
            return Miss(reason or "no-user-question")
        aligner = self._aligned(question)
        scopes = [question.scope, question.outer_scope] if aligner else [question.scope]
        scopes = [scope for scope in scopes if self.store.has_scope(tenant, scope)]
        if not scopes:
            return Miss("no-candidate")
        pending = await self._pending(tenant, scopes, question, aligner)
        vector = await self._embed(self._embedder, tenant, question.text, pending)
        mark("embed")
        if vector is None:
            return Miss("unreadable")
        neighbours: list[Neighbour] = []
        for scope in scopes:
            search = partial(self.store.nearest, tenant, scope, vector)
            wide = aligner if scope != question.scope else None
            neighbours += await (
                wide.nearest(tenant, question, search, self._chooser(tenant).gate) if wide else search(k=NEIGHBOURS)
            )
        mark("search")
        if self._permits and neighbours:
            await self._permits.look(tenant)
        candidates = [Candidate(each, self._permission(tenant, question, each, semantic)) for each in neighbours]
        chooser, era = self._chooser(tenant), self._permits.era(tenant) if self._permits else 0
        if aligner:
            choice = await aligner.choose(question, candidates, chooser)
        else:
            choice = await chooser.choose(question.text, candidates)
        mark("decide")
        return _served(choice, era)

    def _aligned(self, question: Question) -> Aligner | None:
        """What matches this question turn by turn; None where its earlier turns must be identical, or it has none."""
        return self._aligner if self._aligner and self._aligner.takes(question) else None

    def _permission(self, tenant: str, question: Question, neighbour: Neighbour, semantic: Semantic) -> Permission:
        if self._permits is None:
            return "serve" if semantic == "on" else "shadow"
        entry = neighbour.entry
        return self._permits.may_serve(tenant, scope=entry.scope, entry_id=entry.id, question_digest=question.digest)

    def _why_not(self, question: Question) -> str | None:
        """Why it may not be matched by meaning."""
        return question.reason or (first_reason(question.text, self._admission) if question.text else None)

    def _chooser(self, tenant: str) -> Chooser:
        """Decides by the tenant's own cut, where there is one."""
        own_cut = self._permits.cut(tenant) if self._permits else None
        return Chooser(self.policy, verifier=self._verifier, own_cut=own_cut)

    async def _vouched(
        self, voucher: Vouches, tenant: str, question: Question, missed: Miss, semantic: Semantic, mark: Mark
    ) -> Hit | Miss:
        """The same, or in doubt what somebody who reads both questions vouches for.

        In shadow mode too: what opens it must be the traffic that is served then.
        """
        neighbour, decision = missed.candidate, missed.decision
        if neighbour is None or not isinstance(decision, Refuse):
            return missed
        if not is_doubtful(decision, is_scored=self.policy.score is not None):
            return missed
        if self._permission(tenant, question, neighbour, semantic) not in ("serve", "shadow"):
            return missed
        is_vouched = await voucher.vouches(question, neighbour.entry.text)
        mark("vouch")
        if not is_vouched:
            return missed
        permission = self._permission(tenant, question, neighbour, semantic)
        return _served(Choice(Candidate(neighbour, permission), vouched(decision)), missed.era)

    async def explain(self, tenant: str, question: str, candidate: str, similarity: float) -> Serve | Refuse:
        """What would be decided of these two; where the store fails, by the cut that was last heard of."""
        if self._permits:
            with _logged("cache.permits_not_read"):
                await self._permits.look(tenant)
        return await self._chooser(tenant).decide(question, candidate, similarity)

    async def _pending(
        self, tenant: str, scopes: Sequence[str], question: Question, aligner: Aligner | None
    ) -> list[Entry]:
        """What is embedded along with a question: the newest pending ones of its scope, or those most like it."""
        found: list[Entry] = []
        with _logged("cache.pending_not_read"):
            for scope in scopes:
                limit = PENDING_AT_ONCE if scope == question.scope else MOST_PENDING
                found += await self.store.pending(tenant, scope, limit=limit)
        return aligner.alike_first(question, found)[:PENDING_AT_ONCE] if aligner else found

    async def _embed(self, embedder: AsyncEmbedder, tenant: str, text: str, pending: Sequence[Entry]) -> Vector | None:
        """The text's vector; on the way, what is pending gets its own.

        A store that can be read and not written, being full or a replica, still answers: what is pending stays so.
        """
        vector, *found = await embedder.embed_all([text, *(entry.text for entry in pending)])
        read = [(entry, given) for entry, given in zip(pending, found, strict=True) if given is not None]
        with _logged("cache.vectors_not_written"):
            if read:
                await self.store.add_vectors(tenant, read)
            for entry, given in zip(pending, found, strict=True):
                if given is None:
                    await self.store.withdraw(tenant, entry.id)  # or it would be tried again each time
        return vector

    async def _forget(self, tenant: str, id: str) -> None:
        self._generation += 1
        if self._memory:
            await self._memory.delete(tenant, id)

    async def _notice_changes(self) -> None:
        now = time.monotonic()
        if now - self._changes_at < CHANGES_EVERY_S:
            return
        self._changes_at = now
        changed = await self.store.changes()
        if changed is None:
            self._generation += 1
            if self._memory:
                self._memory.clear()
            return
        for tenant, digest in changed:
            await self._forget(tenant, digest[:16])


@contextmanager
def _logged(event: str) -> Iterator[None]:
    """A fault of the store is told, and what follows goes on."""
    try:
        yield
    except StoreError as error:
        log.warning("%s error=%r", event, error)


def _served(choice: Choice | None, era: int) -> Hit | Miss:
    if choice is None:
        return Miss("no-candidate")
    neighbour, permission = choice.candidate.neighbour, choice.candidate.permission
    match choice.decision:
        case Serve() as decision if permission == "serve":
            return Hit(neighbour.entry, "semantic", neighbour.similarity, decision, era)
        case Refuse(reason=reason) as decision:
            return Miss(reason, neighbour, decision, era)
        case decision:
            return Miss(permission, neighbour, decision, era)
