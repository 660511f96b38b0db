"""The verifier as it is served answers as a plain reading of its weights would, and says when it cannot read."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from workbench.cache.model_folder import minilm_source
from workbench.cache.verifier import Verifier, VerifyingService
from workbench.cache.verifier_folder import WORDS, save_layers, verifier_folder
from workbench.errors import ConfigurationError, EmbeddingError

Weights = dict[str, npt.NDArray[np.float32]]
PAIR = ("How do I enable 2FA?", "How do I turn on two-factor authentication?")


@pytest.fixture(scope="module", params=[(0, 1, 2, 3, 4, 5), (0, 2, 3, 5)], ids=["six", "four"])
def layers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM's own layers, all or some of them, untrained as a verifier, with a head drawn at random.

    The last one is always there: before it, the first token of what was not trained for it hardly knows the texts.
    """
    with safe_open(minilm_source() / "model.safetensors", framework="numpy") as weights:
        names = [name for name in weights.keys() if "position_ids" not in name]  # noqa: SIM118  # a file, not a dict
        state = {
            name.replace(f"layer.{layer_of(name)}.", f"layer.{request.param.index(layer_of(name))}.")
            if layer_of(name) >= 0
            else name: weights.get_tensor(name)
            for name in names
            if layer_of(name) in (-1, *request.param)
        }
    rng = np.random.default_rng(0)
    head = {"weight": rng.normal(size=(1, 384)).astype(np.float32), "bias": np.array([0.25], np.float32)}
    path = tmp_path_factory.mktemp("layers") / "verifier.safetensors"
    save_layers(state, head=head, target=path)
    return path


@pytest.fixture(scope="module")
def verifier(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    return Verifier(verifier_folder(tmp_path_factory.mktemp("models"), layers=layers))


def layer_of(name: str) -> int:
    """The number of the layer that a weight belongs to; -1 for what comes before all of them."""
    return int(name.split(".")[2]) if name.startswith("encoder.layer.") else -1


def naive_hidden(weights: Weights, ids: list[int], types: list[int], *, heads: int = 12) -> npt.NDArray[np.float64]:
    """BERT, a line a formula, in double precision: (tokens, d)."""

    def norm(x: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    def dense(x: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
        return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def gelu(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))))

    x = weights[WORDS][ids].astype(np.float64) + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][types], "embeddings.LayerNorm")
    for layer in range(1 + max(map(layer_of, weights))):
        at = f"encoder.layer.{layer}."
        query, key, value = (
            dense(x, f"{at}attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
        share = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (share / share.sum(axis=-1, keepdims=True) @ value).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(dense(mixed, f"{at}attention.output.dense") + x, f"{at}attention.output.LayerNorm")
        inner = gelu(dense(x, f"{at}intermediate.dense"))
        x = norm(dense(inner, f"{at}output.dense") + x, f"{at}output.LayerNorm")
    return x


def test_served_verifier_answers_like_the_formulae(verifier: Verifier, layers: Path) -> None:
    stored = load_file(layers)
    weights: Weights = {
        name: array * stored[f"{name}.scales"][:, None] if f"{name}.scales" in stored else array.astype(np.float32)
        for name, array in stored.items()
    }
    with safe_open(minilm_source() / "model.safetensors", framework="numpy") as base:
        weights[WORDS] = base.get_tensor(WORDS)
    head = stored["head.weight"][0], stored["head.bias"][0]
    texts = ["sort a list", "How do I enable 2FA?", "convert Celsius to Fahrenheit", "delete this branch", "why"]
    pairs = [(one, other) for one in texts for other in texts]

    naive = []
    for one, other in pairs:
        first, second = sorted((one, other))
        read = verifier._tokenizer.encode(first, second)
        naive.append(naive_hidden(weights, read.ids, read.type_ids)[0] @ head[0] + head[1])

    served = np.array(verifier.logits(pairs), float)
    assert np.corrcoef(served, naive)[0, 1] > 0.99  # activations are quantised on the way


def test_order_of_the_two_texts_does_not_matter(verifier: Verifier) -> None:
    assert verifier.logit(*PAIR) == verifier.logit(*reversed(PAIR)) is not None


def test_what_cannot_be_read_whole_has_no_answer(verifier: Verifier) -> None:
    assert verifier.logit("word " * 60, "word " * 60) is None
    assert verifier.logit("x" * 100_000, "y") is None
    assert verifier.logit("𓀀", "what is 𓀀") is None


def test_layers_survive_a_second_quantisation_unchanged(layers: Path, tmp_path: Path) -> None:
    stored = load_file(layers)
    again = {
        name: array * stored[f"{name}.scales"][:, None] if f"{name}.scales" in stored else array
        for name, array in stored.items()
        if not name.endswith(".scales") and not name.startswith("head.")
    }
    head = {name.removeprefix("head."): array for name, array in stored.items() if name.startswith("head.")}
    save_layers(again, head=head, target=tmp_path / "again.safetensors")

    twice = load_file(tmp_path / "again.safetensors")
    assert all(np.array_equal(twice[name], stored[name]) for name in stored if not name.endswith(".scales"))
    assert (tmp_path / "again.safetensors").stat().st_size < 12e6


@pytest.mark.parametrize("damage", ["cut", "headless", "missing"])
def test_broken_layers_are_refused(layers: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "verifier.safetensors"
    if damage == "cut":
        path.write_bytes(layers.read_bytes()[:5000])
    elif damage == "headless":
        save_file({name: array for name, array in load_file(layers).items() if not name.startswith("head.")}, path)

    with pytest.raises(ConfigurationError, match="train one, or serve a policy without"):
        verifier_folder(tmp_path / "models", layers=path)
    assert not list((tmp_path / "models").glob("verifier-*"))


def test_broken_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a whole verifier folder"):
        Verifier(tmp_path)


def test_service_answers_many_at_once_and_remembers(verifier: Verifier) -> None:
    async def story() -> None:
        service = VerifyingService(verifier, memo_entries=2)
        asked = await asyncio.gather(*(service.logit(*pair) for pair in (PAIR, PAIR[::-1], ("a", "b"), PAIR)))
        assert asked[0] == asked[1] == asked[3] == verifier.logit(*PAIR)
        await service.close()
        assert await service.logit("a", "b") == asked[2]  # remembered: the thread is gone
        with pytest.raises(EmbeddingError, match="closed"):
            await service.logit("new", "pair")

    asyncio.run(story())
