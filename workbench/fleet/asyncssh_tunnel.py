"""Tunnels by asyncssh: nothing but Python is needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import asyncssh

from workbench.errors import ConfigurationError, HostKeyChanged, TunnelError
from workbench.fleet.tunnel import KeepAlive, Reader, SshAddress, Writer

logging.getLogger("asyncssh").setLevel("WARNING")  # it tells every connection and stream at INFO

CLOSE_LIMIT_S = 2.0


class AsyncsshTunnel:
    """One connection of asyncssh's."""

    def __init__(self, connection: asyncssh.SSHClientConnection, address: SshAddress, *, far_port: int) -> None:
        self.address = address
        self._connection = connection
        self._far_port = far_port
        key = connection.get_server_host_key()
        self.host_key = public_text(key) if key else ""

    async def dial(self) -> tuple[Reader, Writer]:
        """A new stream to the far loopback; see `Tunnel`."""
        try:
            reader, writer = await self._connection.open_connection("127.0.0.1", self._far_port, encoding=None)
        except (asyncssh.Error, OSError) as error:
            raise TunnelError(f"{self.address}: its port {self._far_port} cannot be reached: {error}") from error
        return _Reader(reader), _Writer(writer)

    async def run(self, command: str, *, timeout_s: float) -> str:
        """Run a shell command there; see `Tunnel`."""
        try:
            done = await self._connection.run(command, check=True, timeout=timeout_s, stdin=asyncssh.DEVNULL)
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise TunnelError(f"{self.address}: {command!r} failed: {error}") from error
        return str(done.stdout)

    async def wait_closed(self) -> None:
        """Return once the connection is gone."""
        await self._connection.wait_closed()

    async def close(self) -> None:
        """Close it, politely for two seconds."""
        self._connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._connection.wait_closed()
                return
        self._connection.abort()


class _Reader:
    """A stream whose failures are those of any other stream."""

    def __init__(self, reader: asyncssh.SSHReader[bytes]) -> None:
        self._reader = reader

    async def read(self, n: int = -1, /) -> bytes:
        """See `Reader`."""
        try:
            return await self._reader.read(n)
        except asyncssh.Error as error:
            raise ConnectionResetError(str(error)) from error


class _Writer:
    """Likewise for what is written."""

    def __init__(self, writer: asyncssh.SSHWriter[bytes]) -> None:
        self._writer = writer
        self.close = writer.close

    def write(self, data: bytes, /) -> None:
        """See `Writer`."""
        try:
            self._writer.write(data)
        except asyncssh.Error as error:
            raise ConnectionResetError(str(error)) from error

    async def drain(self) -> None:
        """See `Writer`."""
        try:
            await self._writer.drain()
        except asyncssh.Error as error:
            raise ConnectionResetError(str(error)) from error

    def write_eof(self) -> None:
        """See `Writer`."""
        try:
            self._writer.write_eof()
        except asyncssh.Error as error:
            raise ConnectionResetError(str(error)) from error


class AsyncsshOpener:
    """Opens `AsyncsshTunnel`s with this private key, and never with the user's own keys, agent or configuration."""

    def __init__(self, key_file: Path, *, keep_alive: KeepAlive | None = None) -> None:
        self._key_file = key_file
        self._keep_alive = keep_alive or KeepAlive()

    async def open(self, address: SshAddress, *, host_key: str, far_port: int) -> AsyncsshTunnel:
        """Connect; see `Opener`."""
        limits = self._keep_alive
        pinned: tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]] | None
        pinned = ([asyncssh.import_public_key(host_key)], [], []) if host_key else None
        try:
            async with asyncio.timeout(limits.connect_timeout_s):
                connection = await asyncssh.connect(
                    address.host,
                    address.port,
                    username=address.user,
                    client_keys=[str(self._key_file)],
                    known_hosts=pinned,
                    keepalive_interval=limits.interval_s,
                    keepalive_count_max=limits.count,
                    agent_path=None,
                    config=[],
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostKeyChanged(str(address)) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise TunnelError(f"{address}: no SSH connection: {str(error) or type(error).__name__}") from error
        return AsyncsshTunnel(connection, address, far_port=far_port)


def public_text(key: asyncssh.SSHKey) -> str:
    """A public key as one line, without a comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


def ssh_key(path: Path) -> str:
    """The public half of the private key at `path`, which is made when there is none (mode 0600).

    Raises `ConfigurationError` when the file is there but is no such key, or needs a passphrase.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600, exist_ok=False)
            path.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
        return public_text(asyncssh.read_private_key(path))
    except (OSError, asyncssh.KeyImportError) as error:
        raise ConfigurationError(f"SSH key {path}: {error}; expected a private key without a passphrase") from None
