"""A cross-encoder while it learns: two questions, read at once → a logit that one answer serves both.

`torch` and `transformers` are Any: only the study extra has them.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.compile_embedder import study_module
from benchmarks.families import Pair
from workbench.cache.verifier_folder import save_layers

MAX_TOKENS = 96
BATCH_TOKENS = 2400
"""A batch holds pairs of like length, together about this many tokens."""

SMOOTHING = 0.02


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run is made of."""

    seed: int = 20
    epochs: int = 3
    learning_rate: float = 1e-4
    synthetic: int = 16_000
    """Synthetic pairs an epoch."""
    traps_each: int = 20
    """At most so many trap pairs of a family an epoch."""
    layers: int = 6
    """How many of the encoder's layers are kept, from the first to the last at even distances."""


DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class Example:
    """Two questions as the tokenizer read them, and the probability to learn that one answer serves both."""

    ids: list[int]
    types: list[int]
    target: float


class Trainer:
    """The cross-encoder while it learns: MiniLM's own encoder, or, with `start`, the one of an earlier float.pt."""

    def __init__(self, settings: Settings, *, source: Path, start: Path | None = None) -> None:
        self.torch = study_module("torch")
        transformers = study_module("transformers")
        self.settings = settings
        self.torch.manual_seed(settings.seed)
        self.encoder: Any = transformers.BertModel.from_pretrained(str(source), add_pooling_layer=False)
        self.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
        self.head: Any = self.torch.nn.Linear(self.encoder.config.hidden_size, 1)
        if start:
            states = self.torch.load(start)
            self.encoder.load_state_dict(states["encoder"])
            self.head.load_state_dict(states["head"])
        self._keep_layers(settings.layers)
        self.tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def _keep_layers(self, count: int) -> None:
        layers = self.encoder.encoder.layer
        kept = np.linspace(0, len(layers) - 1, count).round().astype(int)
        self.encoder.encoder.layer = self.torch.nn.ModuleList([layers[place] for place in kept])
        self.encoder.config.num_hidden_layers = count

    def examples(self, pairs: Sequence[Pair], targets: Sequence[float] | None = None) -> list[Example]:
        """The pairs as token ids, in the order given; what is to be learned is their label, if not `targets`."""
        read = self.tokenizer.encode_batch([(pair.a, pair.b) for pair in pairs])
        wanted = [float(pair.same) * (1 - 2 * SMOOTHING) + SMOOTHING for pair in pairs] if targets is None else targets
        return [Example(r.ids, r.type_ids, target) for r, target in zip(read, wanted, strict=True)]

    def train(self, epochs: Iterator[list[Example]], *, steps: int) -> Iterator[float]:
        """Learn from each epoch's examples; yields the mean loss of each."""
        torch, parameters = self.torch, [*self._learned()]
        optimizer = torch.optim.AdamW(parameters, lr=self.settings.learning_rate, weight_decay=0.01)
        warm = max(1, steps // 20)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, max(0.02, 1 - step / steps))
        )
        for number, examples in enumerate(epochs):
            rng = random.Random(f"{self.settings.seed}/order/{number}")  # noqa: S311  # reproducible, not secret
            yield self._epoch(batches(examples, rng), optimizer, schedule, parameters)

    def _epoch(self, work: list[list[Example]], optimizer: Any, schedule: Any, parameters: list[Any]) -> float:
        torch = self.torch
        self.encoder.train()
        total, started = 0.0, time.monotonic()
        for done, batch in enumerate(work, 1):
            labels = torch.tensor([each.target for each in batch])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(self._forward(batch), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item()
            if done % 50 == 0 or done == len(work):
                rest = (time.monotonic() - started) / done * (len(work) - done)
                print(
                    f"\r  {done}/{len(work)} batches, loss {total / done:.4f}, {rest:.0f} s left ",
                    end="",
                    file=sys.stderr,
                )
        print(file=sys.stderr)
        return total / len(work)

    def logits(self, pairs: Sequence[Pair]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(n,) float32, the larger the surer that one answer serves both; the mean of both orders."""
        both_ways = self.one_way(pairs) + self.one_way([turned(pair) for pair in pairs])
        return (both_ways / 2).astype(np.float32)

    def one_way(self, pairs: Sequence[Pair]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The same for the texts in the order given."""
        self.encoder.eval()
        examples = self.examples(pairs)
        order = sorted(range(len(examples)), key=lambda place: len(examples[place].ids))
        found = np.empty(len(examples), np.float32)
        with self.torch.no_grad():
            for start in range(0, len(order), 64):
                places = order[start : start + 64]
                found[places] = self._forward([examples[place] for place in places]).float().numpy()
        return found

    def _forward(self, batch: list[Example]) -> Any:
        torch, longest = self.torch, max(len(each.ids) for each in batch)
        shape = (len(batch), longest)
        ids, types, mask = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        for row, each in enumerate(batch):
            ids[row, : len(each.ids)] = torch.tensor(each.ids)
            types[row, : len(each.ids)] = torch.tensor(each.types)
            mask[row, : len(each.ids)] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.encoder(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state[:, 0]
        return self.head(hidden.float())[:, 0]

    def _learned(self) -> Iterator[Any]:
        yield from (each for each in self.encoder.parameters() if each.requires_grad)
        yield from self.head.parameters()


def batches(examples: list[Example], rng: random.Random) -> list[list[Example]]:
    """Batches of like length, in random order."""
    found: list[list[Example]] = [[]]
    for example in sorted(examples, key=lambda each: (len(each.ids), rng.random())):
        if found[-1] and len(example.ids) * (len(found[-1]) + 1) > BATCH_TOKENS:
            found.append([])
        found[-1].append(example)
    rng.shuffle(found)
    return found


def turned(pair: Pair) -> Pair:
    """The same pair, the other text first."""
    return replace(pair, a=pair.b, b=pair.a)


def as_served(pairs: Sequence[Pair]) -> list[Pair]:
    """As the verifier that serves reads them: the two texts in alphabetical order."""
    return [pair if pair.a <= pair.b else turned(pair) for pair in pairs]


def save(trainer: Trainer, out: Path) -> None:
    """Write the floats, to go on from, and the layers as they are served."""
    states = {"encoder": trainer.encoder.state_dict(), "head": trainer.head.state_dict()}
    trainer.torch.save(states, out / "float.pt")
    layers, head = ({name: tensor.numpy() for name, tensor in state.items()} for state in states.values())
    save_layers(layers, head=head, target=out / "verifier.safetensors")
