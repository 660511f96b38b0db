"""A BERT encoder as an ONNX graph, written straight from its safetensors: no torch, no model hub.

Serves whatever is shaped like BERT (MiniLM, bge, e5, gte): `config.json` beside `model.safetensors`. The graph
uses ONNX Runtime's fused operators, so a layer is eight nodes and nothing is left to optimise at load.
Source of the shape: Devlin et al. 2018, https://arxiv.org/abs/1810.04805; of the operators: ONNX Runtime's
docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import orjson
from onnx import TensorProto, helper
from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from workbench.errors import ConfigurationError

Weights = npt.NDArray[np.float32]

OPSET = 18
FUSED = "com.microsoft"
DATA_FILE = "model.onnx.data"

BLOCK, MAX_INT8, ZERO_POINT, INT8_SUMS = 64, 127, 128, 4
"""MatMulNBits: inputs a scale, the largest weight, what stands for 0 in uint8, and its name for integer sums."""

MAX_INT7 = 63
"""DynamicQuantizeMatMul: the largest weight with which no CPU's 16-bit sums overflow."""

Precision = Literal["fp32", "int8", "dynamic"]
"""How the large weights are held and multiplied: as they are; 8 bits in blocks; 7 bits a column with activations
quantised on the fly, which is the fastest and moves the results the most."""


# ── what a sentence-transformers folder says ────────────────────────────────────────────────────────────────


class BertConfig(BaseModel):
    """What `config.json` must say for the graph below to be the right one."""

    model_type: Literal["bert"]
    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    layer_norm_eps: float = 1e-12
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    max_position_embeddings: PositiveInt


class _Transformer(BaseModel):
    max_seq_length: PositiveInt | None = None
    do_lower_case: Literal[False] = False


class _Tokenizer(BaseModel):
    model_max_length: float | None = None


class _Module(BaseModel):
    type: str


@dataclass(frozen=True, slots=True)
class BertShape:
    """All that a model folder needs to know of a sentence-transformers folder, weights aside."""

    config: BertConfig
    pooling: Literal["mean", "cls"]
    max_tokens: int


def read_shape(source: Path) -> BertShape:
    """Raises `ConfigurationError` when it is not BERT, or does more than pool (mean, first token) and normalise."""
    try:
        config = BertConfig.model_validate_json((source / "config.json").read_bytes())
        modules = TypeAdapter(list[_Module]).validate_json((source / "modules.json").read_bytes())
        pooling = read_pooling(source)
        window = _window(source)
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{source} does not describe a BERT sentence encoder: {error}") from error
    kinds = [module.type.rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ConfigurationError(f"{source} is made of {kinds}, expected Transformer, Pooling and perhaps Normalize")
    return BertShape(config, pooling, int(min(window, config.max_position_embeddings)))


def read_pooling(source: Path) -> Literal["mean", "cls"]:
    """The one pooling mode of the folder; until version 5 the library wrote a flag for each, since then a name."""
    path = source / "1_Pooling" / "config.json"
    said: dict[str, Any] = orjson.loads(path.read_bytes())
    flags = [key.removeprefix("pooling_mode_") for key, value in said.items() if value is True]
    match [said["pooling_mode"]] if "pooling_mode" in said else [flag for flag in flags if flag != "include_prompt"]:
        case ["mean" | "mean_tokens"]:
            return "mean"
        case ["cls" | "cls_token"]:
            return "cls"
        case other:
            raise ConfigurationError(f"{path} asks for pooling by {other}, expected mean or cls alone")


def _window(source: Path) -> float:
    """The library's limit in tokens; it stands in one file or, since version 6, in the tokenizer's."""
    transformer = _Transformer.model_validate_json((source / "sentence_bert_config.json").read_bytes())
    if transformer.max_seq_length:
        return transformer.max_seq_length
    path = source / "tokenizer_config.json"
    said = _Tokenizer.model_validate_json(path.read_bytes()) if path.is_file() else _Tokenizer()
    return said.model_max_length or float("inf")


# ── the graph ───────────────────────────────────────────────────────────────────────────────────────────────


class Tensors(Protocol):
    """Weights by name: a safetensors file, or something like it."""

    def keys(self) -> Iterable[str]:
        """Their names."""

    def get_tensor(self, name: str, /) -> Any:
        """A numpy array."""


def write_bert_graph(
    source: Path,
    *,
    config: BertConfig,
    target: Path,
    precision: Precision,
    overlay: Mapping[str, Weights] | None = None,
    segments: bool = False,
    first_only: bool = False,
) -> None:
    """Write `model.onnx` and its weights into the folder `target`; `overlay` stands in for weights of `source`.

    Inputs: input_ids, attention_mask and, with `segments`, token_type_ids, (n, tokens) int64, padded on the right.
    Output: last_hidden_state, (n, tokens, d) float32, or (n, 1, d) with `first_only`: then the last layer computes the
    first token alone. The weights lie beside the graph so that they are mapped into memory, not copied.
    """
    try:
        weights: Tensors = safe_open(source / "model.safetensors", framework="numpy")
        if overlay:
            weights = _Overlaid(weights, overlay)
        with (target / DATA_FILE).open("wb") as data:
            graph = _BertGraph(
                weights, config=config, data=data, precision=precision, segments=segments, first_only=first_only
            )
            model = graph.model()
    except (OSError, SafetensorError, TypeError) as error:
        raise ConfigurationError(
            f"{source} holds no float32 or float16 weights of a BERT encoder in model.safetensors: {error}"
        ) from error
    (target / "model.onnx").write_bytes(model.SerializeToString())


class _Overlaid:
    """Weights, some of them replaced."""

    def __init__(self, below: Tensors, above: Mapping[str, Weights]) -> None:
        self._below = below
        self._above = above

    def keys(self) -> Iterable[str]:
        return self._below.keys()

    def get_tensor(self, name: str, /) -> Any:
        return self._above[name] if name in self._above else self._below.get_tensor(name)


class _BertGraph:
    """Collects nodes, layer after layer, and writes their weights to `data` on the way."""

    def __init__(
        self,
        weights: Tensors,
        *,
        config: BertConfig,
        data: BinaryIO,
        precision: Precision,
        segments: bool,
        first_only: bool,
    ) -> None:
        self._weights = weights
        products = {"fp32": self._exact_product, "int8": self._int8_product, "dynamic": self._dynamic_product}
        self._product = products[precision]
        self._segments = segments
        self._first_only = first_only
        self._data = data
        self._prefix = "bert." if "bert.embeddings.LayerNorm.weight" in weights.keys() else ""  # noqa: SIM118 (a file)
        self._config = config
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        """The whole encoder, pooling left to the caller."""
        mask = self._node("Cast", ["attention_mask"], domain="", to=TensorProto.INT32)
        hidden = self._embeddings()
        layers = self._config.num_hidden_layers
        for layer in range(layers):
            last = layer == layers - 1
            hidden = self._layer(f"encoder.layer.{layer}.", hidden, mask, first_only=last and self._first_only)
        self._nodes[-1].output[0] = "last_hidden_state"
        tokens = ["n", "tokens"]
        read = ["n", 1] if self._first_only else tokens
        inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if self._segments else [])]
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in inputs],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*read, self._config.hidden_size])],
            self._initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _embeddings(self) -> str:
        """Word + position + type embeddings, normalised; without segments, type 0 is added to the positions."""
        prefix = "embeddings."
        positions = self._read(prefix + "position_embeddings.weight")
        types = self._read(prefix + "token_type_embeddings.weight")
        ids = self._node("Cast", ["input_ids"], domain="", to=TensorProto.INT32)
        type_ids, segments = "", ""
        if self._segments:
            type_ids = self._node("Cast", ["token_type_ids"], domain="", to=TensorProto.INT32)
            segments = self._weight("types", types)
        else:
            positions = positions + types[0]
        words = self._weight("words", self._read(prefix + "word_embeddings.weight"))
        places = self._weight("positions", positions)
        inputs = [ids, type_ids, words, places, segments, *self._norm(prefix + "LayerNorm.")]
        return self._node("EmbedLayerNormalization", inputs, outputs=2, epsilon=self._config.layer_norm_eps)

    def _layer(self, prefix: str, hidden: str, mask: str, *, first_only: bool) -> str:
        """Self-attention and feed-forward, each added to its input and normalised."""
        asking = hidden
        if first_only:
            place = self._weight(prefix + "first", np.zeros(1, np.int64))
            asking = self._node("Gather", [hidden, place], domain="", axis=1)
        attention = self._attention(prefix + "attention.self.", hidden, mask, asking=asking)
        hidden = self._project(prefix + "attention.output.", attention, skip=asking)
        inner = self._product(prefix + "intermediate", hidden, self._read(prefix + "intermediate.dense.weight"))
        inner = self._node("BiasGelu", [inner, self._copied(prefix + "intermediate.dense.bias")])
        return self._project(prefix + "output.", inner, skip=hidden)

    def _attention(self, prefix: str, hidden: str, mask: str, *, asking: str) -> str:
        """Multi-head attention of `asking` to `hidden`; where they are the same, all parts are one product."""
        parts = [prefix + part for part in ("query", "key", "value")]
        bias = self._weight(prefix + "qkv.bias", np.concatenate([self._read(p + ".bias") for p in parts]))
        if asking == hidden:
            query, key, value = self._parts(prefix + "qkv", hidden, parts)
        else:
            query = self._product(prefix + "q", asking, self._read(parts[0] + ".weight"))
            key, value = self._parts(prefix + "kv", hidden, parts[1:])
        heads = self._config.num_attention_heads
        return self._node("MultiHeadAttention", [query, key, value, bias, mask], num_heads=heads)

    def _parts(self, name: str, hidden: str, parts: list[str]) -> list[str]:
        """The products of `hidden` with these weights, computed as one."""
        product = self._product(name, hidden, np.concatenate([self._read(part + ".weight") for part in parts]))
        split = self._node("Split", [product], outputs=len(parts), domain="", axis=2, num_outputs=len(parts))
        return [split.removesuffix("0") + str(place) for place in range(len(parts))]

    def _project(self, prefix: str, inner: str, *, skip: str) -> str:
        """Back to the hidden size; bias, the layer's input and the normalisation in one node."""
        product = self._product(prefix + "product", inner, self._read(prefix + "dense.weight"))
        inputs = [product, skip, *self._norm(prefix + "LayerNorm."), self._copied(prefix + "dense.bias")]
        return self._node("SkipLayerNormalization", inputs, epsilon=self._config.layer_norm_eps)

    def _exact_product(self, name: str, inner: str, weight: Weights) -> str:
        """`inner` times the transpose of `weight`, which is (out, in)."""
        return self._node("MatMul", [inner, self._weight(name, weight.T)], domain="")

    def _int8_product(self, name: str, inner: str, weight: Weights) -> str:
        """The same with 8-bit weights, each block of `BLOCK` inputs on a scale of its own, and 8-bit sums inside."""
        outputs, width = weight.shape
        blocks = np.pad(weight, ((0, 0), (0, -width % BLOCK))).reshape(outputs, -1, BLOCK)
        scales = np.maximum(np.abs(blocks).max(axis=2) / MAX_INT8, np.finfo(np.float32).tiny).astype(np.float32)
        quantised = (np.rint(blocks / scales[..., None]) + ZERO_POINT).astype(np.uint8)
        weights = [self._weight(f"{name}.int8", quantised), self._weight(f"{name}.scales", scales.reshape(-1))]
        sizes = {"K": width, "N": outputs, "bits": 8, "block_size": BLOCK, "accuracy_level": INT8_SUMS}
        return self._node("MatMulNBits", [inner, *weights], **sizes)

    def _dynamic_product(self, name: str, inner: str, weight: Weights) -> str:
        """The same with 7-bit weights, each output on a scale of its own, and activations quantised as they come."""
        quantised, scales = quantise_rows(weight)
        zeros = self._weight(f"{name}.zeros", np.zeros(len(scales), np.int8))
        weights = [self._weight(f"{name}.int8", quantised.T), self._weight(f"{name}.scales", scales), zeros]
        return self._node("DynamicQuantizeMatMul", [inner, *weights])

    def _norm(self, prefix: str) -> list[str]:
        return [self._copied(prefix + "weight"), self._copied(prefix + "bias")]

    def _copied(self, name: str) -> str:
        return self._weight(name, self._read(name))

    def _read(self, name: str) -> Weights:
        tensor: npt.NDArray[Any] = self._weights.get_tensor(self._prefix + name)
        return tensor.astype(np.float32, copy=False)

    def _weight(self, name: str, array: npt.NDArray[np.float32 | np.uint8 | np.int8 | np.int64]) -> str:
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": DATA_FILE, "offset": self._data.tell(), "length": array.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._data.write(np.ascontiguousarray(array).data)
        self._initializers.append(tensor)
        return name

    def _node(self, op: str, inputs: list[str], *, outputs: int = 1, domain: str = FUSED, **attributes: Any) -> str:
        """Append a node; gives the name of its first output."""
        names = [f"{len(self._nodes)}.{op}.{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0]


def quantise_rows(weight: Weights) -> tuple[npt.NDArray[np.int8], Weights]:
    """(out, in) int8 and (out,) float32, whose product is near `weight`; of such a product it gives the same back."""
    scales = np.maximum(np.abs(weight).max(axis=1) / MAX_INT7, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(weight / scales[:, None]).astype(np.int8), scales
