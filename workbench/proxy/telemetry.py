"""One `Exchange` record a request, and everything that is told from it: metrics, recent list, totals, log line."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Total

from workbench.cache.audit import Standing
from workbench.cache.audit_state import Mode
from workbench.cache.policy import Refuse, Serve
from workbench.cache.question import Question
from workbench.reply import Reply, Usage

log = logging.getLogger(__name__)

Outcome = Literal["exact", "semantic", "miss", "bypass"]

ERROR_CHARACTERS = 500
"""How much of an error's message is kept: it may quote the client."""

SECONDS = (0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


@dataclass(slots=True)
class Content:
    """What an exchange was about, for whoever records it; `session` is the client's own name of its session."""

    question: Question
    session: str = ""
    reply: Reply | None = None


@dataclass(slots=True)
class Exchange:
    """What happened to one request. Stages end so many milliseconds after it arrived.

    No key is in here, and of the prompt at most the two values over which a guard refused (`decision`).
    """

    id: str
    tenant: str
    model: str
    stream: bool
    wants_timing: bool = False
    at_s: float = field(default_factory=time.time)
    started_s: float = field(default_factory=time.perf_counter)
    outcome: Outcome | None = None
    reason: str = ""
    similarity: float | None = None
    entry: str = ""
    candidate: str = ""  # the nearest entry that was refused
    age_s: int | None = None
    thinker: str = ""
    route: str = ""  # why it went there
    queued_ms: float = 0.0  # how long it waited for its turn there
    shared: bool = False
    decision: Serve | Refuse | None = None  # why by meaning, or why not
    scope: str = ""  # of a hit by meaning, and the digest of the question that it answered:
    question_digest: str = ""  # who calls it wrong means these
    status: int = 200
    error: str = ""
    stages_ms: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    content: Content | None = None  # only until it is recorded

    def mark(self, stage: str) -> None:
        """This stage ended now."""
        self.stages_ms[stage] = (time.perf_counter() - self.started_s) * 1e3

    @property
    def headers(self) -> dict[str, str]:
        """The response headers that say what happened."""
        if self.outcome is None:
            return {}
        headers = {"x-cache": self.outcome, "x-cache-reason": self.reason}
        if self.similarity is not None:
            headers["x-cache-similarity"] = f"{self.similarity:.4f}"
        if isinstance(self.decision, Serve | Refuse):
            headers["x-cache-decision"] = self.decision.short
        if self.entry:
            headers["x-cache-entry"] = self.entry
        if self.age_s is not None:
            headers["x-cache-age"] = str(self.age_s)
        if self.thinker:
            headers["x-thinker"] = self.thinker
        if self.wants_timing:
            headers["server-timing"] = self.server_timing
        return headers

    @property
    def server_timing(self) -> str:
        """The stages so far as a ``Server-Timing`` header: how long each took, in milliseconds."""
        ends = list(self.stages_ms.items())
        begins = [0.0, *(end for _, end in ends)]
        return ", ".join(f"{stage};dur={end - begin:.3f}" for (stage, end), begin in zip(ends, begins, strict=False))


class Telemetry:
    """Collects exchanges; everything is per process and starts at zero.

    `on_record` is shown each exchange once it is over, with its content, which is then forgotten.
    """

    def __init__(self, *, keep: int, on_record: Callable[[Exchange], None] | None = None) -> None:
        self._on_record = on_record
        self._recent: deque[Exchange] = deque(maxlen=keep)
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        # shared: another client's call; audit, vouching: what checks of hits, and doubts, asked of Thinkers
        self._usage = {source: Usage() for source in ("thinkers", "memory", "shared", "audit", "vouching")}
        self._audit: Counter[str] = Counter()
        self._vouching: Counter[str] = Counter()
        self._since_s = time.time()
        self.last_work_s: float | None = None  # by time.monotonic(), when memory last did not answer
        self._registry = CollectorRegistry()
        self._requests = Total("workbench_requests", "Requests.", ["outcome", "status"], registry=self._registry)
        self._seconds = Histogram(
            "workbench_request_seconds", "Time to the last byte.", ["outcome"], buckets=SECONDS, registry=self._registry
        )
        self._first_byte = Histogram(
            "workbench_ttfb_seconds", "Time to the first byte.", ["outcome"], buckets=SECONDS, registry=self._registry
        )
        self._tokens = Total(
            "workbench_tokens", "Tokens, by who made them.", ["source", "kind"], registry=self._registry
        )
        self._audit_checks = Total(
            "workbench_audit_checks", "What came of each check.", ["outcome"], registry=self._registry
        )
        self._audit_calls = Total("workbench_audit_calls", "Questions put to Thinkers again.", registry=self._registry)
        self._vouchings = Total(
            "workbench_vouchings", "What Thinkers said in the gray zone.", ["heard"], registry=self._registry
        )
        self._audit_mode = Gauge(
            "workbench_audit_mode", "1 for the mode that the tenant is in.", ["tenant", "mode"], registry=self._registry
        )
        self._audit_rate = Gauge(
            "workbench_audit_rate", "Bounds of the false-hit rate.", ["tenant", "bound"], registry=self._registry
        )
        self._store_faults = Gauge(
            "workbench_store_faults", "What went wrong with the store.", ["kind"], registry=self._registry
        )
        self._gauges = {
            name: Gauge(f"workbench_{name}", about, registry=self._registry)
            for name, about in (
                ("flights", "Upstream calls in the air."),
                ("readers", "Clients that wait for them."),
                ("entries", "Entries stored."),
                ("store_bytes", "Bytes stored."),
                ("store_up", "Whether the store is asked."),
                ("thinkers_up", "Thinkers that answer."),
                ("audit_waiting", "Observations of the audit that wait for their turn."),
            )
        }

    def record(self, exchange: Exchange) -> None:
        """The exchange is over."""
        exchange.mark("total")
        exchange.error = exchange.error[:ERROR_CHARACTERS]
        if self._on_record:
            self._on_record(exchange)
        exchange.content = None
        outcome = exchange.outcome or "refused"
        self._recent.append(exchange)
        is_refused = 400 <= exchange.status < 499  # 499: its client left while it was worked on
        if outcome not in ("exact", "semantic") and not is_refused:
            self.last_work_s = time.monotonic()
        self._outcomes[outcome] += 1
        self._reasons[f"{outcome}: {exchange.reason}" if exchange.reason else outcome] += 1
        self._count_tokens(exchange)
        self._requests.labels(outcome, str(exchange.status)).inc()
        self._seconds.labels(outcome).observe(exchange.stages_ms["total"] / 1e3)
        if "first_byte" in exchange.stages_ms:
            self._first_byte.labels(outcome).observe(exchange.stages_ms["first_byte"] / 1e3)
        log.info(
            "exchange id=%s tenant=%s outcome=%s reason=%s status=%d thinker=%s ms=%.1f error=%r",
            exchange.id,
            exchange.tenant,
            outcome,
            exchange.reason,
            exchange.status,
            exchange.thinker,
            exchange.stages_ms["total"],
            exchange.error,
        )

    def audited(self, outcome: str) -> None:
        """A check is over, or was not made."""
        self._audit[outcome] += 1
        self._audit_checks.labels(outcome).inc()

    def asked_for_audit(self, usage: Usage) -> None:
        """A Thinker answered a question for the audit, at this cost; no client's request is in it."""
        self._audit_calls.inc()
        self._audit["calls"] += 1
        self._spend("audit", usage)

    def judged_for_audit(self, usage: Usage) -> None:
        """A Thinker compared two answers for the audit, at this cost."""
        self._audit["judgements"] += 1
        self._spend("audit", usage)

    def vouched(self, heard: str) -> None:
        """A Thinker was asked whether one answer serves two questions, or was not since too many were."""
        self._vouching[heard] += 1
        self._vouchings.labels(heard).inc()

    def paid_for_vouching(self, usage: Usage) -> None:
        """It answered that, at this cost."""
        self._spend("vouching", usage)

    def _count_tokens(self, exchange: Exchange) -> None:
        is_hit = exchange.outcome in ("exact", "semantic")
        self._spend("shared" if exchange.shared else "memory" if is_hit else "thinkers", exchange.usage)

    def _spend(self, source: str, usage: Usage) -> None:
        self._tokens.labels(source, "input").inc(usage.prompt_tokens)
        self._tokens.labels(source, "output").inc(usage.output_tokens)
        self._usage[source] = _sum(self._usage[source], usage)

    def recent(self, tenant: str, *, limit: int) -> list[dict[str, Any]]:
        """The tenant's latest exchanges, newest first."""
        mine = (exchange for exchange in reversed(self._recent) if exchange.tenant == tenant)
        return [_row(exchange) for exchange, _ in zip(mine, range(limit), strict=False)]

    def served(self, tenant: str, entry: str) -> Exchange | None:
        """The tenant's latest exchange that this entry answered by meaning, of those that are still remembered."""
        return next((it for it in reversed(self._recent) if it.question_digest and _is_of(it, tenant, entry)), None)

    def stats(self) -> dict[str, Any]:
        """Totals since the start: requests by outcome and reason, tokens by who made them."""
        return {
            "since": self._since_s,
            "requests": sum(self._outcomes.values()),
            "outcomes": dict(self._outcomes),
            "reasons": dict(self._reasons.most_common(50)),
            "tokens": {source: asdict(usage) for source, usage in self._usage.items()},
            "audit": dict(self._audit),
            "vouching": dict(self._vouching),
        }

    def metrics(self, standings: Mapping[str, Standing], faults: Mapping[str, int], **gauges: float) -> bytes:
        """Everything in Prometheus' text format.

        `gauges` are read now, and so are the tenants' `standings` and the store's `faults` by kind.
        """
        for kind, count in faults.items():
            self._store_faults.labels(kind).set(count)
        for tenant, standing in standings.items():
            for mode in get_args(Mode):
                self._audit_mode.labels(tenant, mode).set(mode == standing.mode)
            self._audit_rate.labels(tenant, "low").set(standing.low)
            self._audit_rate.labels(tenant, "high").set(standing.high)
        for name, value in gauges.items():
            self._gauges[name].set(value)
        return generate_latest(self._registry)


def _is_of(exchange: Exchange, tenant: str, entry: str) -> bool:
    return (exchange.tenant, exchange.entry) == (tenant, entry)


def _row(exchange: Exchange) -> dict[str, Any]:
    row = asdict(exchange)
    del row["started_s"], row["wants_timing"], row["content"]
    row["stages_ms"] = {stage: round(ms, 3) for stage, ms in exchange.stages_ms.items()}
    return row


def _sum(a: Usage, b: Usage) -> Usage:
    return Usage(
        a.input_tokens + b.input_tokens,
        a.output_tokens + b.output_tokens,
        a.cache_creation_input_tokens + b.cache_creation_input_tokens,
        a.cache_read_input_tokens + b.cache_read_input_tokens,
    )
