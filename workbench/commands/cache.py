"""`python -m workbench cache …`: what is stored, moved, forgotten, embedded anew, and asked beforehand.

All of it may be done while proxies serve from the same store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from workbench.cache.embedder import Embedder, EmbeddingService
from workbench.cache.jsonl import read_lines
from workbench.cache.model_folder import EmbedderCard, read_card
from workbench.cache.purge import Chosen, Selection, choose, purge
from workbench.cache.reembed import Reembedded, reembed
from workbench.cache.store import Store
from workbench.cache.transfer import Imported, Space, export_entries, import_entries
from workbench.canonical import KEY_VERSION
from workbench.commands.progress import progress_bar
from workbench.errors import ConfigurationError, WorkbenchError
from workbench.proxy.app import embedder_folder, store_for
from workbench.proxy.server import address
from workbench.proxy.warming import Target, Warmed, read_requests, warm
from workbench.settings import Settings, load

T = TypeVar("T")

PATIENT_S = 10.0
"""How long a store may take to answer: nobody's request waits for it."""

DAY_S = 24 * 3600.0
cache = typer.Typer(no_args_is_help=True, help="Move, warm, purge and re-embed what is stored, while proxies serve.")

Tenant = Annotated[str | None, typer.Option(help="Only this tenant's entries (all if not given).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")]


@cache.command("export")
def export_command(
    file: Annotated[Path, typer.Argument(help="For instance entries.jsonl.zst")], tenant: Tenant = None
) -> None:
    """Write all entries to FILE: JSON lines with vectors, compressed with zstd. It is as private as the store."""

    async def work(settings: Settings) -> int:
        card = read_card(embedder_folder(settings))
        async with _opened(settings, fingerprint=card.fingerprint) as store:
            total = (await store.stats()).entries
            with progress_bar("export", total=total) as progress:
                return await export_entries(store, file, space=_space(card), tenant=tenant, progress=progress)

    typer.echo(f"{_counted(_run(work))} written to {file}")


@cache.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.")],
    tenant: Annotated[
        str | None, typer.Option(help="Give all entries to this tenant (as they are if not given).")
    ] = None,
) -> None:
    """Put the entries of FILE into the store; what is there already and no older stays. Doing it twice is no harm."""

    async def work(settings: Settings) -> Imported:
        card = read_card(embedder_folder(settings))
        async with _opened(settings, fingerprint=card.fingerprint) as store:
            with progress_bar("import", total=None) as progress:
                return await import_entries(store, file, space=_space(card), tenant=tenant, progress=progress)

    _tell_import(file, _run(work))


def _tell_import(file: Path, imported: Imported) -> None:
    typer.echo(
        f"{_counted(imported.stored)} stored ({imported.pending} of them will be embedded when they are asked for), "
        f"{imported.known} known already, {imported.expired} expired"
    )
    for fault in imported.faults:
        typer.echo(f"{file}, {fault}", err=True)
    if imported.unreadable > len(imported.faults):
        typer.echo(f"… {imported.unreadable} lines could not be read", err=True)
    if not imported.is_whole:
        typer.echo(f"{file} was cut off, or its end does not match: what could be read is stored", err=True)
    if imported.unreadable or not imported.is_whole:
        raise typer.Exit(1)


@cache.command("purge")
def purge_command(
    tenant: Tenant = None,
    scope: Annotated[str | None, typer.Option(help="Only of this scope (its first 8 characters do).")] = None,
    model: Annotated[str | None, typer.Option(help="Only replies of this model.")] = None,
    older_than_days: Annotated[float | None, typer.Option(min=0, help="Only what was stored longer ago.")] = None,
    matching: Annotated[
        str | None,
        typer.Option(help="Only questions with this text in them; with * for anything, all of the question."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries of all tenants.")] = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget entries for which all given options hold. Running proxies follow within a second."""
    before_s = None if older_than_days is None else time.time() - older_than_days * DAY_S
    selection = Selection(tenant, scope, model, before_s, matching)
    if everything == (selection != Selection()):
        raise typer.BadParameter("say what to forget with --tenant, --scope, … or with --all alone; see --help")

    async def look(settings: Settings) -> Chosen:
        async with _opened(settings, fingerprint="") as store:
            return await choose(store, selection)

    async def forget(settings: Settings) -> int:
        async with _opened(settings, fingerprint="") as store:
            with progress_bar("purge", total=len(chosen.ids)) as progress:
                return await purge(store, chosen.ids, progress=progress)

    chosen = _run(look)
    _tell_chosen(chosen)
    # The store is not open while somebody thinks it over.
    if dry_run or not chosen.ids or not (yes or typer.confirm("Forget them?")):
        typer.echo("nothing was changed")
    else:
        typer.echo(f"{_counted(_run(forget))} forgotten")


def _tell_chosen(chosen: Chosen) -> None:
    typer.echo(f"{_counted(len(chosen.ids))}, {chosen.size_bytes / 1e6:.1f} MB")
    for name, counts in (("tenant", chosen.by_tenant), ("model", chosen.by_model)):
        typer.echo("\n".join(f"  {name} {value}: {count}" for value, count in counts.most_common(10)), nl=bool(counts))
    for sample in chosen.samples:
        typer.echo(f"  for instance: {' '.join(sample.split())[:100]}")


@cache.command("reembed")
def reembed_command(
    embedder: Annotated[
        Path | None, typer.Option(help="The new model's folder (the settings' own if not given).")
    ] = None,
) -> None:
    """Give every entry the new embedder's vector, beside the old one; proxies go on serving with theirs meanwhile.

    Broken off, it goes on where it was. Then start the proxies with WORKBENCH_EMBEDDER and a policy for it. With the
    settings' own embedder, all questions are embedded that still wait for it.
    """

    async def work(settings: Settings) -> Reembedded:
        folder = embedder or embedder_folder(settings)
        card, before = read_card(folder), read_card(embedder_folder(settings))
        is_switched = card == before
        service = EmbeddingService(Embedder(folder))
        try:
            async with (
                _opened(settings, fingerprint=before.fingerprint) as old,
                _opened(settings, fingerprint=card.fingerprint) as new,
            ):
                total = await _checked_room(settings, new, card)
                with progress_bar("re-embed", total=total) as progress:
                    return await reembed(old, new, service, all_pending=is_switched, progress=progress)
        finally:
            await service.close()

    done = _run(work)
    typer.echo(
        f"{_counted(done.embedded)} embedded, {done.known} had their vectors, {done.plain} are not found by meaning, "
        f"{done.waiting} wait until somebody asks in their scope, "
        f"{done.unreadable} cannot be read whole by this embedder"
    )


async def _checked_room(settings: Settings, store: Store, card: EmbedderCard) -> int:
    """How many entries there are; refuses where the new vectors would drive entries out of a SQLite store."""
    stats = await store.stats()
    needed_bytes = stats.entries * card.dimension * 4
    if settings.store.startswith("sqlite:") and stats.size_bytes + needed_bytes > stats.max_bytes:
        raise ConfigurationError(
            f"the new vectors may take {needed_bytes / 1e6:.0f} MB and the store holds {stats.size_bytes / 1e6:.0f} of "
            f"{stats.max_bytes / 1e6:.0f} MB: entries would be driven out. Raise WORKBENCH_STORE_MAX_BYTES to at least "
            f"{stats.size_bytes + needed_bytes}, also for the proxies, or purge first"
        )
    return stats.entries


@cache.command("warm")
def warm_command(
    file: Annotated[Path, typer.Argument(help="Questions, one a line; or JSON lines of Messages requests (.zst too).")],
    url: Annotated[str | None, typer.Option(help="The running proxy (as the settings say if not given).")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose key to use (the first if not given).")] = None,
    model: Annotated[str | None, typer.Option(help="Ask all of this model (as they were asked if not given).")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256)] = 4,
    dry_run: DryRun = False,
) -> None:
    """Ask a running proxy what FILE asks, so that the answers are stored. Started again it goes on where it was."""

    async def work(settings: Settings) -> Warmed:
        there = (url or address(settings.host, settings.port)).rstrip("/")
        target = Target(there, _key(settings, tenant), concurrency, dry_run)
        total = sum(1 for _ in read_lines(file))
        with progress_bar("warm", total=total) as progress:
            return await warm(read_requests(file, model=model), target, progress=progress)

    _tell_warmed(file, _run(work), dry_run=dry_run)


def _key(settings: Settings, tenant: str | None) -> str:
    keys = settings.all_keys()
    found = next((key for key in keys if tenant in (None, key.tenant)), None)
    if tenant and not found:
        raise ConfigurationError(f"no key of the tenant {tenant!r} in WORKBENCH_KEYS or WORKBENCH_KEYS_FILE")
    return found.secret.get_secret_value() if found else ""


def _tell_warmed(file: Path, warmed: Warmed, *, dry_run: bool) -> None:
    asked = "would be asked of Thinkers" if dry_run else "asked of Thinkers"
    names = {"miss": asked, "exact": "known already", "semantic": "answered by meaning", "bypass": "not to be stored"}
    told = [f"{count} {names.get(source, source)}" for source, count in warmed.by_source.most_common()]
    if warmed.seen:
        typer.echo(", ".join([*told, f"{warmed.failed} failed"]))
    for fault in warmed.faults:
        typer.echo(f"{file}, {fault}", err=True)
    if warmed.stopped:
        typer.echo(f"workbench cache: {warmed.stopped}", err=True)
    if warmed.failed or warmed.stopped:
        raise typer.Exit(1)


# ── what all of them share ──────────────────────────────────────────────────────────────────────────────────


def _run(work: Callable[[Settings], Awaitable[T]]) -> T:
    """Do it with the settings; a fault is one line and exit code 2 (a setting or file) or 1 (anything else)."""

    async def story() -> T:
        return await work(load())

    try:
        return asyncio.run(story())
    except WorkbenchError as error:
        typer.echo(f"workbench cache: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1) from None


@asynccontextmanager
async def _opened(settings: Settings, *, fingerprint: str) -> AsyncIterator[Store]:
    if settings.store.startswith("memory:"):
        raise ConfigurationError(
            "the store is memory: it is the proxy's own and nobody else reaches it; use sqlite:///path"
        )
    settings = settings.model_copy(update={"store_lost_s": PATIENT_S})
    store = store_for(settings, fingerprint=fingerprint)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _space(card: EmbedderCard) -> Space:
    return Space(card.fingerprint, card.dimension, KEY_VERSION)


def _counted(count: int) -> str:
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"
