"""What a decoder's complaint says, in the words of people: which field, what stands there, what is wanted."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

_EXPECTED: Final = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`(?: - at `\$([^`]*)`)?$")
_AT: Final = re.compile(r"^(.*?)(?: - at `\$([^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `([^`]*)`")
_WANTED: Final = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "object": "an object",
    "array": "a list",
}  # fmt: skip
_GOT: Final = {
    "str": "text", "int": "a number", "float": "a number", "bool": "true or false", "object": "an object",
    "array": "a list", "null": "null",
}  # fmt: skip


class Complaint(NamedTuple):
    """What a decoder found wrong."""

    field: str
    """`context.page`; "" for the whole."""
    reason: str
    """To stand behind the field: "is a number where text is wanted"."""


def complaint(error: msgspec.ValidationError) -> Complaint:
    """The field and the reason.

    >>> complaint(msgspec.ValidationError("Expected `str | null`, got `int` - at `$.context.locale`"))
    Complaint(field='context.locale', reason='is a number where text is wanted')
    """
    text = str(error)
    expected = _EXPECTED.match(text)
    if expected is not None:
        names = set(expected[1].split(" | "))
        names -= {"int"} if "float" in names else set()
        kinds = [words for kind, words in _WANTED.items() if kind in names]
        got = _GOT.get(expected[2], expected[2])
        return Complaint((expected[3] or "").lstrip("."), f"is {got} where {' or '.join(kinds)} is wanted")
    missing = _MISSING.match(text)
    if missing is not None:
        return Complaint(missing[1], "is missing")
    at = _AT.match(text)
    reason = at[1] if at is not None else text
    field = ((at[2] or "") if at is not None else "").lstrip(".")
    return Complaint("" if field.startswith("[") else field, reason[:1].lower() + reason[1:])


def wanted(error: msgspec.ValidationError) -> str:
    """The same as a sentence.

    >>> wanted(msgspec.ValidationError("Expected `object`, got `array`"))
    'the body is a list where an object is wanted'
    """
    field, reason = complaint(error)
    return f"{field or 'the body'} {reason}" if " is " in f" {reason}" else f"{field}: {reason}" if field else reason
