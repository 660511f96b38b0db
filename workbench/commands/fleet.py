"""`python -m workbench fleet`: rented Thinkers, from the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from workbench.commands import fleet_tables as tables
from workbench.commands.fleet_tables import Shown
from workbench.errors import ConfigurationError, WorkbenchError
from workbench.fleet.fleet import Look
from workbench.fleet.fleet_file import load_terms
from workbench.fleet.opening import Fleet, open_fleet
from workbench.fleet.renting import NothingFits
from workbench.fleet.sweeping import orphans
from workbench.proxy.app import check_keeps_a_roll, site_of, store_for
from workbench.settings import load

fleet = typer.Typer(no_args_is_help=True, help="Thinkers on rented GPUs: find, rent, watch and return them.")

USUAL_FILE = Path("fleet.toml")

FileOption = Annotated[Path | None, typer.Option("--file", help="The fleet file. [fleet.toml, if there is one]")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
CountOption = Annotated[int | None, typer.Option("-n", min=1, help="How many machines. [the least of the file, or 1]")]


@fleet.command()
def offers(file: FileOption = None, as_json: JsonOption = False) -> None:
    """What could be rented now, cheapest expected token first."""

    async def work(it: Fleet) -> Shown:
        choices = await it.renter.choices(await it.registry.read())
        if isinstance(choices, NothingFits):
            raise ConfigurationError(choices.why)
        return tables.offers(choices)

    _run(file, work, as_json=as_json)


@fleet.command()
def up(
    count: CountOption = None,
    file: FileOption = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would be rented and its price; rent nothing.")] = False,
    keep: Annotated[
        bool, typer.Option(help="End when all are ready; a proxy with --fleet takes over, and returns them when idle.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rent machines and prove them; stay to watch over them until Ctrl-C, which returns them."""

    async def plan(it: Fleet) -> Shown:
        choices = await it.renter.choices(await it.registry.read())
        if isinstance(choices, NothingFits):
            raise ConfigurationError(choices.why)
        return tables.plan(choices[: _count(it, count)], it.terms, wanted=_count(it, count))

    async def work(it: Fleet) -> Shown:
        await it.check_ours()  # before the order is touched
        before = (await it.registry.read()).nodes
        try:
            return tables.status(await it.up(count), it.links.url)
        except BaseException:  # Ctrl-C too: what this started must not go on costing
            await (it.orders.lift() if before else it.down())
            raise

    planned = _run(file, plan, as_json=as_json and dry_run, is_quiet=as_json and not dry_run)
    if dry_run:
        return
    if not yes:
        typer.confirm(f"Rent {planned['nodes']} for up to ${planned['usd_per_h']} an hour?", abort=True)
    _run(file, work, as_json=as_json, then=None if keep else _watch)


@fleet.command()
def status(file: FileOption = None, as_json: JsonOption = False) -> None:
    """The machines on the roll, and where each has got to."""

    async def work(it: Fleet) -> Shown:
        return tables.status(await it.registry.read(), it.links.url)

    _run(file, work, as_json=as_json)


@fleet.command()
def down(file: FileOption = None, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Drain and return all machines of this fleet, and wait until that is confirmed.

    A proxy with --fleet rents again for the next request that needs a machine.
    """
    if not yes:
        typer.confirm("Return all machines of this fleet?", abort=True)

    async def work(it: Fleet) -> Shown:
        await it.down()
        return tables.status(await it.registry.read(), it.links.url)

    _run(file, work, as_json=as_json)


@fleet.command()
def adopt(file: FileOption = None, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Make this host the one that controls and counts, when the one that did is lost with its ledger and SSH key."""
    if not yes:
        typer.confirm(
            "Count from now on in this host's ledger, and replace machines its key does not open?", abort=True
        )

    async def work(it: Fleet) -> Shown:
        return tables.status(await it.adopt(), it.links.url)

    _run(file, work, as_json=as_json)


@fleet.command()
def sweep(file: FileOption = None, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Destroy instances of this project that nobody watches: lost ones of this fleet, and any that expired."""

    async def find(it: Fleet) -> Shown:
        seen = await it.market.instances()
        roll = await it.registry.read()  # after the list: what is rented is on the roll before it is there
        return tables.orphans(orphans(seen, roll, project=it.terms.project, now_s=tables.now_s()))

    async def work(it: Fleet) -> Shown:
        still = {int(row["instance_id"]) for row in (await find(it)).data["orphans"]}
        for instance_id in still.intersection(ids):
            await it.market.destroy(instance_id)
        return await find(it)

    found = _run(file, find, as_json=False, is_quiet=as_json)
    ids = [int(row["instance_id"]) for row in found["orphans"]]
    if ids and not yes:
        typer.confirm(f"Destroy these {len(ids)}?", abort=True)
    if ids or as_json:
        _run(file, work, as_json=as_json)


@fleet.command()
def cost(file: FileOption = None, as_json: JsonOption = False) -> None:
    """What the fleet cost by phase, and beside it what the market charged."""

    async def work(it: Fleet) -> Shown:
        charges = await it.market.charges(since_s=0.0, until_s=tables.now_s())
        return tables.cost(await it.ledger.cost(), await it.ledger.reconcile(charges), it.terms.budget)

    _run(file, work, as_json=as_json)


# ── how they are run ────────────────────────────────────────────────────────────────────────────────────────


def _count(it: Fleet, count: int | None) -> int:
    return it.least if count is None else count


def _run(
    file: Path | None,
    work: Callable[[Fleet], Coroutine[Any, Any, Shown]],
    *,
    as_json: bool,
    is_quiet: bool = False,
    then: Callable[[Fleet], Coroutine[Any, Any, None]] | None = None,
) -> dict[str, Any]:
    """Do it with an open fleet and show what came of it; errors end with exit code 2 and one line."""
    console = Console(stderr=as_json or is_quiet)

    async def main() -> Shown:
        async with _opened(file, console) as it:
            shown = await work(it)
            if as_json:
                typer.echo(tables.as_json(shown))
            elif not is_quiet:
                console.print(shown.table)
            if then:
                await then(it)
            return shown

    try:
        return asyncio.run(main()).data
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except WorkbenchError as error:
        typer.echo(f"workbench fleet: {error}", err=True)
        raise typer.Exit(2) from None


@asynccontextmanager
async def _opened(file: Path | None, console: Console) -> AsyncIterator[Fleet]:
    settings = load()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    terms = load_terms(file or settings.fleet or _usual_file())
    async with contextlib.AsyncExitStack() as stack:
        check_keeps_a_roll(settings)
        store = store_for(settings, fingerprint="")
        await store.open()
        stack.push_async_callback(store.close)
        live = stack.enter_context(Live(console=console, auto_refresh=False, transient=True))

        def tell(looked: Look) -> None:
            live.update(tables.progress(looked), refresh=console.is_terminal)

        yield await stack.enter_async_context(open_fleet(terms, site_of(settings), store, tell=tell))


def _usual_file() -> Path | None:
    return USUAL_FILE if USUAL_FILE.is_file() else None


async def _watch(it: Fleet) -> None:
    """Keep the machines alive until Ctrl-C, then return them."""
    typer.echo("Watching over them; Ctrl-C returns them.", err=True)
    try:
        await it.serve()
    except asyncio.CancelledError:
        typer.echo("Returning them; a second Ctrl-C leaves that to their own dead man's switch.", err=True)
        await it.down()
        raise
