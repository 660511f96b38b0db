"""Inference sessions and tokenizers: the one place where the inference libraries are set up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

LONGEST_PIECE_CHARACTERS = 64
"""A text with more characters than this a token is not even tokenised: no window holds it."""


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer without its file's own limits, which would cut a question in two without a word."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id that stands for whatever the tokenizer does not know."""
    return tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "<unk>")


def open_session(path: Path, *, threads: int) -> Any:
    """An inference session; Any, because the package ships no types."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the package is loaded: else it reports home
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
