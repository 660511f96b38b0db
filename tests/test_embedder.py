"""The embedder: a tiny random BERT against a naive twin, the real MiniLM against its published behaviour."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from tests.tiny_bert import HIDDEN, WINDOW, naive_bert, tiny_source
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import CARD_FILE, EmbedderCard, bert_folder, minilm_folder
from workbench.errors import ConfigurationError, EmbeddingError

TEXTS = ["how do I sort a list in Python?", "a", "reverse a list!", "list", "how do i reverse a list in perl?"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_source(tmp_path_factory.mktemp("tiny") / "source")


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(source, name="tiny", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    return Embedder(folder)


# ── the graph ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pooling", "expected", "prefix"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "include_prompt": True}, "mean", ""),
        ({"pooling_mode_cls_token": True}, "cls", "bert."),
        ({"pooling_mode": "mean"}, "mean", "bert."),
        ({"pooling_mode": "cls"}, "cls", ""),
    ],
)
def test_graph_agrees_with_the_naive_twin(tmp_path: Path, pooling: dict[str, Any], expected: str, prefix: str) -> None:
    source = tiny_source(tmp_path / "source", pooling=pooling, prefix=prefix)
    embedder = Embedder(bert_folder(source, name="tiny", cache=tmp_path / "cache"))
    assert embedder.card.pooling == expected
    weights = {name.removeprefix(prefix): tensor for name, tensor in load_file(source / "model.safetensors").items()}
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for text, vector in zip(TEXTS, embedder.encode(TEXTS), strict=True):
        hidden = naive_bert(weights, tokenizer.encode(text).ids)
        pooled = hidden.mean(axis=0) if expected == "mean" else hidden[0]
        np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=1e-5)


def test_int8_graph_stays_close_to_the_exact_one(source: Path, tmp_path: Path, embedder: Embedder) -> None:
    int8 = Embedder(bert_folder(source, name="tiny", cache=tmp_path, precision="int8"))
    assert int8.fingerprint != embedder.fingerprint
    exact, close = embedder.encode(TEXTS), int8.encode(TEXTS)
    assert not np.array_equal(exact, close)
    assert (exact * close).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(close, np.concatenate([int8.encode([text]) for text in TEXTS]), atol=1e-5)


def test_batched_vectors_equal_single_ones(embedder: Embedder) -> None:
    texts = TEXTS * 40
    together = embedder.encode(texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(together, np.concatenate([embedder.encode([text]) for text in texts]), atol=1e-5)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, HIDDEN)


def test_minilm_sees_meaning_as_published(tmp_path_factory: pytest.TempPathFactory) -> None:
    minilm = Embedder(minilm_folder(tmp_path_factory.getbasetemp() / "minilm"))
    expected = {
        "how do i reverse a list in python": 0.999,
        "How can I reverse a list in Python?": 0.998,
        "Please tell me how to reverse a list in Python.": 0.985,
        "How do I reverse a Python list?": 0.982,
        "How do I reverse a list in Python 2?": 0.985,
        "How do I not reverse a list in Python?": 0.954,
        "How do I sort a list in Python?": 0.574,
        "How do I reverse a list in Perl?": 0.732,
    }
    first, *others = minilm.encode(["How do I reverse a list in Python?", *expected])
    np.testing.assert_allclose([float(first @ other) for other in others], list(expected.values()), atol=3e-3)
    assert (minilm.card.dimension, minilm.card.max_tokens) == (384, 256)
    assert minilm.fits("word " * 254)
    assert not minilm.fits("word " * 255)


# ── the window ──────────────────────────────────────────────────────────────────────────────────────────────


def test_window_counts_the_special_tokens(embedder: Embedder) -> None:
    assert embedder.token_count("list " * (WINDOW - 2)) == WINDOW
    assert embedder.fits("list " * (WINDOW - 2))
    assert not embedder.fits("list " * (WINDOW - 1))


@pytest.mark.parametrize("text", ["list " * (WINDOW - 1), "reverse a 😀", "list" + " " * 100_000])
def test_what_cannot_be_read_whole_is_refused_not_truncated(embedder: Embedder, text: str) -> None:
    assert not embedder.fits(text)
    with pytest.raises(EmbeddingError, match="read whole"):
        embedder.encode(["a list", text])


# ── the folder ──────────────────────────────────────────────────────────────────────────────────────────────


def test_folder_is_built_once(source: Path, tmp_path: Path) -> None:
    first = bert_folder(source, name="tiny", cache=tmp_path)
    written = (first / "model.onnx").stat().st_mtime_ns
    assert bert_folder(source, name="tiny", cache=tmp_path) == first
    assert (first / "model.onnx").stat().st_mtime_ns == written


def test_concurrent_builds_give_one_whole_folder(source: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        folders = set(threads.map(lambda _: bert_folder(source, name="tiny", cache=tmp_path), range(8)))
    assert set(tmp_path.iterdir()) == folders
    assert len(folders) == 1
    assert len(Embedder(folders.pop()).encode(["a list"])) == 1


def test_other_weights_get_another_folder_and_fingerprint(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    other = bert_folder(tiny_source(tmp_path / "source", seed=1), name="tiny", cache=tmp_path / "cache")
    assert other.name != folder.name
    assert Embedder(other).fingerprint != embedder.fingerprint


def test_same_source_gets_the_same_fingerprint_elsewhere(embedder: Embedder, tmp_path: Path) -> None:
    again = bert_folder(tiny_source(tmp_path / "source"), name="tiny", cache=tmp_path / "cache")
    assert Embedder(again).fingerprint == embedder.fingerprint


def test_every_field_of_the_card_is_in_the_fingerprint(embedder: Embedder) -> None:
    changes: list[dict[str, Any]] = [
        {"name": "x"}, {"revision": "x"}, {"dimension": 9}, {"pooling": "cls"}, {"max_tokens": 9}, {"precision": "int8"}
    ]  # fmt: skip
    cards = [EmbedderCard.model_validate(embedder.card.model_dump() | change) for change in changes]
    assert len({card.fingerprint for card in [embedder.card, *cards]}) == len(cards) + 1


@pytest.mark.parametrize("name", [CARD_FILE, "tokenizer.json", "model.onnx"])
@pytest.mark.parametrize("content", [None, b"broken"])
def test_broken_folder_is_refused_by_name(folder: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match="broken"):
        Embedder(broken)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", {"model_type": "mpnet"}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}),
        ("modules.json", [{"type": "a.Transformer"}, {"type": "a.Pooling"}, {"type": "a.Dense"}]),
        ("sentence_bert_config.json", {"max_seq_length": 9, "do_lower_case": True}),
    ],
)
def test_what_is_not_plain_bert_is_refused(tmp_path: Path, file: str, content: Any) -> None:
    source = tiny_source(tmp_path / "source")
    (source / file).write_text(json.dumps(content))
    with pytest.raises(ConfigurationError):
        bert_folder(source, name="tiny", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_missing_weight_is_named(tmp_path: Path) -> None:
    source = tiny_source(tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(ConfigurationError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        bert_folder(source, name="tiny", cache=tmp_path / "cache")
