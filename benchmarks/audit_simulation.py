"""What the audit does when the truth is known: `python -m benchmarks.audit_simulation --out FILE`.

Many runs side by side, hit by hit, through the very functions that serve (`cache.evidence`, `cache.audit_rules`); a
test drives the audit itself through the same streams. What is simulated: each hit is wrong with a known probability,
the judge calls a right one wrong with another, audits are answered before the next hit, and no wrong pair repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import orjson
import typer

from benchmarks.figures import this_run
from workbench.cache.audit_rules import FULL_HITS, SCOPE_SHARE, SCOPE_WRONGS, THRESHOLD, decayed
from workbench.cache.audit_state import Rules
from workbench.cache.evidence import BELOW, NO_EVIDENCE, grown, log_evidence, strength, upper_bound

RULES = Rules(measured=(2_000, 0))
"""The default budget, with a judge whose 2,000 controls were all right."""

STEADY, JUMPED, MOST_WRONGS, HORIZON = 0.005, 0.20, 30, 6_000

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One truth: `before` of the hits are wrong, from hit number `jump` on `after`; `hits` in all.

    `hit_share` of lookups are hits; the judge gives `false_alarms`, of which it had `controls`. `repeats` of the wrong
    answers make the user ask again, which is noticed and checked. `share` gives the audited share after so many hits.
    """

    name: str
    hits: int
    jump: int | None = None
    before: float = STEADY
    after: float = JUMPED
    hit_share: float = 1.0
    false_alarms: float = 0.0
    controls: int = 2_000
    repeats: float = 0.0
    share: Callable[[int], float] | None = None
    runs: int = 2_000

    @property
    def budget(self) -> float:
        """What the judge may at most call wrong within the budget."""
        among_hits = min(RULES.worst_among_hits, RULES.alpha / self.hit_share)
        alarms = upper_bound(round(self.controls * self.false_alarms), self.controls, confidence=RULES.confidence)
        return among_hits + (1 - among_hits) * alarms


class Runs:
    """Many tenants at once; `closed_at` is the hit that closed each, or -1."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self._random = np.random.default_rng(seed)
        count = scenario.runs
        self.closed_at = np.full(count, -1)
        self.scope_closed_at = np.full(count, -1)
        self.wrongs = np.zeros(count, int)
        self.audits = np.zeros(count, int)
        self._seen_wrong = np.zeros(count, int)
        self._evidence = np.tile(np.array(NO_EVIDENCE), (count, 1))
        self._vigilance = np.zeros(count, int)
        self._suspicious = np.zeros(count, bool)
        self._budget = scenario.budget

    def go(self) -> Runs:
        """All hits, or until all are closed."""
        for number in range(self.scenario.hits):
            is_open = self.closed_at < 0
            if not is_open.any():
                break
            self._hit(number, is_open)
        return self

    def _hit(self, number: int, is_open: Mask) -> None:
        scenario = self.scenario
        jumped = scenario.jump is not None and number >= scenario.jump
        wrong = self._happens(scenario.after if jumped else scenario.before) & is_open
        if jumped or scenario.jump is None:
            self.wrongs += wrong
        share = (scenario.share or _shipped)(number)
        audited = (self._happens(share) | self._suspicious | (self._vigilance > 0)) & is_open
        self._vigilance = np.maximum(self._vigilance - 1, 0)
        called = wrong | self._happens(scenario.false_alarms) if scenario.false_alarms else wrong
        self._audit(number, np.flatnonzero(audited), called)
        if scenario.repeats:
            self._vigilance[wrong & self._happens(scenario.repeats)] = FULL_HITS

    def _audit(self, number: int, audited: npt.NDArray[np.intp], called: Mask) -> None:
        if not audited.size:
            return
        self.audits[audited] += 1
        self._seen_wrong[audited] += called[audited]
        after = grown(self._evidence[audited], wrong=called[audited], rate=np.full(audited.size, self._budget))
        self._evidence[audited] = after
        self._vigilance[audited[called[audited]]] = FULL_HITS
        found = strength(after)
        self._suspicious[audited] = found >= math.sqrt(THRESHOLD)
        self.closed_at[audited[found >= THRESHOLD]] = number
        seen = self._seen_wrong[audited]
        scope = audited[(seen >= SCOPE_WRONGS) & (seen >= SCOPE_SHARE * self.audits[audited])]
        self.scope_closed_at[scope[self.scope_closed_at[scope] < 0]] = number

    def _happens(self, probability: float) -> Mask:
        happens: Mask = self._random.random(self.scenario.runs) < probability
        return happens


def _shipped(hits: int) -> float:
    return 1.0 if hits < FULL_HITS else decayed(hits, least=RULES.least_share)


def _bare(least: float) -> Callable[[int], float]:
    return lambda hits: 1.0 if hits < FULL_HITS else least


def jumps() -> list[Scenario]:
    """When the rate jumps, and what else may be so."""
    base = Scenario("", 0)
    named = {f"jump at {at}": replace(base, jump=at) for at in (20, 500, 5_000, 50_000)}
    variants = {
        "half of lookups are hits": replace(base, hit_share=0.5),
        "a fifth of lookups are hits": replace(base, hit_share=0.2),
        "judge with 0.5 % false alarms, 1,000 controls": replace(base, false_alarms=0.005, controls=1_000),
        "judge with 200 controls only": replace(base, controls=200),
        "a tenth of wrong answers is asked again": replace(base, repeats=0.1),
        "bare 2 % after the first 50": replace(base, share=_bare(0.02)),
        "bare 2 %, a tenth is asked again": replace(base, share=_bare(0.02), repeats=0.1),
        "bare 12 % after the first 50": replace(base, share=_bare(0.12)),
    }
    named |= {f"jump at 5000, {what}": replace(scenario, jump=5_000) for what, scenario in variants.items()}
    named["jump at 50000, a tenth is asked again"] = replace(base, jump=50_000, repeats=0.1)
    named["jump at 50000, never below 12 %"] = replace(
        base, jump=50_000, share=lambda hits: 1.0 if hits < FULL_HITS else decayed(hits, least=0.12)
    )
    return [replace(it, name=name, hits=(it.jump or 0) + HORIZON, runs=1_000) for name, it in named.items()]


def steadies(*, hits: int, runs: int) -> list[Scenario]:
    """A rate that never changes: within the budget, and just at it."""
    return [
        Scenario("steady 0.5 %", hits, runs=runs),
        Scenario("steady 0.5 %, judge with 0.5 % false alarms", hits, runs=runs, false_alarms=0.005, controls=1_000),
        Scenario("steady 1 %, just the budget", hits, before=RULES.alpha, runs=runs),
    ]


def jump_row(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Wrong answers served from the jump until it was closed, of the runs that were open until then."""
    done = Runs(scenario, seed).go()
    early = (done.closed_at >= 0) & (done.closed_at < (scenario.jump or 0))
    wrongs = done.wrongs[~early]
    return _facts(scenario, seed) | {
        "closed_before_the_jump": int(early.sum()),
        "never_closed": int((done.closed_at < 0).sum()),
        "mean": float(wrongs.mean()),
        "p50": float(np.quantile(wrongs, 0.5)),
        "p95": float(np.quantile(wrongs, 0.95)),
        "within_30": float((wrongs <= MOST_WRONGS).mean()),
        "wrongs_histogram": np.bincount(np.minimum(wrongs, 200)).tolist(),
    }


def steady_row(scenario: Scenario, seed: int) -> dict[str, Any]:
    """How many were closed although nothing changed, and what was audited."""
    done = Runs(scenario, seed).go()
    closed = int((done.closed_at >= 0).sum())
    return _facts(scenario, seed) | {
        "closed": closed,
        "closed_share": closed / scenario.runs,
        "closed_share_at_most": upper_bound(closed, scenario.runs, confidence=0.95),
        "closed_at": np.sort(done.closed_at[done.closed_at >= 0]).tolist(),
        "scope_closed_share_if_all_is_one_scope": float((done.scope_closed_at >= 0).mean()),
        "audited_share": float(done.audits.mean() / scenario.hits),
        "schedule": [[hits, _shipped(hits)] for hits in (1, 50, 100, 200, 500, 1_000, 5_000, 20_000, 50_000, 100_000)],
    }


def shadow_row(rate: float, *, lookups: int, runs: int, seed: int) -> dict[str, Any]:
    """After how many lookups it opens by itself, when so many of them would have been false hits."""
    random = np.random.default_rng(seed)
    wrong, opened_at = np.zeros(runs, int), np.full(runs, -1)
    target, needed = RULES.alpha * (1 - RULES.judge_misses), -math.log1p(-RULES.confidence)
    for lookup in range(1, lookups + 1):
        wrong += random.random(runs) < rate
        holds = log_evidence(wrong, np.full(runs, lookup), np.full(runs, target), bets=BELOW) >= needed
        opened_at[holds & (opened_at < 0)] = lookup
    opened = np.sort(opened_at[opened_at >= 0])
    ends = [int(end) for end in np.geomspace(100, lookups, 40)]
    return {
        "name": f"shadow, {rate:.1%} of lookups false",
        "seed": seed,
        "runs": runs,
        "lookups": lookups,
        "rate": rate,
        "opened_share": opened.size / runs,
        "opened_at_p50": float(np.median(opened)) if opened.size else None,
        "opened_at_p95": float(np.quantile(opened, 0.95)) if opened.size else None,
        "opened_by": [[end, float((opened <= end).sum() / runs)] for end in ends],
    }


def simulate(*, seed: int, quick: bool) -> dict[str, Any]:
    """All three questions; quick: few runs, for a look at whether it works."""
    hits, runs = (3_000, 50) if quick else (100_000, 1_000)
    told = [replace(it, runs=50, hits=min(it.hits, 8_000)) for it in jumps()] if quick else jumps()
    asked = [it for it in told if (it.jump or 0) < it.hits]
    return {
        "rules": asdict(RULES) | {"threshold": THRESHOLD, "full_hits": FULL_HITS},
        "jump": [jump_row(scenario, seed + number) for number, scenario in enumerate(asked)],
        "steady": [steady_row(it, seed + 100 + number) for number, it in enumerate(steadies(hits=hits, runs=runs))],
        "shadow": [
            shadow_row(rate, lookups=2_000 if quick else 20_000, runs=runs, seed=seed + 200 + number)
            for number, rate in enumerate((0.0, 0.001, 0.003, 0.005, 0.01, 0.03))
        ],
    }


def verdict(found: dict[str, Any]) -> dict[str, bool]:
    """The figures that are required."""
    jumps_by_name = {row["name"]: row for row in found["jump"]}
    shadows = {row["rate"]: row for row in found["shadow"]}
    return {
        f"≤ {MOST_WRONGS} wrong answers in ≥ 95 % of runs, jump at {at}": jumps_by_name[f"jump at {at}"]["within_30"]
        >= 0.95
        for at in (20, 500, 5_000)
    } | {
        "steady 0.5 %: ≤ 5 % falsely closed": found["steady"][0]["closed_share_at_most"] <= 0.05,
        "shadow opens on a clean stream": shadows[0.001]["opened_share"] >= 0.95,
        "shadow stays shut at 3 % in ≥ 95 %": shadows[0.03]["opened_share"] <= 0.05,
    }


def _facts(scenario: Scenario, seed: int) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(replace(scenario, share=None)).items() if name != "share"}
    return facts | {"seed": seed, "budget_among_audited": scenario.budget}


def main(
    out: Annotated[Path, typer.Option(help="Where the results go, as JSON.")],
    seed: Annotated[int, typer.Option(help="All runs follow from it.")] = 1,
    quick: Annotated[bool, typer.Option(help="Few runs: whether it works, not what comes out.")] = False,
) -> None:
    """Simulate the audit, write everything, and print the verdict as one line of JSON."""
    found = simulate(seed=seed, quick=quick)
    reached = verdict(found)
    out.write_bytes(orjson.dumps(found | {"verdict": reached} | this_run(), option=orjson.OPT_INDENT_2) + b"\n")
    for row in (*found["jump"], *found["steady"], *found["shadow"]):
        typer.echo({name: value for name, value in row.items() if not isinstance(value, list)}, err=True)
    typer.echo(orjson.dumps(reached))


if __name__ == "__main__":
    typer.run(main)
