"""The only door to time. Everything else takes a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds since 1970 (UTC). Never goes back within one process."""

    def now_ms(self) -> int:
        """The time in force."""
        ...

    def observe(self, happened_ms: int) -> None:
        """An event says it happened then. Only a clock driven by events takes notice."""
        ...


class SystemClock:
    """The machine's clock, held monotonic: a step back stands still until time has caught up."""

    def __init__(self) -> None:
        self._newest_ms = 0

    def now_ms(self) -> int:
        self._newest_ms = max(self._newest_ms, time.time_ns() // 1_000_000)
        return self._newest_ms

    def observe(self, happened_ms: int) -> None:
        return None


class EventsClock:
    """Time as the events tell it (`serve --clock=events`): the newest event time seen.

    >>> clock = EventsClock()
    >>> clock.observe(5_000); clock.observe(4_000)
    >>> clock.now_ms()
    5000
    """

    def __init__(self, start_ms: int = 0) -> None:
        self._newest_ms = start_ms

    def now_ms(self) -> int:
        return self._newest_ms

    def observe(self, happened_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, happened_ms)


class ManualClock:
    """A clock that a test or the simulator moves."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        return self._now_ms

    def observe(self, happened_ms: int) -> None:
        return None

    def advance(self, by_ms: int) -> None:
        """Move on by `by_ms` >= 0."""
        assert by_ms >= 0
        self._now_ms += by_ms


def elapsed_ns() -> int:
    """A stopwatch reading for measurements and deadlines; says nothing about the date."""
    return time.perf_counter_ns()
