"""What stands between this machine and a good answer: every part of the workbench, looked at one by one.

For notebooks: ``findings = await diagnose()``. Nothing is changed, and no Thinker is asked for an answer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from workbench.backend.backend import Backend
from workbench.backend.embedded import EmbeddedBackend, find_gguf
from workbench.cache import redis_doctor, sqlite_doctor
from workbench.cache.findings import Finding, fail, ok, warn
from workbench.cache.model_folder import EmbedderCard, read_card
from workbench.cache.policy import Policy, load_policy
from workbench.cache.verifier import Verifier
from workbench.cache.verifier_folder import verifier_folder
from workbench.commands.claude import INSTALL
from workbench.errors import BackendError, ConfigurationError
from workbench.proxy.app import backends_for, embedder_folder
from workbench.proxy.auth import is_loopback
from workbench.proxy.server import address
from workbench.settings import Settings, data_folder, load, misspelt

THINKER_TIMEOUT_S = 10.0
PROXY_TIMEOUT_S = 3.0


async def diagnose(*, config: Path | None = None, **flags: Any) -> list[Finding]:
    """All findings, in the order in which a request meets what they are about; flags go before the settings."""
    try:
        settings = load(config=config, **flags)
        settings.all_keys()
    except ConfigurationError as error:
        return [fail("settings", str(error), "correct it there: nothing starts before")]
    found = [*_settings(settings), *await asyncio.to_thread(lambda: list(_deciding(settings)))]
    for part in await asyncio.gather(_store(settings), _thinkers(settings), _proxy(settings)):
        found += part
    return [*found, _claude()]


# ── what it was told ────────────────────────────────────────────────────────────────────────────────────────


def _settings(settings: Settings) -> Iterator[Finding]:
    complaints = misspelt()
    for complaint in complaints:
        yield warn("settings", complaint, "correct or remove it: it has no effect")
    if not complaints:
        yield ok("settings", "understood")
    yield _keys(settings)
    yield _data()


def _keys(settings: Settings) -> Finding:
    count = len(settings.all_keys())
    if not count and not is_loopback(settings.host):
        remedy = "set WORKBENCH_KEYS=tenant:admin:secret, or WORKBENCH_HOST=127.0.0.1: it will not start so"
        return fail("keys", f"none, and {settings.host} is reachable from other machines", remedy)
    if settings.keys_file and settings.keys_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warn("keys", f"others may read {settings.keys_file}", f"chmod 600 {settings.keys_file}")
    return ok("keys", f"{count} keys" if count else "none: everybody on this machine, and nobody else")


def _data() -> Finding:
    folder = data_folder()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        return fail("data", f"{nearest} cannot be written", "set XDG_DATA_HOME to a folder of yours")
    return ok("data", str(folder))


# ── what decides on semantic hits ───────────────────────────────────────────────────────────────────────────


def _deciding(settings: Settings) -> Iterator[Finding]:
    """Embedder, policy and verifier: they go together or not at all."""
    if not settings.is_semantic:
        yield ok("semantic", "off: only identical requests are answered from memory")
        return
    try:
        card = read_card(embedder_folder(settings))
    except ConfigurationError as error:
        yield fail("embedder", str(error), "or start with WORKBENCH_SEMANTIC=off")
        return
    yield ok("embedder", f"{card.name}, {card.dimension} dimensions, {card.precision}, fingerprint {card.fingerprint}")
    try:
        policy = load_policy(settings.policy)
        policy.check(card.fingerprint)
    except ConfigurationError as error:
        yield fail(
            "policy", str(error), "tune one with this embedder (notebooks/01_tune_threshold), or WORKBENCH_SEMANTIC=off"
        )
        return
    yield ok("policy", f"{settings.policy or 'the one that ships'}, fits the embedder")
    yield _verifier(settings, policy)


def _verifier(settings: Settings, policy: Policy) -> Finding:
    if policy.second is None:
        return ok("verifier", "the policy decides without one")
    try:
        verifier = Verifier(verifier_folder(data_folder() / "embedders", layers=settings.verifier))
        why_not = policy.second.why_not(verifier)
    except ConfigurationError as error:
        why_not = str(error)
    if why_not:
        return warn("verifier", why_not, "served without it, and so less often; tune a policy on this machine")
    return ok("verifier", "says here what it said where the policy was measured")


# ── where answers come from ─────────────────────────────────────────────────────────────────────────────────


async def _store(settings: Settings) -> list[Finding]:
    scheme, _, rest = settings.store.partition(":")
    if scheme == "memory":
        return [
            warn("store", "memory: all is forgotten when the proxy ends", "WORKBENCH_STORE=sqlite:///path keeps it")
        ]
    if scheme in ("redis", "rediss"):
        return await redis_doctor.examine(settings.store, ca=settings.store_ca)
    if scheme != "sqlite" or not rest.startswith("///") or rest == "///":
        return [
            fail("store", f"{settings.store!r} makes no sense", "write sqlite:///path, redis://host:port or memory:")
        ]
    return await asyncio.to_thread(lambda: _sqlite(settings, Path(rest.removeprefix("///"))))


def _sqlite(settings: Settings, path: Path) -> list[Finding]:
    return sqlite_doctor.examine(
        path.expanduser(), fingerprint=_fingerprint(settings), max_bytes=settings.store_max_bytes, now_s=time.time()
    )


def _fingerprint(settings: Settings) -> str:
    try:
        card: EmbedderCard = read_card(embedder_folder(settings))
    except ConfigurationError:
        return ""  # told where it is looked at
    return card.fingerprint


async def _thinkers(settings: Settings) -> list[Finding]:
    """A Thinker that fails is a warning while another one answers."""
    try:
        backends = await backends_for(settings)
    except ConfigurationError as error:
        return [fail("thinker", str(error), "correct WORKBENCH_THINKERS")]
    found = await asyncio.gather(*(_thinker(backend) for backend in backends))
    if any(finding.status == "ok" for finding in found):
        return [
            finding if finding.status == "ok" else warn("thinker", finding.seen, finding.remedy) for finding in found
        ]
    return list(found)


async def _thinker(backend: Backend) -> Finding:
    url = backend.url
    if isinstance(backend, EmbeddedBackend):
        return _embedded(url)
    try:
        async with asyncio.timeout(THINKER_TIMEOUT_S):
            try:
                await backend.open()
                models = await backend.models()
            finally:
                await backend.close()
    except (BackendError, ConfigurationError, TimeoutError) as error:
        return fail(
            "thinker", f"{url}: {error or 'no answer'}", "start it, or correct its address in WORKBENCH_THINKERS"
        )
    if not models:
        return fail("thinker", f"{url} has no model", "give it one: ollama pull qwen3-coder:30b")
    return ok("thinker", f"{url}: {', '.join(model.name for model in models[:6])}{' …' if len(models) > 6 else ''}")


def _embedded(url: str) -> Finding:
    """Without starting it: whether all that it needs is there."""
    try:
        file = find_gguf()
    except ConfigurationError as error:
        return fail("thinker", str(error), "or name a Thinker in WORKBENCH_THINKERS")
    return ok("thinker", f"{url} {file.name}, a toy: good to see everything work")


async def _proxy(settings: Settings) -> list[Finding]:
    there = address(settings.host, settings.port)
    try:
        async with httpx2.AsyncClient(timeout=PROXY_TIMEOUT_S, trust_env=False) as client:
            told = (await client.get(f"{there}/readyz")).json()
        up, status = int(told["thinkers_up"]), str(told["status"])
    except httpx2.ConnectError:
        return [warn("proxy", f"none runs on {there}", "make serve")]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return [warn("proxy", f"something else answers on {there}", "choose another port with WORKBENCH_PORT")]
    if not up:
        return [fail("proxy", f"{there}: {status}", "see the lines about Thinkers")]
    return [ok("proxy", f"{there} is {status}")]


def _claude() -> Finding:
    found = shutil.which("claude")
    return ok("claude", found) if found else warn("claude", INSTALL.partition(":")[0], INSTALL.partition(": ")[2])
