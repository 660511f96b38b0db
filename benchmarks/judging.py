"""What a cut does with labelled lookups: the rates that people ask for, with intervals, and tables of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from benchmarks.bootstrap import ratio_interval
from benchmarks.lookups import Query, Stage, curve
from workbench.cache.risk import Lookups, crc_cut

Mask = npt.NDArray[np.bool_]

STAGE_NAMES: dict[Stage, str] = {
    "cosine": "cosine alone",
    "guards": "+ guards",
    "score": "+ score",
    "verifier": "+ verifier",
}


@dataclass(frozen=True, slots=True)
class Point:
    """Where a cut puts the cache: false hits ÷ lookups and right hits ÷ lookups."""

    false: float
    right: float


@dataclass(frozen=True, slots=True)
class SlotCount:
    """Of `of` traps that differ in `slot`, how many are served: by the decision, and by the cosine alone."""

    slot: str
    of: int
    served: int
    by_cosine: int


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of` lookups, and the interval at 95 % over families."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """count ÷ of; NaN where there is none."""
        return self.count / self.of if self.of else float("nan")

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})" if self.of else "none"


@dataclass(frozen=True, slots=True)
class Rates:
    """Everything ÷ lookups but for `false_among_hits` (÷ hits) and the last three (÷ lookups of the kind).

    `near` and `paraphrase` count those that were answered rightly, `traps_refused` those that were not answered.
    """

    right: Rate
    false: Rate
    false_among_hits: Rate
    near: Rate
    paraphrase: Rate
    traps_refused: Rate

    def told(self) -> dict[str, dict[str, float | int | None]]:
        """For JSON, which has no NaN."""
        rows: dict[str, Rate] = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: {
                "count": rate.count,
                "of": rate.of,
                "rate": round(rate.value, 5) if rate.of else None,
                "low": round(rate.low, 5) if rate.of else None,
                "high": round(rate.high, 5) if rate.of else None,
            }
            for name, rate in rows.items()
        }

    def measured(self, prefix: str) -> dict[str, float]:
        """Rates and the ends of their intervals by name, those without any lookup left out."""
        return {
            f"{prefix}{name}{end}": value
            for name, told in self.told().items()
            for end, key in (("", "rate"), ("_low", "low"), ("_high", "high"))
            if (value := told[key]) is not None
        }


@dataclass(frozen=True, slots=True)
class SlotRate:
    """Of `of` traps that differ in `slot`, `served` are answered."""

    slot: str
    of: int
    served: int


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; a notebook shows it as a table, a terminal as Markdown."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        lines = (self.header, ("---",) * len(self.header), *self.rows)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _repr_markdown_(self) -> str:
        return repr(self)


def rates(queries: Sequence[Query], lookups: Lookups, cut: float, *, seed: int = 0) -> Rates:
    """What serving everything above `cut` comes to."""
    served = np.asarray(lookups.score > cut, np.bool_)
    right, false = served & ~lookups.wrong, served & lookups.wrong
    kind = np.array([query.kind for query in queries])
    near, paraphrase, trap = (kind == name for name in ("near", "paraphrase", "trap"))
    every = np.ones(len(queries), np.bool_)

    def rate(part: Mask, whole: Mask) -> Rate:
        low, high = ratio_interval(part & whole, whole, unit=lookups.unit, seed=seed)
        return Rate(int((part & whole).sum()), int(whole.sum()), low, high)

    return Rates(
        right=rate(right, every),
        false=rate(false, every),
        false_among_hits=rate(false, served),
        near=rate(right, near),
        paraphrase=rate(right, paraphrase),
        traps_refused=rate(~served, trap),
    )


def slot_rates(queries: Sequence[Query], lookups: Lookups, cut: float) -> list[SlotRate]:
    """How many traps of each slot are served, by name."""
    served = lookups.score > cut
    total = Counter(_slot(query) for query in queries if query.kind == "trap")
    through = Counter(_slot(query) for query, hit in zip(queries, served, strict=True) if hit and query.kind == "trap")
    return [SlotRate(slot, total[slot], through[slot]) for slot in sorted(total)]


def slot_counts(queries: Sequence[Query], final: Lookups, cut: float, *, cosine: Lookups) -> list[SlotCount]:
    """The same beside what the cosine alone serves at a cut with as many right hits."""
    beside = slot_rates(queries, cosine, cut_with(cosine, right=point(final, cut).right))
    both = zip(slot_rates(queries, final, cut), beside, strict=True)
    return [SlotCount(ours.slot, ours.of, ours.served, other.served) for ours, other in both]


def answerable(queries: Sequence[Query]) -> Mask:
    """(n,): which lookups an answer of some other one serves; the others are traps."""
    return np.array([query.kind != "trap" for query in queries], np.bool_)


def point(lookups: Lookups, cut: float) -> Point:
    """Where this cut lies on the curve."""
    served = lookups.score > cut
    return Point(float(np.mean(served & lookups.wrong)), float(np.mean(served & ~lookups.wrong)))


def cut_with(lookups: Lookups, *, right: float) -> float:
    """The strictest cut that gives at least so many right hits ÷ lookups, or the loosest there is."""
    cuts, _, rights = curve(lookups)
    if right <= 0 or not len(cuts):
        return float("inf")
    place = min(int(np.searchsorted(rights, right)), len(cuts) - 1)
    return float(np.nextafter(cuts[place], -np.inf))


def stage_table(
    queries: Sequence[Query],
    stages: Mapping[Stage, Lookups],
    cuts: Mapping[Stage, float],
    *,
    alpha: float,
    seed: int = 0,
) -> Table:
    """One row a stage: what its own cut for this budget comes to, and the right hits at the expected-risk cut."""
    rows = []
    for stage, lookups in stages.items():
        found = rates(queries, lookups, cuts[stage], seed=seed)
        expected = point(lookups, crc_cut(lookups, alpha))
        cells = (found.right, found.false, found.near, found.paraphrase, found.traps_refused)
        rows.append((STAGE_NAMES[stage], *map(str, cells), f"{expected.right:.1%}"))
    header = ("decides", "right hits", "false hits", "near-repeats served", "paraphrases served", "traps refused")
    return Table((*header, "right hits, risk kept on average only"), tuple(rows))


def rate_table(found: Rates, by_time: Rates | None = None) -> Table:
    """One row a rate; beside the usual split, the one by time where there is one."""
    names = {
        "right": "right hits ÷ lookups",
        "false": "false hits ÷ lookups",
        "false_among_hits": "false hits ÷ hits",
        "near": "near-repeats served",
        "paraphrase": "paraphrases served",
        "traps_refused": "traps refused",
    }
    splits = [found] if by_time is None else [found, by_time]
    rows = [(names[name], *(cell for split in splits for cell in _cells(getattr(split, name)))) for name in names]
    header = ("measured (95 % over families)", "lookups", "split by time, the later part", "lookups")
    return Table(("rate", *header[: 2 * len(splits)]), tuple(rows))


def _cells(rate: Rate) -> tuple[str, str]:
    return str(rate), f"{rate.count:,} of {rate.of:,}"


def _slot(query: Query) -> str:
    return query.slot or "not named"
