"""What a failed machine said, kept without secrets."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

from workbench.errors import FleetError
from workbench.fleet.nodes import Node
from workbench.fleet.vast import VastClient

log = logging.getLogger(__name__)

LOG_S = 20.0
LOG_MAX_CHARS = 200_000

_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?<=bearer )\S+"),
    re.compile(
        r"(?i)(?<![a-z])((?:[a-z_]*(?:api[_-]?key|token|secret|password)[a-z_]*)['\"]?\s*[=:]\s*)['\"]?[^\s'\"]+"
    ),
    re.compile(r"\b(?:sk|hf|ghp|gho|xox[bp])[-_][A-Za-z0-9_-]{8,}"),
    re.compile(r"\b[0-9a-f]{40,}\b"),
    re.compile(r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)"),
)


def without_secrets(text: str) -> str:
    """The text with keys, tokens and passwords blotted out: rather too much than too little."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: f"{found[1] if found.re.groups else ''}[removed]", text)
    return text


async def keep_log(market: VastClient, node: Node, folder: Path) -> None:
    """Save the last lines of a failed machine in `folder`; gives up after 20 seconds, and never fails."""
    said = ""
    try:
        async with asyncio.timeout(LOG_S):
            said = await market.logs(node.instance_id or 0)
    except (FleetError, TimeoutError) as error:
        said = f"its log could not be fetched: {error}"
    text = f"{node.label} machine {node.machine_id} {node.gpu_name}: {node.why}\n\n{without_secrets(said)}"
    try:
        await asyncio.to_thread(_write, folder / f"{node.instance_id}.log", text[-LOG_MAX_CHARS:])
    except OSError as error:
        log.warning("fleet.log_not_kept instance=%s error=%s", node.instance_id, error)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(text)
