"""The stand-in vast.ai over loopback: real SSH to real processes, each machine its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncssh
import httpx2
import pytest
from pydantic import SecretStr

from benchmarks.stand_ins.vast import StandInVast, running
from benchmarks.stand_ins.vast_script import Life, Machine
from benchmarks.stand_ins.vast_ssh import SshHosting
from workbench.fleet.market import Address, Instance, Rental
from workbench.fleet.vast import VastClient

KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC_KEY = KEY.export_public_key().decode().strip()


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@contextlib.asynccontextmanager
async def serving(stand_in: StandInVast) -> AsyncIterator[VastClient]:
    with running(stand_in) as url:
        async with VastClient(SecretStr(stand_in.key), base_url=url, gaps_s={}) as client:
            yield client


async def rent(client: VastClient, *, label: str = "a", model: str = "tiny:1b") -> Instance:
    offer = (await client.search([], disk_gb=20))[0]
    env = {"THINKER_MODEL": model}
    rented = await client.create(Rental(offer.id, label, "image", 20, onstart="true", env=env))
    await client.attach_key(rented.instance_id, PUBLIC_KEY)
    return await seen(client, rented.instance_id)


async def seen(client: VastClient, instance_id: int) -> Instance:
    instance = await client.show(instance_id)
    assert instance is not None
    return instance


@contextlib.asynccontextmanager
async def ssh(address: Address | None, key: asyncssh.SSHKey = KEY) -> AsyncIterator[asyncssh.SSHClientConnection]:
    assert address is not None
    async with asyncssh.connect(
        address.host,
        address.port,
        username="root",
        client_keys=[key],
        known_hosts=None,
        agent_path=None,
        config=[],
        connect_timeout=5,
    ) as connection:
        yield connection


async def tags(connection: asyncssh.SSHClientConnection) -> list[str]:
    async with (
        await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", 11434) as forward,
        httpx2.AsyncClient(trust_env=False, verify=False) as client,
    ):
        told = (await client.get(f"http://127.0.0.1:{forward.get_port()}/api/tags")).json()
    return [model["name"] for model in told["models"]]


def test_each_machine_has_its_own_ollama_behind_its_own_sshd() -> None:
    async def main() -> None:
        async with serving(StandInVast(hosting=SshHosting(), gaps_s={})) as client:
            one = await rent(client, label="one", model="one:1b")
            two = await rent(client, label="two", model="two:2b")
            async with ssh(one.direct) as to_one, ssh(two.direct) as to_two, ssh(one.proxied) as by_proxy:
                assert await tags(to_one) == await tags(by_proxy) == ["one:1b"]
                assert await tags(to_two) == ["two:2b"]
                assert to_one.get_server_host_key() == by_proxy.get_server_host_key() != to_two.get_server_host_key()

    asyncio.run(main())


def test_only_attached_keys_come_in_and_only_to_ollama() -> None:
    async def main() -> None:
        async with serving(StandInVast(hosting=SshHosting(), gaps_s={})) as client:
            instance = await rent(client)
            with pytest.raises(asyncssh.PermissionDenied):
                async with ssh(instance.direct, asyncssh.generate_private_key("ssh-ed25519")):
                    pass
            async with ssh(instance.direct) as connection:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.open_connection("127.0.0.1", 22)

    asyncio.run(main())


def test_commands_run_in_the_machines_own_folder() -> None:
    async def main() -> None:
        async with serving(StandInVast(hosting=SshHosting(), gaps_s={})) as client:
            instance = await rent(client)
            async with ssh(instance.direct) as connection:
                beat = await connection.run(
                    "mkdir -p /root/.thinker && touch /root/.thinker/heartbeat && ls ~/.thinker"
                )
                failed = await connection.run("exit 3")
            assert (beat.stdout, beat.exit_status, failed.exit_status) == ("heartbeat\n", 0, 3)

    asyncio.run(main())


def test_a_machine_that_moves_keeps_its_key_and_drops_its_guests() -> None:
    async def main() -> None:
        clock = Clock()
        stand_in = StandInVast(
            [Machine(1)], hosting=SshHosting(), clock=clock, gaps_s={}, lives=lambda *_: Life(move_s=60)
        )
        async with serving(stand_in) as client:
            before = await rent(client)
            async with ssh(before.direct) as guest:
                clock.now_s += 61
                async with asyncio.timeout(10):
                    await guest.wait_closed()
                key = guest.get_server_host_key()
            after = await seen(client, before.id)
            assert after.direct != before.direct
            async with ssh(after.direct) as guest:
                assert guest.get_server_host_key() == key

    asyncio.run(main())


def test_a_destroyed_machine_is_gone() -> None:
    async def main() -> None:
        async with serving(StandInVast(hosting=SshHosting(), gaps_s={})) as client:
            instance = await rent(client)
            await client.destroy(instance.id)
            assert await client.show(instance.id) is None
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                async with ssh(instance.direct):
                    pass

    asyncio.run(main())


def test_the_model_comes_with_the_pull_and_a_wrong_gpu_holds_half_of_it() -> None:
    async def main() -> None:
        clock, hosting = Clock(), SshHosting()
        life = Life(pull_s=100, gpu_name="GTX 1080")
        stand_in = StandInVast([Machine(1)], hosting=hosting, clock=clock, gaps_s={}, lives=lambda *_: life)
        async with serving(stand_in) as client:
            instance = await rent(client)
            assert instance.hardware.gpu_name == "GTX 1080"
            async with ssh(instance.direct) as connection:
                assert await tags(connection) == []
                clock.now_s += 101
                await seen(client, instance.id)  # the stand-in looks at its clock with every call
                assert await tags(connection) == ["tiny:1b"]
            assert hosting.ollama(instance.id).vram_share < 1

    asyncio.run(main())


def test_without_a_direct_address_the_proxy_still_answers() -> None:
    async def main() -> None:
        stand_in = StandInVast([Machine(1)], hosting=SshHosting(), gaps_s={}, lives=lambda *_: Life(direct=False))
        async with serving(stand_in) as client:
            instance = await rent(client)
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                async with ssh(instance.direct):
                    pass
            async with ssh(instance.proxied) as connection:
                assert await tags(connection) == ["tiny:1b"]

    asyncio.run(main())


def test_it_runs_alone_and_tells_its_port_and_key() -> None:
    command = [sys.executable, "-m", "benchmarks.stand_ins.vast", "--loading-s", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())

            async def main() -> None:
                url = f"http://127.0.0.1:{told['port']}"
                async with VastClient(SecretStr(told["key"]), base_url=url, gaps_s={}) as client:
                    assert (await rent(client)).status == "loading"

            asyncio.run(main())
        finally:
            process.terminate()
    assert process.wait(30) in (0, -signal.SIGTERM)
