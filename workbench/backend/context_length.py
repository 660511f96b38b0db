"""What servers say when a prompt, or a prompt and its reply, do not fit into the context.

Wordings of OpenAI, vLLM, SGLang, llama.cpp, LM Studio and Cerebras; they change from version to version, so the
numbers are read where they can be, and guessed where not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from workbench.errors import PromptTooLong

_ABOUT_CONTEXT = re.compile(
    r"context[_ ](length|size|window|limit)|maximum model length|context the overflows|max_model_len"
    r"|(prompt|input)( is)? too long|reduce the length",
    re.IGNORECASE,
)
_COMPLAINT = re.compile(r"exceed|longer than|too (long|large)|maximum|greater than|overflow|only|limit", re.IGNORECASE)
_OUTPUT = re.compile(r"max_tokens|max_completion_tokens|(in|for) the (completion|output)|output tokens", re.IGNORECASE)
_OUTPUT_ALONE = re.compile(r"too (large|high)|at most|less than or equal", re.IGNORECASE)
_LIMIT = re.compile(
    r"(?:context (?:length|size|window|limit)|model length|limit)(?: of| is|:)?(?: only)?\s*\(?(\d+)", re.IGNORECASE
)
_PROMPT = re.compile(
    r"(\d+) in the (?:messages|prompt|input)|(\d+) (?:input|prompt) tokens"
    r"|(?:resulted in|current length is|first) (\d+)|(?:prompt|input) \(?(?:length )?(\d+)"
    r"|(\d+) tokens\)? (?:is longer|exceed|from the input)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Lengths:
    """What is thought of a prompt's length, and what is known of the context, in tokens."""

    guessed_prompt_tokens: int
    context_tokens: int | None = None


def too_long(error: Any, lengths: Lengths) -> PromptTooLong | None:
    """The error, with the server's numbers or the guessed ones; None when this is no complaint of the prompt's length.

    That a prompt fits but leaves no room for all of `max_tokens` is none: see `leaves_no_room`.
    """
    message = _text(error)
    match error:
        case {"n_prompt_tokens": int(tokens), "n_ctx": int(maximum)}:
            return PromptTooLong(tokens, maximum)
    if not _is_about_context(message):
        return None
    tokens, maximum = _numbers(message, lengths)
    if _OUTPUT.search(message) and tokens < maximum:
        return None
    return PromptTooLong(max(tokens, maximum + 1), maximum)


def leaves_no_room(error: Any, lengths: Lengths) -> bool:
    """Whether `max_tokens` is what the server complains of: alone, or with a prompt that fits without it."""
    message = _text(error)
    if not _OUTPUT.search(message):
        return False
    if not _is_about_context(message):
        return bool(_OUTPUT_ALONE.search(message))
    tokens, maximum = _numbers(message, lengths)
    return tokens < maximum


def _text(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)[:2000]
    return " ".join(str(error[key]) for key in ("message", "code", "type") if error.get(key))[:2000]


def _is_about_context(message: str) -> bool:
    return "context_length_exceeded" in message or bool(_ABOUT_CONTEXT.search(message) and _COMPLAINT.search(message))


def _numbers(message: str, lengths: Lengths) -> tuple[int, int]:
    """The prompt's tokens and the context's."""
    limit, prompt = _LIMIT.search(message), _PROMPT.search(message)
    maximum = int(limit[1]) if limit else lengths.context_tokens or lengths.guessed_prompt_tokens
    told = next((int(number) for number in prompt.groups() if number), 0) if prompt else 0
    return told or lengths.guessed_prompt_tokens, maximum
