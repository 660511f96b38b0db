"""Claude Code's own transcripts as a recording: what was asked of it before anything was recorded.

    python -m benchmarks.transcripts mine.jsonl.zst [--home FOLDER]

The CLI keeps a session as JSON lines under `~/.claude/projects`. A reply spans several lines, one a block, with one
message id. Newer versions (2.1.3) also keep the system prompt, the tools and the parameters of requests; where they are
absent, folder, branch and version stand for them, so that other contexts stay apart: exact hits are then a bound.
Lines that are not understood are counted and left out.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import orjson
import typer

from workbench.cache.admission import holds_secret
from workbench.cache.question import Question, question
from workbench.canonical import KEY_VERSION, encode
from workbench.errors import ConfigurationError, InvalidRequest
from workbench.messages import parse_request
from workbench.proxy import payload
from workbench.proxy.recording import masked
from workbench.proxy.recording_file import Header, Recorded, write_recording
from workbench.reply import Reply, StopReason, Text, Thinking, ToolUse, Usage

PROJECTS = Path(".claude") / "projects"
TENANT = "local"
KEYED = ("max_tokens", "thinking", "output_config", "context_management", "temperature", "tool_choice")
"""The parameters that bear meaning."""
UNTOLD_MAX_TOKENS = 32_000
"""What stands for `max_tokens` where the transcript does not tell."""


@dataclass(slots=True)
class Counts:
    """What became of the lines of one conversion."""

    sessions: int = 0
    exchanges: int = 0
    approximate: int = 0
    """Exchanges whose system prompt and tools the transcript does not hold."""
    unread: int = 0
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Of the names that stand for digests and scopes: see `workbench.proxy.recording`."""

    def name(self, value: str) -> str:
        """A name for a digest that nobody can test guesses against."""
        return hmac.digest(self.key, value.encode(), "sha256").hex()[:32] if value else ""

    def __str__(self) -> str:
        told = f"{self.exchanges:,} exchanges of {self.sessions:,} sessions; {self.unread:,} lines not understood"
        rough = f"\n{self.approximate:,} without system prompt and tools: their exact hits are an upper bound"
        return told + (rough if self.approximate else "")


@dataclass(slots=True)
class _Session:
    """What the lines so far say of one session's main thread, or of one subagent's."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    system: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    reply: list[dict[str, Any]] = field(default_factory=list)
    asked_s: float = 0.0


def transcripts(home: Path) -> list[Path]:
    """The transcripts of this home, oldest first; raises `ConfigurationError` when there is none."""
    found = sorted((home / PROJECTS).rglob("*.jsonl"), key=lambda path: (path.stat().st_mtime, path))
    if not found:
        raise ConfigurationError(f"there is no transcript below {home / PROJECTS}: name the home of who used the CLI")
    return found


def exchanges(path: Path, counts: Counts) -> Iterator[Recorded]:
    """The exchanges of one transcript, in order; adds to `counts`."""
    sessions: dict[bool, _Session] = {False: _Session(), True: _Session()}
    counts.sessions += 1
    with path.open("rb") as lines:
        for raw in lines:
            try:
                line = orjson.loads(raw)
                session = sessions[bool(line.get("isSidechain"))]
                yield from _read(line, session, path, counts)
            except (ValueError, KeyError, TypeError, AttributeError):
                counts.unread += 1
    for session in sessions.values():
        yield from _finished(session, path, counts)


def _read(line: dict[str, Any], session: _Session, path: Path, counts: Counts) -> Iterator[Recorded]:
    """Take in one line; a reply is complete once something else begins."""
    match line.get("type"):
        case "assistant":
            id = line["message"].get("id")
            if session.reply and session.reply[0]["message"].get("id") != id:
                yield from _finished(session, path, counts)
            session.reply.append(line)
        case "user" | "attachment":
            yield from _finished(session, path, counts)
            session.asked_s = _seconds(line)
            session.messages += _messages(line)
        case "api-request-shape":
            shape = line["shape"]
            session.system, session.tools = list(shape.get("system") or ()), list(shape.get("tools") or ())
        case "api-request":
            session.asked_s = _seconds(line)
            session.parameters = {name: line["params"][name] for name in KEYED if name in line["params"]}
        case "system" if line.get("subtype") == "compact_boundary":
            yield from _finished(session, path, counts)
            session.messages.clear()  # a summary follows
        case _:
            pass  # what the CLI keeps for itself


def _messages(line: dict[str, Any]) -> list[dict[str, Any]]:
    """What a line adds to the prompt: a user's message, or what the CLI put beside it."""
    if line["type"] == "user":
        return [{"role": "user", "content": line["message"]["content"]}]
    role = line.get("renderedRole") or "user"
    return [{"role": role, "content": part["content"]} for part in line.get("rendered") or ()]


def _finished(session: _Session, path: Path, counts: Counts) -> Iterator[Recorded]:
    """The exchange whose reply is complete, if there is one; the reply becomes part of the next prompt."""
    lines, session.reply = session.reply, []
    if not lines:
        return
    content = [block for line in lines for block in line["message"]["content"]]
    last = lines[-1]
    if last["message"].get("model") != "<synthetic>":  # what the CLI wrote itself, of an error for example
        try:
            yield _exchange(session, last, content, path, counts)
        except (InvalidRequest, ValueError, KeyError, TypeError, AttributeError):
            counts.unread += len(lines)
    session.messages.append({"role": "assistant", "content": content})


def _exchange(
    session: _Session, last: dict[str, Any], content: Sequence[dict[str, Any]], path: Path, counts: Counts
) -> Recorded:
    told = last["message"]
    model = str(told.get("model") or "unknown")
    asked = _question(session, last, model)
    reply = _reply(told, content, model)
    secret = asked.text is not None and holds_secret(asked.text) is not None
    document = orjson.loads(payload.encode(reply))
    counts.exchanges += 1
    counts.approximate += not session.system
    kept = "meaning" if payload.is_servable_by_meaning(reply) else "exact"
    usage = reply.usage
    return Recorded(
        id=str(told.get("id") or last.get("uuid")),
        at_s=session.asked_s or _seconds(last),
        tenant=TENANT,
        model=model,
        digest=counts.name(asked.digest),
        session=str(last.get("sessionId") or path.stem),
        scope=counts.name(asked.scope),
        outer_scope=counts.name(asked.outer_scope),
        text=None if secret else asked.text,
        reason="secrets" if secret else asked.reason,
        kept=kept if payload.is_storable(reply) and not secret else "no",
        outcome="miss",
        total_ms=max(0.0, (_seconds(last) - session.asked_s) * 1e3) if session.asked_s else 0.0,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        reply=masked(document),
        request=masked(orjson.loads(encode(asked.request))),
    )


def _question(session: _Session, last: dict[str, Any], model: str) -> Question:
    where = f"{last.get('cwd')} {last.get('gitBranch')} {last.get('version')}"
    body = {
        "max_tokens": UNTOLD_MAX_TOKENS,
        **session.parameters,
        "model": model,
        "system": session.system or [{"type": "text", "text": where}],
        "messages": session.messages,
        **({"tools": session.tools} if session.tools else {}),
    }
    agent = "subagent" if last.get("isSidechain") else None
    return question(parse_request(orjson.dumps(body)), model=model, model_digest="", agent_id=agent)


def _reply(told: dict[str, Any], content: Sequence[dict[str, Any]], model: str) -> Reply:
    blocks: list[Text | Thinking | ToolUse] = []
    for block in content:
        match block["type"]:
            case "text":
                blocks.append(Text(block["text"]))
            case "thinking":
                blocks.append(Thinking(block["thinking"]))
            case "tool_use":
                blocks.append(ToolUse(block["name"], block["input"]))
    calls = any(isinstance(block, ToolUse) for block in blocks)
    stop: Any = told.get("stop_reason") or ("tool_use" if calls else "end_turn")  # older versions leave it out
    if stop not in get_args(StopReason):
        raise ValueError(f"unknown stop reason {stop!r}")
    usage = told.get("usage") or {}
    counts = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return Reply(model, tuple(blocks), stop, None, Usage(*(int(usage.get(name) or 0) for name in counts)))


def _seconds(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def main(
    out: Annotated[Path, typer.Argument(help="The recording to write.")],
    home: Annotated[Path | None, typer.Option(help="Whose transcripts; your own when absent.")] = None,
) -> None:
    """Convert every transcript of a home, secrets masked."""
    counts = Counts()
    header = Header(workbench_recording=1, created_s=0.0, prompts="keep", embedder="", key_version=KEY_VERSION)
    try:
        paths = transcripts(home or Path.home())
        write_recording(out, header, (each for path in paths for each in exchanges(path, counts)))
    except (ConfigurationError, OSError) as error:
        print(error)
        raise typer.Exit(2) from None
    print(counts)


if __name__ == "__main__":
    typer.run(main)
