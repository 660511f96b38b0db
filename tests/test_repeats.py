"""The same words, and what stands between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cache.guards import conflicts, first_conflict, repeats


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("List all running containers in Docker", "Could you please list all running containers in docker? Thanks!"),
        ("How do I merge two dictionaries in Python?", "how do i merge 2 dicts in python"),
        ("What's an IAM role in AWS?", "What is an IAM role in Amazon Web Services?"),
        ("How do I serialize an object in C#?", "How do I serialise an object in C sharp"),
        ("Hey, how do I parse command line arguments in Go", "How do I parse command-line args in Golang?"),
        ("container exited with code 137, why?", "Container exited with code 137 - why"),
        ("It fails! Why?", "it fails. why"),
        ("Write a six-year-old a poem", "write a 6-year-old a poem"),
    ],
)
def test_spelling_courtesy_and_punctuation_make_no_other_question(one: str, other: str) -> None:
    assert repeats(one, other)
    assert not any(conflict.slot == "operators" for conflict in conflicts(one, other))


def test_marks_around_the_same_words_are_for_the_score_to_weigh() -> None:
    one, other = "What does `set -e` do?", "what does set -e do"
    assert not repeats(one, other)
    assert not any(conflict.slot == "operators" for conflict in conflicts(one, other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What does set -e do in bash?", "What does set +e do in bash?"),
        ("square root of 144", "square root of -144"),
        ("find . -mtime +7 prints which files?", "find . -mtime -7 prints which files?"),
        ("How do I convert a String to a &str in Rust?", "How do I convert a &String to a str in Rust?"),
        ("Why is {'a': 1,} invalid JSON?", "Why is {'a': 1} invalid JSON?"),
        ("What does the ?: operator do in Kotlin?", "What does the !! operator do in Kotlin?"),
        ("Is A included in git cherry-pick A..B?", "Is A included in git cherry-pick A^..B?"),
        ("Does Disallow: /shop block a page?", "Does Disallow: /shop/ block a page?"),
        ("Does the line /build ignore src?", "Does the line **/build ignore src?"),
        ("When is cmd2 run in cmd1 && cmd2?", "When is cmd2 run in ! cmd1 && cmd2?"),
    ],
)
def test_other_signs_between_the_same_words_make_another_question(one: str, other: str) -> None:
    assert not repeats(one, other)
    assert "operators" in {conflict.slot for conflict in conflicts(one, other)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I email a form?", "How do I mail a form?"),
        ("redirect http to https", "redirect https to http"),
        ("hello", "ok"),
        ("please", "kindly"),
        ("What does a slice mean", "What does the slice mean"),
    ],
)
def test_other_words_are_no_repeat(one: str, other: str) -> None:
    assert not repeats(one, other)


def test_a_refusal_shows_the_signs_with_their_words() -> None:
    conflict = first_conflict("What does set -e do?", "What does set +e do?")
    assert conflict
    assert (conflict.slot, conflict.a_value, conflict.b_value) == ("operators", "set -", "set +")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("how do I spell colour", "how do I spell color"),
        ("is analyse right in british english", "is analyze right in british english"),
    ],
)
def test_spellings_differ_where_they_are_the_question(one: str, other: str) -> None:
    assert {"spelling"} <= {conflict.slot for conflict in conflicts(one, other)}


def test_spellings_are_one_elsewhere() -> None:
    assert not conflicts("how do I change the colour", "how do I change the color")


@given(st.text(max_size=60), st.text(max_size=60))
def test_repeats_hold_both_ways(one: str, other: str) -> None:
    assert repeats(one, one)
    assert repeats(one, other) == repeats(other, one)
