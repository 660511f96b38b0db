"""Quantifiers and persons: a phrase, and what says another quantity or speaks of somebody else."""

from __future__ import annotations

from benchmarks.english import Table


def _rows(source: str) -> Table:
    rows = (line.split(" > ") for line in source.strip().splitlines())
    return {key.strip(): tuple(other.strip() for other in others.split("/")) for key, others in rows}


QUANTIFIERS: Table = _rows(
    """
    all the > only the first of the / half of the / none of the
    all of the > only one of the / half of the / none of the
    all of my > only one of my / half of my
    all my > only one of my / some of my
    all > some / most / no
    every > every other / only one / every second
    each > every second / only the first
    any > every / all
    some > all / no
    both > neither / only one of
    none of > all of / some of
    most > some / all
    many > few
    few > many
    a few > a lot of
    several > all
    at least > at most / exactly / fewer than
    at most > at least / exactly / more than
    more than > less than / exactly / at most
    less than > more than / exactly / at least
    fewer than > more than / exactly
    exactly > at least / at most
    up to > at least / more than
    only one > all / more than one
    one of the > all of the / none of the
    one or more > exactly one / at most one
    zero or more > one or more
    single > double
    everyone > nobody / someone
    everybody > nobody
    everything > nothing / only part of it
    anyone > everyone
    someone > everyone / nobody
    always > sometimes / never
    minimum of > maximum of
    maximum of > minimum of
    half > a third / twice / a quarter
    twice > half / three times
    at most one > at least one
    one by one > all at once
    individually > together
    separately > together
    """
)

OWNERS: Table = _rows(
    """
    my > someone else's / their / my wife's / my son's / a colleague's / our customers' / his
    our > their / someone else's / each customer's
    your > my / his / their
    his > my / her
    their > my / our
    """
)

PERSONS: Table = _rows(
    """
    myself > somebody else / my daughter
    mine > theirs / someone else's
    can i > can my kids / can they / can someone else / can he
    do i need > does my landlord need / do my kids need
    do i have to > does my employer have to / does my bank have to
    should i > should my employer / should my parents / should they
    could i > could he / could my friend
    tell me > tell my boss
    for me > for someone else / for my team
    remind me > remind my wife
    were you > was i
    are you > am i / are they
    do you > do they / does she
    """
)
