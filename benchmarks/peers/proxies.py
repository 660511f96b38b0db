"""Proxies before the same scripted upstream: what each adds to a miss, what a hit takes, how much it carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from benchmarks.children import stand_in
from benchmarks.figures import Figure
from benchmarks.load import Plan, Report, percentile, run
from benchmarks.peers.asking import body, target
from benchmarks.peers.environments import Environment, PeerSkipped
from benchmarks.peers.peer import ProxyPeer, Running, Upstreams

CLIENTS = 16
CHUNKS = 20
OLLAMA_MODEL, OPENAI_MODEL = "stand-in:latest", "stand-in"
HITS = ("exact", "semantic", "hit")
"""What an `x-cache` header says of a hit, in lower case."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds, and requests of each round: by one client for latency, by many for the rate; stored to be hit."""

    rounds: int
    latency: int
    rate: int
    stored: int


WHOLE = Effort(rounds=3, latency=200, rate=800, stored=50)
QUICK = Effort(rounds=1, latency=20, rate=64, stored=8)


@contextmanager
def upstreams(folder: Path) -> Iterator[Upstreams]:
    """The scripted servers, each in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = ("--chunks", str(CHUNKS))
    with stand_in("ollama", *chunks, folder=folder) as ollama, stand_in("openai", *chunks, folder=folder) as openai:
        yield Upstreams(ollama.url, openai.url)


class Measuring:
    """Asks one running proxy and its upstream."""

    def __init__(self, peer: ProxyPeer, running: Running, upstream_url: str, effort: Effort) -> None:
        self._peer = peer
        self._model = running.model
        self._effort = effort
        self._proxy = target("proxy", running.url, peer.speaks)
        self._upstream = target("upstream", upstream_url, peer.upstream)
        self._sessions = count(1)

    def misses(self) -> Iterator[Figure]:
        """What nobody has asked, to the proxy and to its upstream by turns; then as fast as it goes."""
        pairs = [self._by_turns() for _ in range(self._effort.rounds)]
        for what, about in (("ttfb", "added to a miss's first byte, p50"), ("total", "added to a miss, p50")):
            added = [_p50(it, "proxy", what) - _p50(it, "upstream", what) for it in pairs]
            yield Figure(f"miss_added_{what}", about, added, "ms", _samples(pairs), failed=_failed(pairs, hits=False))
        rates = [self._fast(self._new(self._effort.rate)) for _ in range(self._effort.rounds)]
        per_s = [it.per_second for it in rates]
        about = f"misses, {CLIENTS} clients"
        yield Figure("miss_per_s", about, per_s, "requests/s", _samples(rates), failed=_failed(rates, hits=False))

    def store(self) -> list[str]:
        """Ask what will be hit, once."""
        bodies = self._new(self._effort.stored)
        self._ask(bodies, len(bodies))
        return bodies

    def hits(self, stored: Sequence[str]) -> Iterator[Figure]:
        """The same again; nothing stands behind the proxy now, so that whatever is answered is a hit."""
        rounds = [self._ask(stored, self._effort.latency) for _ in range(self._effort.rounds)]
        failed = _failed(rounds, hits=True)
        for percent in (50, 99):
            values = [percentile([each.total_ms for each in it.good("proxy")], percent) for it in rounds]
            yield Figure(f"hit_p{percent}", f"exact hit, p{percent}", values, "ms", _samples(rounds), failed=failed)
        rates = [self._fast(stored) for _ in range(self._effort.rounds)]
        failed = _failed(rates, hits=True)
        per_s = [it.per_second for it in rates]
        yield Figure("hit_per_s", f"exact hits, {CLIENTS} clients", per_s, "requests/s", _samples(rates), failed=failed)

    def _new(self, number: int) -> list[str]:
        """Bodies that nobody has asked, each in a context of its own."""
        asked = zip(range(number), self._sessions, strict=False)
        return [body(QUESTION, self._peer.speaks, model=self._model, session=session) for _, session in asked]

    def _by_turns(self) -> Report:
        number, warmup = self._effort.latency, max(4, self._effort.latency // 10)
        model = OLLAMA_MODEL if self._peer.upstream == "ollama" else OPENAI_MODEL
        direct = body(QUESTION, self._peer.upstream, model=model, session=0)
        bodies = [*self._new(number + warmup), direct]
        order = [turn for place in range(number + warmup) for turn in ((0, place), (1, len(bodies) - 1))]
        return run(Plan([self._proxy, self._upstream], bodies, order, warmup=2 * warmup))

    def _fast(self, bodies: Sequence[str]) -> Report:
        return self._ask(bodies, self._effort.rate, clients=CLIENTS)

    def _ask(self, bodies: Sequence[str], number: int, *, clients: int = 1) -> Report:
        order = [(0, place % len(bodies)) for place in range(number)]
        return run(Plan([self._proxy], list(bodies), order, connections=clients, warmup=min(number // 10, 2 * clients)))


QUESTION = "How do I rotate the access token of a payment gateway in Kotlin?"


def measured(peer: ProxyPeer, environment: Environment, effort: Effort, *, folder: Path) -> Iterator[Figure]:
    """Every figure of one proxy; raises `PeerSkipped` or `ChildFailed`."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as everything, ExitStack() as behind:
        urls = behind.enter_context(upstreams(folder / "upstreams"))
        running = everything.enter_context(peer.start(environment, folder, urls))
        upstream: Literal["ollama", "openai"] = peer.upstream
        measuring = Measuring(peer, running, urls.ollama if upstream == "ollama" else urls.openai, effort)
        yield from _unless_all_failed(measuring.misses())
        if peer.remembers:
            stored = measuring.store()
            behind.close()
            yield from measuring.hits(stored)
        memory = running.group.resident_mib
        yield Figure("proxy_resident", "resident memory of the proxy after that", [memory], "MiB", 1)


def _unless_all_failed(figures: Iterator[Figure]) -> Iterator[Figure]:
    for figure in figures:
        if not figure.samples:
            raise PeerSkipped(f"answered nothing: {dict(list(figure.failed.items())[:3])}")
        yield figure


def _p50(report: Report, name: str, what: str) -> float:
    good = report.good(name)
    return percentile([each.ttfb_ms if what == "ttfb" else each.total_ms for each in good], 50)


def _samples(reports: Sequence[Report]) -> int:
    return sum(len(it.good("proxy")) for it in reports)


def _failed(reports: Sequence[Report], *, hits: bool) -> dict[str, int]:
    """What went wrong: no whole answer, or a header that says the other thing."""
    found: dict[str, int] = {}
    for it in reports:
        for sample in it.samples:
            said = sample.cache.lower()
            what = sample.error or (f"said {said}" if said and sample.status == 200 and (said in HITS) != hits else "")
            if what:
                found[f"{sample.target} {what}"] = found.get(f"{sample.target} {what}", 0) + 1
        if it.unanswered:
            found["unanswered"] = found.get("unanswered", 0) + it.unanswered
    return found
