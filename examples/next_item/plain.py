"""Plain ways to say which item comes next, in readable Python: what an engine has to be at least as good as.

Items, visits and people are numbers. Each method learns views in the order of time, is told where the train part ends
(`end_training`), and ranks for somebody with a past (`Asked`). What was learned behind the end of the train part is
kept apart, so that one method answers both as of the train part and live. `rank` gives up to `count` items, the best
first, without repetition; it may give what was seen before, and fewer than were asked for.
"""

from __future__ import annotations

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from instanter.ops.trying.figures import largest

HOUR_MS = 3_600_000
RULE_STEPS_MAX = 10
"""So many views back a sequential rule looks."""
QUERY_ITEMS_MAX = 50
"""So many different items of a visit are looked up by `VisitNeighbours`, the newest."""

Ranked = list[int]


class Asked(NamedTuple):
    """Somebody whose next item is to be said."""

    now_ms: int
    visit: int
    """-1: one that is not in the log."""
    visited: Sequence[int]
    """What they viewed in this visit, the newest last."""
    viewed: Sequence[int]
    """What they viewed at all, the newest last."""


class Plain(Protocol):
    """What a plain method has."""

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        """Somebody viewed an item."""
        ...

    def end_training(self) -> None:
        """The train part ends here."""
        ...

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        """With `live` by everything learned so far, else by the train part alone."""
        ...


def best_of(weights: Mapping[int, float], count: int) -> Ranked:
    """The items of the largest weights; ties go to the smaller number, which came earlier.

    >>> best_of({4: 1.0, 7: 2.0, 2: 1.0}, 2)
    [7, 2]
    """
    found = heapq.nsmallest(count, ((-weight, item) for item, weight in weights.items()))
    return [item for _, item in found]


def first_of(items: Iterable[int], count: int) -> Ranked:
    """The first `count` different items.

    >>> first_of([3, 1, 3, 2], 2)
    [3, 1]
    """
    return list(dict.fromkeys(items))[:count]


class Random:
    """Items of the log so far, drawn by a seed.

    >>> method = Random(seed=1)
    >>> for item in (5, 6, 5, 7): method.learn(0, 0, item)
    >>> sorted(method.rank(Asked(0, 0, [], []), 3, live=True))
    [5, 6, 7]
    """

    def __init__(self, seed: int = 1) -> None:
        self._chance = np.random.default_rng(seed)
        self._known: dict[int, None] = {}
        self._train = 0

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        self._known.setdefault(item)

    def end_training(self) -> None:
        self._train = len(self._known)

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        known = list(self._known)[: len(self._known) if live else self._train]
        places = self._chance.choice(len(known), min(count, len(known)), replace=False)
        return [known[place] for place in places.tolist()]


class Popular:
    """The items viewed most, of all time or of the last `window_ms`; ties go to the smaller number.

    >>> method = Popular(items=3, window_ms=10)
    >>> for at_ms, item in ((0, 2), (1, 2), (8, 0), (9, 1)): method.learn(at_ms, 0, item)
    >>> method.rank(Asked(9, 0, [], []), 2, live=True), method.rank(Asked(12, 0, [], []), 3, live=True)
    ([2, 0], [0, 1])
    """

    def __init__(self, items: int, window_ms: int = 0) -> None:
        """`items` is how many numbers there may be; 0 is no window."""
        self._window_ms = window_ms
        self._counts = np.zeros(items, np.int64)
        self._train = self._counts
        self._at_ms, self._items, self._oldest = array("q"), array("i"), 0

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        self._counts[item] += 1
        if self._window_ms:
            self._at_ms.append(at_ms)
            self._items.append(item)

    def end_training(self) -> None:
        self._train = self._counts.copy()

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        """With a window always live: what was viewed lately is no matter of a train part."""
        if not live and not self._window_ms:
            return largest(self._train, count)
        while self._oldest < len(self._at_ms) and self._at_ms[self._oldest] < asked.now_ms - self._window_ms:
            self._counts[self._items[self._oldest]] -= 1
            self._oldest += 1
        return largest(self._counts, count)


class _Weights:
    """Weights from item to item, of the train part and of what came behind it."""

    def __init__(self) -> None:
        self._train: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._new: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._written = self._train

    def add(self, item: int, other: int, weight: float) -> None:
        others = self._written[item]
        others[other] = others.get(other, 0.0) + weight

    def end_training(self) -> None:
        self._written = self._new

    def of(self, item: int, *, live: bool) -> Mapping[int, float]:
        train = self._train.get(item, {})
        new = self._new.get(item) if live else None
        if not new:
            return train
        both = dict(train)
        for other, weight in new.items():
            both[other] = both.get(other, 0.0) + weight
        return both


class CoOccurrence:
    """What was viewed in the same visits as the item viewed last, by the number of visits.

    >>> method = CoOccurrence()
    >>> for visit, item in ((1, 5), (1, 6), (2, 5), (2, 6), (2, 7), (2, 6)): method.learn(0, visit, item)
    >>> method.rank(Asked(0, 3, [7, 5], [7, 5]), 2, live=True)
    [6, 7]
    """

    def __init__(self) -> None:
        self._weights = _Weights()
        self._visits: dict[int, list[int]] = defaultdict(list)

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        before = self._visits[visit]
        if item in before:
            return
        for other in before:
            self._weights.add(item, other, 1.0)
            self._weights.add(other, item, 1.0)
        before.append(item)

    def end_training(self) -> None:
        self._weights.end_training()

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        return best_of(self._weights.of(asked.viewed[-1], live=live), count) if asked.viewed else []


class SequentialRules:
    """What was viewed behind the item viewed last, by 1 / distance; a repetition follows itself.

    >>> method = SequentialRules()
    >>> for item in (5, 6, 7): method.learn(0, 1, item)
    >>> method.rank(Asked(0, 2, [5], [5]), 3, live=True), method.rank(Asked(0, 2, [7], [7]), 3, live=True)
    ([6, 7], [])
    """

    def __init__(self, steps: int = RULE_STEPS_MAX) -> None:
        self._steps = steps
        self._weights = _Weights()
        self._visits: dict[int, list[int]] = defaultdict(list)

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        before = self._visits[visit]
        for distance, other in enumerate(reversed(before), start=1):
            self._weights.add(other, item, 1.0 / distance)
        before.append(item)
        if len(before) > self._steps:
            del before[0]

    def end_training(self) -> None:
        self._weights.end_training()

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        return best_of(self._weights.of(asked.viewed[-1], live=live), count) if asked.viewed else []


class VisitNeighbours:
    """V-SkNN: what was viewed in the visits most like this one (Ludewig and Jannach, 2018; session-rec).

    Of the visits that share an item, the `sample` newest are looked at. A visit is alike by the shared items, each by
    the square of its place in this visit (the newest counts 1), divided by their number. The `neighbours` most alike
    give their items, each by the likeness, times 1 / the square of how far back the newest shared item is.

    >>> method = VisitNeighbours(visits=9, neighbours=2, sample=10)
    >>> for visit, item in ((1, 5), (1, 6), (2, 5), (2, 7), (3, 8), (3, 9)): method.learn(0, visit, item)
    >>> method.end_training()
    >>> method.rank(Asked(0, 4, [6, 5], [6, 5]), 3, live=False)
    [5, 6, 7]
    """

    def __init__(self, visits: int, *, neighbours: int, sample: int) -> None:
        """`visits` is how many numbers of visits there may be."""
        self.neighbours = neighbours
        self.sample = sample
        self._items_of: list[list[int]] = []
        self._owner: list[int] = []
        self._train: defaultdict[int, list[int]] = defaultdict(list)
        self._new: defaultdict[int, list[int]] = defaultdict(list)
        self._written = self._train
        self._open: dict[int, int] = {}
        self._acts = 0
        # A visit that the end of the train part cuts in two is two.
        self._newest = np.zeros(2 * visits, np.float64)
        self._likeness = np.zeros(2 * visits, np.float64)
        self._back = np.zeros(2 * visits, np.int64)
        self._touched = np.zeros(0, np.int64)

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        number = self._open.get(visit)
        if number is None:
            number = self._open[visit] = len(self._items_of)
            self._items_of.append([])
            self._owner.append(visit)
        items = self._items_of[number]
        if item not in items:
            items.append(item)
            self._written[item].append(number)
        self._acts += 1
        self._newest[number] = self._acts

    def end_training(self) -> None:
        self._written = self._new
        self._open = {}

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        query = first_of(reversed(asked.visited), QUERY_ITEMS_MAX)[::-1]
        alike = self._most_alike(query, asked.visit, live=live)
        worth = self._likeness[alike] / np.square(self._back[alike], dtype=np.float64)
        self._likeness[self._touched] = 0.0
        lists = [self._items_of[number] for number in alike.tolist()]
        sizes = [len(items) for items in lists]
        items = np.fromiter(chain.from_iterable(lists), np.int64, sum(sizes))
        known, where = np.unique(items, return_inverse=True)
        scores = np.bincount(where, np.repeat(worth, sizes))
        best = np.lexsort((known, -scores))[:count]
        ranked: Ranked = known[best].tolist()
        return ranked

    def _most_alike(self, query: Sequence[int], visit: int, *, live: bool) -> npt.NDArray[np.int64]:
        """Numbers of the neighbours; `_likeness` and `_back` say what they are worth, until `_touched` is cleared."""
        likeness, touched = self._likeness, []
        for place, item in enumerate(query, start=1):
            near = np.array(self._visits_of(item, live=live), np.int64)
            touched.append(near[likeness[near] == 0.0])
            likeness[near] += (place / len(query)) ** 2 / len(query)
            self._back[near] = len(query) - place + 1
        found = np.concatenate(touched) if touched else np.zeros(0, np.int64)
        self._touched = found
        if visit >= 0 and len(found):
            # What this person did in this visit themselves is no neighbour of it.
            found = found[np.fromiter((self._owner[number] != visit for number in found.tolist()), bool, len(found))]
        found = _top(found, self._newest[found], self.sample)
        return _top(found, likeness[found] + 1e-9 * self._newest[found] / max(self._acts, 1), self.neighbours)

    def _visits_of(self, item: int, *, live: bool) -> list[int]:
        train = self._train.get(item, [])
        new = self._new.get(item, []) if live else []
        return [*train[-self.sample :], *new][-self.sample :]


def _top(numbers: npt.NDArray[np.int64], keys: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Those of the largest keys, in any order."""
    return numbers if len(numbers) <= count else numbers[np.argpartition(-keys, count)[:count]]


class OwnLast:
    """What this person viewed last, the newest first.

    >>> OwnLast().rank(Asked(0, 1, [4, 5, 4], [3, 4, 5, 4]), 2, live=True)
    [4, 5]
    """

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        return None

    def end_training(self) -> None:
        return None

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        return first_of(reversed(asked.viewed), count)


class Filled:
    """One method, and behind its items those of the next ones; of the first only so many.

    >>> own, popular = OwnLast(), Popular(items=9)
    >>> for item in (7, 7, 8): popular.learn(0, 0, item)
    >>> Filled([(own, 1), (popular, 0)]).rank(Asked(0, 1, [4, 5], [4, 5]), 3, live=True)
    [5, 7, 8]
    """

    def __init__(self, parts: Sequence[tuple[Plain, int]]) -> None:
        """(method, how many of its items, 0: all). They learn by themselves."""
        self._parts = parts

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        return None

    def end_training(self) -> None:
        return None

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        found: Ranked = []
        for method, most in self._parts:
            found = first_of([*found, *method.rank(asked, most or count, live=live)], count)
            if len(found) == count:
                break
        return found


class SameCategory:
    """The items viewed most of the category of the item viewed last.

    >>> method = SameCategory({0: "a", 1: "b", 2: "a"})
    >>> for item in (0, 1, 2, 2): method.learn(0, 0, item)
    >>> method.rank(Asked(0, 1, [0], [0]), 5, live=True)
    [2, 0]
    """

    def __init__(self, category_of: Mapping[int, str]) -> None:
        self._category_of = category_of
        self._counts: dict[str, dict[int, float]] = defaultdict(dict)

    def learn(self, at_ms: int, visit: int, item: int) -> None:
        counts = self._counts[self._category_of.get(item, "")]
        counts[item] = counts.get(item, 0.0) + 1.0

    def end_training(self) -> None:
        return None

    def rank(self, asked: Asked, count: int, *, live: bool) -> Ranked:
        """Always live."""
        category = self._category_of.get(asked.viewed[-1], "") if asked.viewed else ""
        return best_of(self._counts[category], count) if category else []
