"""How a candidate stands to the item of the page, or else to the item that the person did something with last, and to
what was asked.

    beside.<text field>  1 where they have a value in common, 0 where they have none, NaN where one of them has no value
    beside.price_fit     1 at the price of that item, less the further away by ratio, NaN where one has no price
    beside.words         from 0 to 1, how alike they are in words: 1 for one that has all of that item's words, NaN for
                         itself
    query.match          from 0 to 1, how well it matches the query that candidates were found by, NaN if there is none

All but the last are NaN where there is no such item. Words are not known in this room: whoever knows them tells what
stands in their columns.
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

PRICE_FIT = "beside.price_fit"
WORDS = "beside.words"
MATCH = "query.match"


class Told(NamedTuple):
    """By candidate what is known of words; None where nothing is."""

    words: Reals | None = None
    match: Reals | None = None


NOTHING_TOLD = Told()


def names(fields: Sequence[str]) -> tuple[str, ...]:
    """Of the columns, by the text fields of items."""
    return (*(f"beside.{field}" for field in fields), PRICE_FIT, WORDS, MATCH)


def stand_beside(
    state: State, row: int, now_ms: int, attributes: Ints, prices: Reals, first: int,
    matrix: npt.NDArray[np.float32], told: Told = NOTHING_TOLD,
) -> None:  # fmt: skip
    """Fill the columns from `first` on; `row` is that of the item, -1 where there is none."""
    for column, values in enumerate(told, first + attributes.shape[1] + 1):
        matrix[:, column] = np.nan if values is None else values
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
