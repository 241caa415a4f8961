"""The arithmetic that aggregations share: sums in millionths, so that order cannot change them, and decay."""

from __future__ import annotations

import math

from ..compiled import kernel

LN2 = 0.6931471805599453
VALUE_MAX = 1e9
"""Values are clamped to this magnitude before they are aggregated, so that fixed point cannot run over."""
SUM_MAX = 4_000_000_000_000_000_000


@kernel
def bounded(value: float) -> float:
    """The value, clamped; NaN stays."""
    if value > VALUE_MAX:
        return VALUE_MAX
    if value < -VALUE_MAX:
        return -VALUE_MAX
    return value


@kernel
def to_micro(value: float) -> int:
    """Fixed point of a value, in millionths; NaN counts as 0."""
    if value != value:
        return 0
    return math.floor(bounded(value) * 1e6 + 0.5)


@kernel
def bounded_sum(left: int, right: int) -> int:
    """Integer sum that stops at the bound instead of running over."""
    return min(max(left + right, -SUM_MAX), SUM_MAX)


@kernel
def decay(elapsed_ms: int, half_life_ms: int) -> float:
    """What remains of 1 after `elapsed_ms`; time that has not come yet takes nothing away."""
    if elapsed_ms <= 0:
        return 1.0
    return math.exp(-LN2 * float(elapsed_ms) / float(half_life_ms))
