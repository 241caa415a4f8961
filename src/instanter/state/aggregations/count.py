"""How often: [how many]. Unit: events, or items where it counts for each item.

>>> ints = np.zeros(1, np.int64)
>>> add(ints, 0, False), add(ints, 0, False), add(ints, 0, True)
(None, None, None)
>>> read(ints, 0)
1.0
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Rules, Trait
from .fixed_point import bounded_sum


@kernel
def add(ints: Ints, at: int, back: bool) -> None:
    ints[at] = bounded_sum(ints[at], -1 if back else 1)


@kernel
def merge(ints: Ints, to: int, of: int) -> None:
    ints[to] = bounded_sum(ints[to], ints[of])


@kernel
def read(ints: Ints, at: int) -> float:
    if ints[at] == 0:
        return np.nan
    return float(max(ints[at], 0))


COUNT = Aggregation(
    name="count", number=1, words=lambda spec: 1, rules=Rules(takes_back=True),
    traits=Trait.FROM_ZERO | Trait.EVENTS, add=add, merge=merge, read=read,
)  # fmt: skip
