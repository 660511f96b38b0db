"""The little grammar that changing a question needs: inflection, case, articles, and what must stay as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from benchmarks.traps.words import word_set
from benchmarks.traps.words.verbs import DOUBLED, ORDERS, PASTS

# ── inflection ──────────────────────────────────────────────────────────────────────────────────────────────

_ONE_SYLLABLE = re.compile(r"[^aeiou]*(?:qu)?[aeiou][^aeiouwxy]")
_PLURALS = {"child": "children", "person": "people", "man": "men", "woman": "women", "wife": "wives", "foot": "feet"}
_PLURALS |= {"tooth": "teeth", "leaf": "leaves", "knife": "knives", "half": "halves", "life": "lives", "hertz": "hertz"}
_PLURALS |= {"index": "indexes", "vertex": "vertices", "matrix": "matrices", "mouse": "mice", "potato": "potatoes"}
_PLURALS |= {"tomato": "tomatoes", "hero": "heroes", "analysis": "analyses", "bus": "buses", "quiz": "quizzes"}


def _first(phrase: str, inflect: Callable[[str], str]) -> str:
    head, _, rest = phrase.partition(" ")
    return f"{inflect(head)} {rest}".rstrip()


def _root(verb: str) -> str:
    return verb + verb[-1] if verb in DOUBLED or _ONE_SYLLABLE.fullmatch(verb) else verb


def _gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return _root(verb) + "ing"


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return _root(verb) + "ed"


def gerund(verb: str) -> str:
    """“turn on” → “turning on”."""
    return _first(verb, _gerund)


def past(verb: str) -> str:
    """“write” → “wrote”."""
    return _first(verb, lambda head: PASTS[head][0] if head in PASTS else _regular_past(head))


def participle(verb: str) -> str:
    """“write” → “written”."""
    return _first(verb, lambda head: PASTS[head][1] if head in PASTS else _regular_past(head))


def third_person(verb: str) -> str:
    """“turn on” → “turns on”."""
    return _first(verb, lambda head: {"have": "has", "be": "is", "do": "does", "go": "goes"}.get(head) or plural(head))


def plural(noun: str) -> str:
    """“directory” → “directories”; the last word of a phrase is the one that changes."""
    *before, last = noun.split(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif re.search(r"(?:s|x|z|ch|sh)$", last):
        last += "es"
    else:
        last = last[:-1] + "ies" if re.search(r"[^aeiou]y$", last) else last + "s"
    return " ".join([*before, last])


Form = Callable[[str], str]
VERB_FORMS: tuple[Form, ...] = (str, third_person, gerund, participle, past)
NOUN_FORMS: tuple[Form, ...] = (str, plural)

BASE_OF_GERUND = {gerund(verb): verb for verb in sorted(ORDERS | PASTS.keys())}


def gerund_phrase(act: str) -> str:
    """“open it and read it” → “opening it and reading it”."""
    joined = re.sub(r"\b(and|or|then) (\w+)\b", _gerund_after, act)
    return _first(joined, lambda head: _gerund(head.lower()))


def _gerund_after(match: re.Match[str]) -> str:
    follows = match[2] in ORDERS and match[2] not in {"list", "group", "index", "log", "name", "order", "test", "type"}
    return f"{match[1]} {_gerund(match[2])}" if follows else match[0]


# ── what must stay as it is ─────────────────────────────────────────────────────────────────────────────────

LITERAL = re.compile(
    r"```.+?```|`[^`\n]+`|\"[^\"\n]+\"|“[^”\n]+”|(?<!\w)'[^'\n]+'(?!\w)"
    r"|\w+://\S+|www\.\S+|(?<!\S)--?[A-Za-z]\S*|\S*[/\\_$€£@<>{}=*|#%^&+~]\S*|(?<!\w)\.\w+|\b\w+(?:\.\w+)+"
    r"|\b[a-z]+[A-Z]\w*|\b\w*\d[\w.,:-]*\b|\w+\(\)",
    re.DOTALL,
)
"""Code, quotations, addresses, paths, flags, identifiers, numbers."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
LONGEST_PHRASE = 4


def words(text: str) -> list[re.Match[str]]:
    """The plain words of `text`: those outside any literal."""
    taken = [found.span() for found in LITERAL.finditer(text)]
    return [
        word
        for word in _WORD.finditer(text)
        if not any(start < word.end() and word.start() < end for start, end in taken)
    ]


def phrases(text: str, known: Mapping[str, object]) -> Iterator[tuple[int, int, str]]:
    """Where phrases of `known` stand in `text`: start, end, key; the longest first, none inside another."""
    found = words(text)
    place = 0
    while place < len(found):
        for length in range(min(LONGEST_PHRASE, len(found) - place), 0, -1):
            start, end = found[place].start(), found[place + length - 1].end()
            key = text[start:end].lower().replace("’", "'")
            if key not in known and key.endswith("'s"):
                key, end = key[:-2], end - 2
            if key in known:
                yield start, end, key
                place += length
                break
        else:
            place += 1


# ── putting something in a place ────────────────────────────────────────────────────────────────────────────

_A_DESPITE_VOWEL = re.compile(r"(?:uni|use|usu|user|one|eu|ubi|utf|url)", re.IGNORECASE)
_AN_DESPITE_CONSONANT = re.compile(r"(?:hour|honest|heir|[FHLMNRSX](?:[A-Z]|\b))")


def replaced(text: str, start: int, end: int, new: str) -> str:
    """`text` with `new` in the place given, and an article before it that fits."""
    before = text[:start]
    article = re.search(r"\b([Aa])n?( )$", before)
    if article and new:
        vowel = new[0].lower() in "aeiou" and not _A_DESPITE_VOWEL.match(new)
        vowel = vowel or bool(_AN_DESPITE_CONSONANT.match(new))
        before = before[: article.start()] + article[1] + ("n " if vowel else " ")
    return before + new + text[end:]


def cased(old: str, new: str) -> str:
    """`new` with the case of `old`."""
    if old.isupper() and len(old) > 2:
        return new.upper()
    return capitalised(new) if old[:1].isupper() else new


def capitalised(text: str) -> str:
    """`text` with its first letter upper, the others untouched."""
    return text[:1].upper() + text[1:]


_STARTERS = word_set("""
    how what what's which why when where where's who who's whose can could should would will shall is are was were am do
    does did has have may might must the a an my our your this that these those there if in on with using for to from
    after before while please hi hello hey some all every any it we you they show tell give it's
    """)


def lowered(text: str) -> str:
    """`text` with a small first letter where its first word is no name."""
    head = text.split(" ", 1)[0].rstrip(",:").lower()
    return text[:1].lower() + text[1:] if head in _STARTERS or head in ORDERS else text


def swap(text: str, rng: Random, table: Mapping[str, Sequence[str]], *, fits: Fits | None = None) -> str | None:
    """`text` with one phrase of `table` replaced by one of its alternatives; `fits` may refuse a place."""
    places = [place for place in phrases(text, table) if fits is None or fits(text, *place)]
    if not places:
        return None
    start, end, key = rng.choice(places)
    new = not_there(text, table[key], rng)
    return replaced(text, start, end, cased(text[start:end], new)) if new else None


def not_there(text: str, choices: Sequence[str], rng: Random) -> str | None:
    """One of `choices` that the text does not hold already: "from largest to largest" asks for nothing."""
    free = [new for new in choices if not re.search(rf"(?<!\w){re.escape(new)}(?!\w)", text, re.IGNORECASE)]
    return rng.choice(free) if free else None


Fits = Callable[[str, int, int, str], bool]


# ── tables from strings ─────────────────────────────────────────────────────────────────────────────────────

Table = dict[str, tuple[str, ...]]


def groups(source: str, *, between: str = "/") -> list[list[str]]:
    """Lines or commas part groups, `between` their members."""
    entries = re.split(r"[,\n]", source)
    return [[member.strip() for member in entry.split(between)] for entry in entries if entry.strip()]


def opposites(source: str, forms: Sequence[Form] = (str,)) -> Table:
    """“a/b” pairs as a table in both directions, in every form given; of one pair the first form of a word wins."""
    table: Table = {}
    for a, b in groups(source):
        for left, right in ((a, b), (b, a)):
            one = {form(left): form(right) for form in reversed(forms)}
            for word, other in one.items():
                _put(table, word, other)
    return table


def kinds(source: str, forms: Sequence[Form] = (str,), *, between: str = ", ") -> Table:
    """A line holds things of one kind, each of which may stand for any other; "=" joins names of one thing."""
    table: Table = {}
    for line in filter(str.strip, source.splitlines()):
        things = [thing.strip().split("=") for thing in line.strip().split(between)]
        for thing in things:
            for form in forms:
                others = [form(other[0]) for other in things if other is not thing]
                for name in thing:
                    _put(table, form(name).lower(), *others)
    return table


def alike(source: str, forms: Sequence[Form] = (str,)) -> Table:
    """Groups of words of one meaning, each of which may stand for any other; "|" parts them, a line is a group."""
    table: Table = {}
    for group in groups(source, between="|"):
        for word in group:
            one = {form(word): [form(other) for other in group if other != word] for form in reversed(forms)}
            for key, others in one.items():
                _put(table, key.lower(), *others)
    return table


def one_way(source: str, forms: Sequence[Form] = (str,)) -> Table:
    """Lines whose first phrase may be said as any of the others: "|" parts them."""
    table: Table = {}
    for head, *others in groups(source, between="|"):
        for key, form in {form(head): form for form in reversed(forms)}.items():
            _put(table, key, *map(form, others))
    return table


def _put(table: Table, key: str, *values: str) -> None:
    known = table.get(key, ())
    table[key] = (*known, *dict.fromkeys(value for value in values if value.lower() != key and value not in known))
