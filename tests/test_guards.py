"""What two questions must agree on: texts that mean the same pass, texts that differ where it counts do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_canonical import STEADY
from workbench.cache.guards import PRECISE, SLOT_NAMES, SLOTS, conflicts, first_conflict
from workbench.cache.slots.opposites import ANTONYM_SIDES, LOOSE_SIDES, OPPOSITE_SIDE
from workbench.cache.slots.text import plain_text

QUANTITIES = {"numbers", "versions", "ids"}
LIST = "How do I reverse a list in Python?"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # casing, punctuation, politeness, word order
        (LIST, "how do i reverse a list in python"),
        (LIST, "How can I reverse a list in Python?"),
        (LIST, "Please tell me how to reverse a list in Python."),
        (LIST, "How do I reverse a Python list?"),
        (LIST, "HOW DO I REVERSE A LIST IN PYTHON?!"),
        (LIST, "How Do I Reverse A List In Python"),
        (LIST, "Hi Claude, how do I reverse a list in Python? Thanks!"),
        (LIST, "Could you please explain how to reverse a list in Python"),
        ("use JavaScript with GitHub", "Use javascript with github."),
        ("TCP/IP or UDP", "tcp/ip or udp"),
        # contractions
        ("Why doesn't my code work?", "Why does my code not work?"),
        ("Why isn't Docker working?", "Why is Docker not working?"),
        ("don't use loops", "do not use loops"),
        ("don’t use loops", "dont use loops"),
        ("I can't log in", "I cannot log in"),
        ("What’s a monad", "What's a monad?"),
        # numbers and units
        ("Print two lines", "Print 2 lines"),
        ("twenty-five apples", "25 apples"),
        ("two hundred and five apples", "205 apples"),
        ("two million rows", "2 million rows"),
        ("wait 10ms", "wait 10 milliseconds"),
        ("a file of 5 MB", "a file of 5 megabytes"),
        ("sum 1,000 and 5", "sum 1000 and 5"),
        ("pay $10", "pay 10 dollars"),
        ("the 3rd item", "the third item"),
        ("Java version 17", "Java v17"),
        ("How does one sort", "How do I sort"),
        # marked up or not
        ("what does `list` do", "what does list do"),
        ('what does "foo" mean', "what does “foo” mean"),
        ("what does 'foo' mean", "what does foo mean"),
        ("what's the users' e.g. page", "what is the users' page"),
        # other words for the same
        ("enable 2FA", "turn on 2FA"),
        ("disable 2FA", "switch off 2FA"),
        ("convert Celsius to Fahrenheit", "convert from Celsius to Fahrenheit"),
        ("go to Rome from Paris", "go from Paris to Rome"),
        ("run A after B", "run A after B."),
        ("a list in a dict in a list", "a list in a dict in a list?"),
        # what is seen but says nothing
        ("What is the capital of France?", "what is the capital of france"),
        ("What's a monad?", "what is a monad"),
        ("How to undo the last git commit?", "how do I undo the last git commit"),
        (
            "Is there a well-known way and/or a name, e.g. for Zürich",
            "is there a well-known way and/or a name, for zürich",
        ),
        ("What is the TCP handshake?", "what is the tcp handshake"),
        ("a café", "a cafe\u0301"),
        ("is x<y", "is x < y"),
        ("a list (in Python)", "a list in Python"),
        ("Go on!", "go on"),
        ("5 m of rope", "5 meters of rope"),
        ("one line\r\nanother\n", "One line\nanother"),
        ("a list of tuples", "a tuple list"),
        # known misses of earlier versions
        ("Explain TCP", "explain tcp"),
        ("Explain TCP", "Explain tcp"),
        ("What is naïve Bayes?", "what is naive bayes"),
        ("naïve", "naive"),
        ("Hey ChatGPT, what is a monad? Thanks, Bob", "What is a monad?"),
        ("What does 60 minutes of it cost", "what does 1 hour of it cost"),
        ("due on 2024-03-05", "due on March 5, 2024"),
        ("due on the 5th of March", "due on 5 March"),
        ("call at 3 pm", "call at 15:00"),
        ("pay $2.5 million", "pay 2500000 dollars"),
        ("use postgres with js", "Use PostgreSQL with JavaScript"),
        ("delete this repo", "delete this repository"),
        ("Is TCP or UDP faster", "is UDP or TCP faster"),
        # other words, no precise difference
        ("How do I get rid of a stash", "delete one of my git stash entries"),
        ("How do I lock my account without losing data?", "lock my account and keep the data"),
        ("What is the best way to learn Rust?", "how should I learn Rust"),
        ("Before I run it, how do I preview it?", "How do I preview it before I run it?"),
        (
            "If I live in Spain and earn in Germany, where do I pay?",
            "Where do I pay if I live in Spain and earn in Germany?",
        ),
        ("change the colour of a button", "change the color of a button"),
        ("set up continuous integration", "set up CI"),
        ("a fever of 39 °C", "a fever of 39 degrees Celsius"),
        ("serialise it in C sharp", "serialize it in C#"),
        ("Why does std::vector grow in C++?", "why does vector grow in C++?"),
        ("How large is a 10 GB file?", "how large is a 10 gb file"),
        ("How fast is 10 Mb/s?", "how fast is 10 Mb / s?"),
    ],
)
def test_same_meaning_has_no_conflict(a: str, b: str) -> None:
    assert first_conflict(a, b) is None
    assert first_conflict(b, a) is None


@pytest.mark.parametrize(
    ("slot", "a", "b"),
    [
        ("versions-missing", LIST, "How do I reverse a list in Python 2?"),
        ("numbers", "Track order 48213", "Track order 48231"),
        ("versions", "Python 3.1", "Python 3.10"),
        ("units", "wait 10ms", "wait 10s"),
        ("units", "a file of 10 MB", "a file of 10 GB"),
        ("units", "pay $10", "pay €10"),
        ("money", "pay $10k", "pay $10"),
        ("numbers", "-5 degrees", "5 degrees"),
        ("numbers", ".5 of it", ".7 of it"),
        ("numbers", "0x1F", "0x2F"),
        ("numbers", "10 minus 3", "3 minus 10"),
        ("dates", "on 2024-01-15", "on 2024-01-16"),
        ("times", "at 10:30", "at 10:45"),
        ("numbers", "two hundred", "two thousand"),
        ("numbers", "the second item", "the third item"),
        ("units-missing", "5%", "5"),
        ("negation", LIST, "How do I not reverse a list in Python?"),
        ("negation", "How do I not reverse a list and sort it", "How do I reverse a list and not sort it"),
        ("negation", "push with force", "push without force"),
        ("negation", "Is it safe", "Isn't it safe"),
        ("negation", "stop using loops", "using loops"),
        ("negation", "all but the last", "all but never the last"),
        ("negation", "an empty list", "a non-empty list"),
        ("antonyms", "enable 2FA", "disable 2FA"),
        ("antonyms", "turned on logging", "turned off logging"),
        ("antonyms", "sorting ascending", "sorting descending"),
        ("antonyms", "stopping the job", "starting the job"),
        ("antonyms", "at least a few", "at most a few"),
        ("antonyms", "is it legal", "is it illegal"),
        ("antonyms", "valid names", "invalid names"),
        ("antonyms", "start and stop it", "start it"),
        ("direction", "convert Celsius to Fahrenheit", "convert Fahrenheit to Celsius"),
        ("direction", "go from Paris to Rome", "go to Paris from Rome"),
        ("direction", "how to turn a list into a tuple", "how to turn a tuple into a list"),
        ("direction", "convert JSON data to XML data", "convert XML data to JSON data"),
        ("direction", "replace tabs with spaces", "replace spaces with tabs"),
        ("direction", "a list of tuples", "a tuple of lists"),
        ("direction", "use maps instead of sets", "use sets instead of maps"),
        ("direction", "run A after B", "run B after A"),
        ("direction", "is Go faster than Rust", "is Rust faster than Go"),
        ("direction", "x -> y", "y -> x"),
        ("code", "what is `foo`", "what is `bar`"),
        ("code", "split on ` `", "split on `;`"),
        ("quotes", 'say "yes"', 'say "maybe"'),
        ("quotes", 'swap "x" and "y"', 'swap "y" and "x"'),
        ("quotes", 'split by ","', 'split by ";"'),
        ("paths", "open /etc/hosts", "open /etc/host"),
        ("paths", "rm -v x", "rm -V x"),
        ("paths-missing", "run it with --fast", "run it"),
        ("paths", "see https://a.b/c", "see https://a.b/d"),
        ("identifiers", "what does get_item do", "what does get_items do"),
        ("identifiers", "use sha1", "use sha256"),
        ("identifiers", "edit app.py", "edit api.py"),
        ("identifiers", "explain getItem", "explain setItem"),
        ("technology", "write C++", "write C"),
        ("identifiers", "call foo()", "call bar()"),
        ("technology", LIST, "How do I reverse a list in Perl?"),
        ("names", "Who is Ada", "Who is Grace"),
        ("invisible", "log in to paypal", "log in to pay\u200bpal"),
        ("invisible", "a\u200bb c", "ab c\u200b"),
        ("invisible", "print it\x00", "print it"),
        ("invisible", "one\u2028two", "one two"),
        ("invisible", "log in to paypal", "log in to payp\u0430l"),
        ("accents", "ist es schon", "ist es schön"),
        ("accents", "mi papa", "mi papá"),
        ("accents", "это мой", "это мои"),
        ("accents", "かき", "かぎ"),
        ("accents", "what is pêche", "what is péché"),
        ("accents", "in Masse", "in Maße"),
        ("symbols", "what does 😀 mean", "what does 😢 mean"),
        ("symbols", "is x ≤ y", "is x ≥ y"),
        ("layout", "if x:\n  go()\nend()", "if x:\n  go()\n  end()"),
        ("layout", "first second\nthird", "first\nsecond third"),
        ("layout", "first\nsecond", "first second"),
        ("layout", "make:\n\trun", "make:\n    run"),
        ("operators", "is x < y", "is x > y"),
        ("operators", "what does x == y do", "what does x = y do"),
        ("operators", "x += y", "x -= y"),
        ("operators", "x + y * z", "x * y + z"),
        ("operators", "count++", "count--"),
        ("operators", "5 * (3 + 2)", "(5 * 3) + 2"),
        ("operators-missing", "what is !done", "what is done"),
        ("operators", "ready && set", "ready || set"),
        ("operators", "x / y", "x % y"),
        ("operators", "what is [x]", "what is {x}"),
        ("order", "Before I run it, I preview the file", "Before I preview the file, I run it"),
        ("operators", "what does ?: do", "what does ?. do"),
        ("operators", r"what does \d+ match", r"what does \D+ match"),
        ("operators", "what does x := 1 do", "what does x = 1 do"),
        ("units", "100 megabits per second", "100 megabytes per second"),
        ("direction", "a letter from me to my landlord", "a letter from my landlord to me"),
        ("units", "download 10 GB", "download 10 Gb"),
        ("units", "10 Mbps in an hour", "10 MBps in an hour"),
        ("letters", "swap x and y", "swap y and x"),
        ("letters", "plot a and b", "plot a and c"),
        ("letters", "the value of a", "the value of b"),
        ("letters", "for i = x", "for j = x"),
        ("letters", "If x = y and z = 2", "If x = z and y = 2"),
        ("case", "Who leads the US", "Who leads the us"),
        ("case", "who can fix it", "who can fix IT"),
        ("case", "How do I call getName?", "How do I call getname?"),
        ("case", "What is SAP made of?", "What is sap made of?"),
        ("case", "Is it Polish", "Is it polish"),
        ("case", "What does None mean", "What does none mean"),
        ("order", "did alice pay bob", "did bob pay alice"),
        ("order", "why do dogs chase cats", "why do cats chase dogs"),
        ("order", "Keep the file alpha. Delete the file beta.", "Keep the file beta. Delete the file alpha."),
        ("word-order", "Keep the file alpha. Delete the file beta.", "Delete the file beta. Keep the file alpha."),
        ("order", "do you owe it", "does it owe you"),
        ("order", "a house boat", "a boat house"),
        ("antonyms", "How do I enable 2FA?", "How do I disable 2FA?"),
        ("versions", "How do I install packages in Python 3.9?", "How do I install packages in Python 3.12?"),
        ("direction", "How do I convert Celsius to Fahrenheit?", "How do I convert Fahrenheit to Celsius?"),
        ("object", "delete this branch", "delete this repo"),
        ("object", "How do I rename a column?", "How do I rename a table?"),
        ("dates", "remind me on March 3", "remind me on March 5"),
        ("dates", "is it open on Mondays", "is it open on Tuesdays"),
        ("dates", "taxes in 2023", "taxes in 2024"),
        ("times", "meet at 9 am", "meet at 9 pm"),
        ("versions", "upgrade to v1.2.3", "upgrade to v1.2.4"),
        ("ids", "close ticket #12 now", "close ticket #13 now"),
        ("units", "How many miles is that", "How many feet is that"),
        ("technology", "sort a list in go", "sort a list in rust"),
        ("technology", "back up a postgres database", "back up a mysql database"),
        ("technology-missing", "sort a list", "sort a list in rust"),
        ("language", "Say hello in French", "Say hello in Spanish"),
        ("language-missing", "Explain recursion", "Explain recursion in German"),
        ("form", "Describe it in one sentence", "Describe it in 3 paragraphs"),
        ("form-missing", "Describe it", "Describe it as a table"),
        ("aspect", "why do dogs bark", "how do dogs bark"),
        ("aspect", "when was the bridge built", "who built the bridge"),
        ("aspect", "How much is the ticket", "How long is the ticket"),
        ("quantifiers", "delete all tables", "delete some tables"),
        ("superlatives", "name the largest city there", "name the nearest city there"),
        ("person", "reset my password", "reset their password"),
        ("tense", "who was the director", "who is the director"),
        ("tense", "did it rain", "will it rain"),
        ("without", "backups except images", "backups of images"),
        ("foreign-words", "カレーの作り方", "すしの作り方"),
        ("one-word-added", "wash the car", "wash the red car"),
    ],
)
def test_difference_that_counts_is_a_conflict(slot: str, a: str, b: str) -> None:
    every = frozenset({slot}) if slot not in PRECISE else PRECISE
    conflict, mirrored = first_conflict(a, b, vetoes=every), first_conflict(b, a, vetoes=every)

    assert conflict is not None
    assert mirrored is not None
    assert (conflict.slot, mirrored.slot) == (slot, slot)
    assert (conflict.a_value, conflict.b_value) == (mirrored.b_value, mirrored.a_value)


@STEADY
@given(st.text(max_size=200))
def test_text_has_no_conflict_with_itself_padded(text: str) -> None:
    assert first_conflict(text, text) is None
    assert first_conflict(text, f"{text} ") is None


@STEADY
@given(st.text(max_size=100), st.text(max_size=100))
def test_conflict_does_not_depend_on_which_text_came_first(a: str, b: str) -> None:
    one, other = first_conflict(a, b), first_conflict(b, a)

    assert (one and one.slot) == (other and other.slot)


@STEADY
@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from(["{} items", "order #{}", "{}ms", "Python {}.", "v{}", "-{}"]),
)
def test_two_different_numbers_always_conflict(one: int, other: int, frame: str) -> None:
    a, b = f"Show {frame.format(one)}", f"Show {frame.format(other)}"

    found = {conflict.slot for conflict in conflicts(a, b)}
    assert bool(found & QUANTITIES) == (one != other)


@STEADY
@given(st.sampled_from(sorted(ANTONYM_SIDES)))
def test_every_known_opposite_conflicts(word: str) -> None:
    for side in ANTONYM_SIDES[word]:
        opposites = [other for other, sides in ANTONYM_SIDES.items() if OPPOSITE_SIDE[side] in sides]
        both = [other for other in opposites if side not in ANTONYM_SIDES[other]]
        assert both
        found = [{conflict.slot for conflict in conflicts(f"{word} it", f"{other} it")} for other in both]
        assert all("antonyms" in slots or "negation" in slots for slots in found)


@STEADY
@given(st.text())
def test_readers_read_any_text(text: str) -> None:
    for slot in SLOTS:
        assert slot.read(plain_text(text)) == slot.read(plain_text(text))


@STEADY
@given(st.text(max_size=100), st.text(max_size=100))
def test_conflicts_have_known_names_each_once(a: str, b: str) -> None:
    found = [conflict.slot for conflict in conflicts(a, b)]

    assert len(set(found)) == len(found)
    assert set(found) <= set(SLOT_NAMES)
    assert (first_conflict(a, b) is None) == PRECISE.isdisjoint(found)


def test_conflicts_tell_every_slot_that_differs() -> None:
    found = conflicts("enable 2 disks in Perl", "disable 3 disks in Python")

    assert [conflict.slot for conflict in found] == ["numbers", "antonyms", "technology"]
    assert [(conflict.a_value, conflict.b_value) for conflict in found[1:]] == [
        ("enable (not disable)", "disable (not enable)"),
        ("language: perl", "language: python"),
    ]


def test_pairs_of_opposites_are_told_apart_by_name() -> None:
    assert {side for sides in ANTONYM_SIDES.values() for side in sides} == OPPOSITE_SIDE.keys()
    assert all(OPPOSITE_SIDE[OPPOSITE_SIDE[side]] == side for side in OPPOSITE_SIDE)
    assert OPPOSITE_SIDE.keys() > LOOSE_SIDES


def test_hostile_text_is_read_in_linear_time() -> None:
    for text in (
        "a." * 3000,
        "a" * 6000,
        "1," * 3000,
        "'" * 6000,
        "`" * 6000,
        "/" * 6000,
        "--a" * 2000,
        "_" * 6000,
        "a " * 3000,
        "=" * 6000,
        "-é" * 3000,
    ):
        assert first_conflict(text, f"{text} ") is None


@pytest.mark.parametrize(
    ("a", "b", "slot"),
    [
        ("Did Germany invade Poland?", "Did Poland invade Germany?", "order"),
        ("git diff HEAD~1 HEAD", "git diff HEAD HEAD~1", "order"),
        ("swap rows and columns, keep rows first", "swap rows and columns, keep columns first", "order"),
        ("What is 10 minus 4?", "What is 4 minus 10?", "numbers"),
        ("What percentage of 50 is 20?", "What percentage of 20 is 50?", "numbers"),
        ("What does == do in JavaScript?", "What does === do in JavaScript?", "operators"),
    ],
)
def test_what_changed_places_is_seen(a: str, b: str, slot: str) -> None:
    assert slot in {conflict.slot for conflict in conflicts(a, b)}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I turn off autocorrect?", "How do I turn autocorrect off?"),
        ("Is it NP-complete or NP-hard?", "Is it NP-hard or NP-complete?"),
        (
            "What's the difference between git fetch and git pull?",
            "What's the difference between git pull and git fetch?",
        ),
        ("How do I reverse a list in Python?", "In Python, how do I reverse a list?"),
        ("Should I enable WAL mode?", "Should I enable WAL mode or not?"),
    ],
)
def test_turn_of_phrase_is_no_precise_conflict(a: str, b: str) -> None:
    assert not {conflict.slot for conflict in conflicts(a, b)} & PRECISE
