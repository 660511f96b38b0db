"""A real proxy on loopback in front of a scripted Thinker, and the official SDK to talk to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from anthropic import Anthropic

from benchmarks.stand_ins.ollama import StandInOllama
from benchmarks.stand_ins.ollama import running as ollama_running
from workbench.proxy.app import create_app
from workbench.proxy.server import address_of, listen, running
from workbench.settings import Settings

PLAIN: dict[str, Any] = {"timeout": 30, "trust_env": False, "verify": False}
"""How to talk over loopback: without loading certificates, and without a proxy of the environment."""

QUESTION = "How do I reverse a list in Python?"


@contextlib.contextmanager
def proxy(folder: Path, *, thinkers: list[str], **settings: Any) -> Iterator[str]:
    """Serve with a store in `folder`; yields the address."""
    given = {"store": f"sqlite:///{folder / 'cache.sqlite'}", "thinkers": thinkers, "host": "127.0.0.1"} | settings
    bound = listen("127.0.0.1", 0)
    with running(create_app(Settings(**given)), bound):
        yield address_of(bound)


@contextlib.contextmanager
def proxied(folder: Path, thinker: StandInOllama, **settings: Any) -> Iterator[str]:
    """Serve in front of this scripted Ollama; yields the address."""
    with ollama_running(thinker) as url, proxy(folder, thinkers=[f"ollama+{url}"], **settings) as address:
        yield address


@contextlib.contextmanager
def sdk(address: str) -> Iterator[Anthropic]:
    """The official SDK, which closes its connections in the end."""
    with Anthropic(base_url=address, auth_token="any", max_retries=0) as client:  # noqa: S106  # any text will do
        yield client


def body(text: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """A request for one question."""
    return {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": text}]} | fields


def post(address: str, request: Any, *, path: str = "/v1/messages", **headers: str) -> httpx2.Response:
    """One request, as JSON or as raw bytes; underscores in header names stand for dashes."""
    content = {"content": request} if isinstance(request, bytes) else {"json": request}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{address}{path}", headers=named, **PLAIN, **content)


def get(address: str, path: str, **headers: str) -> httpx2.Response:
    """One GET."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.get(f"{address}{path}", headers=named, **PLAIN)


def outcome(response: httpx2.Response) -> tuple[str, str]:
    """What the response says of the cache."""
    return response.headers["x-cache"], response.headers["x-cache-reason"]


def assert_refused(response: httpx2.Response, status: int, kind: str, *, naming: str = "") -> None:
    """The API's own error envelope with this status and type, whose message names the culprit."""
    told = response.json()
    assert (response.status_code, told["type"], told["error"]["type"]) == (status, "error", kind), told
    assert naming in told["error"]["message"]
    assert response.headers["request-id"] == told["request_id"]
    assert "Traceback" not in response.text
