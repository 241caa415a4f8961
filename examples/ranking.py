"""How good a ranking is, and the plain rankings that a better one has to beat. No engine in here."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence


def ndcg(ranked: Sequence[str], clicked: Collection[str], k: int = 10) -> float:
    """Normalised discounted gain of the first k places: a clicked item counts 1 / log2(place + 1).

    At least one item is clicked; `ranked` holds all items of the list, so the best possible order scores 1.

    >>> ndcg(["a", "b", "c"], {"a"}), round(ndcg(["a", "b", "c"], {"b"}), 4)
    (1.0, 0.6309)
    """
    gained = sum(1.0 / math.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in clicked)
    best = sum(1.0 / math.log2(place + 2) for place in range(min(k, len(clicked))))
    return gained / best


def ranked_by(scores: Sequence[float], shown: Sequence[str]) -> list[str]:
    """The items by falling score, ties by their shown position.

    >>> ranked_by([1.0, 2.0, 1.0], ["a", "b", "c"])
    ['b', 'a', 'c']
    """
    return [shown[place] for place in sorted(range(len(shown)), key=lambda place: (-scores[place], place))]


def reciprocal_rank(ranked: Sequence[str], wanted: str) -> float:
    """1 / place of the wanted item, 0 if it is not there.

    >>> reciprocal_rank(["a", "b"], "b"), reciprocal_rank(["a", "b"], "c")
    (0.5, 0.0)
    """
    return 1.0 / (ranked.index(wanted) + 1) if wanted in ranked else 0.0


def mean(values: Sequence[float]) -> float:
    """0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 of nothing.

    >>> quantile([5.0, 1.0, 3.0], 0.5)
    3.0
    """
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else 0.0


def interval(differences: Sequence[float], *, resamples: int = 10_000, seed: int = 1) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences, by a bootstrap over pairs. The same seed gives the same.

    >>> low, high = interval([0.1, 0.2, 0.3, 0.2])
    >>> 0.1 <= low < 0.2 < high <= 0.3
    True
    """
    chance = random.Random(seed)
    means = sorted(mean(chance.choices(differences, k=len(differences))) for _ in range(resamples))
    return means[int(0.025 * resamples)], means[int(0.975 * resamples)]


class ClickRate:
    """The share of showings that were clicked, smoothed: an item starts with `strength` showings at the mean rate.

    >>> rate = ClickRate(strength=1.0)
    >>> rate.show(["a", "b", "a", "b"]); rate.click("a")
    >>> rate.of("a"), rate.of("never shown")
    (0.4166666666666667, 0.25)
    """

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._shown: Counter[str] = Counter()
        self._clicked: Counter[str] = Counter()
        self._shown_in_all = 0
        self._clicked_in_all = 0

    def show(self, items: Sequence[str]) -> None:
        """These items were shown."""
        self._shown.update(items)
        self._shown_in_all += len(items)

    def click(self, item: str) -> None:
        """This item was clicked."""
        self._clicked[item] += 1
        self._clicked_in_all += 1

    def of(self, item: str) -> float:
        """The rate of an item."""
        mean_rate = self._clicked_in_all / self._shown_in_all if self._shown_in_all else 0.0
        return (self._clicked[item] + self._strength * mean_rate) / (self._shown[item] + self._strength)

    def rank(self, shown: Sequence[str]) -> list[str]:
        """A list in the order of the rates, ties by shown position."""
        return ranked_by([self.of(item) for item in shown], shown)


class MostSeen:
    """The items seen most so far, of all or of one group; ties go to the item that was seen first.

    >>> seen = MostSeen()
    >>> for item, group in (("a", "sofa"), ("b", "lamp"), ("b", "lamp"), ("c", "sofa")): seen.see(item, group)
    >>> seen.best(2), seen.best(2, group="sofa"), seen.best(2, group="sofa", without={"a"})
    (['b', 'a'], ['a', 'c'], ['c'])
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._by_group: dict[str, Counter[str]] = {}

    def see(self, item: str, group: str = "") -> None:
        """The item was seen; "" is no group."""
        self._seen[item] += 1
        if group:
            self._by_group.setdefault(group, Counter())[item] += 1

    def best(self, count: int, *, group: str = "", without: Collection[str] = ()) -> list[str]:
        """Up to `count` items."""
        seen = self._by_group.get(group, Counter()) if group else self._seen
        return first_of((item for item, _ in seen.most_common(count + len(without))), count, without=without)


def first_of(items: Iterable[str], count: int, *, without: Collection[str] = ()) -> list[str]:
    """The first `count` different items that are not in `without`.

    >>> first_of(["a", "b", "a", "c"], 2, without={"b"})
    ['a', 'c']
    """
    return [item for item in dict.fromkeys(items) if item not in without][:count]
