"""Runs the app: the socket, uvicorn, and the few lines that say what was found."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import uvicorn
import uvloop
from fastapi import FastAPI

from workbench.backend.thinker import Thinker
from workbench.errors import ConfigurationError
from workbench.proxy.auth import DEFAULT_TENANT
from workbench.proxy.protocol import LimitedProtocol
from workbench.proxy.services import Services

GRACE_S = 5
"""How long running replies may take to end after Ctrl-C."""

KEEP_ALIVE_S = 75

TOY = "toy model, 8k context: good for the SDK and `claude --bare`; Claude Code proper needs Ollama or a rented Thinker"


def listen(host: str, port: int) -> socket.socket:
    """A socket that already listens; raises `ConfigurationError` when it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        remedy = "choose another one (--port or WORKBENCH_PORT), or stop what has it"
        if error.errno != errno.EADDRINUSE:
            remedy = "check the address (--host or WORKBENCH_HOST) and the port"
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}; {remedy}") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """Where a client on this machine finds what this socket serves."""
    host, port = bound.getsockname()[:2]
    return address(host, port)


def address(host: str, port: int) -> str:
    """``http://host:port`` as a client on this machine writes it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # names what was asked for, binds nothing
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A uvicorn server inside our own lifespan: whoever runs it handles the signals and opens the app."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                http=LimitedProtocol,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running replies end; those that do not are told so shortly before the connections are cut."""
        asyncio.get_running_loop().call_later(GRACE_S - 1, self._app.state.services.flights.cancel)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def run(app: FastAPI, bound: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then close everything; raises `ConfigurationError` when the app cannot start."""
    server = Server(app)

    def stop_on_signals() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)

    _run(server, app, bound, when_open=stop_on_signals)


@contextmanager
def running(app: FastAPI, bound: socket.socket) -> Iterator[None]:
    """Serve from a thread while the block runs; raises `ConfigurationError` when the app cannot start."""
    server = Server(app)
    is_open: Future[None] = Future()

    def work() -> None:
        try:
            _run(server, app, bound, when_open=lambda: is_open.set_result(None))
        except BaseException as error:
            if is_open.done():
                raise
            is_open.set_exception(error)

    thread = threading.Thread(target=work, name="proxy")
    thread.start()
    try:
        is_open.result()
        yield
    finally:
        server.should_exit = True
        thread.join()


def _run(server: Server, app: FastAPI, bound: socket.socket, *, when_open: Callable[[], None]) -> None:
    async def serve() -> None:
        async with app.router.lifespan_context(app):
            when_open()
            await server.serve(sockets=[bound])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def describe(services: Services, *, address: str) -> str:
    """What was found and how to use it, in a few lines."""
    store = services.cache.store.url
    token = "YOUR-KEY" if services.gate.has_keys else "local"
    embedder = (
        f"{services.embedder_name}, semantic {services.semantic(DEFAULT_TENANT)}"
        if services.embedder
        else "none, semantic off"
    )
    lines = [
        f"Serving the Messages API on {address}",
        *(f"  Thinker   {_thinker(thinker)}" for thinker in services.pool.thinkers),
        f"  store     {store}",
        f"  embedder  {embedder}",
        f"Claude Code:  {_port(address)}{_python()} -m workbench claude",
        f"or:           ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN={token} claude",
    ]
    return "\n".join(lines)


def _port(address: str) -> str:
    """What tells the command where this server is, unless it would look there anyway."""
    port = address.rpartition(":")[2]
    return "" if port == "8000" else f"WORKBENCH_PORT={port} "


def _python() -> str:
    """This interpreter as the user would type it from here."""
    here = os.path.relpath(sys.executable)
    return sys.executable if here.startswith("..") else here


def _thinker(thinker: Thinker) -> str:
    if thinker.error:
        return f"{thinker.url}  not reachable now: {thinker.error}"
    names = [model.name for model in thinker.models]
    shown = (
        ", ".join([f"{names[0]} (default)", *names[1:6]] + (["…"] if len(names) > 6 else [])) if names else "no model"
    )
    return f"{thinker.url}  {shown}" + (f"\n            {TOY}" if thinker.url == "embedded:" else "")
