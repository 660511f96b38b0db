"""What notebook 01 does, on pairs of a user: the cut is chosen on one half, and judged on the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import orjson
import pytest

from benchmarks import deciding
from benchmarks.deciding import Models
from benchmarks.drift import Drift
from benchmarks.families import Pair
from benchmarks.labels import Labels, read_labels, units
from benchmarks.pairs import LabelledText, read_pairs
from benchmarks.splitting import halves, in_first_half
from benchmarks.streams import labelled_stream
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


def family(pair: Pair) -> str:
    return pair.family


def test_halves_share_no_family_and_a_row_stays_where_it_is(pairs: Path) -> None:
    found = read_pairs(pairs).pairs
    one, other = halves(found, family)
    assert {pair.family for pair in one}.isdisjoint(pair.family for pair in other)
    assert len(one) + len(other) == len(found)
    assert min(len(one), len(other)) > len(found) / 3
    found.reverse()
    assert {pair.a + pair.b for pair in halves(found, family)[0]} == {pair.a + pair.b for pair in one}


def test_a_policy_is_chosen_judged_and_written(models: Models, base: Path, pairs: Path, tmp_path: Path) -> None:
    labels = read_labels(str(pairs), models.vectors, alpha=ALPHA)
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
    assert told["drift"] == {"checked": False, "why": "these labels carry no time"}


def test_what_is_judged_chooses_nothing(models: Models, base: Path, pairs: Path) -> None:
    labels = read_labels(str(pairs), models.vectors, alpha=ALPHA)
    poisoned = replace(labels, judged=[replace(query, right=(not query.right[0],)) for query in labels.judged])
    policies = [deciding.choose(models, each, alpha=ALPHA, base=str(base)) for each in (labels, poisoned)]
    assert policies[0] == policies[1]
    assert not deciding.judge(policies[1], poisoned, models).kept


def test_too_few_labels_are_refused_with_how_many_it_takes(models: Models, pairs: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"families .* choose the cut, .* at least {units_needed(0.01)}:"):
        read_labels(str(pairs), models.vectors, alpha=0.01)


def test_a_half_of_one_class_is_refused(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same,family\nhow are you,how are you?,1,x\nhow are you,who are you,0,x\n")
    with pytest.raises(ConfigurationError, match="lookups of one class only"):
        read_labels(str(path), models.vectors, alpha=ALPHA)


def test_a_policy_without_a_score_has_no_cut_to_choose(models: Models, base: Path, pairs: Path) -> None:
    labels = read_labels(str(pairs), models.vectors, alpha=ALPHA)
    save_policy(load_policy(base).model_copy(update={"score": None}), base)
    with pytest.raises(ConfigurationError, match="set refit = True"):
        deciding.choose(models, labels, alpha=ALPHA, base=str(base))


def test_labels_say_what_was_read(models: Models, pairs: Path) -> None:
    labels: Labels = read_labels(str(pairs), models.vectors, alpha=ALPHA)
    assert str(labels).startswith("pairs.csv: 120 rows: 120 pairs, 60 the same and 60 different; dropped 0 duplicates")


# ── intents ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def intents(tmp_path: Path) -> Path:
    """Sixty intents, each asked in three ways, weeks apart."""
    rows = ["text,intent,time"]
    for day, (deed, thing) in enumerate(product(DEEDS, THINGS)):
        ways = (f"How do I {deed} a {thing}?", f"how do i {deed} a {thing}", f"{deed} a {thing}")
        rows += [f"{way},{deed} {thing},{1_770_000_000 + (day + 20 * n) * 86_400}" for n, way in enumerate(ways)]
    path = tmp_path / "intents.csv"
    path.write_text("\n".join(rows))
    return path


def test_texts_with_intents_are_streams_that_share_no_intent(models: Models, intents: Path) -> None:
    labels = read_labels(str(intents), models.vectors, alpha=ALPHA)
    assert str(labels).startswith("intents.csv: 180 rows: 180 texts of 60 intents; dropped 0 duplicates")
    assert units(labels.calibrated).isdisjoint(units(labels.judged))
    assert len(units(labels.calibrated) | units(labels.judged)) == 60
    for part in (labels.calibrated, labels.judged):
        times = [query.at_s or 0.0 for query in part]
        assert times == sorted(times)
        firsts = [query for query in part if query.kind == "trap"]
        assert not any(any(query.right) for query in firsts)
        assert len(firsts) == len(units(firsts)) >= len(units(part)) - 1


def test_a_policy_is_chosen_on_intents_and_its_drift_checked(models: Models, base: Path, intents: Path) -> None:
    labels = read_labels(str(intents), models.vectors, alpha=ALPHA)
    verdict = deciding.judge(deciding.choose(models, labels, alpha=ALPHA, base=str(base)), labels, models)
    assert verdict.rates.right.count > 0
    assert verdict.rates.right.of == len(labels.judged)
    assert isinstance(verdict.drift, Drift), verdict.drift
    assert verdict.drift.periods.on_both_sides > 0  # most intents are asked on both sides


def test_texts_without_times_come_shuffled_before_those_with_one() -> None:
    texts = [LabelledText(str(place), "i", "i", None if place < 20 else float(40 - place)) for place in range(30)]
    stream = labelled_stream(texts, seed=0)
    untimed = [each.text for each in stream[:20]]
    assert sorted(untimed, key=int) == [str(place) for place in range(20)] != untimed
    assert [each.text for each in stream[20:]] == [str(place) for place in reversed(range(20, 30))]
    assert [each.kind for each in stream] == ["trap"] + ["paraphrase"] * 29


def test_intents_that_all_fall_into_one_half_are_refused(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "intents.csv"
    names = [name for name in map(str, range(9)) if in_first_half(name)]
    path.write_text("\n".join(["text,intent", *(f"text {name},{name}" for name in names)]))
    with pytest.raises(ConfigurationError, match="lookups of one class only"):
        read_labels(str(path), models.vectors, alpha=ALPHA)
