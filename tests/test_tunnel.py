"""Tunnels of both kinds through real SSH servers, and the local port that outlives them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stand_ins.serving import listen
from tests.ssh_servers import KINDS, AsyncsshServer, Sshd, new_key, serving
from workbench.errors import ConfigurationError, HostKeyChanged, TunnelError
from workbench.fleet.asyncssh_tunnel import AsyncsshOpener, ssh_key
from workbench.fleet.forward import Forward
from workbench.fleet.system_tunnel import SystemOpener
from workbench.fleet.tunnel import KeepAlive, Opener, SshAddress

LIMIT_S = 10.0
NOBODY = SshAddress("127.0.0.1", 1)


class House:
    """What one test has: keys, an echo server as the far end, an SSH server and an opener."""

    def __init__(self, folder: Path, kind: str, opener: type[AsyncsshOpener] | type[SystemOpener]) -> None:
        self.folder = folder
        self.kind = kind
        self.key = new_key(folder / "id")
        self.host_key = new_key(folder / "host")
        self.opener: Opener = opener(self.key, keep_alive=KeepAlive(connect_timeout_s=5))
        self.far_port = 0
        self.server: AsyncsshServer | Sshd

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        far = await asyncio.start_server(_echo, "127.0.0.1", 0)
        self.far_port = far.sockets[0].getsockname()[1]
        async with far, serving(self.kind, self.folder, key=self.key, host_key=self.host_key) as self.server:
            yield

    def forward(self, *addresses: SshAddress, host_key: str = "", patience_s: float = LIMIT_S) -> Forward:
        where = addresses or (self.server.address,)
        return Forward([self.opener], where, far_port=self.far_port, host_key=host_key, patience_s=patience_s)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def said_back(port: int, data: bytes = b"hello") -> bytes:
    """What the far end answers through this local port."""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()


async def down(forward: Forward) -> None:
    """Wait until the loss of the tunnel is known."""
    async with asyncio.timeout(LIMIT_S):
        while forward.is_up:  # noqa: ASYNC110  # it is another process that brings this about
            await asyncio.sleep(0.005)


@pytest.fixture(params=[(kind, opener) for kind in KINDS for opener in (AsyncsshOpener, SystemOpener)], ids=str)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    kind, opener = request.param
    return House(tmp_path, kind, opener)


def test_streams_run_both_ways_through_the_tunnel(house: House) -> None:
    async def run() -> None:
        async with house.open(), house.forward() as forward:
            await forward.wait_up(timeout_s=LIMIT_S)
            assert forward.host_key.startswith("ssh-ed25519 ")
            big = bytes(range(256)) * 8192
            answers = await asyncio.gather(*(said_back(forward.local_port, big[i:]) for i in range(4)))
            assert answers == [big[i:] for i in range(4)]

    asyncio.run(run())


def test_a_client_that_comes_before_the_tunnel_is_served(house: House) -> None:
    async def run() -> None:
        async with house.open(), house.forward() as forward:
            assert await said_back(forward.local_port) == b"hello"

    asyncio.run(run())


def test_commands_run_on_the_machine(house: House) -> None:
    async def run() -> None:
        async with house.open(), house.forward() as forward:
            await forward.wait_up(timeout_s=LIMIT_S)
            assert await forward.run("echo $((6 * 7))", timeout_s=LIMIT_S) == "42\n"
            with pytest.raises(TunnelError, match="failed"):
                await forward.run("exit 3", timeout_s=LIMIT_S)
            with pytest.raises(TunnelError, match="sleep 30"):
                await forward.run("sleep 30", timeout_s=0.1)

    asyncio.run(run())


def test_a_dropped_tunnel_is_back_on_the_same_port_with_the_same_key(house: House) -> None:
    async def run() -> None:
        async with house.open(), house.forward() as forward:
            await forward.wait_up(timeout_s=LIMIT_S)
            port, key = forward.local_port, forward.host_key
            place = house.server.address.port
            await house.server.stop()
            await down(forward)
            await house.server.start(port=place, host_key=house.host_key)
            assert await said_back(port) == b"hello"
            assert (forward.local_port, forward.host_key) == (port, key)

    asyncio.run(run())


def test_the_tunnel_follows_the_machine_to_another_address(house: House) -> None:
    async def run() -> None:
        async with house.open(), house.forward() as forward:
            await forward.wait_up(timeout_s=LIMIT_S)
            port = forward.local_port
            await house.server.stop()
            await down(forward)
            await house.server.start(host_key=house.host_key)
            forward.move([house.server.address])
            assert await said_back(port) == b"hello"
            assert forward.address == house.server.address

    asyncio.run(run())


def test_the_second_address_serves_when_the_first_does_not(house: House) -> None:
    async def run() -> None:
        async with house.open(), house.forward(NOBODY, house.server.address) as forward:
            await forward.wait_up(timeout_s=LIMIT_S)
            assert forward.address == house.server.address

    asyncio.run(run())


def test_another_host_key_is_refused_with_a_clear_error(house: House) -> None:
    async def run() -> None:
        async with house.open():
            async with house.forward() as forward:
                await forward.wait_up(timeout_s=LIMIT_S)
                pinned = forward.host_key
            await house.server.stop()
            await house.server.start(host_key=new_key(house.folder / "other"))
            async with house.forward(host_key=pinned, patience_s=0.2) as forward:
                with pytest.raises(HostKeyChanged, match="not the one this machine showed before"):
                    await forward.wait_up(timeout_s=LIMIT_S)
                with contextlib.suppress(ConnectionError):
                    assert await said_back(forward.local_port) == b""

    asyncio.run(run())


def test_a_wrong_private_key_is_a_tunnel_error(house: House) -> None:
    async def run() -> None:
        async with house.open():
            stranger = type(house.opener)(new_key(house.folder / "stranger"))  # type: ignore[call-arg]  # both take it
            with pytest.raises(TunnelError, match=r"(?i)permission denied"):
                await stranger.open(house.server.address, host_key="", far_port=house.far_port)

    asyncio.run(run())


def test_a_port_where_nothing_listens_ends_the_clients_connection(house: House) -> None:
    async def run() -> None:
        async with house.open():
            with listen() as nothing:
                house.far_port = nothing.getsockname()[1]
            async with house.forward() as forward:
                with contextlib.suppress(ConnectionError):
                    assert await said_back(forward.local_port) == b""
                assert forward.is_up

    asyncio.run(run())


def test_closing_hangs_up_frees_the_port_and_leaves_no_task(house: House) -> None:
    async def run() -> None:
        async with house.open():
            async with house.forward() as forward:
                await forward.wait_up(timeout_s=LIMIT_S)
                port = forward.local_port
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"held")
                assert await reader.readexactly(4) == b"held"
                ours = {task for task in asyncio.all_tasks() if "Forward" in repr(task)}
                assert ours
            assert all(task.done() for task in ours)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            with listen(port):
                pass

    asyncio.run(run())


# ── whichever kind ──────────────────────────────────────────────────────────────────────────────────────────


def alone(folder: Path, work: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    """Run it with asyncssh on both sides."""

    async def run() -> None:
        house = House(folder, "asyncssh", AsyncsshOpener)
        async with house.open():
            await work(house)

    asyncio.run(run())


def test_a_second_opener_serves_where_the_first_cannot(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        broken = SystemOpener(house.key, ssh="no-such-program")
        async with Forward([broken, house.opener], [house.server.address], far_port=house.far_port) as forward:
            assert await said_back(forward.local_port) == b"hello"

    alone(tmp_path, work)


def test_no_address_and_no_answer_are_told_apart(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with Forward([house.opener], []) as forward:
            with pytest.raises(TunnelError, match="no SSH address yet"):
                await forward.wait_up(timeout_s=0.1)
        async with house.forward(NOBODY) as forward:
            with pytest.raises(TunnelError, match=r"127\.0\.0\.1:1: no SSH connection"):
                await forward.wait_up(timeout_s=0.3)

    alone(tmp_path, work)


def test_more_streams_than_the_bound_are_hung_up_on(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        forward = Forward([house.opener], [house.server.address], far_port=house.far_port, most_streams=1)
        async with forward:
            reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
            writer.write(b"first")
            assert await reader.readexactly(5) == b"first"
            with contextlib.suppress(ConnectionError):
                assert await said_back(forward.local_port) == b""
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"
            writer.close()

    alone(tmp_path, work)


def test_the_private_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "fleet" / "id"
    assert ssh_key(path) == ssh_key(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("not a key")
    with pytest.raises(ConfigurationError, match="expected a private key without a passphrase"):
        ssh_key(path)
    assert path.read_text() == "not a key"
