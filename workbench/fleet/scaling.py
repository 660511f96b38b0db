"""How many machines are wanted: more when requests would wait, none when nobody asks; never to and fro."""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.fleet.terms import Scaling


@dataclass(frozen=True, slots=True)
class Load:
    """What the proxy expects of a request that comes now: seconds in the queue; and seconds since the last one."""

    wait_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many machines are wanted, and since when the load has asked for more (None: it does not)."""

    count: int
    growing_since_s: float | None = None


def scaled(wanted: Wanted, load: Load, rules: Scaling, *, now_s: float, ready: int, starting: int) -> Wanted:
    """What is wanted from now on.

    One more only after the wait has been long for `grow_after_s`, and only when all that were wanted before are
    ready; with none at all the first request is enough. All but the least go once nobody has asked for `shrink_idle_s`,
    but not while one is starting: who asked for it may have given up by now, and it would be paid for in vain.
    """
    within = replace(wanted, count=min(max(wanted.count, rules.least), rules.most))
    if load.idle_s >= rules.shrink_idle_s and not starting:
        return Wanted(rules.least)
    if load.wait_s < rules.grow_wait_s:
        return replace(within, growing_since_s=None)
    since_s = now_s if within.growing_since_s is None else within.growing_since_s
    long_enough = not within.count or now_s - since_s >= rules.grow_after_s
    if long_enough and ready >= within.count < rules.most:
        return Wanted(within.count + 1)
    return replace(within, growing_since_s=since_s)
