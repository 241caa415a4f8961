"""Vectors of items, as callers compute them: read at the door, and kept as 8-bit numbers with a scale.

A vector says which items are alike by its direction alone. The largest of its numbers becomes 127 or -127, the others
their nearest: a byte for each number, and 8 for the scale. In fields it stands as text, since those are JSON.
"""

from __future__ import annotations

import binascii
import json
import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..foundation.limits import VECTOR_LENGTH_MAX

VECTOR: Final = "vector"
"""The field of an item that holds its vector."""
Packed = npt.NDArray[np.int8]
LARGEST: Final = 127
_SCALE: Final = struct.Struct("<d")
_NUMBER_MAX: Final = 1e30
_KEPT_AS: Final = "q8:"
"""How the text of a vector begins; base64 follows."""
_KEPT_CHARS_MAX: Final = len(_KEPT_AS) + 4 * -(-(_SCALE.size + VECTOR_LENGTH_MAX) // 3)


class VectorRefused(ValueError):
    """What is no vector, in words that go behind the name of the field."""


def is_meant(sent: object) -> bool:
    """Whether a value is meant for a vector, as far as can be seen: a list, its JSON, or what is kept of one."""
    return isinstance(sent, list) or (isinstance(sent, str) and sent.lstrip().startswith(("[", _KEPT_AS)))


def pack_vector(sent: object, *, length: int = 0) -> str:
    """A list of numbers, its JSON as feeds have it, or what is kept of one, as it is kept; raises `VectorRefused`.
    `length` is that of the tenant's other vectors, 0 where there are none.

    >>> unpack_vector(pack_vector([0.5, -1.0, 0.0])).tolist()
    [64, -127, 0]
    """
    if isinstance(sent, str) and sent.startswith(_KEPT_AS):
        kept = _kept(sent)
        if kept is None:
            raise VectorRefused("is no vector as it is kept: send its numbers")
        _check_length(len(kept) - _SCALE.size, length)
        return sent
    numbers = _numbers_in(sent)
    _check_length(len(numbers), length)
    vector = np.array(numbers, np.float64)
    largest = float(np.abs(vector).max())
    if largest == 0.0:
        raise VectorRefused("is all zeros, which is like nothing: leave it out")
    # The nearest whole number; half to even, as everywhere.
    packed = _SCALE.pack(largest / LARGEST) + np.rint(vector / largest * LARGEST).astype(np.int8).tobytes()
    return _KEPT_AS + binascii.b2a_base64(packed, newline=False).decode()


def length_of(fields: Mapping[str, Any]) -> int:
    """How many numbers the vector of an item's fields has, 0 where there is none."""
    sent = fields.get(VECTOR)
    kept = _kept(sent) if isinstance(sent, str) else None
    return 0 if kept is None else len(kept) - _SCALE.size


def unpack_vector(text: str) -> Packed:
    """The numbers of a kept vector, without their scale; of what is none, none."""
    return np.frombuffer(_kept(text) or b"\0" * _SCALE.size, np.int8, offset=_SCALE.size)


def numbers_of(text: str) -> list[float]:
    """The numbers of a kept vector, each to within a 254th of the largest."""
    kept = _kept(text)
    if kept is None:
        return []
    scale: float = _SCALE.unpack_from(kept)[0]
    return [number * scale for number in np.frombuffer(kept, np.int8, offset=_SCALE.size).tolist()]


def _kept(text: str) -> bytes | None:
    """Scale and numbers of a vector as it is kept; None for what is none, whoever wrote it."""
    if not text.startswith(_KEPT_AS) or len(text) > _KEPT_CHARS_MAX:
        return None
    try:
        kept = binascii.a2b_base64(text[len(_KEPT_AS) :], strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    if not _SCALE.size < len(kept) <= _SCALE.size + VECTOR_LENGTH_MAX or not any(kept[_SCALE.size :]):
        return None
    scale: float = _SCALE.unpack_from(kept)[0]
    return kept if 0.0 <= scale <= _NUMBER_MAX else None


def _check_length(count: int, length: int) -> None:
    if not 1 <= count <= VECTOR_LENGTH_MAX:
        raise VectorRefused(f"has {count} numbers: a vector has 1 to {VECTOR_LENGTH_MAX}")
    if length and count != length:
        raise VectorRefused(f"has {count} numbers, and the catalogue's vectors have {length}: all have as many; "
                            "to load others, take the vectors out first")  # fmt: skip


def shown_fields(fields: dict[str, Any], *, vector: bool = False) -> dict[str, Any]:
    """Fields as replies have them: without the vector, or with its numbers."""
    if not length_of(fields):
        return fields
    shown = {name: value for name, value in fields.items() if name != VECTOR}
    return {**shown, VECTOR: numbers_of(fields[VECTOR])} if vector else shown


def _numbers_in(sent: object) -> list[float]:
    if isinstance(sent, str) and sent.lstrip().startswith("["):
        try:
            sent = json.loads(sent)
        except (ValueError, RecursionError):
            raise VectorRefused("is no list of numbers: it cannot be read") from None
    if not isinstance(sent, list):
        raise VectorRefused("is no list of numbers")
    for place, number in enumerate(sent):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise VectorRefused(f"has something that is no number, at place {place}")
        if not (-_NUMBER_MAX <= number <= _NUMBER_MAX and math.isfinite(number)):
            raise VectorRefused(f"has a number that is not finite, or beyond 1e30, at place {place}")
    return sent
