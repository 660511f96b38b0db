"""How a policy does on what chose nothing of it: the project's test split, and public data where there is some.

    python -m benchmarks.evaluate --out benchmarks/results/decisions.json [--public FOLDER]

The public files (question_pairs, banking_intents, assistant_intents, as gzipped JSON lines) are read, never copied.
"""

from __future__ import annotations

import gzip
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import orjson
import typer

from benchmarks.bootstrap import ratio_interval
from benchmarks.conversing import conversations
from benchmarks.families import Pair, anchored_pairs, own_families
from benchmarks.figures import ROOT, Figure, Target, markdown, put_between_marks, this_run
from benchmarks.lookups import (
    STAGES,
    Ask,
    Asked,
    Query,
    Vectors,
    against_store,
    as_queries,
    hits_at,
    scored,
    without_twins,
)
from benchmarks.natural import part_of
from benchmarks.streams import OUT_OF_SCOPE, family_stream, intent_stream, stream_queries
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Policy, Weighed, load_policy
from workbench.cache.risk import Lookups
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import verifier_folder
from workbench.settings import data_folder

RESULTS = ROOT / "benchmarks" / "results" / "decisions.json"

PUBLIC_PAIRS = 8_000
"""Of the 40,000 question pairs, drawn at random: each takes some milliseconds."""

STREAMS = 10
"""Of the same families in other orders: what one stream meets first moves its rates by more than a percentage point."""

KEPT_OUT = 30
"""Whole intents that are never stored; nothing may answer them."""


def cut_of(policy: Policy) -> float:
    """The logit that must be exceeded by what `scored` gives for the policy's last stage."""
    assert policy.score
    return policy.second.cut if policy.second else policy.score.cut


def decided(queries: Sequence[Query], policy: Policy, ask: Ask | None) -> Lookups:
    """What the policy serves."""
    return scored(queries, policy, stage="verifier" if policy.second else "score", ask=ask)


def rates(lookups: Lookups, cut: float) -> dict[str, Any]:
    """Hits and false hits ÷ lookups, with 95 % intervals over units."""
    served = lookups.score > cut
    return {
        "lookups": len(served),
        "units": lookups.units,
        "hit_rate": round(float(np.mean(served & ~lookups.wrong)), 4),
        "hit_rate_interval": _interval(served & ~lookups.wrong, lookups.unit),
        "false_hit_rate": round(float(np.mean(served & lookups.wrong)), 5),
        "false_hit_rate_interval": _interval(served & lookups.wrong, lookups.unit),
        "false_of_hits": round(float(np.sum(served & lookups.wrong) / max(1, served.sum())), 4),
    }


def _interval(events: npt.NDArray[np.bool_], unit: npt.NDArray[np.int64]) -> list[float]:
    return [round(bound, 5) for bound in ratio_interval(events, np.ones(len(events)), unit=unit)]


def own_test(policy: Policy, vectors: Vectors, ask: Ask | None) -> dict[str, Any]:
    """Each text of a test family against its first one, and against a store of all first texts; and as a stream."""
    everything = own_families("test")
    families = without_twins(everything, [*own_families("train"), *own_families("calibrate")], vectors)
    cut = cut_of(policy)
    queries = as_queries([pair for family in families for pair in anchored_pairs(family)], vectors)
    lookups = decided(queries, policy, ask)
    served = lookups.score > cut
    found: dict[str, Any] = {"families": len(families), "left_out_as_twins": len(everything) - len(families)}
    for kind in ("near", "paraphrase", "trap"):
        chosen = np.array([query.kind == kind for query in queries])
        share = _interval(served[chosen], lookups.unit[chosen])
        found[f"{kind}_served"] = {
            "share": round(float(served[chosen].mean()), 4),
            "interval": share,
            "n": int(chosen.sum()),
        }
    asked = Counter(query.slot for query in queries if query.slot)
    through = Counter(query.slot for query, hit in zip(queries, served, strict=True) if query.slot and hit)
    found["traps_served_by_slot"] = {slot: [through[slot], count] for slot, count in asked.most_common()}
    found["best_at_traps"] = {stage: best_at_traps(queries, policy, ask, stage) for stage in STAGES}
    found["against_store"] = rates(decided(against_store(families, vectors), policy, ask), cut)
    streams = (family_stream(families, seed=seed) for seed in range(STREAMS))
    stream = [query for spoken in streams for query in stream_queries(spoken, vectors)]
    found["stream"] = rates(decided(stream, policy, ask), cut)
    static = hits_at(scored(stream, policy, stage="cosine"), policy.alpha or 0.01)
    found["stream_static_hit_rate_at_alpha"] = round(static, 4)
    found["stream_ratio"] = round(found["stream"]["hit_rate"] / static, 2) if static else None
    return found


def best_at_traps(queries: Sequence[Query], policy: Policy, ask: Ask | None, stage: Any) -> dict[str, float]:
    """Of near-repeats and paraphrases together, the share that an oracle's cut serves at 1 % and 2 % of the traps."""
    lookups = scored(queries, policy, stage=stage, ask=ask)
    traps = np.array([query.kind == "trap" for query in queries])
    cuts = {share: np.quantile(lookups.score[traps], 1 - share, method="higher") for share in (0.01, 0.02)}
    return {f"{share:.0%}": round(float(np.mean(lookups.score[~traps] > cut)), 4) for share, cut in cuts.items()}


def question_pairs(folder: Path, policy: Policy, vectors: Vectors, ask: Ask | None) -> dict[str, Any]:
    """Public question pairs: one lookup is one pair. They train nothing and choose nothing."""
    with gzip.open(folder / "question_pairs.jsonl.gz") as lines:
        rows = [orjson.loads(line) for line in lines]
    chosen = random.Random(0).sample(rows, min(PUBLIC_PAIRS, len(rows)))  # noqa: S311  # reproducible, not secret
    pairs = [
        Pair(row["a"], row["b"], bool(row["same"]), "paraphrase" if row["same"] else "trap", "", str(place))
        for place, row in enumerate(chosen)
    ]
    vectors.learn([text for pair in pairs for text in (pair.a, pair.b)], show=True)
    queries = as_queries(pairs, vectors)
    ours = rates(decided(queries, policy, ask), cut_of(policy))
    static = scored(queries, policy, stage="cosine")
    same_rate = hits_at(static, ours["false_hit_rate"])
    return {
        **ours,
        "static_hit_rate_at_that_rate": round(same_rate, 4),
        "ratio_to_static": round(ours["hit_rate"] / same_rate, 2) if same_rate else None,
        "at_1_percent": {
            stage: round(hits_at(scored(queries, policy, stage=stage, ask=ask), 0.01), 4) for stage in STAGES
        },
    }


def banking(folder: Path, policy: Policy, vectors: Vectors, ask: Ask | None) -> dict[str, Any]:
    """A stream of bank customers' questions: how many answers cross intents, against a static cut with as many hits.

    Only of intents from which nothing was learned.
    """
    every = intent_stream(folder / "banking_intents.jsonl.gz", seed=0)
    spoken = [each for each in every if part_of(each.group) == "report"]
    vectors.learn([each.text for each in spoken], show=True)
    queries = stream_queries(spoken, vectors)
    ours = decided(queries, policy, ask)
    served = ours.score > cut_of(policy)
    static = scored(queries, policy, stage="cosine")
    strict = np.sort(static.score)[::-1][: int(served.sum())].min(initial=2.0)
    crossed, crossed_static = int(np.sum(served & ours.wrong)), int(np.sum(static.wrong & (static.score >= strict)))
    return {
        "intents": len({each.group for each in spoken}),
        "lookups": len(queries),
        "served": int(served.sum()),
        "across_intents": crossed,
        "static_served": int(np.sum(static.score >= strict)),
        "static_across_intents": crossed_static,
        "fewer": round(1 - crossed / crossed_static, 3) if crossed_static else None,
    }


def assistant(folder: Path, policy: Policy, vectors: Vectors, ask: Ask | None) -> dict[str, Any]:
    """What is asked about intents that are not stored, and from which nothing was learned, must not be answered."""
    spoken = intent_stream(folder / "assistant_intents.jsonl.gz", seed=0)
    vectors.learn([each.text for each in spoken], show=True)
    intents = sorted({each.group for each in spoken if part_of(each.group) == "report"} - {OUT_OF_SCOPE})
    out = {*random.Random(0).sample(intents, KEPT_OUT), OUT_OF_SCOPE}  # noqa: S311  # reproducible, not secret
    asked = [each for each in spoken if each.group in out]
    stored = [each for each in spoken if each.group not in out]
    lookups = decided(stream_queries(asked, vectors, stored=stored), policy, ask)
    answered = lookups.score > cut_of(policy)
    return {
        "asked": len(asked),
        "stored": len(stored),
        "answered": int(answered.sum()),
        "share": round(float(answered.mean()), 5),
    }


def costs(policy: Policy, vectors: Vectors, verifier: Verifier | None) -> dict[str, float]:
    """Milliseconds of a decision beyond embedding and search, on pairs that nothing remembers."""
    pairs = [pair for family in own_families("test") for pair in anchored_pairs(family)]
    similarities = vectors.similarities(pairs).tolist()
    cheap, verified = [], []
    for pair, similarity in zip(pairs, similarities, strict=True):
        begun = time.perf_counter()
        weighed = policy.weigh(pair.b, pair.a, similarity)
        weighed_at = time.perf_counter()
        cheap.append((weighed_at - begun) * 1e3)
        if isinstance(weighed, Weighed) and weighed.asks and verifier:
            verifier.logit(weighed.question, weighed.candidate)
            verified.append((time.perf_counter() - begun) * 1e3)
    return {
        "without_verifier_p50_ms": round(float(np.median(cheap)), 3),
        "without_verifier_p99_ms": round(float(np.quantile(cheap, 0.99)), 3),
        **({"with_verifier_p50_ms": round(float(np.median(verified)), 3)} if verified else {}),
        **({"asked_share": round(len(verified) / len(pairs), 3)} if verified else {}),
    }


def store_sizes(policy: Policy, vectors: Vectors, ask: Ask | None) -> list[dict[str, Any]]:
    """The same lookups against ever larger stores: the more there is, the more looks alike."""
    earlier = [*own_families("train"), *own_families("calibrate")]
    families = without_twins(own_families("test"), earlier, vectors)
    others = [text for family in earlier for text in family.same]
    random.Random(0).shuffle(others)  # noqa: S311  # reproducible, not secret
    found = []
    for size in (len(families), 1000, 3000, len(families) + len(others)):
        queries = against_store(families, vectors, others=others[: size - len(families)])
        found.append(
            {
                "store_size": min(size, len(families) + len(others)),
                **rates(decided(queries, policy, ask), cut_of(policy)),
            }
        )
    return found


def figures_of(report: dict[str, Any]) -> Iterator[Figure]:
    """What of a report has a target."""
    own, costs = report["own_test"], report["costs"]
    for kind, about, least in (("near", "near-repeats", 0.85), ("paraphrase", "true paraphrases", 0.5)):
        served = own[f"{kind}_served"]
        yield _figure(f"{about} served", served["share"], Target(least, at_least=True), served["n"])
    traps = own["trap_served"]
    yield _figure("traps refused", 1 - traps["share"], Target(0.98, at_least=True), traps["n"])
    stream = own["stream"]
    yield _figure("false hits ÷ lookups in a stream", stream["false_hit_rate"], Target(0.01), stream["lookups"])
    about = "hits in that stream ÷ the best static cosine's at 1 % false"
    yield _figure(about, own["stream_ratio"], Target(2, at_least=True), stream["lookups"])
    yield _figure("decision without verifier, p50", costs["without_verifier_p50_ms"], Target(0.5), traps["n"], "ms")
    if "with_verifier_p50_ms" in costs:
        yield _figure("decision with verifier, p50", costs["with_verifier_p50_ms"], Target(5), traps["n"], "ms")
    if pairs := report.get("question_pairs"):
        yield _figure(
            "public question pairs: false hits ÷ lookups", pairs["false_hit_rate"], Target(0.01), pairs["lookups"]
        )
        about = "public question pairs: hits ÷ the best static cosine's at that rate"
        yield _figure(about, pairs["ratio_to_static"], Target(1.2, at_least=True), pairs["lookups"])
    if bank := report.get("banking"):
        about = "bank customers' stream: fewer answers across intents than static, as many served"
        yield _figure(about, bank["fewer"], Target(0.2, at_least=True), bank["lookups"])
    if kept_out := report.get("assistant"):
        about = "answered although nothing of that intent is stored"
        yield _figure(about, kept_out["share"], Target(0.005), kept_out["asked"])


def _figure(about: str, value: float | None, target: Target, samples: int, unit: str = "") -> Figure:
    return Figure(about, about, [math.nan if value is None else value], unit, samples, target)


def main(
    out: Annotated[Path, typer.Option(help="The results file.")] = RESULTS,
    policy: Annotated[Path | None, typer.Option(help="A policy; the one that ships when absent.")] = None,
    verifier: Annotated[Path | None, typer.Option(help="A file of layers; the one that ships when absent.")] = None,
    public: Annotated[Path | None, typer.Option(help="A folder with the public files.")] = None,
) -> None:
    """Evaluate a policy and write what was found."""
    found = load_policy(policy)
    folder = data_folder() / "embedders"
    vectors = Vectors(Embedder(minilm_folder(folder)))
    found.check(vectors.embedder.fingerprint)
    model = Verifier(verifier_folder(folder, layers=verifier)) if found.second else None
    ask = Asked(model.logit) if model else None
    report: dict[str, Any] = this_run() | {"alpha": found.alpha or 0.01}
    report |= {"policy_date": found.date, "policy_commit": found.commit}
    for name, measure in (("own_test", own_test), ("conversations", conversations), ("store_sizes", store_sizes)):
        print(f"{name} …", file=sys.stderr)
        report[name] = measure(found, vectors, ask)
    report["costs"] = costs(found, vectors, model)
    for name, public_measure in (("question_pairs", question_pairs), ("banking", banking), ("assistant", assistant)):
        if public:
            print(f"{name} …", file=sys.stderr)
            report[name] = public_measure(public, found, vectors, ask)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    if out == RESULTS:
        run = {name: report[name] for name in ("machine", "python", "date", "commit")}
        rows = [figure.row(run) for figure in figures_of(report)]
        put_between_marks("decisions", markdown(rows, command="python -m benchmarks.evaluate"))


if __name__ == "__main__":
    typer.run(main)
