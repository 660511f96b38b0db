"""Pairs of opposites, and the words that stand on their sides."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.cache.slots.lexicon import word_set

_OPPOSITES = """
    enable,activate,turn on,switch on / disable,deactivate,turn off,switch off
    ~ open / close,shut
    ~ start,begin,launch / stop,end,finish,kill,terminate,halt
    ~ before / after
    include,including / exclude,excluding,except
    min,minimum,minimize,minimise,least,lowest,smallest / max,maximum,maximize,maximise,most,highest,largest,biggest
    first,earliest / last,latest
    oldest / newest,latest
    increase,raise,grow / decrease,reduce,lower,shrink
    ~ add,append,insert,attach / remove,delete,drop,detach,strip
    ~ create,make,build / delete,destroy,remove
    install / uninstall
    encode / decode
    encrypt / decrypt
    compress,zip / decompress,extract,unzip
    ~ serialize,serialise / deserialize,deserialise,parse
    import / export
    upload / download
    ascending,asc / descending,desc
    ~ push / pull
    ~ push / pop
    ~ read,load / write,save
    ~ get,fetch / set
    ~ send / receive
    lock / unlock
    mount / unmount
    connect / disconnect
    allow,permit / deny,block,forbid,reject,refuse
    accept / reject,refuse,decline
    ~ show,display / hide
    expand / collapse
    ~ merge,join,combine / split,separate
    ~ commit / rollback,revert
    undo / redo
    log in,sign in,login / log out,sign out,logout
    buy / sell
    borrow / lend
    win / lose
    ~ pass,succeed / fail
    ~ true / false
    ~ left / right
    ~ top,upper / bottom,lower
    ~ up / down
    above / below
    ~ over / under
    inside,inner,internal / outside,outer,external
    indoor,indoors / outdoor,outdoors
    ~ row / column
    horizontal,horizontally / vertical,vertically
    odd / even
    positive / negative
    public / private
    ~ local,locally / remote,remotely
    ~ client / server
    input / output
    source / destination,target
    sync,synchronous,synchronously / async,asynchronous,asynchronously
    static,statically / dynamic,dynamically
    mutable / immutable
    shallow / deep
    ~ single / double
    ~ same / different
    ~ more,larger,bigger,greater,higher / less,fewer,smaller,lower
    ~ long,longer,longest / short,shorter,shortest
    fast,faster,fastest / slow,slower,slowest
    advantage,pro,benefit / disadvantage,con,drawback
    ~ all,every,everything / none,nothing
    always / never
    hot / cold
    ~ old / new
    ~ empty / full
    uppercase / lowercase
    prefix / suffix
    ~ head / tail
    begin / end
    ~ forward,forwards / backward,backwards
    success / failure
    multiply / divide
    ~ sum / difference
    plus / minus
    promote / demote
    grant / revoke
    subscribe / unsubscribe
    follow / unfollow
    keep,keeping,preserve / discard,discarding,lose,losing
    cheap,cheaper,cheapest / expensive,costly
    easy,easier,easiest / hard,harder,hardest,difficult
    ~ good,better,best / bad,worse,worst
    rise / fall
    strong,stronger / weak,weaker
    early / late
    arrive,arrival / depart,departure
    sunrise / sunset
    raw / cooked
    wet / dry
    frozen / fresh
    male / female
    manual,manually / automatic,automatically
    absolute / relative
    inclusive / exclusive
    staged / unstaged
    known / unknown
    tracked / untracked
    leading / trailing
    rare / common
    young / old
    heat / cool
    freeze / thaw
    melt / freeze
    gain / lose
    past / future
    parent / child
    primary / secondary
    optional / required,mandatory
    wide / narrow
    thick / thin
    loud,louder / quiet,quieter
    summer / winter
    birth,born / death,die,died
    forget / remember
    upgrade,update / downgrade
    up vote,upvote / downvote
    scale up / scale down
    speed up / slow down
    opt in / opt out
    zoom in / zoom out
    check in / check out
    turn up / turn down
"""
"""Sides of a pair; one with ``~`` has words that are often said in another sense, and so counts only in a text that
is otherwise alike."""


def _forms(phrase: str) -> Iterator[str]:
    """The phrase as written, and every inflection it might have: more than there are does no harm."""
    word, *rest = phrase.split()
    stem, last = word.removesuffix("e"), word[-1]
    for form in (word, f"{word}s", f"{word}es", f"{stem}ed", f"{stem}ing", f"{word}{last}ed", f"{word}{last}ing"):
        yield " ".join((form, *rest))


_LINES = [line.strip() for line in _OPPOSITES.strip().splitlines()]
_PAIRS = [
    tuple([word.strip() for word in side.split(",")] for side in line.removeprefix("~").split("/")) for line in _LINES
]


def _called(one: list[str], other: list[str]) -> str:
    return f"{one[0]} (not {other[0]})"


def _sides() -> dict[str, tuple[str, ...]]:
    sides: dict[str, tuple[str, ...]] = {}
    for one, other in _PAIRS:
        for side, name in ((one, _called(one, other)), (other, _called(other, one))):
            for form in (form for word in side for form in _forms(word)):
                sides[form] = (*sides.get(form, ()), name)
    return sides


ANTONYM_SIDES = _sides()
"""Word or two-word phrase, in any form → the sides of pairs on which it stands, such as "open (not close)"."""

ANTONYM_PHRASE_STARTS = frozenset(form.split()[0] for form in ANTONYM_SIDES if " " in form)

OPPOSITE_SIDE = {_called(one, other): _called(other, one) for pair in _PAIRS for one, other in (pair, pair[::-1])}
LOOSE_SIDES = frozenset(
    _called(one, other)
    for pair, line in zip(_PAIRS, _LINES, strict=True)
    if line.startswith("~")
    for one, other in (pair, pair[::-1])
)
"""Sides of pairs with words that are often said in another sense."""

NEGATING_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "de", "anti")
NOT_NEGATED = word_set(
    "import inform inside intense install invest insure increase include income index impress imply default deploy "
    "define design detail demand delight depart describe deserve decode insert input intent infix imprint invoice "
    "understand under until unit unite universe inset inbound indeed defer deduce"
)
"""They only look like a word with such a prefix."""
