"""What notebook 01 does, on pairs of a user: the cut is chosen on one half, and judged on the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from benchmarks import deciding
from benchmarks.deciding import Labels, Models
from benchmarks.pairs import read_pairs
from workbench.cache.features import feature_names
from workbench.cache.guards import GUARDS_VERSION
from workbench.cache.policy import POLICY_VERSION, Policy, Score, load_policy, save_policy
from workbench.cache.risk import units_needed
from workbench.cache.trees import LEAF, Trees
from workbench.errors import ConfigurationError

ALPHA = 0.3
THINGS = ("list", "table", "graph", "queue", "stack", "string", "branch", "commit", "server", "container")
DEEDS = ("sort", "copy", "print", "delete", "compress", "rename")


@pytest.fixture(scope="module")
def models() -> Models:
    return deciding.open_models(verifier=deciding.NONE)


@pytest.fixture
def base(models: Models, tmp_path: Path) -> Path:
    """A policy whose score knows one thing: whether the cosine is above 0.9."""
    stump = ((0, 0.9, 1, 2), (LEAF, -2.0, 0, 0), (LEAF, 2.0, 0, 0))
    score = Score(features=feature_names(), weights={}, trees=Trees(start=0.0, trees=(stump,)), cut=0.0)
    policy = Policy(
        version=POLICY_VERSION,
        embedder="MiniLM",
        fingerprint=models.vectors.embedder.fingerprint,
        gate=0.0,
        guards=GUARDS_VERSION,
        vetoes=(),
        score=score,
    )
    save_policy(policy, tmp_path / "base.json")
    return tmp_path / "base.json"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Near-repeats, and questions that only begin alike."""
    rows = ["a,b,same"]
    for deed in DEEDS:
        for place, thing in enumerate(THINGS):
            other = THINGS[(place + 3) % len(THINGS)]
            rows.append(f"How do I {deed} a {thing}?,how do i {deed} a {thing},1")
            rows.append(f"How do I {deed} a {thing}?,Why would anybody {deed} the {other} on a Sunday?,0")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows))
    return path


def test_halves_share_no_family_and_a_row_stays_where_it_is(pairs: Path) -> None:
    found = read_pairs(pairs).pairs
    one, other = deciding.halves(found)
    assert {pair.family for pair in one}.isdisjoint(pair.family for pair in other)
    assert len(one) + len(other) == len(found)
    assert min(len(one), len(other)) > len(found) / 3
    found.reverse()
    assert {pair.a + pair.b for pair in deciding.halves(found)[0]} == {pair.a + pair.b for pair in one}


def test_a_policy_is_chosen_judged_and_written(models: Models, base: Path, pairs: Path, tmp_path: Path) -> None:
    labels = deciding.read_labels(str(pairs), models, alpha=ALPHA)
    policy = deciding.choose(models, labels, alpha=ALPHA, base=str(base))
    verdict = deciding.judge(policy, labels, models)
    assert verdict.kept
    assert verdict.rates.near.of == 0  # the rows name no kind: the same answer is a paraphrase
    assert verdict.rates.paraphrase.value == 1.0
    written = deciding.write(verdict, str(tmp_path / "out"))
    policy = load_policy(written)
    policy.check(models.vectors.embedder.fingerprint)
    assert policy.alpha == ALPHA
    assert policy.dataset == labels.dataset
    assert policy.measured["judged_false"] == 0.0 < policy.measured["judged_false_high"]
    told = orjson.loads((tmp_path / "out" / "verdict.json").read_bytes())
    assert told["budget_kept"] is True
    assert told["rates"]["paraphrase"]["count"] == told["rates"]["paraphrase"]["of"]


def test_what_is_judged_chooses_nothing(models: Models, base: Path, pairs: Path) -> None:
    labels = deciding.read_labels(str(pairs), models, alpha=ALPHA)
    poisoned = replace(labels, judged=[replace(query, right=(not query.right[0],)) for query in labels.judged])
    policies = [deciding.choose(models, each, alpha=ALPHA, base=str(base)) for each in (labels, poisoned)]
    assert policies[0] == policies[1]
    assert not deciding.judge(policies[1], poisoned, models).kept


def test_too_few_labels_are_refused_with_how_many_it_takes(models: Models, pairs: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"families .* choose the cut, .* at least {units_needed(0.01)}:"):
        deciding.read_labels(str(pairs), models, alpha=0.01)


def test_a_half_of_one_class_is_refused(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same,family\nhow are you,how are you?,1,x\nhow are you,who are you,0,x\n")
    with pytest.raises(ConfigurationError, match="lookups of one class only"):
        deciding.read_labels(str(path), models, alpha=ALPHA)


def test_a_policy_without_a_score_has_no_cut_to_choose(models: Models, base: Path, pairs: Path) -> None:
    labels = deciding.read_labels(str(pairs), models, alpha=ALPHA)
    save_policy(load_policy(base).model_copy(update={"score": None}), base)
    with pytest.raises(ConfigurationError, match="set refit = True"):
        deciding.choose(models, labels, alpha=ALPHA, base=str(base))


def test_labels_say_what_was_read(models: Models, pairs: Path) -> None:
    labels: Labels = deciding.read_labels(str(pairs), models, alpha=ALPHA)
    assert str(labels).startswith("pairs.csv: 120 rows: 120 pairs, 60 the same and 60 different; dropped 0 duplicates")
