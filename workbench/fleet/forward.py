"""A local port that leads to a rented machine's loopback, over whichever tunnel can be had."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from workbench.errors import HostKeyChanged, TunnelError
from workbench.fleet.tunnel import Opener, Reader, SshAddress, Tunnel, Writer

log = logging.getLogger(__name__)

OLLAMA_PORT = 11434
CHUNK_BYTES = 64 * 1024
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
"""Pauses between two rounds of all addresses: short enough that a tunnel is back within two seconds."""

LOST_WITHIN_S = 0.2


class Forward:
    """Listens on 127.0.0.1 from `open` to `close`, on one port; the tunnel behind it comes and goes.

    The first address is tried first (the machine's own), then the others (vast.ai's proxy); each by all openers. A
    client that comes while there is no tunnel waits `patience_s` for one, and is then hung up on.
    """

    def __init__(
        self,
        openers: Sequence[Opener],
        addresses: Sequence[SshAddress],
        *,
        host_key: str = "",
        far_port: int = OLLAMA_PORT,
        patience_s: float = 10.0,
        most_streams: int = 256,
    ) -> None:
        self.host_key = host_key
        self.why_down: TunnelError | None = None
        self._openers = tuple(openers)
        self._addresses = tuple(addresses)
        self._far_port = far_port
        self._patience_s = patience_s
        self._most_streams = most_streams
        self._tunnel: Tunnel | None = None
        self._up = asyncio.Event()
        self._moved = asyncio.Event()
        self._settled = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._streams: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, and begin to connect; see `wait_up`."""
        self._server = await asyncio.start_server(self._arrive, "127.0.0.1", 0)
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Hang up on all clients, close the tunnel and free the port."""
        if self._server:
            self._server.close()
        tasks = [*self._streams, *([self._keeper] if self._keeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Forward:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def local_port(self) -> int:
        """The port on 127.0.0.1, the same as long as this is open."""
        assert self._server, "open() comes first"  # noqa: S101  # a mistake of ours
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def is_up(self) -> bool:
        """Whether there is a tunnel now."""
        return self._up.is_set()

    @property
    def streams(self) -> int:
        """How many connections lead through it now."""
        return len(self._streams)

    @property
    def address(self) -> SshAddress | None:
        """Where the tunnel leads now."""
        return self._tunnel.address if self._tunnel else None

    def move(self, addresses: Sequence[SshAddress]) -> None:
        """The machine is (also) to be found here from now on; a tunnel to an address that is gone is dropped."""
        if tuple(addresses) == self._addresses:
            return
        self._addresses = tuple(addresses)
        if self._tunnel is None or self._tunnel.address not in self._addresses:
            self._moved.set()

    async def wait_up(self, *, timeout_s: float) -> None:
        """Wait for a tunnel; raises `TunnelError` (or `HostKeyChanged`, at once) that says why there is none."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._up.is_set():
                    self._settled.clear()
                    await self._settled.wait()
                    if isinstance(self.why_down, HostKeyChanged):
                        raise self.why_down
        except TimeoutError:
            raise self.why_down or TunnelError(f"no SSH connection after {timeout_s:g} s") from None

    async def run(self, command: str, *, timeout_s: float) -> str:
        """Run a shell command on the machine; raises `TunnelError`."""
        if self._tunnel is None:
            raise self.why_down or TunnelError("no SSH connection yet")
        return await self._tunnel.run(command, timeout_s=timeout_s)

    # ── the tunnel ──────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        """Connect, wait until that is lost, and begin again."""
        pause_s = FIRST_PAUSE_S
        while True:
            self._moved.clear()
            try:
                tunnel = await self._connect()
            except TunnelError as error:
                self._note_down(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._moved.wait()
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            await self._use(tunnel)

    def _note_down(self, error: TunnelError) -> None:
        if self.why_down is None or isinstance(error, HostKeyChanged) > isinstance(self.why_down, HostKeyChanged):
            log.warning("tunnel.down error=%r", str(error))
        self.why_down = error
        self._settled.set()

    async def _use(self, tunnel: Tunnel) -> None:
        """Offer it to clients until it is lost or the machine has moved."""
        self.host_key = self.host_key or tunnel.host_key
        self._tunnel = tunnel
        self.why_down = None
        self._up.set()
        self._settled.set()
        log.info("tunnel.up address=%s port=%d", tunnel.address, self.local_port)
        ends = [asyncio.ensure_future(tunnel.wait_closed()), asyncio.ensure_future(self._moved.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._up.clear()
            self._tunnel = None
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await tunnel.close()

    async def _connect(self) -> Tunnel:
        """A tunnel to the first address that has one; a changed host key weighs more than other failures."""
        refusals: list[TunnelError] = []
        for address in self._addresses:
            for opener in self._openers:
                try:
                    return await opener.open(address, host_key=self.host_key, far_port=self._far_port)
                except TunnelError as error:
                    refusals.append(error)
        changed = [error for error in refusals if isinstance(error, HostKeyChanged)]
        raise (changed or refusals or [TunnelError("the machine has no SSH address yet")])[0]

    # ── its clients ─────────────────────────────────────────────────────────────────────────────────────────

    def _arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own for each client: asyncio complains of those of its own that are cancelled."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first byte to its last."""
        is_whole = False
        try:
            if len(self._streams) <= self._most_streams:
                far_reader, far_writer = await self._dial()
                with contextlib.closing(far_writer):
                    await _pump_both((reader, far_writer), (far_reader, writer))
                is_whole = True
        except (TunnelError, OSError):
            pass  # the client sees its connection break, as it would without a tunnel between
        finally:
            if is_whole:
                writer.close()
            else:
                writer.transport.abort()

    async def _dial(self) -> tuple[Reader, Writer]:
        """A stream to the far port; raises `TunnelError` when there is no tunnel for too long."""
        try:
            async with asyncio.timeout(self._patience_s):
                while True:
                    await self._up.wait()
                    tunnel = self._tunnel
                    assert tunnel  # noqa: S101  # it is set before `_up` is
                    try:
                        return await tunnel.dial()
                    except TunnelError:
                        if not await self._is_lost(tunnel):
                            raise  # nothing listens at its end
        except TimeoutError:
            raise self.why_down or TunnelError("no SSH connection") from None

    async def _is_lost(self, tunnel: Tunnel) -> bool:
        """Whether this tunnel is gone: a stream may fail a moment before its connection is known to be lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOST_WITHIN_S):
                await tunnel.wait_closed()
        return self._tunnel is not tunnel


async def _pump_both(out: tuple[Reader, Writer], back: tuple[Reader, Writer]) -> None:
    """Copy both ways until both ends have said all; what breaks one breaks both."""
    pumps = [asyncio.ensure_future(_pump(*out)), asyncio.ensure_future(_pump(*back))]
    try:
        await asyncio.gather(*pumps)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: Reader, writer: Writer) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
