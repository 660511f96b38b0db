"""What a server lists under ``/v1/models``, in Anthropic's or OpenAI's shape."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from workbench.backend.backend import Model
from workbench.errors import BadReply

_STEADY_FIELDS = ("id", "owned_by", "root", "meta", "max_model_len", "max_context_length", "quantization")
"""What identifies a model in ``/v1/models``. Not `created`: vLLM and llama.cpp give the time of the question."""

_LOCAL_PATH = re.compile(r"^(/|\.|~|[A-Za-z]:[\\/])|\.gguf$")


@dataclass(frozen=True, slots=True)
class ModelList:
    """The models, the default one first, and the server's own id of each that goes by another name here."""

    models: tuple[Model, ...]
    ids: Mapping[str, str]

    @classmethod
    def read(cls, body: bytes, *, default: str | None) -> ModelList:
        """Of the server's answer; raises `BadReply` when it is no list of models.

        A model that goes by a file's path is named by the file's name alone.
        """
        listed = _listed(body)
        models = [_model(entry) for entry in listed]
        if default:
            first = [model for model in models if model.name == default]
            # Not listed: the server may answer to it all the same, as llama.cpp does to any name.
            first = first or [Model(default, _digest([default, *(model.digest for model in models)]))]
            models = first + [model for model in models if model.name != default]
        return cls(tuple(models), {_public_name(entry["id"]): entry["id"] for entry in reversed(listed)})

    def id_of(self, name: str) -> str:
        """What the server calls the model of this name."""
        return self.ids.get(name, name)

    def context_tokens_of(self, name: str) -> int | None:
        """The context of the model of this name, where the server told it."""
        return next((model.context_tokens for model in self.models if model.name == name), None)


def _listed(body: bytes) -> list[dict[str, Any]]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    match data:
        case {"data": list(entries)}:
            return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        case _:
            raise BadReply(f"/v1/models answered {len(body)} bytes that are not a list of models")


def _model(entry: dict[str, Any]) -> Model:
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    sizes = (
        entry.get("max_model_len"),  # vLLM, SGLang
        meta.get("n_ctx"),  # llama.cpp
        entry.get("max_input_tokens"),  # Anthropic
        entry.get("loaded_context_length"),  # LM Studio
        entry.get("context_window"),  # Groq
    )
    context_tokens = next((size for size in sizes if isinstance(size, int) and size > 0), None)
    return Model(_public_name(entry["id"]), _digest([entry.get(field) for field in _STEADY_FIELDS]), context_tokens)


def _public_name(id: str) -> str:
    """The name shown to clients: a file's path on the server is nobody's business."""
    if not _LOCAL_PATH.search(id):
        return id
    return re.split(r"[\\/]", id.rstrip("\\/"))[-1].removesuffix(".gguf") or id


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()
