"""Which texts are not matched by meaning, and which are not stored at all: rules, each with a name.

A question bound to the moment, one that asks for variety, and one with personal data has no answer that is right for
the next who asks alike. A text with a secret may not rest on a disk. All rules read in linear time, however long or
hostile the text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from math import log2

_WORD = re.compile("[a-z]+")

# ── bound to the moment ─────────────────────────────────────────────────────────────────────────────────────

_MOMENT_WORDS = frozenset(
    [
        *("today", "tonight", "tomorrow", "yesterday", "now", "moment", "present", "nowadays", "these", "latest"),
        *("currently", "recent", "current", "week", "weekend", "month", "year", "morning", "afternoon", "evening"),
        *("season", "quarter", "night", "time", "date", "day", "weather", "forecast", "raining", "rain", "snow"),
        *("snowing", "price", "prices", "rate", "rates", "news", "president", "minister", "ceo", "pope"),
    ]
)
"""Without one of them no pattern of `_MOMENT` can match."""
_MOMENT = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday)\b(?!'s (?:standards?|world|age|terms|money))(?!\()(?!_)"
    r"|\b(?:right|as of|until|up to|just) now\b|(?<!from )\bnow(?= ?(?:[?.!]|$))|\bat the moment\b|\bat present\b"
    r"|\bnowadays\b|\bthese days\b|\bcurrently (?:the |in |on |at |available|supported|worth|trading)"
    r"|(?<!at the )\blatest\b"
    r"(?! (?:commit|change|thing|tag|migration|backup|branch|entry|row|record|log|file|line))"
    r"|\bmost recent (?:version|release|news|stable|election|model)"
    r"|\bcurrent(?:ly)? (?:\w+ )?(?:price|weather|president|prime|minister|version|time|date|year|month|rate|"
    r"temperature|ceo|champion|status|news|events?|score|population|value|holder|lts|stable|release|leader|king)"
    r"|\bthis (?:week|weekend|month|year|morning|afternoon|evening|season|quarter)\b(?! of)"
    r"|\b(?:last|next) (?:week|month|year|night|weekend)\b"
    r"|\bwhat(?:'s| is)? (?:the )?(?:time|date|day) (?:is it|now|it is|in)\b|\bwhat(?:'s| is) the (?:time|date)\?*$"
    r"|\b(?:weather|forecast)\b(?! (?:api|app|data|station|model|map))"
    r"|\b(?:is it|will it) (?:raining|rain|snow|snowing)"
    r"|\b(?:stock|share|bitcoin|btc|gold|oil|exchange|crypto) (?:price|rate)s?\b|\bbreaking news\b|\bin the news\b"
    r"|\b(?:who|what) is (?:the )?(?:us |uk |french |german )?(?:president|prime minister|ceo|pope)\b"
)


def _is_of_the_moment(text: str) -> bool:
    lower = text.lower()
    return not _MOMENT_WORDS.isdisjoint(_WORD.findall(lower)) and _MOMENT.search(lower) is not None


# ── asking for variety ──────────────────────────────────────────────────────────────────────────────────────

_CREATIONS = (
    "poem|poems|poetry|story|stories|joke|jokes|haiku|haikus|limerick|song|lyrics|rap|sonnet|riddle|riddles|pun|puns|"
    "tale|fairytale|verse|rhyme|slogan|slogans|tagline|taglines|tweet|essay|dialogue|monologue|screenplay|sketch|"
    "quote|compliment|toast|ode|ballad|anecdote|nickname|nicknames|username|usernames|names"
)
_ASKS_FOR = (
    r"(?<!how do i )(?<!how to )(?<!how can i )"
    r"\b(?:write|tell|compose|invent|give|make|create|sing|make up|come up with|suggest|generate|show)"
)
_VARIETY_WORDS = frozenset(
    [
        *(_CREATIONS.split("|")),
        *("surprise", "brainstorm", "brainstorming", "inspire", "come", "make", "another", "different", "something"),
        *("more", "again", "regenerate", "rephrase", "random", "coin", "roll"),
    ]
)
"""Likewise for `_VARIETY`."""
_VARIETY = re.compile(
    rf"{_ASKS_FOR}(?: me| us)?(?: up)?(?: with)?"
    rf"(?: (?!that\b|which\b|from\b|in\b|of\b|for\b|to\b)[\w'-]{{1,20}}){{0,4}} "
    rf"(?:{_CREATIONS})\b(?! (?:of|in) (?:the|my|a|this) (?:file|column|table|class|branch|array|list))"
    r"|\bsurprise me\b|\bbrainstorm(?:ing)?\b|\binspire me\b|\bcome up with\b|\bmake something up\b"
    r"|^another\b|\banother (?:one|idea|version|option|joke|story|poem|suggestion|example|answer|try)\b"
    r"|\b(?:give|tell|show|write|suggest|pick)(?: me| us)? (?:yet )?another\b"
    r"|\b(?:a|some) different (?:one|ones|version|idea|answer|joke|story|poem|suggestion)\b"
    r"|\bsomething (?:else|different|new)\b"
    r"|\b(?:one|two|three|five|ten|some|few) more (?:\w+ )?(?:jokes?|ideas?|please|examples?|suggestions?)\b"
    r"|^(?:try|do it|once) (?:again|more)\b|\bregenerate\b|\brephrase that\b"
    r"|\b(?:give|tell|pick|choose|suggest|show|name|say)(?: me| us)?(?: \w{1,15}){0,2} random\b"
    r"|^random (?!forest|access|seed|walk)"
    r"|\b(?:pick|choose|select)(?: \w{1,15}){1,4} at random\b"
    r"|\b(?:flip|toss) a coin\b|\broll (?:a|two|the) di(?:e|ce)\b"
)


def _asks_for_variety(text: str) -> bool:
    lower = text.lower().lstrip()
    return not _VARIETY_WORDS.isdisjoint(_WORD.findall(lower)) and _VARIETY.search(lower) is not None


# ── personal data ───────────────────────────────────────────────────────────────────────────────────────────

# The part before the "@" is not read: looking back for it from every one of a million characters would cost too much.
_MAIL = re.compile(
    r"(?<=[\w+-])(?<!\bgit)@(?!(?:[\w-]{1,40}\.)?example\.|github\.com|gitlab\.com|bitbucket\.org)"
    r"(?:[\w-]{1,63}\.){1,5}[A-Za-z]{2,24}\b"
)
_PHONE = re.compile(
    r"(?<![\w.+])\+\d(?:[ ().-]{0,2}\d){7,14}(?!\d)|(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w.-])"
    r"|\b(?:phone|tel|telephone|mobile|cell|whatsapp|call me|text me)\b[^\d\n]{0,20}\d(?:[ ().-]{0,2}\d){6,14}(?!\d)",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_SOCIAL_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-\d{2}-\d{4}(?![\d-])")
_DIGITS = re.compile(r"\d[ ().-]{0,2}\d[ ().-]{0,2}\d[ ().-]{0,2}\d")


def _is_personal(text: str) -> bool:
    if "@" in text and _MAIL.search(text):
        return True
    if not _DIGITS.search(text):
        return False
    return bool(
        _PHONE.search(text)
        or _SOCIAL_SECURITY.search(text)
        or any(_passes_luhn(found[0]) for found in _CARD.finditer(text))
        or any(_passes_mod_97(found[0]) for found in _IBAN.finditer(text))
    )


def _passes_luhn(number: str) -> bool:
    """The check digit of payment cards, ISO/IEC 7812-1 annex B."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _passes_mod_97(number: str) -> bool:
    """The check of IBANs, ISO 13616: the first four characters at the end, letters as 10 … 35, remainder 1."""
    plain = number.replace(" ", "")
    # A match may have run into the words after it, so every length that an IBAN may have is tried.
    return any(
        int("".join(str(int(character, 36)) for character in plain[4:length] + plain[:4])) % 97 == 1
        for length in range(15, min(len(plain), 34) + 1)
    )


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────────

_START = r"(?<![\w-])"
_SECRETS = (
    ("private key", ("-----BEGIN",), re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY")),
    ("AWS key", ("AKIA", "ASIA"), re.compile(rf"{_START}(?:AKIA|ASIA)[0-9A-Z]{{16}}\b")),
    (
        "API key",
        ("sk-", "_live_", "_test_", "gh", "glpat-", "xox", "AIza", "hf_", "npm_", "pypi-", "SG.", "dop_v1_", "shp"),
        re.compile(
            rf"{_START}(?:sk-(?:ant-|proj-|or-|svcacct-)?[\w-]{{20,}}|[srp]k_(?:live|test)_\w{{10,}}|gh[pousr]_\w{{30,}}"
            r"|github_pat_\w{22,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|AIza[\w-]{35}|hf_\w{30,}|npm_\w{30,}"
            r"|pypi-[\w-]{40,}|SG\.[\w-]{16,}\.[\w-]{16,}|dop_v1_\w{40,}|shp(?:at|ca|pa|ss)_\w{32})"
        ),
    ),
    ("token", ("eyJ",), re.compile(rf"{_START}eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}\.[\w-]{{8,}}")),
    ("bearer token", ("earer ", "EARER "), re.compile(r"\bbearer [\w.~+/-]{16,}", re.IGNORECASE)),
    ("password in a URL", ("://",), re.compile(r"://[^\s/:@]{0,64}:(?P<value>[^\s/@]{3,128})@")),
)
_NAMED = re.compile(
    r"(?:passw(?:or)?d|passwort|passphrase|pwd|secret|api[_-]?key|access[_-]?key|secret[_-]?key|auth[_-]?token|token)"
    r"[\"']?(?P<is>\s{0,3}(?:=|:)\s{0,3}| is )[\"']?(?P<value>[^\s\"'`<>{}$,;()\[\]]{6,})(?!\()",
    re.IGNORECASE,
)
_NAMED_HINTS = ("passw", "passph", "pwd", "secret", "key", "token")
_PLACEHOLDER = re.compile(
    r"x{3,}|\*{3,}|\.{3}|your|example|change-?me|placeholder|redacted|os\.|env|process|none|null|true|false|self\."
    r"|password|passwd|secret|token|pass$|user|request|config|settings|string|value|input|<|\{|\$|%",
    re.IGNORECASE,
)
_LONG_TOKEN = re.compile(r"(?<![A-Za-z0-9_+=-])[A-Za-z0-9_+=-]{24,128}(?![A-Za-z0-9_+=-])")
_LEAST_BITS = 4.0
"""The least entropy of a token, in bits a character, that nobody types by hand."""
_LEAST_OF_EACH = 3
"""How many capitals, small letters and digits such a token has at least."""


def holds_secret(text: str) -> str | None:
    """What sort of secret stands anywhere in `text`, in words for people; None for none. Such a text is not stored."""
    for name, hints, pattern in _SECRETS:
        if any(hint in text for hint in hints) and any(map(_is_filled_in, pattern.finditer(text))):
            return name
    lower = text.lower()
    if any(hint in lower for hint in _NAMED_HINTS) and any(map(_is_named_secret, _NAMED.finditer(text))):
        return "password or key"
    if any(_looks_random(found[0]) for found in _LONG_TOKEN.finditer(text)):
        return "random token"
    return None


MASK = "<secret>"
"""A placeholder in the eyes of `holds_secret`, so that what was masked is none any more."""
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----(?:(?!-----END).){0,20000}(?:-----END[A-Z0-9 ]{0,40}-----)?", re.DOTALL
)


def mask_secrets(text: str) -> str:
    """`text` with every secret that `holds_secret` would find put behind a mask."""
    if "-----BEGIN" in text:
        text = _KEY_BLOCK.sub(MASK, text)
    for _, hints, pattern in _SECRETS:
        if any(hint in text for hint in hints):
            text = pattern.sub(lambda found: _masked(found) if _is_filled_in(found) else found[0], text)
    lower = text.lower()
    if any(hint in lower for hint in _NAMED_HINTS):
        text = _NAMED.sub(lambda found: _masked(found) if _is_named_secret(found) else found[0], text)
    return _LONG_TOKEN.sub(lambda found: MASK if _looks_random(found[0]) else found[0], text)


def _masked(found: re.Match[str]) -> str:
    """The whole match, or where only a part of it is the secret, that part behind the mask."""
    value = found.groupdict().get("value")
    return MASK if value is None else found[0].replace(value, MASK)


def _is_filled_in(found: re.Match[str]) -> bool:
    """Whether it is more than a placeholder, where only a part of it is the secret."""
    value = found.groupdict().get("value")
    return value is None or not _PLACEHOLDER.match(value)


def _is_named_secret(found: re.Match[str]) -> bool:
    value, link = found["value"], found["is"]
    if _PLACEHOLDER.search(value[:64]):
        return False
    return link == "=" or any(map(str.isdigit, value[:128]))  # "password: required", "token = get_it"


def _looks_random(token: str) -> bool:
    counts = (sum(map(kind, token)) for kind in (str.isupper, str.islower, str.isdigit))
    if min(counts) < _LEAST_OF_EACH:
        return False
    shares = (token.count(character) / len(token) for character in set(token))
    return -sum(share * log2(share) for share in shares) >= _LEAST_BITS


# ── the rules ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rule:
    """Why a text may not be matched by meaning."""

    name: str
    applies: Callable[[str], bool]


RULES = (
    Rule("secrets", lambda text: holds_secret(text) is not None),
    Rule("personal", _is_personal),
    Rule("moment", _is_of_the_moment),
    Rule("variety", _asks_for_variety),
)
"""Every rule, gravest first."""

ALL = frozenset(rule.name for rule in RULES)


def first_reason(text: str, rules: Set[str] = ALL) -> str | None:
    """The name of the first of `rules` for which `text` may not be matched by meaning; None when it may."""
    return next((rule.name for rule in RULES if rule.name in rules and rule.applies(text)), None)
