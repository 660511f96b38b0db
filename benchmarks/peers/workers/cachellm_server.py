"""cachellm-proxy's own server with our MiniLM in the place of a download: `… FOLDER HOST PORT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvicorn
from cachellm.api.app import create_app  # type: ignore[import-not-found]  # stands in the peer's own environment
from cachellm.api.deps import build_state  # type: ignore[import-not-found]  # likewise
from cachellm.settings import get_settings  # type: ignore[import-not-found]  # likewise

from benchmarks.peers.workers.cachellm import Embedding
from benchmarks.peers.workers.minilm import MiniLm

DIMENSION = 384


async def _serve(folder: Path, host: str, port: int) -> None:
    settings = get_settings()
    state = await build_state(settings, embedder=Embedding(MiniLm(folder).encode, dimension=DIMENSION))
    config = uvicorn.Config(create_app(settings, state), host=host, port=port, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
