"""What to look for on the market, checked here: the market ignores a field that it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from workbench.errors import ConfigurationError
from workbench.fleet.market import Condition, Mode

# fmt: off
FIELDS = frozenset(
    {
        "bw_nvlink", "compute_cap", "cpu_arch", "cpu_cores", "cpu_cores_effective", "cpu_ghz", "cpu_ram",
        "cuda_max_good", "datacenter", "direct_port_count", "disk_bw", "disk_space", "dlperf",
        "dlperf_per_dphtotal", "dph_base", "dph_total", "driver_version", "duration", "external",
        "flops_per_dphtotal", "geolocation", "gpu_arch", "gpu_display_active", "gpu_frac", "gpu_max_power",
        "gpu_max_temp", "gpu_mem_bw", "gpu_name", "gpu_ram", "gpu_total_ram", "has_avx", "host_id",
        "hosting_type", "id", "inet_down", "inet_down_cost", "inet_up", "inet_up_cost", "machine_id", "min_bid",
        "mobo_name", "num_gpus", "pci_gen", "pcie_bw", "reliability", "reliability2", "rentable", "rented",
        "static_ip", "storage_cost", "total_flops", "ubuntu_version", "verification", "verified", "vms_enabled",
    }
)
# fmt: on
"""The fields of an offer that vast.ai can filter and sort by; memory in MB, speeds in Mbit/s, duration in seconds."""

DEFAULTS = (
    Condition("verified", "eq", True),
    Condition("external", "eq", False),
    Condition("rentable", "eq", True),
    Condition("rented", "eq", False),
)
"""What vast.ai's own programs add to every search unless it says otherwise."""


def body(
    conditions: Iterable[Condition], *, mode: Mode, disk_gb: float, limit: int, order: tuple[str, str]
) -> dict[str, Any]:
    """A search as the API wants it; raises `ConfigurationError` for an unknown field or a condition said twice."""
    wanted = list(conditions)
    _check_field(order[0])
    filters: dict[str, dict[str, Any]] = {}
    for condition in wanted:
        _check_field(condition.field)
        operators = filters.setdefault(condition.field, {})
        if condition.operator in operators:
            raise ConfigurationError(
                f"the filter has {condition.field} {condition.operator} twice: expected once, drop one of them"
            )
        value = condition.value
        operators[condition.operator] = list(value) if isinstance(value, tuple) else value
    for condition in DEFAULTS:
        filters.setdefault(condition.field, {condition.operator: condition.value})
    return filters | {"type": mode, "allocated_storage": disk_gb, "limit": limit, "order": [list(order)]}


def _check_field(name: str) -> None:
    if name in FIELDS:
        return
    near = difflib.get_close_matches(name, sorted(FIELDS), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "expected one of " + ", ".join(sorted(FIELDS))
    raise ConfigurationError(f"offers have no field {name!r}: {hint}")
