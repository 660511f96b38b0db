"""What a request asks, and what must be equal before another one's answer may be its answer."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_canonical import STEADY, Body, Path, at, changed, leaves, nudged
from workbench.cache.question import Question, question
from workbench.errors import InvalidRequest
from workbench.messages import parse_request

REMINDER = "<system-reminder>\nAs you answer, mind CLAUDE.md: use tabs.\n</system-reminder>"
ASKED = "How do I reverse a list in Python?"

BODY: Body = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "temperature": 0.5,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1;"},
        {"type": "text", "text": "You are terse."},
    ],
    "tools": [{"name": "Bash", "description": "Run", "input_schema": {"type": "object"}}],
    "thinking": {"type": "disabled"},
    "context_management": {"edits": [{"type": "clear"}]},
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Hi. What would you like?"},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "There is a.txt."}]},
        {"role": "user", "content": [{"type": "text", "text": REMINDER}, {"type": "text", "text": ASKED}]},
        {"role": "system", "content": [{"type": "text", "text": "cwd: /home/u, Today's date is 2026-01-01"}]},
    ],
}
QUESTION: Path = ("messages", 4, "content", 1, "text")
LAST_TURN: Path = ("messages", 4, "content")

OWN_WORDS = st.text(min_size=1).filter(lambda text: text.strip() == text and "<" not in text)


def of(body: Body, **given: Any) -> Question:
    given = {"model": "toy", "model_digest": "sha256:1"} | given
    return question(parse_request(orjson.dumps(body)), **given)


def asking(*blocks: Any, **fields: Any) -> Question:
    """The question of a request whose last turn is made of these blocks."""
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    return of(changed(BODY, LAST_TURN, content) | fields)


# ── the user's words ────────────────────────────────────────────────────────────────────────────────────────


def test_question_is_what_the_user_wrote() -> None:
    asked = of(BODY)

    assert asked.text == ASKED
    assert asked.reason is None


@pytest.mark.parametrize(
    "wrapper",
    [
        REMINDER,
        "<command-name>/review</command-name>\n<command-args>x</command-args>",
        "<local-command-stdout>Set model to y</local-command-stdout>",
        '<bash-stdout>a.txt\n</bash-stdout><bash-stderr n="1"></bash-stderr>',
        "<ide_selection>def f(): ...</ide_selection>",
        "<user-prompt-submit-hook>ok</user-prompt-submit-hook>",
    ],
)
def test_what_the_client_wraps_is_scope_and_not_question(wrapper: str) -> None:
    for blocks in ((wrapper, ASKED), (f"{wrapper}\n{ASKED}\n{wrapper}",), (ASKED, wrapper)):
        asked = asking(*blocks)
        assert (asked.text, asked.reason) == (ASKED, None)
        assert asked.scope != asking(*[block.replace(wrapper, "") for block in blocks]).scope


def test_words_in_several_blocks_and_messages_are_joined() -> None:
    assert asking("How do I", REMINDER, "reverse a list?").text == "How do I\nreverse a list?"

    body = copy.deepcopy(BODY)
    body["messages"] += [{"role": "user", "content": "In Perl, please."}]
    assert of(body).text == f"{ASKED}\nIn Perl, please."


def test_markup_of_the_users_own_stays_in_the_question() -> None:
    assert asking("What does <b>bold</b> or a<b mean?").text == "What does <b>bold</b> or a<b mean?"


def test_surrounding_whitespace_is_not_part_of_the_question() -> None:
    assert asking(f"\n {ASKED}\n\n").text == ASKED


def test_canonical_request_is_what_is_sent() -> None:
    sent = of(BODY).request

    assert sent.model == "toy"
    assert sent.system is not None
    assert [block.text for block in sent.system] == ["You are terse."]


# ── why it may not be matched by meaning ────────────────────────────────────────────────────────────────────

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
DOCUMENT = {"type": "document", "source": {"type": "url", "url": "https://a.b/c.pdf"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"}
SCHEMA = {"format": {"type": "json_schema", "schema": {"properties": {"name": {"type": "string"}}}}}
TITLE = {"format": {"type": "json_schema", "schema": {"properties": {"title": {"type": "string"}}}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("reason", "blocks", "fields"),
    [
        ("tool-result", [RESULT], {}),
        ("tool-result", [RESULT, ASKED], {}),
        ("tool-result", [RESULT, IMAGE], {}),
        ("attachment", [IMAGE, ASKED], {}),
        ("attachment", [DOCUMENT, ASKED], {}),
        ("no-user-question", [REMINDER], {}),
        ("no-user-question", [" \n"], {}),
        ("no-user-question", [], {}),
        ("unclosed-tag", [f"<system-reminder>{ASKED}"], {}),
        ("unclosed-tag", [f"{ASKED}</system-reminder>"], {}),
        ("unclosed-tag", [f"<system-reminder>a<system-reminder>b</system-reminder>c</system-reminder>{ASKED}"], {}),
        ("unclosed-tag", ["What is a <Command-Name> tag?"], {}),
        ("unclosed-tag", ["<local-command-stdout>x</local-command-stderr>", ASKED], {}),
        ("auxiliary-compact", ["CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."], {}),
        ("auxiliary-compact", [f"{REMINDER}\nCRITICAL: Respond with TEXT ONLY."], {}),
        ("nudge", ["[Your previous response had no visible output. Please continue.]"], {}),
        ("nudge", ["Your response above was cut off mid-stream. Go on."], {}),
        ("notification", ["<system-reminder>[SYSTEM NOTIFICATION] task 3 is done</system-reminder>"], {}),
        ("json-schema", [ASKED], {"output_config": SCHEMA}),
        ("json-schema", [ASKED], {"output_format": {"type": "json_schema", "schema": None}}),
        ("json-schema", [ASKED], {"output_config": TITLE}),
        ("auxiliary-title", [ASKED], {"output_config": TITLE, "tools": []}),
        ("auxiliary-title", [ASKED], {"system": "You are naming a coding session. Be brief.", "tools": None}),
        ("web-search", [ASKED], {"tools": [SEARCH]}),
        ("subagent", [ASKED], {"system": "x-anthropic-billing-header: cch=1; cc_is_subagent=true;\nYou are terse."}),
    ],
)
def test_reason_is_named(reason: str, blocks: list[Any], fields: Body) -> None:
    asked = asking(*blocks, **fields)

    assert (asked.reason, asked.text) == (reason, None)
    assert (asked.scope, asked.outer_scope, asked.turns) == ("", "", ())
    assert asked.digest


def test_subagent_is_known_by_its_header() -> None:
    assert of(BODY, agent_id="a1").reason == "subagent"
    assert of(BODY, agent_id="a1").digest == of(BODY).digest


def test_schema_asked_for_by_a_system_message_counts() -> None:
    assert of(changed(BODY, ("messages", 5, "output_config"), SCHEMA)).reason == "json-schema"


@pytest.mark.parametrize(
    "fields",
    [
        {"output_config": {"effort": "high"}},
        {"output_config": {"format": None}},
        {"output_config": "high"},
        {"tools": [BODY["tools"][0], SEARCH]},
        {"system": "Say cc_is_subagent=false"},
    ],
)
def test_ordinary_requests_have_no_reason(fields: Body) -> None:
    assert asking(ASKED, **fields).reason is None


def test_assistant_that_spoke_last_leaves_no_question() -> None:
    body = copy.deepcopy(BODY)
    body["messages"].insert(5, {"role": "assistant", "content": "You reverse"})

    assert of(body).reason == "no-user-question"


def test_conversation_of_system_messages_only_has_no_question() -> None:
    messages = [{"role": "system", "content": "cwd"}]

    assert of(BODY | {"messages": messages}).reason == "no-user-question"


def test_hostile_tags_are_read_in_linear_time() -> None:
    for text in (
        "<user-" + "a-hook-" * 100_000,
        "<command-" + "a" * 300_000,
        "<system-reminder " * 30_000,
        "<system-reminder></system-reminder>" * 9000,
    ):
        assert asking(text).text is None


# ── scope ───────────────────────────────────────────────────────────────────────────────────────────────────


@STEADY
@given(OWN_WORDS, OWN_WORDS)
def test_requests_that_differ_only_in_the_question_have_one_scope(one: str, other: str) -> None:
    a, b = (of(changed(BODY, QUESTION, f"{REMINDER}\n{text}\n")) for text in (one, other))

    assert (a.text, b.text) == (one, other)
    assert a.scope == b.scope
    assert a.outer_scope == b.outer_scope
    assert (a.digest == b.digest) == (one == other)


EVERYTHING_ELSE = [path for path in leaves(BODY) if path not in (QUESTION, ("model",), ("system", 0, "text"))]


@pytest.mark.parametrize("path", EVERYTHING_ELSE, ids=lambda path: ".".join(map(str, path)))
def test_any_other_difference_gives_another_scope(path: Path) -> None:
    try:
        other = of(changed(BODY, path, nudged(at(BODY, path))))
    except InvalidRequest:
        return  # not a request any more

    assert other.scope != of(BODY).scope


@STEADY
@given(st.text(alphabet="ab \n", max_size=4), st.text(alphabet="ab \n", max_size=4))
def test_what_a_reminder_in_the_same_turn_says_is_in_the_scope(one: str, other: str) -> None:
    a, b = (asking(f"<system-reminder>{text}</system-reminder>{ASKED}") for text in (one, other))

    assert (a.scope == b.scope) == (one == other)


def test_scope_holds_the_model_and_its_digest() -> None:
    scopes = {of(BODY).scope, of(BODY, model="other").scope, of(BODY, model_digest="sha256:2").scope}

    assert len(scopes) == 3


def test_place_and_number_of_the_pieces_are_in_the_scope() -> None:
    turns: list[tuple[str, ...]] = [
        ("a b",),
        ("a", "b"),
        (f"a{REMINDER}b",),
        (f"{REMINDER}ab",),
        (f"ab{REMINDER}",),
        ("", "ab"),
    ]

    assert len({asking(*blocks).scope for blocks in turns}) == len(turns)


def test_scope_and_digest_are_never_taken_for_each_other() -> None:
    asked = of(BODY)

    assert len({asked.digest, asked.scope, asked.outer_scope}) == 3


# ── outer scope and turns ───────────────────────────────────────────────────────────────────────────────────

SPOKEN: list[Path] = [*(("messages", place, "content", 0, "text") for place in (0, 1, 3)), QUESTION]


def test_turns_are_what_was_said_in_order() -> None:
    assert of(BODY).turns == (
        "user: Hello",
        "assistant: Hi. What would you like?",
        "assistant: There is a.txt.",
        f"user: {ASKED}",
    )
    assert of(BODY).earlier == of(BODY).turns[:3]


@pytest.mark.parametrize("path", SPOKEN)
def test_outer_scope_leaves_out_every_turns_words(path: Path) -> None:
    other = of(changed(BODY, path, "Something else"))

    assert other.outer_scope == of(BODY).outer_scope
    assert other.turns != of(BODY).turns


@pytest.mark.parametrize("path", [path for path in EVERYTHING_ELSE if path not in SPOKEN], ids=str)
def test_outer_scope_holds_all_else(path: Path) -> None:
    try:
        other = of(changed(BODY, path, nudged(at(BODY, path))))
    except InvalidRequest:
        return

    assert other.outer_scope != of(BODY).outer_scope


def test_question_in_several_messages_is_no_earlier_turn_of_itself() -> None:
    asked = of(changed(BODY, ("messages",), [*BODY["messages"], {"role": "user", "content": "Briefly."}]))

    assert asked.text == f"{ASKED}\nBriefly."
    assert asked.earlier == of(BODY).earlier


def test_scope_of_a_first_question_is_its_outer_scope() -> None:
    first = of(changed(BODY, ("messages",), [BODY["messages"][0]]))

    assert first.earlier == ()
    assert first.scope == first.outer_scope


def test_outer_scope_holds_what_was_wrapped_in_earlier_turns() -> None:
    path = SPOKEN[0]
    bodies = [changed(BODY, path, text) for text in (f"{REMINDER}Hello", f"{REMINDER}Hi", "Hello", "<bash-input>Hello")]

    first, second, bare, torn = [of(body).outer_scope for body in bodies]
    assert first == second
    assert len({first, bare, torn}) == 3
    assert of(bodies[3]).turns[0] == "assistant: Hi. What would you like?"
