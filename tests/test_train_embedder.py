"""What the fine-tuning draws, and with the study extra: that it learns, and what the average is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typer
from safetensors.numpy import load_file
from typer.testing import CliRunner

from benchmarks.embedder_folders import model_folder
from benchmarks.families import Family, Trap, own_families
from benchmarks.train_embedder import Settings, draw, fine_tune, main
from tests.tiny_bert import HIDDEN, tiny_source
from workbench.cache.embedder import Embedder, without_closing
from workbench.errors import ConfigurationError


def test_a_step_draws_each_family_once_with_its_traps_and_the_same_again() -> None:
    families = own_families("train")[:40]
    settings = Settings(seed=1, families=12, rewritten=0.0)
    owner = {without_closing(text): family.family for family in families for text in family.same}

    drawn = draw(families, settings, step=3)

    assert len({owner[each.text] for each in drawn}) == 12
    for each in drawn:
        assert owner[each.text] == owner[each.same]
        assert each.text != each.same
        assert not set(each.traps) & {each.text, each.same}
    assert drawn == draw(families, settings, step=3)
    assert drawn != draw(families, settings, step=4)


def test_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists already"):
        fine_tune([], Settings(), source=tmp_path, out=tmp_path, share=0.5)


@pytest.mark.skipif(find_spec("torch") is not None, reason="the study extra is installed")
def test_without_the_study_extra_it_says_what_to_install(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "study" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("torch") is None, reason="needs the study extra")
@pytest.mark.filterwarnings("default")  # torch warns about itself
def test_it_learns_and_the_average_lies_halfway(tmp_path: Path) -> None:
    def family(verb: str, other: str) -> Family:
        traps = (Trap(text=f"do i {other} a list", slot="object", why="another verb"),)
        return Family(
            family=verb,
            domain="d",
            text=f"how do i {verb} a list",
            near=(f"{verb} a list",),
            paraphrases=(),
            traps=traps,
        )

    families = [family("sort", "reverse"), family("reverse", "sort")]
    source, settings = tiny_source(tmp_path / "source"), Settings(steps=60, learning_rate=1e-3, rewritten=0.0)

    losses = fine_tune(families, settings, source=source, out=tmp_path / "out", share=0.5)

    assert np.mean(losses[-20:]) < np.mean(losses[:20])
    start, tuned, averaged = (
        load_file(folder / "model.safetensors")
        for folder in (source, tmp_path / "out" / "tuned", tmp_path / "out" / "averaged")
    )
    assert start.keys() == tuned.keys() == averaged.keys()
    moved = "encoder.layer.0.attention.self.query.weight"
    assert not np.allclose(start[moved], tuned[moved], atol=1e-4)
    for name, weights in averaged.items():
        assert np.allclose(weights, (start[name] + tuned[name]) / 2, atol=1e-6)
    folder = model_folder(str(tmp_path / "out" / "averaged"), name="averaged", cache=tmp_path / "cache")
    assert Embedder(folder).encode(["sort a list"]).shape == (1, HIDDEN)
