"""Make a policy: fit the score on some families, the second stage on others, and its cut on others still.

    python -m benchmarks.tuning --out policy.json [--alpha 0.01] [--verifier FOLDER] [--public FOLDER]

The verifier learned from the first part of the training families, as the trees do here; on the second part, which
neither has seen, gate and second stage are chosen; on the calibration split the cut, and nothing else.
"""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.compile_embedder import study_module
from benchmarks.families import DATA, Family, Pair, all_pairs, content_hash, divided, own_families
from benchmarks.lookups import (
    Ask,
    Asked,
    Query,
    Vectors,
    against_store,
    neighbours,
    scored,
    without_twins,
)
from benchmarks.natural import natural_pairs
from benchmarks.vocabulary import dictionary, fit_weights, fit_words
from workbench.cache.embedder import Embedder
from workbench.cache.features import feature_names, features
from workbench.cache.guards import GUARDS_VERSION, PRECISE, SLOT_NAMES, conflicts
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import (
    POLICY_VERSION,
    Policy,
    Probe,
    Score,
    Second,
    Weighed,
    compared_similarity,
    save_policy,
)
from workbench.cache.risk import DELTA, Floats, crc_cut, rcps_cut
from workbench.cache.slots.spelling import repaired
from workbench.cache.trees import LEAF, Node, Trees
from workbench.cache.verifier import Verifier
from workbench.errors import ConfigurationError
from workbench.settings import data_folder

VERIFIER_SHARE = 0.8
"""Of the training families, by name; the verifier learns from the same."""

SELDOM = 30
"""A slot that differs in fewer pairs than this is taken as its author meant it."""

LEAST_PRECISE_RATIO = 1.0
"""One that was written to be precise forbids unless it differs more often in equivalent questions than in traps."""

LEAST_RATIO = 3.0
"""A slot may forbid an answer when it differs so much more often in traps than in equivalent questions."""

MOST_NEAR = 0.01
"""A slot that differs in more than this share of the near-repeats forbids nothing: these are to be served."""

GATE_LOSS = 0.01
"""The gate may cost this share of what would be served, and the lower end of the gray zone as much again."""

UNSET = 1000.0
"""A cut that nothing exceeds, until it is calibrated."""

PROBES = 64
TREES = {"n_estimators": 160, "learning_rate": 0.08, "max_depth": 4, "subsample": 0.5, "min_samples_leaf": 30}


@dataclass(frozen=True, slots=True)
class Parts:
    """The families, each in one part only."""

    learned: list[Family]
    chosen: list[Family]
    calibrated: list[Family]


def own_parts(vectors: Vectors) -> Parts:
    """The project's own families; the test split is not among them, nor what has a twin in an earlier part."""
    learned, chosen = divided(own_families("train"), shares=(VERIFIER_SHARE, 1 - VERIFIER_SHARE))
    chosen = without_twins(chosen, learned, vectors)
    return Parts(learned, chosen, without_twins(own_families("calibrate"), [*learned, *chosen], vectors))


def tune(
    parts: Parts,
    vectors: Vectors,
    *,
    alpha: float,
    seed: int = 0,
    ask: Ask | None = None,
    revision: str = "",
    public: Path | None = None,
    delta: float = DELTA,
) -> Policy:
    """A whole policy; raises `ConfigurationError` where there are too few labels for `alpha`.

    Without `ask` (a verifier, with its `revision`) it has one stage only. The second stage also learns from the public
    questions in the folder `public`, as people wrote them; the intents that are reported of are left out.
    """
    check_classes(parts)
    policy = Policy(
        version=POLICY_VERSION,
        embedder=vectors.embedder.card.name,
        fingerprint=vectors.embedder.fingerprint,
        guards=GUARDS_VERSION,
        gate=0.0,
        vetoes=(),
    )
    learned = [pair for family in parts.learned for pair in all_pairs(family)]
    policy = policy.model_copy(update={"vetoes": fit_vetoes(learned)})
    learned += neighbours(parts.learned, vectors)
    policy = policy.model_copy(update={"score": fit_score(learned, policy, vectors, seed=seed)})
    chosen = [pair for family in parts.chosen for pair in all_pairs(family)]
    chosen += neighbours(parts.chosen, vectors)
    policy = policy.model_copy(update={"gate": fit_gate(chosen, policy, vectors)})
    chosen += natural_pairs(public, vectors, part="choose", seed=seed) if public else []
    if ask:
        policy = policy.model_copy(update={"second": fit_second(chosen, policy, vectors, ask, revision=revision)})
    others = [family.text for family in (*parts.learned, *parts.chosen)]
    queries = against_store(parts.calibrated, vectors, others=others)
    size = len(parts.calibrated) + len(others)
    return calibrate(policy, queries, alpha=alpha, ask=ask, store_size=size, delta=delta)


def check_classes(parts: Parts) -> None:
    """Both labels must occur in every part."""
    for name, families in (("learned", parts.learned), ("chosen", parts.chosen), ("calibrated", parts.calibrated)):
        labels = {pair.same for family in families for pair in all_pairs(family)}
        if len(labels) < 2:
            said = (
                "no pair at all"
                if not labels
                else f"only pairs that are {'the same' if True in labels else 'different'}"
            )
            raise ConfigurationError(f"the {name} part holds {said}: a policy needs both, so none was made")


# ── the first stage ─────────────────────────────────────────────────────────────────────────────────────────


def fit_vetoes(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The slots that forbid an answer: the precise ones, unless these pairs speak against them."""
    counts: dict[str, Counter[str]] = {"near": Counter(), "paraphrase": Counter(), "trap": Counter()}
    for pair in pairs:
        counts[pair.kind].update(conflict.slot for conflict in conflicts(pair.a, pair.b))
    total: Counter[str] = Counter(pair.kind for pair in pairs)
    return tuple(name for name in SLOT_NAMES if _forbids(name, counts, total))


def _forbids(name: str, counts: dict[str, Counter[str]], total: Counter[str]) -> bool:
    near, trap = counts["near"][name], counts["trap"][name]
    if near > MOST_NEAR * total["near"]:
        return False
    same = near + counts["paraphrase"][name]
    if same + trap < SELDOM:
        return name in PRECISE
    ratio = ((trap + 1) / total["trap"]) / ((same + 1) / (total["near"] + total["paraphrase"]))
    return ratio >= (LEAST_PRECISE_RATIO if name in PRECISE else LEAST_RATIO)


def fit_score(pairs: Sequence[Pair], policy: Policy, vectors: Vectors, *, seed: int) -> Score:
    """Boosted trees on what the vetoes leave; kinds weigh alike."""
    ensemble = study_module("sklearn.ensemble")

    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.a, pair.b)))
    weights, (known, real) = fit_weights(texts), fit_words(texts, vectors.embedder.words() | dictionary())
    known_words, real_words = frozenset(known), frozenset(real)
    rows, kept = [], []
    for pair, similarity in zip(pairs, vectors.similarities(pairs).tolist(), strict=True):
        a, b = repaired(pair.a, pair.b, known=known_words, real=real_words)
        found = conflicts(a, b)
        if not any(conflict.slot in policy.vetoes for conflict in found):
            compared = compared_similarity(a, b, similarity)
            rows.append(features(a, b, similarity=compared, found=found, weights=weights))
            kept.append(pair)
    model = ensemble.GradientBoostingClassifier(random_state=seed, **TREES)
    model.fit(np.array(rows), [pair.same for pair in kept], sample_weight=balanced(kept))
    trees = as_trees(model)
    return Score(features=feature_names(), weights=weights, known=known, real=real, trees=trees, cut=UNSET)


SHARES = {"near": 0.2, "paraphrase": 0.25, "trap": 0.35, "neighbour": 0.2}
"""How much each kind of pair weighs in a fit, however many there are."""


def balanced(pairs: Sequence[Pair]) -> Floats:
    """(n,) weights, of mean 1 where every kind occurs."""
    count = Counter(pair.kind for pair in pairs)
    return np.array([SHARES[pair.kind] * len(pairs) / count[pair.kind] for pair in pairs])


def as_trees(model: Any) -> Trees:
    """The fitted model's numbers. Any: the library ships no types."""
    start = float(np.log(model.init_.class_prior_[1] / model.init_.class_prior_[0]))
    trees = []
    for estimator in model.estimators_[:, 0]:
        tree = estimator.tree_
        trees.append(tuple(_node(tree, place, model.learning_rate) for place in range(tree.node_count)))
    return Trees(start=round(start, 6), trees=tuple(trees))


def _node(tree: Any, place: int, rate: float) -> Node:
    feature = int(tree.feature[place])
    if feature < 0:
        return (LEAF, round(float(tree.value[place, 0, 0]) * rate, 6), 0, 0)
    # The library compares single-precision values with this double: six digits would not do.
    return (feature, float(tree.threshold[place]), int(tree.children_left[place]), int(tree.children_right[place]))


def fit_gate(pairs: Sequence[Pair], policy: Policy, vectors: Vectors) -> float:
    """The least cosine of what the first stage serves at all, but for `GATE_LOSS` of it."""
    served = []
    for pair, similarity in zip(pairs, vectors.similarities(pairs).tolist(), strict=True):
        weighed = policy.weigh(pair.a, pair.b, similarity)
        if pair.same and isinstance(weighed, Weighed) and weighed.logit > 0:
            served.append(similarity)
    return round(float(np.quantile(served, GATE_LOSS)), 3)


# ── the second stage ────────────────────────────────────────────────────────────────────────────────────────


def fit_second(pairs: Sequence[Pair], policy: Policy, vectors: Vectors, ask: Ask, *, revision: str) -> Second:
    """A logistic regression over (first stage, verifier, cosine), and the gray zone in which it decides."""
    linear = study_module("sklearn.linear_model")

    rows, kept, asked = [], [], []
    for pair, similarity in zip(pairs, vectors.similarities(pairs).tolist(), strict=True):
        weighed = policy.weigh(pair.a, pair.b, similarity)
        if isinstance(weighed, Weighed) and (logit := ask(weighed.question, weighed.candidate)) is not None:
            rows.append((weighed.logit, logit, weighed.compared))
            kept.append(pair)
            asked.append((weighed.question, weighed.candidate))
    table, same = np.array(rows), np.array([pair.same for pair in kept])
    model = linear.LogisticRegression(C=1.0).fit(table, same, sample_weight=balanced(kept))
    final = model.decision_function(table)
    strict = np.quantile(final[~same], 0.98)
    low = np.quantile(table[same & (final > strict), 0], GATE_LOSS)
    high = table[~same, 0].max()  # above the gray zone nothing wrong was seen
    first, verifier, cosine = (round(float(value), 6) for value in model.coef_[0])
    probes = [Probe(a=a, b=b, logit=round(row[1], 4)) for (a, b), row in zip(asked, rows, strict=True)]
    return Second(
        revision=revision,
        low=round(float(low), 4),
        high=round(float(max(high, low)), 4),
        intercept=round(float(model.intercept_[0]), 6),
        first=first,
        verifier=verifier,
        cosine=cosine,
        cut=UNSET,
        probes=tuple(probes[:: max(1, len(probes) // PROBES)][:PROBES]),
    )


# ── the cut ─────────────────────────────────────────────────────────────────────────────────────────────────


def calibrate(
    policy: Policy, queries: Sequence[Query], *, alpha: float, ask: Ask | None, store_size: int, delta: float = DELTA
) -> Policy:
    """The policy with the loosest cuts that keep `alpha` on these lookups, with a confidence of 1 - `delta`.

    Raises `ConfigurationError` when these are too few, or no cut keeps it.
    """
    assert policy.score  # what has no score has no cut
    alone = scored(queries, policy, stage="score")
    cut = _kept(rcps_cut(alone, alpha, delta=delta), alpha)
    measured = {"score_hit_rate": alone.hit_rate(cut), "score_false_hit_rate": alone.false_hit_rate(cut)}
    measured["score_expected_risk_cut"] = crc_cut(alone, alpha)
    policy = policy.model_copy(update={"score": policy.score.model_copy(update={"cut": cut})})
    if policy.second and ask:
        both = scored(queries, policy, stage="verifier", ask=ask)
        cut = _kept(rcps_cut(both, alpha, delta=delta), alpha)
        measured |= {"hit_rate": both.hit_rate(cut), "false_hit_rate": both.false_hit_rate(cut)}
        measured["expected_risk_cut"] = crc_cut(both, alpha)
        policy = policy.model_copy(update={"second": policy.second.model_copy(update={"cut": cut})})
    measured = {name: round(value, 6) for name, value in measured.items() if math.isfinite(value)}
    update = {"alpha": alpha, "store_size": store_size, "measured": measured} | provenance()
    return policy.model_copy(update=update)


def _kept(cut: float, alpha: float) -> float:
    if math.isinf(cut):
        raise ConfigurationError(
            f"no cut keeps false hits under {alpha:.2%} of these lookups: allow more, or tune with other evidence"
        )
    return cut


def provenance() -> dict[str, str | None]:
    """When this was made and from which commit, None outside of a checkout."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607  # whichever git the user has
    return {"date": datetime.now(UTC).date().isoformat(), "commit": asked.stdout.strip() or None}


def own_dataset_hash() -> str:
    """Of the families that a policy is made of, the test split not among them."""
    return content_hash([*(DATA / "train").glob("*.jsonl"), *(DATA / "calibrate").glob("*.jsonl")])


def main(
    out: Annotated[Path, typer.Option(help="The policy to write.")],
    alpha: Annotated[float, typer.Option(help="The budget: false hits ÷ lookups.")] = 0.01,
    confidence: Annotated[float, typer.Option(help="That the budget is kept.", min=0.5, max=0.999)] = 1 - DELTA,
    seed: int = 0,
    embedder: Annotated[Path | None, typer.Option(help="An embedder's folder; the default one when absent.")] = None,
    verifier: Annotated[Path | None, typer.Option(help="A verifier's folder; none when absent.")] = None,
    public: Annotated[
        Path | None,
        typer.Option(help="A folder with the public files: the second stage learns from these too."),
    ] = None,
) -> None:
    """Tune a policy on the project's own families."""
    vectors = Vectors(Embedder(embedder or minilm_folder(data_folder() / "embedders")))
    found = Verifier(verifier) if verifier else None
    ask = Asked(found.logit) if found else None
    policy = tune(
        own_parts(vectors),
        vectors,
        alpha=alpha,
        seed=seed,
        ask=ask,
        revision=found.revision if found else "",
        public=public,
        delta=1 - confidence,
    )
    save_policy(policy.model_copy(update={"dataset": own_dataset_hash()}), out)
    print(policy.measured)


if __name__ == "__main__":
    typer.run(main)
