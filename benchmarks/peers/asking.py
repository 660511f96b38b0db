"""One question in each API that is spoken, and where it goes."""

from __future__ import annotations

import json

from benchmarks.load import Target
from benchmarks.peers.peer import Dialect
from benchmarks.stock import small_body

PATHS: dict[Dialect, str] = {"messages": "/v1/messages", "openai": "/v1/chat/completions", "ollama": "/api/chat"}
ENDS: dict[Dialect, str] = {"messages": '"message_stop"', "openai": "[DONE]", "ollama": '"done":true'}
"""What the end of every whole answer holds."""


def target(name: str, url: str, dialect: Dialect) -> Target:
    """Where a question in this API is sent."""
    return Target(name, f"{url}{PATHS[dialect]}", contains=ENDS[dialect], headers={"authorization": "Bearer sk-unused"})


def body(text: str, dialect: Dialect, *, model: str, session: int) -> str:
    """A streamed question behind the same system prompt of 2 KB; another session is another context."""
    messages = json.loads(small_body(text, system=f" Session {session}."))
    system = {"role": "system", "content": messages["system"]}
    match dialect:
        case "messages":
            return json.dumps(messages | {"model": model})
        case "openai":
            told = {"model": model, "stream": True, "temperature": 0, "max_tokens": 1024}
            return json.dumps(told | {"messages": [system, *messages["messages"]]})
        case "ollama":
            return json.dumps({"model": model, "stream": True, "messages": [system, *messages["messages"]]})
