"""The form of a what-if: what stands in its fields, as the API is asked it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..foundation.errors import RequestRejected

NUMBERS: Final = ("limit", "diversity", "exploration")
FIELDS: Final = ("placement", "model", "weights", *NUMBERS, "repeats", "seenBefore", "asNobody", "refused")
"""Of the form, and so of the page's query string."""


def body_of(query: Mapping[str, str]) -> dict[str, Any]:
    """The body of the call; fields that are empty are left out. Raises `RequestRejected` for what is no number.

    >>> body_of({"limit": "6", "model": "", "refused": "ads, mail", "weights": "item.price = 2", "repeats": "no"})
    {'limit': 6, 'weights': {'item.price': 2.0}, 'repeats': False, 'refused': ['ads', 'mail']}
    """
    filled = {name: text for name in FIELDS if (text := query.get(name, "").strip())}
    body: dict[str, Any] = {name: filled[name] for name in ("placement", "model", "seenBefore") if name in filled}
    for name in NUMBERS:
        if name in filled:
            number = _number(name, filled[name])
            body[name] = int(number) if number == int(number) else number
    if "weights" in filled:
        body["weights"] = _weights(filled["weights"])
    if "repeats" in filled:
        body["repeats"] = filled["repeats"] == "yes"
    if "asNobody" in filled:
        body["asNobody"] = True
    if "refused" in filled:
        body["refused"] = [one.strip() for one in filled["refused"].split(",") if one.strip()]
    return body


def _weights(text: str) -> dict[str, float]:
    """One on each line."""
    weights = {}
    for line in filter(str.strip, text.splitlines()):
        name, equals, value = line.rpartition("=")
        if not equals:
            raise RequestRejected("schema", f'"{line.strip()[:60]}" is not NAME = VALUE, as item.click_lift = 3')
        weights[name.strip()] = _number(name.strip(), value)
    return weights


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise RequestRejected("schema", f"{name[:60]} is a number, not {text.strip()[:40]!a}")
    return number
