"""The page of a run: one HTML file that opens from a disk without a network, in the reader's light or dark theme.

Nothing is loaded and nothing runs: the content policy forbids both, also for what stands in a notebook's outputs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from markdown_it import MarkdownIt

from benchmarks.manifest import Manifest, Part
from benchmarks.outputs import INJECTED, as_shown, tags, text

LARGEST_BYTES = 5_000_000
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = Path(__file__).parent / "report.css"
BANNER = "papermill-error-cell-tag"
"""On the cells that papermill puts into a notebook that failed; the page has its own words for that."""

ANSI = re.compile(r"\x1b\[[0-9;]*m")
MARKS = {"passed": "✓", "verdict failed": "✗", "died": "✗", "waiting": "…", "running": "…"}

Cell = Mapping[str, Any]


def write_page(manifest: Manifest, folder: Path, *, largest_bytes: int = LARGEST_BYTES) -> Path:
    """Write ``report.html`` beside the manifest; of a page that would be too large the figures are left out."""
    path = folder / "report.html"
    page = rendered(manifest, folder)
    if len(page.encode()) > largest_bytes:
        page = rendered(manifest, folder, with_figures=False)
    path.write_text(page)
    return path


def rendered(manifest: Manifest, folder: Path, *, with_figures: bool = True) -> str:
    """The whole page."""
    word = "passed" if manifest.passed else "failed" if manifest.complete else "incomplete"
    body = [
        f"<header><h1>Run {_safe(manifest.id)} <span class='{word}'>{word}</span></h1>",
        f"<p>{_safe(manifest.started)}, {manifest.seconds_s:g} s, parameters <code>{_safe(manifest.parameters)}</code>"
        f", commit <code>{_safe(manifest.environment.get('commit', 'unknown'))}</code></p></header>",
        _summary(manifest),
        *(_section(part, folder, with_figures) for part in manifest.parts),
        f"<section><h2 id='environment'>Environment</h2>{_table(_flat(manifest.environment))}</section>",
    ]
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width'><meta name='color-scheme' content='light dark'>"
        f"<title>Run {_safe(manifest.id)}: {word}</title><style>{STYLE.read_text()}</style></head><body>"
    )
    return head + "\n".join(body) + "</body></html>\n"


def _summary(manifest: Manifest) -> str:
    rows = "".join(
        f"<tr><td><a href='#{_safe(part.name)}'>{_safe(part.name)}</a></td>"
        f"<td class='{_css(part)}'>{MARKS[part.status]} {part.status}</td><td>{part.seconds_s:g} s</td>"
        f"<td><code>{_safe(part.commit)}</code></td>"
        f"<td>{_safe(part.message) or ('outputs as kept' if part.compared else '')}</td></tr>"
        for part in manifest.parts
    )
    return f"<table><tr><th>notebook</th><th>verdict</th><th>took</th><th>commit</th><th></th></tr>{rows}</table>"


def _section(part: Part, folder: Path, with_figures: bool) -> str:
    notes = [f"<p class='{_css(part)}'>{MARKS[part.status]} {part.status} {_safe(part.message)}</p>"]
    if part.parameters:
        notes.append(f"<details><summary>Parameters given</summary>{_table(_flat(part.parameters))}</details>")
    shown = [piece for cell in _cells(folder / f"{part.name}.ipynb") for piece in _cell(cell, with_figures)]
    if part.verdict:
        shown.append(f"<details><summary>verdict.json</summary>{_table(_flat(part.verdict))}</details>")
    return f"<section id='{_safe(part.name)}'>{''.join([*notes, *shown])}</section>"


def _cells(executed: Path) -> list[Cell]:
    """None of a notebook that was never begun, or that a run left in the middle of being written."""
    try:
        found: list[Cell] = orjson.loads(executed.read_bytes())["cells"]
    except (OSError, orjson.JSONDecodeError):
        return []
    return found


def _cell(cell: Cell, with_figures: bool) -> Iterator[str]:
    source = text(cell["source"])
    if BANNER in tags(cell):
        return
    if cell["cell_type"] == "markdown":
        yield _markdown(source)
    elif cell["cell_type"] == "code" and source.strip():
        opened = " open" if INJECTED in tags(cell) else ""
        yield f"<details class='code'{opened}><summary>code</summary><pre>{_safe(source)}</pre></details>"
        for output in as_shown(cell["outputs"]):
            yield _output(output, with_figures)


def _output(output: Mapping[str, Any], with_figures: bool) -> str:
    match output:
        case {"output_type": "stream", "text": told}:
            return _pre(told)
        case {"output_type": "error", "traceback": trace}:
            return f"<div class='failed'>{_pre(ANSI.sub('', chr(10).join(trace)))}</div>"
        case {"data": {"image/png": picture}}:
            if not with_figures:
                return "<p>(the figure is in the executed notebook: this page would be too large)</p>"
            encoded = text(picture).replace("\n", "")
            return f"<figure><img alt='figure' src='data:image/png;base64,{encoded}'></figure>"
        case {"data": {"text/markdown": told}}:
            return _markdown(text(told))
        case {"data": {"text/plain": told}}:
            return _pre(text(told))
    return ""


def _markdown(source: str) -> str:
    """As HTML; raw HTML in it is shown as it is written."""
    found: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(source)
    return found


def _flat(told: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in told.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name} ")
        elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
            for number, each in enumerate(value, 1):
                yield from _flat(each if isinstance(each, dict) else {"": each}, f"{before}{name} {number} ")
        else:
            yield f"{before}{name}", value


def _table(rows: Iterator[tuple[str, Any]]) -> str:
    told = "".join(f"<tr><td>{_safe(name)}</td><td>{_safe(value)}</td></tr>" for name, value in rows)
    return f"<table>{told}</table>"


def _pre(told: str) -> str:
    return f"<pre>{_safe(told)}</pre>"


def _css(part: Part) -> str:
    return "passed" if part.status == "passed" else "failed"


def _safe(told: object) -> str:
    return html.escape("—" if told is None else str(told))
