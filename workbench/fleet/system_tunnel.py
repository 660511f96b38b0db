"""Tunnels by the system's own ssh: for servers that asyncssh does not get along with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

from workbench.errors import HostKeyChanged, TunnelError
from workbench.fleet.tunnel import KeepAlive, Reader, SshAddress, Writer

ALIAS = "thinker"
"""What the server is called in our known_hosts file, wherever it is."""

LOOK_EVERY_S = 0.02
CLOSE_LIMIT_S = 2.0
SAID_MAX_BYTES = 4096


class SystemTunnel:
    """One ssh process, which forwards a Unix socket and takes commands on another."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, address: SshAddress, *, ssh: str) -> None:
        self.address = address
        self._process = process
        self._folder = folder
        self._ssh = ssh
        known = (folder / "known_hosts").read_text().split()
        self.host_key = " ".join(known[1:3])

    async def dial(self) -> tuple[Reader, Writer]:
        """A new stream to the far loopback; see `Tunnel`. One that is refused there ends at once."""
        try:
            return await asyncio.open_unix_connection(self._folder / "far")
        except OSError as error:
            raise TunnelError(f"{self.address}: ssh has ended: {error}") from error

    async def run(self, command: str, *, timeout_s: float) -> str:
        """Run a shell command there; see `Tunnel`."""
        words = [self._ssh, "-F", "none", "-S", str(self._folder / "control"), "-T", ALIAS, command]
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(timeout_s):
                said, _ = await process.communicate()
        except TimeoutError:
            raise TunnelError(f"{self.address}: {command!r} took longer than {timeout_s:g} s") from None
        finally:
            await _end(process)
        if process.returncode:
            raise TunnelError(f"{self.address}: {command!r} failed: {said[:200].decode(errors='replace')}")
        return said.decode(errors="replace")

    async def wait_closed(self) -> None:
        """Return once ssh has ended."""
        await self._process.wait()

    async def close(self) -> None:
        """End ssh and remove its sockets."""
        await _end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


class SystemOpener:
    """Opens `SystemTunnel`s with this private key, and never with the user's own keys, agent or configuration."""

    def __init__(self, key_file: Path, *, keep_alive: KeepAlive | None = None, ssh: str = "ssh") -> None:
        self._key_file = key_file
        self._keep_alive = keep_alive or KeepAlive()
        self._ssh = ssh

    async def open(self, address: SshAddress, *, host_key: str, far_port: int) -> SystemTunnel:
        """Connect; see `Opener`."""
        folder = Path(tempfile.mkdtemp(prefix="ssh-"))  # short: a socket's path has 107 characters at most
        process = None
        try:
            (folder / "known_hosts").write_text(f"{ALIAS} {host_key}\n" if host_key else "")
            words = self._words(folder, address, is_known=bool(host_key), far_port=far_port)
            process = await _start(words, folder / "said")
            await self._wait_ready(process, folder, address)
            return SystemTunnel(process, folder, address, ssh=self._ssh)
        except BaseException:
            if process:
                await _end(process)
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _words(self, folder: Path, address: SshAddress, *, is_known: bool, far_port: int) -> list[str]:
        limits = self._keep_alive
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": f"{max(1, round(limits.connect_timeout_s))}",
            "ControlMaster": "yes",
            "ControlPath": folder / "control",
            "ControlPersist": "no",
            "ExitOnForwardFailure": "yes",
            "GlobalKnownHostsFile": "none",
            "HostKeyAlias": ALIAS,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "ServerAliveCountMax": limits.count,
            "ServerAliveInterval": f"{max(1, round(limits.interval_s))}",
            "StrictHostKeyChecking": "yes" if is_known else "accept-new",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": folder / "known_hosts",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        forward = ["-L", f"{folder / 'far'}:127.0.0.1:{far_port}"]
        where = ["-p", str(address.port), "-l", address.user, "--", address.host]
        return [self._ssh, "-F", "none", "-N", "-T", "-i", str(self._key_file), *given, *forward, *where]

    async def _wait_ready(self, process: asyncio.subprocess.Process, folder: Path, address: SshAddress) -> None:
        """Wait for both sockets, which ssh makes once it is logged in."""
        try:
            async with asyncio.timeout(self._keep_alive.connect_timeout_s):
                while not all((folder / name).exists() for name in ("far", "control")):
                    if process.returncode is not None:
                        raise _refusal(address, (folder / "said").read_bytes()[-SAID_MAX_BYTES:])
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise TunnelError(f"{address}: no SSH connection in {self._keep_alive.connect_timeout_s:g} s") from None


def _refusal(address: SshAddress, said: bytes) -> TunnelError:
    text = said.decode(errors="replace")
    if "Host key verification failed" in text:
        return HostKeyChanged(str(address))
    return TunnelError(f"{address}: no SSH connection: {(text.strip().splitlines() or ['ssh ended'])[-1]}")


async def _start(words: list[str], said: Path) -> asyncio.subprocess.Process:
    with said.open("wb") as output:
        try:
            return await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=output
            )
        except FileNotFoundError:
            raise TunnelError(f"there is no program {words[0]!r}: install OpenSSH's client") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it: asked first, then killed."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, way)  # process.terminate() may reap it, and asyncio would wonder who did
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await process.wait()
