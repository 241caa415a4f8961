"""What the engine measures about itself: counters and latency histograms, cheap enough for every event."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from operator import add, sub
from typing import Protocol

_SUB_BITS = 3
_BUCKETS = 64 << _SUB_BITS


class Meter(Protocol):
    """Where rooms report how long a stage took and how often something happened."""

    def observe(self, stage: str, elapsed_ns: int, *, times: int = 1) -> None:
        """A stage took that long, so many times."""
        ...

    def count(self, what: str, by: int = 1) -> None:
        """Something happened."""
        ...


class NoMeter:
    """Measures nothing."""

    def observe(self, stage: str, elapsed_ns: int, *, times: int = 1) -> None:
        return None

    def count(self, what: str, by: int = 1) -> None:
        return None


class Histogram:
    """Durations in buckets of 1/8 octave: quantiles within 12 %, over the last one to two turns.

    >>> histogram = Histogram()
    >>> for ms in range(1, 101): histogram.observe(ms * 1_000_000)
    >>> 45 < histogram.quantile_ms(0.5) < 57, histogram.count
    (True, 100)
    """

    __slots__ = ("_current", "_last", "count", "longest_ns", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.longest_ns = 0
        self._current = [0] * _BUCKETS
        self._last = [0] * _BUCKETS

    def observe(self, elapsed_ns: int, *, times: int = 1) -> None:
        """Add a duration that was met `times` times."""
        elapsed_ns = max(elapsed_ns, 1 << _SUB_BITS)
        shift = elapsed_ns.bit_length() - 1 - _SUB_BITS
        self._current[min((shift << _SUB_BITS) + (elapsed_ns >> shift), _BUCKETS - 1)] += times
        self.count += times
        self.total_ns += elapsed_ns * times
        self.longest_ns = max(self.longest_ns, elapsed_ns)

    def turn(self) -> None:
        """Begin a new turn; call it every half minute or so."""
        self._last, self._current = self._current, [0] * _BUCKETS

    def quantile_ms(self, share: float) -> float:
        """The duration that `share` of the recent ones did not exceed, in ms; 0 if there are none."""
        recent = [old + new for old, new in zip(self._last, self._current, strict=True)]
        rank = share * sum(recent)
        reached = 0
        for bucket, entries in enumerate(recent):
            reached += entries
            if entries and reached >= rank:
                return _upper_ns(bucket) / 1_000_000
        return 0.0


class Lately:
    """What a histogram observed from one look to the next, which come more often than it turns; at the first look, what
    is recent.

    >>> histogram = Histogram()
    >>> lately = Lately(histogram)
    >>> for ms in range(1, 101): histogram.observe(ms * 1_000_000)
    >>> [round(ms) for ms in lately.quantiles_ms(0.5, 0.99)], lately.quantiles_ms(0.5)
    ([50, 101], ())
    """

    __slots__ = ("_histogram", "_looked_at", "_seen")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._looked_at: list[int] | None = None
        self._seen: list[int] = []

    def quantiles_ms(self, *shares: float) -> tuple[float, ...]:
        """The durations that these shares of what came since the last look did not exceed, in ms; none if nothing
        came."""
        current, last = self._histogram._current, self._histogram._last
        if current is self._looked_at:
            came = map(sub, current, self._seen)
        else:
            before = map(sub, last, self._seen) if last is self._looked_at else last
            came = map(add, before, current)
        up_to = list(accumulate(came))
        self._looked_at, self._seen = current, current.copy()
        if not up_to[-1]:
            return ()
        return tuple(_upper_ns(bisect_left(up_to, share * up_to[-1])) / 1_000_000 for share in shares)


def _upper_ns(bucket: int) -> int:
    """First duration above a bucket."""
    shift = max((bucket >> _SUB_BITS) - 1, 0)
    return (bucket - (shift << _SUB_BITS) + 1) << shift


class Buckets:
    """Durations counted since the start by upper bound: two readings give what happened between them.

    >>> buckets = Buckets([5.0, 20.0])
    >>> for ms in (1, 5, 6, 100): buckets.observe(ms * 1_000_000)
    >>> buckets.up_to(), buckets.total_ns
    ([2, 3, 4], 112000000)
    """

    def __init__(self, bounds_ms: Sequence[float]) -> None:
        self.bounds_ms = tuple(bounds_ms)
        self.total_ns = 0
        self._counts = [0] * (len(self.bounds_ms) + 1)

    def observe(self, elapsed_ns: int) -> None:
        """Add one duration."""
        self._counts[bisect_left(self.bounds_ms, elapsed_ns / 1_000_000)] += 1
        self.total_ns += elapsed_ns

    def up_to(self) -> list[int]:
        """How many were at most as long as each bound; the last number is of all."""
        return list(accumulate(self._counts))


class Measurements:
    """A meter that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: dict[str, Histogram] = {}
        self.counts: Counter[str] = Counter()

    def observe(self, stage: str, elapsed_ns: int, *, times: int = 1) -> None:
        histogram = self.stages.get(stage)
        if histogram is None:
            histogram = self.stages[stage] = Histogram()
        histogram.observe(elapsed_ns, times=times)

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] += by

    def turn(self) -> None:
        """Begin a new turn of all histograms."""
        for histogram in self.stages.values():
            histogram.turn()
