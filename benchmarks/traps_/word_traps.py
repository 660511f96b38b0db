"""Traps made by one other word: opposites, things of the same kind, quantities, persons, units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from benchmarks import english
from benchmarks.english import NOUN_FORMS, VERB_FORMS, Fits, Table, swap
from benchmarks.variants import Maker
from benchmarks.words import kinds, opposites, word_set
from benchmarks.words.phrases import TECHNICAL_WORDS
from benchmarks.words.quantities import OWNERS, PERSONS, QUANTIFIERS

# ── opposites ───────────────────────────────────────────────────────────────────────────────────────────────

ANTONYMS: Table = (
    english.opposites(opposites.NOUNS, NOUN_FORMS)
    | english.opposites(opposites.PREPOSITIONS)
    | english.opposites(opposites.ADJECTIVES)
    | english.opposites(opposites.VERBS, VERB_FORMS)
)
POLARITY = english.opposites(opposites.POLARITY)
SUPERLATIVES = english.opposites(opposites.SUPERLATIVES)

_NOT_BEFORE = {word: frozenset(following.split()) for word, following in opposites.NOT_BEFORE.items()}
_NOT_AFTER = {word: frozenset(preceding.split()) for word, preceding in opposites.NOT_AFTER.items()}
_LAST_WORD = re.compile(r"([\w']+)[\s-]*$")
_NEXT_WORD = re.compile(r"[\s-]*([\w']+)")


def means_the_pair(text: str, start: int, end: int, key: str) -> bool:
    """Whether `key`, standing here, means what its pair of opposites means: not the "last" of "last week"."""
    before, after = _LAST_WORD.search(text[:start]), _NEXT_WORD.match(text[end:])
    if before and before[1].lower() in _NOT_AFTER.get(key, ()):
        return False
    if key.startswith("keep") and re.match(r" \w+ing\b", text[end:]):
        return False
    if key in {"first", "last"} and re.match(
        r" (?:\d+|\w+) (?:second|minute|hour|day|week|month|year)s?\b", text[end:]
    ):
        return False
    return not (after and after[1].lower() in _NOT_BEFORE.get(key, ()))


def opposite(text: str, rng: Random) -> str | None:
    """“enable” → “disable”, in any form, with the preposition that the new verb wants."""
    places = [place for place in english.phrases(text, ANTONYMS) if means_the_pair(text, *place)]
    if not places:
        return None
    start, end, key = rng.choice(places)
    if not _none_there(text, ANTONYMS[key]):
        return None
    new = rng.choice(ANTONYMS[key])
    wrong, right = _PREPOSITIONS.get(new, ("", ""))
    rest = re.sub(rf"\b{wrong}\b", right, text[end:], count=1) if wrong else text[end:]
    return english.replaced(text[:end] + rest, start, end, english.cased(text[start:end], new))


_PREPOSITIONS = {form(verb): both for verb, both in opposites.PREPOSITION_OF.items() for form in VERB_FORMS}


def _none_there(text: str, choices: Sequence[str]) -> bool:
    """Whether the text holds none of them already: "from largest to largest" asks for nothing."""
    return not any(re.search(rf"\b{re.escape(new)}\b", text, re.IGNORECASE) for new in choices)


_PARTICLE = re.compile(
    r"\b((?:turn|switch|log|sign|check|plug|opt|put|move|zoom|scroll)(?:s|ed|ing|ged|ging|ped|ting)? "
    r"(?:[\w']+ ){1,3})(on|off|in|out|up|down)\b",
    re.IGNORECASE,
)
_PARTICLES = {"on": "off", "off": "on", "in": "out", "out": "in", "up": "down", "down": "up"}


def particle(text: str, rng: Random) -> str | None:
    """“turn the light on” → “turn the light off”."""
    found = _PARTICLE.search(text)
    if not found or re.match(r" (?:my|the|a|an|this|that|your|\d)", text[found.end() :]):
        return None
    return text[: found.start(2)] + _PARTICLES[found[2].lower()] + text[found.end(2) :]


def polarity(text: str, rng: Random) -> str | None:
    """“safe” → “dangerous”."""
    return swap(text, rng, POLARITY, fits=means_the_pair)


def superlative(text: str, rng: Random) -> str | None:
    """“largest” → “smallest”."""
    places = [place for place in english.phrases(text, SUPERLATIVES) if means_the_pair(text, *place)]
    if not places:
        return None
    start, end, key = rng.choice(places)
    choices = [new for new in SUPERLATIVES[key] if new not in _ORDINAL or not _COUNTED.match(text[end:])]
    if not choices or not _none_there(text, SUPERLATIVES[key]):
        return None
    return english.replaced(text, start, end, english.cased(text[start:end], rng.choice(choices)))


_ORDINAL = {"second", "third"}
_COUNTED = re.compile(r" (?:\d|\w+ \w+s\b)")


# ── another of the same kind ────────────────────────────────────────────────────────────────────────────────

TECHNOLOGY = english.kinds(kinds.TECHNOLOGY)
NAMES = english.kinds(kinds.NAMES)
FORMATS = english.kinds(kinds.FORMATS)
LANGUAGES = english.kinds(kinds.LANGUAGES)
OBJECTS = english.kinds(kinds.OBJECTS, NOUN_FORMS)
THINGS = english.kinds(kinds.THINGS) | english.kinds(kinds.THINGS, (english.plural,))
UNITS = english.kinds(kinds.UNITS)
SINGULAR_UNITS = {name for name in UNITS if f"{name}s" in UNITS and len(name) > 2} | {"foot", "inch"}
KNOWN_NAMES = {*TECHNOLOGY, *NAMES, *FORMATS, *LANGUAGES}

_TO_A_LANGUAGE = re.compile(r"\b(?:in|into|to|from|speak|learn|say|using|for) $", re.IGNORECASE)
_AFTER_A_NUMBER = re.compile(r"(?:\d|\b(?:one|two|three|four|five|six|ten|a)) ?$", re.IGNORECASE)


def is_a_name(text: str, start: int, end: int, key: str) -> bool:
    """Whether `key` stands here as a name: a plain word does so capitalised in the middle of a sentence only."""
    if text[start - 1 : start] == "-" or (text[end : end + 1] in {"-", "'"} and key == "may"):
        return False
    if key in {"google", "apple", "microsoft", "amazon"} and re.match(
        r" (?:[A-Z]|sheets|docs|drive|maps|play|pay)", text[end:]
    ):
        return False
    if key == "american" and re.search(r"\b(?:south|north|latin|african|native)[ -]$", text[:start], re.I):
        return False
    if key not in kinds.ONLY_CAPITALISED:
        return True
    if key.upper() in kinds.WRITTEN_IN_CAPITALS:
        return text[start:end].isupper()
    return text[start].isupper() and not re.search(r"(?:^|[.?!:\n]\s*)$", text[:start])


def _name(table: Table, *, fits: Fits = is_a_name) -> Maker:
    def maker(text: str, rng: Random) -> str | None:
        places = [place for place in english.phrases(text, table) if fits(text, *place)]
        if not places:
            return None
        start, end, key = rng.choice(places)
        new, old = english.not_there(text, table[key], rng), text[start:end]
        if new is None:
            return None
        if text[end : end + 2] == "'s":
            new = new.removesuffix("'s")
        return english.replaced(text, start, end, new.lower() if old.islower() else new)

    return maker


technology = _name(TECHNOLOGY)
file_format = _name(FORMATS)
name = _name(NAMES)


def _is_a_language(text: str, start: int, _end: int, _key: str) -> bool:
    return bool(_TO_A_LANGUAGE.search(text[:start]))


language = _name(LANGUAGES, fits=_is_a_language)


def _is_a_thing(text: str, start: int, end: int, key: str) -> bool:
    if key in {"directory", "folder"} and re.search(
        r"\b(?:current|working|home|parent|present|this) $", text[:start], re.I
    ):
        return False
    if key in _ALSO_VERBS and re.search(
        r"(?:^|[.?!:,\n] *|\b(?:to|i|do|you|we|and|can|please|then|not|should|will) )$", text[:start], re.I
    ):
        return False
    return not re.match(r"[-']|\s(?:up|name|names|type|types|sheet|board|system)\b", text[end:])


_ALSO_VERBS = word_set("""
    list set map index view process tag commit branch fork release stash watch book file link group transfer deposit
    refund report top-up issue text word button page string queue stack tuple image object function oil visa pin speech
    service test
    """)


def thing(text: str, rng: Random) -> str | None:
    """“delete this branch” → “delete this tag”; “a red car” → “a blue car”."""
    return swap(text, rng, OBJECTS, fits=_is_a_thing) or swap(text, rng, THINGS, fits=_is_a_thing)


def everyday_thing(text: str, rng: Random) -> str | None:
    """“for breakfast” → “for dinner”."""
    return swap(text, rng, THINGS, fits=_is_a_thing)


# ── units ───────────────────────────────────────────────────────────────────────────────────────────────────

_UNIT = re.compile(
    rf"(?:(\d ?)|\b)({'|'.join(sorted(map(re.escape, UNITS), key=len, reverse=True))})(?![\w'-])", re.IGNORECASE
)


def unit(text: str, rng: Random) -> str | None:
    """“10 ms” → “10 s”, “in kilometers” → “in miles”."""
    places = [found for found in _UNIT.finditer(text) if _is_a_unit(text, found)]
    if not places:
        return None
    found = rng.choice(places)
    key = found[2].lower()
    glued = bool(found[1]) and not found[1].endswith(" ")
    new = rng.choice(UNITS[key])
    if key in kinds.SHORT_UNITS.values():
        new = kinds.SHORT_UNITS.get(new, new if not glued else f" {new}")
    if key in SINGULAR_UNITS and len(new) > 3:
        new = {"inches": "inch", "feet": "foot"}.get(new, new.removesuffix("s"))
    return text[: found.start(2)] + (new.lower() if found[2].islower() else new) + text[found.end(2) :]


def _is_a_unit(text: str, found: re.Match[str]) -> bool:
    before, after = text[: found.start(2)], text[found.end(2) :]
    if found[2].lower() in kinds.ONLY_AFTER_A_NUMBER:
        return bool(found[1])
    if _AFTER_A_NUMBER.search(before):
        return not re.match(r" (?:ago|old)\b", after) or found[2].lower() in {"days", "weeks", "months", "hours"}
    return bool(re.search(r"\b(?:in|to|into|how many|per|a few|several) $", before, re.I)) and found[2].lower() != "c"


# ── quantities, persons ─────────────────────────────────────────────────────────────────────────────────────


def quantifier(text: str, rng: Random) -> str | None:
    """“all files” → “some files”, “at least” → “at most”."""
    return swap(text, rng, QUANTIFIERS, fits=_is_a_quantity)


_NO_QUANTITY = re.compile(
    r"\b(?:at|above|after|first of|not|if|is there|are there|do you|has|have|does) $", re.IGNORECASE
)


def _is_a_quantity(text: str, start: int, end: int, key: str) -> bool:
    if key in {"any", "every", "all", "each"} and re.match(
        r" (?:right|good|set|time|other|way|chance|help|idea)\b", text[end:]
    ):
        return False
    if key == "up to" and re.search(r"\badds? $", text[:start]):
        return False
    return not (key in {"all", "any"} and _NO_QUANTITY.search(text[:start]))


def person(text: str, rng: Random) -> str | None:
    """“my password” → “their password”, wherever it says “my”; “Can I” → “Can my kids”."""
    places = [place for place in english.phrases(text, PERSONS | OWNERS) if _is_somebody(text, *place)]
    if not places:
        return None
    start, end, key = rng.choice(places)
    if key in OWNERS:
        new = rng.choice(OWNERS[key])
        return re.sub(rf"\b{key}\b", lambda found: english.cased(found[0], new), text, flags=re.IGNORECASE)
    new = rng.choice(PERSONS[key])
    opens = not re.search(r"\w\W*$", text[:start]) or re.search(r"[.?!] $", text[:start])
    return english.replaced(text, start, end, english.cased(text[start:end], new) if opens or key[0] != "i" else new)


def _is_somebody(text: str, start: int, end: int, key: str) -> bool:
    if text[end : end + 5] == " own ":
        return False
    return not is_technical(text) or (key in OWNERS and bool(_OWNED.match(text[end:])))


_OWNED = re.compile(
    r" (?:\w+ )?(?:branch|password|account|repo|fork|key|changes|commits?|home|profile|phone|email)\b", re.I
)


def is_technical(text: str) -> bool:
    """Whether a question is about computers."""
    return any(
        table is not TECHNOLOGY or is_a_name(text, *place)
        for table in (TECHNOLOGY, TECHNICAL_WORDS, FORMATS)
        for place in english.phrases(text, table)
    ) or bool(re.search(r"`|\w\(\)|\w_\w|(?<!\S)--\w|\*\.\w|(?<!\w)/\w+/|\w::|\w<\w", text))


MAKERS = {
    "antonyms": (opposite, particle),
    "polarity": (polarity,),
    "superlatives": (superlative,),
    "technology": (technology,),
    "names": (name,),
    "language": (language,),
    "object": (thing,),
    "form": (file_format,),
    "units": (unit,),
    "quantifiers": (quantifier,),
    "person": (person,),
}
"""Slot → its makers."""
