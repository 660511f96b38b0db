"""What notebook 01 does with labels: choose the cut of a policy on one part of them, judge it on the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import orjson

from benchmarks import drift
from benchmarks.figures import ROOT, this_run
from benchmarks.judging import Rates, SlotRate, rates, slot_rates
from benchmarks.labels import Labels, units
from benchmarks.lookups import STAGES, Asked, Query, Stage, Vectors, final_cut, last_stage, scored
from benchmarks.tuning import calibrate, own_parts, provenance, tune
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Policy, load_policy, save_policy
from workbench.cache.risk import Lookups, rcps_cut
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import VERIFIER_CARD, VERIFIER_FILE, verifier_folder
from workbench.errors import ConfigurationError
from workbench.settings import data_folder

NONE = "none"


@dataclass(frozen=True, slots=True)
class Models:
    """The embedder, and the verifier where there is one."""

    vectors: Vectors
    verifier: Verifier | None
    ask: Asked | None

    def __str__(self) -> str:
        embedder = self.vectors.embedder
        verifier = f"verifier {self.verifier.revision}" if self.verifier else "no verifier"
        return f"{embedder.card.name} ({embedder.fingerprint}), {verifier}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the chosen policy does with lookups that chose nothing; `drift` is the same with a split by time."""

    policy: Policy
    rates: Rates
    slots: list[SlotRate]
    labels: Labels
    drift: drift.Drift | drift.Unchecked

    @property
    def kept(self) -> bool:
        """Whether false hits ÷ lookups are within the budget."""
        return self.rates.false.value <= (self.policy.alpha or 0.0)


def open_models(embedder: str = "", verifier: str = "") -> Models:
    """The models that a notebook's parameters name; raises `ConfigurationError`.

    `embedder` is a model folder, the default one when empty. `verifier` is a model folder or a file of layers, the one
    that ships (if it is there) when empty, "none" for none.
    """
    folder = Path(embedder) if embedder else minilm_folder(data_folder() / "embedders")
    found = _verifier(verifier)
    return Models(Vectors(Embedder(folder)), found, Asked(found.logit) if found else None)


def _verifier(name: str) -> Verifier | None:
    shipped = files("workbench") / "data" / VERIFIER_FILE
    if name == NONE or (not name and not shipped.is_file()):
        return None
    if name and (Path(name) / VERIFIER_CARD).is_file():
        return Verifier(Path(name))
    return Verifier(verifier_folder(data_folder() / "embedders", layers=Path(name) if name else None))


# ── the choice ──────────────────────────────────────────────────────────────────────────────────────────────


def choose(
    models: Models, labels: Labels, *, alpha: float, seed: int = 0, refit: bool = False, base: str = ""
) -> Policy:
    """A policy whose cuts were chosen on the calibration labels alone.

    Score and second stage are those of `base` (a policy file, the one that ships when empty), or, with `refit` or for
    another embedder, fitted anew on the project's training families.
    """
    fingerprint = models.vectors.embedder.fingerprint
    kept = load_policy(Path(base) if base else None)
    if refit or kept.fingerprint != fingerprint:
        revision = models.verifier.revision if models.verifier else ""
        fitted = tune(
            own_parts(models.vectors), models.vectors, alpha=alpha, seed=seed, ask=models.ask, revision=revision
        )
    else:
        fitted = standing_policy(models, base)
    policy = calibrate(fitted, labels.calibrated, alpha=alpha, ask=models.ask, store_size=labels.store_size)
    return policy.model_copy(update={"dataset": labels.dataset})


def standing_policy(models: Models, base: str = "") -> Policy:
    """The policy of the file `base`, the one that ships when empty, as it decides with these models.

    Raises `ConfigurationError` where it was measured with another embedder, or has no score.
    """
    kept = load_policy(Path(base) if base else None)
    kept.check(models.vectors.embedder.fingerprint)
    if kept.score is None:
        raise ConfigurationError("the policy has no score whose cut could be chosen: set refit = True to fit one")
    return _with_this_verifier(kept, models.verifier)


def _with_this_verifier(policy: Policy, verifier: Verifier | None) -> Policy:
    """Without its second stage where that belongs to another verifier, or there is none."""
    if policy.second is None:
        return policy
    reason = policy.second.why_not(verifier) if verifier else "there is no verifier"
    if reason:
        print(f"the first stage decides alone: {reason}")
    return policy.without_second() if reason else policy


def stages_of(queries: Sequence[Query], policy: Policy, models: Models) -> dict[Stage, Lookups]:
    """What each stage says of these lookups, up to the last one that the policy has."""
    stages = STAGES[: STAGES.index(last_stage(policy)) + 1]
    return {stage: scored(queries, policy, stage=stage, ask=models.ask) for stage in stages}


def kept_cuts(stages: dict[Stage, Lookups], *, alpha: float) -> dict[Stage, float]:
    """The loosest cut of each stage that keeps `alpha` with 95 % confidence; infinite where none does."""
    return {stage: rcps_cut(lookups, alpha) for stage, lookups in stages.items()}


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────────────────


def judge(policy: Policy, labels: Labels, models: Models, *, seed: int = 0) -> Verdict:
    """Let the policy answer the lookups that chose nothing."""
    lookups = scored(labels.judged, policy, stage=last_stage(policy), ask=models.ask)
    cut = final_cut(policy)
    return Verdict(
        policy,
        rates(labels.judged, lookups, cut, seed=seed),
        slot_rates(labels.judged, lookups, cut),
        labels,
        drift.check(policy, labels, ask=models.ask, seed=seed),
    )


def write(verdict: Verdict, output: str = "") -> Path:
    """Write policy.json (its path is given) and verdict.json into this folder, `runs/01_tune_threshold` when empty."""
    folder = Path(output) if output else ROOT / "runs" / "01_tune_threshold"
    folder.mkdir(parents=True, exist_ok=True)
    measured = verdict.policy.measured | verdict.rates.measured("judged_")
    policy = verdict.policy.model_copy(update={"measured": measured} | provenance())
    save_policy(policy, folder / "policy.json")
    (folder / "verdict.json").write_bytes(orjson.dumps(_told(verdict), option=orjson.OPT_INDENT_2) + b"\n")
    return folder / "policy.json"


def _told(verdict: Verdict) -> dict[str, object]:
    """Numbers with what they mean; JSON knows no infinity."""
    policy, labels = verdict.policy, verdict.labels
    cut = final_cut(policy)
    return {
        "budget_kept": verdict.kept,
        "alpha": policy.alpha,
        "labels": {"name": labels.name, "hash": labels.dataset, "store_size": labels.store_size},
        "lookups": len(labels.judged),
        "families": len(units(labels.judged)),
        "embedder": {"name": policy.embedder, "fingerprint": policy.fingerprint},
        "verifier": policy.second.revision if policy.second else None,
        "decides": last_stage(policy),
        "cut": cut if math.isfinite(cut) else None,
        "rates": verdict.rates.told(),
        "drift": verdict.drift.told(),
        "traps_served": [{"slot": each.slot, "of": each.of, "served": each.served} for each in verdict.slots],
        **this_run(),
    }
