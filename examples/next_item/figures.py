"""What is measured of lists: by step, so that every comparison is paired, and of all lists together."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from instanter.ops.trying.figures import RESAMPLES, Bootstrap

__all__ = ["FIGURES", "RESAMPLES", "Bootstrap", "Catalogue", "measured", "spread"]

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIGURES = ("hit", "mrr", "ndcg", "map", "popularity", "novelty", "diversity")
"""By step: is the next item in the list, 1 / its place, its discounted gain, the average precision over all items that
the visit still has, how much more popular what is shown is than the catalogue (difference of mean logs), its mean
-log2 share of views, and the share of different categories."""


class Catalogue(NamedTuple):
    """What the figures have to know of items, by number."""

    log_views: Reals
    """log(1 + views in the train part)."""
    surprise: Reals
    """-log2 of the share of views in the train part, each item given one more."""
    categories: Sequence[str]
    """"" for none."""
    mean_log_views: float
    mean_surprise: float

    @classmethod
    def of(cls, views: Ints, categories: Sequence[str]) -> Catalogue:
        """By the views of each item."""
        shares = (views + 1.0) / float(views.sum() + len(views))
        log_views, surprise = np.log1p(views), -np.log2(shares)
        return cls(log_views, surprise, categories, float(log_views.mean()), float(surprise.mean()))

    @property
    def has_categories(self) -> bool:
        return any(self.categories)


def measured(shown: Sequence[int], wanted: int, left: Collection[int], k: int, catalogue: Catalogue) -> list[float]:
    """The figures of one list, as `FIGURES`; `left` are the different items that the visit still has, `wanted` too.

    >>> catalogue = Catalogue.of(np.array([3, 1, 0]), ["a", "a", "b"])
    >>> [round(value, 3) for value in measured([2, 0], 0, {0, 1}, 2, catalogue)]
    [1.0, 0.5, 0.631, 0.25, 0.0, 1.807, 1.0]
    """
    shown = shown[:k]
    place = shown.index(wanted) + 1 if wanted in shown else 0
    hits, precision = 0, 0.0
    for position, item in enumerate(shown, start=1):
        if item in left:
            hits += 1
            precision += hits / position
    # An empty list shows nothing popular and nothing new: it stands at the mean of the catalogue.
    numbers = np.array(shown, np.int64)
    popularity = float(catalogue.log_views[numbers].mean()) - catalogue.mean_log_views if shown else 0.0
    novelty = float(catalogue.surprise[numbers].mean()) if shown else catalogue.mean_surprise
    kinds = {catalogue.categories[item] for item in shown}
    return [
        1.0 if place else 0.0, 1.0 / place if place else 0.0, 1.0 / math.log2(place + 1) if place else 0.0,
        precision / min(max(len(left), 1), k), popularity, novelty, len(kinds) / len(shown) if shown else 0.0,
    ]  # fmt: skip


def spread(lists: Sequence[npt.NDArray[np.int32]], items: int) -> dict[str, float]:
    """Of all lists together: the share of the catalogue that is shown at all, and of places with an item of their own.

    >>> spread([np.array([1, 2], np.int32), np.array([1, 3], np.int32)], items=6)
    {'coverage': 0.5, 'distinct': 0.75}
    """
    shown = np.concatenate(lists) if lists else np.zeros(0, np.int32)
    different = len(np.unique(shown))
    return {"coverage": different / items, "distinct": different / max(len(shown), 1)}
