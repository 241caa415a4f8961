"""What a decoder's complaint says, in the words of people: which field, what stands there, what is wanted."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

NO_FIELD: Final = "is no field here"
"""Said of a field that is not known where none but known ones are taken."""
_EXPECTED: Final = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`(?: - at `\$([^`]*)`)?$")
_BOUND: Final = re.compile(r"^Expected `([^`]*)` (>=|<=|>|<) (\S+)(?: - at `\$([^`]*)`)?$")
_LENGTH: Final = re.compile(r"^Expected `([^`]*)` of length (>=|<=) (\d+)(?: - at `\$([^`]*)`)?$")
_WORD: Final = re.compile(r"^Invalid enum value (.*?)(?: - at `\$([^`]*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `([^`]*)`(?: - at `\$([^`]*)`)?$")
_SIGNS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_UNITS: Final = {"str": "characters", "array": "entries", "object": "entries"}
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
    if (bound := _BOUND.match(text)) is not None:
        return Complaint((bound[4] or "").lstrip("."), f"is {_SIGNS[bound[2]]} {bound[3]}")
    if (length := _LENGTH.match(text)) is not None:
        units = _UNITS.get(length[1].partition(" ")[0], "entries")
        return Complaint((length[4] or "").lstrip("."), f"has {_SIGNS[length[2]]} {length[3]} {units}")
    if (word := _WORD.match(text)) is not None:
        return Complaint((word[2] or "").lstrip("."), f"is {word[1]}, which is none of the words for it")
    if (unknown := _UNKNOWN.match(text)) is not None:
        within = (unknown[2] or "").lstrip(".")
        return Complaint(f"{within}.{unknown[1]}" if within else unknown[1], NO_FIELD)
    at = _AT.match(text)
    reason = at[1] if at is not None else text
    field = ((at[2] or "") if at is not None else "").lstrip(".")
    return Complaint("" if field.startswith("[") else field, reason[:1].lower() + reason[1:])


def wanted(error: msgspec.ValidationError) -> str:
    """The same as a sentence.

    >>> wanted(msgspec.ValidationError("Expected `object`, got `array`"))
    'the body is a list where an object is wanted'
    >>> wanted(msgspec.ValidationError("Expected `array` of length <= 20 - at `$.placements`"))
    'placements has at most 20 entries'
    >>> wanted(msgspec.ValidationError("Expected `int` >= 1 - at `$.placements[0].limit`"))
    'placements[0].limit is at least 1'
    """
    field, reason = complaint(error)
    if reason.startswith(("is ", "has ")):
        return f"{field or 'the body'} {reason}"
    return f"{field}: {reason}" if field else reason
