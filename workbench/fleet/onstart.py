"""The script that a rented machine runs first, with what it needs to know written into it."""

from __future__ import annotations

import shlex
from importlib.resources import files

from workbench.fleet.terms import Terms

HEARTBEAT = "/root/.thinker/heartbeat"
BEAT = f"mkdir -p /root/.thinker && touch {HEARTBEAT}"
"""What the controller runs there now and then: without it the machine destroys itself."""


def onstart(terms: Terms, *, base_url: str, lifetime_s: float) -> str:
    """``onstart.sh`` with its variables in front; at most 4096 characters, which is the market's limit."""
    variables = {
        "THINKER_MODEL": terms.model,
        "THINKER_CONTEXT": str(terms.context_tokens),
        "THINKER_SILENCE_S": f"{terms.limits.dead_man_s:.0f}",
        "THINKER_LIFETIME_S": f"{lifetime_s:.0f}",
        "THINKER_MARKET": base_url.rstrip("/"),
    }
    script = files("workbench.fleet").joinpath("onstart.sh").read_text()
    first, _, rest = script.partition("\n")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([first, *lines, rest])
