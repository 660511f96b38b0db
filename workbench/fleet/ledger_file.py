"""The ledger's SQLite file: machines, the stretches of their lives, and what they carried. One thread uses it.

Times are whole milliseconds since 1970, traffic whole bytes, rates decimal text: nothing is rounded before it is shown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

from workbench.errors import LedgerError
from workbench.fleet.costing import Cost, Line, Phase, Reconciliation, Stretch, compared, summed, traffic_usd
from workbench.fleet.market import Charge, Rates

State = Literal["intended", "rented", "not_rented", "destroyed"]

APPLICATION_ID = 0x5348574C
VERSION = 1
BUSY_TIMEOUT_S = 5.0
FOREVER_MS = 2**62

_SCHEMA = """
CREATE TABLE machines (
    label TEXT PRIMARY KEY, machine_id INTEGER NOT NULL, instance_id INTEGER, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', intended_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ended_ms INTEGER,
    gpu TEXT NOT NULL, disk TEXT NOT NULL, down TEXT NOT NULL, up TEXT NOT NULL
) STRICT;
CREATE TABLE stretches (
    seq INTEGER PRIMARY KEY, label TEXT NOT NULL REFERENCES machines, phase TEXT NOT NULL, gpu_billed INTEGER NOT NULL,
    start_ms INTEGER NOT NULL, end_ms INTEGER, gpu TEXT NOT NULL, disk TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_stretch ON stretches (label) WHERE end_ms IS NULL;
CREATE TABLE traffic (
    seq INTEGER PRIMARY KEY, label TEXT NOT NULL REFERENCES machines, phase TEXT NOT NULL, at_ms INTEGER NOT NULL,
    down_bytes INTEGER NOT NULL, up_bytes INTEGER NOT NULL, down TEXT NOT NULL, up TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One machine in the ledger. `instance_id` is None until the create is known to have happened.

    `phase` and `gpu_billed` are the latest. Times in seconds since 1970; `ended_s` is None while it may cost.
    """

    label: str
    machine_id: int
    instance_id: int | None
    state: State
    reason: str
    phase: Phase
    gpu_billed: bool
    rates: Rates
    intended_s: float
    expires_s: float
    ended_s: float | None


class LedgerFile:
    """See `workbench.fleet.ledger.Ledger`, whose methods these are; `clock` tells seconds since 1970."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._opened: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or create the file, which its owner alone may read."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.touch(mode=0o600)
            # check_same_thread: the file may be closed by another thread than the one that opened it.
            db = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"the ledger {self._path} cannot be opened: {error}") from error
        try:
            self._prepare(db)
        except BaseException as error:
            db.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise LedgerError(f"the ledger {self._path} is unreadable ({error}); it was left untouched") from error
            raise
        self._opened = db

    def close(self) -> None:
        """Let go of the file."""
        db, self._opened = self._opened, None
        if db:
            db.close()

    # ── what happens ────────────────────────────────────────────────────────────────────────────────────────

    def intend(self, label: str, *, machine_id: int, rates: Rates, expires_s: float) -> None:
        """A row for a label that is about to be rented; its disk counts from here on."""
        now_ms = self._now_ms()
        with self._writing() as db:
            if self._row(label) is not None:
                raise LedgerError(f"the label {label!r} is in the ledger already: expected a new one for each create")
            db.execute(
                "INSERT INTO machines (label, machine_id, state, intended_ms, expires_ms, gpu, disk, down, up)"
                " VALUES (?, ?, 'intended', ?, ?, ?, ?, ?, ?)",
                (label, machine_id, now_ms, _ms(expires_s), *_texts(rates)),
            )
            self._begin(label, phase="booting", gpu_billed=False, at_ms=now_ms, rates=rates)

    def rented(self, label: str, *, instance_id: int, rates: Rates | None) -> None:
        """The instance behind a label."""
        with self._writing() as db:
            row = self._known(label)
            if row["instance_id"] not in (None, instance_id):
                raise LedgerError(
                    f"{label!r} is instance {row['instance_id']} in the ledger, not {instance_id}: destroy the other"
                )
            if row["state"] == "not_rented":
                raise LedgerError(f"{label!r} stands in the ledger as not rented, but is instance {instance_id}")
            db.execute(
                "UPDATE machines SET instance_id = ?, state = 'rented' WHERE label = ? AND state = 'intended'",
                (instance_id, label),
            )
        if rates is not None:
            self.reprice(label, rates=rates)

    def not_rented(self, label: str, *, reason: str) -> None:
        """Nothing came of the intent, and it cost nothing."""
        now_ms = self._now_ms()
        with self._writing() as db:
            row = self._known(label)
            if row["instance_id"] is not None:
                raise LedgerError(
                    f"{label!r} is instance {row['instance_id']} in the ledger: expected its destroy, not {reason!r}"
                )
            db.execute(
                "UPDATE machines SET state = 'not_rented', reason = ?, ended_ms = ? WHERE label = ? AND ended_ms IS NULL",
                (reason, now_ms, label),
            )
            self._end(label, at_ms=now_ms)

    def observe(self, label: str, *, phase: Phase, gpu_billed: bool, at_s: float | None) -> None:
        """A new stretch, where it differs from the one before."""
        now_ms = self._now_ms()
        with self._writing():
            row, last = self._known(label), self._open_stretch(label)
            if last is None or (last["phase"], bool(last["gpu_billed"])) == (phase, gpu_billed):
                return
            at_ms = self._end(label, at_ms=now_ms if at_s is None else min(_ms(at_s), now_ms))
            self._begin(label, phase=phase, gpu_billed=gpu_billed, at_ms=at_ms, rates=_rates(row))

    def reprice(self, label: str, *, rates: Rates) -> None:
        """New rates from now on."""
        with self._writing() as db:
            row, last = self._known(label), self._open_stretch(label)
            if last is None or _rates(row) == rates:
                return
            db.execute(
                "UPDATE machines SET gpu = ?, disk = ?, down = ?, up = ? WHERE label = ?", (*_texts(rates), label)
            )
            at_ms = self._end(label, at_ms=self._now_ms())
            self._begin(
                label, phase=last["phase"], gpu_billed=bool(last["gpu_billed"]), at_ms=at_ms, rates=rates
            )

    def traffic(self, label: str, *, down_bytes: int, up_bytes: int) -> None:
        """What was carried since it was last told."""
        with self._writing() as db:
            row = self._known(label)
            told = db.execute(
                "SELECT coalesce(sum(down_bytes), 0), coalesce(sum(up_bytes), 0) FROM traffic WHERE label = ?", (label,)
            ).fetchone()
            more = (max(down_bytes - told[0], 0), max(up_bytes - told[1], 0))
            if not any(more):
                return
            db.execute(
                "INSERT INTO traffic (label, phase, at_ms, down_bytes, up_bytes, down, up) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (label, self._phase(label), self._now_ms(), *more, row["down"], row["up"]),
            )

    def destroyed(self, label: str, *, at_s: float | None) -> None:
        """The end of its costs."""
        now_ms = self._now_ms()
        with self._writing() as db:
            self._known(label)
            at_ms = self._end(label, at_ms=now_ms if at_s is None else min(_ms(at_s), now_ms))
            db.execute(
                "UPDATE machines SET state = 'destroyed', ended_ms = ? WHERE label = ? AND ended_ms IS NULL",
                (at_ms, label),
            )

    # ── what is asked ───────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> tuple[Entry, ...]:
        """What may cost."""
        return self._entries("WHERE ended_ms IS NULL")

    def entries(self) -> tuple[Entry, ...]:
        """Everything."""
        return self._entries("")

    def cost(self, *, since_s: float, until_s: float | None) -> Cost:
        """What was spent in a window of time."""
        since_ms, until_ms = _ms(since_s), self._now_ms() if until_s is None else _ms(until_s)
        with self._reading():
            lines = [*self._stretch_lines(since_ms, until_ms), *self._traffic_lines(since_ms, until_ms)]
        return Cost(summed(lines))

    def reconcile(self, charges: Sequence[Charge], *, since_s: float, until_s: float | None) -> Reconciliation:
        """Counted against charged."""
        return compared(self.cost(since_s=since_s, until_s=until_s), charges)
