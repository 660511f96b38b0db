"""What two questions must agree on before one's answer may be the other's: typed slots, read from the text.

Cosine does not see what matters most: "enable 2FA" and "disable 2FA" are 0.82 alike, two order numbers 0.99. Each
slot is one small reader, text → values, and a rule for how two readings differ. `SLOTS` is the whole table. Which
differences forbid an answer, and which are only evidence, is for the policy to say: each has a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import lru_cache

from workbench.cache.slots.asking import (
    aspects,
    compare_objects,
    compare_restrictions,
    compare_tenses,
    conditions,
    forms,
    objects,
    owners,
    quantifiers,
    restrictions,
    superlatives,
    tenses,
)
from workbench.cache.slots.comparing import (
    LOOSE,
    Compare,
    Reading,
    differ,
    exchanged,
    exchanged_or_moved,
    in_alike_texts,
    unequal,
)
from workbench.cache.slots.literals import (
    code_spans,
    compare_technologies,
    identifiers,
    ids,
    languages,
    names,
    paths,
    quotations,
    technologies,
)
from workbench.cache.slots.polarity import (
    antonyms,
    compare_antonyms,
    compare_directions,
    compare_negations,
    compare_prefixes,
    directions,
    negations,
    words_of_four,
)
from workbench.cache.slots.quantities import quantities
from workbench.cache.slots.quantity import compare_quantities
from workbench.cache.slots.repeats import compare_signs, compare_spellings, is_repeat, spelled, typed
from workbench.cache.slots.text import Text, Values, plain_text
from workbench.cache.slots.unseen import (
    accented,
    cased,
    compare_accents,
    compare_case,
    compare_data_units,
    compare_layouts,
    data_units,
    invisibles,
    layout,
    letters,
    operators,
)
from workbench.cache.slots.word_order import compare_order, word_order

GUARDS_VERSION = 5
"""Raise it when any reading or rule changes: a policy was measured with one version."""

REMEMBERED = 4096
"""How many texts' readings are kept: popular candidates are compared again and again."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A slot on which two texts differ, and what each has there, in words for people."""

    slot: str
    a_value: str
    b_value: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that should agree: how it is read, how two readings are compared, what their differences are called.

    The first name is that of the difference that almost always means another answer, where there is such a one.
    """

    names: tuple[str, ...]
    read: Callable[[Text], Values]
    compare: Compare


def conflicts(a: str, b: str) -> tuple[Conflict, ...]:
    """Every slot on which the texts differ, in the table's order, each name once."""
    found: dict[str, Conflict] = {}
    for conflict in _conflicts(a, b):
        found.setdefault(conflict.slot, conflict)
    return tuple(found.values())


def first_conflict(a: str, b: str, *, vetoes: Set[str] | None = None) -> Conflict | None:
    """The first conflict in the table's order that is one of `vetoes`, by default of `PRECISE`; None for none."""
    names = PRECISE if vetoes is None else vetoes
    return next((conflict for conflict in _conflicts(a, b) if conflict.slot in names), None)


def _conflicts(a: str, b: str) -> Iterator[Conflict]:
    if a == b:
        return
    one, other = read_text(a), read_text(b)
    for slot in SLOTS:
        values, other_values = one.read(slot.read), other.read(slot.read)
        if values != other_values:
            for found in slot.compare(Reading(one, values), Reading(other, other_values)):
                yield Conflict(found.name, _shown(found.a), _shown(found.b))


def repeats(a: str, b: str) -> bool:
    """Whether `b` asks what `a` asks in the same words; what the slots say of the two is another matter."""
    return a == b or is_repeat(read_text(a), read_text(b))


@lru_cache(maxsize=REMEMBERED)
def read_text(text: str) -> Text:
    """Read once for a question, however many candidates it has."""
    return plain_text(text)


def _shown(values: Iterable[Hashable]) -> str:
    return ", ".join(sorted(map(str, values)) if isinstance(values, frozenset) else map(str, values))


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────

_QUANTITIES = (
    *("units", "money", "versions", "dates", "times", "day-part", "numbers"),
    *("money-missing", "versions-missing", "dates-missing", "times-missing", "day-part-missing"),
    *("numbers-missing", "units-missing", "number-order", "units-loose", "numbers-loose"),
)


def _loosening(name: str) -> tuple[str, str, str]:
    return name, f"{name}-loose", f"{name}-missing"


SLOTS = (
    Slot(("invisible",), invisibles, differ("invisible")),
    Slot(
        ("accents", "accents-missing", "symbols", "symbols-missing", "foreign-words", "foreign-words-missing"),
        accented,
        compare_accents,
    ),
    Slot(("ids", "ids-missing"), ids, exchanged("ids", any_case=True)),
    Slot(_QUANTITIES, quantities, compare_quantities),
    Slot(("negation", "negation-other"), negations, compare_negations),
    Slot(("antonyms", "antonyms-loose"), antonyms, compare_antonyms),
    Slot(("antonyms", "antonyms-loose"), words_of_four, compare_prefixes),
    Slot(("direction", "direction-loose"), directions, in_alike_texts(compare_directions)),
    Slot(("technology", "technology-missing"), technologies, compare_technologies),
    Slot(("language", "language-missing"), languages, exchanged("language", any_case=True)),
    Slot(("code", "code-missing"), code_spans, exchanged_or_moved("code")),
    Slot(("quotes", "quotes-missing"), quotations, exchanged_or_moved("quotes", any_case=True)),
    Slot(("paths", "paths-missing"), paths, exchanged_or_moved("paths")),
    Slot(("identifiers", "identifiers-missing"), identifiers, exchanged("identifiers", any_case=True)),
    Slot(_loosening("names"), names, in_alike_texts(exchanged("names", any_case=True, inflected=True))),
    Slot(("object", "object-loose", "object-other"), objects, in_alike_texts(compare_objects)),
    Slot(_loosening("aspect"), aspects, in_alike_texts(exchanged("aspect"))),
    Slot(("form", "form-missing"), forms, exchanged("form")),
    Slot(_loosening("quantifiers"), quantifiers, in_alike_texts(exchanged("quantifiers"))),
    Slot(_loosening("superlatives"), superlatives, in_alike_texts(exchanged("superlatives"))),
    Slot(_loosening("person"), owners, in_alike_texts(exchanged("person"))),
    Slot(("tense", "tense-loose", "tense-other"), tenses, in_alike_texts(compare_tenses)),
    Slot(_loosening("without"), restrictions, in_alike_texts(compare_restrictions)),
    Slot(("case",), cased, compare_case),
    Slot(("units",), data_units, compare_data_units),
    Slot(_loosening("operators"), operators, in_alike_texts(unequal("operators"))),
    Slot(("operators",), typed, compare_signs),
    Slot(_loosening("letters"), letters, in_alike_texts(unequal("letters"))),
    Slot(("spelling",), spelled, compare_spellings),
    Slot(("layout", "layout-other"), layout, compare_layouts),
    Slot(("order", "one-word-added", "one-word-replaced", "word-order"), word_order, compare_order),
    Slot(("condition-missing",), conditions, differ("condition-missing")),
)
"""Every slot, in the order in which conflicts are reported."""

SLOT_NAMES = tuple(dict.fromkeys(name for slot in SLOTS for name in slot.names))
"""Every name that a conflict may have, each once."""

PRECISE = frozenset(name for name in SLOT_NAMES if not name.endswith(LOOSE)) - {
    *("word-order", "one-word-added", "one-word-replaced", "day-part", "number-order", "accents-missing"),
}
"""The names of differences that almost always mean another answer. The others are evidence."""
