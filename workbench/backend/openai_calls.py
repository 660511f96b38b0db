"""Tool calls that arrive in fragments, as OpenAI's servers and their many imitators send them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from workbench.errors import BadReply, MalformedToolCall

MAX_CALLS = 256
"""More tool calls than this in one reply are a Thinker gone mad."""

MAX_CHARACTERS = 16 * 1024 * 1024
"""Of the arguments of all calls together; they are held until the end."""

T = TypeVar("T")


@dataclass(slots=True)
class ToolCall:
    """A call as far as it has come."""

    id: str
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """Their JSON text so far; some servers say nothing, or null, where there are none."""
        text = "".join(self.pieces).strip()
        return text if text not in ("", "null") else "{}"

    @property
    def fault(self) -> str | None:
        """What is wrong with it as it is now, if anything is."""
        try:
            is_object = isinstance(orjson.loads(self.arguments), dict)
        except orjson.JSONDecodeError:
            is_object = False
        if not is_object:
            return f"the Thinker called {self.name[:80]!r} with what is not a JSON object: {self.arguments[:200]}"
        return None if self.name else "the Thinker sent a tool call without a name"

    def is_another(self, id: str, piece: str, *, has_index: bool) -> bool:
        """Whether a named fragment at this call's index begins another one.

        Some servers repeat id and name with every piece; others send whole calls, all with index 0 or without.
        """
        if id and self.id:
            return id != self.id
        return not has_index or bool(piece and self.fault is None)


class ToolCalls:
    """The calls of one reply, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[ToolCall] = []
        self._at: dict[int, ToolCall] = {}
        self._latest: ToolCall | None = None
        self._characters = 0

    def add(self, fragment: Any) -> bool:
        """Take a piece of a call: of the one at its index, of the latest where it has none, or of a new one.

        Returns whether it says anything. Raises `BadReply` for what is no piece of a call, or one too many.
        """
        function = typed(fragment, "function", dict)
        name, id = typed(function, "name", str), typed(fragment, "id", str)
        index = fragment.get("index") if isinstance(fragment.get("index"), int) else None
        piece = _text(function.get("arguments"))
        call = self._latest if index is None else self._at.get(index)
        is_new = call is None or bool(name and call.is_another(id, piece, has_index=index is not None))
        if call is None or is_new:
            call = self._new(id, index)
        self._latest = call
        call.id, call.name = call.id or id, call.name or name
        if piece:
            call.pieces.append(piece)
            self._characters += len(piece)
        if self._characters > MAX_CHARACTERS:
            raise BadReply(f"the Thinker sent tool calls of more than {MAX_CHARACTERS} characters")
        return is_new or bool(piece)

    def whole(self, *, may_be_cut: bool) -> list[ToolCall]:
        """All of them; raises `MalformedToolCall` for one that makes no sense; one that the limit cut is left out."""
        for call in self._calls:
            if call.fault and not may_be_cut:
                raise MalformedToolCall(call.fault)
        return [call for call in self._calls if not call.fault]

    def _new(self, id: str, index: int | None) -> ToolCall:
        if len(self._calls) == MAX_CALLS:
            raise BadReply(f"the Thinker sent more than {MAX_CALLS} tool calls in one reply")
        call = ToolCall(id)
        self._calls.append(call)
        if index is not None:
            self._at[index] = call
        return call


def _text(arguments: Any) -> str:
    """A piece of JSON text; some servers send the object itself."""
    match arguments:
        case None:
            return ""
        case str():
            return arguments
        case dict():
            return orjson.dumps(arguments).decode()
        case _:
            raise BadReply(f"the Thinker sent tool arguments as a {type(arguments).__name__}, expected JSON text")


def typed(part: Any, name: str, kind: type[T]) -> T:
    """The field, empty when it is missing or null; raises `BadReply` when it is of another type."""
    if not isinstance(part, dict):
        raise BadReply(f"the Thinker sent a {type(part).__name__} around `{name}`, expected an object")
    value = part.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise BadReply(f"the Thinker sent `{name}` as a {type(value).__name__}, expected {kind.__name__}")
    return value
