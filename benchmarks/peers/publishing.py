"""The comparison in the README: its tables, and its figure where matplotlib is installed."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.figures import README, put_between_marks
from benchmarks.peers.plots import served_and_added
from benchmarks.peers.tables import RESULTS, Document, markdown
from workbench.errors import ConfigurationError


def publish(found: Document, *, readme: Path = README, results: Path = RESULTS) -> bool:
    """Fill the README's `peers` block and draw the figure beside the results; False without such a block.

    Without the study extra the figure is left out, and an old one is removed: it would show another run.
    """
    picture = results.with_suffix(".png")
    try:
        picture.write_bytes(served_and_added(found).png)
    except ConfigurationError as error:
        picture.unlink(missing_ok=True)
        print(f"no figure: {error}", file=sys.stderr)
    shown = picture.relative_to(readme.parent).as_posix() if picture.exists() else ""
    return put_between_marks("peers", markdown(found, figure=shown), readme=readme)
