"""What comes next, found by walking the ring of steps: no counters besides it.

From each of the items that a person did something with last, the walk goes over the newest steps about that item. Each
leads to somebody else's visit: what came after it and what came before. Two readings come out of one walk.

Rules say what follows an item, whoever the visitor: it was next, or some steps on. Kinship (session kNN) weighs every
visit by how much of this person's own steps it shares, the newest and rarest most, and says what else was in it, what
is nearest to the shared step first. Each reading is a column of `Walked.scores`, a sum over visits; divided by its
total it is a share, which compares between items known by thousands of visits and items known by three.

Whoever is the same person to the ring (`owner_in`) is no neighbour. A visit ends where the person rested longer than
`REST_MS`. Steps behind `until`, those that came since the newest epoch, are left out.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ..foundation.limits import WALK_FOUND_MAX, WALK_HITS_MAX, WALK_ITEMS_MAX, WALK_VISITS_MAX
from ..state.compiled import Ints, Reals, Shorts, kernel
from ..state.steps import after_in, before_in, earlier_in, is_kept, item_at, item_in, owner_in, time_in, word_of

REST_MS = 30 * 60 * 1000
"""A person that rested longer begins a new visit."""
REACH = 12
"""Steps of a visit that are looked at on each side of the shared one."""
RULE_REACH = 8
"""Steps after an item that its rules speak of."""
RULE_ITEMS = 3
"""Own items, the newest, whose rules are read; kinship reads all of them."""
OLDER_HITS_DIVISOR = 8
"""Of the own items before the newest, so much fewer steps are looked at: they say less."""
LATELY_STEPS = 1_000
"""The newest steps of the tenant's people, which say what goes on ..."""
LATELY_LOOKED_AT = 4_096
"""... among so many of all tenants, whose steps lie in one ring."""

AHEAD_FADES, BACK_FADES = 0.75, 0.7
"""What one step further from the shared one counts, after it and before it."""
HITS_FADE = math.exp(-1.0 / 150.0)
"""What a visit counts of the next newer one in the readings that forget."""
AGE_MS = 5 * 24 * 3600 * 1000
"""After so long a visit counts 1 / e in the reading that forgets by time."""

COLUMNS = (
    "kin", "kin_lately", "kin_close", "kin_by_place", "kin_by_age", "after", "after_lately", "next", "next_lately",
    "after_second", "next_second", "after_both", "before", "beside", "after_others", "lately",
)  # fmt: skip
"""What the columns of scores are:

kin             visits by what they share, the nearer to the shared step the more
kin_lately      the same, newer visits of an item more than its older ones
kin_close       the same, by the square of what they share
kin_by_place    by what they share, however far off, and by how new the shared item is to this person
kin_by_age      like kin, fading with the days since
after           what followed the newest own item within `RULE_REACH` steps: 1, 1/2, 1/3 ... for each visit
after_lately    the same, newer visits more
next            how often it was the very next
next_lately     the same, newer visits more
after_second    like after, of the second and third newest own item
next_second     like next, of the second newest
after_both      like after, in visits that share the two newest own items
before          what came before the newest own item: 1, 1/2, 1/3 ...
beside          visits of the newest own item that it was in
after_others    like after, in visits that share only older own items
lately          how often among the newest steps of all people
"""
(
    KIN, KIN_LATELY, KIN_CLOSE, KIN_BY_PLACE, KIN_BY_AGE, AFTER, AFTER_LATELY, NEXT, NEXT_LATELY, AFTER_SECOND,
    NEXT_SECOND, AFTER_BOTH, BEFORE, BESIDE, AFTER_OTHERS, LATELY,
) = range(len(COLUMNS))  # fmt: skip

_STEP, _ITEM, _SHARED, _OWNER = 0, 1, 2, 3
_LIKENESS, _FADED = 0, 1
VISITS, FOUND, HITS = 0, 1, 2


ALL_ONE: Final[Shorts] = np.zeros(0, np.int32)


class Own(NamedTuple):
    """What this person did last."""

    rows: Ints
    """Rows of the items, each once, the newest first; what comes behind `WALK_ITEMS_MAX` is left out."""
    heads: Ints
    """The newest step about each as published, 0 for none."""
    weights: Reals
    """How much each says of what comes next: 1 for the newest."""
    owners: Ints
    """What steps say of this person's own cells, see `steps.owner_of`."""
    tenants: Shorts = ALL_ONE
    """By row of an item: whose it is; empty where all are one tenant's."""
    tenant: int = 0


class Walked(NamedTuple):
    """What a walk found, and the room it takes. Made once and filled anew by every walk: a decision makes no arrays."""

    scores: Reals
    """By item found, the columns `COLUMNS`."""
    rows: Ints
    """Rows of the items found, in the order in which they were met."""
    places: Ints
    """A hash table from a row to where it stands in `rows`, + 1."""
    totals: Reals
    """Sum of each column."""
    counts: Ints
    """How many visits and items were found, and on how many steps of the newest own item rules go."""
    visits: Ints
    likeness: Reals
    visit_places: Ints


def make_room() -> Walked:
    """Room for the walks of one thread, one at a time."""
    return Walked(
        scores=np.zeros((WALK_FOUND_MAX, len(COLUMNS))),
        rows=np.zeros(WALK_FOUND_MAX, np.int64),
        places=np.zeros(2 * WALK_FOUND_MAX, np.int64),
        totals=np.zeros(len(COLUMNS)),
        counts=np.zeros(3, np.int64),
        visits=np.zeros((WALK_VISITS_MAX, 4), np.int64),
        likeness=np.zeros((WALK_VISITS_MAX, 2)),
        visit_places=np.zeros(2 * WALK_VISITS_MAX, np.int64),
    )


@kernel
def walk(ints: Ints, ring: int, until: int, now_ms: int, own: Own, walked: Walked) -> None:
    """Fill `walked` with what the ring says comes next after the own items.

    Costs at most `WALK_HITS_MAX` steps of the newest own item, a part of that of each other, and 2 * `REACH` steps of
    each of `WALK_VISITS_MAX` visits. The same ring and own items give the same result, the items in the same order.
    """
    _clear(walked)
    for i in range(min(len(own.rows), WALK_ITEMS_MAX)):
        _meet_visits(ints, ring, until, own, i, walked)
    for visit in range(walked.counts[VISITS]):
        _look_ahead(ints, ring, until, now_ms, own, visit, walked)
        _look_back(ints, ring, now_ms, own, visit, walked)
    beside_or_before = walked.counts[FOUND]
    _see_newest(ints, ring, until, own, walked)
    for found in range(beside_or_before):
        for column in range(LATELY):
            walked.totals[column] += walked.scores[found, column]
    for found in range(walked.counts[FOUND]):
        walked.totals[LATELY] += walked.scores[found, LATELY]


@kernel
def find_row(walked: Walked, row: int) -> int:
    """Where the item of a row stands in what was found, -1 if it was not."""
    found: int = walked.places[_place_of_row(walked, row)] - 1
    return found


@kernel
def _clear(walked: Walked) -> None:
    for found in range(walked.counts[FOUND]):
        for column in range(len(COLUMNS)):
            walked.scores[found, column] = 0.0
    for place in range(len(walked.places)):
        walked.places[place] = 0
    for place in range(len(walked.visit_places)):
        walked.visit_places[place] = 0
    for column in range(len(COLUMNS)):
        walked.totals[column] = 0.0
    for count in range(len(walked.counts)):
        walked.counts[count] = 0


@kernel
def _meet_visits(ints: Ints, ring: int, until: int, own: Own, i: int, walked: Walked) -> None:
    """Other people's visits that have own item `i`, and its rules. The rarer the item, the more it says of a visit."""
    step, hits, faded, oldest = own.heads[i], 0, 1.0, until
    hits_max = WALK_HITS_MAX if i == 0 else WALK_HITS_MAX // OLDER_HITS_DIVISOR
    first_new = walked.counts[VISITS]
    while step > 0 and hits < hits_max and is_kept(ints, ring, step):
        word = word_of(ints, ring, step)
        owner = owner_in(ints, word)
        if step <= until and owner != 0 and not _is_own(own, owner):
            _meet(walked, owner, step, i, faded)
            if i < RULE_ITEMS:
                _follow(ints, ring, until, step, i, faded, walked)
            hits += 1
            faded *= HITS_FADE
        oldest = step
        step = earlier_in(ints, ring, word, step)
    if i == 0:
        walked.counts[HITS] = hits
    if hits == 0:
        return
    weight = own.weights[i] * math.log(1.0 + float(until - oldest + 1) / hits)
    mark = 1 << i
    for visit in range(walked.counts[VISITS]):
        if visit >= first_new or walked.visits[visit, _SHARED] & mark:
            walked.likeness[visit, _LIKENESS] += weight


@kernel
def _is_own(own: Own, owner: int) -> bool:
    found = False
    for i in range(len(own.owners)):
        found = found or own.owners[i] == owner
    return found


@kernel
def _meet(walked: Walked, owner: int, step: int, i: int, faded: float) -> None:
    """Remember the visit of this person, by the newest own item that it has and its newest step about it."""
    mask = len(walked.visit_places) - 1
    place = (owner ^ owner >> 17) & mask
    while walked.visit_places[place] != 0 and walked.visits[walked.visit_places[place] - 1, _OWNER] != owner:
        place = (place + 1) & mask
    visit = walked.visit_places[place] - 1
    if visit < 0:
        visit = walked.counts[VISITS]
        if visit == WALK_VISITS_MAX:
            return
        walked.counts[VISITS] += 1
        walked.visit_places[place] = visit + 1
        walked.visits[visit, _OWNER], walked.visits[visit, _STEP] = owner, step
        walked.visits[visit, _ITEM], walked.visits[visit, _SHARED] = i, 0
        walked.likeness[visit, _LIKENESS], walked.likeness[visit, _FADED] = 0.0, faded
    walked.visits[visit, _SHARED] |= 1 << i


@kernel
def _follow(ints: Ints, ring: int, until: int, step: int, i: int, faded: float, walked: Walked) -> None:
    """What followed a step, within the visit."""
    word = word_of(ints, ring, step)
    for distance in range(1, RULE_REACH + 1):
        time_ms = time_in(ints, word)
        step = after_in(ints, ring, word, step)
        if step == 0 or step > until:
            return
        word = word_of(ints, ring, step)
        if time_in(ints, word) - time_ms > REST_MS:
            return
        found = find_or_add(walked, item_in(ints, word))
        if found < 0:
            continue
        if i == 0:
            walked.scores[found, AFTER] += 1.0 / distance
            walked.scores[found, AFTER_LATELY] += faded / distance
            if distance == 1:
                walked.scores[found, NEXT] += 1.0
                walked.scores[found, NEXT_LATELY] += faded
        else:
            walked.scores[found, AFTER_SECOND] += 1.0 / distance
            if i == 1 and distance == 1:
                walked.scores[found, NEXT_SECOND] += 1.0


@kernel
def _look_ahead(ints: Ints, ring: int, until: int, now_ms: int, own: Own, visit: int, walked: Walked) -> None:
    """What came after the shared step of a visit."""
    step, i, near = walked.visits[visit, _STEP], walked.visits[visit, _ITEM], 1.0
    word = word_of(ints, ring, step)
    aged = math.exp(-max(now_ms - time_in(ints, word), 0) / AGE_MS)
    for distance in range(1, REACH + 1):
        time_ms = time_in(ints, word)
        step = after_in(ints, ring, word, step)
        if step == 0 or step > until:
            return
        word = word_of(ints, ring, step)
        if time_in(ints, word) - time_ms > REST_MS:
            return
        near *= AHEAD_FADES
        found = find_or_add(walked, item_in(ints, word))
        if found < 0:
            continue
        _add_kin(walked, visit, found, near, aged)
        if i == 0:
            walked.scores[found, BESIDE] += 1.0
            if walked.visits[visit, _SHARED] & 2:
                walked.scores[found, AFTER_BOTH] += 1.0 / distance
        else:
            walked.scores[found, AFTER_OTHERS] += own.weights[i] / distance


@kernel
def _look_back(ints: Ints, ring: int, now_ms: int, own: Own, visit: int, walked: Walked) -> None:
    """What came before the shared step of a visit."""
    step, i, near = walked.visits[visit, _STEP], walked.visits[visit, _ITEM], 1.0
    word = word_of(ints, ring, step)
    aged = math.exp(-max(now_ms - time_in(ints, word), 0) / AGE_MS)
    for distance in range(1, REACH + 1):
        time_ms = time_in(ints, word)
        step = before_in(ints, ring, word, step)
        if step == 0:
            return
        word = word_of(ints, ring, step)
        if time_ms - time_in(ints, word) > REST_MS:
            return
        near *= BACK_FADES
        found = find_or_add(walked, item_in(ints, word))
        if found < 0:
            continue
        _add_kin(walked, visit, found, near, aged)
        if i == 0:
            walked.scores[found, BESIDE] += 1.0
            walked.scores[found, BEFORE] += 1.0 / distance


@kernel
def _add_kin(walked: Walked, visit: int, found: int, near: float, aged: float) -> None:
    likeness, scores = walked.likeness[visit, _LIKENESS], walked.scores[found]
    scores[KIN] += likeness * near
    scores[KIN_LATELY] += likeness * near * walked.likeness[visit, _FADED]
    scores[KIN_CLOSE] += likeness * likeness * near
    scores[KIN_BY_PLACE] += likeness / (1.0 + walked.visits[visit, _ITEM])
    scores[KIN_BY_AGE] += likeness * near * aged


@kernel
def _see_newest(ints: Ints, ring: int, until: int, own: Own, walked: Walked) -> None:
    """What the newest steps of the tenant are about; those of others say nothing and take no room."""
    left = LATELY_STEPS
    for step in range(until, max(until - LATELY_LOOKED_AT, 0), -1):
        if left == 0 or not is_kept(ints, ring, step):
            return
        row = item_at(ints, ring, step)
        if len(own.tenants) > 0 and (row < 0 or own.tenants[row] != own.tenant):
            continue
        left -= 1
        found = find_or_add(walked, row)
        if found >= 0:
            walked.scores[found, LATELY] += 1.0


@kernel
def _place_of_row(walked: Walked, row: int) -> int:
    mask = len(walked.places) - 1
    place = (row * 0x9E3779B1 >> 12) & mask
    while walked.places[place] != 0 and walked.rows[walked.places[place] - 1] != row:
        place = (place + 1) & mask
    return place


@kernel
def find_or_add(walked: Walked, row: int) -> int:
    """Where the item stands in what was found; -1 if there is no item, or no room for it."""
    if row < 0:
        return -1
    place = _place_of_row(walked, row)
    found: int = walked.places[place] - 1
    if found < 0:
        found = walked.counts[FOUND]
        if found == WALK_FOUND_MAX:
            return -1
        walked.counts[FOUND] += 1
        walked.places[place] = found + 1
        walked.rows[found] = row
    return found
