"""The words that the guards know. English only: other languages are guarded by numbers, literals and names."""

from __future__ import annotations

from collections.abc import Iterator

# ── numbers and units ───────────────────────────────────────────────────────────────────────────────────────

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

NUMBER_WORDS = {
    **{word: value for value, word in enumerate(f"{_ONES} seventeen eighteen nineteen".split())},
    **{word: value for value, word in zip(range(20, 100, 10), _TENS.split(), strict=True)},
}
SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
NOT_ONE = frozenset("which this that the no any every each some another other do does can should would".split())
"""Before "one" they make it a pronoun."""

ORDINAL_WORDS = {
    word: f"{value}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(value, 'th') }"
    for value, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth".split(), start=1)
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

NEGATORS = frozenset(
    "not cannot never no none nor neither nothing nobody nowhere without except avoid avoids avoiding avoided "
    "prevent prevents preventing prevented unless non lack lacks lacking".split()
)
"""Besides every word that ends in n't."""
AUXILIARIES_WITHOUT_APOSTROPHE = frozenset(
    "dont doesnt didnt isnt arent wasnt werent cant couldnt wont wouldnt shouldnt hasnt havent hadnt".split()
)
PRONOUNS = frozenset(
    "i you we they he she it this that these those there the a an my your our their his her its".split()
)
QUESTION_WORDS = frozenset("why how what when where who which whose come".split())
FILLERS = frozenset(
    "a an the be is are was were been am i me my we you your it its this that these those do does did can could "
    "should would will shall may might must have has had please tell show explain any some and or so just".split()
)
"""Words that say little: left out when neighbours are compared."""

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


def _forms(word: str) -> Iterator[str]:
    """The word as written, and every inflection it might have: more than there are does no harm."""
    stem = word.removesuffix("e")
    yield word
    if " " not in word:
        yield from (f"{word}s", f"{word}es", f"{stem}ed", f"{stem}ing", f"{word}{word[-1]}ed", f"{word}{word[-1]}ing")


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

OPPOSITE_SIDE = {
    f"{one[0]} (not {other[0]})": f"{other[0]} (not {one[0]})" for pair in _PAIRS for one, other in (pair, pair[::-1])
}

# ── direction ───────────────────────────────────────────────────────────────────────────────────────────────

CONNECTORS = {
    **{word: "to" for word in ("to", "into", "onto", "from", "->", "=>", "→")},
    **{word: "before" for word in ("before", "after")},
    **{word: "vs" for word in ("vs", "versus")},
    **{word: word for word in "than over by with in inside within on of for as".split()},
}
"""Connecting word → what it is called when it points from its left to its right."""
REVERSED_CONNECTORS = frozenset({"from", "after"})
"""These point from their right to their left."""
