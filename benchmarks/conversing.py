"""Conversations whose last messages are alike: what the cache serves of them, by how it matches earlier turns.

    python -m benchmarks.conversing

The real cache decides, over a store in memory. The labels (`benchmarks/data/conversations.jsonl`) chose nothing of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import orjson
import typer

from benchmarks.bootstrap import ratio_interval
from benchmarks.families import DATA
from benchmarks.lookups import Ask, Asked, Vectors
from workbench.cache.cache import Conversations, Hit, Miss, SemanticCache
from workbench.cache.embedder import Embedder, EmbeddingService
from workbench.cache.memory_store import MemoryStore
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Policy, load_policy
from workbench.cache.question import Question, question
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import verifier_folder
from workbench.messages import MessagesRequest
from workbench.settings import data_folder

STORE_MAX_BYTES = 2**30
TIMEOUT_S = 60.0

Label = Literal["same", "context", "slot"]
"""One answer serves both; what was said before differs; the last message itself does."""


@dataclass(frozen=True, slots=True)
class Row:
    """Two conversations: `stored` was answered, `asked` comes after it."""

    label: Label
    stored: Question
    asked: Question


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup came to: the digest of the conversation whose reply was served, else None and why."""

    served: str | None
    reason: str


class Asking:
    """A verifier as the cache wants it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def logit(self, question: str, candidate: str) -> float | None:
        """Its answer; nobody else waits here."""
        return self._ask(question, candidate)


def conversations(
    policy: Policy, vectors: Vectors, ask: Ask | None, *, labelled: Sequence[Row] | None = None
) -> dict[str, Any]:
    """For each way of matching earlier turns: how many are served, each pair alone and all in one store."""
    return asyncio.run(_conversations(labelled or rows(), policy, vectors.embedder, ask))


def rows() -> list[Row]:
    """The labelled pairs."""
    lines = (DATA / "conversations.jsonl").read_bytes().splitlines()
    return [Row(_label(row), _question(row["a"]), _question(row["b"])) for row in map(orjson.loads, lines)]


def _label(row: dict[str, Any]) -> Label:
    if row["same"]:
        return "same"
    return "context" if row["slot"] == "context" else "slot"


def _question(turns: Sequence[str]) -> Question:
    messages = [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(turns)]
    request = MessagesRequest.model_validate({"model": "m", "max_tokens": 100, "messages": messages})
    return question(request, model="m", model_digest="d")


async def _conversations(
    labelled: Sequence[Row], policy: Policy, embedder: Embedder, ask: Ask | None
) -> dict[str, Any]:
    report: dict[str, Any] = {"pairs": dict(Counter(row.label for row in labelled))}
    embedding = EmbeddingService(embedder)
    try:
        for conversations in get_args(Conversations):

            def cache(conversations: Conversations = conversations) -> SemanticCache:
                return SemanticCache(
                    MemoryStore(max_bytes=STORE_MAX_BYTES), memory=None, embedder=embedding,
                    verifier=Asking(ask) if ask else None, policy=policy, conversations=conversations,
                    ttl_s=1e6, timeout_s=TIMEOUT_S,
                )  # fmt: skip

            alone = [(await looked_up(cache(), [row], [row]))[0] for row in labelled]
            together = await looked_up(cache(), labelled, labelled)
            report[conversations] = _alone(labelled, alone) | {"in_one_store": _together(labelled, together)}
    finally:
        await embedding.close()
    return report


async def looked_up(cache: SemanticCache, stored: Iterable[Row], asked: Iterable[Row]) -> list[Found]:
    """What each of `asked` comes to, once the others are stored."""
    for row in stored:
        await cache.insert("t", row.stored, row.stored.digest.encode(), model="m", by_meaning=True)
    found = []
    for row in asked:
        match await cache.lookup("t", row.asked):
            case Hit(entry=entry):
                found.append(Found(entry.digest, ""))
            case Miss(reason=reason):
                found.append(Found(None, reason))
            case bypass:
                raise RuntimeError(f"the cache failed: {bypass.reason}")
    return found


def _alone(labelled: Sequence[Row], found: Sequence[Found]) -> dict[str, Any]:
    """For each label how many are served, and what refused the rest."""
    outcomes: defaultdict[Label, list[Found]] = defaultdict(list)
    for row, one in zip(labelled, found, strict=True):
        outcomes[row.label].append(one)
    return {
        f"{label}_served": _share([one.served is not None for one in ones])
        | {"refused": dict(Counter(one.reason for one in ones if one.served is None).most_common())}
        for label, ones in outcomes.items()
    }


def _together(labelled: Sequence[Row], found: Sequence[Found]) -> dict[str, Any]:
    """Right and wrong hits ÷ lookups, with all of them in one store."""
    right = [row.label == "same" and one.served == row.stored.digest for row, one in zip(labelled, found, strict=True)]
    wrong = [one.served is not None and not is_right for one, is_right in zip(found, right, strict=True)]
    return {"hits": _share(right), "false_hits": _share(wrong)}


def _share(events: Sequence[bool]) -> dict[str, Any]:
    """With its interval at 95 %; each row stands for itself."""
    low, high = ratio_interval(events, np.ones(len(events)), unit=np.arange(len(events)))
    share, interval = round(float(np.mean(events)), 4), [round(low, 4), round(high, 4)]
    return {"count": sum(events), "n": len(events), "share": share, "interval": interval}


def main() -> None:
    """Print what the policy that ships does."""
    policy, folder = load_policy(), data_folder() / "embedders"
    vectors = Vectors(Embedder(minilm_folder(folder)))
    ask = Asked(Verifier(verifier_folder(folder)).logit) if policy.second else None
    print(orjson.dumps(conversations(policy, vectors, ask), option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    typer.run(main)
