"""The hit rate of a running proxy: redrawn while somebody watches, one figure where nobody does."""

from __future__ import annotations

import contextlib
import importlib
import math
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.launching import Asked, Proxy, outcomes
from benchmarks.plots import Picture, drawn, house_style, new_figure
from benchmarks.sliding import is_live

EVERY_S = 1.0
SHARES = (("exact", "exact hits", "#0072B2"), ("semantic", "semantic hits", "#009E73"), ("miss", "misses", "#D9D9D9"))
FEW = 20
"""Requests below which a rate is called provisional."""


class Traffic:
    """Questions that are sent one after the other; which of them were traps is known."""

    def __init__(self, proxy: Proxy, asked: Iterable[Asked]) -> None:
        self._proxy = proxy
        self._asked = asked
        self._stop = threading.Event()
        self.traps = 0
        self.traps_served = 0

    def __repr__(self) -> str:
        return f"of {self.traps} traps, {self.traps_served} served"

    def send(self) -> None:
        """Ask everything, all in one scope."""
        for asked in self._asked:
            if self._stop.is_set():
                return
            answer, _ = self._proxy.ask(asked.text, system="Sample traffic.")
            self.traps += asked.is_trap
            self.traps_served += asked.is_trap and answer.headers.get("x-cache") == "semantic"

    def watch(self, *, seconds: float) -> Picture | None:
        """Send it and show what comes of it: live for so many seconds or until interrupted, else its end."""
        if not is_live():
            self.send()
            return hit_rate(outcomes(self._proxy))
        shown = importlib.import_module("IPython.display").display(hit_rate(outcomes(self._proxy)), display_id=True)
        with ThreadPoolExecutor(1) as sender:
            sending = sender.submit(self.send)
            ends_s = time.monotonic() + seconds
            with contextlib.suppress(KeyboardInterrupt):  # who interrupts has seen enough
                while time.monotonic() < ends_s:
                    time.sleep(EVERY_S)
                    shown.update(hit_rate(outcomes(self._proxy)))
            self._stop.set()
            sending.result()
        return None


def rate_interval(part: int, whole: int) -> tuple[float, float]:
    """Wilson's at 95 % (JASA 22, 1927), for requests that are independent: an approximation here."""
    if not whole:
        return (0.0, 1.0)
    z, share = 1.96, part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    spread = z / (1 + z * z / whole) * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return (max(0.0, middle - spread), min(1.0, middle + spread))


def hit_rate(seen: Sequence[str]) -> Picture:
    """The shares of the requests so far, as they came in."""
    counted = np.arange(1, len(seen) + 1)
    hits = sum(outcome in ("exact", "semantic") for outcome in seen)
    low, high = rate_interval(hits, len(seen))
    with house_style():
        figure, axis = new_figure(size=(9.4, 4.4))
        below = np.zeros(len(seen))
        for outcome, name, colour in SHARES:
            share = np.cumsum([each == outcome for each in seen]) / np.maximum(1, counted) * 100
            axis.fill_between(counted, below, below + share, color=colour, linewidth=0)
            if len(seen) and share[-1] >= 4:
                told = f" {name} {share[-1]:.0f} %"
                ink = "#666666" if outcome == "miss" else colour
                axis.text(len(seen), below[-1] + share[-1] / 2, told, color=ink, va="center", weight="bold")
            below = below + share
        axis.set(xlim=(1, max(2, len(seen))), ylim=(0, 100), xlabel="requests so far", ylabel="share of them, %")
        said = f"{hits} of {len(seen)} from memory: {hits / max(1, len(seen)):.0%} ({low:.0%} to {high:.0%})"
        axis.set_title(said + (", too few to say more" if len(seen) < FEW else ""))
        return drawn(figure)
