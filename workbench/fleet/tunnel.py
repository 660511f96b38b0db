"""The seam to SSH: one connection to a rented machine, through which its loopback is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where an SSH server listens, and as whom to log in."""

    host: str
    port: int
    user: str = "root"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How long to wait for a connection, and how soon silence means that it is dead, in seconds."""

    connect_timeout_s: float = 10.0
    interval_s: float = 5.0
    count: int = 3


class Reader(Protocol):
    """What is read from one stream."""

    async def read(self, n: int = -1, /) -> bytes:
        """At most `n` bytes; empty at the end."""


class Writer(Protocol):
    """What is written to one stream."""

    def write(self, data: bytes, /) -> None:
        """Send, or keep for later."""

    async def drain(self) -> None:
        """Wait while too much is kept."""

    def write_eof(self) -> None:
        """Nothing more will be written."""

    def close(self) -> None:
        """End the stream both ways."""


class Tunnel(Protocol):
    """One open SSH connection. It never reconnects: `Forward` opens another."""

    @property
    def address(self) -> SshAddress:
        """Where it leads."""

    @property
    def host_key(self) -> str:
        """The server's public key, ``ssh-ed25519 AAAA…``: what the next connection must find there."""

    async def dial(self) -> tuple[Reader, Writer]:
        """A new stream to the port on the machine's own loopback; raises `TunnelError`."""

    async def run(self, command: str, *, timeout_s: float) -> str:
        """Run a shell command there and return its output; raises `TunnelError` when it fails or takes longer."""

    async def wait_closed(self) -> None:
        """Return once the connection is lost or closed."""

    async def close(self) -> None:
        """Close it, with all its streams; takes at most a few seconds."""


class Opener(Protocol):
    """Opens tunnels of one kind, always as the same user with the same private key."""

    async def open(self, address: SshAddress, *, host_key: str, far_port: int) -> Tunnel:
        """Connect; with an empty `host_key` any server is trusted, which is right for the first time only.

        Raises `HostKeyChanged` when the server shows another key, and `TunnelError` for all else.
        """
