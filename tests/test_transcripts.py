"""Claude Code's transcripts become a recording: of any version, with the CLI's own hands and in spite of bad lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import transcripts as command
from benchmarks.recorded_traffic import read_traffic
from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama_script import text
from benchmarks.transcripts import Counts, exchanges, transcripts
from tests.claude_cli import Claude, NotInstallable, install
from tests.proxying import proxied
from workbench.errors import ConfigurationError
from workbench.proxy.recording_file import Recorded

AT = "2026-11-23T05:51:07.842Z"
KEY = "sk-ant-api03-aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0"


def user(content: Any, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content}
    about = {"timestamp": AT, "sessionId": "s1", "cwd": "/w", "gitBranch": "main", "version": "2.0.1"}
    return {"type": "user", "message": message} | about | fields


def said(*content: dict[str, Any], id: str = "msg_1", stop: str | None = None, **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 7, "cache_read_input_tokens": 100}
    message = {"id": id, "role": "assistant", "model": "m", "content": list(content), "usage": usage}
    return user("", **fields) | {"type": "assistant", "message": message | {"stop_reason": stop}}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
RESULT = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.py"}]


def converted(folder: Path, *lines: Any) -> tuple[list[Recorded], Counts]:
    """The exchanges of a transcript with these lines; bytes are written as they are."""
    path = folder / "session.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines) + b"\n")
    counts = Counts()
    return list(exchanges(path, counts)), counts


def test_a_loop_becomes_a_question_and_turns_with_results(tmp_path: Path) -> None:
    found, counts = converted(
        tmp_path,
        user("List the files"),
        said(words("I look.")),
        said(CALL),
        user(RESULT),
        said(words("a.py"), id="msg_2"),
    )
    question, turn = found
    assert (question.text, question.reason, question.kept) == ("List the files", None, "exact")
    assert (turn.text, turn.reason, turn.kept) == (None, "tool-result", "meaning")
    assert question.reply
    assert [name for name, _ in question.reply["content"]] == ["text", "tool_use"]  # of two lines, one reply
    assert question.usage.cache_read_input_tokens == 100
    assert (question.session, counts.exchanges, counts.approximate, counts.unread) == ("s1", 2, 2, 0)


def test_what_newer_versions_tell_of_requests_is_taken(tmp_path: Path) -> None:
    shape = {
        "type": "api-request-shape",
        "shape": {"system": [words("You are an agent.")], "tools": [{"name": "Bash"}]},
    }
    request = {"type": "api-request", "timestamp": AT, "params": {"max_tokens": 99, "betas": ["x"], "model": "other"}}
    date = {
        "type": "attachment",
        "timestamp": AT,
        "rendered": [{"content": "Today is Monday."}],
        "renderedRole": "system",
    }
    (found,), counts = converted(tmp_path, user("Hello"), date, shape, request, said(words("Hi")))
    assert found.request
    assert found.request["system"][0]["text"] == "You are an agent."
    assert found.request["max_tokens"] == 99
    assert [message["role"] for message in found.request["messages"]] == ["user", "system"]
    assert counts.approximate == 0


def test_the_same_prompt_in_another_folder_is_another_request(tmp_path: Path) -> None:
    counts = Counts()
    names = []
    for place, cwd in enumerate(["/a", "/a", "/b"]):
        path = tmp_path / f"{place}.jsonl"
        path.write_bytes(b"\n".join(map(orjson.dumps, [user("Hello"), said(words("Hi"), cwd=cwd)])))
        names += [each.digest for each in exchanges(path, counts)]
    assert names[0] == names[1] != names[2]
    assert counts.sessions == 3


def test_subagents_are_a_thread_of_their_own(tmp_path: Path) -> None:
    found, _ = converted(
        tmp_path,
        user("Main"),
        user("Sub", isSidechain=True),
        said(words("sub"), id="msg_s", isSidechain=True),
        user("More", isSidechain=True),
        said(words("main"), id="msg_m"),
    )
    by_id = {each.id: each for each in found}
    assert by_id["msg_s"].reason == "subagent"
    main = by_id["msg_m"].request
    assert main
    assert len(main["messages"]) == 1


def test_what_is_not_understood_is_counted_and_left_out(tmp_path: Path) -> None:
    found, counts = converted(
        tmp_path,
        b'{"type": "user", "mess',
        b"[1]",
        {"type": "something-new", "x": 1},
        user("Hello"),
        said(words("an error of the CLI's own"), id="msg_0") | {"message": {"model": "<synthetic>", "content": []}},
        user("Hello?"),
        said(words("odd"), id="msg_1", stop="a-new-reason"),
        user("Hello??"),
        said(words("Hi"), id="msg_2", stop="end_turn"),
    )
    assert [each.id for each in found] == ["msg_2"]
    assert counts.unread == 3


def test_a_compacted_session_begins_anew(tmp_path: Path) -> None:
    boundary = {"type": "system", "subtype": "compact_boundary", "timestamp": AT}
    found, _ = converted(
        tmp_path, user("One"), said(words("1")), boundary, user("Summary. Two"), said(words("2"), id="msg_2")
    )
    assert found[1].request
    assert len(found[1].request["messages"]) == 1


def test_secrets_do_not_come_over(tmp_path: Path) -> None:
    (found,), _ = converted(tmp_path, user(f"Is {KEY} good?"), said(words(f"{KEY} is")))
    assert KEY not in found.model_dump_json()
    assert (found.text, found.reason, found.kept) == (None, "secrets", "no")


def test_a_home_without_transcripts_is_named(tmp_path: Path) -> None:
    app = Typer()
    app.command()(command.main)
    done = CliRunner().invoke(app, [str(tmp_path / "out.jsonl.zst"), "--home", str(tmp_path)])
    assert done.exit_code == 2
    assert "there is no transcript below" in done.output
    with pytest.raises(ConfigurationError):
        transcripts(tmp_path)


def test_the_real_clis_transcripts_hold_what_it_asked(tmp_path: Path) -> None:
    try:
        program = install()
    except NotInstallable as error:
        pytest.skip(f"NOT TESTED with the real Claude Code CLI: {error}")
    settings = {"record": True, "record_dir": tmp_path / "rec"}
    with proxied(tmp_path, StandInOllama(text("Four.")), **settings) as address:
        claude = Claude(program, tmp_path / "home", tmp_path / "work", address)
        assert [claude.ask("What is 2+2?") for _ in range(2)] == ["Four.", "Four."]
    app = Typer()
    app.command()(command.main)
    out = tmp_path / "mine.jsonl.zst"
    done = CliRunner().invoke(app, [str(out), "--home", str(tmp_path / "home")])
    assert done.exit_code == 0, done.output
    mine, recorded = read_traffic(out).exchanges, read_traffic(tmp_path / "rec").exchanges
    assert [(each.text, each.reason, each.reply_text) for each in mine] == [
        (each.text, each.reason, each.reply_text) for each in recorded
    ]
    assert mine[0].digest == mine[1].digest
    assert recorded[0].digest == recorded[1].digest
    assert recorded[0].session != recorded[1].session
