"""How embedders are compared, on toy lookups; what is made of other people's files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from rich.console import Console

from benchmarks.bootstrap import curve_band, resampled_hits
from benchmarks.embedder_folders import model_folder, named_folders
from benchmarks.embedders import (
    Asked,
    Splits,
    at_budget,
    compared,
    guards_alone,
    measure,
    more_hits,
    recall,
    show,
    with_earlier,
)
from benchmarks.families import Family, Trap
from benchmarks.lookups import Query, Vectors
from tests.tiny_bert import tiny_source
from workbench.cache.embedder import Embedder
from workbench.cache.risk import Lookups
from workbench.errors import ConfigurationError

RATE = np.array([0.01])


def lookups(*, right: float, seed: int = 0, units: int = 800) -> Lookups:
    """Four lookups a unit: this share of them right and scored above 1, the others wrong and below."""
    random = np.random.default_rng(seed)
    wrong = random.random(units * 4) >= right
    return Lookups(
        np.where(wrong, random.random(units * 4), 1 + random.random(units * 4)), wrong, np.repeat(np.arange(units), 4)
    )


def query(*, kind: str, right: tuple[bool, ...], unit: str) -> Query:
    return Query("q", kind, "", unit, ("a", "b"), (0.9, 0.8), right)


def test_recall_counts_questions_whose_family_is_among_the_nearest() -> None:
    queries = [
        query(kind="near", right=(True, False), unit="1"),
        query(kind="near", right=(False, True), unit="2"),
        query(kind="near", right=(False, False), unit="3"),
        query(kind="paraphrase", right=(True, False), unit="3"),
    ]

    assert recall(queries, "near", nearest=1)["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert recall(queries, "near", nearest=2)["share"] == pytest.approx(2 / 3, abs=1e-4)
    assert recall(queries, "paraphrase", nearest=1) == {"share": 1.0, "interval": [0.025, 1.0], "n": 1}


def test_certified_cut_is_stricter_than_the_best_one_and_needs_enough_families() -> None:
    found = at_budget(lookups(right=0.5, seed=1), lookups(right=0.5, seed=2), alpha=0.01)

    low, high = found["best_hit_rate_interval"]
    assert low < found["best_hit_rate"] < high
    assert found["certified"]["hit_rate"] <= found["best_hit_rate"] + 0.005
    assert found["certified"]["false_hit_rate"] <= 0.01
    assert at_budget(lookups(right=0.5, units=20), lookups(right=0.5), alpha=0.01)["certified"] is None


def test_what_no_cut_keeps_serves_nothing() -> None:
    units = np.repeat(np.arange(800), 4)
    always_wrong = Lookups(np.ones(3200), np.ones(3200, bool), units)

    found = at_budget(always_wrong, always_wrong, alpha=0.01)

    assert found["best_hit_rate"] == 0.0
    assert (found["certified"]["hit_rate"], found["certified"]["false_hit_rate"]) == (0.0, 0.0)


def test_more_hits_are_told_with_an_interval_narrower_than_either_band() -> None:
    theirs = lookups(right=0.4)
    ours = Lookups(theirs.score.copy(), theirs.wrong.copy(), theirs.unit)
    turned = np.flatnonzero(ours.wrong)[::40]
    ours.wrong[turned], ours.score[turned] = False, 2.0

    found = more_hits(ours, theirs, alpha=0.01)

    low, high = found["interval"]
    assert 0 < low < found["more"] < high
    wide = curve_band(ours, RATE)
    assert high - low < float(wide[1][0] - wide[0][0])
    assert more_hits(ours, ours, alpha=0.01) == {"more": 0.0, "interval": [0.0, 0.0]}
    assert resampled_hits(ours, RATE).shape == (500, 1)


def test_guards_alone_have_neither_gate_nor_score() -> None:
    policy = guards_alone()

    assert (policy.gate, policy.score, policy.second) == (0.0, None, None)
    assert policy.vetoes


def test_families_are_measured_by_a_model_that_knows_only_their_words(tmp_path: Path) -> None:
    def family(name: str, text: str, near: str, trap: str) -> Family:
        traps = (Trap(text=trap, slot="language", why="another one"),)
        return Family(family=name, domain="d", text=text, near=(near,), paraphrases=(text + " !",), traps=traps)

    families = [
        family("a", "how do i reverse a list", "reverse a list", "how do i sort a list"),
        family("b", "how do i sort a list in python", "sort a list in python", "how do i sort a list in perl"),
    ]
    folder = model_folder(str(tiny_source(tmp_path / "source")), name="tiny", cache=tmp_path / "cache")
    vectors = Vectors(Embedder(folder))
    asked = Asked(families, ["perl"])

    found = measure(vectors, Splits(asked, asked), alpha=0.01)

    assert asked.store_size == 3
    assert found.row["near_recall_at_4"]["n"] == 2
    assert found.row["near_recall_at_4"]["share"] == 1.0
    assert found.row["cosine"]["certified"] is None
    assert len(found.lookups["guards"].score) == 6


def test_a_run_compares_every_embedder_with_the_first(tmp_path: Path) -> None:
    folders = named_folders([], cache=tmp_path / "cache")
    (default,) = folders.values()

    report = compared({"default": default, "again": default}, alpha=0.01, families=8, timed=3)

    first, again = report["embedders"].values()
    assert again["cosine"].pop("more_than_default") == {"more": 0.0, "interval": [0.0, 0.0]}
    assert again["cosine"] == first["cosine"]
    assert first["p50_ms"] > 0
    assert report["test_store_size"] > report["test_families"]
    assert {"machine", "date", "commit"} <= first.keys()
    assert first["p50_of_default"] == 1.0
    show(report, Console(file=io.StringIO()))


def test_results_of_others_asked_the_same_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "embedders.json"
    new = {"alpha": 0.01, "test_families": 8, "embedders": {"a": 2, "b": 3}}

    assert with_earlier(new, path) == new
    path.write_bytes(orjson.dumps({"alpha": 0.01, "test_families": 8, "embedders": {"a": 1, "c": 4}}))
    assert with_earlier(new, path) == new | {"embedders": {"a": 2, "b": 3, "c": 4}}
    path.write_bytes(orjson.dumps({"alpha": 0.02, "test_families": 8, "embedders": {"c": 4}}))
    assert with_earlier(new, path) == new


def hidden_states_model(path: Path, *, outputs: int = 1) -> Path:
    """Word → its row of a table, as (texts, tokens, 3), and another output that is of no use."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [16, 3], np.random.default_rng(0).random(48).tolist())
    nodes = [helper.make_node("Gather", ["table", "input_ids"], [f"hidden{place}"]) for place in range(outputs)]
    nodes.append(helper.make_node("Shape", ["input_ids"], ["shape"]))
    given = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "tokens"])]
    told = [helper.make_tensor_value_info("shape", TensorProto.INT64, [2])]
    told += [
        helper.make_tensor_value_info(f"hidden{place}", TensorProto.FLOAT, ["n", "t", 3]) for place in range(outputs)
    ]
    graph = helper.make_graph(nodes, "words", given, told, [table])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_onnx_file_is_served_by_its_hidden_states(tmp_path: Path) -> None:
    source = tiny_source(tmp_path / "source")
    model = hidden_states_model(tmp_path / "model.onnx")

    folder = model_folder(f"{model},{source / 'tokenizer.json'}", name="words", cache=tmp_path / "cache")

    embedder = Embedder(folder)
    assert embedder.card.dimension == 3
    assert model_folder(f"{model},{source / 'tokenizer.json'}", name="words", cache=tmp_path / "cache") == folder
    assert model_folder(str(folder), name="any", cache=tmp_path / "other") == folder
    assert embedder.encode(["how do i sort"]) @ embedder.encode(["how do i sort"]).T == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mpnet", "'mpnet' names no embedder: expected NAME=PATH"),
        ("a=nowhere.onnx", r"nowhere\.onnx is not there: expected the file of a"),
        ("a=nowhere", "nowhere does not describe a BERT sentence encoder.*benchmarks.compile_embedder nowhere OUT"),
        ("all-MiniLM-L6-v2=x", "'all-MiniLM-L6-v2' stands twice"),
    ],
)
def test_what_is_no_embedder_is_refused_with_what_to_do(tmp_path: Path, named: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s){said}"):
        named_folders([named], cache=tmp_path)


def test_onnx_file_without_one_output_of_hidden_states_is_refused(tmp_path: Path) -> None:
    model = hidden_states_model(tmp_path / "model.onnx", outputs=2)

    with pytest.raises(ConfigurationError, match="has 2 outputs of three dimensions, expected one"):
        model_folder(str(model), name="two", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
