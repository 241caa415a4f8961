"""One time budget, handed through all steps of one piece of work."""

from __future__ import annotations

from collections.abc import Callable

from .clock import elapsed_ns


class Deadline:
    """What is left of a budget in milliseconds. Each step asks; nobody starts a clock of their own."""

    def __init__(self, budget_ms: float, *, started_ns: int | None = None,
                 stopwatch: Callable[[], int] = elapsed_ns) -> None:
        self._stopwatch = stopwatch
        self._started_ns = stopwatch() if started_ns is None else started_ns
        self._budget_ns = int(budget_ms * 1_000_000)

    def elapsed_ns(self) -> int:
        """Time used so far, queueing included when `started_ns` was given."""
        return self._stopwatch() - self._started_ns

    def elapsed_ms(self) -> float:
        """The same in milliseconds."""
        return self.elapsed_ns() / 1_000_000

    def left_ms(self, share: float = 1.0) -> float:
        """Time left, of the whole budget or of a share of it (0 to 1); negative once it is over."""
        return (self._started_ns + self._budget_ns * share - self._stopwatch()) / 1_000_000

    def allows(self, share: float) -> bool:
        """Whether at most `share` of the budget (0 to 1) has been used: the test before an optional step."""
        return self._stopwatch() - self._started_ns <= self._budget_ns * share
