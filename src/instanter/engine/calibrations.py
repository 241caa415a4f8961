"""Whether probabilities hold: what models promised of the items they showed, against what came of these.

Measured while serving, in memory alone and anew from each start. A list counts once its outcomes are settled. Which of
them belong to it is as for online learners: the list of the decision that an event names, else the newest that showed
the person the item.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from ..decisions.decide import Promised
from ..events.envelope import Flag, Tracked
from ..feedback.join import SKEW_MS
from ..feedback.outcomes import happened_in
from ..feedback.rewards import Rewards
from ..foundation.limits import (
    CALIBRATION_DECISIONS_OPEN_MAX,
    CALIBRATION_DECISIONS_PER_PERSON_MAX,
    CALIBRATIONS_WATCHED_MAX,
)

EDGES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Of the bins of probabilities, finer where most items lie."""
ITEMS_LEAST: Final = 1_000
"""Below which nothing is said of a calibration."""
ITEMS_KEPT: Final = 20_000.0
"""Where there are more all counts are halved: what is new weighs more."""
ERROR_MAX: Final = 0.05
"""Mean distance of promise and outcome, beyond what chance explains, from which on a calibration does not hold; where
rewards are rare half of their rate."""
_NOISE: Final = 2.0
"""Standard deviations of a bin that are put down to chance."""

About = tuple[str, str, str]
"""A tenant, its placement and the model that ranks there, "kind@id"."""


class Bin(msgspec.Struct):
    """Items that were promised about the same."""

    items: float = 0.0
    expected: float = 0.0
    """Sum of what was promised."""
    rewarded: float = 0.0

    @property
    def gap(self) -> float:
        """How far promise and outcome lie apart, in items."""
        return abs(self.expected - self.rewarded)

    @property
    def unexplained(self) -> float:
        """The part of it that chance does not explain."""
        variance = self.expected * (1.0 - self.expected / self.items) if self.items else 0.0
        return max(self.gap - _NOISE * math.sqrt(max(variance, 0.0)), 0.0)


class Watched:
    """What is known of one model's probabilities at one placement.

    >>> watched = Watched()
    >>> for turn in range(1_000):
    ...     watched.add(0.6, rewarded=turn % 10 == 0)
    >>> round(watched.error, 2), watched.holds
    (0.5, False)
    """

    def __init__(self) -> None:
        self.bins = [Bin() for _ in range(len(EDGES) + 1)]

    @property
    def items(self) -> float:
        return sum(one.items for one in self.bins)

    @property
    def expected(self) -> float:
        """Mean of what was promised."""
        return sum(one.expected for one in self.bins) / (self.items or 1.0)

    @property
    def rewarded(self) -> float:
        """Rate of rewards."""
        return sum(one.rewarded for one in self.bins) / (self.items or 1.0)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of promise and outcome, by bins."""
        return sum(one.gap for one in self.bins) / (self.items or 1.0)

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the probabilities; True as long as there is little to go by."""
        if self.items < ITEMS_LEAST:
            return True
        unexplained = sum(one.unexplained for one in self.bins) / self.items
        return unexplained <= min(ERROR_MAX, max(self.expected, self.rewarded) / 2.0)

    def add(self, chance: float, *, rewarded: bool) -> None:
        """An item of which all outcomes are known."""
        one = self.bins[bisect_right(EDGES, chance)]
        one.items += 1.0
        one.expected += chance
        one.rewarded += rewarded
        if self.items > ITEMS_KEPT:
            for other in self.bins:
                other.items, other.expected, other.rewarded = other.items / 2, other.expected / 2, other.rewarded / 2


class _Open(NamedTuple):
    """A list that outcomes may still come to."""

    about: About
    key: int
    at_ms: int
    items: tuple[int, ...]
    chances: tuple[float, ...]
    outcomes: list[int]
    """Bits of `Outcome`, by item."""
    revenues: list[float]


class Calibrations:
    """All models that give probabilities. Used on the loop's thread; nothing of it is part of the state."""

    def __init__(self, rewards: Rewards) -> None:
        self._rewards = rewards
        self._watched = OrderedDict[About, Watched]()
        self._open: dict[str, tuple[_Open, ...]] = {}
        """By decision, the oldest first."""
        self._of_person: dict[int, tuple[str, ...]] = {}
        """By cell: the decisions that showed it something, the newest first."""

    def __iter__(self) -> Iterator[tuple[About, Watched]]:
        return iter(self._watched.items())

    @property
    def open(self) -> int:
        """Decisions that wait for outcomes."""
        return len(self._open)

    def of(self, tenant: str, placement: str, model: str) -> Watched | None:
        """What is known of a model; None while no list of it is settled."""
        return self._watched.get((tenant, placement, model))

    def show(self, decision_id: str, tenant: str, key: int, at_ms: int, promised: Sequence[Promised]) -> None:
        """Lists were shown with probabilities. While as many wait as may be, further ones are passed over."""
        shown = self._of_person.get(key, ()) if key else ()
        if len(self._open) >= CALIBRATION_DECISIONS_OPEN_MAX or len(shown) >= CALIBRATION_DECISIONS_PER_PERSON_MAX:
            return
        self._open[decision_id] = tuple(
            _Open(
                (tenant, one.placement, one.model), key, at_ms, one.items, one.chances, [0] * len(one.items),
                [0.0] * len(one.items),
            )
            for one in promised
        )  # fmt: skip
        if key:
            self._of_person[key] = (decision_id, *shown)

    def note(self, event: Tracked, cells: Sequence[int]) -> None:
        """Somebody did something that counts; `cells` are all cells of the person as they are linked now."""
        if event.flags & Flag.BOT:
            return
        for happened in happened_in(event, dwell_ms=self._rewards.dwell_ms):
            found = self._found(event, cells, happened.item)
            if found is not None:
                place = found.items.index(happened.item)
                found.outcomes[place] |= int(happened.outcome)
                found.revenues[place] += happened.revenue

    def drop(self, cells: Iterable[int]) -> None:
        """Forget what was shown to people who were erased."""
        for cell in cells:
            for decision_id in self._of_person.get(cell, ()):
                self._close(decision_id)

    def forget(self, tenant: str, placement: str, model: str) -> None:
        """Begin anew with a model."""
        self._watched.pop((tenant, placement, model), None)

    def settle(self, now_ms: int) -> list[About]:
        """Count the lists to which nothing comes any more; those models whose probabilities do not hold."""
        until_ms = now_ms - self._rewards.window_ms - self._rewards.delay_ms - SKEW_MS
        settled = []
        for decision_id, lists in self._open.items():
            if lists[0].at_ms > until_ms:
                break
            settled.append(decision_id)
        counted: dict[About, None] = {}
        for decision_id in settled:
            for one in self._close(decision_id):
                counted[one.about] = None
                watched = self._watch(one.about)
                for chance, outcomes, revenue in zip(one.chances, one.outcomes, one.revenues, strict=True):
                    watched.add(chance, rewarded=self._rewards.of(outcomes, revenue) > 0.0)
        return [about for about in counted if about in self._watched and not self._watched[about].holds]

    def _watch(self, about: About) -> Watched:
        watched = self._watched.pop(about, None) or Watched()
        while len(self._watched) >= CALIBRATIONS_WATCHED_MAX:
            self._watched.popitem(last=False)
        self._watched[about] = watched  # What is used goes last.
        return watched

    def _found(self, event: Tracked, cells: Sequence[int], item: int) -> _Open | None:
        """The one list that an outcome belongs to."""
        named = self._open.get(event.decision_id, ()) if event.decision_id else ()
        for one in named:
            if self._belongs(one, event, item, -SKEW_MS):
                return one
        shown = (name for cell in cells for name in self._of_person.get(cell, ()))
        found = [one for name in shown for one in self._open[name] if self._belongs(one, event, item, 0)]
        return max(found, key=lambda one: (one.at_ms, one.about), default=None)

    def _belongs(self, one: _Open, event: Tracked, item: int, since_least_ms: int) -> bool:
        since_ms = event.happened_ms - one.at_ms
        in_time = since_least_ms <= since_ms <= self._rewards.window_ms
        return in_time and one.about[0] == event.tenant and item in one.items

    def _close(self, decision_id: str) -> tuple[_Open, ...]:
        lists = self._open.pop(decision_id)
        key = lists[0].key
        left = tuple(other for other in self._of_person.get(key, ()) if other != decision_id)
        if left:
            self._of_person[key] = left
        else:
            self._of_person.pop(key, None)
        return lists
