"""What a policy knows of words."""

from __future__ import annotations

from benchmarks.vocabulary import dictionary, fit_weights, fit_words

TEXTS = [
    *("a branch in git", "a branch and a tag", "the branch recieve", "recieve it", "recieve and receive", "receive"),
] * 5
VOCABULARY = frozenset({"branch", "receive", "brach", "relieve", "recede", "and"})


def test_rarer_words_weigh_more_and_rare_ones_have_no_weight() -> None:
    weights = fit_weights(["git tag", "git tag", "git tag", "git", "git log"])

    assert weights["tag"] > weights["git"] == 0
    assert "log" not in weights


def test_frequent_words_are_known_but_for_frequent_slips() -> None:
    known, _ = fit_words([*TEXTS, "receive this"], VOCABULARY)

    assert "branch" in known
    assert "receive" in known
    assert "recieve" not in known
    assert "git" not in known


def test_dictionary_has_words_that_are_a_slip_from_others_and_no_slips() -> None:
    words = dictionary()

    assert {"parsing", "caching", "lactase", "inulin", "router", "pprint", "elif"} <= words
    assert words.isdisjoint({"recieve", "pyhton", "enviroment", "seperate"})


def test_words_that_look_like_slips_of_known_ones_are_real() -> None:
    _, real = fit_words([*TEXTS, "receive this"], VOCABULARY)

    assert real == ("brach",)
