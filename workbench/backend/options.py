"""What a Thinker's URL says about the machine behind it: ``?slots=4&usd_per_h=0.35``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from workbench.errors import ConfigurationError

OPTIONS = frozenset({"slots", "usd_per_h"})


@dataclass(frozen=True, slots=True)
class Options:
    """Requests at a time (and sequences in KV memory), and the price; None: to be learned, and not known."""

    slots: int | None = None
    usd_per_h: float | None = None


def options_of(url: str) -> Options:
    """The options in this URL; raises `ConfigurationError`."""
    given = dict(parse_qsl(urlsplit(url).query))
    slots, price = given.get("slots"), given.get("usd_per_h")
    if slots is not None and not (slots.isdecimal() and 1 <= int(slots) <= 4096):
        raise ConfigurationError(f"Thinker URL {url!r}: slots is {slots!r}, expected a whole number from 1 to 4096")
    return Options(int(slots) if slots else None, _price(price, url))


def _price(given: str | None, url: str) -> float | None:
    if given is None:
        return None
    try:
        price = float(given)
    except ValueError:
        price = -1.0
    if not 0 <= price < 10_000:
        raise ConfigurationError(f"Thinker URL {url!r}: usd_per_h is {given!r}, expected US dollars an hour")
    return price
