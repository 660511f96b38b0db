"""`python -m workbench …`: the commands beside `serve.py`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import httpx2
import typer

from workbench.errors import ConfigurationError
from workbench.proxy.app import create_app
from workbench.proxy.server import TOY, address_of, listen, running
from workbench.settings import Settings, load

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="The self-host workbench.")

INSTALL = "the Claude Code CLI is not on the PATH: npm install -g @anthropic-ai/claude-code"
PROBE_TIMEOUT_S = 2.0


@cli.callback()
def workbench() -> None:
    """Claude Code on your own GPUs, answered from memory when that is safe."""


@cli.command(
    add_help_option=False,  # all arguments, --help too, are the CLI's
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def claude(context: typer.Context) -> None:
    """Run the Claude Code CLI on the proxy, with all ARGS; starts the proxy when there is none."""
    try:
        program = shutil.which("claude")
        if program is None:
            raise ConfigurationError(INSTALL)
        with ExitStack() as stack:
            environment = _environment(load(), stack)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the CLI
            code = subprocess.run([program, *context.args], env=environment, check=False).returncode  # noqa: S603  # what the user asked to run
    except ConfigurationError as error:
        typer.echo(f"workbench claude: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


def _environment(settings: Settings, stack: ExitStack) -> dict[str, str]:
    """The environment in which the CLI talks to the proxy, and to it alone."""
    token = next((key.secret.get_secret_value() for key in settings.all_keys()), "local")
    address = f"http://{settings.host}:{settings.port}"
    if not _answers(address):
        bound = stack.enter_context(listen(settings.host, settings.port))
        stack.enter_context(running(create_app(settings), bound))
        address = address_of(bound)
    variables = {
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_AUTH_TOKEN": token,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
    }
    inherited = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
    return {**inherited, **variables, **_window(address, token)}


def _answers(address: str) -> bool:
    try:
        return bool(httpx2.get(f"{address}/healthz", timeout=PROBE_TIMEOUT_S, trust_env=False).is_success)
    except httpx2.HTTPError:
        return False


def _window(address: str, token: str) -> dict[str, str]:
    """How long a conversation may grow: the CLI takes an unknown model's window to be very large."""
    try:
        answer = httpx2.get(
            f"{address}/api/thinkers", headers={"x-api-key": token}, timeout=PROBE_TIMEOUT_S, trust_env=False
        )
        thinkers: list[dict[str, Any]] = answer.json()["data"] if answer.is_success else []
    except (httpx2.HTTPError, ValueError):
        return {}
    if thinkers and thinkers[0]["url"] == "embedded:":
        typer.echo(f"embedded: {TOY}", err=True)
    tokens = next((model["context_tokens"] for thinker in thinkers for model in thinker["models"]), None)
    if not tokens:
        return {}
    return {
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(tokens),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(tokens // 4),
    }


if __name__ == "__main__":
    sys.exit(cli())
