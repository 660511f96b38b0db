"""Whether two answers say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from workbench.cache.embedder import Embedder, EmbeddingService
from workbench.cache.judges import (
    MOST_UNSURE,
    PIECE_WORDS,
    Answer,
    EmbeddingJudge,
    LlmJudge,
    Verdict,
    calibrated_cuts,
)
from workbench.cache.model_folder import minilm_folder
from workbench.cache.store import Vector
from workbench.settings import data_folder


class Directions:
    """Texts by their first word: a vector in the plane for each number, in degrees; nothing for another word."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def __call__(self, texts: Sequence[str]) -> list[Vector | None]:
        self.texts += texts
        return [self._vector(text.split()[0]) for text in texts]

    def _vector(self, word: str) -> Vector | None:
        if not word.isdigit():
            return None
        angle = np.radians(float(word))
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


def by_embedding(one: str, two: str) -> Verdict:
    judge = EmbeddingJudge(Directions(), same=0.9, different=0.5)
    return asyncio.run(judge.compare("whatever", one, two))


def test_near_answers_are_the_same_and_far_ones_differ() -> None:
    assert by_embedding("10", "20").says == "same"
    assert by_embedding("10", "80").says == "different"
    assert by_embedding("10", "55").says == "unsure"


def test_confidence_grows_with_the_distance_from_the_cut() -> None:
    assert by_embedding("10", "10").confidence == pytest.approx(1.0, abs=1e-6)
    assert by_embedding("10", "15").confidence > by_embedding("10", "30").confidence
    assert by_embedding("10", "99").confidence > by_embedding("10", "75").confidence
    assert by_embedding("10", "55").confidence == 0


@pytest.mark.parametrize(("one", "two"), [("", "10"), ("10", " \n "), ("", ""), ("unreadable", "10")])
def test_what_cannot_be_read_is_unsure(one: str, two: str) -> None:
    assert by_embedding(one, two) == Verdict("unsure", 0.0)


def test_a_long_answer_is_read_in_pieces_and_averaged() -> None:
    embed = Directions()
    judge = EmbeddingJudge(embed, same=0.9, different=0.5)
    half = "30 " * PIECE_WORDS
    verdict = asyncio.run(judge.compare("", half + "90 " * PIECE_WORDS, "60"))  # 30° and 90° make 60°
    assert verdict.says == "same"
    assert [len(text.split()) for text in embed.texts] == [PIECE_WORDS, PIECE_WORDS, 1]


def test_a_piece_counts_by_its_words() -> None:
    verdict = by_embedding("10 " * PIECE_WORDS + "90", "10")
    assert verdict.says == "same"
    assert verdict.confidence > 0.9


class Strict(Directions):
    """Reads nothing that has an "x" in it, and never more than 40 words."""

    async def __call__(self, texts: Sequence[str]) -> list[Vector | None]:
        vectors = await super().__call__(texts)
        words = [text.split() for text in texts]
        return [None if "x" in each or len(each) > 40 else vector for each, vector in zip(words, vectors, strict=True)]


@pytest.mark.parametrize(("unreadable", "says"), [(0, "same"), (1, "same"), (3, "same"), (4, "unsure"), (16, "unsure")])
def test_what_stays_unread_is_dropped_while_it_is_little(unreadable: int, says: str) -> None:
    """Of a hundred words each "x" takes six or seven with it."""
    words = ["10"] * PIECE_WORDS
    words[5 : 5 + 6 * unreadable : 6] = ["x"] * unreadable
    judge = EmbeddingJudge(Strict(), same=0.9, different=0.5)
    assert asyncio.run(judge.compare("", " ".join(words), "10")).says == says


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return Embedder(minilm_folder(data_folder() / "embedders"))


PROSE = """The store keeps each answer beside the question that was asked, and looks for the nearest one when another
question comes in. When the two mean the same, the answer is served at once and no model is kept busy. """
CODE = """def read_rows(path: Path, *, columns: Sequence[str]) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for number, fields in enumerate(csv.DictReader(file), start=2):
            yield Row(f"{path}:{number}", {name.strip().lower(): value for name, value in fields.items()})
"""


@pytest.mark.parametrize(
    "answer", [PROSE * 8, CODE * 12, PROSE * 4 + "\U0001f680 " + PROSE * 4], ids=["prose", "code", "with an emoji"]
)
def test_long_answer_is_the_same_as_itself_and_no_other(minilm: Embedder, answer: str) -> None:
    async def story() -> list[str]:
        service = EmbeddingService(minilm)
        judge = EmbeddingJudge(service.embed_all, same=0.9, different=0.75)
        others = answer, "The capital of Australia is Canberra, and its parliament sits on a hill."
        verdicts = [await judge.compare("", answer, other) for other in others]
        await service.close()
        return [verdict.says for verdict in verdicts]

    assert len(answer.split()) >= 300
    assert minilm.encode_what_fits([answer]) == [None]
    assert asyncio.run(story()) == ["same", "different"]


def test_another_cut_is_another_judge() -> None:
    names = {EmbeddingJudge(Directions(), same=same, different=0.5).name for same in (0.8, 0.9)}
    assert len(names) == 2


def test_cuts_keep_their_errors_on_both_sides() -> None:
    random = np.random.default_rng(5)
    alike, unlike = random.normal(0.85, 0.05, 500).tolist(), random.normal(0.7, 0.08, 500).tolist()
    same, different = calibrated_cuts(alike, unlike, error=0.02)
    assert different < same
    assert np.mean(np.array(alike) < different) <= 0.02
    assert np.mean(np.array(unlike) >= same) <= 0.02


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("SAME", "same"),
        ("same.", "same"),
        ("**Different**, since the port is another.", "different"),
        ("UNSURE", "unsure"),
        ("I think they are the SAME", "unsure"),
        ("Same - both name the port.", "same"),
        ("DIFFERENT\nThe port is another.", "different"),
        (" *same*", "same"),
        ("Different wording, same answer", "unsure"),
        ("Same-sounding, but wrong", "unsure"),
        ("SAME/DIFFERENT", "unsure"),
        ("", "unsure"),
    ],
)
def test_only_the_first_word_of_a_models_reply_counts(reply: str, says: str) -> None:
    prompts: list[str] = []

    async def ask(prompt: str) -> Answer:
        prompts.append(prompt)
        return Answer(reply, 42)

    verdict = asyncio.run(LlmJudge(ask).compare("Which {port}?", "It is 80.", "It is 443."))
    assert (verdict.says, verdict.tokens) == (says, 42)
    (prompt,) = prompts
    assert all(text in prompt for text in ("Which {port}?", "It is 80.", "It is 443."))


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("", "It is 80.", Verdict("unsure", 0.0)),
        ("It is 80.", " \n", Verdict("unsure", 0.0)),
        ("", "", Verdict("unsure", 0.0)),
        ("It is 80.\n", " It is 80.", Verdict("same", 1.0)),
    ],
)
def test_model_is_not_asked_what_is_clear_without_it(one: str, two: str, expected: Verdict) -> None:
    async def ask(prompt: str) -> Answer:
        raise AssertionError(prompt)

    assert asyncio.run(LlmJudge(ask).compare("Which port?", one, two)) == expected


def test_model_that_is_never_sure_is_told_once_until_it_was_sure(caplog: pytest.LogCaptureFixture) -> None:
    replies = ["Perhaps"] * 2 * MOST_UNSURE + ["SAME"] + ["Perhaps"] * (MOST_UNSURE - 1)
    said = iter(replies)

    async def ask(prompt: str) -> Answer:
        return Answer(next(said), 1, "toy 1")

    async def story(judge: LlmJudge, times: int) -> None:
        for _ in range(times):
            await judge.compare("Which port?", "It is 80.", "It is 443.")

    judge = LlmJudge(ask)
    asyncio.run(story(judge, MOST_UNSURE - 1))
    assert caplog.messages == []
    asyncio.run(story(judge, len(replies) - MOST_UNSURE + 1))
    assert caplog.messages == [
        f"judge.unsure judge='llm toy 1' in_a_row={MOST_UNSURE} "
        "remedy='set WORKBENCH_AUDIT_JUDGE_MODEL to a capable model'"
    ]
