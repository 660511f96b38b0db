"""One spelling for what is written in several: British and American, short and long, and slips of the fingers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from workbench.cache.slots.lexicon import BRITISH, CAPITALISED, ISE, OUR, PHRASES, SLIPS

# ── British and American ────────────────────────────────────────────────────────────────────────────────────

_ISE = re.compile(r"(?<=[a-z]{3})is(?=(?:e|ed|es|er|ers|ing|ation|ations)$)|(?<=[a-z]{4})ys(?=(?:e|ed|es|er|ers|ing)$)")
_OUR = re.compile(rf"^(?:dis|un|mis)?(?:{'|'.join(sorted(OUR))})(?=ou?r)")
_TRE = re.compile(r"(?<=[a-z])(?:(?<=met)|(?<=lit)|(?<=cent)|(?<=theat)|(?<=fib)|(?<=calib))re(?=s?$)")


def american(word: str) -> str:
    """A word in lower case as an American spells it: "colour" is "color", "organising" "organizing"."""
    if word in BRITISH:
        return BRITISH[word]
    if "ou" in word and (found := _OUR.match(word)):
        return f"{word[: found.end()]}or{word[found.end() + 3 :]}" if word[found.end() :][:3] == "our" else word
    if _TRE.search(word):
        return _TRE.sub("er", word)
    if ("is" in word or "ys" in word) and not word.startswith(ISE):
        return _ISE.sub(lambda found: found[0].replace("s", "z"), word)
    return word


# ── phrases ─────────────────────────────────────────────────────────────────────────────────────────────────

_SPACED = [CAPITALISED.get(phrase, phrase).replace(" ", r"\s+") for phrase in sorted(PHRASES, key=len, reverse=True)]
_PHRASE = re.compile(rf"\b(?:{'|'.join(_SPACED)})\b", re.IGNORECASE)
_OPENING = frozenset(phrase.split()[0] for phrase in PHRASES)


def shortened(text: str) -> str:
    """The text with well-known phrases as their abbreviations: "Amazon Web Services" is "AWS"."""
    if _OPENING.isdisjoint(text.lower().split()):
        return text
    return _PHRASE.sub(lambda found: PHRASES[" ".join(found[0].lower().split())], text)


# ── slips ───────────────────────────────────────────────────────────────────────────────────────────────────

LEAST_LETTERS = 6
"""A shorter word with one letter more or less is another word rather than a slip."""

_TYPED = re.compile(r"(?<![\w`\"'“‘«./\\@#$:=<-])[a-z]{3,}(?![\w`/\\@_(=>-]|[.:']\w)")
_KEPT = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|«[^»]*»|‘[^’]*’|(?<!\w)'[^']*'(?!\w)")
_MEANT = re.compile(
    r"\n|\b(?:mis)?spel|\btypos?\b|\b(?:letters?|words?|grammar|british|american|imports?|unknown|undefined|packages?|"
    r"domains?|phishing|malware)\b|\bnot (?:found|recognized|an?\b.* command)\b",
    re.IGNORECASE,
)
"""Where words are spoken of as they are written, a slip may be the question."""


def repaired(one: str, other: str, *, known: Collection[str], real: Collection[str]) -> tuple[str, str]:
    """Both texts, each with its slips put right after the other: "pyhton" beside "python".

    A slip is an unknown word that is not a `real` one either, a letter away from one `known` word that only the other
    text has, or one of the commonest. Names (with a capital), code, quotes and paths are left as they are, and so are
    texts that speak of how something is written.
    """
    words, others = set(_TYPED.findall(one)), set(_TYPED.findall(other))
    lone, other_lone = words - others, others - words
    changes = _changes(lone, other_lone, known, real), _changes(other_lone, lone, known, real)
    if not any(changes) or _MEANT.search(one) or _MEANT.search(other):
        return one, other
    return _changed(one, changes[0]), _changed(other, changes[1])


def _changes(
    words: Iterable[str], targets: Iterable[str], known: Collection[str], real: Collection[str]
) -> dict[str, str]:
    found = {}
    meant = [target for target in targets if target in known]
    for word in words:
        if word in SLIPS:
            found[word] = SLIPS[word]
        elif word not in known and word not in real:
            likely = [target for target in meant if is_slip(word, target)]
            if len(likely) == 1:
                found[word] = likely[0]
    return found


def _changed(text: str, changes: dict[str, str]) -> str:
    if not changes:
        return text
    parts, place = [], 0
    for kept in _KEPT.finditer(text):
        parts += [_TYPED.sub(lambda found: changes.get(found[0], found[0]), text[place : kept.start()]), kept[0]]
        place = kept.end()
    return "".join([*parts, _TYPED.sub(lambda found: changes.get(found[0], found[0]), text[place:])])


def is_slip(word: str, target: str) -> bool:
    """Whether two neighbouring letters have changed places, or one is missing, too many or doubled.

    The beginning and the last letter must be the same, for there another word is likelier; so it is where one letter is
    another ("lactose", "lactase").
    """
    if word[0] != target[0] or word[-1] != target[-1] or abs(len(word) - len(target)) > 1:
        return False
    short, long = sorted((word, target), key=len)
    start = next((place for place, letter in enumerate(short) if letter != long[place]), len(short))
    rest, other_rest = short[start:], long[start:]
    if len(short) < len(long):
        return len(long) >= LEAST_LETTERS and start > 1 and rest == other_rest[1:]
    return rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]
