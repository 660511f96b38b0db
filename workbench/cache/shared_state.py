"""One tenant's audit state as this process sees it: read from the store, and written by compare and swap."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from pydantic import ValidationError

from workbench.cache.audit_rules import add_epoch, apply
from workbench.cache.audit_state import MOST_WRITERS, AuditState, Observation, Rules, Seen, Start
from workbench.cache.store import State, Store
from workbench.errors import StoreError

log = logging.getLogger(__name__)

NAME = "audit-1"
"""Where it lies in the store; another form of the state takes another name."""

TRIES = 20
"""How often a write that others forestalled is tried again at once."""


class SharedState:
    """The state of one tenant with this process's own observations in it, and those of others since the last read.

    Own observations go to the store in numbered batches. One that may or may not have arrived (a fault, a
    cancellation) is sent again under its number, and counted once.
    """

    def __init__(
        self,
        store: Store,
        tenant: str,
        *,
        epoch: str,
        rules: Callable[[], Rules],
        start: Start,
        writer: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._epoch = epoch
        self._rules = rules
        self._start = start
        self._writer = writer
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_s: float | None = None
        self._version: int | None = None
        self._batches = 0
        self._is_told = False
        self._sent: list[Observation] = []
        self._waiting: list[Observation] = []
        self.view = self._with_epoch(AuditState())

    @property
    def is_read(self) -> bool:
        """Whether the store was asked at least once."""
        return self._read_s is not None

    def note(self, observation: Observation) -> None:
        """Take it into account here at once, and in the store with the next `write`."""
        last = self._waiting[-1] if self._waiting else None
        if isinstance(observation, Seen) and isinstance(last, Seen) and observation.era == last.era:
            lookups, hits = last.lookups + observation.lookups, last.hits + observation.hits
            self._waiting[-1] = Seen(lookups, hits, observation.era)
        else:
            self._waiting.append(observation)
        apply(self.view, self._epoch, observation, rules=self._rules())

    async def refresh(self, *, max_age_s: float) -> None:
        """Read what others wrote, unless that was done lately or is being done; raises `StoreError`."""
        if self._read_s is not None and (self._clock() - self._read_s < max_age_s or self._lock.locked()):
            return
        async with self._lock:
            asked_s = self._clock()
            held = await self._store.state(self._tenant, NAME)
            if held is None or held.version != self._version:
                state = self._parse(held)
                self._apply_all(state, self._unsent(state))
                self._adopt(state, held.version if held else None)
            self._read_s = asked_s

    async def write(self) -> None:
        """Add the own observations to what others wrote; raises `StoreError`, and keeps them for the next time."""
        async with self._lock:
            if not self._sent and not self._waiting:
                return None
            for _ in range(TRIES):
                held = await self._store.state(self._tenant, NAME)
                state, version = self._parse(held), held.version if held else None
                if not self._take(state):
                    return self._adopt(state, version)
                self._apply_all(state, self._unsent(state))
                self._sign(state)
                value = state.model_dump_json().encode()
                if await self._store.set_state(self._tenant, NAME, value, expected=version):
                    self._sent = []
                    return self._adopt(state, (version or 0) + 1)
        raise StoreError(f"the audit of {self._tenant!r} was written by others {TRIES} times in between; it waits")

    def _parse(self, held: State | None) -> AuditState:
        if held is None:
            return self._with_epoch(AuditState())
        try:
            return self._with_epoch(AuditState.model_validate_json(held.value))
        except ValidationError as error:
            log.error("audit.state_unreadable tenant=%s errors=%d", self._tenant, error.error_count())
            state = AuditState()
            add_epoch(state, self._epoch, start="shadow")  # what was known to be wrong is lost: prove it again
            return state

    def _with_epoch(self, state: AuditState) -> AuditState:
        dropped = add_epoch(state, self._epoch, start=self._start)
        if dropped and not self._is_told:
            self._is_told = True  # once: each read finds it anew until something is written
            modes, cuts = [held.mode for held in dropped], [held.cut for held in dropped]
            log.warning("audit.settings_changed tenant=%s to=shadow from=%s cuts=%s", self._tenant, modes, cuts)
        return state

    def _take(self, state: AuditState) -> bool:
        """Make the next batch when the last one has arrived; False when there is nothing to send."""
        if not self._unsent(state):
            self._sent = []
        if not self._sent and self._waiting:
            self._sent, self._waiting = self._waiting, []
            self._batches += 1
        return bool(self._sent)

    def _unsent(self, state: AuditState) -> list[Observation]:
        return [] if state.writers.get(self._writer, 0) >= self._batches else self._sent

    def _sign(self, state: AuditState) -> None:
        state.writers.pop(self._writer, None)
        state.writers[self._writer] = self._batches
        while len(state.writers) > MOST_WRITERS:
            del state.writers[next(iter(state.writers))]

    def _adopt(self, state: AuditState, version: int | None) -> None:
        self._apply_all(state, self._waiting)
        self.view, self._version = state, version

    def _apply_all(self, state: AuditState, observations: list[Observation]) -> None:
        for observation in observations:
            apply(state, self._epoch, observation, rules=self._rules())
