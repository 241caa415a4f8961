"""How people go on from one item to the next, by what the two have in common: told from a shop's newest steps.

A mixture of ways: somebody goes on to any item, to one with a value of some field in common, to one of the category at
much the same price, or to one with a word of the title in common; in each way to any of the items that it leads to. So
an item is the likelier, the more ways lead to it, the oftener they are gone, and the fewer items they lead to. How
often each is gone is what makes the newest steps likeliest (Dempster, Laird and Rubin, 1977, mixture proportions), with
what is usual as if it had been seen `USUAL_STEPS` times. How often an item is looked at at all is not in it.

A pure function of the ring of steps as of the epoch, and of the catalogue.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final, NamedTuple

import numpy as np

from ..features.carriers import Carriers
from ..features.sequences import REST_MS
from ..foundation.limits import TENANTS_STANDING_MAX
from ..state.compiled import Ints, Reals, Shorts, kernel
from ..state.memory import State
from ..state.schema import Schema
from ..state.steps import as_of, at_ms, before, is_kept, item_at
from .in_common import Fields, InCommon, Values, mark, unmark

STEPS_LOOKED_AT: Final = 4_096
"""Of all people, the newest ..."""
STEPS_LEARNED: Final = 512
"""... of which so many of the tenant's that lead from one item to another are learned from ..."""
LEARNED_EVERY: Final = 1_024
"""... anew after so many further ones, and after 64, 128 ... at the beginning."""
_LEARNED_FROM: Final = 64
NEAR: Final = 1.35
"""Prices at most so many times one another are much the same."""
USUAL_STEPS: Final = 20.0
TURNS: Final = 20
"""Of the estimate, each of which brings the shares nearer to the likeliest."""
USUAL_NEAR: Final = 0.4
"""Of the items of a category, those at much the same price ..."""
USUAL_NEAR_ITEMS: Final = 8.0
"""... as if so many had been looked at."""
_APART: Final = (172, 345)
"""So many places apart are steps that have nothing to do with each other."""
_USUAL: Final = {"anywhere": 2.0, "category": 1.0, "field": 1.0, "near": 2.0, "title": 2.0}
"""Of a hundred steps, so many in proportion."""


class Learned(NamedTuple):
    """What was told of one tenant."""

    stands: tuple[int, ...]
    """What it was told from ..."""
    changes: int
    """... as of so many changes of the catalogue ..."""
    rows: Ints
    """... and of these rows ..."""
    prices: Reals
    """... their prices."""
    fields: Fields
    shares: Reals
    """By way: of the steps, those that go it; anywhere, by each field, by category and price, by the title."""
    near: float
    """Of the items of a category, those at much the same price."""

    @property
    def explained(self) -> float:
        """The share of steps that do not lead just anywhere; 0 where items have nothing that they could share."""
        return 1.0 - float(self.shares[0]) if self.fields.items else 0.0


class Transitions:
    """Learns for one schema; holds a cache and nothing else."""

    def __init__(self, schema: Schema, carriers: Carriers) -> None:
        self._feature = carriers.get("sequences")
        self._state: State | None = None
        self._known: OrderedDict[str, Learned] = OrderedDict()
        """By tenant."""
        self._steps: Ints = np.zeros((2, STEPS_LEARNED), np.int64)
        self._marks: Shorts = np.zeros(1, np.int32)
        """By slot of a value, all zeros between two questions."""

    def chances(self, state: State, tenant: str, row: int, rows: Ints, index: InCommon) -> Reals:
        """By candidate the logarithm of how many times as likely somebody goes on to it from the item of `row` as to
        any item that is looked at as often. `index` has followed the state."""
        learned = self.of(state, tenant, index)
        fields, ways, found = learned.fields, len(learned.shares), np.empty(len(rows))
        _judge(
            index.values, state.catalogue.attributes.numbers, row, rows, fields.numbers, fields.category, fields.items,
            learned.shares, learned.near, self._marks, np.empty(fields.title + 1, np.int64), np.empty(ways),
            np.empty(ways), found,
        )  # fmt: skip
        return found

    def of(self, state: State, tenant: str, index: InCommon) -> Learned:
        """What is known of the tenant's steps."""
        if state is not self._state:
            self._state, self._known = state, OrderedDict()
        if len(self._marks) < len(index.values.counts):
            self._marks = np.zeros(len(index.values.counts), np.int32)
        ring = -1 if self._feature is None else state.ring(self._feature)
        until = _learned_until(as_of(state.tables.memory.ints, ring)) if ring >= 0 else 0
        stands = until, state.blanked, state.configured, index.version
        known = self._known.get(tenant)
        if known is None or known.stands != stands or not self._still(known, state, tenant):
            if known is None and len(self._known) >= TENANTS_STANDING_MAX:
                self._known.popitem(last=False)
            known = self._known[tenant] = self._learned(state, ring, tenant, index, stands)
        return known

    def _still(self, known: Learned, state: State, tenant: str) -> bool:
        """Whether the prices are as they were."""
        catalogue = state.catalogue
        if known.changes != catalogue.changes:
            if not np.array_equal(catalogue.attributes.numbers[known.rows, 0], known.prices, equal_nan=True):
                return False
            self._known[tenant] = known._replace(changes=catalogue.changes)
        return True

    def _learned(
        self, state: State, ring: int, tenant: str, index: InCommon, stands: tuple[int, ...]
    ) -> Learned:
        code = state.catalogue.code_of(tenant)
        prices = state.catalogue.attributes.numbers
        fields, steps = index.fields(code), 0
        if ring >= 0 and fields.items:
            steps = _find_steps(state.tables.memory.ints, ring, stands[0], index.values.owners, code, self._steps)
        ones, others = self._steps[:, :steps].copy()
        usual = usual_shares(fields)
        ways = np.empty((steps, len(usual)))
        near = _look(
            index.values, prices, ones, others, np.array(_APART), fields.numbers, fields.category, fields.items,
            self._marks, np.empty(fields.title + 1, np.int64), np.empty(len(usual)), ways,
        )  # fmt: skip
        shares = fitted(ways, usual)
        rows = np.unique(self._steps[:, :steps])
        return Learned(stands, state.catalogue.changes, rows, prices[rows, 0], fields, shares, near)


def _learned_until(written: int) -> int:
    """The step up to which is learned, of so many: few more make no difference."""
    every = LEARNED_EVERY
    while every > max(written, _LEARNED_FROM):
        every //= 2
    return written // every * every


def usual_shares(fields: Fields) -> Reals:
    """By way what is usual where nothing is known of a shop."""
    shares = [_USUAL["category" if name == "category" else "field"] for name in fields.names]
    usual = np.array([_USUAL["anywhere"], *shares, _USUAL["near"], _USUAL["title"]])
    shared: Reals = usual / usual.sum()
    return shared


@kernel
def _find_steps(ints: Ints, ring: int, until: int, owners: Shorts, tenant: int, steps: Ints) -> int:
    """Put the newest steps of the tenant's people from one item to another within a visit into `steps`, [from and to];
    how many."""
    found = 0
    for step in range(until, max(until - STEPS_LOOKED_AT, 0), -1):
        if found == steps.shape[1] or not is_kept(ints, ring, step):
            break
        earlier = before(ints, ring, step)
        if earlier == 0 or at_ms(ints, ring, step) - at_ms(ints, ring, earlier) > REST_MS:
            continue
        one, other = item_at(ints, ring, earlier), item_at(ints, ring, step)
        if one >= 0 and other >= 0 and one != other and owners[one] == tenant and owners[other] == tenant:
            steps[0, found], steps[1, found] = one, other
            found += 1
    return found


@kernel
def _is_near(one: float, other: float) -> bool:
    return bool(one > 0.0 and other > 0.0 and max(one, other) <= NEAR * min(one, other))


@kernel
def _lead(values: Values, row: int, marks: Shorts, near: bool, category: int, ways: Reals) -> None:
    """Put 1 into `ways` where the way leads from the marked item to that of `row`, whose price is near or not."""
    last = len(ways) - 1
    ways[0] = 1.0
    for way in range(1, len(ways)):
        ways[way] = 0.0
    for i in range(values.slots.shape[1]):
        slot = values.slots[row, i] - 1
        if slot < 0:
            break
        if marks[slot] > 0:
            place = marks[slot] - 1
            ways[last if place == last - 2 else 1 + place] = 1.0
    ways[last - 1] = 1.0 if near and (category < 0 or ways[1 + category] > 0.0) else 0.0


@kernel
def _weigh(sizes: Ints, category: int, items: int, near: float, weights: Reals) -> None:
    """By way how many times as likely as any item it makes one that it leads to."""
    last = len(weights) - 1
    weights[0] = 1.0
    for place in range(last - 2):
        weights[1 + place] = items / max(min(sizes[place], items), 1)
    of_category = min(sizes[category], items) if category >= 0 else items
    weights[last - 1] = items / max(near * of_category, 1.0)
    weights[last] = items / max(min(sizes[last - 2], items), 1)


@kernel
def _look(
    values: Values, prices: Reals, ones: Ints, others: Ints, apart: Ints, numbers: Shorts, category: int, items: int,
    marks: Shorts, sizes: Ints, weights: Reals, ways: Reals,
) -> float:  # fmt: skip
    """Fill `ways` by step with how many times as likely each way makes it, 0 where it does not lead there. Gives the
    share of the items of a category that are at much the same price, by steps that have nothing to do with each
    other."""
    alike, same = USUAL_NEAR * USUAL_NEAR_ITEMS, USUAL_NEAR_ITEMS
    title, last, count = len(sizes) - 1, len(weights) - 1, len(ones)
    for i in range(count):
        mark(values, ones[i], numbers, title, items, marks, sizes)
        for distance in apart:
            other = others[(i + distance) % count]
            price, its = prices[ones[i], 0], prices[other, 0]
            if other == ones[i] or not (price > 0.0 and its > 0.0):
                continue
            near = _is_near(price, its)
            _lead(values, other, marks, True, category, ways[i])
            if ways[i, last - 1] > 0.0:
                same += 1.0
                alike += 1.0 if near else 0.0
        unmark(values, ones[i], marks)
    share = alike / same
    for i in range(count):
        mark(values, ones[i], numbers, title, items, marks, sizes)
        near = _is_near(prices[ones[i], 0], prices[others[i], 0])
        _lead(values, others[i], marks, near, category, ways[i])
        unmark(values, ones[i], marks)
        _weigh(sizes, category, items, share, weights)
        for way in range(len(weights)):
            ways[i, way] *= weights[way]
    return share


def fitted(ways: Reals, usual: Reals) -> Reals:
    """The shares of ways that make steps likeliest; `ways`, [steps, ways], says how likely each way makes each step.

    >>> usual = np.array([0.5, 0.5])
    >>> fitted(np.array([[1.0, 8.0]] * 75 + [[1.0, 0.0]] * 25), usual).round(1).tolist()
    [0.3, 0.7]
    """
    shares = usual.copy()
    _fit(ways, usual, np.empty(len(usual)), shares)
    return shares


@kernel
def _fit(ways: Reals, usual: Reals, sums: Reals, shares: Reals) -> None:
    for _ in range(TURNS):
        for way in range(len(shares)):
            sums[way] = USUAL_STEPS * usual[way]
        for step in range(len(ways)):
            total = 0.0
            for way in range(len(shares)):
                total += shares[way] * ways[step, way]
            for way in range(len(shares)):
                sums[way] += shares[way] * ways[step, way] / total
        for way in range(len(shares)):
            shares[way] = sums[way] / (len(ways) + USUAL_STEPS)


@kernel
def _judge(
    values: Values, prices: Reals, row: int, rows: Ints, numbers: Shorts, category: int, items: int, shares: Reals,
    near: float, marks: Shorts, sizes: Ints, weights: Reals, ways: Reals, found: Reals,
) -> None:  # fmt: skip
    """Fill `found` by candidate; how many of the category are near in price differs from item to item, and is told by
    the candidates as far as they are of it."""
    title = len(sizes) - 1
    mark(values, row, numbers, title, items, marks, sizes)
    price = prices[row, 0]
    alike, same = near * USUAL_NEAR_ITEMS, USUAL_NEAR_ITEMS
    for c in range(len(rows)):
        other = rows[c]
        if other < 0 or other == row or not (price > 0.0 and prices[other, 0] > 0.0):
            continue
        _lead(values, other, marks, True, category, ways)
        if ways[len(ways) - 2] > 0.0:
            same += 1.0
            alike += 1.0 if _is_near(price, prices[other, 0]) else 0.0
    _weigh(sizes, category, max(items, 1), alike / same, weights)
    for c in range(len(rows)):
        total = shares[0]
        if rows[c] >= 0:
            _lead(values, rows[c], marks, _is_near(price, prices[rows[c], 0]), category, ways)
            for way in range(1, len(shares)):
                total += shares[way] * weights[way] * ways[way]
        found[c] = math.log(total)
    unmark(values, row, marks)
