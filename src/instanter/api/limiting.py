"""How often a sender may call: token buckets, asked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

from ..foundation.clock import Clock
from ..foundation.errors import RateLimited

_PARTS = 1_000
"""One unit in the bucket's own, so that each millisecond adds a whole number."""


class TokenBucket:
    """At most `per_s` units a second on average, and at most one second's worth at once.

    What costs more than a second's worth is let through a full bucket and paid back before anything else is: the
    average holds all the same. The clock is that of the machine, never the one that events set. Memory and cost do
    not depend on the traffic.

    >>> from ..foundation.clock import ManualClock
    >>> clock = ManualClock(); bucket = TokenBucket(clock, per_s=2)
    >>> bucket.take(), bucket.take(), clock.advance(500), bucket.take()
    (None, None, None, None)
    """

    def __init__(self, clock: Clock, *, per_s: int, of: str = "requests") -> None:
        assert per_s >= 1
        self._clock = clock
        self._per_s = per_s
        self._of = of
        self._full = per_s * _PARTS
        self._left = self._full
        self._filled_ms = clock.now_ms()

    def take(self, cost: int = 1) -> None:
        """Take so many units, or raise `RateLimited` with the seconds after which there is room for them."""
        take_all([(self, cost)])

    def wait_ms(self, cost: int = 1) -> int:
        """Milliseconds until there is room for so many units; 0 if there is now."""
        now_ms = self._clock.now_ms()
        self._left = min(self._full, self._left + (now_ms - self._filled_ms) * self._per_s)
        self._filled_ms = now_ms
        missing = min(cost * _PARTS, self._full) - self._left
        return -(-missing // self._per_s) if missing > 0 else 0

    def spend(self, cost: int = 1) -> None:
        """Take so many units after `wait_ms` said 0."""
        self._left -= cost * _PARTS

    @property
    def rate(self) -> str:
        """In words."""
        return f"{self._per_s} {self._of} a second"


def take_all(wanted: Sequence[tuple[TokenBucket, int]]) -> None:
    """Take (bucket, cost) each, all or none; `RateLimited` tells the seconds after which there is room in all."""
    longest_ms = 0
    for bucket, cost in wanted:
        wait_ms = bucket.wait_ms(cost)
        if wait_ms > longest_ms:
            longest_ms, slowest = wait_ms, bucket
    if longest_ms:
        raise RateLimited(f"more than {slowest.rate}", retry_after_s=-(-longest_ms // 1_000))
    for bucket, cost in wanted:
        bucket.spend(cost)
