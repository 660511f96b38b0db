"""What each budget would buy: a slider where somebody can move it, a figure of all budgets where nobody can."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from benchmarks.judging import point
from benchmarks.lookups import Stage
from benchmarks.plots import Picture, budget_curves, rate_curves
from workbench.cache.risk import Lookups, rcps_cut, units_needed

SERVERS = ("JPY_SESSION_NAME", "VSCODE_PID")
"""Set for kernels that somebody's editor started (Jupyter, VS Code); papermill and nbval set neither."""

BUDGETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)


def is_live() -> bool:
    """Whether somebody sits in front of this kernel."""
    return any(name in os.environ for name in SERVERS)


def explore_budgets(stages: Mapping[Stage, Lookups], *, alpha: float) -> Any:
    """A widget that redraws the curves and the operating point for the budget that is picked, else a `Picture`.

    The last of the stages decides. Budgets that so few families cannot show are left out.
    """
    final = stages[list(stages)[-1]]
    alphas = [each for each in sorted({*BUDGETS, alpha}) if units_needed(each) <= final.units]
    if is_live() and (library := widgets()):
        slider = library.SelectionSlider(
            options=[(f"{each:.2%}", each) for each in alphas],
            value=alpha,
            description="budget",
            continuous_update=False,
        )
        return library.interactive(lambda alpha: redrawn(stages, alpha=alpha), alpha=slider)
    return budget_curves(bought(stages, alphas), alpha=alpha)


def redrawn(stages: Mapping[Stage, Lookups], *, alpha: float) -> Picture:
    """The curves, and where the last stage stands at the loosest cut that keeps this budget."""
    final = stages[list(stages)[-1]]
    return rate_curves(stages, alpha=alpha, chosen=point(final, rcps_cut(final, alpha)))


def bought(stages: Mapping[Stage, Lookups], alphas: list[float]) -> dict[Stage, list[tuple[float, float]]]:
    """(alpha, right hits ÷ lookups) of each stage at each budget, kept with 95 % confidence."""
    return {
        stage: [(alpha, point(lookups, rcps_cut(lookups, alpha)).right) for alpha in alphas]
        for stage, lookups in stages.items()
    }


def widgets() -> Any:
    """The library of widgets, None where it is absent."""
    try:
        return importlib.import_module("ipywidgets")
    except ImportError:
        return None
