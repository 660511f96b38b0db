"""Traffic that was never recorded, in a recording's form: for offline defaults, and to measure the replay itself.

    python -m benchmarks.workload traffic.jsonl.zst --exchanges 100000

People ask the test families' questions, the popular ones most (Zipf), in their own words, and traps among them; agents
work in long loops of tool results, and some of their runs are run again. A project's context (its folder, branch and
the date) changes every day, as Claude Code's does, so that nothing of yesterday may answer by meaning; an assistant
with a system prompt of its own, asked through an SDK, keeps the same context for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated

import orjson
import typer

from benchmarks.families import Family, own_families
from benchmarks.recorded_traffic import Traffic
from workbench.canonical import KEY_VERSION
from workbench.proxy.payload import encode
from workbench.proxy.recording_file import Header, Recorded, write_recording
from workbench.reply import Reply, Text, Usage

DAY_S = 86_400.0
BEGAN_S = 1_790_000_000.0
MODEL = "synthetic"


@dataclass(frozen=True, slots=True)
class Habits:
    """How people and their agents ask. Shares are between 0 and 1."""

    projects: int = 3
    sessions_a_day: int = 40
    chat_share: float = 0.5
    """Sessions of plain questions; the others are agents' loops."""
    chat_questions: float = 2.0
    assistant_share: float = 0.4
    """Chats with an assistant whose context stays the same."""
    loop_turns: float = 40.0
    again_share: float = 0.15
    """Agents' runs that repeat an earlier run exactly."""
    trap_share: float = 0.15
    zipf: float = 0.8


def traffic(exchanges: int, *, habits: Habits | None = None, seed: int = 0) -> Iterator[Recorded]:
    """So many exchanges in the order of their time; the same for one seed."""
    return islice(_sessions(habits or Habits(), Random(seed)), exchanges)  # noqa: S311  # a simulation


def made(exchanges: int, *, habits: Habits | None = None, seed: int = 0) -> Traffic:
    """The same, as a replay reads it."""
    return Traffic(list(traffic(exchanges, habits=habits, seed=seed)), ("synthetic: nobody asked any of this",))


def header() -> Header:
    """For a file of such traffic."""
    return Header(workbench_recording=1, created_s=BEGAN_S, prompts="keep", embedder="", key_version=KEY_VERSION)


@dataclass(frozen=True, slots=True)
class _Run:
    """An agent's run, which may be run again."""

    name: str
    scope: str
    question: tuple[str, str]
    outputs: Sequence[int]


def _sessions(habits: Habits, random: Random) -> Iterator[Recorded]:
    families = own_families("test")
    weights = [1 / (rank + 1) ** habits.zipf for rank in range(len(families))]
    runs: list[_Run] = []
    now_s, number = BEGAN_S, 0
    while True:
        number += 1
        now_s += DAY_S / habits.sessions_a_day
        day = int((now_s - BEGAN_S) // DAY_S)
        scope = _name(f"project {random.randrange(habits.projects)} on day {day}")
        if random.random() < habits.chat_share:
            scope = _name("assistant") if random.random() < habits.assistant_share else scope
            asked = [_asked(families, weights, habits, random) for _ in range(_about(habits.chat_questions, random))]
            yield from _chat(f"s{number}", scope, asked, now_s, random)
            continue
        if not runs or random.random() >= habits.again_share:
            outputs = [random.randint(40, 400) for _ in range(_about(habits.loop_turns, random))]
            runs.append(_Run(f"r{number}", scope, _asked(families, weights, habits, random), outputs))
            run = runs[-1]
        else:
            run = random.choice(runs[-20:])
        yield from _loop(f"s{number}", run, now_s)


def _asked(families: Sequence[Family], weights: Sequence[float], habits: Habits, random: Random) -> tuple[str, str]:
    """A question and its label."""
    (family,) = random.choices(families, weights)
    if family.traps and random.random() < habits.trap_share:
        place = random.randrange(len(family.traps))
        return family.traps[place].text, f"{family.family}/{place}"
    return random.choice(family.same), family.family


def _chat(
    session: str, scope: str, asked: Sequence[tuple[str, str]], now_s: float, random: Random
) -> Iterator[Recorded]:
    """Each question in a conversation of its own, as an SDK asks; the answer depends on the label alone."""
    for turn, (text, label) in enumerate(asked):
        output = 60 + len(label) * 10
        yield _exchange(
            f"{session}.{turn}",
            now_s + 60 * turn,
            session,
            digest=_name(f"{scope} {text}"),
            scope=scope,
            text=text,
            label=label,
            kept="meaning",
            reply=_reply(f"The answer to {label}.", output),
            usage=(random.randint(20, 80), output, 0, 12_000),
        )


def _loop(session: str, run: _Run, now_s: float) -> Iterator[Recorded]:
    """The question, which a tool call answers, and the turns with the tools' results."""
    text, label = run.question
    for turn, output in enumerate(run.outputs):
        asks = {"scope": _name(f"tools {run.scope}"), "text": text, "label": label} if turn == 0 else {}
        yield _exchange(
            f"{session}.{turn}",
            now_s + 5 * turn,
            session,
            digest=_name(f"{run.name} {turn}"),
            reason=None if turn == 0 else "tool-result",
            kept="exact",
            reply_hash=_name(f"{run.name} {turn} reply"),
            usage=(20, output, 700, 15_000 + 700 * turn),
            **asks,
        )


def _exchange(id: str, at_s: float, session: str, *, usage: tuple[int, int, int, int], **fields: object) -> Recorded:
    fresh, output, written, read = usage
    total_ms = 350 + (fresh + written) / 3 + output * 1000 / 60  # 3,000 tokens/s in, 60 out
    return Recorded.model_validate(
        {
            "id": id,
            "at_s": at_s,
            "tenant": "local",
            "model": MODEL,
            "session": session,
            "outcome": "miss",
            "total_ms": round(total_ms, 1),
            "input_tokens": fresh,
            "output_tokens": output,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            **fields,
        }
    )


def _reply(text: str, output_tokens: int) -> dict[str, object]:
    """As an entry's payload has it."""
    reply = Reply(MODEL, (Text(text),), "end_turn", None, Usage(output_tokens=output_tokens))
    found: dict[str, object] = orjson.loads(encode(reply))
    return found


def _about(mean: float, random: Random) -> int:
    """At least 1, in the mean about so many: geometric, as lengths of sessions are."""
    return 1 + int(random.expovariate(1 / max(mean - 1, 1e-9)))


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def main(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    exchanges: Annotated[int, typer.Option(min=1)] = 10_000,
    seed: int = 0,
) -> None:
    """Write such traffic as a recording."""
    print(f"{write_recording(out, header(), traffic(exchanges, seed=seed)):,} exchanges in {out}")


if __name__ == "__main__":
    typer.run(main)
