"""The most: [how many, value in millionths]. Unit: that of the value.

>>> import numpy as np
>>> ints = np.zeros(2, np.int64)
>>> add(ints, 0, 3_000_000), add(ints, 0, 2_000_000)
(None, None)
>>> read(ints, 0)
3.0
"""

from __future__ import annotations

from ..compiled import Ints, kernel
from .base import Aggregation, Rules
from .min import read


@kernel
def add(ints: Ints, at: int, micro: int) -> None:
    if ints[at] == 0 or micro > ints[at + 1]:
        ints[at + 1] = micro
    ints[at] += 1


@kernel
def merge(ints: Ints, to: int, of: int) -> None:
    if ints[of] == 0:
        return
    if ints[to] == 0 or ints[of + 1] > ints[to + 1]:
        ints[to + 1] = ints[of + 1]
    ints[to] += ints[of]


MAX = Aggregation(
    name="max", number=5, words=lambda spec: 2, rules=Rules(value="must"), add=add, merge=merge, read=read
)
