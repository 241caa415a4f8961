"""Hard filters: what may not be shown, whatever its score. They are looked at live, and outrank a full list."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import msgspec
import numpy as np

from ..features.roles import FeatureRole
from ..features.view import Person
from ..state.compiled import Bytes, Ints, Reals, kernel
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
NOT_YET_AVAILABLE: Final = "not_yet_available"
EXPIRED: Final = "expired"
SAME_GROUP: Final = "same_group"
"""Another variant of the same group is shown, or is what the page is about."""
IN_CART: Final = "in_cart"
SEEN_BEFORE: Final = "seen_before"
"""The person has looked at it, or at another variant of it, and the placement shows what is new to them."""

BOUGHT_MS: Final = 30 * 86_400_000
"""How long something bought is not offered again."""

_REASONS: Final = (
    "", OUT_OF_STOCK, JUST_BOUGHT, NOT_IN_CATALOGUE, DELETED, SHOWN_ELSEWHERE, PAGE_ITEM,
    NOT_YET_AVAILABLE, EXPIRED, SAME_GROUP, IN_CART, SEEN_BEFORE,
)  # fmt: skip
_CODES: Final = {reason: code for code, reason in enumerate(_REASONS)}


class Filters(msgspec.Struct, frozen=True):
    """What is ruled out for one placement besides what the catalogue rules out, as references of items and groups."""

    bought: frozenset[int] = frozenset()
    shown: Collection[int] = ()
    page: int = 0
    page_group: int = 0
    now_ms: int = 0
    """Of the decision; 0 for one that looks at no times and no groups, as decisions by the first rules do."""
    cart: frozenset[int] = frozenset()
    """What is in the cart, where that is not offered again."""
    seen: frozenset[int] = frozenset()
    """What the person has looked at, where that is not shown again."""


def bought_recently(person: Person, purchases: str | None, now_ms: int) -> frozenset[int]:
    """What the person has bought within `BOUGHT_MS`, by the feature of that name; nothing where there is none."""
    if purchases is None:
        return frozenset()
    refs, times_ms = person.last(purchases)
    return frozenset(refs[now_ms - times_ms < BOUGHT_MS].tolist())


class Filter(NamedTuple):
    """One hard filter: it gives a code to candidates that may not be shown, and have none yet."""

    name: str
    reasons: tuple[str, ...]
    """Those that it gives."""
    judge: Callable[[State, Pool, Filters, Bytes], None]
    role: FeatureRole | None = None
    """Of the feature that it looks at."""


def judge(state: State, pool: Pool, filters: Filters) -> Bytes:
    """By candidate: 0 for an eligible one, else the code of a reason; `reason_of` says it."""
    codes = np.zeros(len(pool), np.uint8)
    for one in FILTERS.values():
        one.judge(state, pool, filters, codes)
    return codes


def groups_of(state: State, rows: Ints) -> Ints:
    """The groups of variants that items of these rows are in, 0 for none."""
    groups = np.empty(len(rows), np.int64)
    _read_groups(state.catalogue.groups, rows, groups)
    return groups


def best_of_groups(groups: Ints, scores: Reals) -> Ints | None:
    """The places to keep so that of each group the best remains, ties by place, in their order; None to keep all.

    >>> best_of_groups(np.array([0, 7, 7, 0]), np.array([1.0, 2.0, 3.0, 1.0])).tolist()
    [0, 2, 3]
    """
    if not groups.any():
        return None
    order = np.argsort(-scores, kind="stable")
    order = order[groups[order] != 0]
    _, firsts = np.unique(groups[order], return_index=True)
    if len(firsts) == len(order):
        return None
    kept: Ints = np.sort(np.concatenate([np.flatnonzero(groups == 0), order[firsts]]))
    return kept


def beside_the_best(codes: Bytes, places: Ints) -> None:
    """Rule out those that stand back for another variant of their group."""
    codes[places] = _CODES[SAME_GROUP]


def _judge_availability(state: State, pool: Pool, filters: Filters, codes: Bytes) -> None:
    del filters
    rows, refs, places = pool.columns.rows, pool.columns.refs, np.empty(len(pool), np.int64)
    count = _find_unavailable(state.catalogue.available, rows, places)
    for place in places[:count].tolist():
        by_caller = place < len(pool.ids)
        codes[place] = _CODES[_unavailable(state, int(refs[place]), int(rows[place]), by_caller=by_caller)]


def _judge_stock(state: State, pool: Pool, filters: Filters, codes: Bytes) -> None:
    """The stock that came with the request counts in place of the catalogue's."""
    del state, filters
    for place, in_stock in pool.in_stock.items():
        if codes[place] in (0, _CODES[OUT_OF_STOCK]):
            codes[place] = 0 if in_stock else _CODES[OUT_OF_STOCK]


def _judge_times(state: State, pool: Pool, filters: Filters, codes: Bytes) -> None:
    catalogue, rows, now_ms = state.catalogue, pool.columns.rows, filters.now_ms
    if now_ms and catalogue.has_windows:
        from_ms, until_ms = catalogue.from_ms[rows], catalogue.until_ms[rows]
        stands = (codes == 0) & (rows >= 0)
        codes[stands & (until_ms != 0) & (until_ms <= now_ms)] = _CODES[EXPIRED]
        codes[stands & (from_ms > now_ms)] = _CODES[NOT_YET_AVAILABLE]


def _judge_items(state: State, pool: Pool, filters: Filters, codes: Bytes) -> None:
    del state
    page = (filters.page,) if filters.page else ()
    ruled_out = filters.bought.union(filters.shown, filters.cart, filters.seen, page)
    refs = pool.columns.refs.tolist() if ruled_out else []
    if not ruled_out.isdisjoint(refs):
        for place, ref in enumerate(refs):
            if ref in ruled_out and not codes[place]:
                codes[place] = _CODES[_ruled_out(filters, ref)]


def _judge_groups(state: State, pool: Pool, filters: Filters, codes: Bytes) -> None:
    """Another variant of what is ruled out is ruled out like it."""
    if not filters.now_ms:
        return
    places = np.empty(len(pool), np.int64)
    count = _find_grouped(state.catalogue.groups, pool.columns.rows, codes, places)
    for place in places[:count].tolist():
        group = int(state.catalogue.groups[pool.columns.rows[place]])
        if group == filters.page_group:
            codes[place] = _CODES[SAME_GROUP]
        elif group in filters.bought:
            codes[place] = _CODES[JUST_BOUGHT]
        elif group in filters.cart:
            codes[place] = _CODES[IN_CART]
        elif group in filters.shown:
            codes[place] = _CODES[SHOWN_ELSEWHERE]
        elif group in filters.seen:
            codes[place] = _CODES[SEEN_BEFORE]


def count_seen(codes: Bytes) -> int:
    """How many candidates are left out because the person has looked at them before."""
    return int(np.count_nonzero(codes == _CODES[SEEN_BEFORE]))


def reason_of(code: int) -> str:
    """The reason a code of `judge` stands for."""
    return _REASONS[code]


def _unavailable(state: State, ref: int, row: int, *, by_caller: bool) -> str:
    """Why an item that is not available may not be shown; "" where nothing speaks against it."""
    if row >= 0 and row in state.catalogue.at_row:
        return OUT_OF_STOCK
    if not by_caller:
        return NOT_IN_CATALOGUE
    return DELETED if state.catalogue.is_deleted(ref, row) else ""


def _ruled_out(filters: Filters, ref: int) -> str:
    if ref == filters.page:
        return PAGE_ITEM
    if ref in filters.bought:
        return JUST_BOUGHT
    if ref in filters.cart:
        return IN_CART
    return SHOWN_ELSEWHERE if ref in filters.shown else SEEN_BEFORE


@kernel
def _find_unavailable(available: Bytes, rows: Ints, places: Ints) -> int:
    """Fill in the places of what cannot be shown or has no row; how many."""
    count = 0
    for place in range(len(rows)):
        if rows[place] < 0 or available[rows[place]] == 0:
            places[count] = place
            count += 1
    return count


@kernel
def _find_grouped(groups: Ints, rows: Ints, codes: Bytes, places: Ints) -> int:
    """Fill in the places of what is in a group and not ruled out yet; how many."""
    count = 0
    for place in range(len(rows)):
        if rows[place] >= 0 and groups[rows[place]] != 0 and codes[place] == 0:
            places[count] = place
            count += 1
    return count


@kernel
def _read_groups(groups: Ints, rows: Ints, found: Ints) -> None:
    for place in range(len(rows)):
        found[place] = groups[rows[place]] if rows[place] >= 0 else 0


FILTERS: Final = {
    one.name: one
    for one in (
        Filter("availability", (OUT_OF_STOCK, NOT_IN_CATALOGUE, DELETED), _judge_availability),
        Filter("stock", (OUT_OF_STOCK,), _judge_stock),
        Filter("times", (NOT_YET_AVAILABLE, EXPIRED), _judge_times),
        Filter(
            "items", (PAGE_ITEM, JUST_BOUGHT, IN_CART, SHOWN_ELSEWHERE, SEEN_BEFORE), _judge_items, role="purchases"
        ),
        Filter(
            "groups", (SAME_GROUP, JUST_BOUGHT, IN_CART, SHOWN_ELSEWHERE, SEEN_BEFORE), _judge_groups, role="purchases"
        ),
    )
}
"""In this order: the first reason stands, but for the request's own word on the stock. To add one: a function, a line
here, and its reasons in `_REASONS`, at the end. `tests/decisions/test_filters.py` runs over all of them."""
