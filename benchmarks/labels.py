"""Labels as lookups, in two parts: one chooses the cut of a policy, the other chooses nothing.

The project's own labels are its calibration and its test families; a user's file holds pairs, or texts with their
intents, and is divided into halves by a hash: of the pairs' families, or of the intents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.families import content_hash, own_families
from benchmarks.lookups import Query, Vectors, against_store, as_queries, without_twins
from benchmarks.pairs import INTENTS, PAIRS, LabelledPairs, LabelledText, LabelledTexts, read_intents, read_pairs
from benchmarks.rows import fitting_columns
from benchmarks.sliding import is_live
from benchmarks.splitting import NO_TIME, Dated, Periods, Undivided, by_time, halves
from benchmarks.streams import labelled_stream, stream_queries
from benchmarks.tuning import own_dataset_hash, own_parts
from workbench.cache.risk import units_needed
from workbench.errors import ConfigurationError

OWN = "own"


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled lookups: those that choose the cut, and those that choose nothing. `about` says what was read.

    `periods` are all that carry a time, divided anew: by it.
    """

    name: str
    calibrated: list[Query]
    judged: list[Query]
    store_size: int
    dataset: str
    about: str
    periods: Periods[Query] | Undivided

    def __str__(self) -> str:
        parts = (("choose the cut", self.calibrated), ("choose nothing", self.judged))
        told = [f"{len(part):,} lookups of {len(units(part)):,} families {what}" for what, part in parts]
        return f"{self.about}\n{'; '.join(told)}; a store of {self.store_size:,}"


def units(queries: Iterable[Query]) -> set[str]:
    """The families of these lookups: the independent units."""
    return {query.unit for query in queries}


def read_labels(dataset: str, vectors: Vectors, *, alpha: float) -> Labels:
    """The project's own labels for "own", else those of this file of pairs or intents, told apart by its columns.

    Raises `ConfigurationError` where they are too few for `alpha`, or a part has one class only.
    """
    labels = _own_labels(vectors) if dataset == OWN else _file_labels(Path(dataset), vectors)
    for part, queries in (("the part that chooses the cut", labels.calibrated), ("the other part", labels.judged)):
        if len({any(query.right) for query in queries}) < 2:
            raise ConfigurationError(f"{labels.name}: {part} has lookups of one class only; label more of the other")
    found, needed = len(units(labels.calibrated)), units_needed(alpha)
    if found < needed:
        raise ConfigurationError(
            f"{labels.name}: {found} independent families (or rows, or intents) choose the cut, a budget of "
            f"{alpha:.2%} takes at least {needed}: label more, or ask for a larger alpha"
        )
    return labels


def _own_labels(vectors: Vectors) -> Labels:
    """Every store holds the training families' first texts too; no family has a twin in an earlier split."""
    earlier = [*own_families("train"), *own_families("calibrate")]
    every = [*earlier, *own_families("test")]
    vectors.learn([text for family in every for text in family.same], show=is_live())
    parts = own_parts(vectors)
    judged = without_twins(own_families("test"), earlier, vectors)
    others = [family.text for family in (*parts.learned, *parts.chosen)]
    left_out = len(every) - len(others) - len(parts.calibrated) - len(judged)
    return Labels(
        OWN,
        against_store(parts.calibrated, vectors, others=others),
        against_store(judged, vectors, others=others),
        len(parts.calibrated) + len(others),
        own_dataset_hash(),
        f"the project's own {len(every):,} families, {left_out:,} left out because an earlier split has a twin",
        Undivided(NO_TIME),
    )


def _file_labels(path: Path, vectors: Vectors) -> Labels:
    if fitting_columns(path, (PAIRS, INTENTS)) == PAIRS:
        return _pair_labels(path, read_pairs(path), vectors)
    return _intent_labels(path, read_intents(path), vectors)


def _pair_labels(path: Path, found: LabelledPairs, vectors: Vectors) -> Labels:
    vectors.learn([text for pair in found.pairs for text in (pair.a, pair.b)], show=is_live())
    return _divided(path, found.pairs, lambda pair: pair.family, lambda pairs: as_queries(pairs, vectors), str(found))


def _intent_labels(path: Path, found: LabelledTexts, vectors: Vectors) -> Labels:
    """Each part is a stream of its own, whose store begins empty: a text is looked up among those before it there.

    So the parts are alike in all but their intents, and earlier and later ones in all but the time.
    """
    vectors.learn([each.text for each in found.texts], show=is_live())

    def stream(texts: Sequence[LabelledText]) -> list[Query]:
        return stream_queries(labelled_stream(texts, seed=0), vectors)

    labels = _divided(path, found.texts, lambda each: each.intent, stream, str(found))
    return replace(labels, store_size=len(halves(found.texts, lambda each: each.intent)[0]))


def _divided(
    path: Path,
    labelled: Sequence[Dated],
    family: Callable[[Dated], str],
    lookups: Callable[[Sequence[Dated]], list[Query]],
    about: str,
) -> Labels:
    """The lookups of both halves, and of both periods."""
    calibrated, judged = (lookups(part) if part else [] for part in halves(labelled, family))
    periods = by_time(labelled, family)
    return Labels(
        path.name,
        calibrated,
        judged,
        1,
        content_hash([path]),
        f"{path.name}: {about}",
        periods.made_into(lookups) if isinstance(periods, Periods) else periods,
    )
