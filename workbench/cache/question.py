"""What a request asks, and what must be equal before another request's answer may be its answer.

A request is keyed by its digest. Its question, the user's own words in the last turn, may also be matched by
meaning, but only against a request that is equal in everything else: that is its scope. What clients wrap
around the words (reminders, command output, the editor's selection) stays in the scope, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.auxiliary import COMPACT, json_schema, names_a_session
from workbench.canonical import canonicalise, digest
from workbench.messages import Message, MessagesRequest, TextBlock, ToolResultBlock

_WRAPPER = r"(?:system-reminder|(?:local-)?command-|bash-|ide_|task-notification|user-[a-z-]+-hook|session-start-hook)"
_OPENING = re.compile(rf"<((?>{_WRAPPER}[\w-]*+))[^<>]*+>")  # atomic, possessive: linear on hostile text too
_LEFTOVER = re.compile(rf"</?{_WRAPPER}", re.IGNORECASE)

_SUBAGENT = "cc_is_subagent=true"
_NUDGES = ("Your previous response had no visible output", "Your response above was cut off mid-stream")
_NOTIFICATION = "<system-reminder>[SYSTEM NOTIFICATION"


@dataclass(frozen=True, eq=False)
class Question:
    """One request as the cache sees it. Exactly one of `text` and `reason` is None.

    Not slotted: scope, outer scope and turns are worked out when first asked for, so that an exact hit does
    not pay for them. All three are empty when there is a `reason`.
    """

    request: MessagesRequest
    """The canonical request: this, and nothing else, is sent upstream."""
    model_digest: str
    digest: str
    """Hex SHA-256 of the canonical request and the model's digest."""
    text: str | None
    """The user's own words, without surrounding whitespace."""
    reason: str | None
    """Why it may not be matched by meaning, as a short slug."""

    @cached_property
    def scope(self) -> str:
        """The digest of the request with exactly `text` taken out."""
        return self._silenced(since=_last_turn_start(self.request), roles={"user"})

    @cached_property
    def outer_scope(self) -> str:
        """The digest of the request with the words of every user and assistant message taken out."""
        return self._silenced(since=0, roles={"user", "assistant"})

    @cached_property
    def turns(self) -> tuple[str, ...]:
        """What `outer_scope` leaves out, a text a message: ``user: …``, ``assistant: …``, in order."""
        if self.text is None:
            return ()
        spoken = ((message.role, _words([message])) for message in self.request.messages if message.role != "system")
        return tuple(f"{role}: {words}" for role, words in spoken if words)

    @cached_property
    def earlier(self) -> tuple[str, ...]:
        """Those of `turns` that came before the question."""
        own = sum(bool(_words([message])) for message in _last_turn(self.request))
        return self.turns[: max(0, len(self.turns) - own)]

    def _silenced(self, *, since: int, roles: set[str]) -> str:
        if self.text is None:
            return ""
        messages = [
            _silenced(message) if place >= since and message.role in roles else message
            for place, message in enumerate(self.request.messages)
        ]
        return digest(self.request.model_copy(update={"messages": messages}), model_digest=self.model_digest)


def question(request: MessagesRequest, *, model: str, model_digest: str, agent_id: str | None = None) -> Question:
    """The question that `request` (as it came from outside) asks of `model`.

    `model_digest` names the model's exact revision; `agent_id` is the header by which Claude Code marks its
    subagents. Raises `InvalidRequest` when the request is nested too deeply to be keyed.
    """
    canonical = canonicalise(request, model=model)
    words = _words(_last_turn(canonical))
    reason = "subagent" if agent_id or _is_subagent(request) else _why_not(canonical, words)
    return Question(
        request=canonical,
        model_digest=model_digest,
        digest=digest(canonical, model_digest=model_digest),
        text=None if reason else words,
        reason=reason,
    )


# ── why it may not be matched by meaning ────────────────────────────────────────────────────────────────────


def _why_not(request: MessagesRequest, words: str) -> str | None:
    turn = _last_turn(request)
    return _auxiliary(request, (words, *(block.text.lstrip() for block in _texts(turn)))) or _unaskable(turn, words)


def _auxiliary(request: MessagesRequest, texts: tuple[str, ...]) -> str | None:
    """What the client asks for its own ends; `texts`: the words of the last turn, then its blocks."""
    words, *blocks = texts
    if names_a_session(request):
        return "auxiliary-title"
    if any(json_schema(holder) is not None for holder in [request.model_extra, *_extras(request.messages)]):
        return "json-schema"
    if [(tool.type or "").startswith("web_search") for tool in request.tools or ()] == [True]:
        return "web-search"
    if any(text.startswith(COMPACT) for text in texts):
        return "auxiliary-compact"
    if any(text.lstrip("[").startswith(_NUDGES) for text in texts):
        return "nudge"
    if not words and any(text.startswith(_NOTIFICATION) for text in blocks):
        return "notification"
    return None


def _unaskable(turn: list[Message], words: str) -> str | None:
    blocks = [block for message in turn for block in message.content]
    if any(isinstance(block, ToolResultBlock) for block in blocks):
        return "tool-result"
    if not all(isinstance(block, TextBlock) for block in blocks):
        return "attachment"
    if any(_is_torn(_split(block.text)) for block in _texts(turn)):
        return "unclosed-tag"
    return None if words else "no-user-question"


def _is_subagent(request: MessagesRequest) -> bool:
    return any(_SUBAGENT in block.text for block in (request.system or [])[:1])


def _extras(messages: Iterable[Message]) -> list[dict[str, Any] | None]:
    return [message.model_extra for message in messages]


# ── the user's words, and the turn without them ─────────────────────────────────────────────────────────────


def _last_turn_start(request: MessagesRequest) -> int:
    places = [place for place, message in enumerate(request.messages) if message.role == "assistant"]
    return places[-1] + 1 if places else 0


def _last_turn(request: MessagesRequest) -> list[Message]:
    """The user's messages since the assistant last spoke; empty when nobody has since."""
    return [message for message in request.messages[_last_turn_start(request) :] if message.role == "user"]


def _texts(messages: Iterable[Message]) -> list[TextBlock]:
    return [block for message in messages for block in message.content if isinstance(block, TextBlock)]


def _words(messages: Iterable[Message]) -> str:
    pieces = (piece.strip() for block in _texts(messages) for piece in _pieces(block.text)[::2])
    return "\n".join(piece for piece in pieces if piece)


def _pieces(text: str) -> list[str]:
    """`text` in pieces, by turns the user's own (even places) and wrapped by the client (odd places).

    A text whose wrappers do not match is nobody's own: all of it is wrapped.
    """
    pieces = _split(text)
    return ["", text] if _is_torn(pieces) else pieces


def _split(text: str) -> list[str]:
    pieces, start = [], 0
    while opening := _OPENING.search(text, start):
        closing = f"</{opening[1]}>"
        end = text.find(closing, opening.end())
        if end < 0:
            break
        end += len(closing)
        pieces += [text[start : opening.start()], text[opening.start() : end]]
        start = end
    return [*pieces, text[start:]]


def _is_torn(pieces: list[str]) -> bool:
    return any(_LEFTOVER.search(piece) for piece in pieces[::2])


def _silenced(message: Message) -> Message:
    """`message` without its words. A list stands for each text, so no text can be taken for one without words."""
    content = [
        block.model_copy(update={"text": _blanked(block.text)}) if isinstance(block, TextBlock) else block
        for block in message.content
    ]
    return message.model_copy(update={"content": content})


def _blanked(text: str) -> list[list[str] | str]:
    """The wrapped pieces whole, and of each own piece only the whitespace around its words."""
    return [piece if place % 2 else _margins(piece) for place, piece in enumerate(_pieces(text))]


def _margins(piece: str) -> list[str]:
    words = piece.strip()
    return piece.split(words, maxsplit=1) if words else [piece]
