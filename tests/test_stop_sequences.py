"""`StopSequences` against a slow, obvious twin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.backend.stop_sequences import StopSequences

TEXTS = st.text(alphabet="ab<", max_size=30)
SEQUENCES = st.lists(st.text(alphabet="ab<", min_size=1, max_size=4), max_size=4)


def naive(text: str, sequences: list[str]) -> tuple[str, str | None]:
    """Look after every character whether a sequence has just become complete."""
    for end in range(1, len(text) + 1):
        complete = [sequence for sequence in sequences if text[:end].endswith(sequence)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


def watched(pieces: list[str], sequences: list[str]) -> tuple[str, str | None]:
    watcher = StopSequences(sequences)
    seen = ""
    for piece in pieces:
        seen += watcher.feed(piece)
        if watcher.found is not None:
            return seen, watcher.found
    return seen + watcher.release(), None


def cut(text: str, edges: list[int]) -> list[str]:
    bounds = [0, *sorted(min(edge, len(text)) for edge in edges), len(text)]
    return [text[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]  # noqa: RUF007  # the same, in fewer words


@given(TEXTS, SEQUENCES, st.lists(st.integers(0, 30), max_size=8))
def test_it_finds_what_the_naive_twin_finds_however_the_text_is_cut(
    text: str, sequences: list[str], edges: list[int]
) -> None:
    assert watched(cut(text, edges), sequences) == naive(text, sequences)


def test_a_sequence_spread_over_pieces_is_found() -> None:
    assert watched(["one </s", "to", "p> two"], ["</stop>"]) == ("one ", "</stop>")


def test_text_that_only_looked_like_a_beginning_comes_out() -> None:
    assert watched(["a <", "/st", "rong>"], ["</stop>"]) == ("a </strong>", None)


def test_nothing_is_held_back_without_sequences() -> None:
    watcher = StopSequences([])
    assert watcher.feed("all of it") == "all of it"
    assert watcher.release() == ""


def test_only_what_may_become_a_sequence_is_held_back() -> None:
    watcher = StopSequences(["END"])
    assert watcher.feed("the EN") == "the "
    assert watcher.release() == "EN"


def test_the_sequence_that_ends_first_wins() -> None:
    assert watched(["abcd"], ["abcd", "bc"]) == ("a", "bc")


def test_of_two_that_end_together_the_longest_wins() -> None:
    assert watched(["xabc"], ["bc", "abc"]) == ("x", "abc")
