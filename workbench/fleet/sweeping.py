"""What is rented and should not be: by label and expiry, and by what the ledger remembers."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.fleet.ledger_rows import Entry
from workbench.fleet.market import Instance
from workbench.fleet.nodes import Roll, read_label

FOREIGN_SPARE_S = 3600.0
"""Another fleet's instance is destroyed only so long after its expiry: clocks differ."""


def orphans(instances: Iterable[Instance], roll: Roll, *, project: str, now_s: float) -> tuple[Instance, ...]:
    """Instances of this project that nobody watches.

    Those that bear this fleet's id and are not on its roll (or are there twice), and any that expired.
    """
    known = {node.label: node.instance_id for node in roll.nodes}
    found = []
    for instance in instances:
        label = read_label(instance.label)
        if label is None or label.project != project:
            continue
        if label.fleet == roll.fleet:
            is_known = instance.label in known and known[instance.label] in (None, instance.id)
            if not is_known:
                found.append(instance)
        elif now_s > label.expires_s + FOREIGN_SPARE_S:
            found.append(instance)
    return tuple(found)


def forgotten(
    entries: Iterable[Entry], instances: Iterable[Instance], roll: Roll, *, now_s: float, after_s: float
) -> tuple[Entry, ...]:
    """What the ledger counts as living though it is on neither roll nor market, `after_s` after its intent.

    What another fleet rented, before the store was changed, counts as living until its expiry.
    """
    there = {instance.label for instance in instances} | {node.label for node in roll.nodes}

    def is_over(entry: Entry) -> bool:
        label = read_label(entry.label)
        is_ours = label is not None and label.fleet == roll.fleet
        return now_s > (entry.intended_s + after_s if is_ours else entry.expires_s + FOREIGN_SPARE_S)

    return tuple(entry for entry in entries if entry.label not in there and is_over(entry))
