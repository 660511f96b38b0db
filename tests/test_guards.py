"""What two questions must agree on: texts that mean the same pass, texts that differ where it counts do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_canonical import STEADY
from workbench.cache.guards import SLOTS, first_conflict
from workbench.cache.lexicon import ANTONYM_SIDES, OPPOSITE_SIDE
from workbench.cache.slots import identifiers, names, negations, numbers, paths, quotations, word_order
from workbench.cache.unseen import accented, cased, invisibles, layout, letters, operators

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
    ],
)
def test_same_meaning_has_no_conflict(a: str, b: str) -> None:
    assert first_conflict(a, b) is None
    assert first_conflict(b, a) is None


@pytest.mark.parametrize(
    ("slot", "a", "b"),
    [
        ("numbers", LIST, "How do I reverse a list in Python 2?"),
        ("numbers", "Track order 48213", "Track order 48231"),
        ("numbers", "Python 3.1", "Python 3.10"),
        ("numbers", "wait 10ms", "wait 10s"),
        ("numbers", "a file of 10 MB", "a file of 10 GB"),
        ("numbers", "pay $10", "pay €10"),
        ("numbers", "pay $10k", "pay $10"),
        ("numbers", "-5 degrees", "5 degrees"),
        ("numbers", ".5 of it", ".7 of it"),
        ("numbers", "0x1F", "0x2F"),
        ("numbers", "10 minus 3", "3 minus 10"),
        ("numbers", "on 2024-01-15", "on 2024-01-16"),
        ("numbers", "at 10:30", "at 10:45"),
        ("numbers", "two hundred", "two thousand"),
        ("numbers", "the second item", "the third item"),
        ("numbers", "5%", "5"),
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
        ("paths", "run it with --fast", "run it"),
        ("paths", "see https://a.b/c", "see https://a.b/d"),
        ("identifiers", "what does get_item do", "what does get_items do"),
        ("identifiers", "use sha1", "use sha256"),
        ("identifiers", "edit app.py", "edit api.py"),
        ("identifiers", "explain getItem", "explain setItem"),
        ("identifiers", "write C++", "write C"),
        ("identifiers", "call foo()", "call bar()"),
        ("names", LIST, "How do I reverse a list in Perl?"),
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
        ("accents", "what does 😀 mean", "what does 😢 mean"),
        ("accents", "is x ≤ y", "is x ≥ y"),
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
        ("operators", "what is !done", "what is done"),
        ("operators", "ready && set", "ready || set"),
        ("operators", "x / y", "x % y"),
        ("operators", "what is [x]", "what is {x}"),
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
        ("order", "who beat federer nadal or djokovic", "who beat nadal federer or djokovic"),
        ("order", "Keep the file alpha. Delete the file beta.", "Keep the file beta. Delete the file alpha."),
        ("order", "Keep the file alpha. Delete the file beta.", "Delete the file beta. Keep the file alpha."),
        ("order", "do you owe it", "does it owe you"),
        ("order", "a house boat", "a boat house"),
    ],
)
def test_difference_that_counts_is_a_conflict(slot: str, a: str, b: str) -> None:
    conflict, mirrored = first_conflict(a, b), first_conflict(b, a)

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

    assert (first_conflict(a, b) is None) == (one == other)


@STEADY
@given(st.sampled_from(sorted(ANTONYM_SIDES)))
def test_every_known_opposite_conflicts(word: str) -> None:
    for side in ANTONYM_SIDES[word]:
        opposites = [other for other, sides in ANTONYM_SIDES.items() if OPPOSITE_SIDE[side] in sides]
        both = [other for other in opposites if side not in ANTONYM_SIDES[other]]
        assert both
        assert all(first_conflict(f"{word} it", f"{other} it") for other in both)


@STEADY
@given(st.text())
def test_readers_read_any_text(text: str) -> None:
    for slot in SLOTS:
        assert slot.read(text) == slot.read(text)


def test_pairs_of_opposites_are_told_apart_by_name() -> None:
    assert {side for sides in ANTONYM_SIDES.values() for side in sides} == OPPOSITE_SIDE.keys()
    assert all(OPPOSITE_SIDE[OPPOSITE_SIDE[side]] == side for side in OPPOSITE_SIDE)


def test_readers_give_values_in_one_spelling() -> None:
    assert numbers("From 1,500 m to 2km in twenty-one minutes, v1.2.3, 5 percent") == (
        "1500 m",
        "2 km",
        "21 min",
        "1.2.3",
        "5 %",
    )
    assert negations("Why doesn't it stop? Do not use loops, never nest.") == ("*", "us", "nest")
    assert quotations("say 'a b', then \"c.\" but don't") == ("a b", "c")
    assert paths("cd ~/src && ls -la ./x, see http://a.b/c?d=e.") == ("~/src", "-la", "./x", "http://a.b/c?d=e")
    assert identifiers("Call fooBar(), a_b or x.y.z (e.g. utf8) on me@a.org") == {
        "foobar",
        "a_b",
        "x.y.z",
        "utf8",
        "me@a.org",
    }
    assert names("In Paris I met Ada. The end? Ask: Why Bob's") == {"paris", "ada", "bob"}


def test_readers_of_what_the_embedder_drops_give_values_in_one_spelling() -> None:
    assert invisibles("a\u200bb, c\td\u3000e") == ("a\\u200bb,",)
    assert accented("«Mañana», in KÖLN: cafe\u0301 for €5 — naive") == ("mañana", "köln", "café")
    assert layout("  one two\n\n\tthree four \n") == ("'  ':", "'':0", "'\\t':2")
    assert layout("\n  one line \n") == ()
    assert operators("x>=y -> z? 5% of ./a/b --all, well-known, no! http://a -5 [k]") == (">=", "->", "[", "]")
    assert letters("A list: for i in a, x's (B) e.g. 5 m or I, an e-mail, a+i") == ("a", "x", "b", "a", "i")
    assert cased("Use JSON, getName, GitHub and Ada; It is Polish") == {"JSON", "getName", "GitHub", "Polish"}
    assert cased("ALL OF IT") == frozenset()
    assert [str(placed) for placed in word_order("How do I reverse a list?")] == ["i", "revers", "list"]


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
