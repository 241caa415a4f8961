"""How often a sender may call: a token bucket, refused before any work is done."""

from __future__ import annotations

from ..foundation.clock import Clock
from ..foundation.errors import RateLimited

_PARTS = 1_000
"""One call in the bucket's unit, so that each millisecond adds a whole number."""


class TokenBucket:
    """At most `per_s` calls a second on average, and at most one second's worth at once.

    The clock is that of the machine, never the one that events set. Memory and cost do not depend on the traffic.

    >>> from ..foundation.clock import ManualClock
    >>> clock = ManualClock(); bucket = TokenBucket(clock, per_s=2)
    >>> bucket.take(), bucket.take(), clock.advance(500), bucket.take()
    (None, None, None, None)
    """

    def __init__(self, clock: Clock, *, per_s: int) -> None:
        assert per_s >= 1
        self._clock = clock
        self._per_s = per_s
        self._full = per_s * _PARTS
        self._left = self._full
        self._filled_ms = clock.now_ms()

    def take(self) -> None:
        """Count one call, or raise `RateLimited` with the seconds after which there is room for one."""
        now_ms = self._clock.now_ms()
        self._left = min(self._full, self._left + (now_ms - self._filled_ms) * self._per_s)
        self._filled_ms = now_ms
        if self._left < _PARTS:
            missing_ms = -((self._left - _PARTS) // self._per_s)
            raise RateLimited(f"more than {self._per_s} requests a second", retry_after_s=-(-missing_ms // 1_000))
        self._left -= _PARTS
