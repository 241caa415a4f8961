"""What a history of its own says of the engine: the next act of somebody, asked before it is told.

The history goes in up to a cut. Behind it every act comes in as it happened, and before those that were drawn the
engine is asked what it would show then, as are plain orders of what is popular. Both have seen the same acts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ...foundation.rng import KeyedRng
from ..in_process import InProcess, Spot
from .history import History, Ints

Reals = npt.NDArray[np.float64]

K: Final = 20
RESAMPLES: Final = 1_000
STEPS_MAX: Final = 1_000
STEPS_LEAST: Final = 30
"""Fewer say nothing."""
TEST_SHARE: Final = 0.2
PLACEMENT: Final = "home.recommended"
_SEED: Final = 7
_DAY_MS: Final = 86_400_000
_PIECE: Final = 20_000
_ONCE_SHARE: Final = 0.01
"""Where people come back to what they had so rarely, nobody is shown it again."""


class Side(msgspec.Struct, frozen=True):
    """The figures of one order of items."""

    hit_rate: float
    """Of the steps, how often the next item is among the first 20."""
    mrr: float
    """The mean of 1 / its place there, 0 where it is not."""


class Difference(msgspec.Struct, frozen=True):
    """The engine less the better of the plain orders, with its 95 % interval."""

    mean: float
    low: float
    high: float


class Figures(msgspec.Struct, frozen=True):
    """What came of asking."""

    steps: int
    people: int
    cut_ms: int
    tested: int
    """Acts behind the cut."""
    engine: Side
    popular: Side
    """By all acts so far."""
    popular_day: Side
    """By those of the last 24 hours."""
    against: str
    """Which of the two the engine is compared with: the one of the higher MRR."""
    hit_rate: Difference
    mrr: Difference
    took_ms_p50: float
    rungs: dict[str, int]
    """Who answered, and how often."""


class Bootstrap:
    """Paired resampling of steps, people at a time: the steps of one person hang together.

    >>> people = np.array([0, 0, 1, 2])
    >>> low, high = Bootstrap(people, resamples=200).interval(np.array([[0.1], [0.1], [0.3], [0.2]]))
    >>> bool(0.1 <= low[0] < 0.175 < high[0] <= 0.3)
    True
    """

    def __init__(self, people: Ints, *, resamples: int = RESAMPLES, seed: int = 1) -> None:
        _, self._group = np.unique(people, return_inverse=True)
        self._groups = int(self._group.max()) + 1 if len(people) else 0
        self._resamples = resamples
        self._seed = seed

    def interval(self, values: Reals) -> tuple[Reals, Reals]:
        """The 95 % interval of the mean of each column of `values` [steps, columns]; zeros of nothing."""
        if not len(values):
            return np.zeros(values.shape[1]), np.zeros(values.shape[1])
        sums = np.stack([
            np.bincount(self._group, column, self._groups) for column in (*values.T, np.ones(len(values)))
        ], axis=1)  # fmt: skip
        means = np.empty((self._resamples, values.shape[1]))
        for number in range(self._resamples):
            chosen = drawn(self._groups, self._groups, seed=self._seed + number)
            drawn_groups = np.bincount(chosen, minlength=self._groups)
            totals = drawn_groups @ sums
            means[number] = totals[:-1] / totals[-1]
        low, high = np.quantile(means, (0.025, 0.975), axis=0)
        return low, high


def drawn(bound: int, count: int, *, seed: int) -> Ints:
    """Numbers from 0 below a bound of at most 2**32, each as likely as any other; the same seed gives the same.

    >>> found = drawn(10, 10_000, seed=3)
    >>> int(found.min()), int(found.max()), bool(900 < np.bincount(found).min())
    (0, 9, True)
    """
    first = KeyedRng("drawn", seed=seed).below(2**63)
    mixed = (np.arange(count, dtype=np.uint64) + np.uint64(first)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64.
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    found: Ints = ((mixed >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)
    return found


def largest(counts: Ints, count: int) -> list[int]:
    """The numbers of the largest counts, the largest first; ties go to the smaller number, and 0 is none.

    >>> largest(np.array([0, 2, 5, 2]), 9)
    [2, 1, 3]
    """
    keys = counts * len(counts) - np.arange(len(counts))
    count = min(count, int(np.count_nonzero(counts)))
    if count == 0:
        return []
    found = np.argpartition(-keys, count - 1)[:count]
    ranked: list[int] = found[np.argsort(-keys[found])].tolist()
    return ranked


class Plan(NamedTuple):
    """Which acts are asked about."""

    cut: int
    """The first act of the test."""
    places: Ints
    """Ascending."""
    only_new: bool
    """Whether what a person had is not shown again."""


def planned(history: History, known: npt.NDArray[np.bool_], *, steps_max: int = STEPS_MAX) -> Plan:
    """The last fifth is the test. Asked are acts of people who did something before, about another item than their
    last one, of items that can be shown (`known`, by number); of an order the first line alone."""
    acts = len(history)
    cut = int(np.searchsorted(history.at_ms, history.at_ms[min(int((1 - TEST_SHARE) * acts), acts - 1)]))
    order = np.lexsort((np.arange(acts), history.people))
    same = history.people[order][1:] == history.people[order][:-1]
    before = np.full(acts, -1, np.int64)
    before[order[1:][same]] = order[:-1][same]
    admitted = (before >= 0) & (np.arange(acts) >= cut) & history.likes & known[history.items]
    same_order = history.orders & (history.groups == history.groups[before])
    admitted &= (history.items != history.items[before]) & ~same_order
    places = np.flatnonzero(admitted)
    if len(places) > steps_max:
        places = np.sort(places[np.argsort(drawn(2**32, len(places), seed=_SEED), kind="stable")[:steps_max]])
    return Plan(cut, places, history.share_of_own_repeats() < _ONCE_SHARE)


class Fed(NamedTuple):
    """What became of the acts."""

    figures: Figures | None
    """None where there were too few steps to ask about."""
    sent: int
    """Events."""
    rejected: int
    first_rejection: str


class Trial:
    """A history on its way into an engine, which is asked in between. Times are moved by `later_ms`."""

    def __init__(self, engine: InProcess, history: History, known: npt.NDArray[np.bool_], *, later_ms: int) -> None:
        self._engine, self._history, self._known, self._later_ms = engine, history, known, later_ms
        self._sent = 0
        self._rejected = 0
        self._first_rejection = ""

    def run(self, plan: Plan, told: Callable[[int], None]) -> Fed:
        """All of it; `told` hears how many acts are in."""
        history = self._history
        enough = len(plan.places) >= STEPS_LEAST
        first = plan.cut if enough else len(history)
        for begin in range(0, first, _PIECE):
            self._feed(begin, min(begin + _PIECE, first), past=True)
            told(min(begin + _PIECE, first))
        figures = self._asked(plan, told) if enough else None
        return Fed(figures, self._sent, self._rejected, self._first_rejection)

    def _feed(self, first: int, last: int, *, past: bool) -> None:
        events = list(self._history.events(first, last, later_ms=self._later_ms))
        rejected = (self._engine.import_events if past else self._engine.take_events)(events)
        self._sent += len(events)
        self._rejected += len(rejected)
        if rejected and not self._first_rejection:
            self._first_rejection = f"{rejected[0].code}: {rejected[0].message}"

    def _asked(self, plan: Plan, told: Callable[[int], None]) -> Figures:
        history, items = self._history, len(self._history.item_names)
        counted = history.likes & self._known[history.items]
        so_far = np.bincount(history.items[: plan.cut][counted[: plan.cut]], minlength=items)
        day, day_from = np.zeros(items, np.int64), plan.cut
        fed, oldest = plan.cut, plan.cut
        ranks: dict[str, list[int]] = {"engine": [], "popular": [], "popular_day": []}
        numbers = {name: number for number, name in enumerate(history.item_names)}
        took_ms: list[float] = []
        rungs: dict[str, int] = {}
        # The day before the cut counts too.
        oldest = int(np.searchsorted(history.at_ms, history.at_ms[plan.cut] - _DAY_MS))
        day = np.bincount(history.items[oldest:day_from][counted[oldest:day_from]], minlength=items)
        for place in plan.places.tolist():
            self._feed(fed, place, past=place - fed > _PIECE)
            new = history.items[fed:place][counted[fed:place]]
            so_far += np.bincount(new, minlength=items)
            day += np.bincount(new, minlength=items)
            still = int(np.searchsorted(history.at_ms, history.at_ms[place] - _DAY_MS))
            day -= np.bincount(history.items[oldest:still][counted[oldest:still]], minlength=items)
            fed, oldest = place, max(still, oldest)
            person, wanted = int(history.people[place]), int(history.items[place])
            at_ms = int(history.at_ms[place]) + self._later_ms
            answered = self._engine.ask(history.person_names[person], at_ms, [Spot(PLACEMENT, K)],
                                        named=history.named_users)  # fmt: skip
            had = set(history.items[:place][history.people[:place] == person].tolist()) if plan.only_new else set[int]()
            for name, shown in (
                ("engine", [numbers.get(one, -1) for one in answered.lists[PLACEMENT]]),
                ("popular", largest(so_far, K + len(had))), ("popular_day", largest(day, K + len(had))),
            ):  # fmt: skip
                ranks[name].append(_rank([one for one in shown if one not in had], wanted))
            took_ms.append(answered.took_ms)
            rung = answered.rungs[PLACEMENT]
            rungs[rung] = rungs.get(rung, 0) + 1
            if len(took_ms) % 50 == 0:
                told(fed)
        self._feed(fed, len(history), past=True)
        told(len(history))
        return self._figures(plan, ranks, took_ms, rungs)

    def _figures(
        self, plan: Plan, ranks: dict[str, list[int]], took_ms: Sequence[float], rungs: dict[str, int]
    ) -> Figures:
        people = self._history.people[plan.places]
        values = {name: _values(found) for name, found in ranks.items()}
        sides = {name: Side(*found.mean(axis=0).tolist()) for name, found in values.items()}
        against = max(("popular", "popular_day"), key=lambda name: sides[name].mrr)
        apart = values["engine"] - values[against]
        low, high = Bootstrap(people).interval(apart)
        hits, mrr = (Difference(*map(float, one)) for one in zip(apart.mean(axis=0), low, high, strict=True))
        return Figures(
            steps=len(people), people=len(np.unique(people)), cut_ms=int(self._history.at_ms[plan.cut]),
            tested=len(self._history) - plan.cut, engine=sides["engine"], popular=sides["popular"],
            popular_day=sides["popular_day"], against=against, hit_rate=hits, mrr=mrr,
            took_ms_p50=float(np.median(took_ms)), rungs=rungs,
        )  # fmt: skip


def _rank(shown: Sequence[int], wanted: int) -> int:
    """Its place from 1 on among the first 20, 0 where it is not there."""
    shown = shown[:K]
    return shown.index(wanted) + 1 if wanted in shown else 0


def _values(ranks: Sequence[int]) -> Reals:
    """By step: hit and reciprocal rank.

    >>> _values([0, 1, 4]).tolist()
    [[0.0, 0.0], [1.0, 1.0], [1.0, 0.25]]
    """
    places = np.array(ranks, np.float64)
    reciprocal = np.divide(1.0, places, out=np.zeros_like(places), where=places > 0)
    return np.stack([(places > 0).astype(float), reciprocal], 1)
