"""Whatever carries an embedder's weights, as the model folder that is served."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

from workbench.cache.model_folder import (
    CARD_FILE,
    MINILM_NAME,
    EmbedderCard,
    bert_folder,
    built_once,
    content_hash,
    minilm_folder,
    minilm_source,
)
from workbench.errors import ConfigurationError

ONNX_TOKENS = 128
"""What an ONNX file that comes without a word on its window may be given, special tokens included."""


def named_folders(named: list[str], *, cache: Path) -> dict[str, Path]:
    """Name → model folder, the default embedder's first; `named` holds ``NAME=PATH``.

    What must be made of a path is kept below `cache`. Raises `ConfigurationError`.
    """
    found = {MINILM_NAME: minilm_folder(cache)}
    for each in named:
        name, equals, path = each.partition("=")
        if not (name and equals and path):
            raise ConfigurationError(f"{each!r} names no embedder: expected NAME=PATH, as in mpnet=models/mpnet")
        if name in found:
            raise ConfigurationError(f"the name {name!r} stands twice, or is the default embedder's: choose another")
        found[name] = model_folder(path, name=name, cache=cache)
    return found


def model_folder(path: str, *, name: str, cache: Path) -> Path:
    """`path` is a model folder, a sentence-transformers folder of BERT's shape, or ``model.onnx[,tokenizer.json]``.

    BERT-shaped weights are held in int8, as the default's are.
    """
    first, _, tokenizer = path.partition(",")
    source = Path(first)
    if (source / CARD_FILE).is_file():
        return source
    if source.suffix == ".onnx":
        return onnx_folder(
            source, tokenizer=Path(tokenizer or minilm_source() / "tokenizer.json"), name=name, cache=cache
        )
    try:
        return bert_folder(source, name=name, cache=cache, precision="int8")
    except ConfigurationError as reason:
        raise ConfigurationError(
            f"{reason}; another shape is compiled first: `python -m benchmarks.compile_embedder {source} OUT`"
        ) from reason


def onnx_folder(model: Path, *, tokenizer: Path, name: str, cache: Path) -> Path:
    """An ONNX file that gives hidden states, (texts, tokens, d), which are averaged over the tokens."""
    for path in (model, tokenizer):
        if not path.is_file():
            raise ConfigurationError(f"{path} is not there: expected the file of {name}")
    revision = content_hash([model, tokenizer])

    def write(target: Path) -> None:
        dimension = write_hidden_states(model, target / "model.onnx")
        shutil.copyfile(tokenizer, target / "tokenizer.json")
        card = EmbedderCard(
            name=name, revision=revision, dimension=dimension, pooling="mean", max_tokens=ONNX_TOKENS, precision="fp32"
        )
        (target / CARD_FILE).write_text(card.model_dump_json(indent=2))

    return built_once(cache / f"{name}-onnx-{revision}", write)


def write_hidden_states(model: Path, target: Path) -> int:
    """The same graph with its hidden states as the only output; gives their width."""
    loaded = onnx.load(model)
    outputs = [each for each in loaded.graph.output if len(each.type.tensor_type.shape.dim) == 3]
    widths = [each.type.tensor_type.shape.dim[2].dim_value for each in outputs]
    if len(outputs) != 1 or not widths[0]:
        raise ConfigurationError(
            f"{model} has {len(outputs)} outputs of three dimensions, expected one, (texts, tokens, a known width)"
        )
    del loaded.graph.output[:]
    loaded.graph.output.append(outputs[0])
    onnx.save(loaded, target)
    return int(widths[0])
