"""How a candidate stands to the item that the page is about, and to what was asked.

    page.<text field>  1 where they have a value in common, 0 where they have none, NaN where one of them has no value
    page.price_fit     1 at the price of the page's item, less the further away by ratio, NaN where one has no price
    page.words         from 0 to 1, how alike they are in words: 1 for one that has all of the page's item's words,
                       NaN for itself
    query.match        from 0 to 1, how well it matches the query that candidates were found by, NaN where there is none

Those of the page are NaN where a decision is about no item; only `page.words` then compares with the item that the
person looked at last. Words are not known in this room: whoever knows them tells what stands in their columns.
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

PRICE_FIT = "page.price_fit"
WORDS = "page.words"
MATCH = "query.match"


class Told(NamedTuple):
    """By candidate what is known of words; None where nothing is."""

    words: Reals | None = None
    match: Reals | None = None


NOTHING_TOLD = Told()


def names(fields: Sequence[str]) -> tuple[str, ...]:
    """Of the columns, by the text fields of items."""
    return (*(f"page.{field}" for field in fields), PRICE_FIT, WORDS, MATCH)


def stand_beside(
    state: State, page_row: int, now_ms: int, attributes: Ints, prices: Reals, first: int,
    matrix: npt.NDArray[np.float32], told: Told = NOTHING_TOLD,
) -> None:  # fmt: skip
    """Fill the columns from `first` on; `page_row` is -1 where the decision is about no item that is known."""
    for column, values in enumerate(told, first + attributes.shape[1] + 1):
        matrix[:, column] = np.nan if values is None else values
    if page_row < 0:
        matrix[:, first : first + attributes.shape[1] + 1] = np.nan
        return
    _stand_beside(state.tables.attributes, page_row, now_ms, attributes, prices, first, matrix)


@kernel
def _stand_beside(
    items: Attributes, page_row: int, now_ms: int, attributes: Ints, prices: Reals, first: int,
    matrix: npt.NDArray[np.float32],
) -> None:  # fmt: skip
    page, page_price = items.refs[page_row], price_at(items, page_row, now_ms)
    fields = attributes.shape[1]
    for c in range(len(attributes)):
        for field in range(fields):
            matrix[c, first + field] = _common(page[field], attributes[c, field])
        fit = np.nan
        if page_price > 0.0 and prices[c] > 0.0:
            fit = math.exp(-abs(math.log(prices[c] / page_price)))
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
