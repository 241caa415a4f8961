"""What the fields of an item mean: whether it can be bought, when it may be shown, its group, what it costs when."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any, Final, NamedTuple

from ..foundation.errors import EventRejected
from .times import parse_time_ms

PRICE: Final = "price"
SALE_PRICE: Final = "sale_price"
SALE_PERIOD: Final = "sale_price_effective_date"
STOCK: Final = "stock"
AVAILABILITY: Final = "availability"
SHOWN_FROM: Final = "availability_date"
SHOWN_UNTIL: Final = "expiration_date"
GROUP: Final = "item_group_id"

IN_STOCK: Final = "in_stock"
OUT_OF_STOCK: Final = "out_of_stock"
DISCONTINUED: Final = "discontinued"
PREORDER: Final = "preorder"
BACKORDER: Final = "backorder"
ORDERED_AHEAD: Final = frozenset({PREORDER, BACKORDER})
"""It can be bought although there is none: neither its stock nor the date of its delivery hides it."""
NOT_AVAILABLE: Final = frozenset({OUT_OF_STOCK, DISCONTINUED})

ALWAYS_MS: Final = 2**62
"""An end that never comes."""


class Meaning(NamedTuple):
    """What canonical fields say beside their numbers and texts."""

    from_ms: int = 0
    """Shown from here on; 0: from the beginning."""
    until_ms: int = 0
    """Not shown from here on; 0: there is no end."""
    group: str = ""
    sale_price: float = 0.0
    sale_from_ms: int = 0
    """While from <= time < until it costs `sale_price`; 0, 0: it is in no sale."""
    sale_until_ms: int = 0


def meaning_of(fields: Mapping[str, Any]) -> Meaning:
    """What canonical fields say; whatever else stands in them says nothing, so this never raises."""
    ordered = _said(fields) in ORDERED_AHEAD
    group = fields.get(GROUP)
    sale_from_ms, sale_until_ms = _sale_ms(fields)
    return Meaning(
        0 if ordered else _time_ms(fields.get(SHOWN_FROM)),
        _time_ms(fields.get(SHOWN_UNTIL)),
        group if isinstance(group, str) else "",
        float(fields[SALE_PRICE]) if sale_until_ms else 0.0,
        sale_from_ms,
        sale_until_ms,
    )


def is_available(fields: Mapping[str, Any]) -> bool:
    """Whether canonical fields say that it can be bought now: by its stock, and by its availability.

    >>> is_available({"stock": 0}), is_available({"stock": 0, "availability": "preorder"}), is_available({})
    (False, True, True)
    """
    said = _said(fields)
    if said in ORDERED_AHEAD:
        return True
    if said in NOT_AVAILABLE:
        return False
    stock = fields.get(STOCK)
    return not isinstance(stock, int | float) or stock > 0


def _said(fields: Mapping[str, Any]) -> str:
    said = fields.get(AVAILABILITY)
    return said if isinstance(said, str) else ""


def _sale_ms(fields: Mapping[str, Any]) -> tuple[int, int]:
    """From when until when the sale price holds; 0, 0 where there is none, or none that is lower."""
    sale_price, price = _number(fields.get(SALE_PRICE)), _number(fields.get(PRICE))
    if not sale_price > 0.0 or sale_price >= price:
        return 0, 0
    period = fields.get(SALE_PERIOD)
    if not isinstance(period, str):
        return 0, ALWAYS_MS
    begin, _, end = period.partition("/")
    return _time_ms(begin), _time_ms(end) or ALWAYS_MS


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else nan


def _time_ms(value: object) -> int:
    if not isinstance(value, str) or not value:
        return 0
    try:
        return max(parse_time_ms(value, ""), 0)
    except EventRejected:
        return 0
