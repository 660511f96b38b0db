"""`python -m workbench claude`: the Claude Code CLI on the proxy."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import typer
from typer.core import TyperCommand

from workbench.errors import ConfigurationError
from workbench.proxy.app import create_app
from workbench.proxy.server import TOY, address, address_of, listen, running
from workbench.settings import Settings, data_folder, load

INSTALL = "the Claude Code CLI is not on the PATH: npm install -g @anthropic-ai/claude-code"

PROBE_TIMEOUT = httpx2.Timeout(2.0, read=30.0)
"""In seconds. A proxy that has only just been started listens already and answers when it is ready."""

ELSEWHERE = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
"""Variables that would send the CLI to somebody else; empty ones do not."""


class PassedOn(TyperCommand):
    """A command whose arguments are all another program's: ``--help`` and ``--`` too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse nothing."""
        ctx.args = list(args)
        return []


def claude(context: typer.Context) -> None:
    """Run the Claude Code CLI on the proxy, with all ARGS; starts the proxy when there is none."""
    try:
        program = shutil.which("claude")
        if program is None:
            raise ConfigurationError(INSTALL)
        with ExitStack() as stack:
            settings = load()
            there = _running_proxy(settings) or _new_proxy(settings, stack)
            _check_ready(there)
            variables = _variables(settings, there)
            options = ["--settings", stack.enter_context(_settings_file(variables))]
            code = _run([program, *options, *context.args], os.environ | variables)
    except ConfigurationError as error:
        typer.echo(f"workbench claude: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


# ── the proxy ───────────────────────────────────────────────────────────────────────────────────────────────


def _running_proxy(settings: Settings) -> str | None:
    """The address of the proxy that the settings describe, if it runs."""
    there = address(settings.host, settings.port)
    return there if "thinkers_up" in _ask(f"{there}/readyz") else None


def _new_proxy(settings: Settings, stack: ExitStack) -> str:
    """Start one that runs until `stack` is closed; it logs to a file, since the CLI has the terminal."""
    bound = stack.enter_context(listen(settings.host, settings.port))
    data_folder().mkdir(parents=True, exist_ok=True)
    log = data_folder() / "claude.log"
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(filename=log, level=settings.log_level.upper(), format=form)
    logging.captureWarnings(True)
    stack.enter_context(running(create_app(settings), bound))
    there = address_of(bound)
    typer.echo(f"workbench claude: started the proxy on {there} until this ends; it logs to {log}", err=True)
    return there


def _check_ready(there: str) -> None:
    """Refuse to run the CLI for nothing: it would try again for minutes, without a word."""
    ready = _ask(f"{there}/readyz")
    if not ready.get("thinkers_up") and not ready.get("rents"):
        raise ConfigurationError(f"the proxy on {there} cannot answer: {ready.get('status', 'it is gone')}")


def _ask(url: str, *, key: str = "") -> dict[str, Any]:
    """The JSON object that a running proxy answers, whatever the status; {} when there is none."""
    try:
        answer = httpx2.get(url, headers={"x-api-key": key}, timeout=PROBE_TIMEOUT, trust_env=False).json()
    except (httpx2.HTTPError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


# ── the CLI ─────────────────────────────────────────────────────────────────────────────────────────────────


def _variables(settings: Settings, there: str) -> dict[str, str]:
    """The environment in which the CLI talks to the proxy, and to it alone."""
    keys = settings.all_keys()
    token = keys[0].secret.get_secret_value() if keys else "local"
    admin = next((key.secret.get_secret_value() for key in keys if key.scope == "admin"), token)
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    direct = ",".join(filter(None, [excepted, urlsplit(there).hostname]))
    return {
        "ANTHROPIC_BASE_URL": there,
        "ANTHROPIC_AUTH_TOKEN": token,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "NO_PROXY": direct,  # even https_proxy would catch our plain HTTP
        "no_proxy": direct,
        **dict.fromkeys(ELSEWHERE, ""),
        **_window(there, admin),
    }


def _window(there: str, admin: str) -> dict[str, str]:
    """How long a conversation may grow: the CLI takes an unknown model's window to be very large."""
    thinkers = _ask(f"{there}/api/thinkers", key=admin).get("data") or []
    if thinkers and thinkers[0]["url"] == "embedded:":
        typer.echo(f"embedded: {TOY}", err=True)
    tokens = next((model["context_tokens"] for thinker in thinkers for model in thinker["models"]), None)
    if not tokens:
        return {}
    return {
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(tokens),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(tokens // 4),
    }


@contextmanager
def _settings_file(variables: dict[str, str]) -> Iterator[str]:
    """A settings file that sets the variables once more; only this user can read it, and it is gone afterwards.

    The CLI lets the `env` of a user's or a project's settings win over its environment, and this over both.
    """
    with tempfile.NamedTemporaryFile("w", prefix="workbench-claude-", suffix=".json") as file:
        json.dump({"env": variables}, file)
        file.flush()
        yield file.name


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run it to its end and return its exit code, as a shell counts it.

    Ctrl-C reaches the CLI by itself, since it shares our terminal; other signals are passed on.
    """
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603  # what the user asked to run
        signal.signal(signal.SIGINT, lambda *_: None)  # an ignored signal would be ignored by the CLI's tools too
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: process.send_signal(number))
        code = process.wait()
    return code if code >= 0 else 128 - code
