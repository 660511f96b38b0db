"""The words of numbers, units, money and the calendar."""

from __future__ import annotations

from workbench.cache.slots.lexicon import word_set

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
NOT_ONE = word_set("which this that the no any every each some another other do does can could should would only last")
"""Before "one" they make it a pronoun."""
AFTER_ONE = word_set("of by day time place way thing")
"""After "one" they make it an article: "one of them", "one by one"."""

ORDINAL_WORDS = {
    word: str(value) + {1: "st", 2: "nd", 3: "rd"}.get(value, "th") for value, word in enumerate(_ORDINALS, start=1)
}
SUPERLATIVE_ORDINALS = word_set("first")
"""Read as superlatives, with "last"."""

# Dimension → factor to its base unit, then the aliases.
_UNITS = """
    time 1e-9 ns nanosecond nanoseconds
    time 1e-6 us µs microsecond microseconds
    time 1e-3 ms msec millisecond milliseconds
    time 1 s sec secs second seconds
    time 60 min mins minute minutes
    time 3600 h hr hrs hour hours
    time 86400 day days
    time 604800 week weeks
    month 1 month months
    month 12 year years yr yrs
    data 0.125 bit bits
    data 125 kilobit kilobits kbit
    data 125e3 megabit megabits mbit
    data 125e6 gigabit gigabits gbit
    data 1 byte bytes
    data 1e3 kb kilobyte kilobytes
    data 1e6 mb megabyte megabytes meg megs
    data 1e9 gb gig gigs gigabyte gigabytes
    data 1e12 tb terabyte terabytes
    data 1024 kib
    data 1048576 mib
    data 1073741824 gib
    data 1099511627776 tib
    share 1 % percent pct
    pixel 1 px pixel pixels
    length 1e-3 mm millimeter millimeters millimetre millimetres
    length 1e-2 cm centimeter centimeters centimetre centimetres
    length 1 m meter meters metre metres
    length 1e3 km kilometer kilometers kilometre kilometres kms
    length 1609.344 mile miles mi
    length 0.3048 foot feet ft
    length 0.0254 inch inches
    length 0.9144 yard yards
    mass 1e-6 mg milligram milligrams
    mass 1e-3 g gram grams
    mass 1 kg kilogram kilograms kilo kilos kgs
    mass 0.45359237 lb lbs pound pounds
    mass 0.028349523125 oz ounce ounces
    volume 1 l liter liters litre litres
    volume 1e-3 ml milliliter milliliters
    volume 3.785411784 gallon gallons
    volume 0.24 cup cups
    volume 0.015 tbsp tablespoon tablespoons
    volume 0.005 tsp teaspoon teaspoons
    celsius 1 c celsius centigrade °c
    fahrenheit 1 f fahrenheit °f
    kelvin 1 kelvin
    degree 1 degree degrees °
    usd 1 usd $ dollar dollars bucks
    usd 0.01 cent cents
    eur 1 eur € euro euros
    gbp 1 gbp £ quid
    jpy 1 jpy ¥ yen
    inr 1 inr ₹ rupee rupees
    frequency 1 hz hertz
    frequency 1e3 khz
    frequency 1e6 mhz
    frequency 1e9 ghz
    power 1 w watt watts
    power 1e3 kw kilowatt kilowatts
    voltage 1 v volt volts
    energy 1 kcal calorie calories
    speed 1 kmh kph
    speed 1.609344 mph
"""
UNITS = {
    alias: (aliases[0], dimension, float(factor))
    for dimension, factor, *aliases in (line.split() for line in _UNITS.strip().splitlines())
    for alias in aliases
}
"""Unit in lower case → (its canonical name, its dimension, how many base units it is)."""
UNIT_NAMES = word_set(
    "celsius fahrenheit kelvin meter meters metre metres feet foot inch inches mile miles kilometer kilometers "
    "kilometre kilometres km pound pounds kilogram kilograms kilo kilos gram grams ounce ounces liter liters litre "
    "litres gallon gallons millisecond milliseconds microsecond microseconds nanosecond nanoseconds second seconds "
    "minute minutes hour hours day days week weeks month months year years byte bytes kilobyte kilobytes megabyte "
    "megabytes gigabyte gigabytes bit bits dollar dollars euro euros yen percent centimeter centimeters cm mm yard "
    "yards cup cups tablespoon tablespoons teaspoon teaspoons mph kmh volt volts watt watts calorie calories"
)
"""Those that say a unit without a number as well."""
MONEY = frozenset({"usd", "eur", "gbp", "jpy", "inr"})
"""Dimensions."""

_MONTHS = "january february march april may june july august september october november december"
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday"
CALENDAR = {
    **{month: month for month in _MONTHS.split()},
    **{month[:3]: month for month in _MONTHS.split() if month not in {"march", "may"}},
    "sept": "september",
    **{day: day for day in _WEEKDAYS.split()},
    **{f"{day}s": day for day in _WEEKDAYS.split()},
    **{"mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "fri": "friday"},
    **{"thu": "thursday", "thur": "thursday", "thurs": "thursday"},
}
"""Month or weekday, short or long → its full name."""
MONTHS = tuple(_MONTHS.split())
AMBIGUOUS_DATES = word_set("may march mon") | {name for name in CALENDAR if len(name) < 5}
BEFORE_A_DATE = word_set("in on of by since until till next last every from this during before after")
TIMES_OF_DAY = {
    "noon": "12:00",
    "midday": "12:00",
    "midnight": "0:00",
    "morning": "morning",
    "evening": "evening",
    "afternoon": "afternoon",
    "night": "night",
    "sunrise": "sunrise",
    "dawn": "sunrise",
    "sunset": "sunset",
    "dusk": "sunset",
    "tonight": "tonight",
    "today": "today",
    "yesterday": "yesterday",
    "tomorrow": "tomorrow",
}
"""Words for a time, and what they are called."""
BEFORE_A_VERSION = word_set("version versions ver v release")
NUMBERISH = frozenset({*NUMBER_WORDS, *SCALES, *ORDINAL_WORDS, *CALENDAR, *TIMES_OF_DAY} | UNIT_NAMES)
"""A text without digits and without any of these says no quantity."""
