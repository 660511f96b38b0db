"""What of the labelled conversations is served, counted by label."""

from __future__ import annotations

from benchmarks.conversing import conversations, rows
from benchmarks.lookups import Asked, Vectors
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import load_policy
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import verifier_folder
from workbench.settings import data_folder


def test_both_ways_are_counted_on_the_same_pairs() -> None:
    folder, labelled = data_folder() / "embedders", rows()[:6]
    labels = [row.label for row in labelled]

    report = conversations(
        load_policy(),
        Vectors(Embedder(minilm_folder(folder))),
        Asked(Verifier(verifier_folder(folder)).logit),
        labelled=labelled,
    )

    assert report["pairs"] == {label: labels.count(label) for label in set(labels)}
    served = {}
    for way in ("strict", "aligned"):
        same, context = report[way]["same_served"], report[way]["context_served"]
        served[way] = same["count"]
        assert same["n"] == labels.count("same") == same["count"] + sum(same["refused"].values())
        assert context["count"] == 0
        store = report[way]["in_one_store"]
        assert (store["hits"]["count"], store["false_hits"]["count"]) == (same["count"], 0)
        assert store["false_hits"]["interval"][1] > 0.01  # so few labels promise nothing
    assert served["aligned"] > served["strict"]
