"""Fine-tune the default embedder on the project's training families, and average its weights with what it was.

    python -m benchmarks.train_embedder --out runs/embedder

Needs the study extra. Each step draws some families: of each a question, another that the same answer serves, and two
traps, one as written and one synthetic; the question must find its own among all of them (multiple negatives ranking,
Henderson et al. 2017, https://arxiv.org/abs/1705.00652). Alone such a model forgets much of what it knew: averaged with
its start (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903) it keeps that. Both are written as
sentence-transformers folders; `python -m benchmarks.embedders` says what they are worth.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from tokenizers import Tokenizer

from benchmarks.compile_embedder import study_module
from benchmarks.families import Family, own_families
from benchmarks.traps.sampling import rewrites, traps
from workbench.cache.embedder import without_closing
from workbench.cache.model_folder import minilm_source
from workbench.errors import ConfigurationError, WorkbenchError

MAX_TOKENS = 64
RUN_TEXTS = 16
WEIGHTS = "model.safetensors"
RECENT = 20
"""Steps whose mean loss is told."""

SCALE = 20.0
"""What cosines are multiplied with before the softmax."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run is made of."""

    seed: int = 20
    steps: int = 240
    families: int = 24
    """Families a step."""
    learning_rate: float = 3e-5
    rewritten: float = 0.25
    """How often a question is rewritten by rule, lightly, so that what rules add betrays no trap."""


DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class Example:
    """A question, another that the same answer serves, and questions that it does not serve."""

    text: str
    same: str
    traps: tuple[str, str]


def draw(families: Sequence[Family], settings: Settings, *, step: int) -> list[Example]:
    """The examples of one step, each of another family, drawn from those that have a trap."""
    rng = random.Random(f"{settings.seed}/{step}")  # noqa: S311  # reproducible, not secret
    able = [family for family in families if family.traps and len(family.same) > 1]
    return [_example(family, settings, rng) for family in rng.sample(able, min(settings.families, len(able)))]


def _example(family: Family, settings: Settings, rng: random.Random) -> Example:
    text, same = rng.sample(family.same, 2)
    written = rng.choice(family.traps).text
    made = traps(rng.choice((text, same)), rng)
    synthetic = rng.choice(made).text if made else rng.choice(family.traps).text
    text, same, written, synthetic = (_as_read(each, settings, rng) for each in (text, same, written, synthetic))
    return Example(text, same, (written, synthetic))


def _as_read(text: str, settings: Settings, rng: random.Random) -> str:
    if rng.random() < settings.rewritten and (made := rewrites(text, rng)):
        text = rng.choice(made).text
    return without_closing(text)


class Trainer:
    """The encoder while it learns; its word embeddings stay. `torch` and `transformers` are Any: the study extra."""

    def __init__(self, settings: Settings, *, source: Path) -> None:
        self.torch = study_module("torch")
        transformers = study_module("transformers")
        self.settings = settings
        self.torch.manual_seed(settings.seed)
        self.encoder: Any = transformers.BertModel.from_pretrained(str(source), add_pooling_layer=False)
        self.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
        self.tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def train(self, batches: Iterator[list[Example]]) -> Iterator[float]:
        """Learn from each batch; yields its loss."""
        torch, learned = self.torch, [each for each in self.encoder.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=self.settings.learning_rate, weight_decay=0.01)
        steps, warm = self.settings.steps, max(1, self.settings.steps // 10)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, max(0.02, 1 - step / steps))
        )
        self.encoder.train()
        for batch in batches:
            loss = self.loss(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield loss.item()

    def loss(self, batch: Sequence[Example]) -> Any:
        """How badly each question finds its own among the others' and all traps, and these find their questions."""
        count = len(batch)
        texts = [each.text for each in batch] + [each.same for each in batch]
        rows = self._embed(texts + [each.traps[which] for which in (0, 1) for each in batch])
        to_all = SCALE * rows[:count] @ rows[count:].T
        back = SCALE * rows[count : 2 * count] @ self.torch.cat([rows[:count], rows[2 * count :]]).T
        own = self.torch.arange(count)
        cross_entropy = self.torch.nn.functional.cross_entropy
        return (cross_entropy(to_all, own) + cross_entropy(back, own)) / 2

    def _embed(self, texts: Sequence[str]) -> Any:
        """(n, d) unit rows, with gradients; texts of like length share a run, so that little is padding."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        runs = [order[start : start + RUN_TEXTS] for start in range(0, len(order), RUN_TEXTS)]
        rows = self.torch.cat([self._run([texts[place] for place in run]) for run in runs])
        return rows[self.torch.tensor(order).argsort()]

    def _run(self, texts: Sequence[str]) -> Any:
        torch = self.torch
        read = self.tokenizer.encode_batch(list(texts))
        ids, mask = torch.tensor([each.ids for each in read]), torch.tensor([each.attention_mask for each in read])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(pooled, dim=1)

    def save(self, source: Path, target: Path, *, share: float) -> None:
        """Write a folder like `source` whose weights are `share` of the way from its own to the trained ones."""
        safetensors = study_module("safetensors.torch")
        trained = self.encoder.state_dict()
        mixed = {
            name: self.torch.lerp(start, trained[name].to(start.dtype), share)
            for name, start in safetensors.load_file(source / WEIGHTS).items()
            if start.is_floating_point() and not name.startswith("pooler.")  # which no sentence embedding reads
        }
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(WEIGHTS, "README.md", ".git*"))
        safetensors.save_file(mixed, target / WEIGHTS, metadata={"format": "pt"})


def fine_tune(families: Sequence[Family], settings: Settings, *, source: Path, out: Path, share: float) -> list[float]:
    """Write ``tuned`` and ``averaged`` below the new folder `out`; gives the loss of every step."""
    if out.exists():
        raise ConfigurationError(f"{out} exists already: name a folder that does not, so that nothing is overwritten")
    trainer = Trainer(settings, source=source)
    losses: list[float] = []
    for loss in trainer.train(draw(families, settings, step=step) for step in range(settings.steps)):
        losses.append(loss)
        if len(losses) % RECENT == 0:
            print(f"  step {len(losses)}/{settings.steps}, loss {recent(losses):.4f}", file=sys.stderr)
    out.mkdir(parents=True)
    trainer.save(source, out / "tuned", share=1.0)
    trainer.save(source, out / "averaged", share=share)
    return losses


def recent(losses: Sequence[float]) -> float:
    """The mean of the last ones: one batch tells little."""
    return sum(losses[-RECENT:]) / len(losses[-RECENT:])


def main(
    out: Annotated[Path, typer.Option(help="A folder that does not exist; it gets tuned/ and averaged/.")],
    share: Annotated[float, typer.Option(help="How much of the average is the trained one.", min=0, max=1)] = 0.5,
    steps: Annotated[int, typer.Option(min=1)] = DEFAULTS.steps,
    families: Annotated[int, typer.Option(help="Families a step.", min=2)] = DEFAULTS.families,
    learning_rate: float = DEFAULTS.learning_rate,
    seed: int = DEFAULTS.seed,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Fine-tune the default embedder on the training families."""
    settings = Settings(seed=seed, steps=steps, families=families, learning_rate=learning_rate)
    try:
        study_module("torch").set_num_threads(threads)
        losses = fine_tune(own_families("train"), settings, source=minilm_source(), out=out, share=share)
    except WorkbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    said = {"steps": steps, "first_loss": round(losses[0], 4), "last_loss": round(recent(losses), 4), "share": share}
    print(orjson.dumps(said).decode())


if __name__ == "__main__":
    typer.run(main)
