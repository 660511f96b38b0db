"""Real servers on loopback for tests and benchmarks: any ASGI app, in a thread, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

LOOPBACK = "127.0.0.1"
STARTUP_LIMIT_S = 30


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens, or that it never will, and that stops without a delay."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then wake whoever waits in `serve_in_thread`."""
        try:
            await super().startup(sockets)
            self._loop = asyncio.get_running_loop()
        finally:
            self.settled.set()

    async def main_loop(self) -> None:
        """Wait for `stop`, where uvicorn looks ten times a second."""
        await self.on_tick(0)
        await self._stop.wait()

    def stop(self) -> None:
        """Stop serving; safe from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


def listen(port: int = 0) -> socket.socket:
    """A socket bound to loopback; port 0 picks a free one."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound


def quiet_config(app: ASGIApp) -> uvicorn.Config:
    """Silent, patient with idle keep-alive connections, and not waiting for open streams when it stops."""
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_keep_alive=300,
        timeout_graceful_shutdown=0,
    )


@contextlib.contextmanager
def serve_in_thread(app: ASGIApp, *, port: int = 0) -> Iterator[str]:
    """Serve `app` while the block runs; yields its address, ``http://127.0.0.1:PORT``.

    Streams that are still open when the block ends are cut.
    """
    bound = listen(port)
    server = _Server(quiet_config(app))
    thread = threading.Thread(target=_run, args=(server, bound), name="serve_in_thread", daemon=True)
    thread.start()
    try:
        if not server.settled.wait(STARTUP_LIMIT_S) or not server.started:
            raise RuntimeError(f"the app did not start on {bound}; see its lifespan")
        yield f"http://{LOOPBACK}:{bound.getsockname()[1]}"
    finally:
        server.stop()
        thread.join(STARTUP_LIMIT_S)
        bound.close()


def _run(server: uvicorn.Server, bound: socket.socket) -> None:
    with contextlib.suppress(SystemExit):  # uvicorn's way to report a failed lifespan; `settled` tells the caller
        server.run(sockets=[bound])
