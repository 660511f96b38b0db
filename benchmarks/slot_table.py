"""How precise each slot of the guards is, on families of questions: ``python -m benchmarks.slot_table FILES…``.

Of every family, all pairs of its text, near-repeats and paraphrases have the same answer; each of them has another
than each trap.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson

from workbench.cache.guards import SLOT_NAMES, conflicts


def main(files: list[str]) -> None:
    """Print a line per slot: on how many same-pairs and trap-pairs it conflicts, and how many of both are traps."""
    families = [orjson.loads(line) for file in files for line in Path(file).read_bytes().splitlines() if line]
    same, traps = Counter[str](), Counter[str]()
    pairs = trap_pairs = 0
    for family in families:
        for a, b in _same_pairs(family):
            pairs += 1
            same.update(conflict.slot for conflict in conflicts(a, b))
        for a, b in _trap_pairs(family):
            trap_pairs += 1
            traps.update(conflict.slot for conflict in conflicts(a, b))
    print(f"{len(families)} families, {pairs} same-pairs, {trap_pairs} trap-pairs")
    print(f"{'slot':22}{'same %':>9}{'trap %':>9}{'precision':>11}")
    for slot in SLOT_NAMES:
        # Each share, not each count: there are more pairs of one sort than of the other.
        one, other = same[slot] / max(1, pairs), traps[slot] / max(1, trap_pairs)
        precision = f"{other / (one + other):11.2f}" if one + other else f"{'-':>11}"
        print(f"{slot:22}{100 * one:9.2f}{100 * other:9.2f}{precision}")


def _same_pairs(family: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from combinations([family["text"], *family["near"], *family["paraphrases"]], 2)


def _trap_pairs(family: dict[str, Any]) -> Iterator[tuple[str, str]]:
    texts = [family["text"], *family["near"], *family["paraphrases"]]
    yield from ((text, trap["text"]) for text in texts for trap in family["traps"])


if __name__ == "__main__":
    main(sys.argv[1:])
