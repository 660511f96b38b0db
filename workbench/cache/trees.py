"""Boosted decision trees as plain numbers: fitted elsewhere, evaluated here without a library."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Node = tuple[int, float, int, int]
"""(feature, threshold, left, right): left where the feature's value is at most the threshold. In a leaf the feature
is -1 and the threshold its value."""

LEAF = -1
LARGEST_LEAF = 50.0


class Trees(BaseModel):
    """The sum of a start and one leaf of each tree: a logit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Annotated[float, Field(ge=-LARGEST_LEAF, le=LARGEST_LEAF)]
    trees: Annotated[tuple[tuple[Node, ...], ...], Field(min_length=1, max_length=2000)]

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        """Children come after their parents, so that no walk goes round in circles."""
        for tree in self.trees:
            for place, (feature, threshold, left, right) in enumerate(tree):
                if feature == LEAF:
                    if not abs(threshold) <= LARGEST_LEAF:
                        raise ValueError(f"a tree's leaf {place} says {threshold}, at most {LARGEST_LEAF} is plausible")
                elif feature < 0 or not (place < left < len(tree) and place < right < len(tree)):
                    raise ValueError(f"a tree's node {place} leads to {left} and {right}, outside of what follows it")
            if not tree:
                raise ValueError("a tree has no node")
        return self

    @cached_property
    def width(self) -> int:
        """How many features are looked at, at the most."""
        return 1 + max((feature for tree in self.trees for feature, *_ in tree), default=LEAF)

    def logit(self, values: Sequence[float]) -> float:
        """The trees' answer to one row of features."""
        total = self.start
        for tree in self.trees:
            feature, threshold, left, right = tree[0]
            while feature >= 0:
                feature, threshold, left, right = tree[left if values[feature] <= threshold else right]
            total += threshold
        return total
