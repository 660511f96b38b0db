"""The words that the guards know. English only: other languages are guarded by numbers, literals and names."""

from __future__ import annotations

from collections.abc import Iterator


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# ── numbers and units ───────────────────────────────────────────────────────────────────────────────────────

_BELOW_TWENTY = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
"""
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

NUMBER_WORDS = {
    **{word: value for value, word in enumerate(_BELOW_TWENTY.split())},
    **{word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)},
}
SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
NOT_ONE = _set("which this that the no any every each some another other do does can should would")
"""Before "one" they make it a pronoun."""

ORDINAL_WORDS = {
    word: str(value) + {1: "st", 2: "nd", 3: "rd"}.get(value, "th") for value, word in enumerate(_ORDINALS, start=1)
}

_UNIT_ALIASES = """
    ms msec millisecond milliseconds | s sec secs second seconds | min mins minute minutes | h hr hrs hour hours
    us µs microsecond microseconds | ns nanosecond nanoseconds | day days | week weeks | month months
    year years yr yrs | bit bits | byte bytes | kb kilobyte kilobytes | mb megabyte megabytes
    gb gigabyte gigabytes | tb terabyte terabytes | kib | mib | gib | tib | % percent pct | px pixel pixels
    mm millimeter millimeters millimetre millimetres | cm centimeter centimeters centimetre centimetres
    m meter meters metre metres | km kilometer kilometers kilometre kilometres | mile miles mi | foot feet ft
    inch inches | mg milligram milligrams | g gram grams | kg kilogram kilograms kilo kilos | lb lbs pound pounds
    oz ounce ounces | l liter liters litre litres | ml milliliter milliliters | c celsius | f fahrenheit | k kelvin
    usd $ dollar dollars | eur € euro euros | gbp £ | hz hertz | khz | mhz | ghz | mph | kmh | degree degrees °
"""
UNITS = {
    alias: unit.split()[0]
    for line in _UNIT_ALIASES.strip().splitlines()
    for unit in line.split("|")
    for alias in unit.split()
}

# ── negation ────────────────────────────────────────────────────────────────────────────────────────────────

NEGATORS = _set(
    "not cannot never no none nor neither nothing nobody nowhere without except avoid avoids avoiding avoided "
    "prevent prevents preventing prevented unless non lack lacks lacking"
)
"""Besides every word that ends in n't."""
AUXILIARIES_WITHOUT_APOSTROPHE = _set(
    "dont doesnt didnt isnt arent wasnt werent cant couldnt wont wouldnt shouldnt hasnt havent hadnt"
)
PRONOUNS = _set("i you we they he she it this that these those there the a an my your our their his her its")
QUESTION_WORDS = _set("why how what when where who which whose come")
FILLERS = _set(
    "a an the be is are was were been am i me my we you your it its this that these those do does did can could "
    "should would will shall may might must have has had please tell show explain any some and or so just"
)
"""Words that say little: left out when neighbours are compared."""

ABBREVIATIONS = _set("e.g i.e a.m p.m u.s u.k")
"""Dotted, and yet no identifiers."""

# ── opposites ───────────────────────────────────────────────────────────────────────────────────────────────

_OPPOSITES = """
    enable,activate,turn on,switch on / disable,deactivate,turn off,switch off
    open / close,shut
    start,begin,launch / stop,end,finish,kill,terminate,halt
    before / after
    include,including / exclude,excluding,except
    min,minimum,minimize,minimise,least,lowest,smallest / max,maximum,maximize,maximise,most,highest,largest,biggest
    first,earliest / last,latest
    oldest / newest,latest
    increase,raise,grow / decrease,reduce,lower,shrink
    add,append,insert,attach / remove,delete,drop,detach,strip
    create,make,build / delete,destroy,remove
    install / uninstall
    encode / decode
    encrypt / decrypt
    compress,zip / decompress,extract,unzip
    serialize,serialise / deserialize,deserialise,parse
    import / export
    upload / download
    ascending,asc / descending,desc
    push / pull
    push / pop
    read,load / write,save
    get,fetch / set
    send / receive
    lock / unlock
    mount / unmount
    connect / disconnect
    allow,permit,accept / deny,block,forbid,reject,refuse
    show,display / hide
    expand / collapse
    merge,join,combine / split,separate
    commit / rollback,revert
    undo / redo
    log in,sign in,login / log out,sign out,logout
    buy / sell
    win / lose
    pass,succeed / fail
    true / false
    left / right
    top,upper / bottom,lower
    up / down
    above,over / below,under
    inside,inner,internal / outside,outer,external
    row / column
    horizontal,horizontally / vertical,vertically
    odd / even
    positive / negative
    public / private
    local / remote
    client / server
    input / output
    source / destination,target
    sync,synchronous,synchronously / async,asynchronous,asynchronously
    static / dynamic
    mutable / immutable
    shallow / deep
    single / double
    same / different
    more,larger,bigger,greater,higher / less,fewer,smaller,lower
    long,longer,longest / short,shorter,shortest
    fast,faster,fastest / slow,slower,slowest
    advantage,pro,benefit / disadvantage,con,drawback
    all,every,everything / none,nothing
    always / never
    hot / cold
    old / new
    empty / full
    uppercase / lowercase
    prefix / suffix
    head / tail
    begin / end
    forward,forwards / backward,backwards
    success / failure
    multiply / divide
    sum / difference
    plus / minus
    promote / demote
    grant / revoke
    subscribe / unsubscribe
    follow / unfollow
"""


def _forms(phrase: str) -> Iterator[str]:
    """The phrase as written, and every inflection it might have: more than there are does no harm."""
    word, *rest = phrase.split()
    stem, last = word.removesuffix("e"), word[-1]
    for form in (word, f"{word}s", f"{word}es", f"{stem}ed", f"{stem}ing", f"{word}{last}ed", f"{word}{last}ing"):
        yield " ".join((form, *rest))


_PAIRS = [
    tuple([word.strip() for word in side.split(",")] for side in line.split("/"))
    for line in _OPPOSITES.strip().splitlines()
]


def _sides() -> dict[str, tuple[str, ...]]:
    sides: dict[str, tuple[str, ...]] = {}
    for one, other in _PAIRS:
        for side, name in ((one, f"{one[0]} (not {other[0]})"), (other, f"{other[0]} (not {one[0]})")):
            for form in (form for word in side for form in _forms(word)):
                sides[form] = (*sides.get(form, ()), name)
    return sides


ANTONYM_SIDES = _sides()
"""Word or two-word phrase, in any form → the sides of pairs on which it stands, such as "open (not close)"."""

ANTONYM_PHRASE_STARTS = frozenset(form.split()[0] for form in ANTONYM_SIDES if " " in form)

OPPOSITE_SIDE = {
    f"{one[0]} (not {other[0]})": f"{other[0]} (not {one[0]})" for pair in _PAIRS for one, other in (pair, pair[::-1])
}

NEGATING_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "de", "anti")

# ── direction ───────────────────────────────────────────────────────────────────────────────────────────────

CONNECTORS = {
    **{word: word for word in _set("to before vs than over by with in inside within on of for as")},
    **dict.fromkeys(_set("into onto from -> => →"), "to"),
    "after": "before",
    "versus": "vs",
}
"""Connecting word → what it is called when it points from its left to its right."""
REVERSED_CONNECTORS = frozenset({"from", "after"})
"""These point from their right to their left."""
MODIFYING = frozenset({"in", "of", "for", "on", "with"})
"""A phrase with one of them may become a modifier: "a list in Python", "a Python list"."""

# ── order, letters, case ────────────────────────────────────────────────────────────────────────────────────

PERSONS = _set("i me you we us they them he him she her it")
"""Fillers, and yet "do you owe it" is not "does it owe you"."""

AFTER_A_LETTER = _set(
    "and or is are was in to into from of for by with as on at than then plus minus times equals before after vs over "
    "not be"
)
"""Before one of them "a" is a name, not an article."""

NOT_THE_SAME_IN_CAPITALS = _set(
    "us it who or and not as in is on no so to go do be he me my we am an at by if of up all any are can did for had "
    "has her him his how its may now off one our out she the too was way why you aids sap sat"
)
"""Common words that in capitals are other words: US, IT, WHO."""
NOT_THE_SAME_CAPITALISED = _set("polish turkey china march august mark bill frank reading mobile nice none true false")
"""Common words that capitalised inside a sentence are other words."""
