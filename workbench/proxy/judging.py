"""How the audit compares two answers: with the embedder of this process, or by asking a Thinker."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from workbench.backend.backend import Model
from workbench.backend.pool import Pool
from workbench.cache.judges import DIFFERENT, SAME, Answer, EmbeddingJudge, LlmJudge
from workbench.cache.seams import AsyncEmbedder
from workbench.cache.store import Vector
from workbench.errors import WorkbenchError
from workbench.proxy.asker import Asker, one_prompt
from workbench.proxy.telemetry import Telemetry

log = logging.getLogger(__name__)

VERDICT_TOKENS = 8
"""Enough for the one word that a model is asked for."""

VERDICT_TIMEOUT_S = 120.0
"""Two long answers have to be read, perhaps by a model that is not in memory yet."""


def embedding_judge(embedder: AsyncEmbedder, *, model: str) -> EmbeddingJudge:
    """A judge that embeds a piece at a time, so that no client's question waits for more than one."""

    async def embed(texts: Sequence[str]) -> list[Vector | None]:
        return [(await embedder.embed_all([text]))[0] for text in texts]

    return EmbeddingJudge(embed, same=SAME, different=DIFFERENT, model=model)


async def llm_judge(pool: Pool, asker: Asker, telemetry: Telemetry, *, model: str) -> LlmJudge:
    """A judge that asks for `model` what a request for it would be answered by, where no client is kept waiting."""

    async def ask(prompt: str) -> Answer:
        asked = await pool.resolve(model)
        request = one_prompt(prompt, model=asked.name, max_tokens=VERDICT_TOKENS)
        reply = await asker.put(request, asked, timeout_s=VERDICT_TIMEOUT_S)
        telemetry.judged_for_audit(reply.usage)
        return Answer(reply.text, reply.usage.prompt_tokens + reply.usage.output_tokens, _named(asked))

    return LlmJudge(ask, model=await _known_now(pool, model))


async def _known_now(pool: Pool, model: str) -> str:
    """Its name, if a Thinker told it by now, so that its errors count at once; else the first answer tells it."""
    if not pool.models:
        return ""
    try:
        return _named(await pool.resolve(model))
    except WorkbenchError as error:
        log.warning("audit.judge_not_there error=%r remedy='set WORKBENCH_AUDIT_JUDGE_MODEL'", str(error))
        return ""


def _named(model: Model) -> str:
    return f"{model.name} {model.digest[:12]}"
