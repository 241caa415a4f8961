"""How much on average: [sum in millionths, how many]. Unit: that of the value.

>>> ints = np.zeros(2, np.int64)
>>> add(ints, 0, 2_000_000), add(ints, 0, 3_000_000)
(None, None)
>>> read(ints, 0)
2.5
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Rules
from .fixed_point import bounded_sum


@kernel
def add(ints: Ints, at: int, micro: int) -> None:
    ints[at] = bounded_sum(ints[at], micro)
    ints[at + 1] += 1


@kernel
def merge(ints: Ints, to: int, of: int) -> None:
    ints[to] = bounded_sum(ints[to], ints[of])
    ints[to + 1] += ints[of + 1]


@kernel
def read(ints: Ints, at: int) -> float:
    if ints[at + 1] == 0:
        return np.nan
    return float(ints[at]) / 1e6 / float(ints[at + 1])


MEAN = Aggregation(
    name="mean", number=3, words=lambda spec: 2, rules=Rules(value="must"), add=add, merge=merge, read=read
)
