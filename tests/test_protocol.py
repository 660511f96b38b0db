"""What a client sends and how long it takes has an end, and that it left is seen: raw sockets, a real server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import orjson
import pytest
import uvloop

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.ollama_script import Gate, Script, Text, Wait
from tests.proxying import body
from workbench.proxy.app import create_app
from workbench.proxy.protocol import LimitedProtocol
from workbench.proxy.server import Server, listen
from workbench.settings import Settings

LIMIT_BYTES = LimitedProtocol.head_max_bytes
ENDED_S = 20.0
"""When a test gives up on the server's end of a connection."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Connection]]


class Patient(LimitedProtocol):
    """No time-out ends a connection while a test looks."""

    head_timeout_s = body_timeout_s = linger_s = 3600.0


class ShortHead(Patient):
    """Only a head has little time."""

    head_timeout_s = 0.05


class ShortBody(Patient):
    """Only a body has little time."""

    body_timeout_s = 0.05


class ShortLinger(Patient):
    """Only a refused client has little time."""

    linger_s = 0.05


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def thinker(gate: Gate) -> StandInOllama:
    return StandInOllama(Script((Text("Use "), Wait(gate), Text("reversed()."))))


@pytest.fixture
def url(thinker: StandInOllama) -> Iterator[str]:
    with ollama_running(thinker) as url:
        yield url


def go(url: str, use: Callable[[Connect], Awaitable[None]], http: type[LimitedProtocol] | None = None) -> None:
    """Run `use` against the product's server, with other limits if given."""

    async def main() -> None:
        async with served(url, http) as connect:
            await use(connect)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@contextlib.asynccontextmanager
async def served(url: str, http: type[LimitedProtocol] | None) -> AsyncIterator[Connect]:
    app = create_app(Settings(store="memory:", thinkers=[f"ollama+{url}"], host="127.0.0.1", semantic="off"))
    bound = listen("127.0.0.1", 0)
    server = Server(app)
    if http is not None:
        server.config.http = http
    async with contextlib.AsyncExitStack() as stack, app.router.lifespan_context(app):
        serving = asyncio.create_task(server.serve(sockets=[bound]))

        async def connect() -> Connection:
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            stack.callback(writer.close)
            return reader, writer

        try:
            yield connect
        finally:
            await stack.aclose()
            server.should_exit = True
            await serving


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes the connection, in whatever way."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(ENDED_S):
            while piece := await reader.read(65536):
                received += piece
    return received


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next response, read to its end."""
    top = (await reader.readuntil(b"\r\n\r\n")).decode()
    if length := re.search(r"content-length: (\d+)", top):
        await reader.readexactly(int(length[1]))
    return int(top.split()[1])


def head(path: str = "/healthz", **fields: object) -> bytes:
    """A request's head."""
    method = "POST" if "content_length" in fields or "transfer_encoding" in fields else "GET"
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        *(f"{k.replace('_', '-')}: {v}" for k, v in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def question(*, stream: bool = False) -> bytes:
    """A whole Messages request."""
    content = orjson.dumps(body(stream=stream))
    return head("/v1/messages", content_length=len(content)) + content


def assert_refused(answer: bytes, status: int) -> None:
    """One whole response with the API's error envelope, and nothing more."""
    top, _, content = answer.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    fields = dict(line.split(": ") for line in lines[1:])
    told = orjson.loads(content)
    assert lines[0].split()[1] == str(status)
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    assert fields["request-id"] == told["request_id"]
    assert (fields["connection"], fields["content-length"]) == ("close", str(len(content)))


def unfinished(size_bytes: int) -> bytes:
    """That much of one header that never ends."""
    return head()[:-2].ljust(size_bytes, b"x")


# ── heads ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sent",
    [
        unfinished(LIMIT_BYTES),
        unfinished(20 * LIMIT_BYTES),
        b"GET /" + b"x" * LIMIT_BYTES,
        head()[:-2] + b"a: b\r\n" * 300_000,
        b"\r\n" * LIMIT_BYTES,
        head().replace(b"\r\n\r\n", b"\r\nx: " + b"x" * LIMIT_BYTES + b"\r\n\r\n"),
        head("/v1/messages", transfer_encoding="chunked") + b"0\r\n" + b"a: b\r\n" * 30_000,
    ],
    ids=["header", "long-header", "path", "many-headers", "blank-lines", "complete", "trailers"],
)
def test_too_long_head_is_refused_and_the_connection_closed(url: str, sent: bytes) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(sent)
        answer = await reader.read(65536)
        assert_refused(answer, 431)
        assert await rest(reader) == b""

    go(url, use, Patient)


def test_limit_holds_in_the_product(url: str) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(unfinished(LIMIT_BYTES))
        assert_refused(await rest(reader), 431)

    go(url, use)


def test_head_just_under_the_limit_is_served(url: str) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        padding = LIMIT_BYTES - 1 - len(head()) - len("x: \r\n")
        whole = head()[:-2] + b"x: " + b"x" * padding + b"\r\n\r\n"
        assert len(whole) == LIMIT_BYTES - 1
        for _ in range(2):
            writer.write(whole)
            assert await status(reader) == 200

    go(url, use, Patient)


def test_what_is_not_http_is_refused_in_the_apis_own_form(url: str) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert_refused(await rest(reader), 400)

    go(url, use, Patient)


def test_too_long_trailer_of_an_answered_request_closes_the_connection_without_another_answer(url: str) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(head("/nothing", transfer_encoding="chunked") + b"1\r\nx\r\n")
        assert await status(reader) == 404
        writer.write(b"0\r\n" + b"a: b\r\n" * 30_000)
        assert await rest(reader) == b""

    go(url, use, Patient)


def test_refused_client_that_never_closes_is_cut_off(url: str) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(unfinished(LIMIT_BYTES))
        assert_refused(await rest(reader), 431)
        async with asyncio.timeout(ENDED_S):
            while not writer.is_closing():
                writer.write(b"x" * 1000)
                await asyncio.sleep(0)  # lets the loop find the connection reset

    go(url, use, ShortLinger)


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", head()[:-2]], ids=["silence", "half a line", "half a head"])
@pytest.mark.parametrize("before", [b"", head()], ids=["first", "second"])
def test_head_that_does_not_come_closes_the_connection(url: str, before: bytes, sent: bytes) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        if before:
            writer.write(before)
            assert await status(reader) == 200
        writer.write(sent or b"\r\n" * bool(before))
        assert await rest(reader) == b""

    go(url, use, ShortHead)


@pytest.mark.parametrize("path", ["/v1/messages", "/nothing"], ids=["being read", "answered before"])
@pytest.mark.parametrize("sent", [b"", b'{"model"'], ids=["nothing", "half"])
def test_body_that_stops_closes_the_connection_without_a_word_in_the_log(
    url: str, path: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(head(path, content_length=100) + sent)
        await rest(reader)

    with caplog.at_level(logging.WARNING, logger="uvicorn.error"):  # which the stand-in has silenced
        go(url, use, ShortBody)
    assert caplog.text == ""


def test_idle_connection_between_requests_is_not_a_late_head(url: str, thinker: StandInOllama, gate: Gate) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(question() + b"\r\n")
        assert await asyncio.to_thread(thinker.wait_until, lambda it: it.begun == 1)
        silent, _ = await connect()
        await rest(silent)  # a head that does not come is closed meanwhile
        gate.release()
        assert await status(reader) == 200

    go(url, use, ShortHead)


# ── a reply in progress ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("ahead", [b"", head(), head()[:-2], b"\r\n"], ids=["nothing", "request", "half", "blank"])
@pytest.mark.parametrize("at_once", [True, False])
def test_client_that_leaves_is_noticed_whatever_it_sent_ahead(
    url: str, thinker: StandInOllama, *, stream: bool, ahead: bytes, at_once: bool
) -> None:
    async def use(connect: Connect) -> None:
        _, writer = await connect()
        writer.write(question(stream=stream) + ahead * at_once)
        assert await asyncio.to_thread(thinker.wait_until, lambda it: it.begun == 1)
        writer.write(ahead * (not at_once))
        writer.close()
        assert await asyncio.to_thread(thinker.wait_until, lambda it: it.aborted == 1)

    go(url, use, Patient)


@pytest.mark.parametrize(
    "ahead",
    [head() * 1000, question()[:-1] + b" " * 10_000, head(content_length=10**6) + b"x" * 100_000, b"GET / " * 20_000],
    ids=["many", "garbage", "body", "head"],
)
def test_too_much_sent_ahead_closes_the_connection_without_an_answer(
    url: str, thinker: StandInOllama, ahead: bytes
) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(question())
        assert await asyncio.to_thread(thinker.wait_until, lambda it: it.begun == 1)
        writer.write(ahead)
        assert await rest(reader) == b""
        assert await asyncio.to_thread(thinker.wait_until, lambda it: it.aborted == 1)

    go(url, use, Patient)


def test_requests_sent_ahead_are_answered_in_order(url: str, gate: Gate) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(question() + head("/nothing") + head(connection="close"))
        gate.release()
        answers = (await rest(reader)).split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200", b"404", b"200"]

    go(url, use, Patient)
