"""Train the verifier: a small cross-encoder that reads two questions at once and says whether one answer serves both.

    python -m benchmarks.train_verifier --out runs/verifier --public FOLDER

Needs the study extra. It starts from the embedder's own MiniLM and leaves the word embeddings as they are, so that only
the layers are saved, in int8. What it learns from: the project's training families, and synthetic traps and rewrites of
them and of public questions whose licences allow it (`PUBLIC`). How well it does is said on families that it has not
seen; the error budget is calibrated elsewhere, on others still.
"""

from __future__ import annotations

import gzip
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from tokenizers import Tokenizer

from benchmarks.compile_embedder import study_module
from benchmarks.families import Family, Pair, all_pairs, anchored_pairs, divided, own_families
from benchmarks.traps.sampling import sample
from workbench.cache.model_folder import minilm_source
from workbench.cache.verifier_folder import save_layers

PUBLIC = ("banking_intents", "assistant_intents", "shell_questions")
"""CC BY 4.0, CC BY 3.0, MIT: their texts feed the synthetic pairs; nothing of them is copied into the project."""

TRAIN_SHARE = 0.8
"""Of the training families; on the rest the score is fitted."""

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


DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class Example:
    """Two questions as the tokenizer read them, and the label to learn."""

    ids: list[int]
    types: list[int]
    same: bool


def verifier_families() -> tuple[list[Family], list[Family]]:
    """The training families that the verifier learns from, and those that it never sees."""
    learned, unseen = divided(own_families("train"), shares=(TRAIN_SHARE, 1 - TRAIN_SHARE))
    return learned, unseen


def epoch_pairs(families: Sequence[Family], texts: Sequence[str], settings: Settings, *, epoch: int) -> list[Pair]:
    """The pairs of one epoch: own families, synthetic ones, and neighbours that share only a domain."""
    rng = random.Random(f"{settings.seed}/{epoch}")  # noqa: S311  # reproducible, not secret
    pairs = [pair for family in families for pair in _of_family(family, settings.traps_each, rng)]
    pairs += _neighbours(families, rng)
    seed = rng.randrange(2**31)
    synthetic = sample(texts, count=settings.synthetic, seed=seed) if settings.synthetic else []
    pairs += [Pair(each.a, each.b, each.same, "near" if each.same else "trap", each.slot, "") for each in synthetic]
    rng.shuffle(pairs)
    return pairs


def _of_family(family: Family, traps_each: int, rng: random.Random) -> list[Pair]:
    pairs = list(all_pairs(family))
    same, different = [pair for pair in pairs if pair.same], [pair for pair in pairs if not pair.same]
    return same + rng.sample(different, min(traps_each, len(different)))


def _neighbours(families: Sequence[Family], rng: random.Random) -> list[Pair]:
    """Texts of two families of one domain, four a family."""
    by_domain: dict[str, list[Family]] = {}
    for family in families:
        by_domain.setdefault(family.domain, []).append(family)
    pairs = []
    for family in families:
        for other in rng.sample(by_domain[family.domain], min(4, len(by_domain[family.domain]))):
            if other is not family:
                a, b = rng.choice(family.same), rng.choice(other.same)
                pairs.append(Pair(a, b, False, "trap", "topic", family.family))
    return pairs


def public_texts(folder: Path) -> list[str]:
    """The distinct texts of the public files in this folder."""
    texts: dict[str, None] = {}
    for name in PUBLIC:
        with gzip.open(folder / f"{name}.jsonl.gz") as lines:
            texts.update((orjson.loads(line)["text"], None) for line in lines)
    return list(texts)


# ── the model ───────────────────────────────────────────────────────────────────────────────────────────────


class Trainer:
    """The cross-encoder while it learns. `torch` and `transformers` are Any: the study extra may be absent."""

    def __init__(self, settings: Settings, *, source: Path) -> None:
        self.torch = study_module("torch")
        transformers = study_module("transformers")
        self.settings = settings
        self.torch.manual_seed(settings.seed)
        self.encoder: Any = transformers.BertModel.from_pretrained(str(source), add_pooling_layer=False)
        self.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
        self.head: Any = self.torch.nn.Linear(self.encoder.config.hidden_size, 1)
        self.tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def examples(self, pairs: Sequence[Pair], rng: random.Random | None = None) -> list[Example]:
        """The pairs as token ids; with `rng`, either text first."""
        turned = [(p.b, p.a) if rng and rng.random() < 0.5 else (p.a, p.b) for p in pairs]
        read = self.tokenizer.encode_batch(turned)
        return [Example(r.ids, r.type_ids, pair.same) for r, pair in zip(read, pairs, strict=True)]

    def train(self, epochs: Iterator[list[Pair]], *, steps: int) -> Iterator[float]:
        """Learn from each epoch's pairs; yields the mean loss of each."""
        torch, parameters = self.torch, [*self._learned()]
        optimizer = torch.optim.AdamW(parameters, lr=self.settings.learning_rate, weight_decay=0.01)
        warm = max(1, steps // 20)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, max(0.02, 1 - step / steps))
        )
        for number, pairs in enumerate(epochs):
            rng = random.Random(f"{self.settings.seed}/order/{number}")  # noqa: S311  # reproducible, not secret
            yield self._epoch(batches(self.examples(pairs, rng), rng), optimizer, schedule, parameters)

    def _epoch(self, work: list[list[Example]], optimizer: Any, schedule: Any, parameters: list[Any]) -> float:
        torch = self.torch
        self.encoder.train()
        total, started = 0.0, time.monotonic()
        for done, batch in enumerate(work, 1):
            labels = torch.tensor([float(each.same) for each in batch]) * (1 - 2 * SMOOTHING) + SMOOTHING
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
        turned = [Pair(p.b, p.a, p.same, p.kind, p.slot, p.family) for p in pairs]
        both_ways = self.one_way(pairs) + self.one_way(turned)
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


def measure(logits: np.ndarray[Any, Any], pairs: Sequence[Pair]) -> dict[str, float]:
    """AUC, and the share of each kind served where 1 % and 2 % of the traps are."""
    roc_auc_score = study_module("sklearn.metrics").roc_auc_score
    same = np.array([pair.same for pair in pairs])
    kinds = np.array([pair.kind for pair in pairs])
    found = {"auc": float(roc_auc_score(same, logits))}
    for share in (0.01, 0.02):
        cut = np.quantile(logits[~same], 1 - share)
        for kind in ("near", "paraphrase"):
            found[f"{kind}_served_at_{share:.0%}_traps"] = float(np.mean(logits[kinds == kind] > cut))
    return found


def save(trainer: Trainer, out: Path) -> None:
    """Write the floats, to go on from, and the layers as they are served."""
    states = {"encoder": trainer.encoder.state_dict(), "head": trainer.head.state_dict()}
    trainer.torch.save(states, out / "float.pt")
    layers, head = ({name: tensor.numpy() for name, tensor in state.items()} for state in states.values())
    save_layers(layers, head=head, target=out / "verifier.safetensors")


def main(
    out: Annotated[Path, typer.Option(help="Where the layers, and what was measured, are written.")],
    public: Annotated[
        Path | None, typer.Option(help="A folder with the public files; without it, own texts only.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="A float.pt of an earlier run, to go on from.")] = None,
    epochs: int = DEFAULTS.epochs,
    seed: int = DEFAULTS.seed,
    learning_rate: float = DEFAULTS.learning_rate,
    synthetic: int = DEFAULTS.synthetic,
    traps_each: int = DEFAULTS.traps_each,
) -> None:
    """Train the verifier and save its layers."""
    settings = Settings(seed, epochs, learning_rate, synthetic, traps_each)
    learned, unseen = verifier_families()
    texts = [text for family in learned for text in family.same] + (public_texts(public) if public else [])
    trainer = Trainer(settings, source=minilm_source())
    if start:
        states = trainer.torch.load(start)
        trainer.encoder.load_state_dict(states["encoder"])
        trainer.head.load_state_dict(states["head"])
    first = epoch_pairs(learned, texts, settings, epoch=0)
    steps = epochs * len(batches(trainer.examples(first), random.Random(0)))  # noqa: S311  # only counted
    held_out = [pair for family in unseen for pair in anchored_pairs(family)]
    print(f"{len(learned)} families, {len(first)} pairs an epoch, {len(held_out)} held out", file=sys.stderr)
    work = (epoch_pairs(learned, texts, settings, epoch=number) for number in range(epochs))
    figures: dict[str, float] = {}
    out.mkdir(parents=True, exist_ok=True)
    for number, loss in enumerate(trainer.train(work, steps=steps)):
        figures = measure(trainer.logits(held_out), held_out)
        print(orjson.dumps({"epoch": number, "loss": round(loss, 4), **figures}).decode(), flush=True)
        save(trainer, out)
    (out / "measured.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    typer.run(main)
