"""The only door to time. Everything else takes a `Clock`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

_MS_NS: Final = 1_000_000
DOUBTED_MS: Final = 86_400_000
"""So far ahead of the machine's uptime its clock is not believed within one run."""


elapsed_ns: Final = time.perf_counter_ns
"""A stopwatch reading for measurements and deadlines; says nothing about the date."""


def uptime_ns() -> int:
    """How long the machine has been running, in ns: no step of its clock changes it, and sleep counts where the system
    says so."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def machine_ns() -> int:
    """The date as the machine has it, in ns since 1970; it may step to anywhere at any moment."""
    return time.time_ns()


class Clock(Protocol):
    """Milliseconds since 1970 (UTC). Never goes back within one process."""

    def now_ms(self) -> int:
        """The time in force."""
        ...

    def observe(self, happened_ms: int) -> None:
        """An event says it happened then. Only a clock driven by events takes notice."""
        ...

    def doubted_ms(self) -> int:
        """How far the machine's clock is ahead because it is not believed; 0: it is, or nobody asks it."""
        ...

    def believe(self, machine_ms: int) -> bool:
        """An operator confirms that the machine's clock is right; whether it agrees with what the clock says now."""
        ...


class SystemClock:
    """The machine's clock, but never back: not in one process, and not behind `not_before_ms`, where a log ends.

    Where the machine's clock is behind, because it stepped back or starts behind the log, time goes on from where it
    was at nine tenths of its pace until the machine has caught up: intervals come out a tenth too short, and nothing
    stands still. A step forward is believed at once, up to `DOUBTED_MS` ahead of the time this clock began with and
    the machine's uptime since: beyond that time goes on by the uptime until somebody confirms the machine's
    (`believe`), since what is too old by a wrong time is destroyed.

    >>> machine, stopwatch = iter([5_000, 1_000, 2_000, 9_000]), iter([0, 0, 1_000, 2_000])
    >>> clock = SystemClock(
    ...     machine_ns=lambda: next(machine) * 1_000_000, stopwatch_ns=lambda: next(stopwatch) * 1_000_000)
    >>> clock.now_ms(), clock.now_ms(), clock.now_ms()
    (5000, 5900, 9000)
    """

    def __init__(
        self, *, not_before_ms: int = 0, machine_ns: Callable[[], int] = machine_ns,
        stopwatch_ns: Callable[[], int] = uptime_ns,
    ) -> None:  # fmt: skip
        self._machine_ns = machine_ns
        self._stopwatch_ns = stopwatch_ns
        self._read_ns = stopwatch_ns()
        self._now_ns = max(not_before_ms * _MS_NS, machine_ns())
        self._believed_ns = self._now_ns - self._read_ns
        """What the uptime lacks to the time that was believed: at the start, or when somebody confirmed it."""
        self._doubted_ns = 0

    def now_ms(self) -> int:
        stopwatch_ns, machine_ns = self._stopwatch_ns(), self._machine_ns()
        passed_ns = stopwatch_ns - self._read_ns
        self._read_ns = stopwatch_ns
        ahead_ns = machine_ns - (self._believed_ns + stopwatch_ns)
        if ahead_ns > DOUBTED_MS * _MS_NS:
            self._now_ns += passed_ns
            self._doubted_ns = machine_ns - self._now_ns
        else:
            self._now_ns = max(self._now_ns + passed_ns * 9 // 10, machine_ns)
            self._doubted_ns = 0
        return self._now_ns // _MS_NS

    def doubted_ms(self) -> int:
        """How far the machine's clock is ahead of this one because it is not believed; 0: it is."""
        self.now_ms()
        return self._doubted_ns // _MS_NS

    def believe(self, machine_ms: int) -> bool:
        """Somebody confirms that the machine's clock was right when it said `machine_ms`; whether that is what it says
        now, give or take `DOUBTED_MS`. Then it is believed from here on."""
        now_ns = self._machine_ns()
        if abs(now_ns // _MS_NS - machine_ms) > DOUBTED_MS:
            return False
        self._believed_ns = now_ns - self._stopwatch_ns()
        self.now_ms()
        return True

    def ahead_ms(self) -> int:
        """How far this clock is before the machine's."""
        return self.now_ms() - self._machine_ns() // _MS_NS

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

    def doubted_ms(self) -> int:
        return 0

    def believe(self, machine_ms: int) -> bool:
        return False


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

    def doubted_ms(self) -> int:
        return 0

    def believe(self, machine_ms: int) -> bool:
        return False
