"""How much in all: [sum in millionths]. Unit: that of the value.

>>> ints = np.zeros(1, np.int64)
>>> add(ints, 0, 2_500_000, False), add(ints, 0, 1_000_000, True)
(None, None)
>>> read(ints, 0)
1.5
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Rules, Trait
from .count import merge
from .fixed_point import bounded_sum


@kernel
def add(ints: Ints, at: int, micro: int, back: bool) -> None:
    ints[at] = bounded_sum(ints[at], -micro if back else micro)


@kernel
def read(ints: Ints, at: int) -> float:
    if ints[at] == 0:
        return np.nan
    return float(ints[at]) / 1e6


SUM = Aggregation(
    name="sum", number=2, words=lambda spec: 1, rules=Rules(value="must", takes_back=True),
    traits=Trait.FROM_ZERO, add=add, merge=merge, read=read,
)  # fmt: skip
