"""What notebook 05 does: the proxy starts, each kind of question is told apart, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from benchmarks import launching
from benchmarks.children import ChildFailed
from benchmarks.launching import STAND_IN, Asked, sample_traffic, start
from benchmarks.notebooks import Job, new_folder, run
from benchmarks.outputs import code_cells, text


def test_a_launched_proxy_answers_each_kind_as_it_should_and_stops(tmp_path: Path) -> None:
    proxy = start(thinker=STAND_IN, store="memory:")
    try:
        found, probes = launching.checks(proxy), launching.probe(proxy)
        settings = orjson.loads(launching.claude_settings(proxy))["env"]
        seen = launching.outcomes(proxy)
    finally:
        said = proxy.stop()
    assert said == "stopped: nothing of it is left"
    assert {each.check: each.status for each in found if each.check != "claude"} == {
        "settings": "ok", "keys": "ok", "data": "ok", "embedder": "ok", "policy": "ok", "verifier": "ok",
        "store": "warn", "thinker": "ok", "proxy": "ok",
    }  # fmt: skip
    assert [each.outcome for each in probes] == ["miss", "exact", "semantic", "miss"] == seen
    assert all(each.as_expected for each in probes)
    assert settings["ANTHROPIC_BASE_URL"] == proxy.url
    assert settings["CLAUDE_CODE_MAX_CONTEXT_TOKENS"].isdigit()
    told = orjson.loads((launching.write(found, probes, seen, str(tmp_path)) / "verdict.json").read_bytes())
    assert told["requests"] == {"miss": 2, "exact": 1, "semantic": 1}


def test_a_proxy_that_cannot_start_says_why(tmp_path: Path) -> None:
    wrong = tmp_path / "policy.json"
    wrong.write_text("{}")
    with pytest.raises(ChildFailed, match="policy"):
        start(thinker=STAND_IN, store="memory:", policy=str(wrong))


def test_a_thinker_that_is_not_there_is_named() -> None:
    with pytest.raises(ChildFailed, match=r"no Thinker has a model: .*127\.0\.0\.1:9"):
        start(thinker="ollama+http://127.0.0.1:9", store="memory:")


def test_sample_traffic_is_the_same_for_a_seed_and_has_every_kind() -> None:
    one, again = list(sample_traffic(200, seed=1)), list(sample_traffic(200, seed=1))
    assert one == again
    assert len(one) == 200
    texts = [asked.text for asked in one]
    assert len(set(texts)) < 150
    assert any(asked.is_trap for asked in one)
    assert Asked(texts[0]) == one[0]


def test_a_notebook_that_dies_leaves_no_proxy_behind(tmp_path: Path) -> None:
    pytest.importorskip("papermill", reason="papermill is in the study extra")
    launch = "from benchmarks import launching\nproxy = launching.start(thinker='stand-in', store='memory:')\nproxy.pid"
    cells = [
        {"cell_type": "code", "id": f"cell-{place}", "metadata": {"tags": tags}, "source": source, "outputs": []}
        | {"execution_count": None}
        for place, (source, tags) in enumerate([("seed: int = 1  # one", ["parameters"]), (launch, []), ("1 / 0", [])])
    ]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path = tmp_path / "made.ipynb"
    path.write_bytes(orjson.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    failed = run(Job(path, {}), new_folder(tmp_path, "executed"))
    assert failed
    assert "ZeroDivisionError" in failed.message
    executed = code_cells(tmp_path / "executed" / "made.ipynb")
    pid = int(text(executed[1]["outputs"][0]["data"]["text/plain"]))
    assert not Path(f"/proc/{pid}").exists()
