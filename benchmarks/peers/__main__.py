"""Our cache and proxy beside others', on the same questions and the same scripted upstream, in one run.

    python -m benchmarks.peers [--only NAME …] [--out benchmarks/results/peers.json]

What wins over ours is shown as plainly as what loses; who cannot be measured is listed with the reason.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from benchmarks import children
from benchmarks.figures import this_run
from benchmarks.lookups import Vectors
from benchmarks.peers.caches import Questions, asked_of, figures, questions
from benchmarks.peers.environments import Environment, PeerSkipped, environment, own_environment
from benchmarks.peers.peer import Peer
from benchmarks.peers.proxies import QUICK, WHOLE, Effort, measured
from benchmarks.peers.publishing import publish
from benchmarks.peers.roster import PEERS
from benchmarks.peers.tables import RESULTS, Row, document, markdown, save
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.settings import data_folder


def _compared(peers: Sequence[Peer], folder: Path, *, quick: bool) -> Iterator[Row]:
    """Every figure of every peer as soon as it is measured, or why there is none."""
    size = {"families": 12, "asked": 40} if quick else {"families": 300, "asked": 500}
    asked = None
    if any(peer.cache for peer in peers):
        asked = questions(Vectors(Embedder(minilm_folder(data_folder() / "embedders"))), **size)
    for peer in peers:
        print(f"── {peer.name}", file=sys.stderr, flush=True)
        try:
            made = environment(_slug(peer), peer.requirements) if peer.requirements else own_environment()
        except PeerSkipped as reason:
            yield Row(peer.name, skipped=f"{reason}")
            continue
        if peer.cache and asked:
            yield from _cache(peer, made, asked, folder)
        if peer.proxy:
            yield from _proxy(peer, made, folder, QUICK if quick else WHOLE)


def _cache(peer: Peer, made: Environment, asked: Questions, folder: Path) -> Iterator[Row]:
    assert peer.cache
    try:
        said = asked_of(peer.cache, made, asked, folder=folder / f"{_slug(peer)}-cache")
    except PeerSkipped as reason:
        yield Row(peer.name, packages=made.packages, skipped=f"as a cache: {reason}")
        return
    for figure in figures(said, asked.pairs):
        yield Row(peer.name, made.version_of(peer.requirements), figure, made.packages)


def _proxy(peer: Peer, made: Environment, folder: Path, effort: Effort) -> Iterator[Row]:
    assert peer.proxy
    try:
        for figure in measured(peer.proxy, made, effort, folder=folder / f"{_slug(peer)}-proxy"):
            yield Row(peer.name, made.version_of(peer.requirements), figure, made.packages)
    except PeerSkipped as reason:
        yield Row(peer.name, packages=made.packages, skipped=f"as a proxy: {reason}")
    except children.ChildFailed as error:
        print(error, file=sys.stderr)  # it holds a log, which no results file should
        yield Row(peer.name, packages=made.packages, skipped="as a proxy: our upstream or load client failed")


def _slug(peer: Peer) -> str:
    return peer.name.lower().replace(" ", "-")


def main(
    only: Annotated[list[str] | None, typer.Option(help="Only these peers; may stand several times.")] = None,
    out: Annotated[Path | None, typer.Option(help=f"Write the results here. [a whole run: {RESULTS.name}]")] = None,
    quick: Annotated[bool, typer.Option(help="A few questions of each kind: whether it works, not how fast.")] = False,
) -> None:
    """Measure ours and the peers; a row a figure as JSON, then the tables."""
    if unknown := set(only or ()) - {_slug(peer) for peer in PEERS}:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there is {', '.join(map(_slug, PEERS))}")
    for number in children.ENDING:
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that the children are stopped too
    chosen = [peer for peer in PEERS if not only or _slug(peer) in only]
    run, rows = this_run(), list[Row]()
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        for row in _compared(chosen, Path(folder), quick=quick):
            rows.append(row)
            print(orjson.dumps(row.told(run)).decode(), flush=True)
    asked = " ".join([*(["--quick"] if quick else []), *(f"--only {name}" for name in only or ())])
    found = document(rows, run, command=f"python -m benchmarks.peers {asked}".strip())
    print(markdown(found))
    if target := out or (None if quick or only else RESULTS):
        save(found, target)
        if target.resolve() == RESULTS and not publish(found):
            print("README.md has no <!-- peers --> block to fill", file=sys.stderr)


if __name__ == "__main__":
    typer.run(main)
