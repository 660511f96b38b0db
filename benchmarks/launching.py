"""What notebook 05 does: start the proxy, look at it, put a question of each kind to it, watch it, stop it."""

from __future__ import annotations

import atexit
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import orjson

from benchmarks import children
from benchmarks.blocking import result_of
from benchmarks.families import DATA, read_families
from benchmarks.figures import ROOT, this_run
from benchmarks.judging import Table
from workbench.cache.findings import Finding
from workbench.cache.policy import Policy, load_policy
from workbench.commands.checks import diagnose

STAND_IN = "stand-in"
TUNED = ROOT / "runs" / "smoke" / "01_tune_threshold" / "policy.json"
TIMEOUT_S = 120.0
REPEATS = (0.45, 0.3)
"""Of the sample traffic: the shares of questions that were asked before, in the same words and in others."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the sample traffic; a trap only looks like one that was asked before."""

    text: str
    is_trap: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A question of one kind, and what came of it."""

    kind: str
    question: str
    expected: tuple[str, ...]
    outcome: str
    reason: str
    total_ms: float

    @property
    def as_expected(self) -> bool:
        """Whether it was answered from where it should be."""
        return self.outcome in self.expected


class Proxy:
    """A running `serve.py`; it ends with `stop`, and with this process at the latest."""

    def __init__(self, stack: ExitStack, child: children.Child, **given: Any) -> None:
        self.url = child.url
        self.given = {**given, "host": "127.0.0.1", "port": int(child.url.rpartition(":")[2])}
        self.ready_s = child.ready_s
        self._stack = stack
        self.pid = child.pid
        self._client = stack.enter_context(httpx2.Client(base_url=child.url, timeout=TIMEOUT_S, trust_env=False))
        atexit.register(self.stop)

    def __repr__(self) -> str:
        return f"the proxy serves on {self.url}"

    def stop(self) -> str:
        """End it and all that was started with it; says so."""
        self._stack.close()
        atexit.unregister(self.stop)
        return f"stopped: {'still there' if Path(f'/proc/{self.pid}').exists() else 'nothing of it is left'}"

    def get(self, path: str) -> Any:
        """The JSON that a route answers."""
        return self._client.get(path).json()

    def ask(self, question: str, *, system: str) -> tuple[httpx2.Response, float]:
        """One question in a conversation of its own; the answer, and how many milliseconds it took."""
        body = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1000,
            "system": system,
            "messages": [{"role": "user", "content": question}],
        }
        began_s = time.perf_counter()
        answer = self._client.post("/v1/messages", json=body)
        return answer, (time.perf_counter() - began_s) * 1e3


# ── start ───────────────────────────────────────────────────────────────────────────────────────────────────


def tuned_policy(named: str = "") -> Policy:
    """The policy of this file; without a name the one that `make notebooks` tuned, else the one that ships."""
    path = policy_file(named)
    return load_policy(path) if path else load_policy()


def policy_file(named: str = "") -> Path | None:
    """Where it is; None: it ships with the workbench."""
    return Path(named) if named else TUNED if TUNED.is_file() else None


def start(*, thinker: str, store: str, policy: str = "", port: int = 0) -> Proxy:
    """`serve.py` as a child; raises `ChildFailed` with its last words.

    `thinker` is `stand-in`, a scripted Ollama that repeats what it is asked, or a Thinker's URL. What the proxy stores
    and logs lies in a folder that is gone when it stops, unless `store` names another place.
    """
    stack = ExitStack()
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="launch-")))
        there = _stand_in(stack, folder) if thinker == STAND_IN else thinker
        path = policy_file(policy)
        options = ["--port", str(port), *(["--policy", str(path.resolve())] if path else [])]
        shared = {"XDG_DATA_HOME": os.environ["XDG_DATA_HOME"]} if "XDG_DATA_HOME" in os.environ else {}
        variables = shared or {"XDG_DATA_HOME": str(Path.home() / ".local" / "share")}  # models are built there once
        child = children.server(folder, thinker=there, store=store, options=options, detached=True, **variables)
        return Proxy(stack, stack.enter_context(child), thinkers=[there], store=store, policy=path)
    except BaseException:
        stack.close()
        raise


def _stand_in(stack: ExitStack, folder: Path) -> str:
    options = ("--first-delay-ms", "60", "--delay-ms", "2")
    return "ollama+" + stack.enter_context(children.stand_in("ollama", *options, folder=folder, detached=True)).url


# ── look ────────────────────────────────────────────────────────────────────────────────────────────────────


def checks(proxy: Proxy) -> list[Finding]:
    """What `python -m workbench doctor` says of everything that this proxy stands on."""
    return result_of(diagnose(**proxy.given))


def check_table(found: Sequence[Finding]) -> Table:
    """One row a check; a notebook is passed on, so the user's own folder is called ~."""
    home = str(Path.home())
    rows = ((each.status, each.check, each.seen.replace(home, "~"), each.remedy) for each in found)
    return Table(("", "", "seen", "what to do"), tuple(rows))


# ── ask ─────────────────────────────────────────────────────────────────────────────────────────────────────


def probe(proxy: Proxy) -> list[Probe]:
    """A miss, the same again, the same in other words, and one that only looks the same."""
    asked = "How do I reverse a list in Python?"
    kinds: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("miss", asked, ("miss",)),
        ("exact", asked, ("exact",)),
        ("semantic", "how can i reverse a list in python", ("semantic",)),
        ("trap", "How do I reverse a list in Python 2?", ("miss",)),
    )
    system = f"A probe of the workbench, {uuid4()}."  # nobody was asked this before
    return [_probe(proxy, kind, question, expected, system) for kind, question, expected in kinds]


def _probe(proxy: Proxy, kind: str, question: str, expected: tuple[str, ...], system: str) -> Probe:
    answer, total_ms = proxy.ask(question, system=system)
    outcome = answer.headers.get("x-cache", f"status {answer.status_code}")
    return Probe(kind, question, expected, outcome, answer.headers.get("x-cache-reason", ""), total_ms)


def probe_table(probes: Sequence[Probe]) -> Table:
    """One row a probe."""
    rows = [
        (each.kind, each.question, each.outcome, each.reason, f"{each.total_ms:.1f}", "✓" if each.as_expected else "✗")
        for each in probes
    ]
    return Table(("kind", "question", "x-cache", "reason", "ms", ""), tuple(rows))


def claude_settings(proxy: Proxy) -> str:
    """The block for Claude Code's settings.json, its window that of the first Thinker's model."""
    variables = {
        "ANTHROPIC_BASE_URL": proxy.url,
        "ANTHROPIC_AUTH_TOKEN": "local",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    models = (model for thinker in proxy.get("/api/thinkers")["data"] for model in thinker["models"])
    if tokens := next((model["context_tokens"] for model in models), None):
        variables |= {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(tokens), "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(tokens // 4)}
    return json.dumps({"env": variables}, indent=2)


# ── watch ───────────────────────────────────────────────────────────────────────────────────────────────────


def sample_traffic(requests: int, *, seed: int) -> Iterator[Asked]:
    """Questions as a small team asks them: some again, some again in other words, some traps, the rest new."""
    chance = random.Random(seed)  # noqa: S311  # reproducible, not secret
    families = read_families([DATA / "train" / "short.jsonl"])
    chance.shuffle(families)
    asked, new = families[:1], iter(families[1:])
    yield Asked(asked[0].text)
    for _ in range(requests - 1):
        draw = chance.random()
        if draw < REPEATS[0]:
            yield Asked(chance.choice(asked).text)
        elif draw < sum(REPEATS):
            family = chance.choice(asked)
            yield chance.choice(
                [*map(Asked, family.near), *(Asked(trap.text, is_trap=True) for trap in family.traps[:1])]
            )
        else:
            asked.append(next(new))
            yield Asked(asked[-1].text)


def outcomes(proxy: Proxy, *, limit: int = 1000) -> list[str]:
    """What came of the latest requests, the oldest first."""
    return [row["outcome"] or "refused" for row in reversed(proxy.get(f"/api/exchanges?limit={limit}")["data"])]


# ── verdict ─────────────────────────────────────────────────────────────────────────────────────────────────


def write(found: Sequence[Finding], probes: Sequence[Probe], seen: Sequence[str], output: str = "") -> Path:
    """Write verdict.json into this folder, `runs/05_launch` when empty."""
    folder = Path(output) if output else ROOT / "runs" / "05_launch"
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "checks": [asdict(each) for each in found],
        "probes": [asdict(each) | {"name": each.kind, "as_expected": each.as_expected} for each in probes],
        "requests": {outcome: seen.count(outcome) for outcome in dict.fromkeys(seen)},
        **this_run(),
    }
    (folder / "verdict.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    return folder
