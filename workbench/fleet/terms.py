"""What is wanted of a fleet, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from workbench.errors import ConfigurationError
from workbench.fleet.market import Condition, Mode

MODEL_GB = {"qwen3-coder:30b": 19.0, "qwen3:30b": 19.0, "gpt-oss:20b": 14.0, "gpt-oss:120b": 65.0}
"""Sizes of models as Ollama pulls them; others are named in the fleet file."""

CONTEXT_GB_PER_32K = 3.0
"""What 32,768 tokens of context take beside the model: 96 KiB a token."""

DISK_SPARE_GB = 10.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent in any hour, in any 24 hours and ever, in dollars; None is no limit."""

    hourly_usd: Decimal | None = None
    daily_usd: Decimal | None = None
    total_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds. Those of a start are what machines were seen to need, and a margin."""

    poll_s: float = 10.0
    starting_poll_s: float = 1.0
    lease_s: float = 150.0
    provision_s: float = 120.0
    loading_s: float = 720.0
    ssh_s: float = 120.0
    start_s: float = 1500.0
    unknown_s: float = 600.0
    silence_s: float = 120.0
    drain_s: float = 120.0
    notice_s: float = 5.0
    excluded_s: float = 86_400.0
    pause_s: float = 3600.0
    dead_man_s: float = 900.0
    lifetime_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """When to rent one more or return one: how many, seconds of predicted wait, and for how long it must last."""

    least: int = 0
    most: int = 1
    grow_wait_s: float = 10.0
    grow_after_s: float = 30.0
    shrink_idle_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What to rent: the model, the machine it needs, the price, and the budget.

    `price_cap_usd_per_h` holds for GPU and disk of one machine. With `mode` ``bid`` and `falls_back`, a machine is
    rented on demand when no bid can be had, or two in a row were outbid.
    """

    model: str
    price_cap_usd_per_h: Decimal
    model_gb: float = 0.0
    context_tokens: int = 32_768
    disk_gb: float = 60.0
    gpus: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    mode: Mode = "on-demand"
    falls_back: bool = True
    project: str = "workbench"
    image: str = "ollama/ollama:latest"
    budget: Budget = Budget()
    scaling: Scaling = Scaling()
    limits: Limits = Limits()
    tokens_per_s: dict[str, float] = field(default_factory=dict)

    @property
    def size_gb(self) -> float:
        """What is pulled; raises `ConfigurationError` when nobody told."""
        found = self.model_gb or MODEL_GB.get(self.model, 0.0)
        if not found:
            raise ConfigurationError(f"how large is {self.model!r}? Set model_gb to its size in GB as Ollama pulls it")
        return found

    @property
    def vram_gb(self) -> float:
        """What the model takes on the GPU, with its context."""
        return self.size_gb * 1.05 + CONTEXT_GB_PER_32K * self.context_tokens / 32_768

    def check(self) -> None:
        """Raises `ConfigurationError` for what can never work."""
        needed_gb = self.size_gb + DISK_SPARE_GB
        if self.disk_gb < needed_gb:
            raise ConfigurationError(
                f"disk_gb is {self.disk_gb:g}; {self.model} is {self.size_gb:g} GB and needs a disk of at least "
                f"{needed_gb:g} GB, which cannot grow later"
            )
        if not 0 <= self.scaling.least <= self.scaling.most:
            raise ConfigurationError(
                f"nodes: expected 0 ≤ least ≤ most, seen {self.scaling.least}, {self.scaling.most}"
            )
