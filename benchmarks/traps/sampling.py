"""Synthetic pairs that teach which questions one answer serves: traps of every slot, rewrites, and both at once.

A trap is the text with one thing changed that matters; its slot is one of the names that the project's own families
use. No cue may betray the label: what a trap adds (a negation, a number, a condition) stands in positives too, on both
sides (`both`), and what a rewrite adds (a greeting, a typo, another frame) stands in negatives (`sample`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random

from benchmarks.traps import literal_traps, phrase_traps, word_traps
from benchmarks.traps.rewrites import REWRITE_MAKERS, rewrites
from benchmarks.traps.variants import LabelledPair, Maker, Variant, fold
from benchmarks.traps.words import word_set
from benchmarks.traps.words.planted import PLANTED, PLANTED_TECHNICAL

__all__ = ["TRAP_MAKERS", "LabelledPair", "Variant", "both", "planted", "rewrites", "sample", "traps"]


def _all_makers() -> dict[str, tuple[Maker, ...]]:
    makers: dict[str, tuple[Maker, ...]] = {}
    for module in (literal_traps, word_traps, phrase_traps):
        for slot, more in module.MAKERS.items():
            makers[slot] = (*makers.get(slot, ()), *more)
    return makers


TRAP_MAKERS = _all_makers()
"""Slot → its makers."""

SAME_SHARE = 0.45
"""Of the sampled pairs, about."""
_STACKED = (0.35, 0.3, 0.2, 0.15)
"""How often one, two, three, four rewrites are stacked."""


def traps(text: str, rng: Random) -> list[Variant]:
    """Every trap of `text` that applies, one a maker; none is `text` again but for case and punctuation."""
    return [trap for slot in TRAP_MAKERS for trap in _traps_of(slot, text, rng)]


def _traps_of(slot: str, text: str, rng: Random) -> Iterator[Variant]:
    for maker in rng.sample(TRAP_MAKERS[slot], len(TRAP_MAKERS[slot])):
        made = maker(text, rng)
        if made is not None and fold(made) != fold(text):
            yield Variant(_tidy(made), same=False, slot=slot)


def _tidy(text: str) -> str:
    return text.replace("  ", " ").strip()


def both(text: str, rng: Random) -> LabelledPair | None:
    """A positive full of a trap's cues: a trap of `text`, and a rewrite of that trap. None if nothing applies."""
    slots = list(TRAP_MAKERS)
    rng.shuffle(slots)
    for slot in slots:
        for trap in _traps_of(slot, text, rng):
            rewritten = _rewritten(trap.text, rng)
            if rewritten:
                return LabelledPair(trap.text, rewritten.text, same=True, slot=f"{slot} kept, {rewritten.slot}")
    return None


def planted(text: str, rng: Random) -> str | None:
    """`text` with a remark that holds a literal (a version, an order's number, a path), for the makers of literals."""
    if len(text) > LONGEST_PLANTED or any(start in text for start in ("My ", "I'm ", "It's ", "The ")):
        return None
    body = text.rstrip()
    return (
        (body if body.endswith(("?", ".", "!")) else body + ".")
        + " "
        + rng.choice(PLANTED_TECHNICAL if word_traps.is_technical(text) else PLANTED)
    )


LONGEST_PLANTED = 150


def _rewritten(text: str, rng: Random, *, slot: str | None = None) -> Variant | None:
    """`text` after one to four rewrites, the first of them of `slot` where one is given."""
    done: list[str] = []
    made = text
    for _ in range(rng.choices(range(1, len(_STACKED) + 1), _STACKED)[0]):
        step = _rewritten_once(made, rng, [slot] if slot and not done else [s for s in REWRITE_MAKERS if s not in done])
        if step is None:
            break
        made = step.text
        done.append(step.slot)
    return Variant(made, same=True, slot="+".join(done)) if made != text else None


def _rewritten_once(text: str, rng: Random, slots: Sequence[str]) -> Variant | None:
    for slot in rng.sample(slots, len(slots)):
        for maker in rng.sample(REWRITE_MAKERS[slot], len(REWRITE_MAKERS[slot])):
            made = maker(text, rng)
            if made is not None and made != text:
                return Variant(_tidy(made), same=True, slot=slot)
    return None


# ── sampling ────────────────────────────────────────────────────────────────────────────────────────────────


def sample(texts: Sequence[str], *, count: int, seed: int) -> list[LabelledPair]:
    """`count` pairs made from `texts`, about 45 % positives, slots as even as the texts allow; one seed, one result.

    Fewer where the texts give no more. The sides are in random order, so that neither says which was made.
    """
    rng = Random(seed)  # noqa: S311  # reproducible, not secret
    drawn: list[LabelledPair] = []
    used = Counter[str]()
    seen: set[tuple[str, str]] = set()
    barren = positives = 0
    waiting: list[str] = []
    texts = [text for text in texts if fold(text)]
    while len(drawn) < count and barren < 3 * len(texts):
        waiting = waiting or rng.sample(texts, len(texts))
        wanted = positives < SAME_SHARE * (len(drawn) + rng.random())
        pair = _one_pair(waiting.pop(), rng, used, same=wanted)
        key = (min(pair.a, pair.b), max(pair.a, pair.b)) if pair else ("", "")
        if pair is None or key in seen:
            barren += 1
            continue
        barren = 0
        positives += pair.same
        seen.add(key)
        drawn.append(pair if rng.random() < 0.5 else LabelledPair(pair.b, pair.a, pair.same, pair.slot))
    rng.shuffle(drawn)
    return drawn


def _one_pair(text: str, rng: Random, used: Counter[str], *, same: bool) -> LabelledPair | None:
    if rng.random() < _PLANTED_SHARE:
        text = planted(text, rng) or text
    pair = (_positive if same else _negative)(text, rng, used)
    return pair if pair and pair.a.strip() and pair.b.strip() else None


_PLANTED_SHARE = 0.15
_BOTH_SHARE = 0.4
"""Of the positives: those whose two sides carry a trap's cue."""


def _positive(text: str, rng: Random, used: Counter[str]) -> LabelledPair | None:
    if rng.random() < _BOTH_SHARE:
        trap = _rarest(text, rng, used, TRAP_MAKERS, lambda slot: _first(_traps_of(slot, text, rng)), key="kept {}")
        text = trap.text if trap else text
    made = _rarest(text, rng, used, REWRITE_MAKERS, lambda slot: _rewritten(text, rng, slot=slot))
    if made is None:
        return None
    a = text
    if rng.random() < 0.3:
        other = _rewritten(text, rng)
        a = other.text if other and other.text != made.text else text
    return LabelledPair(a, made.text, same=True, slot=made.slot)


def _negative(text: str, rng: Random, used: Counter[str]) -> LabelledPair | None:
    trap = _rarest(text, rng, used, TRAP_MAKERS, lambda slot: _first(_traps_of(slot, text, rng)))
    if trap is None:
        return None
    a, b = text, trap.text
    way = rng.random()
    if way < 0.2:
        a = _or(_rewritten(a, rng), a)
    elif way < 0.45:
        b = _or(_rewritten(b, rng), b)
    elif way < 0.55 and trap.slot in _EACH_DIFFERS:
        sibling = _first(_traps_of(trap.slot, text, rng))
        a = sibling.text if sibling and fold(sibling.text) != fold(b) else a
    return LabelledPair(a, b, same=False, slot=trap.slot) if fold(a) != fold(b) else None


_EACH_DIFFERS = word_set(
    "numbers dates times versions money ids quotes identifiers paths flags urls emails names technology object units"
)
"""Slots of which two traps differ from each other too; "don't do it" and "avoid doing it" do not."""


def _or(variant: Variant | None, text: str) -> str:
    return variant.text if variant else text


def _first(variants: Iterator[Variant]) -> Variant | None:
    return next(variants, None)


def _rarest(
    text: str,
    rng: Random,
    used: Counter[str],
    makers: dict[str, tuple[Maker, ...]],
    make: Callable[[str], Variant | None],
    *,
    key: str = "{}",
) -> Variant | None:
    """A variant of `text` in the slot used least so far among those that apply."""
    for slot in sorted(makers, key=lambda slot: (used[key.format(slot)], rng.random())):
        made = make(slot)
        if made is not None:
            used[key.format(slot)] += 1
            return made
    return None
