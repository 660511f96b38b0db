"""What the benchmark's store holds, and the requests that are asked of it; the same for one seed.

All small requests share one scope, so that a search by meaning goes through everything that is stored. Only the
questions that are asked have the embedder's own vectors; the others have random ones, which cost as much to search.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stand_ins.ollama import ServedModel
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_folder
from workbench.cache.policy import Serve, load_policy
from workbench.cache.question import question
from workbench.cache.sqlite_store import SqliteStore
from workbench.cache.store import Entry, Vector
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import verifier_folder
from workbench.errors import ConfigurationError
from workbench.messages import parse_request
from workbench.proxy.auth import DEFAULT_TENANT
from workbench.proxy.payload import encode
from workbench.reply import Reply, Text, Usage

SEED = 2
MODEL = ServedModel("stand-in:latest")
TOOLS, TOOL_BYTES, SYSTEM_BYTES, ENVIRONMENT_BYTES = 12, 2700, 7000, 9000
"""What Claude Code 2.1 sends with a plain question: about 49 KB."""
DAY_S = 86_400.0

_KINDS = [
    words.split("|")
    for words in (
        "rotate|export|import|rename|validate|compress|encrypt|archive|merge|split|schedule|monitor|restore|migrate|"
        "configure|document|test|deploy|inspect|measure|limit|cache|replicate|sort|filter|index|sign|stream",
        "access token|audit log|retry policy|schema|certificate|error handler|connection pool|cache header|user table|"
        "event queue|release notes|memory limit|search index|time zone|webhook|session cookie|thread pool|config file|"
        "rate limit|backup job|message format|unit tests|error budget|menu bar",
        "payment gateway|mail server|web shop|chat client|weather station|print service|game engine|photo album|"
        "music player|ticket system|data warehouse|build server|map viewer|text editor|phone app|billing service|"
        "sensor network|login page|news feed|spreadsheet|code review bot|travel planner|recipe site|video encoder",
        "Python|Rust|Kotlin|staging|Kubernetes|Postgres|Django|Terraform|the browser|production|Elixir|Bash|Haskell|"
        "the cloud|a container|Swift",
    )
]
"""What to do, with which part, of what, and where: any four of them make a question of about 15 tokens."""

FORMS = (
    "how do i {}", "How can I {}?", "Please tell me how to {}.", "How could I {}?", "Tell me how to {}",
    "What is the way to {}?", "how to {}", "Could you tell me how to {}?", "How should I {}?",
    "I want to {}, how do I do that?", "Hi, how do I {}?", "How do you {}?", "How would I {}?", "How does one {}?",
)  # fmt: skip
"""Ways to put the same question; those that the policy does not serve are left out."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Bodies of requests: `exact`, `cold` and `large` are stored, `paraphrases` are served by meaning.

    `unknown` gives questions that nobody has asked yet.
    """

    entries: int
    exact: list[str]
    cold: list[str]
    large: list[str]
    paraphrases: list[str]
    unknown: Iterator[str]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is stored, and how many different requests of each kind are wanted."""

    entries: int
    asked: int
    paraphrases: int


@dataclass(frozen=True, slots=True)
class Models:
    """What the server embeds and verifies with."""

    embedder: Embedder
    verifier: Verifier

    @classmethod
    def below(cls, folder: Path) -> Models:
        """The default ones, built where a server with this data folder finds them."""
        return cls(Embedder(minilm_folder(folder / "embedders")), Verifier(verifier_folder(folder / "embedders")))


async def fill(path: Path, models: Models, size: Size) -> Stock:
    """Make the store at `path`, as the server would have left it."""
    unused = _stems()
    stems = list(islice(unused, size.entries - 1))
    asked = [stored(stem) for stem in stems[: size.asked]]
    vectors = models.embedder.encode(asked)
    stock = Stock(
        entries=size.entries,
        exact=[small_body(text) for text in asked],
        cold=[small_body(stored(stem)) for stem in stems[size.asked :]],
        large=[large_body("What does this repository do, and where do I start reading?")],
        paraphrases=[small_body(text) for text in _paraphrases(stems[: size.asked], list(vectors), models, size)],
        unknown=map(stored, unused),
    )
    store = SqliteStore(path, fingerprint=models.embedder.fingerprint)
    await store.open()
    try:
        for body, vector in zip(
            stock.exact + stock.cold + stock.large, [*vectors, *_random(len(stock.cold) + 1)], strict=True
        ):
            await store.put(DEFAULT_TENANT, _entry(body, vector))
    finally:
        await store.close()
    return stock


async def add_others(path: Path, models: Models, count: int) -> None:
    """Put so many more entries into the scope of all small requests; nobody asks for them, every search sees them."""
    store = SqliteStore(path, max_bytes=64 * 1024**3, fingerprint=models.embedder.fingerprint)
    like = _entry(small_body("What is asked by nobody?"), _random(1)[0])
    chance = np.random.default_rng(SEED + 1)
    await store.open()
    try:
        for number in range(count):
            row = chance.standard_normal(384).astype(np.float32)
            digest = hashlib.sha256(b"%d" % number).hexdigest()
            text = f"{like.text} ({number})"
            await store.put(
                DEFAULT_TENANT, replace(like, digest=digest, text=text, vector=row / np.float32(np.linalg.norm(row)))
            )
    finally:
        await store.close()


def stored(stem: str) -> str:
    """The form in which questions are stored."""
    return f"How do I {stem}?"


def _stems() -> Iterator[str]:
    """All questions without their form, in one random order."""
    total = math.prod(map(len, _KINDS))
    for number in random.Random(SEED).sample(range(total), total):  # noqa: S311  # no secret
        words = []
        for kind in _KINDS:
            number, place = divmod(number, len(kind))
            words.append(kind[place])
        yield "{} the {} of a {} in {}".format(*words)


def _paraphrases(stems: Sequence[str], vectors: Sequence[Vector], models: Models, size: Size) -> list[str]:
    """Other forms of these questions that the policy serves, the forms evenly mixed."""
    policy = load_policy()
    served: list[str] = []
    for form in FORMS:
        texts = [form.format(stem) for stem in stems]
        for stem, text, near, vector in zip(stems, texts, vectors, models.embedder.encode(texts), strict=True):
            if isinstance(policy.decide(text, stored(stem), float(near @ vector), verifier=models.verifier), Serve):
                served.append(text)
    random.Random(SEED).shuffle(served)  # noqa: S311  # no secret
    if len(served) < size.paraphrases:
        raise ConfigurationError(
            f"the policy serves {len(served)} of the paraphrases, {size.paraphrases} are needed: ask for fewer requests"
        )
    return served[: size.paraphrases]


def _random(count: int) -> list[Vector]:
    rows = np.random.default_rng(SEED).standard_normal((count, 384)).astype(np.float32)
    return list(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _entry(body: str, vector: Vector) -> Entry:
    asked = question(parse_request(body.encode()), model=MODEL.name, model_digest=MODEL.sha256)
    reply = Reply(MODEL.name, (Text(_prose(600, seed=len(body))),), "end_turn", None, Usage(500, 120))
    now_s = time.time()
    entry = Entry(asked.digest, encode(reply), MODEL.name, now_s, now_s + 7 * DAY_S, text=asked.text or "")
    return replace(entry, scope=asked.scope, outer_scope=asked.outer_scope, turns=asked.turns, vector=vector)


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────


def small_body(text: str, *, system: str = "") -> str:
    """A plain streamed question of 2 KB, nearly all of it the system prompt; more of that makes another scope."""
    return _small([{"role": "user", "content": text}], system=system)


def tool_turn_body(text: str) -> str:
    """The same after one round of a tool: what most of an agent's requests look like."""
    use = {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": "ls -la"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": text}
    return _small(
        [
            {"role": "user", "content": "What is in this folder?"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
    )


def _small(messages: list[dict[str, Any]], *, system: str = "") -> str:
    return json.dumps(
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1024,
            "stream": True,
            "system": _prose(1800, seed=1) + system,
            "messages": messages,
        }
    )


def large_body(text: str) -> str:
    """A plain question as Claude Code sends it: tools, system prompt, and its environment as a system message."""
    ephemeral = {"cache_control": {"type": "ephemeral"}}
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are a coding agent.", **ephemeral},
        {"type": "text", "text": _prose(SYSTEM_BYTES, seed=3), **ephemeral},
    ]
    reminder = f"<system-reminder>\n{_prose(400, seed=4)}\n</system-reminder>"
    content = [{"type": "text", "text": reminder}, {"type": "text", "text": text, **ephemeral}]
    return json.dumps(
        {
            "model": "claude-sonnet-4-5",
            "messages": [
                {"role": "user", "content": content},
                {"role": "system", "content": _prose(ENVIRONMENT_BYTES, seed=5)},
            ],
            "system": system,
            "tools": [_tool(number) for number in range(TOOLS)],
            "metadata": {"user_id": "user_0"},
            "max_tokens": 32_000,
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "medium"},
            "stream": True,
        }
    )


def _tool(number: int) -> dict[str, Any]:
    parts = [{"type": "string", "description": _prose(120, seed=number * 10 + place)} for place in range(6)]
    properties: dict[str, Any] = {f"argument_{place}": part for place, part in enumerate(parts)}
    properties["edits"] = {"type": "array", "items": {"type": "object", "properties": {"old": {"type": "string"}}}}
    schema = {"type": "object", "properties": properties, "required": ["argument_0"], "additionalProperties": False}
    description = _prose(TOOL_BYTES - len(json.dumps(schema)) - 60, seed=100 + number)
    return {"name": f"Tool{number}", "description": description, "input_schema": schema}


@cache
def _prose(length: int, *, seed: int) -> str:
    """Text of this many characters."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    words: list[str] = []
    while sum(map(len, words)) + len(words) <= length:
        words.append(chance.choice(chance.choice(_KINDS)))
    return " ".join(words)[:length]
