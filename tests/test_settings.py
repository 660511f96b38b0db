"""Flags, variables and the file, and what is told when they make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.errors import ConfigurationError
from workbench.settings import load


def test_flag_wins_over_variable_and_variable_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "workbench.toml"
    file.write_text('port = 1\nhost = "::1"\nsemantic = "off"\nthinkers = ["embedded:"]\n')
    monkeypatch.setenv("WORKBENCH_PORT", "2")
    monkeypatch.setenv("WORKBENCH_HOST", "127.0.0.2")
    settings = load(config=file, port=3)
    assert (settings.port, settings.host) == (3, "127.0.0.2")
    assert (settings.semantic, settings.thinkers) == ("off", ["embedded:"])


def test_file_is_found_by_its_variable_and_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load().port == 8000
    (tmp_path / "workbench.toml").write_text("port = 1")
    assert load().port == 1
    (tmp_path / "other.toml").write_text("port = 2")
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "other.toml"))
    assert load().port == 2


def test_lists_are_comma_separated_in_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_THINKERS", "embedded:, ollama+http://gpu:11434")
    monkeypatch.setenv("WORKBENCH_KEYS", "ann:use:secret-of-ann,bob:admin:with:colons")
    settings = load()
    assert settings.thinkers == ["embedded:", "ollama+http://gpu:11434"]
    assert [(key.tenant, key.scope, key.secret.get_secret_value()) for key in settings.all_keys()] == [
        ("ann", "use", "secret-of-ann"),
        ("bob", "admin", "with:colons"),
    ]


def test_keys_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\n\nann:use:secret-of-ann\n")
    assert [key.tenant for key in load(keys_file=file).all_keys()] == ["ann"]
    file.write_text("ann:owner:secret")
    with pytest.raises(ConfigurationError, match="tenant:use:secret") as told:
        load(keys_file=file).all_keys()
    assert "owner" not in str(told.value)
    with pytest.raises(ConfigurationError, match="missing"):
        load(keys_file=tmp_path / "missing").all_keys()


@pytest.mark.parametrize(
    ("flags", "naming"),
    [
        ({"port": 70000}, "port"),
        ({"semantic": "maybe"}, "semantic"),
        ({"ttl_s": 0}, "ttl_s"),
        ({"ping_every_s": 16}, "ping_every_s"),
        ({"keys": "just-a-secret"}, "keys"),
        ({"keys": "t:use:short"}, "keys"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_setting_that_makes_no_sense_is_named(flags: dict[str, Any], naming: str) -> None:
    with pytest.raises(ConfigurationError, match=naming) as told:
        load(**flags)
    assert "short" not in str(told.value)


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = 'x'", b"nonsense = 1"])
def test_file_that_makes_no_sense_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "workbench.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError):
        load(config=file)
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        load(config=tmp_path / "missing.toml")


def test_familiar_variables_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://cloud:6379")
    monkeypatch.setenv("OLLAMA_HOST", "gpu:11434")
    settings = load()
    assert (settings.store, settings.ollama_host) == ("rediss://cloud:6379", "gpu:11434")


def test_thinkers_keys_are_pairs_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_THINKER_KEYS", "gpu-1=sk-1=, gpu-2:8000=sk-2")
    settings = load()
    assert settings.secret_of_thinker == {"gpu-1": "sk-1=", "gpu-2:8000": "sk-2"}
    assert "sk-" not in repr(settings)
    monkeypatch.setenv("WORKBENCH_THINKER_KEYS", "sk-alone")
    with pytest.raises(ConfigurationError, match="thinker_keys") as told:
        load()
    assert "sk-alone" not in str(told.value)
