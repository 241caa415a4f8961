"""The newest value: [time, tie-break, value in millionths]. Unit: that of the value. Of two values of one time the
larger counts; by former rules of the fold the one of the larger message.

>>> ints = np.zeros(3, np.int64)
>>> add(ints, 0, 20, 7, 5_000_000, 1), add(ints, 0, 10, 8, 6_000_000, 1)
(None, None)
>>> read(ints, 0)
5.0
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Rules, Trait


@kernel
def add(ints: Ints, at: int, at_ms: int, message: int, micro: int, as_came: int) -> None:
    tie = micro if as_came else message
    if at_ms > ints[at] or (at_ms == ints[at] and tie > ints[at + 1]):
        ints[at] = at_ms
        ints[at + 1] = tie
        ints[at + 2] = micro


@kernel
def merge(ints: Ints, to: int, of: int) -> None:
    add(ints, to, ints[of], ints[of + 1], ints[of + 2], 0)


@kernel
def read(ints: Ints, at: int) -> float:
    if ints[at] == 0:
        return np.nan
    return float(ints[at + 2]) / 1e6


LAST = Aggregation(
    name="last", number=8, words=lambda spec: 3, rules=Rules(value="must"), traits=Trait.SEQUENTIAL | Trait.TIMED,
    add=add, merge=merge, read=read,
)  # fmt: skip
