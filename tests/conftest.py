"""What holds for every test: a data folder of its own, none of the user's settings, steady property tests, one CLI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.claude_cli import NotInstallable, install
from workbench.settings import PREFIX

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes they start, neither read the user's settings nor write to the user's folders."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(PREFIX) or name in ("REDIS_URL", "OLLAMA_HOST", "ANTHROPIC_API_KEY"):
                environment.delenv(name)
        environment.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def claude_bin(request: pytest.FixtureRequest) -> Path:
    """The folder of the CLI. Where there is none the tests are skipped, and the last line of the run says so."""
    try:
        return install()
    except NotInstallable as error:
        reason = f"NOT TESTED with the real Claude Code CLI: {error}"
        reporter = request.config.pluginmanager.get_plugin("terminalreporter")
        if reporter:
            request.config.add_cleanup(lambda: reporter.write_line(f"WARNING: {reason}", yellow=True, bold=True))
        pytest.skip(reason)
