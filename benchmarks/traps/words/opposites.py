"""Opposites: "a/b" pairs, whose exchange changes what is asked."""

VERBS = """
enable/disable, activate/deactivate, turn on/turn off, switch on/switch off, log in/log out, sign in/sign out
opt in/opt out, zoom in/zoom out, check in/check out, clock in/clock out, plug in/unplug, scale up/scale down
scale out/scale in, speed up/slow down, turn up/turn down, roll out/roll back, power on/power off, add/remove
add/delete
create/delete, create/destroy, insert/delete, include/exclude, install/uninstall, upgrade/downgrade, update/revert
increase/decrease, increase/reduce, raise/lower, maximize/minimize, maximise/minimise, expand/collapse, extend/shorten
open/close, lock/unlock, start/stop, begin/end, pause/resume, start/finish, launch/quit, load/unload, mount/unmount
attach/detach, connect/disconnect, join/leave, merge/split, combine/separate, join/split, bind/unbind
link/unlink, pair/unpair, push/pull, push/pop, upload/download, import/export, read/write
encode/decode, encrypt/decrypt, compress/decompress, compress/extract, zip/unzip, pack/unpack, serialize/deserialize
marshal/unmarshal, escape/unescape, wrap/unwrap, indent/dedent, comment out/uncomment
show/hide, reveal/conceal, display/hide, minimize/restore, freeze/unfreeze, freeze/thaw, boil/freeze, melt/freeze
heat/cool, warm/chill, tighten/loosen, fill/empty, fill/drain, inflate/deflate, subscribe/unsubscribe, follow/unfollow
block/unblock, ban/unban, mute/unmute, star/unstar, archive/unarchive, archive/restore
publish/unpublish, stage/unstage, check/uncheck, select/deselect, register/unregister, enroll/withdraw
accept/reject, accept/decline, approve/reject, approve/decline, allow/block, allow/forbid, permit/prohibit
grant/revoke
grant/deny, confirm/cancel, keep/discard, keep/delete, preserve/overwrite, save/discard, buy/sell, lend/borrow
rent out/rent, deposit/withdraw, credit/debit, pay/charge, earn/spend, save/spend, gain/lose, win/lose, send/receive
rent/buy, arrive/leave, arrive/depart, enter/exit, enter/leave, ascend/descend, climb/descend, rise/fall
grow/shrink, widen/narrow, lengthen/shorten, strengthen/weaken, thicken/thin, improve/worsen, soften/harden
promote/demote, hire/fire, employ/dismiss, prepend/append, multiply/divide, add/subtract, encourage/discourage
succeed/fail, pass/fail, appear/disappear, attack/defend, love/hate, agree/disagree, trust/distrust, obey/disobey
remember/forget, cause/prevent, reward/punish, praise/criticize, teach/learn, build/demolish, repair/break
fix/break, assemble/disassemble, dress/undress, wind/unwind, roll/unroll, fold/unfold, cover/uncover, load/save
arm/disarm, charge/discharge, inhale/exhale, push/revert, deploy/undeploy, stash/unstash, do/undo, commit/revert
acquire/release, allocate/free, reserve/release, lock/release, simplify/complicate, tighten/relax
centralize/decentralize
attract/repel, absorb/emit, hydrate/dehydrate, humidify/dehumidify, sharpen/blur, highlight/dim, brighten/darken
lighten/darken, accelerate/decelerate, quicken/slow, inherit/override, whitelist/blacklist, whitelist/block
"""

ADJECTIVES = """
public/private, local/remote, global/local, static/dynamic, mutable/immutable, synchronous/asynchronous
synchronously/asynchronously
sync/async
internal/external, inner/outer, upper/lower, uppercase/lowercase, upper case/lower case, ascending/descending
ascendingly/descendingly, horizontal/vertical, horizontally/vertically, forward/backward, forwards/backwards
case-sensitive/case-insensitive, case sensitive/case insensitive, empty/non-empty, hidden/visible, read-only/writable
readable/unreadable, writable/unwritable, writeable/read-only, executable/non-executable, recursive/non-recursive
signed/unsigned, ordered/unordered, sorted/unsorted, tracked/untracked, staged/unstaged, committed/uncommitted
mounted/unmounted, open/closed, locked/unlocked, encrypted/unencrypted, compressed/uncompressed, used/unused
available/unavailable, active/inactive, online/offline, stable/unstable, valid/invalid, correct/incorrect
equal/unequal, linear/nonlinear, finite/infinite, positive/negative, odd/even, prime/composite, rational/irrational
real/imaginary, known/unknown, explicit/implicit, explicitly/implicitly, absolute/relative, direct/indirect
directly/indirectly, formal/informal, formally/informally, optional/required, mandatory/optional, temporary/permanent
temporarily/permanently, automatic/manual, automatically/manually, symmetric/asymmetric, primary/secondary
physical/virtual, virtual/physical, domestic/international, foreign/domestic, national/international, urban/rural
indoor/outdoor, indoors/outdoors, hot/cold, warm/cool, wet/dry, hard/soft, heavy/light, thick/thin, wide/narrow
deep/shallow, tall/short, long/short, high/low, big/small, large/small, huge/tiny, fast/slow, quick/slow
quickly/slowly
cheap/expensive, rich/poor, strong/weak, loud/quiet, bright/dark, clean/dirty, full/empty, fresh/stale, raw/cooked
ripe/unripe, sweet/sour, spicy/mild, smooth/rough, sharp/blunt, tight/loose, young/old, new/old, modern/ancient
early/late, earlier/later, sooner/later, newer/older, bigger/smaller, larger/smaller, greater/less, greater/smaller
longer/shorter, higher/lower, faster/slower, cheaper/dearer, better/worse, heavier/lighter, stronger/weaker
warmer/colder, hotter/colder, deeper/shallower, wider/narrower, younger/older, taller/shorter, thicker/thinner
simple/complex, easy/hard, easy/difficult, single/multiple, single/married, male/female, vegan/non-vegan
alive/dead, awake/asleep, pregnant/not pregnant, present/absent, visible/invisible, possible/impossible, common/rare
frequent/rare, frequently/rarely, often/rarely, always/never, usually/rarely, sometimes/never, increasing/decreasing
rising/falling, incoming/outgoing, inbound/outbound, ingress/egress, upstream/downstream, uphill/downhill
liquid/solid, soluble/insoluble, organic/inorganic, acidic/alkaline, vertebrate/invertebrate, nocturnal/diurnal
"""

PREPOSITIONS = """
before/after, above/below, inside/outside, over/under, upstairs/downstairs, left/right, north/south, east/west
northern/southern, eastern/western, clockwise/counterclockwise, prior to/after, in front of/behind
including/excluding
ahead of/behind, left-aligned/right-aligned, top-down/bottom-up, bottom/top, toward/away from, towards/away from
more than/less than, greater than/less than, larger than/smaller than, bigger than/smaller than, older than/newer than
newer than/older than, higher than/lower than, longer than/shorter than, more often than/less often than
earlier than/later than, starting with/ending with, starts with/ends with, start with/end with
beginning with/ending with
begins with/ends with, begin with/end with, at the beginning/at the end, at the start/at the end
the beginning of/the end of
start of/end of, next week/last week, next month/last month, next year/last year, next day/previous day
opposite/same, the same/a different, the next/the previous
"""

NOUNS = """
advantage/disadvantage, pro/con, benefit/drawback, strength/weakness, success/failure, profit/loss, gain/loss
income/expense, asset/liability, supply/demand, lender/borrower, buyer/seller, sender/recipient, sender/receiver
client/server, parent/child, master/replica, leader/follower, landlord/tenant, employer/employee, teacher/student
doctor/patient, winner/loser, husband/wife, mother/father, brother/sister, son/daughter, uncle/aunt
grandfather/grandmother
king/queen, boy/girl, man/woman, producer/consumer, publisher/subscriber, getter/setter, source/destination
input/output
prefix/suffix, header/footer, encoder/decoder, compressor/decompressor, upload/download, import/export
increase/decrease
row/column, numerator/denominator, minimum/maximum, ceiling/floor, entrance/exit, arrival/departure, beginning/end
question/answer, problem/solution, cause/effect, cause/symptom, friend/enemy, victory/defeat, birth/death, war/peace
summer/winter, spring/autumn, sunrise/sunset, dawn/dusk, predator/prey, ancestor/descendant, predecessor/successor
debtor/creditor, guest/host, whitelist/blacklist, allowlist/denylist, deposit/withdrawal, credit/debit
upstream/downstream, superset/subset, maxima/minima, hypernym/hyponym, antonym/synonym, stalactite/stalagmite
acid/alkali, artery/vein, import/re-export, uplink/downlink, upswing/downswing, plaintiff/defendant, upside/downside
"""

POLARITY = """
safe/dangerous, safe/unsafe, secure/insecure, legal/illegal, healthy/unhealthy, good/bad, true/false, right/wrong
allowed/forbidden, permitted/prohibited, necessary/unnecessary, useful/useless, reliable/unreliable, fair/unfair
happy/unhappy, satisfied/dissatisfied, honest/dishonest, polite/rude, friendly/unfriendly, popular/unpopular
recommended/discouraged, supported/unsupported, successful/unsuccessful, successfully/unsuccessfully
accurate/inaccurate
appropriate/inappropriate, beneficial/harmful, edible/inedible, toxic/harmless, poisonous/edible
effective/ineffective
efficient/inefficient, truthy/falsy, nullable/non-nullable, trusted/untrusted
authorized/unauthorized, authenticated/unauthenticated, resolved/unresolved
lucky/unlucky, moral/immoral, ethical/unethical, profitable/unprofitable, affordable/unaffordable, kind/cruel
"""

SUPERLATIVES = """
largest/smallest, biggest/smallest, highest/lowest, longest/shortest, tallest/shortest, newest/oldest, latest/earliest
youngest/oldest, fastest/slowest, quickest/slowest, cheapest/most expensive, best/worst, most/least, max/min
maximum/minimum, maximal/minimal, first/last, greatest/least, easiest/hardest, simplest/most complex
strongest/weakest
hottest/coldest, warmest/coldest, richest/poorest, deepest/shallowest, nearest/farthest, closest/farthest
safest/riskiest
heaviest/lightest, widest/narrowest, busiest/quietest, brightest/darkest, loudest/quietest, hardest/softest
topmost/bottommost, leftmost/rightmost, innermost/outermost, first/second, first/third, second/third
last/second to last
largest/second largest, smallest/second smallest, highest/second highest, best/second best, cleanest/dirtiest
sweetest/sourest
"""

NOT_BEFORE = {
    "last": "modified created accessed changed used seen logged edited updated week month year night time monday"
    " tuesday wednesday thursday friday saturday sunday summer winter few",
    "first": "showed show appeared appear name of aid place language class time",
    "second": "hand factor",
    "start": "from at",
    "starting": "from at",
    "starts": "from at",
    "secure": "a the my",
    "separated": "by",
    "hard": "drive drives disk disks coded boiled copy link time wired code",
    "new": "line lines york zealand delhi jersey orleans year mexico",
    "old": "are is was were am do",
    "long": "as does do is will would did time run term before should until it can has have for ago can't after",
    "short": "of cut circuit story term",
    "high": "school",
    "low": "level",
    "even": "if though when after with i the my while in on a though it worse better more more",
    "odd": "that",
    "light": "bulb bulbs switch year years show",
    "right": "side hand now away after before to click clicking here there of",
    "left": "in over on to by with behind after out from off",
    "open": "source ai",
    "domestic": "animal animals violence",
    "real": "time estate number numbers",
    "top": "up ups of it my upped 10 5 3",
    "single": "quote quotes",
    "local": "time",
    "hot": "dog dogs reload",
    "dead": "sea",
    "black": "hole",
    "full": "name text time screen stack outer join path list",
    "soft": "drink drinks",
    "virtual": "machine machines environment environments",
    "physical": "therapy",
    "most": "of likely people",
    "best": "way practice practices friend buy man",
    "like": "to that this a the my it",
    "do": "i you we they not it this that the to for in about with",
    "does": "it the this that my a",
    "doing": "this",
    "done": "it",
    "check": "if whether that for the my on",
    "checking": "account accounts",
    "charge": "my for",
    "pay": "for with by off my the",
    "call": "a the",
    "free": "space memory",
    "rest": "of api",
    "end": "of up date",
    "fall": "back in",
    "spring": "boot framework mvc",
    "true": "that",
    "prime": "minister video",
    "fire": "alarm wall",
    "complete": "my the a",
    "kind": "of",
    "kinds": "of",
    "wrong": "with",
    "good": "luck morning evening night at",
    "fixed": "width",
    "text": "file files editor me message",
    "empty": "string strings line lines list lists",
    "raise": "an a exception exceptions error errors the",
    "star": "wars trek",
    "wind": "speed turbine turbines power",
    "fill": "in out",
    "break": "down up into out",
    "taking": "so too long place",
    "take": "to so place long effect a for off into care",
    "takes": "to so place long for",
    "took": "place",
    "taken": "into",
    "give": "up me an a the all my",
    "given": "a an the that",
    "giving": "me a the",
    "ask": "for you me",
    "teach": "me",
    "answer": "in my the me",
    "follow": "up",
    "save": "time space",
    "leave": "me",
    "run": "out",
    "present": "value",
}
"""A word is left alone before these, where it does not mean what the pair means."""

NOT_AFTER = {
    "long": "how as so too take took no takes",
    "old": "how years year months days",
    "often": "how",
    "early": "how as so",
    "late": "how",
    "fast": "how as so",
    "big": "how",
    "large": "how",
    "tall": "how",
    "deep": "how",
    "high": "how",
    "heavy": "how",
    "quickly": "how as",
    "most": "at the",
    "least": "at",
    "right": "all that's",
    "left": "is are was money time have any i've much many data storage what's",
}
"""A word is left alone after these."""

PREPOSITION_OF = {
    "add": ("from", "to"),
    "remove": ("to", "from"),
    "delete": ("to", "from"),
    "connect": ("from", "to"),
    "disconnect": ("to", "from"),
    "attach": ("from", "to"),
    "detach": ("to", "from"),
    "subscribe": ("from", "to"),
    "unsubscribe": ("to", "from"),
    "upload": ("from", "to"),
    "download": ("to", "from"),
    "push": ("from", "to"),
    "pull": ("to", "from"),
    "send": ("from", "to"),
    "receive": ("to", "from"),
    "write": ("from", "to"),
    "read": ("to", "from"),
    "import": ("to", "from"),
    "export": ("from", "to"),
    "deposit": ("from", "into"),
    "withdraw": ("into", "from"),
    "insert": ("from", "into"),
}
"""What a verb put in place of its opposite wants: the opposite's preposition, its own."""
