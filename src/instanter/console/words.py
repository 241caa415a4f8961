"""How values are written on pages: numbers, times, durations, sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

GROUPS: Final = ("Now", "People", "Shop", "Data", "Governance")
"""The headings under which pages stand, in their order."""
NOTHING: Final = "–"
_DAY_S: Final = 86_400
_LONG: Final = ((1, "s", 120), (60, "min", 7_200), (3_600, "hours", 2 * _DAY_S), (_DAY_S, "days", 100 * _DAY_S))
"""Seconds of a unit, its name, and up to how many seconds it is the one to use."""
_WORD_CHARS_MAX: Final = 24
"""A word of more characters is broken where its column ends."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: Any) -> str:
    """A number, with as much of it as says something.

    >>> number(1234567), number(0.123456), number(12.5), number(None), number(3.0)
    ('1,234,567', '0.1235', '12.5', '–', '3')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"


def price(value: Any) -> str:
    """A price as the catalogue has it: whole, or to the cent, or as exact as it is.

    >>> price(279.15), price(1249.0), price(279.1), price(0.0125), price("on request"), price(None)
    ('279.15', '1,249', '279.10', '0.0125', 'on request', '–')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return as_text(value)
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}" if round(value, 2) == value else f"{value:,}"


def breaking(value: Any) -> str:
    """The class of a cell: text breaks between words, and within one only where that is longer than any column.

    >>> breaking("Nordkamm Jacke"), breaking("x" * 40)
    ('', ' long')
    """
    return " long" if any(len(word) > _WORD_CHARS_MAX for word in as_text(value).split()) else ""


def percent(value: Any) -> str:
    """A share of one.

    >>> percent(0.0123), percent(None)
    ('1.2 %', '–')
    """
    return NOTHING if value is None else f"{value * 100:.1f} %"


def moment(value: Any) -> str:
    """An RFC 3339 time of the API, to the second, UTC.

    >>> moment("2026-05-01T10:00:00.123Z"), moment(None), moment("")
    ('2026-05-01 10:00:00', '–', '–')
    """
    return f"{value[:10]} {value[11:19]}" if value else NOTHING


def size(value: Any) -> str:
    """A number of bytes.

    >>> size(512), size(1536), size(5 * 2**30)
    ('512 B', '1.5 KiB', '5.0 GiB')
    """
    if value is None:
        return NOTHING
    left, unit = float(value), 0
    while left >= 1024 and unit < len(_UNITS) - 1:
        left, unit = left / 1024, unit + 1
    return f"{left:.1f} {_UNITS[unit]}" if unit else f"{int(left)} B"


def duration(value: Any) -> str:
    """Milliseconds, in the unit in which one thinks of them.

    >>> duration(0.31), duration(12.3), duration(1_500), duration(None)
    ('0.31 ms', '12.3 ms', '1.5 s', '–')
    """
    if value is None:
        return NOTHING
    if value >= 1_000:
        return f"{value / 1_000:.1f} s"
    return f"{value:.3g} ms"


def amount(value: Any, unit: str = "") -> str:
    """A number with its unit; seconds in the unit in which one thinks of them.

    >>> amount(3, "orders"), amount(12.5), amount(45, "s"), amount(5400, "s"), amount(400_000, "s")
    ('3 orders', '12.5', '45 s', '90 min', '4.6 days')
    """
    if value is None or unit != "s":
        return f"{number(value)} {unit}".rstrip()
    for size_s, name, upto in _LONG:
        if abs(value) < upto:
            return f"{number(round(value / size_s, 1))} {name}"
    return f"{number(round(value / _DAY_S))} days"


def as_text(value: Any) -> str:
    """Anything at all on one line: text as it is, the rest as JSON.

    >>> as_text("oak"), as_text(["a", 1]), as_text(None), as_text(True)
    ('oak', '["a",1]', '–', 'yes')
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return msgspec.json.encode(value).decode()


def pretty(value: Any) -> str:
    """Anything at all as JSON on many lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "number": number, "price": price, "percent": percent, "moment": moment, "size": size, "duration": duration,
    "as_text": as_text, "breaking": breaking, "amount": amount, "pretty": pretty,
}  # fmt: skip
