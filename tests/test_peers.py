"""The comparison with peers, with none of them installed: protocol, processes, environments, tables, reasons."""

from __future__ import annotations

import math
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from benchmarks.children import ROOT
from benchmarks.families import Kind, Pair
from benchmarks.figures import Figure
from benchmarks.peers.asking import body
from benchmarks.peers.caches import Questions, asked_of, figures, oracle_cut, told
from benchmarks.peers.environments import Environment, PeerSkipped, environment, own_environment
from benchmarks.peers.peer import CachePeer, ProxyPeer, Running, Upstreams, answering
from benchmarks.peers.processes import free_port, group
from benchmarks.peers.proxies import Effort, measured
from benchmarks.peers.publishing import publish
from benchmarks.peers.roster import PEERS
from benchmarks.peers.tables import Row, document, markdown, save
from benchmarks.stand_ins.serving import LOOPBACK

RUN: dict[str, Any] = {"machine": {"cpu": "Z80", "cores": 1}, "python": "3.11", "date": "2026-01-01", "commit": "abc"}


def pair(a: str, b: str, kind: Kind) -> Pair:
    return Pair(a, b, kind != "trap", kind, "", a)


PAIRS = [pair("one is", "one more", "near"), pair("one is", "two is", "paraphrase"), pair("three is", "three", "trap")]
TEXTS = ["one is", "one more", "two is", "three is", "three"]
ASKED = Questions(PAIRS, ["one is"], ["one more", "two is"], TEXTS, np.arange(10, dtype=np.float32).reshape(5, 2))


def fake(mode: str) -> CachePeer:
    options: Mapping[str, str] = {"mode": mode}
    return CachePeer("tests.peer_worker", needs=lambda _folder: nullcontext(options))


# ── caches ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["behaves", "chatters"])
def test_a_worker_answers_each_pair_with_only_its_first_text_stored(tmp_path: Path, mode: str) -> None:
    said = asked_of(fake(mode), own_environment(), ASKED, folder=tmp_path)
    assert said.served.tolist() == [True, False, True]
    assert said.scores.tolist() == [2.0, -math.inf, 8.0]
    assert (len(said.get_ms), said.hits, bool(said.version)) == (2, 1, True)
    shares = {figure.name: figure.value for figure in figures(said, PAIRS)}
    assert (shares["near_default"], shares["paraphrase_default"], shares["trap_default"]) == (100, 0, 100)
    assert (shares["near_best"], shares["trap_best"]) == (0, 0)


def test_a_worker_that_dies_is_skipped_with_its_exit_status(tmp_path: Path) -> None:
    with pytest.raises(PeerSkipped, match="ended with 3"):
        asked_of(fake("dies"), own_environment(), ASKED, folder=tmp_path)


def test_a_worker_that_hangs_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(PeerSkipped, match="did not end within 1 s"):
        asked_of(fake("hangs"), own_environment(), ASKED, folder=tmp_path, limit_s=1.0)


@pytest.mark.parametrize("out", [b"", b"not JSON\n", b"{}\n", b"[]\n"])
def test_what_is_no_answer_is_a_reason_to_skip(out: bytes) -> None:
    with pytest.raises(PeerSkipped, match="no answer"):
        told(out, pairs=1)


def test_an_answer_to_other_pairs_is_a_reason_to_skip() -> None:
    said = {"version": "1", "served": [True], "scores": [None], "get_ms": [], "hits": 0, "resident_mib": 1.0}
    with pytest.raises(PeerSkipped, match="answered 1 of 2 pairs"):
        told(orjson.dumps(said), pairs=2)


def test_the_oracles_cut_lets_one_trap_of_a_hundred_pass_and_none_of_fewer() -> None:
    many, few = np.arange(200.0), np.arange(50.0)
    assert np.sum(many > oracle_cut(many, np.full(200, "trap"))) == 1
    assert np.sum(few > oracle_cut(few, np.full(50, "trap"))) == 0
    assert oracle_cut(few, np.full(50, "near")) == math.inf


# ── proxies ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _answers_itself(_environment: Environment, folder: Path, _upstreams: Upstreams) -> Iterator[Running]:
    url = f"http://{LOOPBACK}:{(port := free_port())}"
    command = [sys.executable, "-m", "tests.peer_proxy", str(port)]
    with (
        group(command, folder=folder, environment={"PYTHONPATH": str(ROOT)}) as started,
        answering(started, url, ready="/v1/models", model="stand-in") as running,
    ):
        yield running


def test_a_proxy_is_measured_against_its_upstream_and_hit_without_it(tmp_path: Path) -> None:
    peer = ProxyPeer(_answers_itself, speaks="openai", upstream="openai", remembers=True)
    effort = Effort(rounds=1, latency=8, rate=40, stored=2)
    found = {figure.name: figure for figure in measured(peer, own_environment(), effort, folder=tmp_path)}
    assert list(found) == [
        "miss_added_ttfb", "miss_added_total", "miss_per_s", "hit_p50", "hit_p99", "hit_per_s", "proxy_resident",
    ]  # fmt: skip
    assert all(figure.samples and not figure.failed for figure in found.values())


@contextmanager
def _passes_nothing_on(_environment: Environment, folder: Path, upstreams: Upstreams) -> Iterator[Running]:
    with group(["sleep", "60"], folder=folder) as started:
        yield Running(started, upstreams.openai, "no such model")


def test_a_proxy_that_answers_nothing_is_skipped_with_what_it_said(tmp_path: Path) -> None:
    peer = ProxyPeer(_passes_nothing_on, speaks="openai", upstream="openai", remembers=False)
    with pytest.raises(PeerSkipped, match="status 404"):
        list(measured(peer, own_environment(), Effort(1, 4, 4, 1), folder=tmp_path))


def test_every_api_asks_the_same_question_of_the_same_system() -> None:
    asked = [orjson.loads(body("Why?", dialect, model="m", session=7)) for dialect in ("messages", "openai", "ollama")]
    systems = [asked[0]["system"], asked[1]["messages"][0]["content"], asked[2]["messages"][0]["content"]]
    assert len(set(systems)) == 1
    assert systems[0].endswith("Session 7.")
    assert {each["messages"][-1]["content"] for each in asked} == {"Why?"}
    assert all(each["stream"] and each["model"] == "m" for each in asked)


# ── processes and environments ──────────────────────────────────────────────────────────────────────────────


def test_a_group_ends_with_all_that_it_started_even_what_ignores_the_signal(tmp_path: Path) -> None:
    program = "trap '' TERM; sleep 600 & echo started; wait"
    script = f"import subprocess; subprocess.Popen(['sh', '-c', {program!r}])"  # its leader is gone at once
    with group([sys.executable, "-c", script], folder=tmp_path) as running:
        running.wait(limit_s=20)
        while b"started" not in (tmp_path / "out").read_bytes():
            time.sleep(0.01)
        assert running.resident_mib > 0
    while running.resident_mib:  # a killed process is gone a moment later, or a zombie that holds nothing
        time.sleep(0.01)


def test_a_server_that_ends_before_it_answers_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        group(["sh", "-c", "echo no port >&2; exit 4"], folder=tmp_path) as running,
        pytest.raises(PeerSkipped, match="ended with 4 before it answered"),
    ):
        running.wait_until_answering(f"http://{LOOPBACK}:{free_port()}/", limit_s=20)
    assert "no port" in capsys.readouterr().err


def test_a_program_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(PeerSkipped, match="could not be started"), group(["no-such-program"], folder=tmp_path):
        pass


def test_a_server_that_never_answers_is_skipped(tmp_path: Path) -> None:
    with group(["sleep", "60"], folder=tmp_path) as running, pytest.raises(PeerSkipped, match="within"):
        running.wait_until_answering(f"http://{LOOPBACK}:{free_port()}/", limit_s=0.3)


def wheel(folder: Path) -> Path:
    """A package without anything in it."""
    path, info = folder / "tiny_peer-1.5-py3-none-any.whl", "tiny_peer-1.5.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-peer\nVersion: 1.5\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_an_environment_is_made_once_and_knows_its_versions(tmp_path: Path) -> None:
    requirements = (str(wheel(tmp_path)),)
    made = environment("tiny", requirements, below=tmp_path / "peers")
    assert made.version_of(("tiny-peer==1.5",)) == made.version_of(("tiny-peer[proxy]==1.5",)) == "1.5"
    (tmp_path / "peers" / "tiny" / "kept").touch()
    environment("tiny", requirements, below=tmp_path / "peers")
    assert (tmp_path / "peers" / "tiny" / "kept").exists()


def test_what_cannot_be_installed_is_skipped_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(PeerSkipped, match="could not be installed"):
        environment("none", (str(tmp_path / "none-1-py3-none-any.whl"),), below=tmp_path / "peers")
    assert not (tmp_path / "peers" / "none").exists()


# ── what is written ─────────────────────────────────────────────────────────────────────────────────────────


def row(peer: str, name: str, value: float, **fields: Any) -> Row:
    return Row(peer, "" if peer == "ours" else "9.1", Figure(name, f"about {name}", [value], "ms", 3, **fields))


ROWS = [
    row("ours", "near_default", 77.0),
    row("ours", "hit_p50", 0.5),
    row("ours", "hit_per_s", 1234.0),
    row("Other", "near_default", 100.0),
    row("Other", "hit_p50", 0.25, failed={"proxy status 500": 2}),
    row("Other", "hit_per_s", math.nan),
    Row("Third", skipped="as a proxy: ended with 3 before it answered"),
]


def test_the_tables_show_the_best_in_bold_whoever_it_is() -> None:
    shown = markdown(document(ROWS, RUN, command="python -m benchmarks.peers"))
    lines = shown.splitlines()
    assert [line for line in lines if line.startswith("| ours")] == [
        "| ours | 77 | — | — | — | — | — | — | — |",
        "| ours | 0.5 | — | 1,234 | — | — | — | — |",
    ]
    assert [line for line in lines if line.startswith("| Other 9.1")] == [
        "| Other 9.1 | **100** | — | — | — | — | — | — | — |",
        "| Other 9.1 | **0.25** | — | — | — | — | — | — |",
    ]
    assert "- Third was skipped: as a proxy: ended with 3 before it answered." in lines
    assert "- Other, about hit_p50: not counted were 2 × proxy status 500." in lines
    assert lines[-1] == "`python -m benchmarks.peers` on 1 cores of Z80, Python 3.11, 2026-01-01, commit abc."


def test_a_quick_run_says_that_it_compares_nothing() -> None:
    assert "not how they compare" in markdown(document(ROWS, RUN, command="python -m benchmarks.peers --quick"))


def test_every_row_has_version_date_commit_and_machine(tmp_path: Path) -> None:
    save(document(ROWS, RUN, command=""), tmp_path / "peers.json")
    rows = orjson.loads((tmp_path / "peers.json").read_bytes())["rows"]
    assert all(RUN.items() <= each.items() for each in rows)
    assert [each["version"] for each in rows] == ["abc"] * 3 + ["9.1"] * 3 + [""]


def test_the_readmes_block_is_filled_and_a_readme_without_one_is_left_alone(tmp_path: Path) -> None:
    readme, found = tmp_path / "README.md", document(ROWS, RUN, command="")
    readme.write_text("# Top\n<!-- peers -->\nold\n<!-- /peers -->\nend\n")
    assert publish(found, readme=readme, results=tmp_path / "peers.json")
    assert "| Other 9.1 | **100** |" in readme.read_text()
    assert "old" not in readme.read_text()
    assert ("peers.png" in readme.read_text()) == (tmp_path / "peers.png").exists()
    readme.write_text("# Top\n")
    assert not publish(found, readme=readme, results=tmp_path / "peers.json")


def test_an_unknown_peer_is_refused_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--only", "nobody"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "litellm" in done.stderr


def test_every_peer_but_ours_has_exact_versions() -> None:
    assert [peer.name for peer in PEERS if not peer.requirements] == ["ours"]
    assert [each for peer in PEERS for each in peer.requirements if each.count("==") != 1] == []
