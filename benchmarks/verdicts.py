"""What a notebook found, as a file beside its executed copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figures import ROOT, this_run


def write_verdict(notebook: str, output: str, found: Mapping[str, Any]) -> Path:
    """Write `verdict.json` into the folder `output`, by default the notebook's own in `runs/`; gives the file."""
    folder = Path(output) if output else ROOT / "runs" / notebook
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "verdict.json"
    path.write_bytes(orjson.dumps(dict(found) | this_run(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path
