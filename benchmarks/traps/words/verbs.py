"""Verbs: which words begin an order, and the irregular ones with their past and participle."""

from benchmarks.traps.words import word_set

ORDERS = word_set("""
    accept access activate add adjust aggregate align allow allocate alter analyze announce answer append apply approve
    archive arrange ask assign attach authenticate avoid backup bake bind block boil book boot borrow break bring build
    bundle buy cache calculate call cancel capitalize capture change charge check choose clean clear clone close collect
    combine commit compare compile complete compose compress compute concatenate configure confirm connect contact
    contain continue control convert cook copy correct count cover create crop cut debug declare decode decompress
    decrease decrypt define delete deploy describe design detach detect determine develop disable disconnect display
    divide download draft draw drop dump duplicate edit embed empty enable encode encrypt end enter escape estimate
    evaluate examine exclude execute exit expand explain export extend extract fetch fill filter find finish fix flash
    flatten flush force forget format forward free generate get give grant grep group grow handle hash hide highlight
    identify ignore implement import improve include increase indent index insert inspect install integrate invert
    invoke iterate join jump keep kill launch learn leave limit link list load locate lock log look loop lose lower
    maintain make manage map mark mask match measure merge migrate mock modify monitor mount move multiply mute name
    navigate normalize open optimize order organize output overwrite pack parse pass paste patch pause pay perform pick
    pin play plot polish predict prepare press prevent print process profile protect prove provide publish pull push
    put query quit raise randomize reach read rebase rebuild receive recommend record recover reduce
    refactor refresh register reject release reload remember remind remove rename reopen repair repeat replace reply
    report request require reset resize resolve restart restore restrict resume retrieve return reverse revert review
    revoke rewrite rotate round run save scale scan schedule search secure see select send separate serialize serve set
    share shift ship show shrink shut shuffle sign simplify simulate skip slice sleep sort speed split stage start stop
    store stream strip submit subscribe substitute subtract sum summarize suppress swap switch sync tag take teach tell
    terminate test throw toggle top trace track train transfer transform translate transpose traverse trigger trim
    truncate tune turn type undo uninstall unlock unmount unpack unset untar unzip update upgrade upload use validate
    verify view visit wait wake walk warn wash watch wipe withdraw work wrap write zip
    """)

_IRREGULAR = """
    be was been, become became become, begin began begun, bind bound bound, break broke broken, bring brought brought,
    build built built, buy bought bought, catch caught caught, choose chose chosen, come came come, cost cost cost,
    cut cut cut, deal dealt dealt, do did done, draw drew drawn, drink drank drunk, drive drove driven, eat ate eaten,
    fall fell fallen, feed fed fed, feel felt felt, fight fought fought, find found found, fly flew flown,
    forbid forbade forbidden, forget forgot forgotten, freeze froze frozen, get got got, give gave given, go went gone,
    grow grew grown, hang hung hung, have had had, hear heard heard, hide hid hidden, hit hit hit, hold held held,
    keep kept kept, know knew known, lay laid laid, lead led led, leave left left, lend lent lent, let let let,
    lose lost lost, make made made, mean meant meant, meet met met, overwrite overwrote overwritten, pay paid paid,
    put put put, read read read, rebuild rebuilt rebuilt, reset reset reset, rewrite rewrote rewritten,
    ride rode ridden, ring rang rung, rise rose risen, run ran run, say said said, see saw seen, sell sold sold,
    send sent sent, set set set, shrink shrank shrunk, shut shut shut, sing sang sung, sink sank sunk, sit sat sat,
    sleep slept slept, speak spoke spoken, spend spent spent, split split split, spread spread spread,
    stand stood stood, steal stole stolen, stick stuck stuck, swim swam swum, take took taken, teach taught taught,
    tell told told, think thought thought, throw threw thrown, undo undid undone, unfreeze unfroze unfrozen,
    unset unset unset, wake woke woken, wear wore worn, win won won, withdraw withdrew withdrawn,
    write wrote written
"""
PASTS = {base: (past, done) for base, past, done in (entry.split() for entry in _IRREGULAR.split(","))}

DOUBLED = word_set("""
    admit begin commit control debug defer forget format occur omit permit prefer refer regret reset submit transfer
    transmit undercut unpin unplug unset unzip unwrap uncap unban unmap remap embed equip
    """)
"""Verbs of two syllables that double their last letter."""
