"""The generator of synthetic pairs: traps change the answer, rewrites do not, and the sample betrays neither."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.traps import literal_traps, phrase_traps, reframing, rewrites, word_traps
from benchmarks.traps.english import Table, gerund, gerund_phrase, participle, past, plural, third_person
from benchmarks.traps.literal_traps import ordinal
from benchmarks.traps.sampling import TRAP_MAKERS, both, planted, sample, traps
from benchmarks.traps.variants import Maker, fold
from benchmarks.traps.words import word_set
from benchmarks.traps.words.calendar import DIGITS
from benchmarks.traps.words.quantities import QUANTIFIERS
from benchmarks.traps.words.wordings import FILLERS

PLAIN = "hmm okay then"
"""Nothing to change here."""

TEXTS = (
    "How do I undo my last commit but keep the changes?",
    "How can I list all files larger than 10 MB in /var/log with find?",
    "Why can't I log in with my new password?",
    "In Python 3.9, how do I convert a list to a set without losing the order?",
    "delete the branch feature/login from the remote repository",
    "What is the difference between a process and a thread?",
    "Is it safe to turn on 2FA for all users before Monday?",
    "Please transfer $20 from my savings account to order 48213 at 5pm",
    "Can I use `git push --force` if nobody else works on the branch?",
    "How many days until March 3, 2024?",
    "My card was declined two times. Why is it not working?",
    "write a function user_id(x) that returns \"hello\" as JSON",
    "Where can I find the largest and cheapest hotel in France?",
    "When will my refund arrive? I don't see it yet.",
    "I never received the email from support@example.com about https://example.com/a, what should I do?",
)  # fmt: skip
"""Texts of every sort, with cues of every slot."""


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311  # reproducible, not secret


def made_by(maker: Maker, text: str) -> set[str]:
    """What `maker` makes of `text` over many seeds."""
    return {made for seed in range(200) if (made := maker(text, seeded(seed))) is not None}


# ── every maker, on an example ──────────────────────────────────────────────────────────────────────────────

EXAMPLES: list[tuple[Maker, str, str]] = [
    (literal_traps.number, "sort 3 files", "sort 4 files"),
    (literal_traps.number_word, "in two weeks", "in three weeks"),
    (literal_traps.ordinal_word, "print the third line", "print the second line"),
    (literal_traps.version, "install Python 3.9", "install Python 3.10"),
    (literal_traps.money, "what costs $20", "what costs $200"),
    (literal_traps.currency, "send 20 dollars", "send 20 euros"),
    (literal_traps.id_number, "Track order 48213", "Track order 48231"),
    (literal_traps.time, "call me at 5pm", "call me at 5am"),
    (literal_traps.time_word, "wake me in the morning", "wake me in the evening"),
    (literal_traps.date, "since March 3", "since March 5"),
    (literal_traps.date_word, "is it open on Monday", "is it open on Friday"),
    (literal_traps.quotation, 'echo "hello world"', 'echo "hello there"'),
    (literal_traps.code, "what does `get_user` do", "what does `set_user` do"),
    (literal_traps.identifier, "count the *.log files", "count the *.csv files"),
    (literal_traps.path, "clean /var/log", "clean /var/lib"),
    (literal_traps.flag, "git reset --hard", "git reset --soft"),
    (literal_traps.url, "open https://example.com/a", "open https://example.org/a"),
    (literal_traps.email, "write to info@example.com", "write to data@example.com"),
    (word_traps.opposite, "How do I enable 2FA?", "How do I disable 2FA?"),
    (word_traps.opposite, "adding a user to a group", "removing a user from a group"),
    (word_traps.particle, "turn the light on", "turn the light off"),
    (word_traps.polarity, "is it legal", "is it illegal"),
    (word_traps.superlative, "the largest city", "the smallest city"),
    (word_traps.technology, "sort a list in Python", "sort a list in Ruby"),
    (word_traps.name, "the capital of france", "the capital of japan"),
    (word_traps.language, "say hello in Spanish", "say hello in German"),
    (word_traps.thing, "delete this branch", "delete this repository"),
    (word_traps.file_format, "read a JSON file", "read a CSV file"),
    (word_traps.unit, "wait 10 ms", "wait 10 s"),
    (word_traps.quantifier, "delete at least three", "delete at most three"),
    (word_traps.person, "What is my balance?", "What is their balance?"),
    (phrase_traps.negate, "Why does it work?", "Why doesn't it work?"),
    (phrase_traps.affirm, "Why is it not working?", "Why is it working?"),
    (phrase_traps.without, "export it with a header", "export it without a header"),
    (phrase_traps.avoid, "How do I run tests?", "How do I avoid running tests?"),
    (phrase_traps.reverse, "copy it from Rome to Oslo", "copy it from Oslo to Rome"),
    (phrase_traps.reverse, "convert Celsius to Fahrenheit", "convert Fahrenheit to Celsius"),
    (phrase_traps.tense, "When will it arrive?", "When did it arrive?"),
    (phrase_traps.aspect, "How do I freeze bread?", "Is it safe to freeze bread?"),
    (phrase_traps.question_word, "where is the meeting", "when is the meeting"),
    (phrase_traps.form, "How do I sort a list?", "How do I sort a list as a one-liner?"),
    (phrase_traps.answer_language, "Who are you?", "Who are you? Answer in French."),
    (phrase_traps.condition, "How do I add a file?", "How do I add a file without root access?"),
    (phrase_traps.unconditional, "How do I move it without losing data?", "How do I move it?"),
    (phrase_traps.quality, "delete all files", "delete all empty files"),
    (phrase_traps.only_some, "list all files", "list the first ten files"),
    (rewrites.synonym, "delete a file", "remove a file"),
    (rewrites.contraction, "why it is not there", "why it's not there"),
    (rewrites.unit_spelling, "wait 10 ms", "wait 10 milliseconds"),
    (rewrites.number_spelling, "wait two weeks", "wait 2 weeks"),
    (rewrites.number_spelling, "after 3 days", "after three days"),
    (rewrites.typo, "delete it", "deltee it"),
    (rewrites.casing, "What is this?", "what is this?"),
    (rewrites.punctuation, "What is this?", "What is this"),
    (rewrites.article, "open the file", "open file"),
    (rewrites.politeness, "What is this?", "What is this? Thanks!"),
    (rewrites.bare, "Hi, what is this?", "what is this?"),
    (reframing.frame, "How do I freeze bread?", "What's the way to freeze bread?"),
    (reframing.frame, "Delete this branch", "Could you please delete this branch?"),
    (reframing.difference, "difference between tea and coffee", "How do tea and coffee differ?"),
    (reframing.what_is, "What is the capital of Peru?", "Tell me what the capital of Peru is."),
    (reframing.why, "Why can't I log in?", "How come I can't log in?"),
    (reframing.where, "Where can I park?", "Do you know where I can park?"),
    (reframing.keywords, "How do I freeze the bread?", "freeze bread"),
    (reframing.clauses, "How do I sort a list in Python?", "In Python, how do I sort a list?"),
]


@pytest.mark.parametrize(("maker", "text", "expected"), EXAMPLES)
def test_each_maker_changes_its_one_thing(maker: Maker, text: str, expected: str) -> None:
    assert expected in made_by(maker, text)


APPLY_ALMOST_EVERYWHERE = {
    phrase_traps.form, phrase_traps.answer_language, rewrites.punctuation, rewrites.politeness, rewrites.casing
}  # fmt: skip


SELECTIVE = [maker for maker in dict.fromkeys(maker for maker, *_ in EXAMPLES) if maker not in APPLY_ALMOST_EVERYWHERE]


@pytest.mark.parametrize("maker", SELECTIVE)
def test_a_maker_says_when_it_does_not_apply(maker: Maker) -> None:
    assert made_by(maker, PLAIN) == set()


LEFT_ALONE: list[tuple[Maker, str]] = [
    (phrase_traps.form, "word " * 60),
    (phrase_traps.answer_language, "How do I say hello in Spanish?"),
    (rewrites.politeness, "Hi, what is this?"),
    (phrase_traps.affirm, "Isn't it overrated?"),  # asks the same as "Is it"
    (phrase_traps.negate, "Can I log in?"),
    (phrase_traps.reverse, "count from 1 to 10"),
    (word_traps.superlative, "the last 3 days"),
    (word_traps.technology, "where do I go to express my wish"),
    (word_traps.superlative, "from largest to smallest"),
    (literal_traps.number, "Track order 48213"),
    (literal_traps.currency, "copy the file $1"),
    (literal_traps.date_word, "may I march"),
    (rewrites.number_spelling, "Python 3 or version 2"),
    (rewrites.number_spelling, "open 'two words'"),
    (rewrites.typo, "do not go to Berlin in two"),
    (rewrites.article, "wait a few days"),
    (reframing.difference, "the difference between using a mutex and a lock in C"),
    (reframing.clauses, "Can you tell me when it will arrive?"),
    (reframing.frame, "How do you manage your time?"),
]


@pytest.mark.parametrize(("maker", "text"), LEFT_ALONE)
def test_a_maker_leaves_alone_what_it_would_spoil(maker: Maker, text: str) -> None:
    assert made_by(maker, text) == set()


def test_every_maker_has_an_example() -> None:
    makers = {
        maker for table in (TRAP_MAKERS, rewrites.REWRITE_MAKERS) for several in table.values() for maker in several
    }
    named = {maker for maker, *_ in EXAMPLES}
    assert {getattr(maker, "__name__", "") for maker in makers - named} <= {"<lambda>"}  # plain tables of words


def test_word_tables_rewrite_in_both_directions() -> None:
    assert "color" in made_by(rewrites.REWRITE_MAKERS["spelling"][0], "colour")
    assert "repo" in made_by(rewrites.REWRITE_MAKERS["abbreviations"][0], "repository")
    assert {"e-mail"} <= made_by(rewrites.REWRITE_MAKERS["abbreviations"][1], "email")


# ── traps ───────────────────────────────────────────────────────────────────────────────────────────────────

ISSUE_EXAMPLES = [
    ("How do I enable 2FA?", "antonyms", "disable"),
    ("Delete this branch", "object", "repository"),
    ("Install it with Python 3.9", "versions", "3.12"),
    ("Convert Celsius to Fahrenheit", "order", "Fahrenheit to Celsius"),
    ("Track order 48213", "ids", "48231"),
]


@pytest.mark.parametrize(("text", "slot", "changed"), ISSUE_EXAMPLES)
def test_the_traps_that_the_cache_must_refuse_are_among_them(text: str, slot: str, changed: str) -> None:
    found = {trap.text for seed in range(300) for trap in traps(text, seeded(seed)) if trap.slot == slot}
    assert any(changed in trap for trap in found)


@pytest.mark.parametrize("text", TEXTS)
def test_a_trap_is_never_the_text_again(text: str) -> None:
    made = [trap for seed in range(20) for trap in traps(text, seeded(seed))]
    assert made
    assert [trap for trap in made if trap.same or fold(trap.text) == fold(text) or trap.slot not in TRAP_MAKERS] == []


def test_every_slot_of_the_families_but_none_other_has_a_maker() -> None:
    assert set(TRAP_MAKERS) == word_set("""
        numbers units dates times versions money ids quotes code identifiers paths flags urls emails names negation
        polarity
        antonyms order quantifiers superlatives person tense technology language form object aspect condition
    """)


DIFFERENT: list[tuple[str, Table]] = [
    ("antonyms", word_traps.ANTONYMS),
    ("polarity", word_traps.POLARITY),
    ("superlatives", word_traps.SUPERLATIVES),
    ("objects", word_traps.OBJECTS),
    ("things", word_traps.THINGS),
    ("technology", word_traps.TECHNOLOGY),
    ("names", word_traps.NAMES),
    ("units", word_traps.UNITS),
    ("quantifiers", QUANTIFIERS),
]


MEANING_THE_SAME = (
    rewrites.SYNONYMS,
    rewrites.ABBREVIATIONS,
    rewrites.COMPOUNDS,
    rewrites.CONTRACTIONS,
    rewrites.SPELLINGS,
    rewrites.UNITS,
)


@pytest.mark.parametrize(("name", "table"), DIFFERENT)
def test_no_two_words_are_called_both_alike_and_different(name: str, table: Table) -> None:
    alike = {(word, other.lower()) for words in MEANING_THE_SAME for word in words for other in words[word]}
    different = {(word, other.lower()) for word in table for other in table[word]}
    assert (alike | {(b, a) for a, b in alike}) & different == set()


def test_the_lexicons_are_wide() -> None:
    assert sum(len(others) for others in word_traps.ANTONYMS.values()) > 2 * 250 * 2  # both directions, inflected
    assert len(rewrites.SYNONYMS) > 250


# ── rewrites ────────────────────────────────────────────────────────────────────────────────────────────────

_NEGATION = re.compile(
    r"\b(?:no|not|never|without|w/o|cannot|cant|dont|doesnt|isnt|nobody|none|unable|\w+n't|(?:im|un|in)\w+)\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")


def numbers(text: str) -> Counter[str]:
    """Every number but one (a pronoun too) in digits."""
    spelled = re.sub(r"[a-z]+", lambda word: DIGITS.get(word[0], word[0]) if word[0] != "one" else "one", text.lower())
    return Counter(digits for digits in _DIGITS.findall(spelled) if digits != "1")


def negations(text: str) -> int:
    """How many negations `text` holds, its greetings and thanks apart; words such as "unable" count."""
    for filler in FILLERS:
        text = text.replace(filler.strip(), "")
    return len(_NEGATION.findall(text.replace("’", "'")))


def rewritten(text: str) -> set[str]:
    """What `text` becomes by one rewrite, over some seeds."""
    return {variant.text for seed in range(30) for variant in rewrites.rewrites(text, seeded(seed))}


@pytest.mark.parametrize("text", TEXTS)
def test_a_rewrite_changes_no_number(text: str) -> None:
    made = rewritten(text)
    assert made
    assert {other for other in made if numbers(other) != numbers(text)} == set()


NEGATED = [text for text in TEXTS if re.search(r"\b(?:not|never|without|don't|can't|nobody)\b", text)]


@pytest.mark.parametrize("text", NEGATED)
def test_a_rewrite_drops_no_negation(text: str) -> None:
    assert {other for other in rewritten(text) if negations(other) < negations(text)} == set()


LITERALS = word_set("2FA --force /var/log user_id(x) 48213 feature/login https://example.com/a support@example.com")


@pytest.mark.parametrize("text", TEXTS)
def test_a_rewrite_leaves_literals_as_they_are(text: str) -> None:
    kept = [literal for literal in LITERALS if literal in text]
    made = rewritten(text)
    assert {other for other in made for literal in kept if literal not in other} == set()


@given(st.text(max_size=80), st.integers(0, 99))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_text_at_all_is_taken(text: str, seed: int) -> None:
    for variant in [*traps(text, seeded(seed)), *rewrites.rewrites(text, seeded(seed))]:
        assert variant.text != text


WORDS = " ".join(TEXTS).split()


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=15), st.integers(0, 99))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_word_salad_gives_the_same_for_the_same_seed(chosen: list[str], seed: int) -> None:
    text = " ".join(chosen)
    assert traps(text, seeded(seed)) == traps(text, seeded(seed))
    assert rewrites.rewrites(text, seeded(seed)) == rewrites.rewrites(text, seeded(seed))
    assert all(fold(trap.text) != fold(text) for trap in traps(text, seeded(seed)))


# ── pairs ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_sides_of_a_positive_may_carry_the_cue_of_a_trap() -> None:
    pairs = [pair for seed in range(40) if (pair := both(TEXTS[0], seeded(seed)))]
    assert all(pair.same and pair.a not in TEXTS and pair.a != pair.b for pair in pairs)
    assert len({pair.slot.split(" ")[0] for pair in pairs}) > 5


def test_a_remark_is_planted_beside_a_short_question_only() -> None:
    assert (planted("How do I stop it", seeded(1)) or "").startswith("How do I stop it. ")
    assert planted("word " * 100, seeded(1)) is None


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    assert sample(TEXTS, count=60, seed=7) == sample(TEXTS, count=60, seed=7)
    assert sample(TEXTS, count=60, seed=7) != sample(TEXTS, count=60, seed=8)


def test_a_sample_is_balanced_and_repeats_no_pair() -> None:
    pairs = sample(TEXTS, count=800, seed=1)
    assert len(pairs) == len({frozenset((pair.a, pair.b)) for pair in pairs}) == 800
    assert 0.4 < sum(pair.same for pair in pairs) / len(pairs) < 0.5
    slots = Counter(pair.slot for pair in pairs if not pair.same)
    assert len(slots) >= 26
    assert max(slots.values()) < 0.1 * 800
    assert all(pair.a != pair.b and (pair.same or fold(pair.a) != fold(pair.b)) for pair in pairs)


def test_the_first_side_does_not_tell_which_was_made() -> None:
    pairs = sample(TEXTS, count=400, seed=3)
    given_first = sum(pair.a in TEXTS for pair in pairs)
    given_second = sum(pair.b in TEXTS for pair in pairs)
    assert 0.5 < given_first / given_second < 2


def test_typing_slips_and_greetings_stand_in_negatives_too() -> None:
    negatives = [pair for pair in sample(TEXTS, count=600, seed=5) if not pair.same]
    greeted = [pair for pair in negatives if any(filler.strip() in pair.a + pair.b for filler in FILLERS)]
    assert len(greeted) > 10


def test_texts_that_give_nothing_give_no_pairs() -> None:
    assert sample(["", "   "], count=10, seed=1) == []
    assert sample([], count=10, seed=1) == []


# ── grammar ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_verbs_and_nouns_are_inflected() -> None:
    assert [gerund(verb) for verb in ("stop", "make", "open", "turn on", "die", "see")] == [
        "stopping", "making", "opening", "turning on", "dying", "seeing"
    ]  # fmt: skip
    assert [past(verb) for verb in ("copy", "write", "commit", "use")] == ["copied", "wrote", "committed", "used"]
    assert [participle("write"), third_person("push"), third_person("have")] == ["written", "pushes", "has"]
    assert [plural(noun) for noun in ("directory", "branch", "key", "person", "bank card")] == [
        "directories", "branches", "keys", "people", "bank cards"
    ]  # fmt: skip
    assert gerund_phrase("open it and read it") == "opening it and reading it"
    assert [ordinal(digits) for digits in ("1", "22", "13", "103")] == ["1st", "22nd", "13th", "103rd"]
