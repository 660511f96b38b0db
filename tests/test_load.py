"""The load client: its percentiles, its reading of HTTP, and that no failure is hidden."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from benchmarks.histogram import Histogram
from benchmarks.http_client import Answer, MalformedAnswer
from benchmarks.load import Plan, Report, Sample, Target, drive, percentile, run, summary
from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import echo
from benchmarks.stand_ins.serving import LOOPBACK, serve_in_thread
from tests.proxying import proxied

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nX-Cache: exact\r\n"


def sized(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(*pieces: bytes) -> bytes:
    return (
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%X;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        + b"0\r\nx-trailer: 1\r\n\r\n"
    )


class Raw:
    """A server that answers its requests, counted from 0, with these bytes; it hangs up after b"" or half a one."""

    def __init__(self, answer: Callable[[int], bytes | None]) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self._answer = answer

    async def __aenter__(self) -> Target:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return Target("raw", f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}/path", contains="end")

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = LENGTH.search(head)
                assert length
                self.bodies.append(await reader.readexactly(int(length[1])))
                answer = self._answer(len(self.bodies) - 1)
                if answer is None:
                    await reader.read()
                    return
                writer.write(answer)
                if not answer.endswith(b"end") and not answer.endswith(b"\r\n\r\n"):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def asked(server: Raw, *, times: int = 6, connections: int = 1, warmup: int = 0, limit_s: float = 30) -> Report:
    async def ask() -> Report:
        async with server as target:
            requests = [(0, place % 2) for place in range(times)]
            return await drive(Plan([target], ["one", "tüwo"], requests, connections, warmup, limit_s))

    return asyncio.run(ask())


# ── percentiles ─────────────────────────────────────────────────────────────────────────────────────────────


def test_percentiles_of_a_hundred_are_what_their_names_say() -> None:
    values = [float(value) for value in reversed(range(1, 101))]
    assert [percentile(values, percent) for percent in (0, 1, 50, 95, 99, 100)] == [1, 1, 50, 95, 99, 100]


def test_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 50))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    enough = [x for x in values if sum(value <= x for value in values) * 100 >= percent * len(values)]
    assert percentile(values, percent) == min(enough)


# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans(), st.data())
def test_an_answer_is_read_however_it_is_cut(pieces: list[bytes], is_chunked: bool, data: st.DataObject) -> None:
    body = b"".join(pieces)
    raw = chunked(*pieces) if is_chunked else sized(body)
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    answer = Answer()
    whole = [answer.feed(raw[start:end]) for start, end in pairwise(sorted({0, *cuts, len(raw)}))]
    assert whole == [False] * (len(whole) - 1) + [True]
    assert (answer.status, answer.headers["x-cache"], bytes(answer.body)) == (200, "exact", body)
    assert bool(answer.first_s) == bool(body)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
        sized(b"body") + b"more",
    ],
)
def test_what_is_no_answer_of_known_length_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        Answer().feed(raw)


# ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────


def test_sized_and_chunked_answers_share_one_kept_connection() -> None:
    server = Raw(lambda count: chunked(b"some", b" end") if count % 2 else sized(b"the end"))
    report = asked(server)
    assert report.outcomes == {"raw exact": 6}
    assert server.connections == 1
    assert server.bodies == [b"one", "tüwo".encode()] * 3
    assert all(0 < sample.ttfb_ms <= sample.total_ms for sample in report.samples)


def test_each_client_keeps_a_connection_of_its_own() -> None:
    server = Raw(lambda _: sized(b"end"))
    report = asked(server, times=40, connections=4)
    assert (len(report.good("raw", cache="exact")), server.connections) == (40, 4)
    assert report.per_second > 0


def test_a_server_that_hangs_up_is_counted_and_asked_again() -> None:
    server = Raw(lambda count: sized(b"the end")[:-3] if count % 3 == 1 else sized(b"the end"))
    report = asked(server)
    lost = "raw error: ConnectionResetError: closed in the middle of the answer"
    assert report.outcomes == {"raw exact": 4, lost: 2}
    assert len(report.good("raw")) == 4


def test_a_chunked_answer_that_is_cut_is_an_error() -> None:
    report = asked(Raw(lambda _: chunked(b"the end")[:-7]), times=2)
    assert report.outcomes == {"raw error: ConnectionResetError: closed in the middle of the answer": 2}


def test_a_refusal_and_a_body_without_its_end_are_errors() -> None:
    refusal = b"HTTP/1.1 529 \r\ncontent-length: 3\r\n\r\nend"
    report = asked(Raw(lambda count: refusal if count else chunked(b"event: error")), times=2)
    assert report.outcomes == {"raw error: the body lacks 'end'": 1, "raw error: status 529": 1}
    assert report.per_second == 0


def test_nobody_listening_is_an_error_a_request() -> None:
    with serve_in_thread(Response("closed at once")) as url:
        pass
    report = asyncio.run(drive(Plan([Target("gone", url)], [""], [(0, 0)] * 3)))
    assert [sample.error.partition(":")[0] for sample in report.samples] == ["ConnectionRefusedError"] * 3


def test_the_limit_ends_it_and_what_is_missing_is_told() -> None:
    report = asked(Raw(lambda count: sized(b"end") if count < 2 else None), times=5, limit_s=0.3)
    assert report.outcomes == {"raw exact": 2, "unanswered": 3}


def test_answers_that_warm_up_are_left_out() -> None:
    assert asked(Raw(lambda _: sized(b"end")), warmup=4).outcomes == {"raw exact": 2}


def test_two_targets_are_asked_by_turns_on_a_connection_each() -> None:
    ours, theirs = Raw(lambda _: sized(b"our end")), Raw(lambda _: chunked(b"their end"))

    async def ask() -> Report:
        async with ours as one, theirs as other:
            targets = [Target("ours", one.url, contains="our end"), Target("theirs", other.url, contains="their end")]
            return await drive(Plan(targets, ["body"], [(place % 2, 0) for place in range(10)]))

    report = asyncio.run(ask())
    assert [sample.target for sample in report.samples] == ["ours", "theirs"] * 5
    assert (ours.connections, theirs.connections) == (1, 1)


def test_a_process_of_its_own_reports_the_same() -> None:
    headers = {"x-cache": "miss", "server-timing": "parse;dur=0.100"}
    with serve_in_thread(Response("the end", headers=headers)) as url:
        report = run(Plan([Target("asgi", url, "end", {"x-server-timing": "1"})], ["{}"], [(0, 0)] * 20, 2, warmup=4))
    assert report.outcomes == {"asgi miss": 16}
    assert {sample.timing for sample in report.samples} == {"parse;dur=0.100"}


def test_a_rate_counts_whole_answers_from_the_first_start_to_the_last_end() -> None:
    good = [Sample("a", started_s=float(i), first_s=i + 1.5, ended_s=i + 2.0, status=200) for i in range(8)]
    assert Report([*good, Sample("a", 8.0, 10.0, 10.0, error="lost")]).per_second == pytest.approx(0.8)


# ── an open loop ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_that_had_to_wait_for_a_stalled_one_counts_its_wait() -> None:
    server = Raw(lambda _: sized(b"end"))

    async def ask() -> Report:
        async with server as target:
            plan = Plan([target], ["body"], [(0, 0)] * 5, connections=1, rate_per_s=1000)
            return await drive(plan, start_s=time.perf_counter() - 10)  # ten seconds behind from the start

    report = asyncio.run(ask())
    assert report.outcomes == {"raw exact": 5}
    assert all(sample.late_ms > 9_000 and sample.total_ms > sample.late_ms for sample in report.samples)
    gaps_s = [later.started_s - earlier.started_s for earlier, later in pairwise(report.samples)]
    assert gaps_s == [pytest.approx(0.001)] * 4


def test_nothing_of_an_open_loop_is_asked_before_it_is_due() -> None:
    server = Raw(lambda _: sized(b"end"))

    async def ask() -> Report:
        async with server as target:
            return await drive(Plan([target], ["body"], [(0, 0)] * 8, connections=3, rate_per_s=200))

    samples = asyncio.run(ask()).samples
    assert len(samples) == 8
    assert all(sample.sent_s >= sample.started_s for sample in samples)


# ── several processes, and the command ──────────────────────────────────────────────────────────────────────


def test_several_processes_share_the_requests_and_the_rate() -> None:
    with serve_in_thread(Response("the end")) as url:
        plan = Plan([Target("asgi", url, "end")], ["{}"], [(0, 0)] * 21, 4, warmup=4, rate_per_s=1000)
        report = run(plan, processes=2)
    assert report.outcomes == {"asgi 200": 17}
    gaps_s = [later.started_s - earlier.started_s for earlier, later in pairwise(report.samples)]
    assert min(gaps_s) == pytest.approx(0.001, abs=1e-6)


def load(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.load", url, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_tells_times_by_outcome(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(echo(chunks=5)), semantic="off") as address:
        done = load(address, "--requests", "12", "--clients", "2", "--processes", "2", "--distinct")
        told = orjson.loads(done.stdout.splitlines()[-1])
        again = load(address, "--requests", "12", "--distinct", "--no-stream", "--rate", "200")
        repeated = orjson.loads(again.stdout.splitlines()[-1])
    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    assert told["outcomes"] == {"server miss": 12}
    assert told["times"]["miss"].keys() == {"ttfb_ms", "ttft_ms", "inter_token_ms", "total_ms"}
    assert repeated["outcomes"] == {"server exact": 12}
    assert repeated["times"]["exact"].keys() == {"ttfb_ms", "total_ms"}


def test_the_command_fails_when_a_request_does(tmp_path: Path) -> None:
    with serve_in_thread(Response("teapot", status_code=418)) as url:
        done = load(url, "--requests", "2")
    assert done.returncode == 1
    assert orjson.loads(done.stdout.splitlines()[-1])["outcomes"] == {"server error: status 418": 2}
    for options in (["ftp://host"], [url, "--header", "none"], [url, "--bodies", str(tmp_path / "absent")]):
        assert load(*options).returncode == 2


def test_reports_larger_than_a_pipe_come_whole_from_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # then stdout itself writes no more than fits
    with serve_in_thread(Response("the end")) as url:
        report = run(Plan([Target("asgi", url, "end")], ["{}"], [(0, 0)] * 1200, 8), processes=2)
    assert report.outcomes == {"asgi 200": 1200}


# ── histograms ──────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.floats(1e-5, 1e6), min_size=1), st.lists(st.floats(1e-5, 1e6)), st.floats(1, 100))
def test_a_histogram_is_the_percentile_to_a_thousandth(one: list[float], other: list[float], percent: float) -> None:
    both, more = Histogram(one), Histogram(other)
    both.merge(more)
    exact = percentile([*one, *other], percent)
    assert exact <= both.percentile(percent) <= exact * 1.001
    assert len(both) == len(one) + len(other)


def test_a_histogram_tells_only_percentiles_that_it_can() -> None:
    assert Histogram().percentiles() == {}
    assert math.isnan(Histogram().percentile(50))
    assert list(Histogram([1.0] * 20).percentiles()) == ["p50", "p75", "p90", "p95", "max"]
    assert list(Histogram([1.0] * 1000).percentiles())[-2:] == ["p99.9", "max"]


def test_a_summary_keeps_outcomes_apart() -> None:
    fast = Sample("a", 0.0, 0.001, 0.002, status=200, cache="exact")
    told = summary(Report([fast, Sample("a", 0.0, 0.5, 1.0, status=200), Sample("a", 0.0, 9.0, 9.0, error="lost")]))
    assert told["times"]["exact"]["total_ms"]["max"] == 2
    assert told["times"]["200"]["total_ms"]["max"] == 1000
