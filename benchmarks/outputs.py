"""Whether a notebook, run again, said what it keeps: nbval's rule, on outputs that are already there.

Streams are merged by name, each kind of data is compared in order, and what tells only about one run (counts,
metadata, widgets) is left out. Cells tagged `nbval-ignore-output` may say anything. So one execution by papermill
serves both, the report and the comparison; `pytest --nbval` agrees, and costs the execution once more.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson

IGNORED = "nbval-ignore-output"
INJECTED = "injected-parameters"
WIDGET = "application/vnd.jupyter.widget-view+json"
OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)

Cell = Mapping[str, Any]


def code_cells(path: Path) -> list[Cell]:
    """The notebook's own code cells; what papermill puts in is not."""
    found: list[Cell] = orjson.loads(path.read_bytes())["cells"]
    return [cell for cell in found if cell["cell_type"] == "code" and INJECTED not in tags(cell)]


def tags(cell: Cell) -> Sequence[str]:
    """The cell's tags."""
    found: Sequence[str] = cell["metadata"].get("tags", ())
    return found


def differences(kept: Path, executed: Path) -> list[str]:
    """What the executed notebook says otherwise than the kept one, a line a cell; empty when nothing."""
    found: list[str] = []
    for number, (ours, theirs) in enumerate(zip_longest(code_cells(kept), code_cells(executed)), 1):
        if ours is None or theirs is None:
            return [*found, "the notebooks have different cells"]
        if IGNORED in tags(ours) or ours["execution_count"] is None:
            continue
        before, after = _said(ours), _said(theirs)
        if before != after:
            kinds = [kind for kind in sorted({*before, *after}) if before.get(kind) != after.get(kind)]
            found.append(f"code cell {number}: {kinds[0]} was {_told(before, kinds[0])}, is {_told(after, kinds[0])}")
    return found


def _said(cell: Cell) -> dict[str, list[str]]:
    """Every kind of output and what it said, in order."""
    said: dict[str, list[str]] = defaultdict(list)
    streams: dict[str, str] = defaultdict(str)
    for output in cell["outputs"]:
        match output["output_type"]:
            case "stream":
                streams[output["name"]] += text(output["text"])
            case "error":
                said["error"].append(f"{output['ename']}: {output['evalue']}")
            case _:
                for kind, data in output["data"].items():
                    if kind != WIDGET:
                        said[kind].append(text(data))
    return dict(said) | {name: [OVERWRITTEN.sub("", whole)] for name, whole in streams.items()}


def as_shown(outputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The outputs as a reader sees them: neighbours of one stream as one, without the lines that were overwritten."""
    merged = _merged_streams(outputs)
    return [
        {**output, "text": OVERWRITTEN.sub("", output["text"])} if output["output_type"] == "stream" else output
        for output in merged
    ]


def _merged_streams(outputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    merged: list[Mapping[str, Any]] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output["output_type"] != "stream":
            merged.append(output)
        elif last.get("name") == output["name"]:
            merged[-1] = {**last, "text": last["text"] + text(output["text"])}
        else:
            merged.append({**output, "text": text(output["text"])})
    return merged


def text(told: Any) -> str:
    """A notebook's text, which may be a list of lines, or JSON."""
    if isinstance(told, list):
        return "".join(told)
    return told if isinstance(told, str) else orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


def _told(said: Mapping[str, list[str]], kind: str) -> str:
    whole = " | ".join(said[kind]) if kind in said else "nothing"
    return repr(whole if len(whole) <= 200 else whole[:197] + "…")
