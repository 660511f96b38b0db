"""`python -m workbench doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workbench.cache.findings import Finding
from workbench.commands.checks import diagnose

COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of findings.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file (workbench.toml if there is one).")] = None,
) -> None:
    """Look at settings, embedder, policy, store, Thinkers, proxy and CLI; exit code 1 where something fails."""
    logging.getLogger("workbench").addHandler(logging.NullHandler())  # what it would log is told here
    findings = asyncio.run(diagnose(config=config))
    typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2) if as_json else lines(findings))
    raise typer.Exit(int(any(finding.status == "fail" for finding in findings)))


def lines(findings: Sequence[Finding]) -> str:
    """One line a finding."""
    return "\n".join(_line(finding) for finding in findings)


def _line(finding: Finding) -> str:
    status = typer.style(f"{finding.status:4}", fg=COLOURS[finding.status])
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{status}  {finding.check:11}  {' '.join(finding.seen.split())}{remedy}"
