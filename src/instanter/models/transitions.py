"""How people go on from one item to the next, by what the two have in common: told from a shop's newest steps.

A mixture of ways: somebody goes on to any item, to one with a value of some field in common, to one of the category at
much the same price, to one with a word of the title in common, or to one of another category that people turn to from
this one; in each way to any of the items that it leads to. So an item is the likelier, the more ways lead to it, the
oftener they are gone, and the fewer items they lead to. How often each is gone is what makes the newest steps likeliest
(Dempster, Laird and Rubin, 1977, mixture proportions), with what is usual as if it had been seen `USUAL_STEPS` times.
How often an item is looked at at all is not in it.

Beside it is learned how much what others turned to from the very same item says in this shop: the number of visits at
which it says as much as the mixture.

A pure function of the ring of steps as of the epoch, and of the catalogue.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..features.carriers import Carriers
from ..features.next_items import EVIDENT_HITS
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
_USUAL: Final = {"anywhere": 2.0, "category": 1.0, "field": 1.0, "near": 2.0, "title": 2.0, "turn": 1.0}
"""Of a hundred steps, so many in proportion."""
TURNS_USUAL: Final = 10.0
"""Turns from a category that are taken to have led to any item of another one."""
HALVES: Final = tuple(2.0**power for power in range(16))
"""Visits at which what others turned to may count as much as what items have in common; of these the one by which the
newest steps are likeliest is taken ..."""
HALF_USUAL: Final = 256.0
"""... beside this one, where a shop has told little ..."""
_DOUBLINGS: Final = 6.0
"""... from which so many doublings off cost half a unit of log-likelihood."""
WALKS_TELL: Final = 32.0
"""A walk tells so many times as much as the steps from the item alone: it has visits of the same kind too. Of 1 to
32, on the first 80 % of six logs."""
_OTHERS_LEAST: Final = 0.01
"""Of the items, those of other categories, at least."""
NEVER_SEEN: Final = 0.3
"""Steps to each item that are taken to have been there."""


class Turns(NamedTuple):
    """How often people turned from one category to another, by the slots of their values, without those never seen."""

    froms: Ints
    """Ascending."""
    starts: Ints
    """By place of a `from`, and one more: where its own begin in `tos`."""
    tos: Ints
    counts: Reals


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
    turns: Turns
    half_hits: float
    """Visits of an item at which what others turned to from it counts half."""
    stepped: Ints
    """The rows of all steps that were looked at ..."""
    owned: npt.NDArray[np.bool_]
    """... and which of them are the tenant's."""

    @property
    def explained(self) -> float:
        """The share of steps that do not lead just anywhere; 0 where items have nothing that they could share."""
        return 1.0 - float(self.shares[0]) if self.fields.items else 0.0


_NONE: Final[Ints] = np.zeros(0, np.int64)
NO_TURNS: Final = Turns(_NONE, np.zeros(1, np.int64), _NONE, np.zeros(0))


class Transitions:
    """Learns for one schema; holds a cache and nothing else."""

    def __init__(self, schema: Schema, carriers: Carriers, *, proves: bool = True) -> None:
        """`proves`: learn turns of categories, and how much steps from an item say; else as by rules 6."""
        self._proves = proves
        self._feature = carriers.get("sequences")
        self._state: State | None = None
        self._known: OrderedDict[str, Learned] = OrderedDict()
        """By tenant."""
        self._steps: Ints = np.zeros((2, STEPS_LOOKED_AT if proves else STEPS_LEARNED), np.int64)
        self._marks: Shorts = np.zeros(1, np.int32)
        """By slot of a value, all zeros between two questions."""

    def chances(self, state: State, tenant: str, row: int, rows: Ints, index: InCommon) -> Reals:
        """By candidate the logarithm of how many times as likely somebody goes on to it from the item of `row` as to
        any item that is looked at as often. `index` has followed the state."""
        learned = self.of(state, tenant, index)
        fields, ways, found = learned.fields, len(learned.shares), np.empty(len(rows))
        _judge(
            index.values, state.catalogue.attributes.numbers, row, rows, fields.numbers, fields.category, fields.items,
            learned.shares, learned.near, learned.turns.froms, learned.turns.starts, learned.turns.tos,
            learned.turns.counts, self._marks, np.empty(fields.title + 1, np.int64), np.empty(ways), np.empty(ways),
            found,
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
            if not np.array_equal(catalogue.tenants[known.stepped] == catalogue.code_of(tenant), known.owned):
                return False
            self._known[tenant] = known._replace(changes=catalogue.changes)
        return True

    def _learned(
        self, state: State, ring: int, tenant: str, index: InCommon, stands: tuple[int, ...]
    ) -> Learned:
        code = state.catalogue.code_of(tenant)
        prices = state.catalogue.attributes.numbers
        fields, steps, stepped = index.fields(code), 0, _NONE
        if ring >= 0 and (fields.items or self._proves):
            # What has no values has an owner all the same: what people turned to says something of it too.
            owners = state.catalogue.tenants if self._proves else index.values.owners
            steps = _find_steps(state.tables.memory.ints, ring, stands[0], owners, code, self._steps)
            if self._proves:
                stepped = _rows_of_steps(state.tables.memory.ints, ring, stands[0])
        found = self._steps[:, :steps].copy()
        ones, others = found[:, :STEPS_LEARNED]
        usual = usual_shares(fields, turns=self._proves)
        ways = np.empty((len(ones), len(usual)))
        near = _look(
            index.values, prices, ones, others, np.array(_APART), fields.numbers, fields.category, fields.items,
            self._marks, np.empty(fields.title + 1, np.int64), np.empty(len(usual)), ways,
        )  # fmt: skip
        turns, half_hits = NO_TURNS, EVIDENT_HITS
        if self._proves:
            turns = _turns_of(index.values, found, fields, ways[:, -1])
        shares = fitted(ways, usual)
        if self._proves:
            half_hits = half_of(found, ways @ shares) / WALKS_TELL
        rows = np.unique(found[:, :STEPS_LEARNED])
        return Learned(
            stands, state.catalogue.changes, rows, prices[rows, 0], fields, shares, near, turns, half_hits, stepped,
            state.catalogue.tenants[stepped] == code,
        )  # fmt: skip


def _learned_until(written: int) -> int:
    """The step up to which is learned, of so many: few more make no difference."""
    every = LEARNED_EVERY
    while every > max(written, _LEARNED_FROM):
        every //= 2
    return written // every * every


def usual_shares(fields: Fields, *, turns: bool) -> Reals:
    """By way what is usual where nothing is known of a shop."""
    shares = [_USUAL["category" if name == "category" else "field"] for name in fields.names]
    usual = np.array([
        _USUAL["anywhere"], *shares, _USUAL["near"], _USUAL["title"], *([_USUAL["turn"]] if turns else [])
    ])  # fmt: skip
    shared: Reals = usual / usual.sum()
    return shared


def half_of(steps: Ints, mixed: Reals) -> float:
    """Visits of an item at which what others turned to from it says as much as the mixture. `steps`, [from and to], are
    all that are counted, `mixed` says of the first ones how many times as likely as any item the mixture makes them.

    Each step is guessed by all the others: with h visits of its item besides it by what they led to with
    h / (h + half), and else by how often the item is stepped to and by the mixture.

    >>> usual = np.ones(100)
    >>> half_of(np.array([[1, 2] * 50, [2, 1] * 50]), usual) < half_of(np.array([[1] * 100, range(100)]), usual)
    True
    """
    if not len(mixed):
        return HALF_USUAL
    ones, others = steps
    learned = len(mixed)
    hits = _others_like(ones, learned)
    told = _others_like(ones * (int(steps.max()) + 1) + others, learned) / np.maximum(hits, 1.0)
    reached = 1 + np.count_nonzero(np.diff(np.sort(others)))
    liked = (_others_like(others, learned) + NEVER_SEEN) / (len(others) - 1.0 + NEVER_SEEN * reached)
    best, likeliest = HALF_USUAL, -math.inf
    for half in HALVES:
        share = hits / (hits + half)
        found = float(np.log((1.0 - share) * liked * mixed + share * told).sum())
        found -= 0.5 * (math.log2(half / HALF_USUAL) / _DOUBLINGS) ** 2
        if found > likeliest:
            best, likeliest = half, found
    return best


def _others_like(keys: Ints, count: int) -> Reals:
    """How many others are equal to each of the first `count`."""
    ordered = np.sort(keys)
    ends = np.searchsorted(ordered, keys[:count], "right") - np.searchsorted(ordered, keys[:count], "left")
    others: Reals = (ends - 1).astype(np.float64)
    return others


def _turns_of(values: Values, steps: Ints, fields: Fields, ways: Reals) -> Turns:
    """How people turn from one category to another in these steps, [from and to]; fills by step, as far as `ways` goes,
    how many times as likely as any item the others make it, 0 where they are of one category or have none."""
    categories: Ints = np.empty_like(steps)
    _find_categories(values, steps, fields.numbers, fields.category, categories)
    turned: npt.NDArray[np.bool_] = (np.minimum(*categories) >= 0) & (categories[0] != categories[1])
    width = len(values.counts)
    led = categories[0, turned] * width + categories[1, turned]
    keys, counts = np.unique(led, return_counts=True)
    froms, starts = np.unique(keys // width, return_index=True)
    starts = np.append(starts, len(keys))
    tos = keys % width
    all_of = np.add.reduceat(counts, starts[:-1]) if len(keys) else counts
    ways[:] = 0.0
    learned = turned[: len(ways)]
    mine = np.searchsorted(keys, led[: int(learned.sum())])
    known = np.searchsorted(froms, keys[mine] // width)
    own, share = (values.counts[one] / max(fields.items, 1) for one in (froms[known], tos[mine]))
    usual = TURNS_USUAL * share / np.maximum(1.0 - own, _OTHERS_LEAST)
    ways[learned] = (counts[mine] - 1.0 + usual) / (all_of[known] - 1.0 + TURNS_USUAL) / share
    return Turns(froms, starts, tos, counts.astype(np.float64))


def _rows_of_steps(ints: Ints, ring: int, until: int) -> Ints:
    """The rows of all steps that are looked at, whosever they are, each once."""
    rows: Ints = np.empty(STEPS_LOOKED_AT, np.int64)
    found: Ints = np.unique(rows[: _find_rows(ints, ring, until, rows)])
    return found


@kernel
def _find_rows(ints: Ints, ring: int, until: int, rows: Ints) -> int:
    found = 0
    for step in range(until, max(until - STEPS_LOOKED_AT, 0), -1):
        if not is_kept(ints, ring, step):
            break
        row = item_at(ints, ring, step)
        if row >= 0:
            rows[found] = row
            found += 1
    return found


@kernel
def _category_of(values: Values, row: int, numbers: Shorts, category: int) -> int:
    """The slot of the first category of an item, -1 for none."""
    for i in range(values.slots.shape[1]):
        slot = values.slots[row, i] - 1
        if slot < 0:
            break
        if numbers[values.fields[slot]] == category:
            return int(slot)
    return -1


@kernel
def _find_categories(values: Values, steps: Ints, numbers: Shorts, category: int, categories: Ints) -> None:
    for side in range(2):
        for i in range(steps.shape[1]):
            categories[side, i] = _category_of(values, steps[side, i], numbers, category) if category >= 0 else -1


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
def _lead(values: Values, row: int, marks: Shorts, near: bool, category: int, titles: int, ways: Reals) -> None:
    """Put 1 into `ways` where the way leads from the marked item to that of `row`, whose price is near or not; of turns
    nothing is said."""
    last = titles + 2
    ways[0] = 1.0
    for way in range(1, len(ways)):
        ways[way] = 0.0
    for i in range(values.slots.shape[1]):
        slot = values.slots[row, i] - 1
        if slot < 0:
            break
        if marks[slot] > 0:
            place = marks[slot] - 1
            ways[last if place == titles else 1 + place] = 1.0
    ways[last - 1] = 1.0 if near and (category < 0 or ways[1 + category] > 0.0) else 0.0


@kernel
def _weigh(sizes: Ints, category: int, items: int, near: float, weights: Reals) -> None:
    """By way how many times as likely as any item it makes one that it leads to."""
    titles = len(sizes) - 1
    last = titles + 2
    for way in range(len(weights)):
        weights[way] = 1.0
    for place in range(titles):
        weights[1 + place] = items / max(min(sizes[place], items), 1)
    of_category = min(sizes[category], items) if category >= 0 else items
    weights[last - 1] = items / max(near * of_category, 1.0)
    weights[last] = items / max(min(sizes[titles], items), 1)


@kernel
def _look(
    values: Values, prices: Reals, ones: Ints, others: Ints, apart: Ints, numbers: Shorts, category: int, items: int,
    marks: Shorts, sizes: Ints, weights: Reals, ways: Reals,
) -> float:  # fmt: skip
    """Fill `ways` by step with how many times as likely each way makes it, 0 where it does not lead there. Gives the
    share of the items of a category that are at much the same price, by steps that have nothing to do with each
    other."""
    alike, same = USUAL_NEAR * USUAL_NEAR_ITEMS, USUAL_NEAR_ITEMS
    title, count = len(sizes) - 1, len(ones)
    last = title + 2
    for i in range(count):
        mark(values, ones[i], numbers, title, items, marks, sizes)
        for distance in apart:
            other = others[(i + distance) % count]
            price, its = prices[ones[i], 0], prices[other, 0]
            if other == ones[i] or not (price > 0.0 and its > 0.0):
                continue
            near = _is_near(price, its)
            _lead(values, other, marks, True, category, title, ways[i])
            if ways[i, last - 1] > 0.0:
                same += 1.0
                alike += 1.0 if near else 0.0
        unmark(values, ones[i], marks)
    share = alike / same
    for i in range(count):
        mark(values, ones[i], numbers, title, items, marks, sizes)
        near = _is_near(prices[ones[i], 0], prices[others[i], 0])
        _lead(values, others[i], marks, near, category, title, ways[i])
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
def _turned(slot: int, first: int, end: int, tos: Ints, counts: Reals) -> float:
    """How often people turned to a category, of those that stand, ascending, from `first` to before `end`."""
    place = first + np.searchsorted(tos[first:end], slot)
    if place < end and tos[place] == slot:
        return float(counts[place])
    return 0.0


@kernel
def _judge(
    values: Values, prices: Reals, row: int, rows: Ints, numbers: Shorts, category: int, items: int, shares: Reals,
    near: float, froms: Ints, starts: Ints, tos: Ints, counts: Reals, marks: Shorts, sizes: Ints, weights: Reals,
    ways: Reals, found: Reals,
) -> None:  # fmt: skip
    """Fill `found` by candidate; how many of the category are near in price differs from item to item, and is told by
    the candidates as far as they are of it."""
    turn = len(sizes) + 2
    title = len(sizes) - 1
    mark(values, row, numbers, title, items, marks, sizes)
    price = prices[row, 0]
    alike, same = near * USUAL_NEAR_ITEMS, USUAL_NEAR_ITEMS
    for c in range(len(rows)):
        other = rows[c]
        if other < 0 or other == row or not (price > 0.0 and prices[other, 0] > 0.0):
            continue
        _lead(values, other, marks, True, category, title, ways)
        if ways[title + 1] > 0.0:
            same += 1.0
            alike += 1.0 if _is_near(price, prices[other, 0]) else 0.0
    _weigh(sizes, category, max(items, 1), alike / same, weights)
    own = _category_of(values, row, numbers, category) if turn < len(ways) and category >= 0 else -1
    place = np.searchsorted(froms, own)
    first, end = 0, 0
    if place < len(froms) and froms[place] == own:
        first, end = starts[place], starts[place + 1]
    all_turns = counts[first:end].sum() + TURNS_USUAL
    others = 1.0 if own < 0 else max(1.0 - values.counts[own] / max(items, 1), _OTHERS_LEAST)
    for c in range(len(rows)):
        total = shares[0]
        if rows[c] >= 0:
            _lead(values, rows[c], marks, _is_near(price, prices[rows[c], 0]), category, title, ways)
            if own >= 0 and values.owners[rows[c]] == values.owners[row]:  # Numbers of fields are a tenant's own.
                its = _category_of(values, rows[c], numbers, category)
                if its >= 0 and its != own:
                    share = values.counts[its] / max(items, 1)
                    turned = _turned(its, first, end, tos, counts) + TURNS_USUAL * share / others
                    ways[turn] = turned / all_turns / share
            for way in range(1, len(shares)):
                total += shares[way] * weights[way] * ways[way]
        found[c] = math.log(total)
    unmark(values, row, marks)
