"""Ways of saying what is asked about a subject, and in which form: tables of cues, tried only where they may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.cache.slots.lexicon import word_set
from workbench.cache.slots.text import Text


@dataclass(frozen=True, slots=True)
class Cue:
    """What a pattern stands for; a text with none of `words` cannot match it."""

    name: str
    words: frozenset[str]
    pattern: re.Pattern[str]


def cue(name: str, words: str, *patterns: str) -> Cue:
    """A cue of alternative patterns over lower-case text."""
    return Cue(name, word_set(words), re.compile("|".join(patterns)))


def said(cues: tuple[Cue, ...], text: Text) -> Iterator[tuple[str, re.Match[str]]]:
    """The name and the match of each cue that the text holds, in the table's order."""
    vocabulary, lower = text.vocabulary, text.lower
    for each in cues:
        if not each.words.isdisjoint(vocabulary) and (match := each.pattern.search(lower)):
            yield each.name, match


# ── what is asked about it ──────────────────────────────────────────────────────────────────────────────────

ASPECTS = (
    cue("why", "come", r"how come"),
    cue(
        "why",
        "reason reasons cause causes makes",
        r"what(?:'s| is| are)? (?:the )?(?:usual |possible )?(?:reasons?|causes?)",
        r"what (?:could|would|might|can) cause",
        r"what makes|for what reason|reasons? (?:why|for|behind)|cause of",
    ),
    cue(
        "when",
        "time year date day month century",
        r"(?:at|in|on)? ?(?:what|which) (?:time|year|date|day|month|century)|release date|\bdate (?:of|when)",
    ),
    cue(
        "where",
        "place city country location folder directory",
        r"(?:what|which) (?:place|city|country|location|folder|directory)",
    ),
    cue(
        "how much",
        "much cost costs price prices expensive",
        r"how much (?!time)|what(?:'s| is| does| are)?(?: \w+){0,6} (?:cost|costs|price|prices)\b",
        r"how expensive|price of",
    ),
    cue("how often", "often frequently times", r"how often|how frequently|how many times"),
    cue("how many", "many number count", r"how many|(?:what(?:'s| is) the )?number of|count of"),
    cue("how long", "long time duration", r"how long|how much time|what(?:'s| is) the duration"),
    cue("how old", "old age", r"how old|what age"),
    cue("how far", "far", r"how far"),
    cue("how fast", "fast quickly", r"how (?:fast|quickly)"),
    cue("how big", "big large tall high deep heavy", r"how (?:big|large|tall|high|deep|heavy)"),
    cue(
        "safe",
        "safe dangerous risky secure",
        r"(?:is|are) (?:it|\w+)(?: \w+){0,4} (?:safe|dangerous|risky|secure)|safe to|how (?:safe|risky|dangerous)",
    ),
    cue(
        "how",
        "how way ways steps command method syntax trick approach procedure",
        r"how to|how (?:do|can|should)",
        r"(?:way|ways|steps|command|method|syntax|trick|approach|procedure) (?:to|for)",
    ),
)
"""What is asked about the subject, most telling first."""

# ── which form ──────────────────────────────────────────────────────────────────────────────────────────────

AS_SAID = "{}"
"""The name of a cue whose match itself is the value."""

FORMS = (
    cue("one line", "line liner liners oneliner one-liner", r"one[- ]?liners?|(?:one|single|a) line\b"),
    cue("one sentence", "sentence", r"(?:one|single|a) sentence"),
    cue(
        AS_SAID,
        "words word sentences lines paragraph paragraphs bullets points characters",
        r"(?:in|with|under|within|of|max|maximum|about|exactly|most|than|me|a) "
        r"([\w,]{1,20}[ -](?:words?|sentences|lines|paragraphs?|bullets|points|characters))\b",
    ),
    cue(
        AS_SAID,
        "json yaml csv xml html markdown latex",
        r"(?:\bas|\binto|\bin|return|output|format(?:ted)?(?: as| in)?|give me|respond with|reply with)"
        r"(?: (?:a|an|valid|plain|raw|only)){0,3} (json|yaml|csv|xml|html|markdown|latex)\b",
    ),
    cue(
        AS_SAID,
        "format form only",
        r"(json|yaml|csv|xml|markdown|table|tabular|bullet|list) (?:format|form|only)\b",
    ),
    cue("table", "table", r"(?:as|in|make|with|use) a (?:\w+ )?table\b"),
    cue(
        "bullets",
        "bullet bullets bulleted list",
        r"bullet(?:ed)?(?: points?| list)?s?\b|as a list\b|in list form",
    ),
    cue("numbered list", "numbered", r"numbered (?:list|steps)"),
    cue("step by step", "step walk", r"step[- ]by[- ]step|walk me through"),
    cue(
        "brief",
        "briefly brief short concise concisely tldr tl nutshell",
        r"\bbriefly|in brief|short answer|concise(?:ly)?|tl;?dr|keep it short|in a nutshell|in short",
    ),
    cue(
        "in detail",
        "detail detailed depth comprehensive thorough thoroughly elaborate",
        r"in (?:great(?:er)? |more |full )?detail|detailed|in[- ]depth|comprehensive|thorough(?:ly)?|elaborate",
    ),
    cue(
        "for a child",
        "eli5 five 5 old child children kid kids toddler",
        r"eli5|like i(?:'m| am) (?:five|5)",
        r"(?:to|for) (?:a |an |my )?(?:\w+[- ])?(?:year[- ]old|child(?:ren)?|kids?|toddler)",
    ),
    cue(
        "for a beginner",
        "beginner beginners newbie newbies dummies novice novices layman laypersons layperson terms words english "
        "language",
        r"(?:to|for) (?:an? )?(?:absolute |complete )?(?:beginners?|newbies?|dummies|novices?|layman|laypersons?)",
        r"(?:simple|plain|lay(?:man'?s)?) (?:terms|words|english|language)",
    ),
    cue(
        "for an expert",
        "expert experts engineer engineers professional professionals senior seniors",
        r"(?:to|for) (?:a |an )?(?:\w+ )?(?:experts?|engineers?|professionals?|seniors?)",
    ),
    cue(
        "with an example",
        "example examples",
        r"with (?:(?:an?|some|code) ){0,3}examples?|(?:give|show)(?: me)? (?:(?:an?|some|code) ){0,3}examples?",
    ),
    cue(
        "only the code",
        "just only explanation",
        r"(?:just|only) (?:the |give me )?(?:code|command|answer|number|name)\b|(?:code|command|answer) only",
        r"(?:no|without) (?:any )?explanation",
    ),
    cue("poem", "poem haiku limerick rhyme song verse", r"\b(?:poem|haiku|limerick|rhyme|song|verse)\b"),
    cue(
        AS_SAID,
        "mail letter tweet essay slides slide diagram flowchart cheat cheatsheet checklist timeline email",
        r"\b(e-?mail|letter|tweet|essay|slides?|diagram|flowchart|cheat ?sheet|checklist|timeline)\b",
    ),
)
"""The form, the length and the audience of an answer."""
