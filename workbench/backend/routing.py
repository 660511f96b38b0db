"""Which Thinker takes a request: a pure function of a snapshot.

In this order: those that are up and have the model (loaded ones first, since loading counts as waiting); the one that
has the session's prompt warm; for a new session, rendezvous hashing within the number of KV slots, so that stateless
proxies agree; where all slots are taken, the longest shared prefix. From the one so found a request goes elsewhere
when it would wait there longer than elsewhere, a cold prefill included. Among equals the cheapest token wins.

Rendezvous hashing: Thaler and Ravishankar, 1998; the bound on sessions: Mirrokni, Thorup and Zadimoghaddam, 2018.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

EQUAL_S = 0.05
"""Predictions closer than this are equal."""

HYSTERESIS_S = 0.25
"""What moving must save at least: predictions are not that good."""

EVEN = 1.25
"""How many times the average number of sessions a Thinker may be home to, by hashing alone."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks: fairness is between tenants, then between their sessions; batch work waits for the rest."""

    tenant: str = ""
    session: str = ""
    agent: str = ""
    is_batch: bool = False

    @property
    def key(self) -> str:
        """What keeps coming back with the same prompt: an agent of a session; "" when that is not known."""
        return f"{self.tenant}/{self.session}/{self.agent}" if self.session else ""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one Thinker as to one request. `wait_s` ends when the request's own prefill begins."""

    id: str
    wait_s: float = 0.0
    load_s: float = 0.0
    warm_tokens: int = 0
    prefill_tokens_per_s: float = 2500.0
    kv_slots: int = 1
    sessions: int = 0
    is_home: bool = False  # it has the session's own prompt warm
    evicted_tokens: float = 0.0  # what another session will probably have to read again
    in_flight: int = 0
    usd_per_token: float | None = None
    has_room: bool = True  # in its queue

    def first_token_s(self, prompt_tokens: int) -> float:
        """How long the request would take to its first token here."""
        return self.wait_s + self.load_s + max(0, prompt_tokens - self.warm_tokens) / self.prefill_tokens_per_s

    @property
    def eviction_s(self) -> float:
        """What taking a new session costs the one that it pushes out."""
        return 0.0 if self.is_home else self.evicted_tokens / self.prefill_tokens_per_s


@dataclass(frozen=True, slots=True)
class Choice:
    """Where it goes, and why in words; `first_token_s` is what was predicted."""

    id: str
    reason: str
    first_token_s: float
    wait_s: float


Choose = Callable[[Sequence[View], str, int], Choice]
"""From what is known of every Thinker, the key of who asks, and the prompt's tokens."""


def choose(views: Sequence[View], key: str, prompt_tokens: int) -> Choice:
    """The Thinker for a request; `views` are those that may take it, at least one."""
    open_views = [view for view in views if view.has_room] or list(views)
    if new := _home_of_new(open_views, key):
        home, others = new
        why = "hash: a new session, and a free KV slot"
        # What others have of the same system prompt does not count: it has to be read here once, and where all went
        # to the one that has it, they would push each other out at every turn.
        weighed = {view.id: view.wait_s + view.load_s for view in others}
    else:
        home, why = _home(open_views, prompt_tokens)
        others = open_views
        weighed = {view.id: view.first_token_s(prompt_tokens) + view.eviction_s for view in others}
        weighed[home.id] = home.first_token_s(prompt_tokens)
    best = min(others, key=lambda view: weighed[view.id])
    at_home_s = home.first_token_s(prompt_tokens)
    if best is not home and weighed[best.id] + HYSTERESIS_S < weighed[home.id]:
        there_s = best.first_token_s(prompt_tokens)
        spilled = f"spill: {there_s:.1f} s to the first token, {at_home_s:.1f} s on {home.id} ({why})"
        return Choice(best.id, spilled, there_s, best.wait_s)
    return Choice(home.id, why, at_home_s, home.wait_s)


def _home_of_new(views: Sequence[View], key: str) -> tuple[View, Sequence[View]] | None:
    """Where a new session belongs, and where else there is a free KV slot; None: not new, or none is free."""
    if not key or len(views) == 1 or any(view.is_home for view in views):
        return None
    bound = math.ceil(EVEN * (sum(view.sessions for view in views) + 1) / len(views))
    free = [view for view in views if view.sessions < view.kv_slots]
    roomy = [view for view in free if view.sessions < bound]
    if not roomy:
        return None
    loaded_s = min(view.load_s for view in roomy)
    return rendezvous(_cheapest([view for view in roomy if view.load_s <= loaded_s]), key), free


def _home(views: Sequence[View], prompt_tokens: int) -> tuple[View, str]:
    """Where it belongs, having been here before, or with no free KV slot anywhere."""
    if warm := [view for view in views if view.is_home]:
        home = max(warm, key=lambda view: view.warm_tokens)
        return home, f"warm: {home.warm_tokens} of about {prompt_tokens} tokens"
    if len(views) == 1:
        return views[0], "the only one"
    return _shared(views, prompt_tokens)


def _shared(views: Sequence[View], prompt_tokens: int) -> tuple[View, str]:
    """The soonest first token, which is where most of the prompt is warm, unless one has to wait there."""
    soonest_s = min(view.first_token_s(prompt_tokens) for view in views)
    equal = [view for view in views if view.first_token_s(prompt_tokens) <= soonest_s + EQUAL_S]
    least = min(view.in_flight for view in equal)
    found = _cheapest([view for view in equal if view.in_flight == least])[0]
    if found.warm_tokens:
        return found, f"prefix: {found.warm_tokens} of about {prompt_tokens} tokens shared"
    return found, "least busy"


def _cheapest(views: list[View]) -> list[View]:
    """Those with the lowest known price; all of them when none is known."""
    known = [view.usd_per_token for view in views if view.usd_per_token is not None]
    return [view for view in views if view.usd_per_token == min(known)] if known else views


def rendezvous(views: Sequence[View], key: str) -> View:
    """The highest of the hashes of (key, Thinker): when a Thinker comes or goes only its own keys move."""
    return max(views, key=lambda view: hashlib.blake2b(f"{key}\0{view.id}".encode(), digest_size=8).digest())
