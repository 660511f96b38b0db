"""Traps made by another build of the sentence: negation, order, tense, aspect, form and conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.traps import english
from benchmarks.traps.english import BASE_OF_GERUND, LITERAL, gerund_phrase
from benchmarks.traps.frames import framed
from benchmarks.traps.word_traps import LANGUAGES, OBJECTS, is_technical
from benchmarks.traps.words import phrases, word_set
from benchmarks.traps.words.verbs import ORDERS

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _rules(source: Sequence[tuple[str, str]]) -> list[Rule]:
    return [(re.compile(pattern, re.IGNORECASE), new) for pattern, new in source]


def _applied(text: str, rng: Random, rules: Sequence[Rule]) -> str | None:
    """`text` with one of the rules that fit applied in one of its places, outside literals."""
    literal = [found.span() for found in LITERAL.finditer(text)]
    places = [
        (found, new)
        for pattern, new in rules
        for found in pattern.finditer(text)
        if not any(start < found.end() and found.start() < end for start, end in literal)
    ]
    if not places:
        return None
    found, new = rng.choice(places)
    made = found.expand(new) if isinstance(new, str) else new(found)
    return text[: found.start()] + english.cased(found[0][:1], made) + text[found.end() :]


# ── negation ────────────────────────────────────────────────────────────────────────────────────────────────

_NEGATED = _rules(phrases.NEGATED)
_UNNEGATED = _rules(phrases.UNNEGATED)
_WITH = _rules(phrases.WITH_AND_WITHOUT)


def negate(text: str, rng: Random) -> str | None:
    """“Why does it …” → “Why doesn't it …”, “files that contain” → “files that do not contain”."""
    return _applied(text, rng, _NEGATED)


def affirm(text: str, rng: Random) -> str | None:
    """“Why can't I …” → “Why can I …”; a question that opens with a negation asks the same without, and is left."""
    return _applied(text, rng, _UNNEGATED)


def without(text: str, rng: Random) -> str | None:
    """“with a header” ↔ “without a header”."""
    return _applied(text, rng, _WITH)


_AVOIDING = re.compile(r"\b(?:avoid|prevent|stop|keep (?:\w+ )?from) (\w+ing)\b", re.IGNORECASE)


def avoid(text: str, rng: Random) -> str | None:
    """“How do I delete …” → “How do I avoid deleting …”, and back."""
    found = _AVOIDING.search(text)
    if found and found[1].lower() in BASE_OF_GERUND:
        return text[: found.start()] + BASE_OF_GERUND[found[1].lower()] + text[found.end() :]
    frame = framed(text)
    if frame is None or frame.act.startswith("avoid ") or frame.kind == "can":
        return None
    options = phrases.AVOID_ORDER if frame.kind == "order" else phrases.AVOID
    act = english.lowered(frame.act)
    return frame(rng.choice(options).format(act=act, acting=gerund_phrase(act)))


# ── order ───────────────────────────────────────────────────────────────────────────────────────────────────

_WORD = r"(?:[\w$*'%+#@~-]|[./](?=\w))+"
_ENDS = "to|from|into|with|and|or|in|on|if|using|for|as|by|then|when|while|it|them|me"
_FEW = rf"((?:(?!(?:{_ENDS})\b){_WORD} ?){{1,3}}?)"
_TAIL = rf"((?:(?!(?:{_ENDS}|without|where|that)\b){_WORD} ?){{1,3}}?)"
_STOP = r"(?= *(?:[?.!,;:]|$| (?:in|on|using|with|if|for|as|by|and|when|while|without|where|that|then)\b))"
_ORDERS = [
    re.compile(rf"\bfrom {_FEW} ?(?<= )(?:in)?to {_TAIL}{_STOP}", re.IGNORECASE),
    re.compile(
        r"\b(?:convert(?:ing)?|translat(?:e|ing)|migrat(?:e|ing)|copy(?:ing)?|renam(?:e|ing)|chang(?:e|ing)"
        r"|cast(?:ing)?|transform(?:ing)?|switch(?:ing)?|append(?:ing)?|merg(?:e|ing)|link(?:ing)?|map(?:ping)?"
        rf"|transfer(?:ring)?|mov(?:e|ing)|prepend(?:ing)?|assign(?:ing)?|rebas(?:e|ing))"
        rf" {_FEW} ?(?<= )(?:in|on)?to {_TAIL}{_STOP}",
        re.IGNORECASE,
    ),
    re.compile(rf"\breplac(?:e|ing) (?:all )?{_FEW} ?(?<= )(?:with|by) {_TAIL}{_STOP}", re.IGNORECASE),
    re.compile(rf"\bsubtract(?:ing)? {_FEW} ?(?<= )from {_TAIL}{_STOP}", re.IGNORECASE),
    re.compile(rf"\bdivid(?:e|ing|ed) {_FEW} ?(?<= )by {_TAIL}{_STOP}", re.IGNORECASE),
    re.compile(rf"\b(\w+ing (?:\w+ )?)(?:before|after) (\w+ing(?: \w+)?){_STOP}", re.IGNORECASE),
    re.compile(rf"\bis ((?:an? |the )?\w+) \w+(?:er|re \w+) than ((?:an? |the )?\w+){_STOP}", re.IGNORECASE),
    re.compile(r"\bhow many ([a-z]+s) (?:are )?(?:there )?(?:in|make) an? ([a-z]+)\b", re.IGNORECASE),
]
_TWO_VERSIONS = re.compile(r"(?<= )(v?\d[\d.]*)(?P<between> to )(v?\d[\d.]*)(?<=\w)")
_COUNT = re.compile(r"(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten) ", re.IGNORECASE)
_RANGE = re.compile(r"[\d.,$ ]+|time")


def reverse(text: str, rng: Random) -> str | None:
    """“from A to B” → “from B to A”, “convert A to B” → “convert B to A”, “replace A with B” → “replace B with A”."""
    for pattern in _ORDERS:
        found = pattern.search(text)
        if found and _may_change_places(found[1], found[2]):
            left, right = found[1].strip(), found[2].strip()
            if versions := _TWO_VERSIONS.search(text):
                return (
                    text[: versions.start(1)] + versions[3] + versions["between"] + versions[1] + text[versions.end() :]
                )
            if pattern is _ORDERS[-1]:
                left, right = left.removesuffix("s"), english.plural(right)
            counted = _COUNT.match(left)
            if counted and not _COUNT.match(right):
                left, right = left[counted.end() :], counted[0] + right
            start, end = found.start(1), found.start(1) + len(found[1].rstrip())
            tail = found.start(2) + len(found[2].rstrip())
            return text[:start] + right + text[end : found.start(2)] + left + text[tail:]
    return None


def _may_change_places(left: str, right: str) -> bool:
    left, right = left.strip().lower(), right.strip().lower()
    plain = (
        not left.endswith(".")
        and not left.startswith(("their ", "its "))
        and not _RANGE.fullmatch(left)
        and left not in {"it", "that", "this", "them", "me", "my", "the", "a"}
    )
    head = right.split(" ")[0]
    return (
        plain and left != right and head not in _NO_PLACE and head not in ORDERS and not left.split()[0].endswith("ing")
    )


_NO_PLACE = word_set(
    "the my a me it date work another other one here there each be last next zero now tomorrow come go"
)


# ── tense and aspect ────────────────────────────────────────────────────────────────────────────────────────

_TENSES = _rules(phrases.TENSES)
_QUESTION_WORDS = _rules(phrases.QUESTION_WORDS)
_WHAT_IS = re.compile(r"(?:what is|what's|whats|what are) ((?:an? |the )?[\w+#. -]{2,40}?)\s*\?*$", re.IGNORECASE)
_ABOUT = re.compile(r"(?:an? )?[\w+#.-]+(?: [\w+#.-]+)?")


def tense(text: str, rng: Random) -> str | None:
    """“When will it arrive” → “When did it arrive”."""
    return _applied(text, rng, _TENSES)


def question_word(text: str, rng: Random) -> str | None:
    """“where is” → “when is”, “how long” → “how often”."""
    return _applied(text, rng, _QUESTION_WORDS)


def aspect(text: str, rng: Random) -> str | None:
    """“How do I do it” → “Is it safe to do it”, “What is it” → “Who invented it”."""
    frame = framed(text)
    if frame and frame.kind != "order":
        act = english.lowered(frame.act)
        return frame(rng.choice(phrases.ASPECTS).format(act=act, acting=gerund_phrase(act)))
    about = _WHAT_IS.match(text)
    if (
        about
        and _ABOUT.fullmatch(about[1])
        and not re.fullmatch(r"\w+ing", about[1])
        and not re.search(r"\b(?:my|your|is|it|this|that|up|wrong|on)\b", about[1], re.I)
    ):
        are = "are" if " are " in about[0].lower() else "is"
        return rng.choice(phrases.ASPECTS_OF_A_THING).format(thing=about[1], are=are)
    return None


# ── form, language and conditions ───────────────────────────────────────────────────────────────────────────

_FORM = re.compile(rf"(?:,| as| in| -)? ?(?:{'|'.join(map(re.escape, phrases.FORMS_KNOWN))})(?=\W|$)", re.IGNORECASE)
_ANSWER_IN = re.compile(r"\b(?:answer|reply|respond|explain it|written) in \w+", re.IGNORECASE)


def form(text: str, rng: Random) -> str | None:
    """Asks for another form of the answer: "in one line", "as a table"."""
    if _FORM.search(text):
        return _FORM.sub(lambda found: rng.choice(phrases.OTHER_FORMS), text, count=1)
    if len(text) > 250:
        return None
    forms = phrases.FORMS_TECHNICAL if is_technical(text) else phrases.FORMS
    frame = framed(text)
    if frame is None or not frame.lone or frame.kind == "can":
        forms = tuple(ending for ending in forms if ending[1].isupper())
    return _added(text, rng.choice(forms))


def answer_language(text: str, rng: Random) -> str | None:
    """Asks for the answer in another natural language."""
    if _ANSWER_IN.search(text) or any(True for _ in english.phrases(text, LANGUAGES)):
        return None
    return _added(text, rng.choice(phrases.IN_A_LANGUAGE).format(rng.choice(phrases.ANSWER_LANGUAGES)))


def _added(text: str, ending: str) -> str:
    """`text` with `ending` before its last punctuation, or after it where the ending is a sentence."""
    body = text.rstrip(" ?!.")
    stop = text.rstrip()[len(body) :].strip()
    return f"{body}{stop or '.'}{ending}" if ending[1].isupper() else f"{body}{ending}{stop}"


def condition(text: str, rng: Random) -> str | None:
    """Adds a condition to what is to be done: "without root access", "on a Sunday"."""
    frame = framed(text)
    if frame is None or not frame.lone or len(frame.act) > 120 or len(frame.act.split()) < 2:
        return None
    technical = is_technical(text)
    if frame.kind == "order" and not technical:
        return None
    choices = phrases.CONDITIONS_TECHNICAL if technical else phrases.CONDITIONS
    return _added(text, rng.choice(choices))


_CONDITION = re.compile(
    r",? (?:without|except|excluding|ignoring|only if|unless|only when|but not|even if|as long as|provided that|so that"
    r"|if (?:it|they|the|there|i|my)) [^,.?!]{3,60}?(?=[?.!]*$)",
    re.IGNORECASE,
)


def unconditional(text: str, rng: Random) -> str | None:
    """Drops a condition at the end: "… without losing data" → "…"."""
    found = _CONDITION.search(text)
    kept = text[: found.start()] + text[found.end() :] if found else ""
    return kept if len(kept.split()) > 3 else None


_QUALIFIED = re.compile(
    rf"\b(all|the|find|list|delete|remove|my|count|show|copy|move|print|search|for|of) "
    rf"(?:({'|'.join(phrases.QUALITIES)}) )?({'|'.join(sorted(phrases.QUALIFIABLE, key=len, reverse=True))})\b",
    re.IGNORECASE,
)


def quality(text: str, rng: Random) -> str | None:
    """“delete all files” → “delete all empty files”, and back."""
    places = list(_QUALIFIED.finditer(text))
    if not places:
        return None
    found = rng.choice(places)
    start, end = (found.start(2), found.start(3)) if found[2] else (found.start(3),) * 2
    return english.replaced(text, start, end, "" if found[2] else f"{rng.choice(phrases.QUALITIES)} ")


_THE_OBJECTS = re.compile(
    r"\b(find|list|show|print|delete|remove|get|return|display|select) (all (?:the )?|the )?(?=[a-z]+s\b)", re.I
)


def only_some(text: str, rng: Random) -> str | None:
    """“list all files” → “list the first ten files”."""
    found = _THE_OBJECTS.search(text)
    following = text[found.end() :].split(maxsplit=1)[:1] if found else []
    if not found or following[0].lower() not in OBJECTS:
        return None
    return text[: found.end(1)] + " " + rng.choice(phrases.ONLY_SOME) + " " + text[found.end() :]


MAKERS = {
    "negation": (negate, affirm, without, avoid),
    "order": (reverse,),
    "tense": (tense,),
    "aspect": (aspect, question_word),
    "form": (form,),
    "language": (answer_language,),
    "condition": (condition, unconditional, quality),
    "quantifiers": (only_some,),
}
"""Slot → its makers."""
