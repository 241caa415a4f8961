"""What JSON will cost to decode, told from its bytes before any of it is decoded.

Two things make a decoder slow out of proportion to the bytes: many small maps and lists, and numbers beyond 1e288 or
1e-307, which msgspec reads 500 times more slowly than others (10 us). The first is refused here, the second avoided.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..foundation.errors import EventRejected
from ..foundation.limits import EVENT_BRACKETS_FREE, EVENT_BYTES_PER_BRACKET_MIN, EVENT_DEPTH_MAX

_LEVELS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_OTHER = bytes(set(range(256)) - set(b'{}[]"'))
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")


SHORT_BYTES = 512
"""Up to here looking for extreme numbers costs more than decoding so that they do not matter."""
BRACKETS_UNCHECKED = min(EVENT_DEPTH_MAX, EVENT_BRACKETS_FREE)
"""Up to so many `{` and `[` an event is neither too deep nor too complex; honest ones have fewer."""


def check_structure(text: bytes, brackets: int) -> None:
    """Refuse what is nested too deep or holds too many maps and lists; `brackets` is the number of `{` and `[`.

    Brackets within strings count for `too_complex` but not for the depth, which is exact. About 8 us and 1 ns a byte.
    """
    if brackets > EVENT_BRACKETS_FREE + len(text) // EVENT_BYTES_PER_BRACKET_MIN:
        reason = f"at most one map or list in every {EVENT_BYTES_PER_BRACKET_MIN} bytes of an event"
        raise EventRejected("too_complex", reason)
    if brackets > EVENT_DEPTH_MAX and depth_of(text) > EVENT_DEPTH_MAX:
        raise EventRejected("too_deep", f"an event is nested at most {EVENT_DEPTH_MAX} deep")


def depth_of(text: bytes) -> int:
    """How deep maps and lists are nested, of text that need not be sound JSON (then: as far as it is sound).

    >>> depth_of(b'{"a": [[], "]]]["]}'), depth_of(rb'["\\\\", [1, "\\"["]]'), depth_of(b"7")
    (3, 2, 0)
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Without brackets in them the texts vanish, in one pass; only what is left has to be cut out piece by piece.
    marks = text.translate(_LEVELS, _OTHER).replace(b'""', b"")
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    return int(np.frombuffer(marks, np.int8).cumsum(dtype=np.int32).max(initial=0))


def is_deeper(value: object, depth_max: int) -> bool:
    """Whether maps and lists of something decoded are nested deeper than that; recursion would end before it is told.

    >>> is_deeper([{"a": []}, 7], 3), is_deeper([{"a": []}, 7], 2), is_deeper("[[[", 2)
    (False, True, False)
    """
    level: list[Any] = [value]
    for _ in range(depth_max + 1):
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return False
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return True


def has_extreme_number(text: bytes) -> bool:
    """Whether there may be a number with an exponent of three digits; an id that looks like one may be mistaken.

    >>> has_extreme_number(b"[1.5E+300]"), has_extreme_number(b"[1e22]"), has_extreme_number(b'["7e1234"]')
    (True, False, True)
    """
    return b"0e000" in text.translate(_DIGITS, b"+-")


def finite(text: str) -> float:
    """A number from JSON text in bounded time, for a decoder's `float_hook`; `ValueError` when it is infinite.

    >>> finite("1e300")
    1e+300
    """
    number = float(text)
    if number - number != 0.0:
        raise ValueError("Number out of range")
    return number
