"""The time since the newest event: [time]. Unit: seconds.

>>> ints = np.zeros(1, np.int64)
>>> add(ints, 0, 5_000), add(ints, 0, 3_000)
(None, None)
>>> read(ints, 0, 7_500)
2.5
"""

from __future__ import annotations

import numpy as np

from ..compiled import Ints, kernel
from .base import Aggregation, Trait


@kernel
def add(ints: Ints, at: int, at_ms: int) -> None:
    ints[at] = max(ints[at], at_ms)


@kernel
def merge(ints: Ints, to: int, of: int) -> None:
    ints[to] = max(ints[to], ints[of])


@kernel
def read(ints: Ints, at: int, now_ms: int) -> float:
    if ints[at] == 0:
        return np.nan
    return float(max(now_ms - ints[at], 0)) / 1e3


@kernel
def lasting(ints: Ints, at: int) -> float:
    return -float(ints[at]) if ints[at] != 0 else -np.inf


TIME_SINCE = Aggregation(
    name="time_since", number=10, words=lambda spec: 1, traits=Trait.SEQUENTIAL | Trait.TIMED,
    add=add, merge=merge, read=read, lasting=lasting,
)  # fmt: skip
