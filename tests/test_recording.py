"""A recording holds what was asked for and no secret, survives a cut, stays within its bounds, and harms no request."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path
from random import Random
from string import ascii_lowercase
from typing import Any

import orjson
import pytest
import zstandard

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from tests.proxying import QUESTION, body, outcome, post, proxied
from workbench.cache.question import question
from workbench.canonical import KEY_VERSION
from workbench.errors import ConfigurationError
from workbench.messages import parse_request
from workbench.proxy.recording import Recorder, masked
from workbench.proxy.recording_file import (
    PATTERN,
    Damaged,
    Header,
    Line,
    Recorded,
    encoded,
    frame,
    read_recording,
    recordings,
    write_recording,
)
from workbench.proxy.telemetry import Content, Exchange

KEY = "sk-ant-api03-aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0"
HEADER = Header(workbench_recording=1, created_s=1.0, prompts="keep", embedder="minilm", key_version=KEY_VERSION)


def line(number: int, **fields: Any) -> Recorded:
    given = {"id": f"req_{number}", "at_s": float(number), "tenant": "local", "model": "m", "digest": f"{number:032x}"}
    return Recorded(**(given | fields))


def exchanges(lines: list[Line]) -> list[Recorded]:
    return [each for each in lines if isinstance(each, Recorded)]


def recorded(folder: Path) -> list[Recorded]:
    """Everything in a folder."""
    return [each for path in recordings(folder) for each in exchanges(list(read_recording(path)))]


def raw(folder: Path) -> bytes:
    """Everything in a folder, unpacked."""
    return b"".join(
        zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()
        for path in recordings(folder)
    )


# ── what the proxy records ──────────────────────────────────────────────────────────────────────────────────


def test_a_miss_and_its_hits_are_recorded_with_what_they_were_about(tmp_path: Path) -> None:
    user: dict[str, Any] = {"metadata": {"user_id": "user_1_session_2"}}
    with proxied(tmp_path, StandInOllama(text("list[::-1]")), record=True, record_dir=tmp_path / "rec") as address:
        assert outcome(post(address, body(**user)))[0] == "miss"
        assert outcome(post(address, body(**user)))[0] == "exact"
        with_stream = post(address, body("how do i reverse a list in python", stream=True))
        assert outcome(with_stream)[0] == "semantic"
    miss, exact, semantic = recorded(tmp_path / "rec")
    assert [miss.outcome, exact.outcome, semantic.outcome] == ["miss", "exact", "semantic"]
    assert (miss.text, miss.reason, miss.kept, miss.reply_text) == (QUESTION, None, "meaning", "list[::-1]")
    assert miss.digest == exact.digest != semantic.digest
    assert miss.scope == exact.scope == semantic.scope
    assert miss.session == exact.session != ""
    assert miss.reply_hash == exact.reply_hash == semantic.reply_hash != ""
    assert semantic.similarity is not None
    assert miss.usage.output_tokens > 0
    assert miss.total_ms > 0
    assert miss.request
    assert miss.request["messages"][0]["content"][0]["text"] == QUESTION
    (header,) = [each for each in read_recording(recordings(tmp_path / "rec")[0]) if isinstance(each, Header)]
    assert (header.prompts, header.key_version) == ("keep", KEY_VERSION)
    assert header.embedder


def test_nothing_is_recorded_unless_asked_for(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), record_dir=tmp_path / "rec") as address:
        post(address, body())
    assert not (tmp_path / "rec").exists()


def test_secrets_are_never_written(tmp_path: Path) -> None:
    tools = {"system": f"Use {KEY} for the service.", "messages": [{"role": "user", "content": f"Is {KEY} valid?"}]}
    with proxied(tmp_path, StandInOllama(text(f"{KEY} it is")), record=True, record_dir=tmp_path / "rec") as address:
        post(address, body() | tools)
    assert KEY.encode() not in raw(tmp_path / "rec")
    (found,) = recorded(tmp_path / "rec")
    assert (found.text, found.reason, found.kept) == (None, "secrets", "no")


@pytest.mark.parametrize("prompts", ["hash", "redact"])
def test_no_word_is_written_where_words_are_not_wanted(tmp_path: Path, prompts: str) -> None:
    settings = {"record": True, "record_dir": tmp_path / "rec", "record_prompts": prompts}
    with proxied(tmp_path, StandInOllama(text("list[::-1]")), **settings) as address:
        post(address, body())
        post(address, body())
    first, second = recorded(tmp_path / "rec")
    for word in (b"reverse", b"list", b"local"):
        assert word not in raw(tmp_path / "rec")
    assert first.digest == second.digest
    assert bool(first.text_hash) == bool(first.reply_hash) == (prompts == "hash")
    assert (first.text_hash, first.reply_hash) == (second.text_hash, second.reply_hash)


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), record=True, record_dir=tmp_path / "rec") as address:
        post(address, body())
    for path in [tmp_path / "rec", *(tmp_path / "rec").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_refused_request_is_answered_and_left_out(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), record=True, record_dir=tmp_path / "rec") as address:
        assert post(address, b"{").status_code == 400
        assert post(address, body() | {"model": "unknown"}).status_code == 404
    assert recorded(tmp_path / "rec") == []


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = Recorder(tmp_path / "file" / "rec", max_bytes=1 << 20, prompts="keep", embedder="")

    async def start() -> None:
        async with recorder:
            pass

    with pytest.raises(ConfigurationError, match="cannot record into"):
        asyncio.run(start())


def an_exchange(number: int) -> Exchange:
    """One that has ended, about `number`."""
    words = "".join(Random(number).choices(ascii_lowercase, k=2000))  # noqa: S311  # hard to compress, no secret
    request = parse_request(orjson.dumps(body(f"{number} {words}")))
    asked = question(request, model="m", model_digest="d")
    return Exchange(f"req_{number}", "local", "m", False, content=Content(asked), stages_ms={"total": 1.0})


def test_a_recording_stays_within_its_bound_and_keeps_the_newest(tmp_path: Path) -> None:
    async def record() -> None:
        recorder = Recorder(tmp_path, max_bytes=200_000, prompts="keep", embedder="")
        async with recorder:
            for number in range(120):
                recorder.take(an_exchange(number))
        assert recorder.dropped == 0

    asyncio.run(record())
    assert sum(path.stat().st_size for path in tmp_path.glob(PATTERN)) <= 200_000
    kept = [each.id for each in recorded(tmp_path)]
    assert kept[-1] == "req_119"
    assert kept == [f"req_{number}" for number in range(120 - len(kept), 120)]


def test_what_cannot_be_recorded_is_counted_and_harms_nobody(tmp_path: Path) -> None:
    async def record() -> int:
        recorder = Recorder(tmp_path, max_bytes=8_000, prompts="keep", embedder="")
        async with recorder:
            recorder.take(an_exchange(1))  # longer than a file may be
            recorder.take(Exchange("req_2", "local", "m", False, stages_ms={"total": 1.0}))  # never was a question
        return recorder.dropped

    assert asyncio.run(record()) == 1
    assert recorded(tmp_path) == []


def test_a_disk_that_fails_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    async def record() -> None:
        async with Recorder(tmp_path / "rec", max_bytes=200_000, prompts="keep", embedder="") as recorder:
            shutil.rmtree(tmp_path / "rec")
            for number in range(40):  # the first file that is full needs a second
                recorder.take(an_exchange(number))

    asyncio.run(record())
    assert not (tmp_path / "rec").exists()


def test_masks_leave_everything_else_as_it_is() -> None:
    value = {"a": [f"x {KEY} y", 1, None, True], "b": {"c": "nothing here"}}
    assert masked(value) == {"a": ["x <secret> y", 1, None, True], "b": {"c": "nothing here"}}


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl.zst"
    written = [line(number, text=f"question {number}", label="a") for number in range(600)]
    assert write_recording(path, HEADER, iter(written)) == 600
    assert list(read_recording(path)) == [HEADER, *written]


def test_a_cut_off_recording_gives_every_whole_frame(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl.zst"
    frames = [frame([encoded(HEADER)]), *(frame([encoded(line(10 * f + n)) for n in range(10)]) for f in range(3))]
    whole = b"".join(frames)
    for cut in range(len(whole) - len(frames[3]) + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert [each.id for each in exchanges(list(read_recording(path)))][:20] == [f"req_{n}" for n in range(20)]


def test_a_plain_file_cut_in_mid_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    path.write_bytes(b"\n".join([encoded(HEADER), encoded(line(1)), encoded(line(2))])[:-5])
    assert [type(each) for each in read_recording(path)] == [Header, Recorded, Damaged]


def test_a_damaged_line_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    path.write_bytes(b"\n".join([encoded(HEADER), b'{"id": 1}', b"[]", b"", encoded(line(2))]) + b"\n")
    _, first, second, last = read_recording(path)
    assert str(first) == "made.jsonl, line 2: `id`: Input should be a valid string"
    assert isinstance(second, Damaged)
    assert last == line(2)


def test_garbage_between_frames_ends_it_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl.zst"
    path.write_bytes(frame([encoded(HEADER)]) + frame([encoded(line(1))]) + b"garbage")
    *read, last = read_recording(path)
    assert read == [HEADER, line(1)]
    assert isinstance(last, Damaged)
    assert "unpacked" in last.why


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "first line cannot be read"),
        (b'{"id": "x"}\n', "has no `workbench_recording`"),
        (b"\x00\x01", "has no `workbench_recording`"),
        (b'{"workbench_recording": 2}\n', "of version 2, this workbench reads 1"),
        (b'{"workbench_recording": 1}\n', "the header's `created_s`"),
    ],
)
def test_another_versions_file_and_what_is_no_recording_are_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "made.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected):
        list(read_recording(path))


def test_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no recording"):
        recordings(tmp_path)
