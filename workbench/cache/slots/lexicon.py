"""The words of grammar that the guards know. English only: others are guarded by numbers, literals and names."""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(words.split())


def alias_table(lines: str) -> dict[str, str]:
    """Alias → the first word of its line; ``_`` stands for a space."""
    table: dict[str, str] = {}
    for line in lines.strip().splitlines():
        names = [name.replace("_", " ") for name in line.split()]
        table.update(dict.fromkeys(names, names[0]))
    return table


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────

AUXILIARIES_WITHOUT_APOSTROPHE = word_set(
    "dont doesnt didnt isnt arent wasnt werent cant couldnt wont wouldnt shouldnt hasnt havent hadnt"
)
CONTRACTED = {
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "won't": ("will", "not"),
    "shan't": ("shall", "not"),
    "ain't": ("is", "not"),
    "let's": ("let", "us"),
    **{f"{word}'s": (word, "is") for word in word_set("what how why when where who it that there he she")},
    **{f"{word}'re": (word, "are") for word in word_set("what how why where who you we they")},
    "i'm": ("i", "am"),
    "whats": ("what", "is"),
    "hows": ("how", "is"),
    "wheres": ("where", "is"),
    "im": ("i", "am"),
}
VOCATIVES = word_set("claude chatgpt gpt copilot gemini assistant bot ai everyone all folks team guys sir friend buddy")

SAME_WORD = {
    alias: line.split()[0]
    for line in """
        repository repo
        mail email
        directory dir folder
        database db
        function func fn
        variable var
        application app
        configuration config
        environment env
        documentation doc
        parameter param
        image img
        message msg
        library lib
        package pkg
        production prod
        authentication auth
        error err
        character char
        integer int
        boolean bool
        dictionary dict
        administrator admin
        development dev
        information info
        argument arg
        temporary temp tmp
        maximum max
        minimum min
        number num
        reference ref
        javascript js
        typescript ts
        kubernetes k8s
        postgresql postgres
        go golang
        mongodb mongo
        macos osx
        homebrew brew
        command cmd
        specification spec
        please pls plz
        mathematics math maths
        television tv
        centimeter cm
        millimeter mm
        kilometer km
        kilogram kg
        milliliter ml
        ounce oz
        foot feet ft
        hour hr
        second sec
        kilobyte kb
        megabyte mb
        gigabyte gb
        one 1
        two 2
        three 3
        four 4
        five 5
        six 6
        seven 7
        eight 8
        nine 9
        ten 10
    """.strip().splitlines()
    for alias in line.split()[1:]
}
"""Short form → long form."""

NO_PLURALS = word_set("https news")
"""Without their s they are another word."""

NOT_ALWAYS_SAME = word_set("email mail")
"""Of these, what alone may be another thing: who mails a parcel does not e-mail it."""

COURTEOUS = word_set("please pls plz kindly")
OPENINGS = tuple(
    tuple(phrase.split())
    for phrase in """
        could you
        can you
        would you
        will you
        tell me
        do you know
        i would like to know
        quick question
        hey
        hi
        hello
        ok
        okay
        so
        well
    """.strip().splitlines()
)
"""With these a question may begin, and is the same without."""

PHRASES = {
    phrase.strip(): short.strip()
    for phrase, short in (
        line.split(":")
        for line in """
            amazon web services: AWS
            google cloud platform: GCP
            continuous integration: CI
            visual studio code: VSCode
            vs code: VSCode
            c sharp: C#
            json web token: JWT
            virtual machine: VM
            operating system: OS
            large language model: LLM
            united states of america: US
            united states: US
            united kingdom: UK
            new york city: NYC
            gross domestic product: GDP
            annual percentage rate: APR
            value added tax: VAT
        """.strip().splitlines()
    )
}
"""A phrase in lower case → its abbreviation."""

CAPITALISED = {"vs code": "(?-i:VS Code)"}
"""A phrase that is one in these capitals only, for who compares Python vs code review means no editor; a pattern."""

# ── spelling ────────────────────────────────────────────────────────────────────────────────────────────────

OUR = word_set("arm behavi col endeav fav flav glam harb hon hum lab neighb od parl rum sav tum vap vig")
"""Beginnings of words in -our that Americans write with -or."""
ISE = tuple(
    sorted(
        word_set(
            "advertis advis aris braise compris compromis concis cruis despis devis disguis enterpris exercis expertis "
            "franchis improvis likewis merchandis otherwis paradis praise precis premis promis rais revis ris supervis "
            "surpris televis treatis wise nois rais appris demis excis incis circumcis"
        )
    )
)
"""Beginnings of words in -ise that nobody writes with -ize."""
BRITISH = {
    british: us
    for line in """
        grey gray
        mum mom
        cheque check
        cheques checks
        programme program
        programmes programs
        catalogue catalog
        dialogue dialog
        analogue analog
        defence defense
        licence license
        licences licenses
        aluminium aluminum
        jewellery jewelry
        pyjamas pajamas
        travelling traveling
        travelled traveled
        cancelled canceled
        cancelling canceling
        labelled labeled
        labelling labeling
        modelling modeling
        fulfil fulfill
        judgement judgment
        ageing aging
        sceptical skeptical
        storey story
        plough plow
        whilst while
        amongst among
        learnt learned
        spelt spelled
        burnt burned
    """.strip().splitlines()
    for british, us in [line.split()]
}
"""Other words, as Americans write them."""
SLIPS = {
    "teh": "the",
    "hte": "the",
    "adn": "and",
    "taht": "that",
    "waht": "what",
    "wich": "which",
    "hwo": "how",
}
"""What the fingers do to the commonest words."""

# ── negation ────────────────────────────────────────────────────────────────────────────────────────────────

NEGATORS = word_set("not cannot never no none nor neither nothing nobody nowhere without non")
"""They deny the word after them."""
SOFT_NEGATORS = word_set(
    "except avoid avoids avoiding avoided prevent prevents preventing prevented unless lack lacks lacking unable fail "
    "fails failing failed failure refuse refuses refused refusing ignore ignores ignoring ignored skip skips skipping "
    "than better over against bad danger dangers downside "
    "skipped stop stops stopping stopped quit keep keeps keeping instead rather missing broken wrong error errors "
    "issue issues problem problems trouble fix but excluding exclude minus lose losing loses impossible hard out off "
    "disable disabled disabling forbid hide bypass suppress absent anymore only less nix empty free leave leaving"
)
"""They may deny in other words what the other text denies with `NEGATORS`."""
QUESTION_WORDS = word_set("why how what when where who which whose come")
SUBORDINATING = word_set("before after if when while unless until once because since")
"""They open a clause that may stand first or last."""
FILLERS = word_set(
    "a an the be is are was were been am i me my we you your it its this that these those do does did can could "
    "should would will shall may might must have has had please tell show explain any some and or so just"
)
"""Words that say little: left out when neighbours are compared."""

ABBREVIATIONS = word_set("e.g i.e a.m p.m u.s u.k")
"""Dotted, and yet no identifiers."""

# ── direction, order ────────────────────────────────────────────────────────────────────────────────────────

CONNECTORS = {
    **{word: word for word in word_set("to before vs than over by with in inside within on of for as")},
    **dict.fromkeys(word_set("into onto from -> => →"), "to"),
    "after": "before",
    "versus": "vs",
}
"""Connecting word → what it is called when it points from its left to its right."""
REVERSED_CONNECTORS = frozenset({"from", "after"})
"""These point from their right to their left."""
MODIFYING = frozenset({"in", "of", "for", "on", "with"})
"""A phrase with one of them may become a modifier: "a list in Python", "a Python list"."""
PERSONS = word_set("i me you us we they them he him she her it")
"""Fillers, and yet "do you owe it" is not "does it owe you"."""

# ── letters, case ───────────────────────────────────────────────────────────────────────────────────────────

AFTER_A_LETTER = word_set(
    "and or is are was in to into from of for by with as on at than then plus minus times equals before after vs over "
    "not be"
)
"""Before one of them "a" is a name, not an article."""
NOT_THE_SAME_IN_CAPITALS = word_set("us it who aids sap sat era pin gap")
"""Common words that in capitals are other words: US, IT, WHO. Not NOT, ALL, AND: those are only stressed."""
NOT_THE_SAME_CAPITALISED = word_set("polish turkey china march mark bill frank reading mobile nice none true false")
"""Common words that capitalised inside a sentence are other words."""
ENGLISH = word_set("the is are how what why who where does did my and with from explain")
"""A text with one of them is taken for English, in which accents are often left out: naïve, café."""

LOANWORDS = word_set(
    "naive naively naivete cafe cafes facade cliche cliches fiance fiancee jalapeno creme brulee deja protege pinata "
    "uber doppelganger sao zurich smorgasbord soufflee souffle entree puree touche blase risque aperitif decor jager"
)
"""English words and names whose accents are written or left out at will."""

# ── which things, and how many of them ──────────────────────────────────────────────────────────────────────

QUANTIFIERS = alias_table("""
    all every each everything everyone everybody entire whole
    some few several
    none no
    both
    either
    neither
    half
    only solely exclusively
    many
    at_least
    at_most up_to
    exactly
    more_than
    less_than fewer_than
""")
SUPERLATIVES = alias_table("""
    largest biggest greatest maximum highest max
    smallest least tiniest minimum lowest min
    fastest quickest
    slowest
    longest
    shortest
    first earliest oldest original
    last latest newest recent final
    best
    worst
    cheapest
    costliest priciest
    nearest closest
    farthest furthest
    easiest simplest
    hardest toughest
    tallest
    deepest
    heaviest
    lightest
    hottest warmest
    coldest coolest
    youngest
    strongest
    weakest
    richest
    poorest
    safest
    common popular
    rarest
    next
    previous
""")

# ── whose, when, if ─────────────────────────────────────────────────────────────────────────────────────────

OWNERS = {
    **dict.fromkeys(word_set("my our mine ours myself ourselves"), "my"),
    **dict.fromkeys(word_set("their his her theirs hers someone else's others other's somebody"), "their"),
    **dict.fromkeys(word_set("your yours yourself"), "your"),
}
PAST = word_set("did was were had been used previously formerly yesterday ago")
FUTURE = word_set("will gonna upcoming tomorrow soon shall")
PRESENT = word_set("is are does do has am")
CONDITIONS = word_set("if unless while until whenever when once assuming given provided only but without after before")

# ── what is asked about it ──────────────────────────────────────────────────────────────────────────────────

ASKING = {"why": "why", "how": "how", "when": "when", "where": "where", "who": "who", "whose": "who", "whom": "who"}
"""Words that open a question, and say what about its subject is asked."""
