"""How many tokens a prompt has: learnt per model from what real calls reported, without asking a Thinker.

The length is predicted from characters (prose and JSON apart, since tokenizers treat them differently) and from
the template's overhead for each message and tool. A ridge regression of the relative error pulls these weights
from a prior towards what was seen; its common scale moves freely, so a handful of calls suffices.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from workbench.errors import InvalidRequest
from workbench.messages import ImageBlock, Prompt, TextBlock, ThinkingBlock, Tool, ToolResultBlock, ToolUseBlock

PRIOR = np.array([0.25, 0.28, 6.0, 8.0])
"""Tokens for a character of prose, a character of JSON, a message or tool, and a prompt."""

STIFFNESS = np.array([0.01, 0.1, 0.003, 0.003])
"""How much evidence moves the common scale, and then JSON, messages and prompt against prose."""

MARGIN = 1.03
"""An estimate that is too low lets a conversation overflow; one that is too high merely compacts early."""

IMAGE_TOKENS = 1_000
REMEMBERED = 64

Features = npt.NDArray[np.float64]
"""(4,): characters of prose, characters of JSON, messages and tools, 1."""


class TokenCounter:
    """Estimates prompt tokens for each model by name."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[Features, float]]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._weights: dict[str, Features] = {}

    def learn(self, model: str, prompt: Prompt, prompt_tokens: int) -> None:
        """A real call of this prompt reported this many prompt tokens; 0 means that it reported nothing."""
        tokens = prompt_tokens - IMAGE_TOKENS * _images(prompt)
        if tokens > 0:
            self._seen[model].append((_features(prompt), tokens))
            self._weights.pop(model, None)

    def count(self, model: str, prompt: Prompt) -> int:
        """The prompt's tokens, never 0; tools, tool calls and tool results are counted too."""
        if model not in self._weights:
            self._weights[model] = _fit(list(self._seen[model])) if model in self._seen else PRIOR
        tokens = float(_features(prompt) @ self._weights[model])
        return max(1, round(tokens * MARGIN) + IMAGE_TOKENS * _images(prompt))


def _fit(seen: list[tuple[Features, float]]) -> Features:
    """The weights that minimise the squared relative errors plus the pull of the prior."""
    features = np.stack([x for x, _ in seen])
    tokens = np.array([y for _, y in seen])
    parts = features * PRIOR
    # Columns: the prior's whole prediction (its factor is the common scale, 1 before evidence), then each part's extra.
    design = np.column_stack([parts.sum(axis=1), parts[:, 1:]]) / tokens[:, None]
    expected = np.array([1.0, 0.0, 0.0, 0.0])
    pull = np.diag(STIFFNESS)
    scale, *extra = np.linalg.solve(design.T @ design + pull, design.sum(axis=0) + pull @ expected)
    factors = np.array([scale, *(scale + part for part in extra)])
    weights: Features = np.maximum(factors, 0.1) * PRIOR
    return weights


def _features(prompt: Prompt) -> Features:
    prose = sum(len(block.text) for block in prompt.system or [])
    json = 0
    for message in prompt.messages:
        for block in message.content:
            match block:
                case TextBlock(text=text) | ThinkingBlock(thinking=text):
                    prose += len(text)
                case ToolUseBlock(name=name, input=tool_input):
                    json += len(name) + _json_characters(tool_input)
                case ToolResultBlock(content=parts):
                    prose += sum(len(part.text) for part in parts if isinstance(part, TextBlock))
    tools = prompt.tools or []
    json += sum(map(_tool_characters, tools))
    return np.array([prose, json, len(prompt.messages) + len(tools), 1.0])


def _tool_characters(tool: Tool) -> int:
    return len(tool.name) + len(tool.description or "") + _json_characters(tool.input_schema or {})


def _json_characters(value: dict[str, Any]) -> int:
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"a tool's input or schema cannot be written as JSON: {error}") from None


def _images(prompt: Prompt) -> int:
    blocks = [block for message in prompt.messages for block in message.content]
    parts = [part for block in blocks if isinstance(block, ToolResultBlock) for part in block.content]
    return sum(isinstance(block, ImageBlock) for block in [*blocks, *parts])
