"""Admission: what is not matched by meaning, what is not stored at all, and what the rules leave alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_canonical import STEADY
from workbench.cache.admission import ALL, MASK, first_reason, holds_secret, mask_secrets

KEY = "sk-ant-" + "Zx9" * 10  # of the shape of a key, and none


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("moment", "What happened today?"),
        ("moment", "What's the latest Python version"),
        ("moment", "current price of bitcoin"),
        ("moment", "Who is the current president of France"),
        ("moment", "What are the events this week?"),
        ("moment", "what time is it"),
        ("moment", "How's the weather in Rome"),
        ("moment", "is it open right now"),
        ("moment", "Will it rain tomorrow"),
        ("variety", "Tell me another joke"),
        ("variety", "another one"),
        ("variety", "Give me a different one"),
        ("variety", "give me a random number"),
        ("variety", "Surprise me"),
        ("variety", "Write a poem about the sea"),
        ("variety", "write me a short funny story about a cat"),
        ("variety", "please compose a haiku"),
        ("variety", "Let's brainstorm names for a cafe"),
        ("variety", "try again"),
        ("personal", "Write to ada.lovelace@mail-server.org about it"),
        ("personal", "my number is +49 170 1234567"),
        ("personal", "call (555) 010-4477 for me"),
        ("personal", "I paid with 4111 1111 1111 1111"),
        ("personal", "send it to DE89 3704 0044 0532 0130 00 please"),
        ("personal", "my ssn is 123-45-6789"),
        ("secrets", f"why does {KEY} not work"),
    ],
)
def test_question_without_a_lasting_answer_names_its_rule(reason: str, text: str) -> None:
    assert first_reason(text) == reason
    assert first_reason(text, ALL - {reason}) is None


@pytest.mark.parametrize(
    "text",
    [
        "How do I reverse a list in Python?",
        "Was he poor by today's standards?",
        "How do I print the current directory?",
        "show the current branch in git",
        "How do I undo the latest commit?",
        "what does NOW() do in SQL",
        "call today() in Excel",
        "From now on, is the index used?",
        "How does a random forest work?",
        "How do I generate a random integer in Go?",
        "copy a file to another directory",
        "How do I write a story in Jira?",
        "write a function that counts words",
        "clone git@github.com:someone/repo.git",
        "set my email to dev@example.com",
        "Track order 48213",
        "on 2024-01-15 at 10:30:00",
        "connect to 192.168.100.200",
        "2147483647 + 1",
        "install left-pad@1.3.0",
    ],
)
def test_question_with_a_lasting_answer_is_admitted(text: str) -> None:
    assert first_reason(text) is None


@pytest.mark.parametrize(
    ("sort", "text"),
    [
        ("private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn"),
        ("AWS key", "use AKIA" + "ABCDEFGHIJ234567"),
        ("API key", f"export ANTHROPIC={KEY}"),
        ("API key", "ghp_" + "a1B2" * 9),
        ("API key", "xoxb-" + "123456789012-abcdef"),
        ("token", "eyJhbGciOiJI." + "eyJzdWIiOiIx." + "c2lnbmF0dXJl"),
        ("bearer token", "Authorization: Bearer abcdef0123456789abcdef"),
        ("password in a URL", "postgres://app:hunter22@db/x"),
        ("password or key", "DB_PASSWORD=hunter2024"),
        ("password or key", 'api_key: "a1b2c3d4e5"'),
        ("password or key", "my password is hunter2!"),
        ("random token", "what is q7Zk2LmX9vB4nR8tY1wC5hJ3"),
    ],
)
def test_secret_is_found_anywhere_in_the_text(sort: str, text: str) -> None:
    assert holds_secret(text) == sort
    assert holds_secret(f"{'word ' * 1000}\n{text}\n{'word ' * 1000}") == sort
    assert MASK in mask_secrets(text)
    assert holds_secret(mask_secrets(f"one {text} two {text}")) is None


def test_a_private_key_is_masked_to_its_end_or_the_texts() -> None:
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{'Ab1/' * 400}\n-----END RSA PRIVATE KEY-----"
    assert mask_secrets(f"a\n{key}\nb") == f"a\n{MASK}\nb"
    assert mask_secrets(f"a\n{key[:900]}") == f"a\n{MASK}"


@STEADY
@given(st.lists(st.sampled_from([*"ab :=@/\"' ", KEY, "password", "://u:", "Bearer ", "hunter22", "AKIA", "x" * 16])))
def test_what_was_masked_holds_no_secret(pieces: list[str]) -> None:
    assert holds_secret(mask_secrets("".join(pieces))) is None


@pytest.mark.parametrize(
    "text",
    [
        "How do I hash a password in Python?",
        "my password is incorrect, what now",
        "password=your_password_here",
        "password = os.environ['PASSWORD']",
        "token = get_token(request)",
        "postgres://user:password@localhost/db",
        "show 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "AbstractSingletonProxyFactoryBean in Spring",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "a risk-averse desk-bound task-force member of the sk-learn group",
    ],
)
def test_text_about_secrets_holds_none(text: str) -> None:
    assert holds_secret(text) is None


def test_card_number_with_a_wrong_check_digit_is_no_card() -> None:
    assert first_reason("order 4111 1111 1111 1112") is None


@STEADY
@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert first_reason(text) in {None, *ALL}
    assert holds_secret(text) is None or "secrets" in ALL


def test_hostile_text_is_read_in_linear_time() -> None:
    for unit in ("a", "1", "1 ", "1-", "a@", "eyJ-", "://a:", "sk-", "key=", "token ", "give me a ", "AA11 ", "phone "):
        text = unit * (200_000 // len(unit))
        assert len(mask_secrets(text)) <= len(text)
        assert first_reason(text) in {None, *ALL}  # a quadratic rule would take hours
