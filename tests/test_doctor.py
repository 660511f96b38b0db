"""`python -m workbench doctor`: every part is looked at, and what is wrong has a remedy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.serving import listen
from tests.proxying import proxy
from tests.tiny_bert import tiny_source
from workbench.__main__ import cli
from workbench.cache.findings import Finding
from workbench.cache.model_folder import write_bert_folder
from workbench.commands.checks import diagnose


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store and a free port of the test's own; no semantic tier, which takes a second to load."""
    with listen() as free:
        port = free.getsockname()[1]
    given = {"STORE": f"sqlite:///{tmp_path / 'cache.sqlite'}", "PORT": str(port), "THINKERS": "embedded:"}
    for name, value in (given | {"SEMANTIC": "off"}).items():
        monkeypatch.setenv(f"WORKBENCH_{name}", value)
    monkeypatch.chdir(tmp_path)


def found(check: str) -> Finding:
    """The first finding of this part."""
    return next(finding for finding in asyncio.run(diagnose()) if finding.check == check)


def doctor(*arguments: str) -> Any:
    """What typer's runner says of `workbench doctor`."""
    return CliRunner().invoke(cli, ["doctor", *arguments])


def test_each_finding_is_one_line_and_only_a_failure_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    good = doctor()
    assert good.exit_code == 0, good.stdout
    assert {line.split()[0] for line in good.stdout.splitlines()} <= {"ok", "warn"}
    monkeypatch.setenv("WORKBENCH_STORE", "redis:nonsense")
    bad = doctor()
    assert bad.exit_code == 1
    assert any(line.startswith("fail  store") and " → " in line for line in bad.stdout.splitlines())


def test_programs_get_findings_as_json() -> None:
    told = json.loads(doctor("--json").stdout)
    assert {"settings", "keys", "data", "store", "thinker", "proxy", "claude"} <= {one["check"] for one in told}
    assert all(one.keys() == {"check", "status", "seen", "remedy"} for one in told)


def test_a_redis_that_is_not_there_is_a_failure_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_STORE", "redis://ann:secret@127.0.0.1:1")
    finding = found("store")
    assert finding.status == "fail"
    assert "cannot be reached" in finding.seen
    assert "secret" not in finding.seen + finding.remedy


def test_a_running_proxy_and_its_thinker_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ollama_running(StandInOllama()) as url, proxy(tmp_path, thinkers=[f"ollama+{url}"], semantic="off") as address:
        monkeypatch.setenv("WORKBENCH_PORT", address.rpartition(":")[2])
        monkeypatch.setenv("WORKBENCH_THINKERS", f"ollama+{url},ollama+http://127.0.0.1:1")
        findings = asyncio.run(diagnose())
        thinkers = [finding for finding in findings if finding.check == "thinker"]
        assert [finding.status for finding in thinkers] == ["ok", "warn"]
        assert next(finding for finding in findings if finding.check == "proxy").status == "ok"
    monkeypatch.setenv("WORKBENCH_THINKERS", "ollama+http://127.0.0.1:1")
    assert found("thinker").status == "fail"
    assert found("proxy").status == "warn"


def test_something_else_on_the_port_is_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ollama_running(StandInOllama()) as url:
        monkeypatch.setenv("WORKBENCH_PORT", url.rpartition(":")[2])
        assert "something else" in found("proxy").seen


def test_what_is_misspelt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_SOTRE", "x")
    assert "did you mean WORKBENCH_STORE?" in found("settings").seen
    (tmp_path / "workbench.toml").write_text("prot = 1")
    (finding,) = asyncio.run(diagnose())
    assert (finding.check, finding.status) == ("settings", "fail")
    assert "did you mean port?" in finding.seen


def test_a_policy_of_another_embedder_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_source(tmp_path / "source")
    (tmp_path / "tiny").mkdir()
    write_bert_folder(source, name="tiny", target=tmp_path / "tiny")
    monkeypatch.setenv("WORKBENCH_SEMANTIC", "on")
    monkeypatch.setenv("WORKBENCH_EMBEDDER", str(tmp_path / "tiny"))
    assert found("embedder").seen.startswith("tiny, ")
    assert found("policy").status == "fail"
    monkeypatch.setenv("WORKBENCH_EMBEDDER", str(tmp_path / "nowhere"))
    assert found("embedder").status == "fail"


def test_keys_that_others_may_read_and_an_open_host_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOST", "192.0.2.1")
    assert found("keys").status == "fail"
    file = tmp_path / "keys"
    file.write_text("ann:use:ann-secret\n")
    file.chmod(0o644)
    monkeypatch.setenv("WORKBENCH_KEYS_FILE", str(file))
    assert found("keys").status == "warn"
    file.chmod(0o600)
    assert found("keys").status == "ok"


def test_the_claude_cli_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "npm install" in found("claude").remedy
    (tmp_path / "claude").touch(mode=0o755)
    assert found("claude") == Finding("claude", "ok", str(tmp_path / "claude"))
