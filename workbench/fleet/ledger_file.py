"""The ledger's SQLite file: machines, the stretches of their lives, and what they carried. One thread uses it.

Times are whole milliseconds since 1970, traffic whole bytes, rates decimal text: nothing is rounded before it is shown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import cast

from workbench.errors import LedgerError
from workbench.fleet.costing import Cost, Line, Phase, Reconciliation, Time, compared, summed, traffic_usd
from workbench.fleet.ledger_rows import Entry, entry_of, ms_of, rates_of, texts_of
from workbench.fleet.ledger_schema import connect, identity_of, transaction
from workbench.fleet.market import Charge, Rates


class LedgerFile:
    """See `workbench.fleet.ledger.Ledger`, whose methods these are; `clock` tells seconds since 1970."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._opened: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or create the file."""
        self._opened = connect(self._path)

    def close(self) -> None:
        """Let go of the file."""
        db, self._opened = self._opened, None
        if db:
            db.close()

    def identity(self) -> str:
        """The random id of this file; a copy of it has the same."""
        return identity_of(self._db)

    # ── what happens ────────────────────────────────────────────────────────────────────────────────────────

    def intend(self, label: str, *, machine_id: int, rates: Rates, expires_s: float) -> None:
        """A row for a label that is about to be rented; its disk counts from here on."""
        now_ms = self._now_ms()
        with self._writing():
            if self._row(label) is not None:
                raise LedgerError(f"the label {label!r} is in the ledger already: expected a new one for each create")
            self._add(label, machine_id, rates=rates, at_ms=now_ms, expires_ms=ms_of(expires_s), gpu_billed=False)

    def adopt(self, label: str, *, machine_id: int, rates: Rates, since_s: float, expires_s: float) -> None:
        """A row for a label that another ledger has; its GPU counts all the time, since nobody here saw what it did."""
        since_ms = min(ms_of(since_s), self._now_ms())
        with self._writing():
            if self._row(label) is not None:
                return
            self._add(label, machine_id, rates=rates, at_ms=since_ms, expires_ms=ms_of(expires_s), gpu_billed=True)

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
            self.reprice(label, rates=rates_of(row).updated(rates))

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
                "UPDATE machines SET state = 'not_rented', reason = ?, ended_ms = ?"
                " WHERE label = ? AND ended_ms IS NULL",
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
            at_ms = self._end(label, at_ms=now_ms if at_s is None else min(ms_of(at_s), now_ms))
            self._begin(label, phase=phase, gpu_billed=gpu_billed, at_ms=at_ms, rates=rates_of(row))

    def reprice(self, label: str, *, rates: Rates) -> None:
        """New rates from now on."""
        with self._writing() as db:
            row, last = self._known(label), self._open_stretch(label)
            if last is None or rates_of(row) == rates:
                return
            db.execute(
                "UPDATE machines SET gpu = ?, disk = ?, down = ?, up = ? WHERE label = ?", (*texts_of(rates), label)
            )
            at_ms = self._end(label, at_ms=self._now_ms())
            self._begin(label, phase=last["phase"], gpu_billed=bool(last["gpu_billed"]), at_ms=at_ms, rates=rates)

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
                "INSERT INTO traffic (label, phase, at_ms, down_bytes, up_bytes, down, up)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (label, self._phase(label), self._now_ms(), *more, row["down"], row["up"]),
            )

    def destroyed(self, label: str, *, at_s: float | None) -> None:
        """The end of its costs."""
        now_ms = self._now_ms()
        with self._writing() as db:
            self._known(label)
            at_ms = self._end(label, at_ms=now_ms if at_s is None else min(ms_of(at_s), now_ms))
            db.execute(
                "UPDATE machines SET state = 'destroyed', ended_ms = ? WHERE label = ? AND ended_ms IS NULL",
                (at_ms, label),
            )

    # ── what is asked ───────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> tuple[Entry, ...]:
        """What may cost."""
        return self._entries(live_only=True)

    def entries(self) -> tuple[Entry, ...]:
        """Everything."""
        return self._entries(live_only=False)

    def cost(self, *, since_s: float, until_s: float | None) -> Cost:
        """What was spent in a window of time."""
        since_ms, until_ms = ms_of(since_s), self._now_ms() if until_s is None else ms_of(until_s)
        with self._reading():
            lines = [*self._time_lines(since_ms, until_ms), *self._traffic_lines(since_ms, until_ms)]
        return Cost(summed(lines))

    def reconcile(self, charges: Sequence[Charge], *, since_s: float, until_s: float | None) -> Reconciliation:
        """Counted against charged."""
        return compared(self.cost(since_s=since_s, until_s=until_s), charges)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            raise LedgerError(f"the ledger {self._path} is closed: expected it open")
        return self._opened

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._db, "BEGIN IMMEDIATE")

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._db, "BEGIN")

    def _now_ms(self) -> int:
        return ms_of(self._clock())

    def _row(self, label: str) -> sqlite3.Row | None:
        return cast(
            "sqlite3.Row | None", self._db.execute("SELECT * FROM machines WHERE label = ?", (label,)).fetchone()
        )

    def _known(self, label: str) -> sqlite3.Row:
        row = self._row(label)
        if row is None:
            raise LedgerError(f"the ledger does not know {label!r}: expected its intent before anything else")
        return row

    def _open_stretch(self, label: str) -> sqlite3.Row | None:
        rows = self._db.execute("SELECT * FROM stretches WHERE label = ? AND end_ms IS NULL", (label,))
        return cast("sqlite3.Row | None", rows.fetchone())

    def _phase(self, label: str) -> Phase:
        rows = self._db.execute("SELECT phase FROM stretches WHERE label = ? ORDER BY seq DESC LIMIT 1", (label,))
        return cast("Phase", rows.fetchone()[0])

    def _add(self, label: str, machine_id: int, *, rates: Rates, at_ms: int, expires_ms: int, gpu_billed: bool) -> None:
        self._db.execute(
            "INSERT INTO machines (label, machine_id, state, intended_ms, expires_ms, gpu, disk, down, up)"
            " VALUES (?, ?, 'intended', ?, ?, ?, ?, ?, ?)",
            (label, machine_id, at_ms, expires_ms, *texts_of(rates)),
        )
        self._begin(label, phase="booting", gpu_billed=gpu_billed, at_ms=at_ms, rates=rates)

    def _begin(self, label: str, *, phase: Phase, gpu_billed: bool, at_ms: int, rates: Rates) -> None:
        self._db.execute(
            "INSERT INTO stretches (label, phase, gpu_billed, start_ms, gpu, disk) VALUES (?, ?, ?, ?, ?, ?)",
            (label, phase, gpu_billed, at_ms, str(rates.gpu_usd_per_h), str(rates.disk_usd_per_h)),
        )

    def _end(self, label: str, *, at_ms: int) -> int:
        """End the open stretch, not before it began; when it did end."""
        last = self._open_stretch(label)
        if last is None:
            return at_ms
        end_ms = max(at_ms, int(last["start_ms"]))
        self._db.execute("UPDATE stretches SET end_ms = ? WHERE seq = ?", (end_ms, last["seq"]))
        return end_ms

    def _entries(self, *, live_only: bool) -> tuple[Entry, ...]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT machines.*, phase, gpu_billed FROM machines JOIN stretches ON stretches.seq ="
                " (SELECT max(seq) FROM stretches WHERE stretches.label = machines.label)"
                " WHERE ended_ms IS NULL OR NOT ? ORDER BY machines.rowid",
                (live_only,),
            ).fetchall()
        return tuple(entry_of(row) for row in rows)

    def _time_lines(self, since_ms: int, until_ms: int) -> Iterator[Line]:
        # Summed by SQLite, which is exact on integers, and not row by row: a node changes phase thousands of times a
        # day. An open stretch that began in the future, before the clock was set back, has no length yet.
        rows = self._db.execute(
            "SELECT label, instance_id, phase, gpu_billed, stretches.gpu, stretches.disk,"
            " sum(max(min(coalesce(end_ms, :now), :until) - max(start_ms, :since), 0)) AS length_ms"
            " FROM stretches JOIN machines USING (label)"
            " WHERE state <> 'not_rented' AND start_ms < :until AND (end_ms > :since OR end_ms IS NULL)"
            " GROUP BY label, phase, gpu_billed, stretches.gpu, stretches.disk ORDER BY min(seq)",
            {"now": self._now_ms(), "since": since_ms, "until": until_ms},
        )
        for row in rows:
            time = Time(
                row["label"],
                row["instance_id"],
                row["phase"],
                gpu_billed=bool(row["gpu_billed"]),
                length_ms=row["length_ms"],
                gpu_usd_per_h=Decimal(row["gpu"]),
                disk_usd_per_h=Decimal(row["disk"]),
            )
            yield time.line()

    def _traffic_lines(self, since_ms: int, until_ms: int) -> Iterator[Line]:
        rows = self._db.execute(
            "SELECT label, instance_id, phase, sum(down_bytes) AS down_bytes, sum(up_bytes) AS up_bytes,"
            " traffic.down, traffic.up FROM traffic JOIN machines USING (label)"
            " WHERE state <> 'not_rented' AND at_ms >= ? AND at_ms <= ?"  # what is told in this millisecond counts too
            " GROUP BY label, phase, traffic.down, traffic.up ORDER BY min(seq)",
            (since_ms, until_ms),
        )
        for row in rows:
            yield Line(
                row["label"],
                row["instance_id"],
                row["phase"],
                existing_s=0.0,
                running_s=0.0,
                down_bytes=row["down_bytes"],
                up_bytes=row["up_bytes"],
                usd={
                    "down": traffic_usd(row["down_bytes"], usd_per_gb=Decimal(row["down"])),
                    "up": traffic_usd(row["up_bytes"], usd_per_gb=Decimal(row["up"])),
                },
            )
