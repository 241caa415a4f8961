"""When people come and from where: arrivals with a daily rhythm, times of return, referrers and campaigns."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from .chance import Chance
from .wire import Campaign

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RETURN_GAP_DAYS_MEAN = 1.2
RETURN_TRIES_MAX = 8

RHYTHM: tuple[float, ...] = (
    0.35, 0.20, 0.12, 0.10, 0.10, 0.15, 0.30, 0.55, 0.75, 0.90, 1.00, 1.05,
    1.15, 1.05, 0.95, 0.95, 1.00, 1.15, 1.35, 1.60, 1.80, 1.70, 1.20, 0.70,
)
"""Arrivals in each hour of the day (UTC), in proportion to each other."""
_RHYTHM_MAX = max(RHYTHM)


class Arrival(msgspec.Struct, frozen=True):
    """How a visit began: what the browser gave as referrer, and the campaign of the link."""

    referrer: str = ""
    campaign: Campaign | None = None


_SOURCES: tuple[tuple[float, Arrival], ...] = (
    (0.34, Arrival()),
    (0.28, Arrival(referrer="https://www.google.com/")),
    (0.05, Arrival(referrer="https://duckduckgo.com/")),
    (0.08, Arrival(referrer="https://www.pinterest.com/")),
    (0.04, Arrival(referrer="https://chatgpt.com/")),
    (0.12, Arrival(referrer="https://www.google.com/",
                   campaign=Campaign(source="google", medium="cpc", name="living-room-autumn"))),
    (0.09, Arrival(campaign=Campaign(source="newsletter", medium="email", name="new-arrivals"))),
)


def arrival(chance: Chance) -> Arrival:
    """Where one visit comes from."""
    return chance.weighted([each for _, each in _SOURCES], [share for share, _ in _SOURCES])


def arrivals_ms(chance: Chance, count: int, *, start_ms: int, span_ms: int) -> Iterator[int]:
    """Exactly `count` arrival times in [start_ms, start_ms + span_ms), ascending, following the rhythm of the day.

    Lazy: draws the sorted uniforms one after the other, so memory does not grow with `count` (only with the hours).
    """
    cumulative = _cumulative(start_ms, span_ms)
    passed = 0.0
    for left in range(count, 0, -1):
        passed += (1.0 - passed) * (1.0 - math.exp(math.log(1.0 - chance.uniform()) / left))
        yield start_ms + _inverse(cumulative, passed * cumulative[-1], span_ms)


def returns_ms(chance: Chance, left_ms: int) -> int:
    """When somebody who left at `left_ms` comes back: after an hour at least, at an hour when people shop."""
    at_ms = left_ms + HOUR_MS
    for _ in range(RETURN_TRIES_MAX):
        at_ms = left_ms + HOUR_MS + int(chance.exponential(RETURN_GAP_DAYS_MEAN) * DAY_MS)
        if chance.uniform() * _RHYTHM_MAX < _intensity(at_ms):
            break
    return at_ms


def _intensity(at_ms: int) -> float:
    return RHYTHM[at_ms // HOUR_MS % 24]


def _cumulative(start_ms: int, span_ms: int) -> list[float]:
    """The arrivals up to the end of each slice of at most an hour from the start, first entry 0."""
    sums = [0.0]
    for offset_ms in range(0, span_ms, HOUR_MS):
        length_ms = min(HOUR_MS, span_ms - offset_ms)
        sums.append(sums[-1] + _intensity(start_ms + offset_ms) * length_ms)
    return sums


def _inverse(cumulative: list[float], target: float, span_ms: int) -> int:
    """The offset at which the arrivals reach `target`, found by halving."""
    low, high = 0, len(cumulative) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cumulative[middle] <= target else (low, middle)
    within = (target - cumulative[low]) / (cumulative[high] - cumulative[low])
    length_ms = min(HOUR_MS, span_ms - low * HOUR_MS)
    return min(span_ms - 1, low * HOUR_MS + int(within * length_ms))
