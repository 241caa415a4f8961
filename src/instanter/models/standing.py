"""What holds for everybody between two epochs: which of a tenant's items are trending, popular, new, and alike.

A pure function of (epoch, catalogue), so a replay finds the same lists. Made once per epoch and change of the
catalogue, by passes whose lists are bounded: about 0.3 ms for 2,000 items, a few ms for 100,000.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ..features.assemble import Assembler
from ..features.view import is_number, read_number
from ..foundation.limits import STANDING_LIST_MAX, TENANTS_STANDING_MAX, VALUE_LIST_MAX, VALUES_LISTED_MAX
from ..state.compiled import Ints, Reals, kernel
from ..state.layout import Layout, Scope
from ..state.memory import State
from ..state.program import AT
from ..state.table import ITEMS, USED, Index, find, insert, make_index

TRENDING, POPULAR = "trending", "popular"
"""The item features that the lists follow; without one of them its list is in the catalogue's order."""



class TenantLists(msgspec.Struct, frozen=True):
    """A tenant's lists of available items, as rows, the best first."""

    key: tuple[int, int]
    """(epoch, changes of the catalogue) that they stand on."""
    trending: Ints
    trending_scores: Reals
    popular: Ints
    popular_scores: Reals
    newest: Ints
    rows: Ints
    """All items of the tenant that are available, in the order of their rows."""
    popularity: Reals
    """By row, of all tenants' items."""
    priors: Reals
    """Average rates, see `Assembler.priors`."""
    has_interest: bool
    """Whether anybody has shown interest in any of the items."""
    value_index: Index
    value_rows: Ints
    """By value: how many items are listed, then their rows."""

    def like(self, values: Sequence[tuple[int, int]], limit: int) -> Ints:
        """Up to `limit` rows of popular items with one of these values, (text field, reference).

        In turns: the most popular item of each value, then the second of each, without repetition.
        """
        rows = np.empty(limit, np.int64)
        wanted = np.array(values, np.int64).reshape(-1, 2)
        return rows[: _take_turns(self.value_index, self.value_rows, wanted, rows)]


class Standing:
    """The lists of one state's tenants. Owns a cache and nothing else: what it returns depends on the state alone."""

    def __init__(self, layout: Layout, assembler: Assembler) -> None:
        numbers = {
            placed.spec.name: number
            for number, placed in enumerate(layout.features)
            if placed.spec.scope is Scope.ITEM and is_number(placed.spec)
        }
        self._trending, self._popular = numbers.get(TRENDING, -1), numbers.get(POPULAR, -1)
        self._assembler = assembler
        self._words = layout.item_words
        self._state: State | None = None
        self._lists: dict[str, TenantLists] = {}
        self._codes: dict[str, int] = {}
        self._tenants: Ints = np.zeros(0, np.int64)
        self._epoch = -1
        self._scores: tuple[Reals, Reals] = (np.zeros(0), np.zeros(0))

    def of(self, state: State, tenant: str) -> TenantLists:
        """The tenant's lists as they stand now."""
        if state is not self._state:
            self._forget(state)
        key = (state.epoch, state.catalogue.changes)
        lists = self._lists.get(tenant)
        if lists is None or lists.key != key:
            self._lists.pop(tenant, None)
            if len(self._lists) >= TENANTS_STANDING_MAX:
                del self._lists[next(iter(self._lists))]
            lists = self._lists[tenant] = self._make(state, tenant, key)
        return lists

    def _forget(self, state: State) -> None:
        self._state, self._epoch = state, -1
        self._lists, self._codes = {}, {}
        self._tenants = np.zeros(len(state.catalogue.available), np.int64)

    def _make(self, state: State, tenant: str, key: tuple[int, int]) -> TenantLists:
        used = int(state.tables.memory.regions[ITEMS, USED])
        self._note_tenants(state, used)
        trending, popular = self._scores_of(state, used)
        code = self._codes.get(tenant, -1)
        rows = np.flatnonzero((self._tenants[:used] == code) & (state.catalogue.available[:used] == 1))
        created = state.catalogue.created_ms[rows].astype(np.float64)
        value_index = make_index(4 * VALUES_LISTED_MAX)
        value_rows = np.zeros((VALUES_LISTED_MAX, 1 + VALUE_LIST_MAX), np.int64)
        _list_values(state.tables.attributes.refs, rows, popular, value_index, value_rows)
        trending_rows, trending_scores = best_of(rows, trending[rows])
        popular_rows, popular_scores = best_of(rows, popular[rows])
        has_interest = bool((popular[rows] > 0.0).any() or (trending[rows] > 0.0).any())
        return TenantLists(
            key, trending_rows, trending_scores, popular_rows, popular_scores, best_of(rows, created)[0], rows,
            popular, self._assembler.priors(state, rows), has_interest, value_index, value_rows,
        )  # fmt: skip

    def _note_tenants(self, state: State, used: int) -> None:
        """Rows keep their item, and items their tenant, so each row is looked up once."""
        catalogue = state.catalogue
        known = (catalogue.created_ms[:used] != 0) | (catalogue.available[:used] != 0)
        for row in np.flatnonzero(known & (self._tenants[:used] == 0)).tolist():
            item = catalogue.at_row.get(row)
            if item is not None:
                self._tenants[row] = self._codes.setdefault(item.tenant, len(self._codes) + 1)

    def _scores_of(self, state: State, used: int) -> tuple[Reals, Reals]:
        """Trending and popular by row. All decay alike, so the order as of the epoch is the order of any later time."""
        if self._epoch != state.epoch or len(self._scores[0]) < used:
            features, published, reals = state.program.features, state.published, state.published_reals
            trending, popular = np.zeros(used), np.zeros(used)
            for feature, scores in ((self._trending, trending), (self._popular, popular)):
                if feature >= 0:
                    _read_all(features, feature, published, reals, self._words, state.epoch_ms, scores)
            self._scores, self._epoch = (trending, popular), state.epoch
        return self._scores


def best_of(rows: Ints, scores: Reals, limit: int = STANDING_LIST_MAX) -> tuple[Ints, Reals]:
    """The rows with the largest scores, ties in the order given.

    >>> best_of(np.array([7, 8, 9]), np.array([1.0, 3.0, 1.0]), limit=2)[0].tolist()
    [8, 7]
    """
    count = min(limit, len(rows))
    kept_rows, kept_scores = np.empty(count, np.int64), np.empty(count, np.float64)
    _keep_best(rows, scores, kept_rows, kept_scores)
    return kept_rows, kept_scores


@kernel
def _value_key(column: int, ref: int) -> int:
    """The key of a value of text field `column`; never 0."""
    key = ref ^ ((column + 1) * 0x5851F42D4C957F2D & 0x7FFFFFFFFFFFFFFF)
    return key if key != 0 else 1


@kernel
def _read_all(
    features: Ints, feature: int, published: Ints, published_reals: Reals, words: int, now_ms: int, scores: Reals
) -> None:
    for row in range(len(scores)):
        at = row * words + features[feature, AT]
        scores[row] = read_number(features, feature, published, published_reals, at, now_ms, 0.0)


@kernel
def _keep_best(rows: Ints, scores: Reals, kept_rows: Ints, kept_scores: Reals) -> None:
    count = 0
    for i in range(len(rows)):
        score = scores[i]
        if count == len(kept_rows):
            if count == 0 or score <= kept_scores[count - 1]:
                continue
            place = count - 1
        else:
            place = count
            count += 1
        while place > 0 and kept_scores[place - 1] < score:
            kept_rows[place], kept_scores[place] = kept_rows[place - 1], kept_scores[place - 1]
            place -= 1
        kept_rows[place], kept_scores[place] = rows[i], score


@kernel
def _list_values(refs: Ints, rows: Ints, popular: Reals, index: Index, lists: Ints) -> None:
    """List each value's most popular items; what comes after `VALUES_LISTED_MAX` values has no list."""
    used = 0
    for i in range(len(rows)):
        row = rows[i]
        for column in range(refs.shape[1]):
            for value in range(refs.shape[2]):
                ref = refs[row, column, value]
                if ref == 0:
                    break
                key = _value_key(column, ref)
                slot = find(index, key)
                if slot < 0:
                    if used == len(lists):
                        continue
                    slot = used
                    insert(index, key, slot)
                    used += 1
                _enlist(lists, slot, row, popular)


@kernel
def _take_turns(index: Index, lists: Ints, wanted: Ints, rows: Ints) -> int:
    """Fill `rows`; how many."""
    slots = np.empty(len(wanted), np.int64)
    for i in range(len(wanted)):
        slots[i] = find(index, _value_key(wanted[i, 0], wanted[i, 1]))
    count = 0
    for turn in range(1, lists.shape[1]):
        for slot in slots:
            if slot < 0 or turn > lists[slot, 0]:
                continue
            if count == len(rows):
                return count
            known = False
            for i in range(count):
                known = known or rows[i] == lists[slot, turn]
            if not known:
                rows[count] = lists[slot, turn]
                count += 1
    return count


@kernel
def _enlist(lists: Ints, slot: int, row: int, popular: Reals) -> None:
    room = lists.shape[1] - 1
    count = lists[slot, 0]
    if count == room:
        if popular[row] <= popular[lists[slot, room]]:
            return
        place = room
    else:
        count += 1
        lists[slot, 0] = count
        place = count
    while place > 1 and popular[lists[slot, place - 1]] < popular[row]:
        lists[slot, place] = lists[slot, place - 1]
        place -= 1
    lists[slot, place] = row
