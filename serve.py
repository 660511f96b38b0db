"""`python serve.py`: flags → Settings → create_app → uvicorn; nothing else."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends quietly; the server has its own handler

import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.errors import ConfigurationError
from workbench.proxy.app import create_app
from workbench.proxy.reloading import Watched
from workbench.proxy.server import address_of, describe, listen, run
from workbench.proxy.services import Services
from workbench.settings import Settings, config_file, load

Semantic = Literal["on", "shadow", "off"]
Conversations = Literal["strict", "aligned"]


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to bind; beyond loopback it needs keys. [127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one. [8000]")] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="sqlite:///relative/path, sqlite:////absolute/path, memory:, redis://host or rediss://host. "
            "[REDIS_URL, else a file in your data folder]"
        ),
    ] = None,
    thinker: Annotated[
        list[str] | None,
        typer.Option(
            help="A Thinker's URL, for instance ollama+http://host:11434?model=qwen3-coder:30b or embedded:; "
            "may be given many times. [a running Ollama, else embedded:]"
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="The policy.json that decides on semantic hits. [built in]")
    ] = None,
    semantic: Annotated[Semantic | None, typer.Option(help="Match questions by meaning. [on]")] = None,
    conversations: Annotated[
        Conversations | None, typer.Option(help="Earlier turns: strict, identical; aligned, may be reworded. [strict]")
    ] = None,
    fleet: Annotated[
        Path | None, typer.Option(help="Rent Thinkers on vast.ai as this file says, within its budget. [rent nothing]")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file. [workbench.toml, if there is one]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [warning]")] = None,
) -> None:
    """Serve the Anthropic Messages API from a cache and your own Thinkers.

    Every option has its variable (WORKBENCH_PORT, WORKBENCH_THINKERS comma-separated, …) and its key in the file.
    """

    def read() -> Settings:
        return load(
            config=config, host=host, port=port, store=store, thinkers=thinker or None, policy=policy,
            semantic=semantic, conversations=conversations, fleet=fleet, log_level=log_level,
        )  # fmt: skip

    try:
        settings = read()
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
        for chatty in (
            "httpx",
            "httpx2",
            "httpcore",
            "httpcore2",
        ):  # they tell every request to a Thinker, and so do we
            logging.getLogger(chatty).setLevel("WARNING")
        with listen(settings.host, settings.port) as bound:
            address = address_of(bound)
            watched = Watched(config_file(config), lambda: read().thinkers)
            tell = partial(_tell, address=address)
            run(create_app(settings, on_ready=tell, watched=watched), bound)
    except ConfigurationError as error:
        typer.echo(f"serve.py: {error}", err=True)
        raise typer.Exit(2) from None


def _tell(found: Services, *, address: str) -> None:
    print(describe(found, address=address), flush=True)


if __name__ == "__main__":
    typer.run(serve)
