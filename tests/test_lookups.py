"""Lookups against a store, what each stage serves, and a policy tuned on a handful of families from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.families import Family, anchored_pairs, own_families
from benchmarks.lookups import Query, Vectors, against_store, as_queries, curve, hits_at, scored, without_twins
from benchmarks.streams import Spoken, family_stream, stream_queries
from benchmarks.tuning import Parts, calibrate, check_classes, tune
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Serve, load_policy, save_policy
from workbench.cache.risk import Lookups
from workbench.errors import ConfigurationError
from workbench.settings import data_folder


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors(Embedder(minilm_folder(data_folder() / "embedders")))


@pytest.fixture(scope="module")
def families() -> list[Family]:
    return own_families("calibrate")[:40]


def test_each_further_text_is_looked_up_among_all_first_ones(families: list[Family], vectors: Vectors) -> None:
    queries = against_store(families, vectors, others=["What is the capital of Peru?"])

    assert len(queries) == sum(len(f.near) + len(f.paraphrases) + len(f.traps) for f in families)
    for query in queries:
        assert list(query.similarities) == sorted(query.similarities, reverse=True)
        assert len(query.candidates) == 4
        if query.kind == "trap":
            assert not any(query.right)
    near = [query for query in queries if query.kind == "near"]
    assert np.mean([query.right[0] for query in near]) > 0.95


def test_twins_are_found_by_their_meaning(vectors: Vectors) -> None:
    def family(text: str) -> Family:
        return Family(family=text, domain="d", text=text, near=(), paraphrases=(), traps=())

    kept = without_twins(
        [family("How do I undo my last commit?"), family("Why is the sky blue?")],
        [family("how to undo the last git commit")],
        vectors,
    )

    assert [each.text for each in kept] == ["Why is the sky blue?"]


def test_stream_never_looks_ahead(vectors: Vectors) -> None:
    spoken = [Spoken(text, group, group) for text, group in (("a b", "1"), ("a b c", "2"), ("a b!", "1"))]

    queries = stream_queries(spoken, vectors)

    assert [query.text for query in queries] == ["a b c", "a b!"]
    assert set(queries[1].candidates) == {"a b", "a b c"}
    assert queries[1].right[queries[1].candidates.index("a b")]


def test_stream_of_families_has_one_trap_each(families: list[Family]) -> None:
    spoken = family_stream(families, seed=1)

    assert sum(each.kind == "trap" for each in spoken) == len(families)
    assert spoken == family_stream(families, seed=1) != family_stream(families, seed=2)


def test_curve_counts_what_each_cut_serves() -> None:
    lookups = Lookups(
        np.array([3.0, 2.0, 2.0, 1.0, -np.inf]), np.array([False, True, False, False, True]), np.arange(5)
    )

    cuts, false, right = curve(lookups)

    assert (cuts.tolist(), false.tolist(), right.tolist()) == ([3.0, 2.0, 1.0], [0.0, 0.2, 0.2], [0.2, 0.4, 0.6])
    assert (hits_at(lookups, 0.1), hits_at(lookups, 0.2)) == (0.2, 0.6)


def test_first_candidate_that_no_guard_forbids_counts() -> None:
    gate_only = load_policy().model_copy(update={"score": None, "second": None, "gate": 0.5})
    query = Query(
        "sort 12 lists", "near", "", "u", ("sort 13 lists", "please sort 12 lists"), (0.99, 0.9), (False, True)
    )

    found = {stage: scored([query], gate_only, stage=stage) for stage in ("cosine", "guards")}

    assert (found["cosine"].score.tolist(), found["cosine"].wrong.tolist()) == ([0.99], [True])
    assert (found["guards"].score.tolist(), found["guards"].wrong.tolist()) == ([0.9], [False])


def test_tuned_policy_loads_and_keeps_its_budget_where_it_was_calibrated(
    families: list[Family], vectors: Vectors, tmp_path: Path
) -> None:
    """With so few families the budget is wide; that every step fits the next is what is shown."""
    parts = Parts(own_families("train")[:60], own_families("train")[60:90], families)

    policy = tune(
        parts, vectors, alpha=0.1, ask=lambda question, candidate: float(len(question) == len(candidate)), revision="r"
    )

    save_policy(policy, tmp_path / "policy.json")
    loaded = load_policy(tmp_path / "policy.json")
    assert loaded == policy
    assert policy.score
    assert policy.second
    assert policy.measured["false_hit_rate"] <= 0.1
    assert policy.store_size == 130
    assert len(policy.second.probes) <= 64
    assert isinstance(loaded.decide("How do I sort a list", "How do I sort a list", 1.0), Serve)


def test_too_few_labels_make_no_policy(families: list[Family], vectors: Vectors) -> None:
    with pytest.raises(ConfigurationError, match="40 independent families"):
        calibrate(load_policy(), against_store(families, vectors), alpha=0.01, ask=None, store_size=40)


@pytest.mark.parametrize(
    ("traps", "same", "message"), [((), ("x", "y"), "only pairs that are the same"), ((), (), "no pair at all")]
)
def test_one_class_makes_no_policy(traps: tuple[()], same: tuple[str, ...], message: str) -> None:
    family = Family(family="f", domain="d", text="t", near=same, paraphrases=(), traps=traps)

    with pytest.raises(ConfigurationError, match=message):
        check_classes(Parts([family], [family], [family]))


def test_pair_is_a_lookup_of_its_own(families: list[Family], vectors: Vectors) -> None:
    pairs = list(anchored_pairs(families[0]))
    queries = as_queries(pairs, vectors)

    assert [(query.candidates, query.text, query.right) for query in queries] == [
        ((pair.a,), pair.b, (pair.same,)) for pair in pairs
    ]
