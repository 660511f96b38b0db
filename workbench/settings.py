"""The only reader of the environment, of workbench.toml and of flags.

Each setting has a variable, ``WORKBENCH_`` and its name in capitals, and a key of its name in the TOML file. A
flag wins over the variable, the variable over the file. ``REDIS_URL``, ``OLLAMA_HOST`` and ``VAST_API_KEY`` are
honoured as their own programs do.
"""

from __future__ import annotations

import difflib
import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workbench.errors import ConfigurationError

log = logging.getLogger(__name__)

MIB = 1024 * 1024
Rule = Literal["secrets", "personal", "moment", "variety"]
"""What keeps a question from being matched by meaning, as `workbench.cache.admission` names it."""
Semantic = Literal["on", "shadow", "off"]
Conversations = Literal["strict", "aligned"]
"""Whether earlier turns must be identical, as `workbench.cache.cache` names it."""
Prompts = Literal["keep", "redact", "hash"]
"""What a recording holds of words, as `workbench.proxy.recording_file` names it."""
PREFIX = "WORKBENCH_"
CONFIG_FILE = "workbench.toml"


class Key(BaseModel):
    """An API key: whose it is, and what it may do. Written ``tenant:use:secret`` or ``tenant:admin:secret``."""

    model_config = ConfigDict(frozen=True)

    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    scope: Literal["use", "admin"]
    secret: Annotated[SecretStr, Field(min_length=8)]


def data_folder() -> Path:
    """Where the user's data live: ``$XDG_DATA_HOME/workbench``."""
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "workbench"


def _default_store() -> str:
    return os.environ.get("REDIS_URL") or f"sqlite:///{data_folder() / 'cache.sqlite'}"


def _vast_key() -> str:
    """The key of vast.ai's own programs: their variable, else their files; empty when there is none."""
    if given := os.environ.get("VAST_API_KEY"):
        return given
    folder = os.environ.get("XDG_CONFIG_HOME")
    config = Path(folder) if folder else Path.home() / ".config"
    for path in (config / "vastai" / "vast_api_key", Path.home() / ".vast_api_key"):
        try:
            return path.read_text().strip()
        except OSError:
            continue
    return ""


class Settings(BaseSettings):
    """Everything that can be set. Times in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    store: str = Field(default_factory=_default_store)
    thinkers: Annotated[list[str], NoDecode] = []
    thinker_keys: Annotated[dict[str, SecretStr], NoDecode] = {}
    aliases: Annotated[dict[str, str], NoDecode] = {}
    policy: Path | None = None
    semantic: Semantic = "on"
    conversations: Conversations = "strict"

    keys: Annotated[list[Key], NoDecode] = []
    keys_file: Path | None = None
    allowed_hosts: Annotated[list[str], NoDecode] = []

    admission: Annotated[list[Rule], NoDecode] = ["secrets", "personal", "moment", "variety"]

    embedder: Path | None = None
    verifier: Path | None = None

    tenant_semantic: Annotated[dict[str, Semantic], NoDecode] = {}
    audit: bool = True
    audit_judge: Literal["llm", "embedding", "none"] = "llm"
    audit_judge_model: Annotated[str, Field(min_length=1)] = "claude"
    gray_verifier: Literal["none", "thinker"] = "none"
    gray_verifier_model: str = ""
    gray_verifier_timeout_s: Annotated[float, Field(gt=0, le=1)] = 0.5  # a deletion elsewhere must count within 1 s
    audit_idle_s: Annotated[float, Field(ge=0)] = 300.0
    audit_patience_s: Annotated[float, Field(ge=0)] = 1800.0

    record: bool = False
    record_dir: Path = Field(default_factory=lambda: data_folder() / "recordings")
    record_max_bytes: Annotated[int, Field(ge=MIB)] = 1024 * MIB
    record_prompts: Prompts = "keep"

    ttl_s: Annotated[float, Field(gt=0)] = 7 * 24 * 3600
    store_max_bytes: Annotated[int, Field(ge=MIB)] = 2048 * MIB
    memory_max_bytes: Annotated[int, Field(ge=0)] = 64 * MIB
    store_secret: SecretStr = SecretStr("")
    store_ca: Path | None = None
    store_lost_s: Annotated[float, Field(gt=0)] = 0.05
    store_connections: Annotated[int, Field(ge=1)] = 8
    store_vectors: Literal["float16", "float32"] = "float16"
    entry_max_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    hnsw_m: Annotated[int, Field(ge=2, le=512)] = 16
    hnsw_ef_construction: Annotated[int, Field(ge=8, le=4096)] = 200
    hnsw_ef: Annotated[int, Field(ge=64, le=4096)] = 64
    cache_timeout_s: Annotated[float, Field(gt=0)] = 2.0
    body_max_bytes: Annotated[int, Field(ge=1024)] = 32 * MIB

    headers_after_s: Annotated[float, Field(gt=0)] = 10.0
    ping_every_s: Annotated[float, Field(gt=0, le=15)] = 10.0
    write_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    connect_timeout_s: Annotated[float, Field(gt=0)] = 5.0
    first_event_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    queue_max: Annotated[int, Field(ge=1)] = 64
    queue_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    hedge_after_s: Annotated[float, Field(ge=0)] = 0.0
    batch_tenants: Annotated[list[str], NoDecode] = []
    refresh_every_s: Annotated[float, Field(gt=0)] = 5.0
    num_ctx: Annotated[int, Field(ge=512)] = 32_768
    keep_alive: str = "30m"
    ollama_host: str = Field(default_factory=lambda: os.environ.get("OLLAMA_HOST", ""))

    fleet: Path | None = None
    vast_url: str = "https://console.vast.ai"
    vast_api_key: SecretStr = Field(default_factory=lambda: SecretStr(_vast_key()))

    recent_exchanges: Annotated[int, Field(ge=0)] = 1000
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    @field_validator("thinkers", "allowed_hosts", "admission", "batch_tenants", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("thinker_keys", "aliases", mode="before")
    @classmethod
    def _parse_pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.replace("\n", ",").split(",") if part.strip()]
        if any(not (name.strip() and meant.strip()) for name, _, meant in pairs):
            raise ValueError("expected name=value pairs, separated by commas")  # and not what was given: it is secret
        return {name.strip(): meant.strip() for name, _, meant in pairs}

    @field_validator("tenant_semantic", mode="before")
    @classmethod
    def _parse_modes(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if wrong := next((part for part in parts if not part.partition(":")[2]), None):
            raise ValueError(f"{wrong!r} is not tenant:on, tenant:shadow or tenant:off")
        return {tenant: mode for tenant, _, mode in (part.partition(":") for part in parts)}

    @field_validator("keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: Any) -> Any:
        lines = value.replace("\n", ",").split(",") if isinstance(value, str) else value
        return [_parse_key(line) for line in lines if not isinstance(line, str) or line.strip()]

    @property
    def secret_of_thinker(self) -> dict[str, str]:
        """The Thinkers' keys, by ``host`` or ``host:port``."""
        return {host: secret.get_secret_value() for host, secret in self.thinker_keys.items()}

    def semantic_of(self, tenant: str) -> Semantic:
        """Whether this tenant's questions are matched by meaning."""
        return self.tenant_semantic.get(tenant, self.semantic)

    @property
    def is_semantic(self) -> bool:
        """Whether anybody's are."""
        return {self.semantic, *self.tenant_semantic.values()} != {"off"}

    def all_keys(self) -> list[Key]:
        """The keys of the setting and of the file; raises `ConfigurationError` when the file cannot be read."""
        if self.keys_file is None:
            return self.keys
        try:
            lines = self.keys_file.read_text().splitlines()
            return self.keys + [Key(**_parse_key(line)) for line in lines if line.strip() and line[0] != "#"]
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"keys file {self.keys_file}: {_first_line(error)}") from None


def load(*, config: Path | None = None, **flags: Any) -> Settings:
    """Settings from flags (those that are not None), the environment and the TOML file, in this order.

    Raises `ConfigurationError` that names the setting. `config` is `WORKBENCH_CONFIG`, else ``workbench.toml`` in
    the working folder when there is one.
    """
    file = _read_config(config)
    beneath = {name: value for name, value in file.items() if f"{PREFIX}{name.upper()}" not in os.environ}
    given = {name: value for name, value in flags.items() if value is not None}
    for name in file.keys() - Settings.model_fields.keys():
        raise ConfigurationError(f"{config or CONFIG_FILE}: there is no setting {name!r}{_meant(name)}")
    for complaint in misspelt():
        log.warning(complaint)
    try:
        return Settings(**(beneath | given))  # what is passed in wins over the variables
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"setting {name} ({PREFIX}{name.upper()}): {what}") from None


def misspelt() -> list[str]:
    """A complaint about each variable that looks like a setting and is none."""
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, "config")}
    strange = sorted(name for name in os.environ.keys() - known if name.startswith(PREFIX))
    return [f"there is no setting {name}{_meant(name.removeprefix(PREFIX).lower(), prefix=PREFIX)}" for name in strange]


def _meant(name: str, *, prefix: str = "") -> str:
    """A guess at what a misspelt setting should be called."""
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"; did you mean {prefix}{near[0].upper() if prefix else near[0]}?" if near else ""


def config_file(config: Path | None = None) -> Path:
    """The settings file that `load` reads, whether it is there or not."""
    return config or Path(os.environ.get(f"{PREFIX}CONFIG") or CONFIG_FILE)


def _read_config(path: Path | None) -> Mapping[str, Any]:
    named = path or os.environ.get(f"{PREFIX}CONFIG")
    chosen = config_file(path)
    if not named and not chosen.is_file():
        return {}
    try:
        return tomllib.loads(chosen.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {chosen}: {_first_line(error)}") from None


def _parse_key(line: Any) -> Any:
    if not isinstance(line, str):
        return line
    tenant, _, rest = line.strip().partition(":")
    scope, _, secret = rest.partition(":")
    if scope not in ("use", "admin") or len(secret) < 8:
        raise ValueError("a key is tenant:use:secret or tenant:admin:secret, the secret at least 8 characters")
    return {"tenant": tenant, "scope": scope, "secret": secret}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else repr(error)
