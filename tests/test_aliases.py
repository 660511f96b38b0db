"""Names that clients ask for, and the models that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from tests.proxying import assert_refused, body, get, post, proxied
from workbench.auxiliary import is_auxiliary
from workbench.backend.aliases import Aliases
from workbench.errors import ConfigurationError
from workbench.messages import parse_request
from workbench.settings import load

RULES = "claude-*haiku*=small,claude-local-coder=coder:30b,claude-broken=gone,auxiliary=small"
TITLE = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}}
COMPACT = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."


def test_first_rule_that_fits_decides_and_other_names_stay() -> None:
    aliases = Aliases({"claude-*haiku*": "small", "claude-*": "large", "auxiliary": "tiny"})
    assert [aliases.meant(name) for name in ("claude-haiku-4-5", "claude-x", "qwen", "Claude-x")] == [
        "small",
        "large",
        "qwen",
        "Claude-x",
    ]
    assert (aliases.auxiliary_model, aliases.meant("auxiliary"), aliases.names) == ("tiny", "auxiliary", {})


def test_rules_are_read_from_the_variable_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "workbench.toml"
    file.write_text('[aliases]\n"claude-*" = "a"\n')
    assert load(config=file).aliases == {"claude-*": "a"}
    monkeypatch.setenv("WORKBENCH_ALIASES", "claude-*haiku*=qwen3:4b, x=y=z")
    assert load().aliases == {"claude-*haiku*": "qwen3:4b", "x": "y=z"}
    for wrong in ("claude-x", "=a", "a="):
        with pytest.raises(ConfigurationError, match="aliases"):
            load(aliases=wrong)


def served(path: Path, *requests: dict[str, Any], **settings: Any) -> list[str]:
    """The models that an Ollama with three of them is asked for."""
    thinker = StandInOllama(models=["large", "coder:30b", "small:latest"])
    with proxied(path, thinker, **({"aliases": RULES} | settings)) as address:
        for request in requests:
            assert post(address, request).status_code == 200
    return [chat["model"] for chat in thinker.chats]


def test_requests_go_to_what_their_alias_means(tmp_path: Path) -> None:
    names = ["claude-haiku-4-5", "claude-3-haiku", "claude-local-coder", "claude-sonnet-4-5", "small", "coder:30b"]
    asked = [body(name, model=name) for name in names]
    assert served(tmp_path, *asked) == [
        "small:latest",
        "small:latest",
        "coder:30b",
        "large",
        "small:latest",
        "coder:30b",
    ]


def test_auxiliary_requests_go_to_their_model_when_there_is_a_rule(tmp_path: Path) -> None:
    title = body("Name it", output_config=TITLE)
    compact = body(COMPACT)
    assert served(tmp_path / "a", title, compact, body("Hi")) == ["small:latest", "small:latest", "large"]
    assert served(tmp_path / "b", title, compact, aliases="") == ["large", "large"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"output_config": TITLE}, True),
        ({"system": "You are naming a coding session. Be brief."}, True),
        ({"output_config": TITLE, "tools": [{"name": "t", "input_schema": {}}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": COMPACT}]}]}, True),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": COMPACT}]}, False),
        (
            {
                "messages": [
                    {"role": "user", "content": COMPACT},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": "c"},
                ]
            },
            False,
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"properties": {"title": {}, "b": {}}}}}},
            False,
        ),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"properties": 7}}}}, False),
        ({}, False),
    ],
)
def test_auxiliary_requests_are_known_by_what_they_say(fields: dict[str, Any], expected: bool) -> None:
    assert is_auxiliary(parse_request(orjson.dumps(body() | fields))) is expected


def test_models_are_listed_with_their_aliases_and_unknown_names_are_told_them(tmp_path: Path) -> None:
    thinker = StandInOllama(models=["large", "coder:30b", "small:latest"])
    with proxied(tmp_path, thinker, aliases=RULES) as address:
        listed = get(address, "/v1/models").json()["data"]
        assert {model["id"]: model["display_name"] for model in listed} == {
            "large": "large",
            "coder:30b": "coder:30b",
            "small:latest": "small:latest",
            "claude-local-coder": "coder:30b",
        }
        for name, shown in (("claude-local-coder", "coder:30b"), ("claude-haiku-4-5", "small:latest")):
            found = get(address, f"/v1/models/{name}").json()
            assert (found["id"], found["display_name"]) == (name, shown)
        refused = post(address, body(model="gpt-4"))
        assert_refused(refused, 404, "not_found_error", naming="coder:30b, small:latest, claude-local-coder")
        refused = post(address, body(model="claude-broken"))
        assert_refused(refused, 404, "not_found_error", naming="its alias means gone")


def test_alias_and_model_share_what_is_stored(tmp_path: Path) -> None:
    thinker = StandInOllama(models=["large", "small"])
    with proxied(tmp_path, thinker, aliases=RULES) as address:
        post(address, body(model="small"))
        assert post(address, body(model="claude-haiku-9")).headers["x-cache"] == "exact"
