"""How a candidate stands to the item of the page, or else to the item that the person did something with last, and to
what was asked.

    beside.<text field>  1 where they have a value in common, 0 where they have none, NaN where one of them has no value
    beside.price_fit     1 at the price of that item, less the further away by ratio, NaN where one has no price
    beside.words         from 0 to 1, how alike they are in words: 1 for one that has all of that item's words, NaN for
                         itself
    query.match          from 0 to 1, how well it matches the query that candidates were found by, NaN if there is none
    similar.chance        logarithm of how many times as likely people go on to it from that item as to any other, by
                         what the two have in common; 0 where the placement is not about an item
    similar.liked         logarithm of 1 + the views of the candidate, the less the more people go on to items that have
                         nothing in common with theirs; 0 likewise

All but the last three are NaN where there is no such item. Neither words nor how people go on are known in this room:
whoever knows tells what stands in their columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..state.compiled import Ints, Reals, kernel
from ..state.memory import State
from ..state.program import Attributes, price_at
from .next_items import EVIDENT_HITS

PRICE_FIT = "beside.price_fit"
WORDS = "beside.words"
MATCH = "query.match"
CHANCE = "similar.chance"
LIKED = "similar.liked"


class Told(NamedTuple):
    """By candidate what is known of words, and of how people go on, None where nothing is; which share of their steps
    what items have in common explains, and how many visits of an item it takes until half of what is said of its next
    ones is what others turned to."""

    words: Reals | None = None
    match: Reals | None = None
    chance: Reals | None = None
    explained: float = 0.0
    half_hits: float = EVIDENT_HITS


NOTHING_TOLD = Told()


def names(fields: Sequence[str]) -> tuple[str, ...]:
    """Of the columns but the last two, which are newer, by the text fields of items."""
    return (*(f"beside.{field}" for field in fields), PRICE_FIT, WORDS, MATCH)


def stand_beside(
    state: State, row: int, now_ms: int, attributes: Ints, prices: Reals, first: int,
    matrix: npt.NDArray[np.float32], told: Told = NOTHING_TOLD, views: int | None = None,
) -> None:  # fmt: skip
    """Fill the columns from `first` on; `row` is that of the item, -1 where there is none. The last two there are where
    `views` is the column of the views of items, -1 for none."""
    words = first + attributes.shape[1] + 1
    matrix[:, words] = np.nan if told.words is None else told.words
    matrix[:, words + 1] = np.nan if told.match is None else told.match
    if views is not None:
        matrix[:, words + 2] = 0.0 if told.chance is None else told.chance
        matrix[:, words + 3] = 0.0
        if told.explained > 0.0 and views >= 0:
            seen = np.nan_to_num(matrix[:, views], copy=True, nan=0.0)
            matrix[:, words + 3] = told.explained * np.log1p(np.maximum(seen, 0.0))
    if row < 0:
        matrix[:, first : first + attributes.shape[1] + 1] = np.nan
        return
    _stand_beside(state.tables.attributes, row, now_ms, attributes, prices, first, matrix)


@kernel
def _stand_beside(
    items: Attributes, row: int, now_ms: int, attributes: Ints, prices: Reals, first: int,
    matrix: npt.NDArray[np.float32],
) -> None:  # fmt: skip
    values, price = items.refs[row], price_at(items, row, now_ms)
    fields = attributes.shape[1]
    for c in range(len(attributes)):
        for field in range(fields):
            matrix[c, first + field] = _common(values[field], attributes[c, field])
        fit = np.nan
        if price > 0.0 and prices[c] > 0.0:
            fit = math.exp(-abs(math.log(prices[c] / price)))
        matrix[c, first + fields] = fit


@kernel
def _common(left: Ints, right: Ints) -> float:
    """Values stand before the places that have none."""
    if left[0] == 0 or right[0] == 0:
        return float(np.nan)
    found = 0.0
    for one in left:
        for other in right:
            if one != 0 and one == other:
                found = 1.0
    return found
