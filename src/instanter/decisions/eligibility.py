"""Hard filters: what may not be shown, whatever its score. They are looked at live, and outrank a full list."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
import numpy as np

from ..features.view import Person
from ..state.compiled import Bytes
from ..state.memory import State
from .candidates import Pool

OUT_OF_STOCK: Final = "out_of_stock"
JUST_BOUGHT: Final = "just_bought"
NOT_IN_CATALOGUE: Final = "not_in_catalogue"
DELETED: Final = "deleted"
SHOWN_ELSEWHERE: Final = "shown_elsewhere"
PAGE_ITEM: Final = "page_item"
DUPLICATE: Final = "duplicate"
OVER_LIMIT: Final = "over_limit"

BOUGHT_FEATURE: Final = "bought_items"
BOUGHT_MS: Final = 30 * 86_400_000
"""How long something bought is not offered again."""

_REASONS: Final = ("", OUT_OF_STOCK, JUST_BOUGHT, NOT_IN_CATALOGUE, DELETED, SHOWN_ELSEWHERE, PAGE_ITEM)
_CODES: Final = {reason: code for code, reason in enumerate(_REASONS)}


class Filters(msgspec.Struct, frozen=True):
    """What is ruled out for one placement besides what the catalogue rules out, as references."""

    bought: frozenset[int] = frozenset()
    shown: Collection[int] = ()
    page: int = 0


def bought_recently(person: Person, now_ms: int) -> frozenset[int]:
    """What the person has bought within `BOUGHT_MS`."""
    refs, times_ms = person.lasts.get(BOUGHT_FEATURE, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    return frozenset(refs[now_ms - times_ms < BOUGHT_MS].tolist())


def judge(state: State, pool: Pool, filters: Filters) -> Bytes:
    """By candidate: 0 for an eligible one, else the code of a reason; `reason_of` says it."""
    rows = pool.columns.rows
    available = state.catalogue.available[rows]
    codes = np.zeros(len(pool), np.uint8)
    for place in np.flatnonzero((available == 0) | (rows < 0)).tolist():
        codes[place] = _CODES[_unavailable(state, int(rows[place]), by_caller=place < len(pool.ids))]
    for place, in_stock in pool.in_stock.items():
        if codes[place] in (0, _CODES[OUT_OF_STOCK]):
            codes[place] = 0 if in_stock else _CODES[OUT_OF_STOCK]
    ruled_out = filters.bought.union(filters.shown, (filters.page,) if filters.page else ())
    if ruled_out:
        for place, ref in enumerate(pool.columns.refs.tolist()):
            if ref in ruled_out and not codes[place]:
                codes[place] = _CODES[_ruled_out(filters, ref)]
    return codes


def reason_of(code: int) -> str:
    """The reason a code of `judge` stands for."""
    return _REASONS[code]


def _unavailable(state: State, row: int, *, by_caller: bool) -> str:
    """Why an item that is not available may not be shown; "" where nothing speaks against it."""
    if row >= 0 and row in state.catalogue.at_row:
        return OUT_OF_STOCK
    if not by_caller:
        return NOT_IN_CATALOGUE
    return DELETED if row >= 0 and state.catalogue.created_ms[row] != 0 else ""


def _ruled_out(filters: Filters, ref: int) -> str:
    if ref == filters.page:
        return PAGE_ITEM
    if ref in filters.bought:
        return JUST_BOUGHT
    return SHOWN_ELSEWHERE
