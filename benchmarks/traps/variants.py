"""What the generators of training pairs hand out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Maker = Callable[[str, Random], str | None]
"""A text, changed in one way; None where that way does not apply."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A text made from another: `same` says whether one answer is right for both, `slot` what was changed."""

    text: str
    same: bool
    slot: str


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two questions; `same` says whether one answer is right for both, `slot` which makers made them."""

    a: str
    b: str
    same: bool
    slot: str


_NOT_A_WORD = re.compile(r"[^\w$€£%+#/\\.-]+|[.-](?!\w)|(?<!\w)\.")


def fold(text: str) -> str:
    """`text` without case and punctuation: two texts with one fold are a question and itself."""
    return " ".join(_NOT_A_WORD.sub(" ", text.casefold()).split())
