"""What a controller learns from how its machines end."""

from __future__ import annotations

import logging
from dataclasses import replace

from workbench.fleet.nodes import Excluded, Node, Roll
from workbench.fleet.terms import Limits

log = logging.getLogger(__name__)

TRIES = 3
OUTBID = "outbid"
"""The failure that says nothing against a machine."""


def noted(roll: Roll, before: Node, after: Node | None, *, now_s: float, limits: Limits) -> Roll:
    """The roll with `after` instead of `before` (None: it is gone), and what that teaches.

    A machine that failed is excluded for a day; after three failed starts in a row nothing is rented for a while.
    """
    if after is None:
        roll = roll.without(before.label)
        has_failed = before.instance_id is not None and before.state != "destroying"
    else:
        roll = roll.having(after)
        has_failed = after.has_failed and not before.has_failed
    if not has_failed:
        return roll
    why = after.why if after else "it vanished"
    log.warning("fleet.failed label=%s machine=%d why=%r", before.label, before.machine_id, why)
    if why == OUTBID:
        return replace(roll, outbid=roll.outbid + 1)
    still = tuple(each for each in roll.excluded if each.until_s > now_s)
    roll = replace(roll, excluded=(*still, Excluded(before.machine_id, now_s + limits.excluded_s)))
    return roll if before.state in ("ready", "draining") else _failed_start(roll, why, now_s=now_s, limits=limits)


def _failed_start(roll: Roll, why: str, *, now_s: float, limits: Limits) -> Roll:
    roll = replace(roll, failed_starts=roll.failed_starts + 1)
    if roll.failed_starts < TRIES:
        return roll
    told = f"{TRIES} machines in a row did not start, the last one because: {why}"
    return replace(roll, failed_starts=0, paused_until_s=now_s + limits.pause_s, why_paused=told)
