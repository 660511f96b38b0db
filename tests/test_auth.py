"""Who may do what: keys, tenants, scopes, host names."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx2
import pytest

from benchmarks.stand_ins.ollama import StandInOllama
from tests.proxying import assert_refused, body, get, outcome, post, proxied
from workbench.errors import ConfigurationError
from workbench.proxy.app import create_app
from workbench.settings import Settings

KEYS = "ann:use:ann-secret,bob:admin:bob-secret"


def test_key_is_accepted_in_either_header_and_in_both(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), keys=KEYS) as address:
        assert post(address, body(), x_api_key="ann-secret").status_code == 200
        assert post(address, body(), authorization="Bearer ann-secret").status_code == 200
        assert post(address, body(), authorization="Bearer other", x_api_key="ann-secret").status_code == 200


def test_bad_or_missing_key_is_403_everywhere_but_for_health(tmp_path: Path) -> None:
    thinker = StandInOllama()
    with proxied(tmp_path, thinker, keys=KEYS) as address:
        for headers in ({}, {"x_api_key": "ann-secre"}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}):
            assert_refused(post(address, body(), **headers), 403, "permission_error", naming="API key")
            assert_refused(post(address, body(), path="/v1/messages/count_tokens", **headers), 403, "permission_error")
            for path in ("/v1/models", "/v1/models/x", "/metrics", "/api/stats", "/api/entries", "/api/thinkers"):
                assert_refused(get(address, path, **headers), 403, "permission_error")
        assert get(address, "/healthz").status_code == 200
    assert thinker.chats == []


def test_tenant_sees_only_its_own_entries(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), keys=KEYS + ",cat:admin:cat-secret") as address:
        assert outcome(post(address, body(), x_api_key="ann-secret"))[0] == "miss"
        assert outcome(post(address, body(), x_api_key="bob-secret"))[0] == "miss"
        assert outcome(post(address, body(), x_api_key="ann-secret"))[0] == "exact"
        assert len(get(address, "/api/entries", x_api_key="bob-secret").json()["data"]) == 1
        assert get(address, "/api/entries", x_api_key="cat-secret").json()["data"] == []
        assert get(address, "/api/exchanges", x_api_key="cat-secret").json()["data"] == []


def test_admin_routes_need_the_admin_scope(tmp_path: Path) -> None:
    with proxied(tmp_path, StandInOllama(), keys=KEYS) as address:
        for path in ("/metrics", "/api/stats", "/api/exchanges", "/api/entries", "/api/thinkers"):
            assert_refused(get(address, path, x_api_key="ann-secret"), 403, "permission_error", naming="admin")
            assert get(address, path, x_api_key="bob-secret").status_code == 200
        for path in ("/api/entries/x/wrong", "/api/explain"):
            assert_refused(
                post(address, {}, path=path, x_api_key="ann-secret"), 403, "permission_error", naming="admin"
            )


def test_keys_are_never_logged_or_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with proxied(tmp_path, StandInOllama(), keys=KEYS) as address:
        shown = post(address, body(), x_api_key="ann-secret").text
        shown += post(address, body(), x_api_key="wrong-secret").text
        shown += get(address, "/api/exchanges", x_api_key="bob-secret").text
        shown += str(post(address, body(), x_api_key="ann-secret").headers)
    shown += caplog.text + repr(Settings(keys=KEYS))
    assert "ann-secret" not in shown
    assert "wrong-secret" not in shown


def test_bind_beyond_loopback_without_keys_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match="WORKBENCH_KEYS"):
        create_app(Settings(host="0.0.0.0"))  # noqa: S104  # that it is refused is the point
    create_app(Settings(host="0.0.0.0", keys=KEYS))  # noqa: S104  # nothing is bound


@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80", "[::1].evil.example"]
)
def test_foreign_host_name_is_refused(tmp_path: Path, name: str) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        refused = httpx2.get(f"{address}/healthz", headers={"host": name}, trust_env=False)
        assert_refused(refused, 403, "permission_error", naming="WORKBENCH_ALLOWED_HOSTS")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "http://[::1].evil.example"])
def test_foreign_web_page_is_refused(tmp_path: Path, origin: str) -> None:
    with proxied(tmp_path, StandInOllama()) as address:
        assert_refused(post(address, body(), origin=origin), 403, "permission_error")
        assert post(address, body(), origin=address).status_code == 200


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8000", "proxy.lan"])
def test_own_and_allowed_host_names_are_served(tmp_path: Path, name: str) -> None:
    with proxied(tmp_path, StandInOllama(), allowed_hosts="proxy.lan") as address:
        assert httpx2.get(f"{address}/healthz", headers={"host": name}, trust_env=False).status_code == 200
