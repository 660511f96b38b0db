"""Pairs to label: buttons under one after the other where somebody can press them, a table where nobody can."""

from __future__ import annotations

from functools import partial
from html import escape
from textwrap import shorten
from typing import Any

from benchmarks.judging import Table
from benchmarks.labelling import Labelling, NoRecording, Says, Unlabelled
from benchmarks.sliding import is_live, widgets
from workbench.errors import ConfigurationError

SHOWN = 20
"""Rows of the table."""

WIDE = 100
"""Characters of a text in it."""

SAYS: tuple[tuple[Says, str, str], ...] = (
    ("same", "Same", "success"),
    ("different", "Different", "danger"),
    ("skip", "Skip", ""),
)
"""What may be said, the button's name and its style."""


def ask(labelling: Labelling | NoRecording) -> Any:
    """A widget that writes each answer down, else a `Table` of the first pairs; None without a recording."""
    if isinstance(labelling, NoRecording):
        return None
    if is_live() and (library := widgets()):
        return Form(labelling, library).shown
    return pair_table(labelling.pairs[:SHOWN])


def pair_table(pairs: list[Unlabelled]) -> Table:
    """One row a pair."""
    rows = [(f"{pair.similarity:.3f}", _cell(pair.a), _cell(pair.b)) for pair in pairs]
    return Table(("cosine", "asked earlier", "asked later"), tuple(rows))


def _cell(text: str) -> str:
    return escape(shorten(text, WIDE, placeholder=" …")).replace("|", "\\|")


class Form:
    """The current pair over three buttons. Any: the library ships no types."""

    def __init__(self, labelling: Labelling, library: Any) -> None:
        self._labelling = labelling
        self._text = library.HTML()
        self._buttons = [library.Button(description=name, button_style=style) for _, name, style in SAYS]
        for button, (says, _, _) in zip(self._buttons, SAYS, strict=True):
            button.on_click(partial(self._answered, says))
        self.shown = library.VBox([self._text, library.HBox(self._buttons)])
        self._draw()

    def _answered(self, says: Says, _: Any) -> None:
        try:
            self._labelling.answer(says)
        except ConfigurationError as error:  # a kernel shows nobody what a button raises
            self._draw(str(error))
        else:
            self._draw()

    def _draw(self, wrong: str = "") -> None:
        labelling = self._labelling
        pair = labelling.current
        for button in self._buttons:
            button.disabled = pair is None
        told = f"{labelling.place + 1:,} of {len(labelling.pairs):,}" if pair else "no pair is left"
        told += f", {len(labelling.file):,} answers in {escape(str(labelling.file.path))}"
        asked = f"{_quoted(pair.a)}<p>Would its answer serve this question too?</p>{_quoted(pair.b)}" if pair else ""
        self._text.value = f"<p>{told}</p>{asked}" + (f"<p><b>{escape(wrong)}</b></p>" if wrong else "")


def _quoted(text: str) -> str:
    return f"<blockquote style='white-space: pre-wrap'>{escape(text)}</blockquote>"
