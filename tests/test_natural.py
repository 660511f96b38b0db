"""Pairs of public questions: each intent in one part only, repeats and neighbours as they should be."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import orjson
import pytest

from benchmarks.lookups import Vectors
from benchmarks.natural import SOURCES, TWIN, natural_pairs, part_of, texts_of
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.settings import data_folder

TOPICS = [
    "card",
    "transfer",
    "account",
    "app",
    "refund",
    "fee",
    "address",
    "cheque",
    "loan",
    "password",
    "branch",
    "salary",
    "visa",
    "insurance",
]
STARTS = ("tell me about the {}", "what is new with my {}", "where can I find a {}", "cancel the {}", "I lost my {}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of the same form, some texts out of scope."""
    folder = tmp_path_factory.mktemp("public")
    for source in SOURCES:
        rows = [
            {"text": start.format(topic), "intent": f"{source.name} {topic}"} for topic in TOPICS for start in STARTS
        ]
        rows.append({"text": "something else", "intent": "oos"})
        with gzip.open(folder / f"{source.name}.jsonl.gz", "wb") as file:
            file.write(b"\n".join(map(orjson.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors(Embedder(minilm_folder(data_folder() / "embedders")))


def test_each_intent_stands_in_one_part_and_half_of_them_report() -> None:
    parts = Counter(part_of(f"intent {number}") for number in range(4000))
    assert 0.46 < parts["report"] / 4000 < 0.54
    assert 0.34 < parts["learn"] / 4000 < 0.41


def test_texts_out_of_scope_belong_to_no_part(folder: Path) -> None:
    assert "something else" not in texts_of(folder, SOURCES[0], "learn", "choose", "report")


def test_repeats_share_an_intent_and_neighbours_do_not(folder: Path, vectors: Vectors) -> None:
    known = texts_of(folder, SOURCES[0], "learn")
    pairs = natural_pairs(folder, vectors, part="learn", seed=0)
    assert {pair.same for pair in pairs} == {True, False}
    for pair in (pair for pair in pairs if pair.family.startswith(SOURCES[0].name)):
        assert (known[pair.a] == known[pair.b]) == pair.same
        assert pair.same or vectors.similarities([pair])[0] < TWIN


def test_the_seed_draws_the_pairs(folder: Path, vectors: Vectors) -> None:
    first, again, other = (natural_pairs(folder, vectors, part="learn", seed=seed) for seed in (1, 1, 2))
    assert first == again != other
