"""Synthetic positives: the same question with another surface, frame or wording; one answer is right for both."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from benchmarks import english
from benchmarks.english import LITERAL, NOUN_FORMS, VERB_FORMS, Table, swap, words
from benchmarks.frames import framed
from benchmarks.literals import NUMBER, is_bare_number
from benchmarks.reframing import MAKERS as REFRAMING
from benchmarks.variants import Maker, Variant
from benchmarks.word_traps import ANTONYMS, KNOWN_NAMES, OBJECTS, POLARITY, SUPERLATIVES, THINGS
from benchmarks.words import synonyms, word_set, wordings
from benchmarks.words.calendar import DATES, DIGITS, NUMBER_WORDS, ORDINALS, TIMES
from benchmarks.words.quantities import PERSONS, QUANTIFIERS

# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────

SYNONYMS: Table = (
    english.one_way(synonyms.NOUNS, NOUN_FORMS)
    | english.one_way(synonyms.VERBS, VERB_FORMS)
    | english.one_way(synonyms.PLAIN)
)
CONTRACTIONS = english.alike(synonyms.CONTRACTIONS)
SPELLINGS = english.alike(synonyms.SPELLINGS)
ABBREVIATIONS = english.one_way(synonyms.ABBREVIATIONS)
COMPOUNDS = english.alike(synonyms.COMPOUNDS)
UNITS = english.alike(synonyms.UNITS)

_NOT_BEFORE = {word: frozenset(following.split()) for word, following in synonyms.NOT_BEFORE.items()}
_NOT_AFTER = {word: frozenset(preceding.split()) for word, preceding in synonyms.NOT_AFTER.items()}
_LAST_WORD = re.compile(r"([\w']+)[\s-]*$")
_NEXT_WORD = re.compile(r"[\s-]*([\w']+)")


def _in_its_usual_sense(text: str, start: int, end: int, key: str) -> bool:
    before, after = _LAST_WORD.search(text[:start]), _NEXT_WORD.match(text[end:])
    hyphened = text[start - 1 : start] in {"-", "."} or text[end : end + 1] in {"-", "'"}
    if hyphened or (before and before[1].lower() in _NOT_AFTER.get(key, ())):
        return False
    return not (after and after[1].lower() in _NOT_BEFORE.get(key, ()))


def synonym(text: str, rng: Random) -> str | None:
    """“delete” → “remove”; of two or more that fit, often two are said otherwise."""
    made = swap(text, rng, SYNONYMS, fits=_in_its_usual_sense)
    if made and rng.random() < 0.4:
        made = swap(made, rng, SYNONYMS, fits=_in_its_usual_sense) or made
    return made


def _words_of(table: Table) -> Maker:
    return lambda text, rng: swap(text, rng, table)


def _inside(text: str, start: int, _end: int, _key: str) -> bool:
    """Not the negation that opens a question: "don't you" is no "do not you"; nor does "I am" close one."""
    return not re.search(r"(?:^|[.?!,] *|\b(?:why|what|when|where|how|who) )$", text[:start], re.IGNORECASE)


def contraction(text: str, rng: Random) -> str | None:
    """“do not” → “don't”, “what is” → “what's”; a question's first words only where both orders are English."""
    return swap(text, rng, CONTRACTIONS, fits=lambda text, start, end, key: _contracts(text, start, end, key))


def _contracts(text: str, start: int, end: int, key: str) -> bool:
    if key in {
        "what is",
        "what's",
        "whats",
        "where is",
        "where's",
        "wheres",
        "who is",
        "who's",
        "when is",
        "when's",
        "how is",
    }:
        return True
    ends_here = not re.match(r" \w", text[end:])
    if key.endswith((" is", " am", " are", " have", " would")) and ends_here:
        return False
    if key in {"i have", "we have"} and not re.match(r" (?:been|tried|got|already|lost|just|had|\w+ed)\b", text[end:]):
        return False
    negative = key.endswith((" not", "nt", "n't"))
    return not negative or key in {"cannot", "can't", "cant"} or _inside(text, start, end, key)


_UNIT = re.compile(r"(?<![A-Za-z])(\d)( ?)(%|[A-Za-z/]+)(?![\w/-])")


def unit_spelling(text: str, rng: Random) -> str | None:
    """“10 ms” → “10 milliseconds”."""
    places = [found for found in _UNIT.finditer(text) if found[3].lower() in UNITS]
    if not places:
        return None
    found = rng.choice(places)
    new = rng.choice(UNITS[found[3].lower()])
    gap = "" if found[2] == "" and len(new) <= 2 else " "
    return text[: found.start(2)] + gap + new + text[found.end() :]


def number_spelling(text: str, rng: Random) -> str | None:
    """“two” → “2”, “3” → “three”; numbers in versions, codes, times, paths and names stay."""
    spelled = {digits: word for word, digits in DIGITS.items()}
    places = [(*found.span(), spelled[found[0]]) for found in NUMBER.finditer(text) if _spellable(text, found, spelled)]
    places += [
        (start, end, DIGITS[key]) for start, end, key in english.phrases(text, DIGITS) if _alone(text, start, end, key)
    ]
    if not places:
        return None
    start, end, new = rng.choice(places)
    return text[:start] + english.cased(text[start:end], new) + text[end:]


def _spellable(text: str, found: re.Match[str], spelled: dict[str, str]) -> bool:
    beside_a_word = re.match(r" [a-z]{3,}|\W*$", text[found.end() :]) and re.search(r"[a-z] $", text[: found.start()])
    beside_a_number = re.search(rf"\d\W*$|{_A_NUMBER_WORD}\W$", text[: found.start()], re.I)
    return found[0] in spelled and bool(beside_a_word) and not beside_a_number and is_bare_number(text, *found.span())


_A_NUMBER_WORD = rf"\b(?:{'|'.join([*DIGITS, 'hundred', 'thousand', 'million', 'point'])})"


def _alone(text: str, start: int, end: int, key: str) -> bool:
    nearby = re.search(rf"(?:{_A_NUMBER_WORD}|\d|\band|-)\W*$", text[:start], re.I) or re.match(
        rf"\W*(?:{_A_NUMBER_WORD}|\d|-|or |times|point)", text[end:], re.I
    )
    return key != "one" and not nearby and text[start - 1 : start] != "-"


# ── surface ─────────────────────────────────────────────────────────────────────────────────────────────────

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: [row[at - 1] for row in (row,) if at] + [row[at + 1] for row in (row,) if at + 1 < len(row)]
    for row in _ROWS
    for at, key in enumerate(row)
}
_KNOWN = {
    word for table in (ANTONYMS, SYNONYMS, OBJECTS, THINGS, POLARITY, SUPERLATIVES, ABBREVIATIONS) for word in table
}
_UNTOUCHED = {
    part
    for table in (NUMBER_WORDS, ORDINALS, DATES, TIMES, QUANTIFIERS, PERSONS, SUPERLATIVES, KNOWN_NAMES, UNITS)
    for phrase in table
    for part in phrase.lower().split()
} | word_set(
    "without never cannot don't doesn't isn't can't won't unable except unless before after nobody nothing none neither"
)
SHORTEST_MISTYPED = 5


def typo(text: str, rng: Random) -> str | None:
    """One slip in a plain word; never in a short one, a name, a negation or a literal, nor into a known word."""
    places = [found for found in words(text) if _may_be_mistyped(found)]
    if not places:
        return None
    found = rng.choice(places)
    made = _slip(found[0], rng)
    if made.lower() in _KNOWN or made == found[0]:
        return None
    return text[: found.start()] + made + text[found.end() :]


def _may_be_mistyped(found: re.Match[str]) -> bool:
    word = found[0].lower()
    capital = found.start() > 0 and not found[0].islower()
    return (
        len(word) >= SHORTEST_MISTYPED and word.isalpha() and word.isascii() and not capital and word not in _UNTOUCHED
    )


def _slip(word: str, rng: Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    slips: tuple[Callable[[], str], ...] = (
        lambda: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        lambda: word[:at] + word[at + 1 :],
        lambda: word[:at] + word[at] + word[at:],
        lambda: word[:at] + rng.choice(_NEIGHBOURS[word[at].lower()]) + word[at + 1 :],
    )
    return rng.choice(slips)()


def casing(text: str, rng: Random) -> str | None:
    """All small, the first letter capital or small, now and then all capitals; literals stay as they are."""
    change = rng.choices((str.lower, english.capitalised, english.lowered, str.upper), (6, 3, 2, 1))[0]
    made = change(text) if change in {english.capitalised, english.lowered} else _outside_literals(text, change)
    return made if made != text else None


def _outside_literals(text: str, change: Callable[[str], str]) -> str:
    pieces, at = [], 0
    for found in LITERAL.finditer(text):
        pieces += [change(text[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*pieces, change(text[at:])])


_LAST_MARKS = re.compile(r"\s*[?.!]+\s*$")


def punctuation(text: str, rng: Random) -> str | None:
    """Another end, none, or no commas."""
    body = _LAST_MARKS.sub("", text)
    question = text.rstrip().endswith("?") or framed(text) is not None
    ends = ("", "", "?", "??", " ?", "?!") if question else ("", ".", "...", "!")
    made = body + rng.choice(ends)
    if rng.random() < 0.3:
        made = re.sub(r"(?<=[a-z]),(?= [a-z])", "", made)
    return made if made != text else None


_ARTICLE = re.compile(
    r"\b(?:the|an?) (?!few\b|lot\b|bit\b|same\b|couple\b|number\b|most\b|least\b|first\b|last\b|one\b|week\b"
    r"|month\b|year\b|hour\b|mile\b|little\b|other\b|day\b|\w+est\b)(?=[a-z]{3,})"
)


def article(text: str, rng: Random) -> str | None:
    """“the file” → “file”: one article dropped, or all."""
    literal = [found.span() for found in LITERAL.finditer(text)]
    places = [
        found
        for found in _ARTICLE.finditer(text)
        if not any(start < found.end() and found.start() < end for start, end in literal)
    ]
    dropped = places if rng.random() < 0.4 else rng.sample(places, min(1, len(places)))
    for found in reversed(dropped):
        text = text[: found.start()] + text[found.end() :]
    return text if dropped else None


# ── around the question ─────────────────────────────────────────────────────────────────────────────────────


def politeness(text: str, rng: Random) -> str | None:
    """A greeting or a remark before, thanks or a sigh after."""
    if bare(text, rng) is not None:
        return None
    if rng.random() < 0.5:
        opening = rng.choice(wordings.OPENINGS)
        return opening + (text if opening.endswith((". ", "? ", "! ")) else english.lowered(text))
    closing = rng.choice(wordings.CLOSINGS)
    return (
        text if text.rstrip().endswith(("?", ".", "!")) else text.rstrip() + rng.choice(("?", ",", ".", ""))
    ) + closing


def bare(text: str, rng: Random) -> str | None:
    """Without its greeting, its thanks or a remark that asks for nothing."""
    for filler in sorted(wordings.FILLERS, key=len, reverse=True):
        if filler in wordings.OPENINGS and text.lower().startswith(filler.lower()):
            rest = text[len(filler) :]
            return rest if " " in rest else None
        if filler in wordings.CLOSINGS and text.lower().endswith(filler.lower()):
            return text[: -len(filler)].rstrip(",") or None
    return None


REWRITE_MAKERS: dict[str, tuple[Maker, ...]] = {
    "synonyms": (synonym,),
    "frame": REFRAMING["frame"],
    "keywords": REFRAMING["keywords"],
    "clauses": REFRAMING["clauses"],
    "politeness": (politeness, bare),
    "contractions": (contraction,),
    "typos": (typo,),
    "casing": (casing,),
    "punctuation": (punctuation,),
    "articles": (article,),
    "spelling": (_words_of(SPELLINGS),),
    "abbreviations": (_words_of(ABBREVIATIONS), _words_of(COMPOUNDS)),
    "number words": (number_spelling,),
    "unit words": (unit_spelling,),
}
"""What is rewritten → its makers."""


def rewrites(text: str, rng: Random) -> list[Variant]:
    """Every rewrite of `text` that applies, one a maker; different, though perhaps by case or a comma only."""
    made = ((slot, maker(text, rng)) for slot, makers in REWRITE_MAKERS.items() for maker in makers)
    return [Variant(other, same=True, slot=slot) for slot, other in made if other is not None and other != text]
