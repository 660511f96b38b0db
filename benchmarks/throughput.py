"""How fast a GPU is: prefill and decode tokens a second, at several streams at once, measured on any Ollama.

    python -m benchmarks.throughput --url http://127.0.0.1:11434 --model qwen3-coder:30b --gpu "RTX 4090"

Written to `benchmarks/results/throughput.json`, which costs (and whoever picks a node) read. What others published
is in `benchmarks/data/throughput.json`, marked so; a measurement of the same GPU and model goes before it.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import httpx2
import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.families import DATA
from benchmarks.figures import ROOT
from workbench.errors import ConfigurationError

MEASURED = ROOT / "benchmarks" / "results" / "throughput.json"
PUBLISHED = DATA / "throughput.json"
STREAMS = (1, 4, 16)
WORD = "alpha "
"""Repeated to fill a prompt: one token a word in common vocabularies; the server's own count is what is used."""


class Speed(BaseModel):
    """One GPU, one model, so many streams at once. Tokens a second of all streams together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu: Annotated[str, Field(min_length=1)]
    model: str
    server: str
    streams: Annotated[int, Field(ge=1)]
    decode_tokens_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    prefill_tokens_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    first_token_s: float | None = None
    """The slowest stream's."""
    samples: int = 0
    """How many requests it is the median of; 0 for a published figure."""
    date: str = ""
    source: str


class Speeds(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    rows: tuple[Speed, ...] = ()


def read_speeds(path: Path) -> list[Speed]:
    """The rows of this file, none when there is no file; raises `ConfigurationError`."""
    if not path.is_file():
        return []
    try:
        return list(Speeds.model_validate_json(path.read_bytes()).rows)
    except (OSError, ValidationError) as error:
        said = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise ConfigurationError(f"cannot read the speeds {path}: {said}; measure them again") from None


def known_speeds(model: str, *, measured: Path = MEASURED, published: Path = PUBLISHED) -> list[Speed]:
    """What is known of this model's speed: where a GPU was measured, what others published of it is left out."""
    own = [speed for speed in read_speeds(measured) if speed.model == model]
    seen = {speed.gpu for speed in own}
    return own + [speed for speed in read_speeds(published) if speed.model == model and speed.gpu not in seen]


def save_speeds(speeds: Sequence[Speed], path: Path = MEASURED) -> None:
    """Put these rows into the file in place of those of the same GPU, model and streams."""
    new = {(speed.gpu, speed.model, speed.streams): speed for speed in speeds}
    kept = [speed for speed in read_speeds(path) if (speed.gpu, speed.model, speed.streams) not in new]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = Speeds(rows=(*kept, *new.values())).model_dump(exclude_defaults=True) | {"version": 1}
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    part.replace(path)


# ── measuring ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out; `failed` says of each number of streams that could not be measured why."""

    speeds: list[Speed]
    failed: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    """One request: when its first token and its end came, in seconds after all were sent, and the server's counts."""

    first_s: float
    end_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked: about so many tokens of prompt, at most so many of answer, so often."""

    prompt_tokens: int = 2_000
    output_tokens: int = 128
    rounds: int = 3
    timeout_s: float = 600.0


async def measure(
    url: str, *, model: str, gpu: str, streams: Sequence[int] = STREAMS, shape: Shape | None = None
) -> Measured:
    """Measure an Ollama at this address; what was measured before a failure is kept.

    Each prompt begins with a word of its own, so that no prefix is found in the server's cache.
    """
    asked = shape or Shape()
    speeds: list[Speed] = []
    failed: dict[int, str] = {}
    limits = httpx2.Limits(max_connections=max(streams) + 1)
    async with httpx2.AsyncClient(
        base_url=url.rstrip("/"), timeout=asked.timeout_s, trust_env=False, limits=limits
    ) as client:
        for count in streams:
            try:
                if not speeds:
                    await _together(client, model, asked, 1)  # the model is loaded
                rounds = [await _together(client, model, asked, count) for _ in range(asked.rounds)]
                speeds.append(_speed(rounds, model=model, gpu=gpu, streams=count))
            except* (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as group:
                failed[count] = f"{type(group.exceptions[0]).__name__}: {group.exceptions[0]}"
    return Measured(speeds, failed)


async def _together(client: httpx2.AsyncClient, model: str, shape: Shape, count: int) -> list[_Answer]:
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_ask(client, model, shape, began_s)) for _ in range(count)]
    return [task.result() for task in asked]


async def _ask(client: httpx2.AsyncClient, model: str, shape: Shape, began_s: float) -> _Answer:
    prompt = f"{secrets.token_hex(8)} {WORD * shape.prompt_tokens} Count upwards from one, in words, without an end."
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "options": {"num_predict": shape.output_tokens, "temperature": 0, "num_ctx": 2 * shape.prompt_tokens + 2_048},
    }
    first_s = 0.0
    async with client.stream("POST", "/api/chat", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            told = orjson.loads(line)
            if "error" in told:
                raise ValueError(f"Ollama says {told['error']!r}")
            first_s = first_s or time.perf_counter() - began_s
            if told["done"]:
                end_s = time.perf_counter() - began_s
                return _Answer(first_s, end_s, told["prompt_eval_count"], told["eval_count"])
    raise ValueError("the reply ended before it was done")


def _speed(rounds: Sequence[Sequence[_Answer]], *, model: str, gpu: str, streams: int) -> Speed:
    prefill = [sum(each.prompt_tokens for each in answers) / max(e.first_s for e in answers) for answers in rounds]
    decode = [_decode(answers) for answers in rounds]
    return Speed(
        gpu=gpu,
        model=model,
        server="ollama",
        streams=streams,
        decode_tokens_per_s=round(statistics.median(decode), 1),
        prefill_tokens_per_s=round(statistics.median(prefill), 1),
        first_token_s=round(statistics.median(max(each.first_s for each in answers) for answers in rounds), 4),
        samples=len(rounds) * streams,
        date=datetime.now(UTC).date().isoformat(),
        source="measured with benchmarks.throughput",
    )


def _decode(answers: Sequence[_Answer]) -> float:
    """All tokens but each stream's first, over the time from the first token of any to the last of all."""
    lasted_s = max(each.end_s for each in answers) - min(each.first_s for each in answers)
    return max(1, sum(each.output_tokens - 1 for each in answers)) / max(lasted_s, 1e-6)


def main(
    url: Annotated[str, typer.Option(help="An Ollama, http://host:11434.")],
    model: Annotated[str, typer.Option(help="A model that it has.")],
    gpu: Annotated[str, typer.Option(help="What it runs on, as the price list names it.")],
    out: Annotated[Path, typer.Option(help="The file that the rows go to.")] = MEASURED,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure, save, and print what was measured as one line of JSON; exits with 1 when something failed."""
    found = asyncio.run(measure(url, model=model, gpu=gpu, shape=Shape(rounds=rounds)))
    if found.speeds:
        save_speeds(found.speeds, out)
    rows = [speed.model_dump() for speed in found.speeds]
    print(orjson.dumps({"speeds": rows, "failed": {str(n): why for n, why in found.failed.items()}}).decode())
    if found.failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
