"""One round of requests against the running servers, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks import children
from benchmarks.children import Child
from benchmarks.load import Plan, Report, Target, percentile, run
from benchmarks.stock import MODEL
from workbench.backend.ollama_messages import chat_call
from workbench.cache.question import question
from workbench.messages import parse_request

PROXY, UPSTREAM = "proxy", "upstream"


@dataclass(frozen=True, slots=True)
class Effort:
    """How often everything is asked: requests a round for latency and for rate, and those before that count."""

    rounds: int
    latency: int
    rate: int
    warmup: int

    @property
    def timed(self) -> int:
        """Requests that ask for the server's own account of the time."""
        return max(1, self.latency // 6)

    @property
    def hits(self) -> int:
        """Requests of one kind, asked by one client, in a whole run."""
        return self.rounds * (self.latency + self.warmup) + self.timed


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one round, and the processor time that the server took a request."""

    report: Report
    server_cpu_ms: float

    def percentile_ms(self, what: str, percent: float, *, cache: str | None = None, direct: bool = False) -> float:
        """Of `ttfb` or `total`; of the whole answers with this outcome."""
        samples = self.report.good(UPSTREAM if direct else PROXY, cache=cache)
        return percentile([sample.ttfb_ms if what == "ttfb" else sample.total_ms for sample in samples], percent)

    def unexpected(self, cache: str) -> dict[str, int]:
        """What happened beside whole answers from upstream, and from the proxy with this outcome."""
        expected = {f"{PROXY} {cache}", f"{UPSTREAM} 200"}
        return {what: count for what, count in self.report.outcomes.items() if what not in expected}

    def stages_ms(self) -> dict[str, float]:
        """The median of each stage of the ``Server-Timing`` headers, in the order of the stages."""
        found: dict[str, list[float]] = {}
        for sample in self.report.samples:
            for part in filter(None, sample.timing.split(", ")):
                stage, _, duration = part.partition(";dur=")
                found.setdefault(stage, []).append(float(duration))
        return {stage: percentile(values, 50) for stage, values in found.items()}


class Measuring:
    """Asks the proxy, the upstream, or both in turn; nothing else runs meanwhile."""

    def __init__(self, server: Child, ollama: Child, folder: Path, effort: Effort) -> None:
        self.server = server
        self.effort = effort
        self._folder = folder
        self._ollama = ollama

    def ask(self, bodies: Iterator[str], count: int, *, clients: int = 1, timing: bool = False) -> Round:
        """The next `count` bodies, after some to warm up."""
        headers = {"x-server-timing": "1"} if timing else {}
        warmup = 0 if timing else self._warmup(clients)
        taken = list(islice(bodies, count + warmup))
        return self._round([self._proxy(headers)], taken, [(0, i) for i in range(len(taken))], clients, warmup)

    def ask_both(self, bodies: Iterator[str], count: int) -> Round:
        """The same requests to the proxy and to its upstream, by turns."""
        warmup = self._warmup(1)
        taken = list(islice(bodies, count + warmup))
        mixed = [text for body in taken for text in (body, chat_body(body))]
        order = [(i % 2, i) for i in range(len(mixed))]
        found = self._round([self._proxy(), self._upstream()], mixed, order, 1, 2 * warmup)
        return Round(found.report, 2 * found.server_cpu_ms)  # only every other request was the proxy's

    def ask_each(self, bodies: Iterator[str], count: int, *, clients: int) -> tuple[Round, Round]:
        """As many requests to the proxy, then to its upstream, as fast as they go."""
        warmup = self._warmup(clients)
        taken = list(islice(bodies, count + warmup))
        order = [(0, i) for i in range(len(taken))]
        proxied = self._round([self._proxy()], taken, order, clients, warmup)
        return proxied, self._round([self._upstream()], [chat_body(body) for body in taken], order, clients, warmup)

    def ceiling(self, bodies: list[str], *, clients: int) -> list[Round]:
        """The same against a server that does nothing."""
        with children.stand_in("fixed", folder=self._folder) as nothing:
            target = Target(PROXY, f"{nothing.url}/v1/messages", contains="message")
            order = [(0, i % len(bodies)) for i in range(5 * self.effort.rate)]
            warmup = self._warmup(clients)
            return [self._round([target], bodies, order, clients, warmup) for _ in range(self.effort.rounds)]

    def _round(
        self, targets: list[Target], bodies: list[str], order: list[tuple[int, int]], clients: int, warmup: int
    ) -> Round:
        before_s = self.server.cpu_s
        report = run(Plan(targets, bodies, order, connections=clients, warmup=warmup))
        return Round(report, (self.server.cpu_s - before_s) * 1e3 / len(order))

    def _warmup(self, clients: int) -> int:
        return max(self.effort.warmup, 2 * clients)

    def _proxy(self, headers: dict[str, str] | None = None) -> Target:
        return Target(PROXY, f"{self.server.url}/v1/messages", contains='"message_stop"', headers=headers or {})

    def _upstream(self) -> Target:
        return Target(UPSTREAM, f"{self._ollama.url}/api/chat", contains='"done":true')


def chat_body(body: str, *, num_ctx: int = 32_768) -> str:
    """What the proxy sends upstream for this request, to a model with so many tokens of context."""
    asked = question(parse_request(body.encode()), model=MODEL.name, model_digest=MODEL.sha256)
    return chat_call(asked.request, model=MODEL.name, num_ctx=num_ctx, keep_alive="30m").body.decode()
