"""What each process has running on the machines, and expects of its requests, told to whoever controls them.

All reports are one value in the store, written by compare and swap. Clocks need not agree: a report is of a living
process while the reader, by its own clock, has seen it change within `LAPSES_AFTER_S`.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from workbench.cache.store import Store
from workbench.errors import StoreError
from workbench.fleet.scaling import Load

TENANT = "fleet"
NAME = "reports-1"

EVERY_S = 10.0
LAPSES_AFTER_S = 30.0
FORGOTTEN_AFTER_S = 600.0
LONGEST_WAIT_S = 1e6
"""Stands for an endless wait, which JSON has no word for."""

TRIES = 5
"""How often a write that others forestalled is tried again at once; the next is a second later."""


@dataclass(frozen=True, slots=True)
class Report:
    """One process's: `busy` is requests by node label, `beat` grows with every report."""

    beat: int
    busy: dict[str, int]
    load: Load | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the others told: their requests by node label, and what those that live expect."""

    busy: Mapping[str, int] = field(default_factory=dict)
    loads: tuple[Load, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sight:
    """When this beat was first seen, and whether the process was seen to live: to change its report."""

    beat: int
    at_s: float
    lives: bool


_REPORTS = TypeAdapter(dict[str, Report])


class Reports:
    """One process's view; `holder` names it. `clock` is monotonic seconds."""

    def __init__(self, store: Store, *, holder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._beat = 0
        self._told: tuple[object, float] | None = None
        self._sights: dict[str, _Sight] = {}

    async def tell(self, busy: Mapping[str, int], load: Load | None) -> None:
        """Report this when it is news, and every now and then; raises `StoreError`."""
        now_s = self._clock()
        busy = {label: count for label, count in busy.items() if count}
        news = (frozenset(busy), load is not None and math.isinf(load.wait_s))
        if self._told and self._told[0] == news and now_s - self._told[1] < EVERY_S:
            return
        told = Load(min(load.wait_s, LONGEST_WAIT_S), load.idle_s) if load else None
        for _ in range(TRIES):
            reports, version = await self._read()
            self._see(reports)
            kept = {
                holder: report
                for holder, report in reports.items()
                if holder != self._holder and now_s - self._sights[holder].at_s < FORGOTTEN_AFTER_S
            }
            kept[self._holder] = Report(self._beat + 1, busy, told)
            if await self._store.set_state(TENANT, NAME, _REPORTS.dump_json(kept), expected=version):
                self._beat += 1
                self._told = (news, now_s)
                return

    async def others(self) -> Heard:
        """What all other processes told; raises `StoreError`.

        Requests of a process that may just have died still count; what it wants does not, before it was seen to live.
        """
        now_s = self._clock()
        reports, _ = await self._read()
        self._see(reports)
        busy, loads = Counter[str](), []
        for holder, report in reports.items():
            sight = self._sights[holder]
            age_s = now_s - sight.at_s
            if holder == self._holder or age_s >= LAPSES_AFTER_S:
                continue
            busy.update(report.busy)
            if report.load and sight.lives:
                loads.append(Load(report.load.wait_s, report.load.idle_s + age_s))
        return Heard(busy, tuple(loads))

    def _see(self, reports: Mapping[str, Report]) -> None:
        """Note which reports have changed since the last look."""
        now_s, before = self._clock(), self._sights
        self._sights = {}
        for holder, report in reports.items():
            known = before.get(holder)
            is_same = known is not None and known.beat == report.beat
            self._sights[holder] = known if known and is_same else _Sight(report.beat, now_s, known is not None)

    async def _read(self) -> tuple[dict[str, Report], int | None]:
        found = await self._store.state(TENANT, NAME)
        try:
            return (_REPORTS.validate_json(found.value), found.version) if found else ({}, None)
        except ValidationError:
            raise StoreError("the fleet's reports cannot be read; were they written by a newer version?") from None
