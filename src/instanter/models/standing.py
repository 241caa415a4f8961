"""What holds for everybody between two epochs: which of a tenant's items are trending, popular, new, and alike.

A pure function of (epoch, catalogue), so a replay finds the same lists. Made once, in passes over all rows; after an
epoch or a change of the catalogue only the items that changed are looked at. `follow` does that outside of decisions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from ..features.assemble import BESIDE, EVIDENCE, Assembler, Averages
from ..foundation.limits import STANDING_LIST_MAX, TENANTS_STANDING_MAX
from ..foundation.pages import mapped_zeros
from ..state.aggregations.dispatch import lasting, read_number
from ..state.compiled import Bytes, Ints, Reals, kernel
from ..state.layout import Layout
from ..state.memory import State
from ..state.program import AT
from ..state.table import ITEMS, USED
from .by_value import ByValue
from .ranked import Ranked

_OLDEST_KEPT: Final = 16
"""So many that an item that leaves is no reason to look at all of them."""


_VIEWED_ONLY: Final = 1e12
"""Further below 0 than any score of what is popular by more than views: those are times in half-lives, or numbers."""


class Scores:
    """Trending and popular by row, and what rates are averaged from, of all tenants' items, as of the epoch.

    What decays is compared by when it will have come down to 1, which is the same at any time: so an epoch changes
    nothing about items to which nothing happened. By the first rules it is the number as of the epoch.
    """

    def __init__(self, state: State, trending: int, popular: int, views: int, assembler: Assembler) -> None:
        """`trending`, `popular` and `views` are the numbers of their features, -1 where there is none."""
        items = state.schema.capacity.items
        self.trending, self.popular = np.zeros(items), np.zeros(items)
        self.counts: Ints = np.zeros((items, assembler.counts), np.int64)
        self._assembler = assembler
        self._numbers = (trending, popular)
        self._views = views if assembler.rules >= BESIDE else -1
        self._lasting = assembler.rules >= EVIDENCE
        self._known = 0
        self._given_back = state.given_back

    @property
    def nothing(self) -> float:
        """The score of what nobody has shown interest in."""
        return -np.inf if self._lasting else 0.0

    def renew(self) -> None:
        """Nothing that was read holds any more."""
        self._known = 0

    def read(self, state: State, rows: Ints) -> None:
        """Read those of rows that have changed. What stands in lists by them has been taken out before."""
        features, words = state.program.features, state.schema.layout.item_words
        for feature, scores in zip(self._numbers, (self.trending, self.popular), strict=True):
            if feature >= 0:
                read = _read_lasting if self._lasting else _read_all
                read(
                    features, feature, state.published, state.published_reals, words, state.epoch_ms, rows, scores
                )
            elif self._lasting:
                scores[rows] = -np.inf
        if self._views >= 0:
            _read_views(
                features, self._views, state.published, state.published_reals, words, state.epoch_ms, rows, self.popular
            )
        counts = np.zeros((len(rows), self.counts.shape[1]), np.int64)
        self._assembler.count(state, rows, counts)
        differing = (self.counts[rows] != counts).any(axis=1)
        self.counts[rows[differing]] = counts[differing]  # Memory where nothing but zeros was written is not taken yet.

    def know(self, state: State) -> int:
        """Read those of items that have come since and can be shown; how many rows there are. Another one changes
        before it can be."""
        used = int(state.tables.memory.regions[ITEMS, USED])
        if used > self._known:
            self.read(state, self._known + np.flatnonzero(state.catalogue.available[self._known : used]))
        self._known = used
        return used

    def give_back(self, state: State) -> None:
        """Give the memory of items back that are gone, and stand in no list any more."""
        if self._given_back != state.given_back:
            self._given_back = state.given_back
            state.give_back_vacant(self.trending, self.popular, self.counts)

    def amounts(self, state: State, rows: Ints) -> Reals:
        """The popularity of these rows as a number, 0 for a row of -1."""
        amounts = np.zeros(len(rows))
        known = rows >= 0
        if self._numbers[1] >= 0:
            found = np.zeros(int(rows.max(initial=-1)) + 1)
            _read_all(
                state.program.features, self._numbers[1], state.published, state.published_reals,
                state.schema.layout.item_words, state.epoch_ms, rows[known], found,
            )  # fmt: skip
            amounts[known] = found[rows[known]]
        return amounts

    def passes(self, state: State) -> bool:
        """Whether numbers fade otherwise than by decay, so that an epoch changes all of them."""
        features = [state.schema.layout.features[number].spec for number in self._numbers if number >= 0]
        return not self._lasting or any(spec.aggregation.fades_by_itself for spec in features)


class TenantLists:
    """A tenant's lists of available items, as rows, the best first, as they stand until catalogue or epoch change.

    What takes room is made once: memory that is given back and taken again is written over with zeros each time.
    """

    def __init__(self, state: State, tenant: str, scores: Scores, assembler: Assembler) -> None:
        self._state, self.tenant, self._scores, self._assembler = state, tenant, scores, assembler
        self.looks = 0
        """How often all items were looked at."""
        self._averages: Averages | None = None
        self._there: Bytes = mapped_zeros(state.schema.capacity.items, np.uint8)
        self._by_value = ByValue(state.tables.attributes.refs, scores.popular)
        self.look()

    def look(self) -> None:
        """Make the lists from all items."""
        self.looks += 1
        state, scores, catalogue = self._state, self._scores, self._state.catalogue
        used, code = scores.know(state), catalogue.code_of(self.tenant)
        self._there[:used] = (catalogue.tenants[:used] == code) & self._showable(slice(used))
        rows = self.rows
        self.count = len(rows)
        """Of available items."""
        self.trending = Ranked(rows, scores.trending[rows], STANDING_LIST_MAX)
        self.popular = Ranked(rows, scores.popular[rows], STANDING_LIST_MAX)
        self.newest = Ranked(rows, catalogue.created_ms[rows].astype(np.float64), STANDING_LIST_MAX)
        self.oldest = Ranked(rows, -catalogue.created_ms[rows].astype(np.float64), _OLDEST_KEPT)
        self._by_value.look(rows)
        self._counted = scores.counts[rows].sum(axis=0)
        self._met = self._interesting(rows)
        self._averages = None

    def concerns(self, changed: Ints) -> Ints:
        """Those of these rows that stand in the lists, or may have to."""
        catalogue = self._state.catalogue
        own = catalogue.tenants[changed] == catalogue.code_of(self.tenant)
        concerned: Ints = changed[own | (self._there[changed] == 1)]
        return concerned

    def take_out(self, changed: Ints) -> Ints:
        """The first half of following: take out what stands in the lists of these rows, before their scores are read
        again. Which those were."""
        gone: Ints = changed[self._there[changed] == 1]
        self._there[gone] = 0
        self.count -= len(gone)
        self._counted -= self._scores.counts[gone].sum(axis=0)
        self._met -= self._interesting(gone)
        self._averages = None
        return gone

    def put_in(self, changed: Ints, gone: Ints) -> bool:
        """The second half: put in those that can be shown; False if all rows have to be looked at again."""
        catalogue, scores = self._state.catalogue, self._scores
        own = catalogue.tenants[changed] == catalogue.code_of(self.tenant)
        come = changed[own & self._showable(changed)]
        if not len(gone) and not len(come):
            return True
        created = catalogue.created_ms[come].astype(np.float64)
        kept = (
            self.trending.change(self._there, come, scores.trending[come]),
            self.popular.change(self._there, come, scores.popular[come]),
            self.newest.change(self._there, come, created),
            self.oldest.change(self._there, come, -created),
            self._by_value.change(self._there, come),
        )
        self._there[come] = 1
        self.count += len(come)
        self._counted += scores.counts[come].sum(axis=0)
        self._met += self._interesting(come)
        return all(kept)

    @property
    def rows(self) -> Ints:
        """All available items, in the order of their rows. Costs a pass over all rows."""
        return np.flatnonzero(self._there)

    def popularity(self, rows: Ints) -> Reals:
        """How popular items of these rows are, as of the epoch; 0 for a row of -1."""
        return self._scores.amounts(self._state, rows)

    @property
    def averages(self) -> Averages:
        """See `Assembler.averages`."""
        if self._averages is None:
            oldest_ms = -int(self.oldest.scores[0]) if self.count else 0
            self._averages = self._assembler.averages(self._counted, oldest_ms)
        return self._averages

    @property
    def has_interest(self) -> bool:
        """Whether anybody has shown interest in any of the items."""
        return self._met > 0

    def fresh(self, since_ms: int, shown_max: int, limit: int) -> Ints:
        """Rows of items that came since then and have been shown, or looked at, less than so often as of the epoch:
        those shown least first, of these the newest. Nothing where no feature counts either."""
        exposures = self._assembler.exposures
        if not exposures:
            return np.zeros(0, np.int64)
        rows = self.newest.rows
        rows = rows[self._state.catalogue.created_ms[rows] >= since_ms]
        shown = self._scores.counts[rows][:, exposures].max(axis=1, initial=0)
        order = np.argsort(shown, kind="stable")
        chosen: Ints = rows[order[: np.searchsorted(shown[order], shown_max)]][:limit]
        return chosen

    def like(self, values: Sequence[tuple[int, int]], limit: int) -> Ints:
        """Up to `limit` rows of popular items with one of these values, see `ByValue.like`."""
        return self._by_value.like(values, limit)

    def _showable(self, rows: Ints | slice) -> Bytes:
        """Which of these rows are available, by the time of the epoch. What begins or ends since is seen by whoever
        decides."""
        state, catalogue = self._state, self._state.catalogue
        showable: Bytes = catalogue.available[rows] == 1
        if catalogue.has_windows and state.epoch_ms and self._assembler.rules >= EVIDENCE:
            until_ms = catalogue.until_ms[rows]
            showable &= (catalogue.from_ms[rows] <= state.epoch_ms) & ((until_ms == 0) | (state.epoch_ms < until_ms))
        return showable

    def _interesting(self, rows: Ints) -> int:
        scores = self._scores
        return int(((scores.popular[rows] > scores.nothing) | (scores.trending[rows] > scores.nothing)).sum())


class _Followed(NamedTuple):
    """How far the lists have followed the state."""

    epoch: int
    configured: int
    changes: int
    """Of the catalogue."""
    epoch_ms: int


class Standing:
    """The lists of one state's tenants. Owns a cache and nothing else: what it returns depends on the state alone."""

    def __init__(self, layout: Layout, assembler: Assembler) -> None:
        """The lists follow the features of two roles; without one of them its list is in the catalogue's order."""
        numbers = {placed.spec.name: number for number, placed in enumerate(layout.features)}
        trending, popular = assembler.carriers.get("trending"), assembler.carriers.get("popularity")
        views = assembler.carriers.get("item_views")
        self._trending = -1 if trending is None else numbers[trending]
        self._popular = -1 if popular is None else numbers[popular]
        self._views = -1 if views is None else numbers[views]
        self._assembler = assembler
        self._state: State | None = None
        self._scores: Scores | None = None
        self._followed = _Followed(-1, -1, -1, 0)
        self._lists = OrderedDict[str, TenantLists]()
        """By tenant, the one that was asked for last at the end."""
        self._looks = 0

    @property
    def looks(self) -> int:
        """How often all items of a tenant have been looked at."""
        return self._looks + sum(lists.looks for lists in self._lists.values())

    def of(self, state: State, tenant: str) -> TenantLists:
        """The tenant's lists as they stand now. Looks at what `follow` has not been told of yet."""
        scores = self._brought_up(state)
        lists = self._lists.pop(tenant, None)
        if lists is None:
            if len(self._lists) >= TENANTS_STANDING_MAX:
                self._let_go(next(iter(self._lists)))
            lists = TenantLists(state, tenant, scores, self._assembler)
        self._lists[tenant] = lists
        return lists

    def follow(self, state: State) -> None:
        """Keep up with the state, so that no decision has to; those of a tenant that is new are made, while there is
        room. Free of cost where nothing has changed."""
        if self._stands(state):
            if self._scores is not None:
                self._scores.give_back(state)
            return
        self._brought_up(state)
        for tenant in state.catalogue.tenants_known:
            if len(self._lists) < TENANTS_STANDING_MAX and tenant not in self._lists:
                self.of(state, tenant)

    def _stands(self, state: State) -> bool:
        return state is self._state and self._followed == _now(state)

    def _brought_up(self, state: State) -> Scores:
        if self._scores is None or state is not self._state:
            for tenant in list(self._lists):
                self._let_go(tenant)
            self._state = state
            self._scores = Scores(state, self._trending, self._popular, self._views, self._assembler)
        elif not self._stands(state):
            changed = self._changed(state, self._scores)
            if changed is None:
                self._scores.renew()
                for lists in self._lists.values():
                    lists.look()
            else:
                self._follow(state, self._scores, changed)
        self._followed = _now(state)
        return self._scores

    def _changed(self, state: State, scores: Scores) -> Ints | None:
        """The rows that changed since; None if that may be all of them."""
        followed = self._followed
        if followed.configured != state.configured:
            return None
        catalogue = state.catalogue.changed_since(followed.changes)
        if catalogue is None or followed.epoch == state.epoch:
            return catalogue
        published = None if scores.passes(state) else state.published_since(followed.epoch)
        if published is None:
            return None
        turned = _begun_or_ended(state, followed.epoch_ms)
        if not len(catalogue) and not len(turned):
            return published
        changed: Ints = np.unique(np.concatenate([catalogue, published, turned]))
        return changed

    def _follow(self, state: State, scores: Scores, changed: Ints) -> None:
        scores.know(state)
        concerned = [(lists, rows) for lists in self._lists.values() if len(rows := lists.concerns(changed))]
        taken = [(lists, rows, lists.take_out(rows)) for lists, rows in concerned]
        scores.read(state, changed)
        for lists, rows, gone in taken:
            if not lists.put_in(rows, gone):
                lists.look()

    def _let_go(self, tenant: str) -> None:
        self._looks += self._lists.pop(tenant).looks


def _begun_or_ended(state: State, since_ms: int) -> Ints:
    """Rows of items that may be shown since then and could not before, or the other way round. One comparison with all
    items, where any item says when it may be shown."""
    catalogue, now_ms = state.catalogue, state.epoch_ms
    if not catalogue.has_windows:
        return np.zeros(0, np.int64)
    used = int(state.tables.memory.regions[ITEMS, USED])
    low_ms, high_ms = min(since_ms, now_ms), max(since_ms, now_ms)
    turned = np.zeros(used, bool)
    for times_ms in (catalogue.from_ms[:used], catalogue.until_ms[:used]):
        turned |= (times_ms != 0) if since_ms == 0 else (low_ms < times_ms) & (times_ms <= high_ms)
    return np.flatnonzero(turned)


def _now(state: State) -> _Followed:
    return _Followed(state.epoch, state.configured, state.catalogue.changes, state.epoch_ms)


@kernel
def _read_all(
    features: Ints, feature: int, published: Ints, published_reals: Reals, words: int, now_ms: int, rows: Ints,
    scores: Reals,
) -> None:  # fmt: skip
    """The numbers as of now."""
    for row in rows:
        at = row * words + features[feature, AT]
        scores[row] = read_number(features, feature, published, published_reals, at, now_ms, now_ms, 0.0)


@kernel
def _read_views(
    features: Ints, feature: int, published: Ints, published_reals: Reals, words: int, now_ms: int, rows: Ints,
    popular: Reals,
) -> None:  # fmt: skip
    """Of what nobody has done more with than to view it, the most viewed is the most popular, behind all else."""
    for row in rows:
        if popular[row] == -np.inf:
            at = row * words + features[feature, AT]
            views = read_number(features, feature, published, published_reals, at, now_ms, now_ms, 0.0)
            if views > 0.0:
                popular[row] = views - _VIEWED_ONLY


@kernel
def _read_lasting(
    features: Ints, feature: int, published: Ints, published_reals: Reals, words: int, now_ms: int, rows: Ints,
    scores: Reals,
) -> None:  # fmt: skip
    """In the order of the numbers at any time; minus infinity for nothing."""
    for row in rows:
        at = row * words + features[feature, AT]
        score = lasting(features, feature, published, published_reals, at)
        if score != score:
            value = read_number(features, feature, published, published_reals, at, now_ms, now_ms, 0.0)
            score = value if value > 0.0 else -np.inf
        scores[row] = score
