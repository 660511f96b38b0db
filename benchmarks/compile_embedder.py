"""Compile a sentence-transformers model into the folder form that the proxy serves without torch.

    python -m benchmarks.compile_embedder BAAI/bge-small-en-v1.5 models/bge-small

Needs the study extra. BERT-shaped models get the same graph as the default one, others torch's ONNX export. The
folder appears only after its vectors agreed with those of sentence-transformers. A threshold belongs to one
embedder: calibrate again before you serve with another.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from workbench.cache.bert_graph import read_pooling
from workbench.cache.embedder import Embedder
from workbench.cache.model_folder import CARD_FILE, EmbedderCard, content_hash, write_bert_folder
from workbench.errors import ConfigurationError, WorkbenchError

LEAST_COSINE = 0.9999
OPSET = 18

SENTENCES = (
    "How do I reverse a list in Python?",
    "a",
    "Which of the two indexes does PostgreSQL use when a query filters on both columns, and how can I see it?",
    "def f(x):\n    return x[::-1]  # 3 tests failed in src/app.py:42",
    "Explain, step by step and with one example for each step, how a transformer encoder turns a sentence into one "
    "vector, why the vectors of all tokens are averaged, and what is lost when the sentence is longer than the window.",
)


def study_module(name: str) -> Any:
    """A module of the study extra; raises `ConfigurationError` when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"{name} cannot be imported ({error}): this needs the study extra, "
            "run `pip install -c constraints.txt '.[study]'` in an environment of its own"
        ) from error


def compile_embedder(model: str, *, out: Path) -> float:
    """Write the model folder `out`; gives the lowest cosine to sentence-transformers on `SENTENCES`.

    `model` is a folder or a name on the model hub. Raises `ConfigurationError`, and writes nothing, when `out`
    exists, the model cannot be compiled, or a cosine is below `LEAST_COSINE`.
    """
    if out.exists():
        raise ConfigurationError(f"{out} exists already: name a folder that does not, so that nothing is overwritten")
    library = study_module("sentence_transformers")
    source = Path(model) if Path(model).is_dir() else Path(study_module("huggingface_hub").snapshot_download(model))
    reference = library.SentenceTransformer(str(source), device="cpu")
    name = Path(model).name
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".compiling-") as compiling:
        folder = Path(compiling) / out.name
        _write_folder(reference, source=source, name=name, target=folder)
        cosine = least_cosine(Embedder(folder), reference)
        if not cosine >= LEAST_COSINE:
            raise ConfigurationError(
                f"{model} compiled differs from sentence-transformers: the lowest cosine is {cosine:.6f}, expected at "
                f"least {LEAST_COSINE}; a prompt, a dense layer or lower-casing that the folder form lacks does this"
            )
        folder.rename(out)
    return cosine


def _write_folder(reference: Any, *, source: Path, name: str, target: Path) -> None:
    target.mkdir()
    try:
        write_bert_folder(source, name=name, target=target)
    except ConfigurationError as reason:
        typer.echo(f"not by the BERT graph, so by torch's export: {reason}", err=True)
        shutil.rmtree(target)  # whatever the first way had begun
        target.mkdir()
        write_exported_folder(reference, source=source, name=name, target=target)


def write_exported_folder(reference: Any, *, source: Path, name: str, target: Path) -> None:
    """Any other encoder, as torch exports it: its last hidden state, pooled and normalised by `Embedder`."""
    kinds = [type(module).__name__ for module in reference]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ConfigurationError(f"{name} is made of {kinds}, expected Transformer, Pooling and perhaps Normalize")
    _export(reference[0].auto_model, target / "model.onnx")
    reference.tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))
    card = EmbedderCard(
        name=name,
        revision=content_hash(sorted(target.iterdir())),
        dimension=reference.encode(["a"]).shape[1],
        pooling=read_pooling(source),
        max_tokens=reference.max_seq_length,
    )
    (target / CARD_FILE).write_text(card.model_dump_json(indent=2))


def _export(encoder: Any, path: Path) -> None:
    torch = study_module("torch")
    study_module("onnxscript")  # torch's exporter needs it, and says so less plainly

    # Two tensors: given one twice, the exporter takes the two inputs for one.
    example = {name: torch.ones((2, 7), dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    axes = {0: torch.export.Dim("n"), 1: torch.export.Dim("tokens", max=encoder.config.max_position_embeddings - 2)}
    program = torch.onnx.export(
        encoder.eval(),
        kwargs=example,
        input_names=list(example),
        output_names=["last_hidden_state"],
        opset_version=OPSET,
        dynamic_shapes=dict.fromkeys(example, axes),
        dynamo=True,
    )
    program.save(str(path))


def least_cosine(embedder: Embedder, reference: Any) -> float:
    """The lowest cosine between the two libraries' vectors, each text alone and all in one batch."""
    texts = list(SENTENCES)
    expected = reference.encode(texts, normalize_embeddings=True)
    alone = np.concatenate([embedder.encode([text]) for text in texts])
    together = embedder.encode(texts)
    return float(min((rows * expected).sum(axis=1).min() for rows in (alone, together)))


def main(
    model: Annotated[str, typer.Argument(help="A sentence-transformers folder, or a name on the model hub.")],
    out: Annotated[Path, typer.Argument(help="The model folder to write; must not exist.")],
) -> None:
    """Compile MODEL into OUT, ready to be served."""
    try:
        cosine = compile_embedder(model, out=out)
    except WorkbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    embedder = Embedder(out)
    typer.echo(
        f"{out}: {embedder.card.dimension} dimensions, {embedder.card.max_tokens} tokens, "
        f"fingerprint {embedder.fingerprint}, lowest cosine to sentence-transformers {cosine:.7f}"
    )


if __name__ == "__main__":
    typer.run(main)
