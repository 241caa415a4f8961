"""The numeric properties of an event that stand in the clear part of its record, and what an order is worth.

| property | means |
|---|---|
| `price`, `quantity` of a line | the line is worth one times the other |
| `revenue`, else `subtotal`, `value`, `total` ... of an order | what it is worth where no line has a price |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from math import inf, nan, nextafter
from typing import Any, Final

from ..foundation.limits import VALUES_PER_EVENT_MAX
from .kinds import ORDER_CLAIMED, ORDER_COMPLETED, ORDER_REFUNDED, ORDER_UPDATED
from .named_items import Items, told_number
from .notes import NUMBER_IMPOSSIBLE, Note, add_note
from .numbers import AMOUNT_MAX

WORTH_FIELDS: Final = ("revenue", "subtotal", "value", "total", "total_price", "totalPrice", "grand_total")
"""What an order says it is worth, the first that can be read."""
_POSSIBLE: Final = {"price": (0.0, AMOUNT_MAX), "quantity": (nextafter(0.0, 1.0), inf)}
"""Between which two a number lies that means something."""
WORTH_SOMETHING: Final = frozenset({ORDER_COMPLETED, ORDER_UPDATED, ORDER_REFUNDED, ORDER_CLAIMED})
"""Names of orders, which may say what they are worth as a whole."""


class Amounts:
    """Reads numeric properties. `names` are those that are kept in the clear, a name with points is a path.

    >>> Amounts({"dwell_ms", "checkout.value"}).values_of({"dwell_ms": "500", "checkout": {"value": 7}, "x": 1}, [])
    {'dwell_ms': 500.0, 'checkout.value': 7.0}
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._paths = tuple((name, tuple(name.split("."))) for name in sorted(names) if "." in name)

    def among(self, names: Sequence[str]) -> tuple[str, ...] | None:
        """Which of the names of properties are such, in their order, where each that is a decimal number stands as it
        is sent, but for a price that is none; None where there is more to it."""
        found = tuple(name for name in names if name in self._names)
        if "quantity" in found or len(found) > VALUES_PER_EVENT_MAX:
            return None
        return None if any(steps[0] in names for _, steps in self._paths) else found

    def values_of(self, properties: Mapping[str, Any], notes: list[Note]) -> dict[str, float]:
        """The numeric properties of these names, the first `VALUES_PER_EVENT_MAX` of them; the body has all."""
        values: dict[str, float] = {}
        names = self._names
        for name, value in properties.items():
            if name in names:
                kind = type(value)
                if kind is float:
                    values[name] = value
                elif kind is int:
                    if -(2**63) <= value < 2**64:
                        values[name] = float(value)
                    else:
                        values[name] = nan
                        add_note(notes, NUMBER_IMPOSSIBLE, f"properties.{name}", "is beyond 64 bits")
                elif kind is str:
                    _add_text(values, name, value, notes)
                if name in _POSSIBLE and name in values:
                    least, most = _POSSIBLE[name]
                    if values[name] < least or values[name] > most:
                        del values[name]
        for name, steps in self._paths:
            found = _at(properties, steps)
            if found is not None and name not in values:
                _add_text(values, name, found, notes)
        return values if len(values) <= VALUES_PER_EVENT_MAX else dict(islice(values.items(), VALUES_PER_EVENT_MAX))


def with_worth(items: Items, properties: Mapping[str, Any], notes: list[Note]) -> Items:
    """The items of an order of whose lines none has a price: they share what the order says it is worth.

    Each piece costs the same then, so that the lines together are worth what the order is.
    """
    references, _, quantities, positions = items
    pieces = sum(quantities) if quantities else float(len(references))
    for field in WORTH_FIELDS:
        if field in properties and pieces > 0:
            worth = told_number(properties[field], f"properties.{field}", notes).number
            if worth < 0 or worth > AMOUNT_MAX:
                found = "is below zero" if worth < 0 else "is beyond any price"
                add_note(notes, NUMBER_IMPOSSIBLE, f"properties.{field}", found)
            elif worth == worth:
                return references, (worth / pieces,) * len(references), quantities, positions
    return items


def _add_text(values: dict[str, float], name: str, value: Any, notes: list[Note]) -> None:
    read = told_number(value, f"properties.{name}", notes)
    if not read.fault:
        values[name] = read.number


def _at(properties: Mapping[str, Any], steps: tuple[str, ...]) -> Any:
    holder: Any = properties
    for step in steps:
        holder = holder.get(step) if isinstance(holder, Mapping) else None
    return holder
