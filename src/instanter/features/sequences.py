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
from ..state.steps import (
    Span,
    ahead_in,
    back_in,
    back_to_item_in,
    beside,
    is_in,
    item_in,
    owner_in,
    span_of,
    time_in,
    word_of,
)

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

_STEP, _ITEM, _SHARED, _OWNER, _WORD = 0, 1, 2, 3, 4
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
        visits=np.zeros((WALK_VISITS_MAX, 5), np.int64),
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
    span = span_of(ints, ring)
    for i in range(min(len(own.rows), WALK_ITEMS_MAX)):
        _meet_visits(ints, ring, span, until, own, i, walked)
    for visit in range(walked.counts[VISITS]):
        _look_around(ints, span, until, now_ms, own.weights, visit, walked)
    beside_or_before = walked.counts[FOUND]
    _see_newest(ints, span, ring, until, own, walked)
    for found in range(beside_or_before):
        for column in range(LATELY):
            walked.totals[column] += walked.scores[found, column]
    for found in range(walked.counts[FOUND]):
        walked.totals[LATELY] += walked.scores[found, LATELY]


@kernel
def find_row(walked: Walked, row: int) -> int:
    """Where the item of a row stands in what was found, -1 if it was not."""
    found: int = walked.places[_place_of_row(walked.places, walked.rows, row)] - 1
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
def _meet_visits(ints: Ints, ring: int, span: Span, until: int, own: Own, i: int, walked: Walked) -> None:
    """Other people's visits that have own item `i`, and its rules. The rarer the item, the more it says of a visit."""
    step, hits, faded, oldest = own.heads[i], 0, 1.0, until
    hits_max = WALK_HITS_MAX if i == 0 else WALK_HITS_MAX // OLDER_HITS_DIVISOR
    first_new = walked.counts[VISITS]
    word = word_of(ints, ring, step) if is_in(span, step) else 0
    while is_in(span, step) and hits < hits_max:
        owner = owner_in(ints, word)
        if step <= until and owner != 0 and not _is_own(own.owners, owner):
            _meet(walked.visits, walked.visit_places, walked.likeness, walked.counts, owner, step, word, i, faded)
            if i < RULE_ITEMS:
                _follow(ints, span, until, step, word, i, faded, walked)
            hits += 1
            faded *= HITS_FADE
        oldest = step
        distance = back_to_item_in(ints, word)
        if distance == 0:
            break
        step -= distance
        word = beside(span, word, -distance)
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
def _is_own(owners: Ints, owner: int) -> bool:
    found = False
    for i in range(len(owners)):
        found = found or owners[i] == owner
    return found


@kernel
def _meet(
    visits: Ints, places: Ints, likeness: Reals, counts: Ints, owner: int, step: int, word: int, i: int, faded: float
) -> None:
    """Remember the visit of this person, by the newest own item that it has and its newest step about it."""
    mask = len(places) - 1
    place = (owner ^ owner >> 17) & mask
    while places[place] != 0 and visits[places[place] - 1, _OWNER] != owner:
        place = (place + 1) & mask
    visit = places[place] - 1
    if visit < 0:
        visit = counts[VISITS]
        if visit == WALK_VISITS_MAX:
            return
        counts[VISITS] += 1
        places[place] = visit + 1
        visits[visit, _OWNER], visits[visit, _STEP], visits[visit, _WORD] = owner, step, word
        visits[visit, _ITEM], visits[visit, _SHARED] = i, 0
        likeness[visit, _LIKENESS], likeness[visit, _FADED] = 0.0, faded
    visits[visit, _SHARED] |= 1 << i


@kernel
def _follow(ints: Ints, span: Span, until: int, step: int, word: int, i: int, faded: float, walked: Walked) -> None:
    """What followed a step, within the visit."""
    scores = walked.scores
    time_ms = time_in(ints, word)
    for distance in range(1, RULE_REACH + 1):
        on = ahead_in(ints, word)
        step += on
        if on == 0 or step > until:
            return
        word = beside(span, word, on)
        before_ms, time_ms = time_ms, time_in(ints, word)
        if time_ms - before_ms > REST_MS:
            return
        found = _find_or_add(walked.places, walked.rows, walked.counts, item_in(ints, word))
        if found < 0:
            continue
        if i == 0:
            scores[found, AFTER] += 1.0 / distance
            scores[found, AFTER_LATELY] += faded / distance
            if distance == 1:
                scores[found, NEXT] += 1.0
                scores[found, NEXT_LATELY] += faded
        else:
            scores[found, AFTER_SECOND] += 1.0 / distance
            if i == 1 and distance == 1:
                scores[found, NEXT_SECOND] += 1.0


@kernel
def _look_around(
    ints: Ints, span: Span, until: int, now_ms: int, weights: Reals, visit: int, walked: Walked
) -> None:
    """What came after the shared step of a visit, then what came before it."""
    step, word, i = walked.visits[visit, _STEP], walked.visits[visit, _WORD], walked.visits[visit, _ITEM]
    likeness, faded = walked.likeness[visit, _LIKENESS], walked.likeness[visit, _FADED]
    aged = math.exp(-max(now_ms - time_in(ints, word), 0) / AGE_MS)
    has_both = walked.visits[visit, _SHARED] & 2 != 0
    _look_ahead(ints, span, until, step, word, likeness, faded, aged, i, weights[i], has_both, walked.scores,
                walked.places, walked.rows, walked.counts)
    _look_back(ints, span, step, word, likeness, faded, aged, i, walked.scores, walked.places, walked.rows,
               walked.counts)


@kernel
def _look_ahead(
    ints: Ints, span: Span, until: int, step: int, word: int, likeness: float, faded: float, aged: float, i: int,
    weight: float, has_both: bool, scores: Reals, places: Ints, rows: Ints, counts: Ints,
) -> None:  # fmt: skip
    """What came after the shared step. Parts of `Walked` are handed on one by one: all of it costs as much as the work
    on a step."""
    near, time_ms = 1.0, time_in(ints, word)
    for distance in range(1, REACH + 1):
        on = ahead_in(ints, word)
        step += on
        if on == 0 or step > until:
            return
        word = beside(span, word, on)
        before_ms, time_ms = time_ms, time_in(ints, word)
        if time_ms - before_ms > REST_MS:
            return
        near *= AHEAD_FADES
        found = _find_or_add(places, rows, counts, item_in(ints, word))
        if found < 0:
            continue
        _add_kin(scores, found, likeness, near, faded, aged, i)
        if i == 0:
            scores[found, BESIDE] += 1.0
            if has_both:
                scores[found, AFTER_BOTH] += 1.0 / distance
        else:
            scores[found, AFTER_OTHERS] += weight / distance


@kernel
def _look_back(
    ints: Ints, span: Span, step: int, word: int, likeness: float, faded: float, aged: float, i: int, scores: Reals,
    places: Ints, rows: Ints, counts: Ints,
) -> None:  # fmt: skip
    """What came before the shared step."""
    near, time_ms = 1.0, time_in(ints, word)
    for distance in range(1, REACH + 1):
        back = back_in(ints, word)
        step -= back
        if back == 0 or not is_in(span, step):
            return
        word = beside(span, word, -back)
        after_ms, time_ms = time_ms, time_in(ints, word)
        if after_ms - time_ms > REST_MS:
            return
        near *= BACK_FADES
        found = _find_or_add(places, rows, counts, item_in(ints, word))
        if found < 0:
            continue
        _add_kin(scores, found, likeness, near, faded, aged, i)
        if i == 0:
            scores[found, BESIDE] += 1.0
            scores[found, BEFORE] += 1.0 / distance


@kernel
def _add_kin(scores: Reals, found: int, likeness: float, near: float, faded: float, aged: float, i: int) -> None:
    scores[found, KIN] += likeness * near
    scores[found, KIN_LATELY] += likeness * near * faded
    scores[found, KIN_CLOSE] += likeness * likeness * near
    scores[found, KIN_BY_PLACE] += likeness / (1.0 + i)
    scores[found, KIN_BY_AGE] += likeness * near * aged


@kernel
def _see_newest(ints: Ints, span: Span, ring: int, until: int, own: Own, walked: Walked) -> None:
    """What the newest steps of the tenant are about; those of others say nothing and take no room."""
    left = LATELY_STEPS
    word = word_of(ints, ring, until) if is_in(span, until) else 0
    for step in range(until, max(until - LATELY_LOOKED_AT, 0), -1):
        if left == 0 or not is_in(span, step):
            return
        row = item_in(ints, word)
        word = beside(span, word, -1)
        if len(own.tenants) > 0 and (row < 0 or own.tenants[row] != own.tenant):
            continue
        left -= 1
        found = _find_or_add(walked.places, walked.rows, walked.counts, row)
        if found >= 0:
            walked.scores[found, LATELY] += 1.0


@kernel
def _find_or_add(places: Ints, rows: Ints, counts: Ints, row: int) -> int:
    """Where the item stands in what was found; -1 if there is no item, or no room for it."""
    if row < 0:
        return -1
    place = _place_of_row(places, rows, row)
    found: int = places[place] - 1
    if found < 0:
        found = counts[FOUND]
        if found == WALK_FOUND_MAX:
            return -1
        counts[FOUND] += 1
        places[place] = found + 1
        rows[found] = row
    return found


@kernel
def _place_of_row(places: Ints, rows: Ints, row: int) -> int:
    mask = len(places) - 1
    place = (row * 0x9E3779B1 >> 12) & mask
    while places[place] != 0 and rows[places[place] - 1] != row:
        place = (place + 1) & mask
    return place


@kernel
def find_or_add(walked: Walked, row: int) -> int:
    """Where the item stands in what was found; -1 if there is no item, or no room for it."""
    return _find_or_add(walked.places, walked.rows, walked.counts, row)
