"""What somebody may turn to next, as inputs: what a walk of the ring of steps finds, and their own steps.

    next.<column>   share (0 to 1) of what the walk found of this kind, see `sequences.COLUMNS`; 0 if it did not find it
    next.chance     by all of these together, as a logarithm: 0 for what is not found, the larger, the likelier it comes
                    next, see `_judge`
    next.evident    the same, the less the fewer visits of the newest item there are
    next.usual      logarithm of 1 + the views of the item, the less the more visits of the newest item there are
    next.proven     as `next.evident`, beside an item by as many visits as it takes in this shop, and more sharply; an
                    own item counts without any
    next.unproven   as `next.usual`, likewise
    own.place       1 for the item of the person's newest step, 1/2 for the item before ..., 0 if none is about it
    own.times       how many of the person's newest steps are about it
    own.age         seconds since the newest of these, NaN if none is about it

The item of the page counts as the newest step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..foundation.limits import STEPS_READ_MAX, WALK_ITEMS_MAX
from ..state.compiled import Ints, Reals, Shorts, kernel
from ..state.memory import State
from ..state.recent import Steps, steps_of
from ..state.schema import Schema
from ..state.steps import as_of, before, is_kept, item_at, owners_of
from .carriers import Carriers
from .sequences import COLUMNS, FOUND, HITS, NEXT, REST_MS, Own, Walked, find_or_add, find_row, make_room, walk

NAMES: Final = (
    *(f"next.{name}" for name in COLUMNS), "next.chance", "next.evident", "next.usual", "own.place", "own.times",
    "own.age",
)  # fmt: skip
PROVEN_NAMES: Final = ("next.proven", "next.unproven")
"""Newer than the others, and before them."""
UNBOUNDED: Final = frozenset({"own.times", "own.age"})
_CHANCE: Final = len(COLUMNS)
_EVIDENT, _USUAL, _PLACE, _TIMES, _AGE = range(_CHANCE + 1, _CHANCE + 6)

STEP_FADES: Final = 0.75
"""What a step of the person counts of the next newer one ..."""
REST_FADES: Final = 0.5
"""... and so much of that where a rest lies between."""
RETURNS_LOOKED_AT: Final = 4_096
"""The newest steps of all people from which it is told how often one returns to an item ..."""
RETURNS_EVERY: Final = 1_024
"""... told anew after so many further ones."""
_RETURNS_PRIOR: Final = 20.0
"""Steps that are taken to have been no returns."""

NOTHING_KNOWN: Final = np.array([np.nan if name == "own.age" else 0.0 for name in NAMES], np.float32)
"""The columns of a candidate of which no walk has told anything."""
_NOTHING: Final[Ints] = np.zeros(0, np.int64)
NO_STEPS: Final = Steps(_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING)


_MIXED: Final = {
    "kin": 0.4, "kin_lately": 1.2, "kin_close": 0.5, "kin_by_place": 0.6, "kin_by_age": 0.3, "after": 0.4,
    "after_lately": 0.5, "next": 0.3, "next_lately": 2.0, "after_second": 0.2, "after_both": 0.15, "before": 0.3,
    "beside": 0.2, "after_others": 0.6, "lately": 0.25,
}  # fmt: skip
"""Weights of the mixture of shares."""
_RULES: Final = frozenset({"after", "after_lately", "next", "next_lately", "after_both", "before", "beside"})
"""Columns that count the more, the more visits of the newest item there are: half at `TRUSTED_HITS` ..."""
_KIN: Final = frozenset({
    "kin", "kin_lately", "kin_close", "kin_by_place", "kin_by_age", "after_second", "after_others"
})  # fmt: skip
"""... and the less: half at `KIN_HITS`."""
TRUSTED_HITS: Final = 8.0
KIN_HITS: Final = 300.0
LEAST: Final = 1e-6
"""Added to the mixture: the share of what was never met."""
SHARPLY: Final = 1.5
"""What is proven grows with so many powers of the visits: few say less than their part, since the chance of what is met
once is many times that of what is never met."""
OWN_CHANCE: Final = 7.0
"""The chance of an own item from which on it is more than that of others where no visits tell of these."""
EVIDENT_HITS: Final = 8.0
"""Visits of the newest item at which the chance counts half where it counts by its evidence."""
RETURN_HITS: Final = 5.0
"""Visits of an item that its own returns weigh as much as the returns of all items."""
# What each part adds to the chance.
BY_MIXTURE: Final = 0.657
BY_TRUST: Final = 0.510
BY_OWN: Final = 0.596
BY_RETURNS: Final = 0.995
BY_OWN_MIXTURE: Final = -0.864
BY_TIMES: Final = 0.589
BY_ITS_RETURNS: Final = 0.264
BY_LENGTH: Final = -0.114
_LENGTH_USUAL: Final = 1.5
_SHARE_LEAST: Final = 1e-5

_WEIGHTS: Final[Reals] = np.array([_MIXED.get(name, 0.0) for name in COLUMNS])
_KINDS: Final[Ints] = np.array([1 if name in _RULES else 2 if name in _KIN else 0 for name in COLUMNS], np.int64)
_TENANTS_KNOWN: Final = 256
"""Whose returns are remembered; of more all are told anew."""


class NextItems:
    """Walks for one schema, one at a time."""

    def __init__(self, schema: Schema, carriers: Carriers) -> None:
        self._feature = carriers.get("sequences")
        placed = None if self._feature is None else schema.layout.named(self._feature)
        self._purpose = "" if placed is None else placed.spec.purpose
        self._head = -1 if placed is None else placed.offset
        self._words = schema.layout.item_words
        self._walked = make_room()
        self._amounts: Reals = np.zeros(len(COLUMNS))
        self._chances: Reals = np.zeros(len(self._walked.rows))
        self._returns = _Returns()

    def steps(
        self, state: State, keys: Sequence[int], denied: frozenset[str], count: int = STEPS_READ_MAX
    ) -> Steps:
        """The newest `count` steps of the person with these cells; none where they have not agreed to that."""
        if self._feature is None or not keys or self._purpose in denied:
            return NO_STEPS
        return steps_of(state, keys, self._feature, count)

    def of(self, state: State, keys: Sequence[int], steps: Steps, page_row: int, now_ms: int, tenant: int) -> Ahead:
        """What may come next after these steps and the item of the page (-1: there is none), as of the epoch.

        `tenant` is its code in the catalogue. What is returned holds until the next call.
        """
        if self._feature is None:
            return Ahead(self._walked, self._chances, 0, _NOTHING, _NOTHING, _NOTHING)
        own = _own_of(steps, page_row, now_ms)
        ints, ring = state.tables.memory.ints, state.ring(self._feature)
        heads = state.published[own.rows * self._words + self._head]
        owners = owners_of(keys)
        theirs = Own(own.rows, heads, own.weights, owners, state.catalogue.tenants, tenant)
        walk(ints, ring, as_of(ints, ring), now_ms, theirs, self._walked)
        returns = self._returns.of(state, ring, tenant)
        _judge(
            self._walked, own.rows, own.times, own.in_visit, returns, _WEIGHTS, _KINDS, self._amounts, self._chances
        )
        return Ahead(self._walked, self._chances, int(self._walked.counts[FOUND]), own.rows, own.times, own.times_ms)


def live_steps(steps: Steps, now_ms: int) -> Steps:
    """Those of the visit that goes on now."""
    times_ms = np.concatenate([[now_ms], steps.times_ms])
    rests = np.flatnonzero(times_ms[:-1] - times_ms[1:] > REST_MS)
    return Steps(*(part[: rests[0]] for part in steps)) if len(rests) else steps


class _OwnItems(NamedTuple):
    """The items of somebody's newest steps, each once, the newest first."""

    rows: Ints
    weights: Reals
    times: Ints
    times_ms: Ints
    in_visit: int
    """Steps of the newest visit."""


def _own_of(steps: Steps, page_row: int, now_ms: int) -> _OwnItems:
    rows, times_ms = steps.rows.tolist(), steps.times_ms.tolist()
    if page_row >= 0 and rows[:1] != [page_row]:
        rows, times_ms = [page_row, *rows], [now_ms, *times_ms]
    found: dict[int, int] = {}
    weights, times, newest_ms = list[float](), list[int](), list[int]()
    weight, in_visit, resting = 1.0, 0, False
    for place, row in enumerate(rows):
        if place > 0:
            weight *= STEP_FADES
            if times_ms[place - 1] - times_ms[place] > REST_MS:
                weight, resting = weight * REST_FADES, True
        in_visit += not resting
        known = found.get(row)
        if known is not None:
            times[known] += 1
        elif len(found) < WALK_ITEMS_MAX:
            found[row] = len(found)
            weights.append(weight)
            times.append(1)
            newest_ms.append(times_ms[place])
    return _OwnItems(
        np.array(list(found), np.int64), np.array(weights, np.float64), np.array(times, np.int64),
        np.array(newest_ms, np.int64), in_visit,
    )  # fmt: skip


class Ahead(NamedTuple):
    """What may come next, until the next walk."""

    walked: Walked
    chances: Reals
    """By place among what was found."""
    found: int
    """How many items were found, the person's own among them."""
    own: Ints
    """Rows of the person's own items, the newest first."""
    times: Ints
    times_ms: Ints

    def best(self) -> tuple[Ints, Reals]:
        """Rows of what was found, the likeliest first, and their chances; ties in the order in which they were met."""
        chances = self.chances[: self.found]
        order = np.argsort(-chances, kind="stable")
        return self.walked.rows[order], chances[order]

    def fill(
        self, rows: Ints, now_ms: int, views: int, first: int, matrix: npt.NDArray[np.float32]
    ) -> None:
        """Fill the columns of candidates from `first` on; `views` is the column of the views of items, -1 for none."""
        _fill(self.walked, self.chances, self.own, self.times, self.times_ms, rows, now_ms, views, first, matrix)


def fill_proven(
    ahead: Ahead | None, half_hits: float, views: int, first: int, matrix: npt.NDArray[np.float32]
) -> None:
    """Fill the two columns before those that `Ahead.fill` has filled from `first` on; where no walk was made nothing is
    known. At `half_hits` visits of the newest item its chances count half."""
    proven = matrix[:, first - len(PROVEN_NAMES) : first]
    proven[:] = 0.0
    if ahead is None:
        return
    hits = float(ahead.walked.counts[HITS])
    evidence = hits**SHARPLY / (hits**SHARPLY + half_hits**SHARPLY)
    chances, own = matrix[:, first + _CHANCE], matrix[:, first + _PLACE] > 0.0
    proven[:, 0] = evidence * chances
    # That people return is told by their own steps: it takes no visits of others.
    proven[own, 0] += (1.0 - evidence) * np.maximum(chances[own] - OWN_CHANCE, 0.0)
    if views >= 0:
        proven[:, 1] = (1.0 - evidence) * np.log1p(np.maximum(np.nan_to_num(matrix[:, views], nan=0.0), 0.0))


class _Told(NamedTuple):
    """What was told of one tenant's returns."""

    stands: tuple[int, ...]
    """The steps it was told from ..."""
    changes: int
    """... as of so many changes of the catalogue, of which none since has changed whose items these are: ..."""
    rows: Ints
    """... those of the steps that were looked at ..."""
    owned: npt.NDArray[np.bool_]
    """... and which of them are the tenant's."""
    logarithms: Reals


class _Returns:
    """How often people return to what they did something with before, by how many items lie between."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._known: dict[int, _Told] = {}
        """By tenant."""
        self._rows: Ints = np.zeros(RETURNS_LOOKED_AT, np.int64)

    def of(self, state: State, ring: int, tenant: int) -> Reals:
        """Logarithm of the share of steps that return to the last item, to the one before ...; [`WALK_ITEMS_MAX`]."""
        ints = state.tables.memory.ints
        until = as_of(ints, ring) // RETURNS_EVERY * RETURNS_EVERY
        stands = (until, state.blanked, state.configured)
        if state is not self._state:
            self._state, self._known = state, {}
        told = self._known.get(tenant)
        if told is None or told.stands != stands or not self._still(told, state, tenant):
            if len(self._known) > _TENANTS_KNOWN:
                self._known.clear()
            told = self._known[tenant] = self._counted(state, ring, tenant, stands)
        return told.logarithms

    def _still(self, told: _Told, state: State, tenant: int) -> bool:
        """Whether the items of the steps are whose they were: one that came after it was looked at, or is gone, changes
        what counts."""
        catalogue = state.catalogue
        if told.changes == catalogue.changes:
            return True
        if not np.array_equal(catalogue.tenants[told.rows] == tenant, told.owned):
            return False
        self._known[tenant] = told._replace(changes=catalogue.changes)
        return True

    def _counted(self, state: State, ring: int, tenant: int, stands: tuple[int, ...]) -> _Told:
        tenants = state.catalogue.tenants
        counts, recent = np.zeros((2, WALK_ITEMS_MAX)), np.zeros(WALK_ITEMS_MAX, np.int64)
        count = _count_returns(
            state.tables.memory.ints, ring, stands[0], tenants, tenant, recent, self._rows, counts
        )
        rows = np.unique(self._rows[:count])
        logarithms = np.log((counts[0] + 0.5) / (counts[1] + _RETURNS_PRIOR))
        return _Told(stands, state.catalogue.changes, rows, tenants[rows] == tenant, logarithms)


@kernel
def _count_returns(
    ints: Ints, ring: int, until: int, tenants: Shorts, tenant: int, recent: Ints, rows: Ints, counts: Reals
) -> int:
    """By how many items lie between: returns, and steps that had an item to return to. Puts the rows of all steps that
    it looks at into `rows`; how many."""
    looked_at = 0
    for step in range(until, max(until - RETURNS_LOOKED_AT, 0), -1):
        if not is_kept(ints, ring, step):
            break
        row = item_at(ints, ring, step)
        if row < 0:
            continue
        rows[looked_at] = row
        looked_at += 1
        if tenants[row] != tenant:
            continue
        known, earlier = 0, before(ints, ring, step)
        place = -1
        while earlier != 0 and known < len(recent):
            other, fresh = item_at(ints, ring, earlier), True
            for i in range(known):
                fresh = fresh and recent[i] != other
            if fresh and other >= 0:
                recent[known] = other
                if other == row:
                    place = known
                known += 1
            earlier = before(ints, ring, earlier)
        for i in range(known):
            counts[1, i] += 1.0
        if place >= 0:
            counts[0, place] += 1.0
    return looked_at


@kernel
def _judge(
    walked: Walked, own: Ints, times: Ints, in_visit: int, returns: Reals, weights: Reals, kinds: Ints, amounts: Reals,
    chances: Reals,
) -> None:  # fmt: skip
    """Put the chance of each item found into `chances`, the own items among them: its logarithm over that of what was
    not found.

    A mixture of the shares says how likely an item is by what others did who did the same. Of an own item it counts as
    well how often people return so far back, and of the newest one how often this very item is returned to.
    """
    for i in range(len(own)):
        find_or_add(walked, own[i])
    hits = float(walked.counts[HITS])
    trust, total = hits / (hits + TRUSTED_HITS), 0.0
    for column in range(len(amounts)):
        amounts[column] = weights[column]
        if kinds[column] == 1:
            amounts[column] *= trust
        elif kinds[column] == 2:
            amounts[column] *= 1.0 - hits / (hits + KIN_HITS)
        total += amounts[column]
    known, chance = LEAST, 0.0
    for found in range(walked.counts[FOUND]):
        mixed = _mixed(walked, found, amounts, total)
        if mixed != known:  # Most items were only met among the newest steps, so often as the one before.
            known, chance = mixed, (BY_MIXTURE + BY_TRUST * trust) * math.log(mixed / LEAST)
        chances[found] = chance
    for i in range(len(own)):
        found = find_row(walked, own[i])
        if found < 0:
            continue
        mixed = math.log(_mixed(walked, found, amounts, total))
        chance = chances[found] + BY_OWN + BY_RETURNS * returns[i] + BY_OWN_MIXTURE * mixed
        chance += BY_LENGTH * (math.log(1.0 + in_visit) - _LENGTH_USUAL)
        if times[i] > 1:
            chance += BY_TIMES
        if i == 0:
            share = walked.scores[found, NEXT] / max(walked.totals[NEXT], 1.0)
            its = (share * hits + RETURN_HITS * math.exp(returns[0])) / (hits + RETURN_HITS)
            chance += BY_ITS_RETURNS * (math.log(its + _SHARE_LEAST) - returns[0])
        chances[found] = chance


@kernel
def _mixed(walked: Walked, found: int, amounts: Reals, total: float) -> float:
    mixed: float = LEAST
    for column in range(len(amounts)):
        if walked.scores[found, column] > 0.0:  # Most are 0, and divisions are dear.
            mixed += amounts[column] * walked.scores[found, column] / walked.totals[column] / (total + 1e-9)
    return mixed


@kernel
def _fill(
    walked: Walked, chances: Reals, own: Ints, times: Ints, times_ms: Ints, rows: Ints, now_ms: int, views: int,
    first: int, matrix: npt.NDArray[np.float32],
) -> None:  # fmt: skip
    evidence = walked.counts[HITS] / (walked.counts[HITS] + EVIDENT_HITS)
    for c in range(len(rows)):
        found = find_row(walked, rows[c]) if rows[c] >= 0 else -1
        for column in range(_CHANCE):
            share = 0.0
            if found >= 0 and walked.scores[found, column] > 0.0:
                share = walked.scores[found, column] / walked.totals[column]
            matrix[c, first + column] = share
        matrix[c, first + _CHANCE] = chances[found] if found >= 0 else 0.0
        seen = matrix[c, views] if views >= 0 else 0.0
        matrix[c, first + _USUAL] = (1.0 - evidence) * math.log(1.0 + max(seen, 0.0)) if seen == seen else 0.0
        matrix[c, first + _EVIDENT] = evidence * matrix[c, first + _CHANCE]
        place = -1
        for i in range(len(own)):
            if own[i] == rows[c]:
                place = i
        matrix[c, first + _PLACE] = 1.0 / (1.0 + place) if place >= 0 else 0.0
        matrix[c, first + _TIMES] = times[place] if place >= 0 else 0.0
        matrix[c, first + _AGE] = (now_ms - times_ms[place]) / 1e3 if place >= 0 else np.nan
