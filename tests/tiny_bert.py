"""A tiny random BERT in a sentence-transformers folder, and the naive encoder that it is compared with."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["how", "do", "i", "reverse", "sort", "a", "list", "in", "python", "perl", "?", "!"]
HIDDEN, LAYERS, HEADS, INNER, WINDOW, POSITIONS = 32, 2, 4, 64, 12, 16

Tensors = dict[str, npt.NDArray[np.float32]]


def tiny_source(folder: Path, *, pooling: dict[str, Any] | None = None, prefix: str = "", seed: int = 0) -> Path:
    """A random BERT in a sentence-transformers folder; its tokenizer file truncates and pads, as MiniLM's does."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))  # noqa: S106 (no password)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=20)
    shape = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    kinds = ["Transformer", "Pooling", "Normalize"]
    files = {
        "config.json": {"model_type": "bert", "architectures": ["BertModel"], "intermediate_size": INNER, **shape}
        | {"max_position_embeddings": POSITIONS, "vocab_size": len(vocabulary), "layer_norm_eps": 1e-12},
        "modules.json": [
            {
                "idx": i,
                "name": str(i),
                "path": f"{i}_{kind}" if i else "",
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, kind in enumerate(kinds)
        ],
        "sentence_bert_config.json": {"max_seq_length": WINDOW, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True}
        if pooling is None
        else pooling,
    }
    (folder / "1_Pooling").mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    tokenizer.save(str(folder / "tokenizer.json"))
    tensors = {prefix + name: tensor for name, tensor in tiny_tensors(len(vocabulary), seed=seed).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tiny_tensors(vocabulary: int, *, seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    for layer in (f"encoder.layer.{index}." for index in range(LAYERS)):
        linear = {f"attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        linear |= {"attention.output.dense": (HIDDEN, HIDDEN)}
        linear |= {"intermediate.dense": (INNER, HIDDEN), "output.dense": (HIDDEN, INNER)}
        shapes |= {f"{layer}{name}.weight": shape for name, shape in linear.items()}
        shapes |= {f"{layer}{name}.bias": shape[:1] for name, shape in linear.items()}
        norms = [
            f"{layer}{part}.LayerNorm.{kind}" for part in ("attention.output", "output") for kind in ("weight", "bias")
        ]
        shapes |= dict.fromkeys(norms, (HIDDEN,))
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def naive_bert(w: Tensors, ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """The textbook's encoder for one text, without batches, masks or fused anything; (tokens, d)."""

    def linear(x: Any, name: str) -> Any:
        return x @ w[name + ".weight"].T.astype(np.float64) + w[name + ".bias"]

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[name + ".bias"]

    def attend(x: Any, prefix: str) -> Any:
        q, k, v = (linear(x, prefix + part) for part in ("query", "key", "value"))
        size, out = HIDDEN // HEADS, []
        for part in (slice(head * size, (head + 1) * size) for head in range(HEADS)):
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
            out.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        return np.concatenate(out, axis=1)

    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    words, positions, types = (w[f"embeddings.{name}.weight"].astype(np.float64) for name in names)
    x = norm(words[list(ids)] + positions[: len(ids)] + types[0], "embeddings.LayerNorm")
    for prefix in (f"encoder.layer.{index}." for index in range(LAYERS)):
        attended = linear(attend(x, prefix + "attention.self."), prefix + "attention.output.dense")
        x = norm(x + attended, prefix + "attention.output.LayerNorm")
        inner = linear(x, prefix + "intermediate.dense")
        inner = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
        x = norm(x + linear(inner, prefix + "output.dense"), prefix + "output.LayerNorm")
    return np.asarray(x)
