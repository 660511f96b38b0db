"""The fleet file, TOML → `Terms`. Every key has a default; budgets too, since a forgotten one costs money."""

from __future__ import annotations

import difflib
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ConfigurationError
from workbench.fleet.market import Condition, Mode, Operator
from workbench.fleet.searching import body
from workbench.fleet.terms import Budget, Limits, Scaling, Terms

Money = Annotated[Decimal, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Value = bool | float | str | list[float | str]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Budget(_Table):
    hourly_usd: Money | None = Decimal(2)
    daily_usd: Money | None = Decimal(10)
    total_usd: Money | None = Decimal(50)


class _Nodes(_Table):
    least: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=0, le=100)] = 2
    grow_wait_s: Positive = 10.0
    grow_after_s: Annotated[float, Field(ge=0)] = 30.0
    shrink_idle_s: Positive = 900.0


class _Limits(_Table):
    poll_s: Positive = 10.0
    starting_poll_s: Positive = 1.0
    lease_s: Positive = 150.0
    start_s: Positive = 1500.0
    drain_s: Annotated[float, Field(ge=0)] = 120.0
    notice_s: Annotated[float, Field(ge=0)] = 5.0
    dead_man_s: Annotated[float, Field(ge=120)] = 900.0
    lifetime_s: Annotated[float, Field(ge=600)] = 86_400.0


class FleetFile(_Table):
    """The file's keys; units are in their names, and sizes of models as Ollama pulls them."""

    model: str = "qwen3-coder:30b"
    model_gb: Annotated[float, Field(ge=0)] = 0.0
    context_tokens: Annotated[int, Field(ge=512)] = 32_768
    disk_gb: Positive = 60.0
    price_cap_usd_per_h: Money = Decimal("0.60")
    gpus: tuple[str, ...] = ()
    interruptible: bool = False
    falls_back: bool = True
    project: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")] = "workbench"
    image: str = "ollama/ollama:latest"
    tokens_per_s: dict[str, Positive] = {}
    filters: dict[str, dict[Operator, Value]] = {}
    budget: _Budget = _Budget()
    nodes: _Nodes = _Nodes()
    limits: _Limits = _Limits()

    def terms(self) -> Terms:
        """What is wanted; raises `ConfigurationError` for what can never work."""
        mode: Mode = "bid" if self.interruptible else "on-demand"
        conditions = tuple(
            Condition(name, operator, tuple(value) if isinstance(value, list) else value)
            for name, operators in self.filters.items()
            for operator, value in operators.items()
        )
        body(conditions, mode=mode, disk_gb=self.disk_gb, limit=1, order=("dph_total", "asc"))  # are there such fields?
        terms = Terms(
            model=self.model,
            price_cap_usd_per_h=self.price_cap_usd_per_h,
            model_gb=self.model_gb,
            context_tokens=self.context_tokens,
            disk_gb=self.disk_gb,
            gpus=self.gpus,
            conditions=conditions,
            mode=mode,
            falls_back=self.falls_back,
            project=self.project,
            image=self.image,
            tokens_per_s=self.tokens_per_s,
            budget=Budget(**self.budget.model_dump()),
            scaling=Scaling(**self.nodes.model_dump()),
            limits=Limits(**self.limits.model_dump()),
        )
        terms.check()
        return terms


def load_terms(path: Path | None) -> Terms:
    """The terms in this file, or the defaults when there is none; raises `ConfigurationError` that names the key."""
    if path is None:
        return FleetFile().terms()
    try:
        return FleetFile(**tomllib.loads(path.read_text())).terms()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"fleet file {path}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationError(f"fleet file {path}: {_told(first)}") from None


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    near = difflib.get_close_matches(str(error["loc"][-1]), FleetFile.model_fields, n=1)
    return f"there is no key {where}{f'; did you mean {near[0]}?' if near else ''}"
