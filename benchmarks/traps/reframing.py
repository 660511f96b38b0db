"""The same question in another frame: "How do I …" ↔ "steps to …", clauses in another order, keywords."""

from __future__ import annotations

import re
from random import Random

from benchmarks.traps import english
from benchmarks.traps.english import cased, gerund_phrase, lowered, words
from benchmarks.traps.frames import framed
from benchmarks.traps.word_traps import NAMES, TECHNOLOGY, is_a_name
from benchmarks.traps.words import wordings

_OPTIONS = {"how": wordings.HOW, "can": wordings.CAN, "order": wordings.ORDER}


def frame(text: str, rng: Random) -> str | None:
    """“How do I …” → “What's the way to …”, “Delete …” → “Could you please delete …”."""
    found = framed(text)
    if found is None:
        return None
    act = lowered(found.act)
    options = _OPTIONS[found.kind]
    if len(act.split()) > 12 or re.search(r"[.?!]\s|\bplease\b", act):
        options = tuple(option for option in options if "{acting}" not in option and not option.endswith("how?"))
    if found.kind == "order" and _FOR_THE_ASKER.match(act):
        options = tuple(option for option in options if not _BY_THE_ASKER.match(option))
    made = rng.choice(options).format(act=act, acting=gerund_phrase(act))
    return found(english.capitalised(made) if made.startswith(act) and found.act[:1].isupper() else made)


_FOR_THE_ASKER = re.compile(
    r"(?:explain|tell|give|answer|reply|show|teach|remind|write|suggest|recommend|describe|summari[sz]e|provide|help|list)\b"
)
_BY_THE_ASKER = re.compile(r"(?:I need to|I want to|I'd like to|I would like to|Help me|Let's)\b")

_DIFFERENCE = re.compile(
    r"(?:what is|what's|whats|what are|explain|tell me)? ?(?:the )?(?:main )?differences? between "
    r"([\w+#.`'$/ -]{1,40}?) (?:and|vs) ([\w+#.`'$/ -]{1,40}?)\s*[?.!]*$",
    re.IGNORECASE,
)


def difference(text: str, rng: Random) -> str | None:
    """“the difference between A and B” → “B vs A”: here the order says nothing."""
    found = _DIFFERENCE.match(text)
    if not found or any(re.search(r"\b(?:in|for|when|and|or|between|with)\b", side) for side in found.groups()):
        return None
    return rng.choice(wordings.DIFFERENCE).format(a=found[1], b=found[2])


_WHAT_IS = re.compile(
    r"(?:what is|what's|whats|tell me|what would be|do you know) ((?:the|my|our) [\w+#.' $%/-]{3,70}?)\s*[?.!]*$",
    re.IGNORECASE,
)
_HAS_A_VERB = re.compile(
    r"\b(?:is|are|was|were|if|when|that|does|do|can|should|will|way|and how|problem|matter|deal)\b", re.I
)


def what_is(text: str, rng: Random) -> str | None:
    """“What is the …?” → “Tell me what the … is.”."""
    found = _WHAT_IS.match(text)
    if not found or _HAS_A_VERB.search(found[1]):
        return None
    return rng.choice(wordings.WHAT_IS).format(it=found[1])


_WHY_NOT = re.compile(
    r"(?:why|how come) (?:can't i|can i not|cannot i|am i unable to|am i not able to|i can't|i cannot) "
    r"(?P<act>[a-z].*?)\s*[?.!]*$",
    re.I,
)
_WHY = re.compile(
    r"(?:why|how come) (is|are|was|were|did|has|have|can|will|would|should|must) (i|we|they|it|this|that"
    r"|(?:my|the|our) \w+) (.*?)\s*[?.!]*$",
    re.IGNORECASE,
)
_WHERE = re.compile(
    r"(where|when|what|how long|how much|how often|which \w+|how many \w+) (can|could|should|must|will|may) "
    r"(i|we|they|it) (.*?)\s*[?.!]*$",
    re.IGNORECASE,
)
_BEGINS_A_PREDICATE = re.compile(
    r"(?:not |so |still |always |only |being |been |never |now )*(?:\w+(?:ing|ed|en)|not|so|declined|down)\b"
)


def why(text: str, rng: Random) -> str | None:
    """“Why can't I …” → “How come I am not able to …”, “Why is my card …” → “My card is …, why?”."""
    if found := _WHY_NOT.match(text):
        return rng.choice(wordings.WHY_NOT).format(act=found["act"], acting=gerund_phrase(found["act"]))
    found = _WHY.match(text)
    if not found or found[1].lower() in {"did", "can", "will"} or not _BEGINS_A_PREDICATE.match(found[3]):
        return None
    it = "I" if found[2].lower() == "i" else lowered(found[2])
    options = [option for option in wordings.WHY if "{be} {it}" in option] if "." in found[3] else wordings.WHY
    made = rng.choice(options).format(be=found[1].lower(), it=it, rest=found[3])
    return english.capitalised(made) if made.startswith(it) else made


def where(text: str, rng: Random) -> str | None:
    """“Where can I …” → “Do you know where I can …”."""
    found = _WHERE.match(text)
    if not found or re.search(r"[.?!]\s|, ", found[4]):
        return None
    who = "I" if found[3].lower() == "i" else found[3].lower()
    made = rng.choice(wordings.WHERE).format(wh=found[1].lower(), can=found[2].lower(), i=who, rest=found[4])
    return cased(text[0] if rng.random() < 0.7 else "a", made)


# ── keywords ────────────────────────────────────────────────────────────────────────────────────────────────


def keywords(text: str, rng: Random) -> str | None:
    """“How do I undo my last commit?” → “undo last commit”: what one types into a search box."""
    found = framed(text)
    if found is None or not found.lone or len(found.act) > 100 or found.kind == "can":
        return None
    kept = found.act
    for word in reversed(words(kept)):
        if word[0].lower() in {"a", "an", "the", "please"}:
            kept = kept[: word.start()] + kept[word.end() :].lstrip()
    kept = kept.strip(" ,")
    return kept if rng.random() < 0.6 or found.kind == "order" else f"how to {lowered(kept)}"


# ── clauses ─────────────────────────────────────────────────────────────────────────────────────────────────

_FRONTED = "|".join(wordings.FRONTED)
_TOPIC = rf"(?:{_FRONTED}) (?:(?:an?|the|my) )?[\w+#-]+(?:\.\w+)*(?: [\w+#-]+(?:\.\w+)*)?"
_LAST_CLAUSE = re.compile(rf" ({_TOPIC})\s*([?.!]*)$", re.IGNORECASE)
_FIRST_CLAUSE = re.compile(rf"({_TOPIC}), (.+?)\s*([?.!]*)$", re.I | re.DOTALL)
_IF = re.compile(r"((?:if|when|after|before|while) [^,?.!]+), ([^,?.!]+?)\s*([?.!]*)$", re.IGNORECASE)
_MAIN_IF = re.compile(
    r"((?:what|how|can|do|will|should|is|are|where) [^,?.!]+?) ((?:if|when|after|before|while) "
    r"(?:i|we|you|they|he|she|it|my|the|an?|this|there|your) [^,?.!]+?)\s*([?.!]*)$",
    re.I,
)
_ASKS_WHETHER = re.compile(
    r"\b(?:me|know|check|see|ask|say|decide|remember|sure|wonder|out|explain|us|date|the|day)$", re.I
)
_BOUND = re.compile(
    r"\b(?:interested|log|sign|logged|convert|translate|from|into|to|replace|based|work|turn|check|top|is|are|was"
    r"|what's) $",
    re.I,
)
_LAST_CLAUSE_BARRED = re.compile(
    r"\b(?:it|them|that|this|me|him|her|general|full|order|use|working|account|free|sure)$", re.I
)


def clauses(text: str, rng: Random) -> str | None:
    """“How do I do it in Python?” ↔ “In Python, how do I do it?”, “If …, can I …?” ↔ “Can I … if …?”."""
    found = _FIRST_CLAUSE.match(text)
    if found and len(found[2].split()) > 2 and not re.search(r"[.?!]\s", found[2]):
        return f"{_headed(text, found[2])} {lowered(found[1])}{found[3]}"
    if found := _IF.match(text):
        return f"{_headed(text, found[2])} {lowered(found[1])}{found[3]}"
    if (found := _MAIN_IF.match(text)) and not _ASKS_WHETHER.search(found[1]) and len(found[1].split()) > 3:
        return f"{_headed(text, found[2])}, {lowered(found[1])}{found[3]}"
    return _fronted(text, rng)


def _fronted(text: str, rng: Random) -> str | None:
    found = _LAST_CLAUSE.search(text)
    asked = framed(text)
    if not found or asked is None or not asked.lone or not _names_a_tool(found[1]):
        return None
    main = text[: found.start()]
    if len(main.split()) < 3 or _BOUND.search(main + " ") or _LAST_CLAUSE_BARRED.search(found[1]):
        return None
    topic = found[1].split(" ", 1)[1]
    fronts = [f"{_headed(text, found[1])}, {lowered(main)}"] * 3
    if found[1].lower().startswith(("in ", "with ", "using ")):
        fronts += [f"{topic}: {lowered(main)}", f"{topic} - {lowered(main)}", f"{lowered(main)} ({topic})"]
    return rng.choice(fronts) + found[2]


def _names_a_tool(clause: str) -> bool:
    """Whether a clause is a circumstance of the whole: it names a technology or a place."""
    return any(is_a_name(clause, *place) for table in (TECHNOLOGY, NAMES) for place in english.phrases(clause, table))


def _headed(text: str, clause: str) -> str:
    return cased(text[:1], clause) if text[:1].isupper() else clause


MAKERS = {
    "frame": (frame, difference, what_is, why, where),
    "keywords": (keywords,),
    "clauses": (clauses,),
}
"""What is rewritten → its makers."""
