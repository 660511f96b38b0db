"""How a question is framed: "How do I …", "Can I …", an order; and one thing put in other frames."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.traps.english import words
from benchmarks.traps.words import word_set
from benchmarks.traps.words.verbs import ORDERS

_HOW = re.compile(
    r"(?:(?:can|could) (?:you|someone|anyone) (?:please )?(?:tell|show) me |(?:please )?(?:tell|show|teach) me |"
    r"(?:please )?explain (?:to me )?)?"
    r"(?:how (?:do|can|could|would|should|might) (?:i|we|you|one) (?:be able to |go about )?|how to |"
    r"(?:what is|what's|whats|is there) (?:the|a|any) (?:way|method|procedure) to |"
    r"what (?:should|must|can|do) i (?:do |need to do |have to do )to |(?:the )?(?:way|steps) to |"
    r"what steps do i take to |how do i go about )"
    r"(?P<act>[a-z].*?)(?P<end>\s*[?.!]*)$",
    re.IGNORECASE | re.DOTALL,
)
_CAN = re.compile(r"(?:can|could|may) (?:i|we) (?P<act>[a-z].*?)(?P<end>\s*[?.!]*)$", re.IGNORECASE | re.DOTALL)
_POSSIBLE = re.compile(
    r"(?:is it possible|would it be possible|am i able) (?:for me )?to (?P<act>[a-z].*?)(?P<end>\s*[?.!]*)$",
    re.IGNORECASE | re.DOTALL,
)
_ASKED = re.compile(
    r"(?:please |kindly |(?:can|could|would) you (?:please |kindly )?|i need you to |i want you to |i'd like you to )?"
    r"(?P<act>(?P<verb>[a-z]+) .*?)(?P<end>(?:,? (?:please|pls|thanks|thank you))?\s*[?.!]*)$",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCES = re.compile(r"(?<=[.?!])\s+(?=[A-Za-z(])|\n+")


@dataclass(frozen=True, slots=True)
class Framed:
    """One sentence of a text, taken apart: the kind of its frame and what is to be done."""

    kind: str
    """`how`, `can` or `order`."""
    act: str
    """“undo my last commit”, without the frame and the punctuation after it."""
    before: str
    after: str

    def __call__(self, sentence: str) -> str:
        """The text with this sentence in the place of the framed one."""
        stop = "." if self.after and sentence[-1:] not in "?.!" else ""
        return f"{self.before}{sentence}{stop}{self.after}"

    @property
    def lone(self) -> bool:
        """Whether the text is this sentence and nothing else."""
        return not self.before and not self.after


def framed(text: str) -> Framed | None:
    """The last sentence of `text` that stands in a known frame, taken apart."""
    start, found = 0, None
    for gap in [*_SENTENCES.finditer(text), None]:
        end = gap.start() if gap else len(text)
        found = _framed(text, start, end) or found
        start = gap.end() if gap else end
    return found


def _framed(text: str, start: int, end: int) -> Framed | None:
    sentence = text[start:end]
    for kind, pattern in (("how", _HOW), ("can", _CAN), ("can", _POSSIBLE), ("order", _ASKED)):
        match = pattern.match(sentence)
        if match and (kind != "order" or match["verb"].lower() in ORDERS) and not _odd(match["act"]):
            return Framed(kind, match["act"], text[:start], text[end:])
    return None


_NO_VERB = word_set("i you we they it the a an my not this that be so much many long often old is are")
_TALKS_TO_THE_ASSISTANT = re.compile(r"\byou(?:rs?|rself)?\b", re.IGNORECASE)


def _odd(act: str) -> bool:
    """Whether `act` does not begin with a verb, or speaks of the one who is asked."""
    head = words(act)[:1]
    return (
        not head or head[0].start() > 0 or head[0][0].lower() in _NO_VERB or bool(_TALKS_TO_THE_ASSISTANT.search(act))
    )
