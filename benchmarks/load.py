"""The load client: closed and open loops of keep-alive connections, in processes of their own.

    python -m benchmarks.load http://127.0.0.1:8000 --requests 2000 --clients 16
    python -m benchmarks.load http://127.0.0.1:8000 --rate 50 --requests 500

Closed: each client sends its next request when the last one is answered. Open: requests are due at a fixed rate and
their times count from when they were due, so a server that stalls is charged for everybody who waited (no coordinated
omission). `benchmarks.bench` prints what the client can do at most, beside the figures that it measured.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.children import ROOT, ChildFailed, spawned
from benchmarks.histogram import Histogram
from benchmarks.load_loop import drive
from benchmarks.samples import Plan, Report, Sample, Target, percentile

__all__ = ["Plan", "Report", "Sample", "Target", "drive", "percentile", "run"]

AHEAD_S = 0.05
"""An open loop begins so long after its processes were told to: all of them are there by then."""


def run(plan: Plan, *, processes: int = 1) -> Report:
    """Ask everything in the plan from processes of their own, so that no other work delays their clocks."""
    shares = [_share(plan, number, of=processes) for number in range(processes)]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(spawned(["-m", "benchmarks.load_loop"], cwd=ROOT, stdin=subprocess.PIPE))
            for _ in shares
        ]
        for client, share in zip(clients, shares, strict=True):
            _tell(client, orjson.dumps(share))
        for client in clients:
            assert client.stdout is not None
            client.stdout.readline()  # "ready", or nothing: then its code says why
        start_s = time.perf_counter() + AHEAD_S
        for number, client in enumerate(clients):
            _tell(client, orjson.dumps(start_s + number / plan.rate_per_s if plan.rate_per_s else None))
        reports = [_report(client) for client in clients]
    samples = sorted((sample for report in reports for sample in report.samples), key=lambda sample: sample.started_s)
    return Report(samples, sum(report.unanswered for report in reports))


def _share(plan: Plan, number: int, *, of: int) -> Plan:
    """What one of several processes asks: every `of`-th request."""
    return replace(
        plan,
        requests=plan.requests[number::of],
        connections=max(1, len(range(number, plan.connections, of))),
        warmup=len(range(number, plan.warmup, of)),
        rate_per_s=plan.rate_per_s / of,
    )


def _tell(client: subprocess.Popen[bytes], line: bytes) -> None:
    assert client.stdin is not None
    try:
        client.stdin.write(line + b"\n")
        client.stdin.flush()
    except BrokenPipeError:
        raise ChildFailed(f"the load client ended with {client.wait()}; its words are above") from None


def _report(client: subprocess.Popen[bytes]) -> Report:
    told, _ = client.communicate()
    if client.returncode:
        raise ChildFailed(f"the load client ended with {client.returncode}; its words are above")
    report = orjson.loads(told)
    return Report([Sample(**sample) for sample in report["samples"]], report["unanswered"])


# ── what came, in figures ───────────────────────────────────────────────────────────────────────────────────


def summary(report: Report) -> dict[str, Any]:
    """Rate, failures, and for every outcome the percentiles of each time, in milliseconds."""
    good = [sample for sample in report.samples if not sample.error]
    outcomes = dict.fromkeys(sample.cache or str(sample.status) for sample in good)
    return {
        "requests_per_s": round(report.per_second, 1),
        "outcomes": report.outcomes,
        "late_ms": _rounded(sample.late_ms for sample in good),
        "times": {
            outcome: times([sample for sample in good if outcome == (sample.cache or str(sample.status))])
            for outcome in outcomes
        },
    }


def times(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """The percentiles of the times to the first byte and token, between tokens, and to the end, where there are any."""
    values = {
        "ttfb_ms": [sample.ttfb_ms for sample in samples],
        "ttft_ms": [sample.ttft_ms for sample in samples if sample.ttft_ms is not None],
        "inter_token_ms": [gap for sample in samples for gap in sample.gaps_ms],
        "total_ms": [sample.total_ms for sample in samples],
    }
    return {name: _rounded(each) for name, each in values.items() if each}


def _rounded(values: Any) -> dict[str, float]:
    return {name: round(value, 3) for name, value in Histogram(values).percentiles().items()}


def print_summary(told: dict[str, Any], console: Console) -> None:
    """The same as a table."""
    names = list(dict.fromkeys(name for each in told["times"].values() for row in each.values() for name in row))
    table = Table("outcome", "ms", *names, title=f"{told['requests_per_s']:g} requests/s")
    for outcome, rows in told["times"].items():
        for what, row in rows.items():
            table.add_row(
                outcome, what.removesuffix("_ms"), *(f"{row[name]:g}" if name in row else "" for name in names)
            )
    console.print(table)
    for outcome, count in told["outcomes"].items():
        console.print(f"{outcome}: {count}")


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────


def messages_url(url: str) -> str:
    """The address of the Messages API at this server; raises `BadParameter`."""
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise typer.BadParameter(f"{url!r} is no address, expected http://host:port or https://host/v1/messages")
    return url if address.path.strip("/") else f"{url.rstrip('/')}/v1/messages"


def bodies_of(questions: Sequence[str], *, model: str, max_tokens: int, stream: bool) -> list[str]:
    """One request a question."""
    return [
        orjson.dumps(
            {
                "model": model,
                "max_tokens": max_tokens,
                "stream": stream,
                "messages": [{"role": "user", "content": question}],
            }
        ).decode()
        for question in questions
    ]


def _read_bodies(path: Path, *, stream: bool) -> list[str]:
    try:
        told = [orjson.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]
        return [orjson.dumps(body | {"stream": stream}).decode() for body in told]
    except (OSError, TypeError, orjson.JSONDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}; expected a Messages request as JSON a line") from None


def _headers(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition(":") for each in given]
    if wrong := next((name for name, sign, _ in pairs if not sign), None):
        raise typer.BadParameter(f"{wrong!r} is no header, expected 'name: value'")
    return {"anthropic-version": "2023-06-01"} | {name.strip().lower(): value.strip() for name, _, value in pairs}


def main(
    url: Annotated[str, typer.Argument(help="The server; without a path, /v1/messages.")],
    requests: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second that are due (open loop); 0: closed loop.")] = 0,
    clients: Annotated[int, typer.Option(min=1, help="Connections: how many requests are in the air at most.")] = 16,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    stream: Annotated[bool, typer.Option(help="Ask for streams.")] = True,
    question: Annotated[list[str] | None, typer.Option(help="What is asked, in turn.")] = None,
    distinct: Annotated[bool, typer.Option(help="Number the questions, so that none is asked twice.")] = False,
    bodies: Annotated[Path | None, typer.Option(help="Whole requests instead: JSON lines.")] = None,
    model: Annotated[str, typer.Option(help="The model that is asked for.")] = "claude-sonnet-4-5",
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 256,
    header: Annotated[list[str] | None, typer.Option(help="'name: value', for instance a key.")] = None,
    warmup: Annotated[int, typer.Option(min=0, help="First answers that do not count.")] = 0,
    limit_s: Annotated[float, typer.Option(min=0.1, help="Seconds after which it ends.")] = 600,
) -> None:
    """Ask a Messages server many times and tell how long it took; exits with 1 when anything failed.

    The last line is JSON. Percentiles that so few requests cannot tell from the slowest are left out.
    """
    if bodies:
        asked = _read_bodies(bodies, stream=stream)
    else:
        texts = question or ["What is the capital of France?"]
        turns = range(requests + warmup) if distinct else range(len(texts))
        numbered = [texts[turn % len(texts)] + (f" ({turn + 1})" if distinct else "") for turn in turns]
        asked = bodies_of(numbered, model=model, max_tokens=max_tokens, stream=stream)
    if not asked:
        raise typer.BadParameter(f"{bodies} holds no request")
    whole = "message_stop" if stream else '"stop_reason"'
    target = Target("server", messages_url(url), contains=whole, headers=_headers(header or ()))
    order = [(0, place % len(asked)) for place in range(requests + warmup)]
    plan = Plan([target], asked, order, clients, warmup, limit_s, rate_per_s=rate, tokens=stream)
    report = run(plan, processes=min(processes, clients))
    told = summary(report)
    print_summary(told, Console(width=None if sys.stdout.isatty() else 140))
    print(orjson.dumps(told).decode())
    if report.unanswered or any(sample.error for sample in report.samples):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
