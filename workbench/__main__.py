"""`python -m workbench …`: the commands beside `serve.py`."""

from __future__ import annotations

import sys

import typer

from workbench.commands.cache import cache
from workbench.commands.claude import PassedOn, claude
from workbench.commands.doctor import doctor
from workbench.commands.fleet import fleet
from workbench.commands.prefix import prefix

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="The self-host workbench.")
cli.command(cls=PassedOn)(claude)
cli.command()(prefix)
cli.add_typer(cache, name="cache")
cli.command()(doctor)
cli.add_typer(fleet, name="fleet")


@cli.callback()
def workbench() -> None:
    """Claude Code on your own GPUs, answered from memory when that is safe."""


if __name__ == "__main__":
    sys.exit(cli())
