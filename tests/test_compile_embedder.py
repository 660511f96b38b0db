"""Compiling another embedder: refused plainly without the study extra, exact with it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.compile_embedder import LEAST_COSINE, compile_embedder, main
from tests.tiny_bert import tiny_source
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import minilm_source
from workbench.errors import ConfigurationError


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="the study extra is installed")
def test_compiling_without_the_study_extra_says_what_to_install(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(tiny_source(tmp_path / "source")), str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "study" in result.output
    assert not (tmp_path / "out").exists()


def test_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists already"):
        compile_embedder("any", out=tmp_path)


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs the study extra")
@pytest.mark.filterwarnings("default")  # torch and its exporter warn about themselves
def test_compiled_folder_agrees_with_sentence_transformers(tmp_path: Path) -> None:
    assert compile_embedder(str(minilm_source()), out=tmp_path / "out") >= LEAST_COSINE
    assert Embedder(tmp_path / "out").fits("a list")
