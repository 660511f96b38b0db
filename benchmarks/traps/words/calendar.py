"""Numbers, days, months and times of day as words: each may stand for any other of its row."""

from __future__ import annotations

from benchmarks.traps.english import Table, kinds

_UP_TO_TWENTY = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
_TENS = {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60"}
DIGITS = {word: str(value) for value, word in enumerate(_UP_TO_TWENTY.split())} | _TENS

NUMBER_WORDS: Table = kinds(
    """
    two, three, four, five, six, seven, eight, nine, ten, eleven, twelve
    ten, fifteen, twenty, thirty, forty, fifty, sixty, ninety
    hundred, thousand, million, billion
    once, twice
    double, triple
    """
)

ORDINALS: Table = kinds("first=1st, second=2nd, third=3rd, fourth=4th, fifth=5th, sixth=6th, tenth=10th")

DATES: Table = kinds(
    """
    Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday
    January=Jan, February=Feb, March, April=Apr, May, June, July, August=Aug, September=Sept, October=Oct, \
November=Nov, December=Dec
    today, tomorrow, yesterday
    this week, last week, next week
    this month, last month, next month
    this year, last year, next year
    daily, weekly, monthly, yearly=annually
    every day, every week, every month, every year
    the 1970s, the 1980s, the 1990s
    """
)

TIMES: Table = kinds(
    """
    morning, afternoon, evening
    tonight, tomorrow night
    noon, midnight
    UTC, EST, PST, CET, GMT
    hourly, every minute
    """
)
