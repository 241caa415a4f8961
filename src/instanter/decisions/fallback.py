"""There is always an answer: the rungs of the ladder, and the one deadline that the stages share.

    personal    with all that is known of the person
    session     with the live session, or the page, alone
    popular     what everybody likes: no ranker, no inputs
    default     the newest of the catalogue, or the caller's own order

A stage that fails, or whose share of the deadline has been used up, leads one rung down and is named in `degraded`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ..foundation.clock import elapsed_ns
from ..foundation.deadline import Deadline
from ..foundation.errors import InstanterError
from ..foundation.measure import Meter
from ..models.lineup import Fault

PERSONAL: Final = "personal"
SESSION: Final = "session"
POPULAR: Final = "popular"
DEFAULT: Final = "default"

STAGES: Final = ("context", "candidates", "eligibility", "features", "score", "policy", "arrange", "receipt")
SHARES: Final = {"candidates": 0.4, "features": 0.6, "score": 0.7, "arrange": 0.8, "policy": 0.9}
"""Part of the deadline that may be used up when a stage begins; the stages not named here always run."""

AROUND: Final = ("wait", "events", "person", "reply", "seal")
"""What else a decision spends its time on. With the stages, and what lies between them, that is the whole of it."""

PERSON_SHARE: Final = 0.3
"""Part of the deadline after which a person who has not been read yet is not waited for: the stages behind have their
own."""

FAILURES: Final = (InstanterError, ArithmeticError, LookupError, ValueError, TypeError)
"""What a stage may raise: ours, and what arrays and rankers raise on values nobody expected."""
RANKER_FAILURES: Final = (*FAILURES, AssertionError, AttributeError, RuntimeError)
"""What a ranker that may be anybody's raises: another one answers in its place."""

_T = TypeVar("_T")


class StageFailed(InstanterError):
    """A stage was cut or failed."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage


class Stages:
    """Runs the stages of one decision: measures each, and holds it to its share."""

    def __init__(self, deadline: Deadline, meter: Meter, *, cut: frozenset[str] = frozenset()) -> None:
        """`cut` fail whatever they do: what they need did not come in time, or they failed when the decision was made
        that is made again."""
        self.degraded: list[str] = []
        """Stages that were cut or failed, in the order in which it happened."""
        self.faults: list[Fault] = []
        """Rankers in whose place another one answered, or that took too long."""
        self._cut = cut
        self._deadline = deadline
        self._meter = meter
        self._spent_ns = dict.fromkeys((*STAGES, "reply"), 0)

    def run(self, stage: str, work: Callable[[], _T], *, hurried: bool = False) -> _T:
        """What `work` returns, or `StageFailed`. `hurried` runs it even when its share is used up."""
        if stage in self._cut and not hurried:
            raise self._failed(stage, "it was cut")
        if not hurried and stage in SHARES and not self._deadline.allows(SHARES[stage]):
            raise self._failed(stage, "its share of the deadline is used up")
        began_ns = elapsed_ns()
        try:
            return work()
        except FAILURES as error:
            raise self._failed(stage, str(error)) from error
        finally:
            self._spent_ns[stage] += elapsed_ns() - began_ns

    def left_ms(self) -> float:
        """Of the deadline, for what is asked elsewhere."""
        return self._deadline.left_ms()

    def spend(self, stage: str, elapsed_ns: int) -> None:
        """Time went to what is none of the stages, and cannot be cut."""
        self._spent_ns[stage] += elapsed_ns

    def note(self, fault: Fault, *, failed: bool) -> None:
        """A ranker did not do its work: it failed and another one has to, or it took too long."""
        self.faults.append(fault)
        if failed and "score" not in self.degraded:
            self.degraded.append("score")

    def report(self) -> None:
        """Tell the meter; once, at the end."""
        for stage, spent_ns in self._spent_ns.items():
            if spent_ns:
                self._meter.observe(stage, spent_ns)
        for stage in self.degraded:
            self._meter.count(f"degraded.{stage}")

    def _failed(self, stage: str, reason: str) -> StageFailed:
        if stage not in self.degraded:
            self.degraded.append(stage)
        return StageFailed(stage, reason)


def descend(attempts: Sequence[Callable[[], _T]], otherwise: _T) -> _T:
    """The first attempt that succeeds, the highest rung first; `otherwise` if none does."""
    for attempt in attempts:
        try:
            return attempt()
        except StageFailed:
            continue
    return otherwise
