"""The verifier as it ships, `data/verifier.safetensors`, and the model folder that the first start makes of it.

The file holds what training changed: the layers, each row of a weight in 7 bits with a scale, and the head. The word
embeddings are the default embedder's own and come with its package.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, PositiveInt
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from workbench.cache.model_folder import built_once, content_hash, minilm_source
from workbench.errors import ConfigurationError

VERIFIER_FILE = "verifier.safetensors"
VERIFIER_CARD = "verifier.json"
HEAD_FILE = "head.npy"
WORDS = "embeddings.word_embeddings.weight"
MAX_TOKENS = 96
"""Of both questions together; longer ones are not verified."""

Weights = npt.NDArray[np.float32]


class VerifierCard(BaseModel):
    """What `verifier.json` says about the model beside it; `revision` names all that its answers depend on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: str
    max_tokens: PositiveInt


def save_layers(state: Mapping[str, npt.NDArray[Any]], *, head: Mapping[str, npt.NDArray[Any]], target: Path) -> None:
    """Write the trained layers: matrices as `name` int8 and `name.scales`, all else float32."""
    from workbench.cache.bert_graph import quantise_rows  # here, because a start that finds its folder needs no onnx

    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, array in state.items():
        if name.startswith("encoder.") and array.ndim == 2:
            tensors[name], tensors[f"{name}.scales"] = quantise_rows(array.astype(np.float32))
        elif name != WORDS and array.dtype.kind == "f":
            tensors[name] = array.astype(np.float16 if name.startswith("embeddings.position") else np.float32)
    tensors |= {f"head.{name}": array.astype(np.float32) for name, array in head.items()}
    save_file(tensors, target)


def verifier_folder(cache: Path, *, layers: Path | None = None) -> Path:
    """The verifier's model folder below `cache`, built when it is not there yet.

    `layers` is a file of `save_layers`, by default the one that ships. Raises `ConfigurationError` when it is missing
    or broken.
    """
    file = layers or Path(str(files("workbench") / "data" / VERIFIER_FILE))
    source = minilm_source()
    revision = content_hash([file, source / "model.safetensors", source / "tokenizer.json"], salt=b"verifier 2")

    def write(target: Path) -> None:
        from workbench.cache import bert_graph

        weights, head = _read(file)
        config = bert_graph.read_shape(source).config.model_copy(update={"num_hidden_layers": _layers_in(weights)})
        bert_graph.write_bert_graph(
            source,
            config=config,
            target=target,
            precision="dynamic",
            overlay=weights,
            segments=True,
            first_only=True,
        )
        np.save(target / HEAD_FILE, head)
        shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
        card = VerifierCard(revision=revision, max_tokens=MAX_TOKENS)
        (target / VERIFIER_CARD).write_text(card.model_dump_json(indent=2))

    return built_once(cache / f"verifier-{revision}", write)


def _layers_in(weights: Mapping[str, Weights]) -> int:
    """How many layers the encoder has: fewer than the one it was made of, perhaps."""
    return len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")})


def _read(file: Path) -> tuple[dict[str, Weights], Weights]:
    """The layers in float32, and the head: (d + 1,), its bias last."""
    try:
        tensors = load(file.read_bytes())
        head = np.concatenate([tensors.pop("head.weight")[0], tensors.pop("head.bias")])
    except (OSError, SafetensorError, KeyError) as error:
        raise ConfigurationError(
            f"{file} holds no verifier ({error}): train one, or serve a policy without a verifier"
        ) from None
    return {
        name: array.astype(np.float32) * tensors[f"{name}.scales"][:, None]
        if f"{name}.scales" in tensors
        else array.astype(np.float32)
        for name, array in tensors.items()
        if not name.endswith(".scales")
    }, head
