"""Real machines of sorts behind the stand-in vast.ai: each an sshd of its own with a scripted Ollama behind it.

The sshd is asyncssh's, and not OpenSSH's: all machines share one loopback, and only a server that can be programmed
leads each client that asks for ``127.0.0.1:11434`` to the Ollama of its own machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import asyncssh

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.serving import LOOPBACK, listen, serve_in_thread
from benchmarks.stand_ins.vast_market import Market, StandInInstance
from benchmarks.stand_ins.vast_rows import Place

OLLAMA_PORT = 11434
MODEL_VARIABLE = "THINKER_MODEL"
DEFAULT_MODEL = "stand-in:latest"
SMALL_VRAM_SHARE = 0.5
"""How much of the model fits a GPU that is not the one that was offered."""

COMMAND_LIMIT_S = 30.0

Thinking = Callable[[StandInInstance], StandInOllama]


def echoing(instance: StandInInstance) -> StandInOllama:
    """An Ollama that answers with what it was asked; its model comes with the pull."""
    return StandInOllama(models=())


class SshHosting:
    """Boots and halts machines as the market says. `thinking` makes each machine's Ollama, without models.

    `authorized` are public keys that may always log in, beside those attached through the API.
    """

    is_real = True

    def __init__(self, *, thinking: Thinking = echoing, authorized: Iterable[str] = ()) -> None:
        self._thinking = thinking
        self._authorized = tuple(authorized)
        self._machines: dict[int, _Machine] = {}
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ollama(self, instance_id: int) -> StandInOllama:
        """The Ollama of an instance that has run."""
        return self._machines[instance_id].ollama

    def address(self, instance_id: int) -> str:
        """Where the Ollama of a running instance listens, without a tunnel."""
        return f"http://{LOOPBACK}:{self._machines[instance_id].ollama_port}"

    def drop(self, instance_id: int) -> None:
        """Cut all its SSH connections; safe from any thread."""
        assert self._loop
        self._loop.call_soon_threadsafe(self._machines[instance_id].drop)

    async def settle(self, market: Market) -> None:
        """Start what should run, stop what should not, move what moved, and give models to what has pulled them."""
        self._loop = asyncio.get_running_loop()
        async with self._lock:
            now_s = market.clock()
            for instance in list(market.instances.values()):
                is_up = instance.destroyed_s is None and instance.status(now_s) == "running"
                machine = self._machines.get(instance.id)
                if machine is None and is_up:
                    machine = self._machines[instance.id] = _Machine(
                        instance, self._thinking(instance), self._authorized
                    )
                if machine:
                    await machine.be(up=is_up, moves=instance.moves(now_s))
                    if instance.has_pulled(now_s):
                        machine.pulled()

    def place(self, instance: StandInInstance, *, now_s: float) -> Place:
        """Where its sshd listens; nowhere (port 1) before it ran."""
        machine = self._machines.get(instance.id)
        direct, proxy = (machine.direct_port, machine.proxy_port) if machine else (1, 1)
        return Place(LOOPBACK, direct if instance.life.direct else 1, LOOPBACK, proxy)

    async def close(self) -> None:
        """Halt every machine."""
        async with self._lock:
            for machine in self._machines.values():
                await machine.be(up=False, moves=0)
                shutil.rmtree(machine.home, ignore_errors=True)


class _Machine:
    """One instance's sshd, Ollama and home folder; its host key stays the same wherever it moves."""

    def __init__(self, instance: StandInInstance, ollama: StandInOllama, authorized: tuple[str, ...]) -> None:
        self.ollama = ollama
        self.home = Path(tempfile.mkdtemp(prefix=f"stand-in-{instance.id}-"))
        self.direct_port = self.proxy_port = self.ollama_port = 1
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._instance = instance
        self._authorized = authorized
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._up: contextlib.AsyncExitStack | None = None
        self._moves = 0
        self._has_model = False

    async def be(self, *, up: bool, moves: int) -> None:
        """Be up or not, at the address after so many moves."""
        if self._up and (not up or moves != self._moves):
            stack, self._up = self._up, None
            await stack.aclose()
        if up and self._up is None:
            self._moves = moves
            async with contextlib.AsyncExitStack() as stack:
                await self._boot(stack)
                self._up = stack.pop_all()

    def pulled(self) -> None:
        """The model is there."""
        if self._has_model:
            return
        self._has_model = True
        env = self._instance.body.get("env") or {}
        self.ollama.serve_models([str(env.get(MODEL_VARIABLE) or DEFAULT_MODEL)])
        if self._instance.life.gpu_name:
            self.ollama.vram_share = SMALL_VRAM_SHARE

    def may_enter(self, key: asyncssh.SSHKey) -> bool:
        """Whether the holder of this key was let in."""
        lines = (*self._authorized, *self._instance.ssh_keys)
        return any(asyncssh.import_public_key(line).public_data == key.public_data for line in lines)

    async def _boot(self, stack: contextlib.AsyncExitStack) -> None:
        serving = serve_in_thread(self.ollama)
        address = await asyncio.to_thread(serving.__enter__)
        stack.push_async_callback(asyncio.to_thread, serving.__exit__, None, None, None)
        self.ollama_port = int(address.rpartition(":")[2])
        self.direct_port = await self._listen(stack)
        self.proxy_port = await self._listen(stack)
        stack.callback(self.drop)

    async def _listen(self, stack: contextlib.AsyncExitStack) -> int:
        acceptor = await asyncssh.listen(
            sock=listen(),
            server_factory=lambda: _Door(self),
            server_host_keys=[self._host_key],
            process_factory=self._command,
            keepalive_interval=0,
            agent_forwarding=False,
        )
        stack.push_async_callback(acceptor.wait_closed)
        stack.callback(acceptor.close)
        return acceptor.get_port()

    def drop(self) -> None:
        """Cut all connections."""
        for connection in tuple(self.connections):
            connection.abort()

    async def _command(self, process: asyncssh.SSHServerProcess[str]) -> None:
        """Run what was asked for in a shell; what is meant for /root happens in the machine's own folder."""
        command = (process.command or "true").replace("/root", str(self.home))
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": os.defpath},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(shell.communicate(), COMMAND_LIMIT_S)
        finally:
            if shell.returncode is None:
                os.killpg(shell.pid, signal.SIGKILL)
                await shell.communicate()
        process.stdout.write(out.decode(errors="replace"))
        process.stderr.write(err.decode(errors="replace"))
        process.exit(shell.returncode or 0)


class _Door(asyncssh.SSHServer):
    """Who comes in, and where he may go: to the machine's Ollama and nowhere else."""

    def __init__(self, machine: _Machine) -> None:
        self._machine = machine
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Remember it, to drop it when the machine halts."""
        self._connection = conn
        self._machine.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._connection:
            self._machine.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        """Nobody comes in without a key."""
        return True

    def public_key_auth_supported(self) -> bool:
        """By key only."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """As root only, like on vast.ai."""
        return username == "root" and self._machine.may_enter(key)

    def connection_requested(  # type: ignore[override]  # asyncssh takes its own forwarder too, its types do not say so
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Coroutine[Any, Any, asyncssh.SSHForwarder] | bool:
        """Ollama's usual address leads to this machine's own."""
        if dest_host not in (LOOPBACK, "localhost") or dest_port not in (OLLAMA_PORT, self._machine.ollama_port):
            return False
        assert self._connection
        return self._connection.forward_connection(LOOPBACK, self._machine.ollama_port)
