"""A Thinker's URL → its backend.

ollama+http://host:11434?model=qwen3-coder:30b&num_ctx=65536
openai+http://host:8000/v1?model=…
anthropic+http://host:8000?model=…
embedded:
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from workbench.backend.anthropic import AnthropicBackend
from workbench.backend.backend import Backend
from workbench.backend.embedded import EmbeddedBackend
from workbench.backend.ollama import OllamaBackend
from workbench.backend.openai import OpenAIBackend
from workbench.backend.options import OPTIONS, options_of
from workbench.backend.sse_server import Patience
from workbench.errors import ConfigurationError

ACCEPTED = (
    "ollama+http://host:11434, openai+http://host:8000/v1, anthropic+http://host:8000 (or +https) "
    "with ?model=… (and ollama with ?num_ctx=…), or embedded:"
)

NO_KEYS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a connection, for the first event, and between two events, in seconds."""

    connect_s: float
    first_event_s: float
    idle_s: float


def backend_for(
    url: str, *, timeouts: Timeouts, num_ctx: int, keep_alive: str, keys: Mapping[str, str] = NO_KEYS
) -> Backend:
    """The backend behind this URL; raises `ConfigurationError` that names what is accepted.

    `keys` has the servers' keys, by ``host:port`` or by ``host`` for all of its ports.
    """
    if url.rstrip(":/") == "embedded":
        return EmbeddedBackend()
    scheme, address, options = _split(url)
    options_of(url)
    model = options.get("model")
    api_key = key_for(address, keys)
    match scheme:
        case "ollama":
            return OllamaBackend(
                url,
                host=address,
                model=model,
                num_ctx=_num_ctx(options, url) or num_ctx,
                keep_alive=keep_alive,
                api_key=api_key,
                connect_timeout_s=timeouts.connect_s,
                first_event_timeout_s=timeouts.first_event_s,
                idle_timeout_s=timeouts.idle_s,
            )
        case "openai" if "num_ctx" not in options:
            patience = Patience(timeouts.connect_s, timeouts.first_event_s, timeouts.idle_s)
            base_url = address if urlsplit(address).path else f"{address}/v1"
            return OpenAIBackend(url, base_url=base_url, model=model, api_key=api_key, patience=patience)
        case "anthropic" if "num_ctx" not in options:
            return AnthropicBackend(
                url,
                base_url=address,
                model=model,
                api_key=api_key,
                connect_timeout_s=timeouts.connect_s,
                first_event_timeout_s=timeouts.first_event_s,
                idle_timeout_s=timeouts.idle_s,
            )
        case _:
            raise _not_understood(url)


def _split(url: str) -> tuple[str, str, dict[str, str]]:
    """Protocol, ``http(s)://host:port`` and the options of a Thinker's URL."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        has_host = url.isascii() and bool(parts.hostname) and parts.port != 0
        has_more = parts.username is not None or parts.fragment or options.keys() - {"model", "num_ctx"} - OPTIONS
    except ValueError:
        raise _not_understood(url) from None
    scheme, plus, transport = parts.scheme.partition("+")
    if not (has_host and plus and transport in ("http", "https")) or has_more:
        raise _not_understood(url)
    return scheme, f"{transport}://{parts.netloc}{parts.path.rstrip('/')}", options


def key_for(address: str, keys: Mapping[str, str]) -> str | None:
    """The key of the server at this address; one for its port before one for all of them."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return keys.get(f"{host}:{port}", keys.get(host))


def _num_ctx(options: dict[str, str], url: str) -> int | None:
    given = options.get("num_ctx")
    if given is not None and not (given.isdecimal() and int(given) >= 512):
        raise ConfigurationError(f"Thinker URL {url!r}: num_ctx is {given!r}, expected a whole number of at least 512")
    return int(given) if given else None


def _not_understood(url: str) -> ConfigurationError:
    return ConfigurationError(f"Thinker URL {url!r} makes no sense; accepted is {ACCEPTED}")
