"""Real SSH servers on loopback: OpenSSH's sshd where there is one, and asyncssh's."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import asyncssh

from benchmarks.stand_ins.serving import listen
from workbench.fleet.tunnel import SshAddress

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


class Server(Protocol):
    """A server that can be stopped, with all its connections, and started again at the same or another place."""

    address: SshAddress

    async def start(self, *, port: int = 0, host_key: Path) -> None:
        """Listen; port 0 picks a free one."""

    async def stop(self) -> None:
        """Cut all connections and stop listening."""


def new_key(path: Path) -> Path:
    """A fresh private key in this file."""
    path.touch(0o600)
    path.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    path.with_suffix(".pub").write_bytes(asyncssh.read_private_key(path).export_public_key())
    return path


class AsyncsshServer:
    """asyncssh's server in this event loop; it runs commands by the shell and forwards to loopback."""

    def __init__(self, folder: Path, *, key: Path) -> None:
        self.address = SshAddress("127.0.0.1", 0, getpass.getuser())
        self._key = key
        self._open: set[asyncssh.SSHServerConnection] = set()

    async def start(self, *, port: int = 0, host_key: Path) -> None:
        """Listen; see `Server`."""
        self._acceptor = await asyncssh.listen(
            "127.0.0.1", port,
            server_host_keys=[str(host_key)], authorized_client_keys=str(self._key.with_suffix(".pub")),
            server_factory=lambda: _Allowing(self._open), process_factory=_run, reuse_address=True,
        )  # fmt: skip
        self.address = SshAddress("127.0.0.1", self._acceptor.get_port(), self.address.user)

    async def stop(self) -> None:
        """Cut and stop; see `Server`."""
        self._acceptor.close()
        for connection in list(self._open):
            connection.abort()
        await self._acceptor.wait_closed()


class _Allowing(asyncssh.SSHServer):
    def __init__(self, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._connection)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return dest_host == "127.0.0.1"


async def _run(process: asyncssh.SSHServerProcess[str]) -> None:
    shell = await asyncio.create_subprocess_shell(
        process.command or "true",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, _ = await shell.communicate()
    finally:
        if shell.returncode is None:  # whoever asked has left
            os.killpg(shell.pid, signal.SIGKILL)
            await shell.communicate()
    process.stdout.write(said.decode())
    process.exit(shell.returncode or 0)


class Sshd:
    """OpenSSH's server, as this user and with a configuration of its own."""

    def __init__(self, folder: Path, *, key: Path) -> None:
        self.address = SshAddress("127.0.0.1", 0, getpass.getuser())
        self._folder = folder
        self._key = key

    async def start(self, *, port: int = 0, host_key: Path) -> None:
        """Listen; see `Server`."""
        assert SSHD
        if not port:
            with listen() as free:
                port = free.getsockname()[1]
        lines = [
            f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {host_key}", "StrictModes no", "UsePAM no",
            f"AuthorizedKeysFile {self._key.with_suffix('.pub')}", "PidFile none", "PermitRootLogin yes",
        ]  # fmt: skip
        (self._folder / "sshd_config").write_text("\n".join(lines) + "\n")
        self._process = await asyncio.create_subprocess_exec(
            SSHD, "-D", "-e", "-f", str(self._folder / "sshd_config"),
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.address = SshAddress("127.0.0.1", port, self.address.user)
        assert self._process.stderr
        async with asyncio.timeout(10):
            line = await self._process.stderr.readline()
        assert b"listening" in line, line
        self._reading = asyncio.create_task(self._process.stderr.read())

    async def stop(self) -> None:
        """Cut and stop; see `Server`."""
        for child in _children(self._process.pid):  # one for each connection
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._process.kill()
        await self._process.wait()
        await self._reading


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


KINDS: dict[str, type[AsyncsshServer] | type[Sshd]] = {"asyncssh": AsyncsshServer} | ({"sshd": Sshd} if SSHD else {})


@contextlib.asynccontextmanager
async def serving(kind: str, folder: Path, *, key: Path, host_key: Path) -> AsyncIterator[AsyncsshServer | Sshd]:
    """A server of this kind while the block runs."""
    server = KINDS[kind](folder, key=key)
    await server.start(host_key=host_key)
    try:
        yield server
    finally:
        await server.stop()
