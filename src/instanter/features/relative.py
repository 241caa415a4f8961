"""How a candidate stands among the others of its list, and to what the person touched last.

    list.size             how many candidates there are
    list.price_rank       share (0 to 1) of the others that cost less, NaN without a price
    list.price_ratio      log of the price over the mean one of the list, NaN without a price
    list.click_rank       share of the others that are clicked less often when they are shown, NaN where none is clicked
    list.touched          how many of the candidates are among what the person touched last
    list.from_newest      places below the newest of these in the caller's list, less than 0 above it, NaN if unknown
    list.price_to_newest  log of the price over that one's, NaN if unknown

A list is the eligible candidates, whether a caller gave them or sources found them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from ..state.compiled import Ints, Reals, kernel

Matrix = npt.NDArray[np.float32]

SIZE, PRICE_RANK, PRICE_RATIO, CLICK_RANK, TOUCHED, FROM_NEWEST, PRICE_TO_NEWEST = range(7)
NAMES: Final = (
    "list.size", "list.price_rank", "list.price_ratio", "list.click_rank", "list.touched", "list.from_newest",
    "list.price_to_newest",
)  # fmt: skip
UNBOUNDED: Final = frozenset({"list.size", "list.touched", "list.from_newest"})
NO_RATE: Final = -1


def stand(
    refs: Ints, ranks: Ints, prices: Reals, recent: Ints, rate: int, first: int, matrix: Matrix
) -> None:
    """Fill the columns from `first` on; `rate` is the column of the click rate, or `NO_RATE`."""
    by_price, by_rate = np.empty(len(refs)), np.empty(len(refs))
    _gather(prices, rate, matrix, by_price, by_rate)
    by_price.sort()
    by_rate.sort()
    _stand(refs, ranks, prices, recent, by_price, rate, by_rate, first, matrix)


@kernel
def _gather(prices: Reals, rate: int, matrix: Matrix, by_price: Reals, by_rate: Reals) -> None:
    """What is to be sorted. What has no price goes to the end, where nothing that has one looks."""
    for c in range(len(prices)):
        by_price[c] = prices[c] if prices[c] > 0.0 else np.inf
        by_rate[c] = matrix[c, rate] if rate >= 0 else 0.0


@kernel
def _stand(
    refs: Ints, ranks: Ints, prices: Reals, recent: Ints, by_price: Reals, rate: int, by_rate: Reals, first: int,
    matrix: Matrix,
) -> None:  # fmt: skip
    size = len(refs)
    newest, touched = _newest(refs, recent)
    mean, priced = 0.0, 0
    for c in range(size):
        if prices[c] > 0.0:
            mean += prices[c]
            priced += 1
    mean = mean / priced if priced > 0 else 0.0
    for c in range(size):
        matrix[c, first + SIZE] = size
        matrix[c, first + PRICE_RANK] = _share_below(by_price, prices[c], priced) if prices[c] > 0.0 else np.nan
        matrix[c, first + PRICE_RATIO] = _log_ratio(prices[c], mean)
        own = float(matrix[c, rate]) if rate >= 0 else 0.0
        matrix[c, first + CLICK_RANK] = _share_below(by_rate, own, size) if own == own else np.nan
        matrix[c, first + TOUCHED] = touched
        known = newest >= 0 and ranks[newest] >= 0 and ranks[c] >= 0
        matrix[c, first + FROM_NEWEST] = ranks[c] - ranks[newest] if known else np.nan
        matrix[c, first + PRICE_TO_NEWEST] = _log_ratio(prices[c], prices[newest]) if newest >= 0 else np.nan


@kernel
def _newest(refs: Ints, recent: Ints) -> tuple[int, int]:
    """Place of the candidate that is the newest of the recent ones, -1 if none is; and how many of them there are."""
    newest, touched = -1, 0
    for i in range(len(recent)):
        for c in range(len(refs)):
            if refs[c] == recent[i]:
                touched += 1
                if newest < 0:
                    newest = c
                break
    return newest, touched


@kernel
def _share_below(ordered: Reals, value: float, count: int) -> float:
    """Of the others among the first `count` of `ordered`, those that are less than `value`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return float(low) / (count - 1) if count > 1 else 0.0


@kernel
def _log_ratio(price: float, other: float) -> float:
    return math.log(price / other) if price > 0.0 and other > 0.0 else np.nan
