"""The draws that the simulated shop and its people are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from ..foundation.rng import KeyedRng

T = TypeVar("T")


class Chance(KeyedRng):
    """Keyed draws in the shapes a simulation needs. Same key and seed, same draws, on every run and in every process.

    >>> Chance("dice", seed=1).pick("abc") == Chance("dice", seed=1).pick("abc")
    True
    """

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.uniform()

    def normal(self, mean: float = 0.0, deviation: float = 1.0) -> float:
        """A normal draw (Box-Muller, two uniforms)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return mean + deviation * radius * math.cos(2.0 * math.pi * self.uniform())

    def exponential(self, mean: float) -> float:
        """A waiting time with this mean."""
        return -mean * math.log(1.0 - self.uniform())

    def lognormal(self, median: float, spread: float) -> float:
        """A positive draw whose logarithm has this deviation."""
        return median * math.exp(self.normal(0.0, spread))

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each equally likely."""
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, in proportion to its weight >= 0."""
        left = self.uniform() * math.fsum(weights)
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0.0:
                return option
        return options[-1]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different options (all of them if there are fewer), in random order."""
        pool = list(options)
        return [pool.pop(self.below(len(pool))) for _ in range(min(count, len(pool)))]
