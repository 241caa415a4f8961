"""A sum that halves every half-life of event time: [time it stands for, value then]. Unit: that of the value, else
events. Any order of arrival gives the same value within 1e-9.

>>> ints = np.zeros(2, np.int64)
>>> reals = ints.view(np.float64)
>>> add(ints, reals, 0, 60_000, 60_000, 1.0), add(ints, reals, 0, 60_000, 120_000, 1.0)
(None, None)
>>> float(read(ints, reals, 0, 60_000, 120_000))
1.5
"""

from __future__ import annotations

import math

import numpy as np

from ..compiled import Ints, Reals, kernel
from .base import Aggregation, Rules, Trait
from .fixed_point import LN2, decay


@kernel
def add(ints: Ints, reals: Reals, at: int, half_life_ms: int, at_ms: int, value: float) -> None:
    stands_ms = ints[at]
    if at_ms >= stands_ms:
        reals[at + 1] = reals[at + 1] * decay(at_ms - stands_ms, half_life_ms) + value
        ints[at] = at_ms
    else:
        reals[at + 1] += value * decay(stands_ms - at_ms, half_life_ms)


@kernel
def merge(ints: Ints, reals: Reals, to: int, of: int, half_life_ms: int) -> None:
    if ints[of] > 0:
        add(ints, reals, to, half_life_ms, ints[of], reals[of + 1])


@kernel
def read(ints: Ints, reals: Reals, at: int, half_life_ms: int, now_ms: int) -> float:
    if ints[at] == 0:
        return np.nan
    value: float = reals[at + 1] * decay(now_ms - ints[at], half_life_ms)
    return value


@kernel
def lasting(ints: Ints, reals: Reals, at: int, half_life_ms: int) -> float:
    """When it will have come down to 1, in half-lives times ln 2: the same at any time."""
    value = reals[at + 1] if ints[at] != 0 else 0.0
    if value > 0.0:
        return math.log(value) + LN2 * float(ints[at]) / float(half_life_ms)
    return -np.inf


DECAYED = Aggregation(
    name="decayed", number=6, words=lambda spec: 2, rules=Rules(value="may", half_life="must"),
    traits=Trait.FROM_ZERO | Trait.TIMED, add=add, merge=merge, read=read, lasting=lasting,
    inexact=lambda spec: [1],
)  # fmt: skip
