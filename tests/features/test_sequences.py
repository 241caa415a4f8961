"""What comes next, walked over the ring of steps: the compiled walk against a plain one, its bounds, what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features import sequences
from instanter.features.sequences import COLUMNS, FOUND, HITS, VISITS, Own, Walked, find_row, make_room, walk
from instanter.foundation.limits import WALK_FOUND_MAX, WALK_HITS_MAX, WALK_ITEMS_MAX, WALK_VISITS_MAX
from instanter.state.layout import STEP_WORDS
from instanter.state.steps import append, begin, first_word, keep, owner_of
from instanter.state.table import STEPS, Memory, make_memory

MINUTE = 60_000
ADA, BOB, EVE, ZOE = (number << 40 for number in (1, 2, 3, 4))
"""Keys of cells."""


class Step(NamedTuple):
    key: int
    row: int
    at_ms: int


class Ring:
    """Steps in a ring that keeps `kept` of them."""

    def __init__(self, steps: Sequence[Step], kept: int = 8_192) -> None:
        self.steps, self.kept = list(steps), kept
        words, rows_max = (8,) * STEPS + (STEP_WORDS,), (1,) * STEPS + (kept + 1,)
        self.memory: Memory = make_memory(words=words, rows_max=rows_max)
        begin(self.memory, STEPS)
        keep(self.memory, STEPS, kept)
        self.heads: dict[int, int] = {}
        newest: dict[int, int] = {}
        for key, row, at_ms in self.steps:
            step = append(self.memory, STEPS, row, 2, at_ms, key, self.heads.get(row, 0), newest.get(key, 0))
            self.heads[row] = newest[key] = step

    def walk(self, rows: Sequence[int], key: int = ADA, until: int | None = None, now_ms: int = 0) -> Walked:
        until = len(self.steps) if until is None else until
        heads = [max((n for n, s in enumerate(self.steps[:until], 1) if s.row == row), default=0) for row in rows]
        own = Own(
            np.array(rows, np.int64), np.array(heads, np.int64),
            np.array([0.75**i for i in range(len(rows))], np.float64), np.array([owner_of(key)], np.int64),
        )  # fmt: skip
        walked = make_room()
        walk(self.memory.ints, first_word(self.memory, STEPS), until, now_ms, own, walked)
        return walked


def scores_of(walked: Walked) -> dict[int, dict[str, float]]:
    """By row, the columns that are not 0."""
    return {
        int(walked.rows[found]): {
            name: float(walked.scores[found, at]) for at, name in enumerate(COLUMNS) if walked.scores[found, at]
        }
        for found in range(walked.counts[FOUND])
    }


def plainly(ring: Ring, rows: Sequence[int], key: int, until: int, now_ms: int) -> dict[int, dict[str, float]]:
    """The same as the docstring of the columns says it, without links."""
    kept = [n for n in range(1, len(ring.steps) + 1) if n > len(ring.steps) - ring.kept]
    sums: dict[int, dict[str, float]] = {}

    def step_of(number: int) -> Step:
        return ring.steps[number - 1]

    def add(number: int, name: str, score: float) -> None:
        named = sums.setdefault(step_of(number).row, {})
        named[name] = named.get(name, 0.0) + score

    def visit_from(number: int, way: int) -> list[int]:
        """The steps of the same visit from this one on, itself left out."""
        mine = [n for n in kept if step_of(n).key == step_of(number).key][::way]
        found, last = [], number
        for n in mine[mine.index(number) + 1 :]:
            if n > until or way * (step_of(n).at_ms - step_of(last).at_ms) > sequences.REST_MS:
                break
            found.append(n)
            last = n
        return found

    visits: dict[int, tuple[int, int, float]] = {}
    shared: dict[int, dict[int, float]] = {}
    for i, row in enumerate(rows):
        about = [n for n in reversed(kept) if n <= until and step_of(n).row == row]
        hits = [n for n in about if step_of(n).key != key]
        for age, hit in enumerate(hits):
            faded = sequences.HITS_FADE**age
            visits.setdefault(step_of(hit).key, (hit, i, faded))
            weight = 0.75**i * math.log(1.0 + (until - about[-1] + 1) / len(hits))
            shared.setdefault(step_of(hit).key, {})[i] = weight
            for distance, n in enumerate(visit_from(hit, 1)[: sequences.RULE_REACH], 1):
                if i == 0:
                    add(n, "after", 1.0 / distance)
                    add(n, "after_lately", faded / distance)
                    if distance == 1:
                        add(n, "next", 1.0)
                        add(n, "next_lately", faded)
                elif i < sequences.RULE_ITEMS:
                    add(n, "after_second", 1.0 / distance)
                    if i == 1 and distance == 1:
                        add(n, "next_second", 1.0)
    for whose, (hit, i, faded) in visits.items():
        likeness = sum(shared[whose].values())
        aged = math.exp(-max(now_ms - step_of(hit).at_ms, 0) / sequences.AGE_MS)
        for way, fades in ((1, sequences.AHEAD_FADES), (-1, sequences.BACK_FADES)):
            for distance, n in enumerate(visit_from(hit, way)[: sequences.REACH], 1):
                near = fades**distance
                add(n, "kin", likeness * near)
                add(n, "kin_lately", likeness * near * faded)
                add(n, "kin_close", likeness**2 * near)
                add(n, "kin_by_place", likeness / (1.0 + i))
                add(n, "kin_by_age", likeness * near * aged)
                if i == 0:
                    add(n, "beside", 1.0)
                    if way < 0:
                        add(n, "before", 1.0 / distance)
                    elif 1 in shared[whose]:
                        add(n, "after_both", 1.0 / distance)
                elif way > 0:
                    add(n, "after_others", 0.75**i / distance)
    for n in kept:
        if until - sequences.LATELY_STEPS < n <= until:
            add(n, "lately", 1.0)
    return sums


def assert_same(left: dict[int, dict[str, float]], right: dict[int, dict[str, float]]) -> None:
    assert set(left) == set(right)
    for row, named in left.items():
        assert set(named) == set(right[row]), row
        for name, score in named.items():
            assert math.isclose(score, right[row][name], rel_tol=1e-9), (row, name)


STEP = st.tuples(st.sampled_from([ADA, BOB, EVE, ZOE]), st.integers(0, 6), st.sampled_from([1, 1, 5, 31]))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=60), st.integers(0, 5), st.sampled_from([16, 4_096]), st.data())
def test_the_walk_finds_what_a_plain_one_finds(
    told: list[tuple[int, int, int]], untold: int, kept: int, data: st.DataObject
) -> None:
    at_ms, steps = 0, []
    for key, row, minutes in told:
        at_ms += minutes * MINUTE
        steps.append(Step(key, row, at_ms))
    ring, until = Ring(steps, kept), max(len(steps) - untold, 0)
    rows = data.draw(st.lists(st.integers(0, 6), unique=True, max_size=5))
    walked = ring.walk(rows, ADA, until, at_ms)
    assert_same(scores_of(walked), plainly(ring, rows, ADA, until, at_ms))
    for found in range(walked.counts[FOUND]):
        assert find_row(walked, int(walked.rows[found])) == found
        assert walked.totals.sum() > 0.0
    assert find_row(walked, 99) == -1


def test_what_others_looked_at_next_is_told_apart_from_what_they_looked_at_before() -> None:
    steps = [Step(BOB, row, row * MINUTE) for row in (1, 2, 3)]
    scores = scores_of(Ring(steps).walk([2]))
    assert scores[3]["next"] == scores[1]["before"] == 1.0
    assert "before" not in scores[3]
    assert "next" not in scores[1]
    assert scores[3]["beside"] == scores[1]["beside"] == 1.0


def test_nobody_is_a_neighbour_of_themselves() -> None:
    scores = scores_of(Ring([Step(ADA, 1, 0), Step(ADA, 2, MINUTE)]).walk([1]))
    assert {name for named in scores.values() for name in named} == {"lately"}


def test_a_visit_ends_where_the_person_rested() -> None:
    steps = [Step(BOB, 1, 0), Step(BOB, 2, sequences.REST_MS), Step(BOB, 3, 2 * sequences.REST_MS + 1)]
    scores = scores_of(Ring(steps).walk([1]))
    assert "next" in scores[2]
    assert "kin" not in scores[3]


def test_a_room_is_filled_anew_by_each_walk() -> None:
    ring = Ring([Step(BOB, 1, 0), Step(BOB, 2, MINUTE), Step(EVE, 3, 0), Step(EVE, 4, MINUTE)])
    room, ints, at = make_room(), ring.memory.ints, first_word(ring.memory, STEPS)
    owners = np.array([owner_of(ADA)], np.int64)
    for row, head in ((1, 1), (3, 3)):
        walk(ints, at, 4, 0, Own(np.array([row]), np.array([head]), np.ones(1), owners), room)
    assert_same(scores_of(room), scores_of(ring.walk([3])))


def test_a_walk_looks_at_the_newest_steps_of_an_item_up_to_a_bound() -> None:
    people = WALK_HITS_MAX + 50
    steps = [Step((n + 9) << 40, row, n * MINUTE) for n in range(people) for row in (1, 2)]
    walked = Ring(steps).walk([1])
    assert walked.counts[HITS] == WALK_HITS_MAX
    assert scores_of(walked)[2]["next"] == float(WALK_HITS_MAX)
    older = Ring(steps).walk([7, 1])
    assert older.counts[VISITS] == WALK_HITS_MAX // sequences.OLDER_HITS_DIVISOR


def test_a_walk_looks_at_visits_up_to_a_bound_and_then_goes_on_without() -> None:
    own = list(range(WALK_ITEMS_MAX))
    each = WALK_HITS_MAX // sequences.OLDER_HITS_DIVISOR
    steps = [Step((row * each + n + 9) << 40, row, n) for row in own for n in range(each)]
    walked = Ring(steps).walk(own)
    assert len(steps) > WALK_VISITS_MAX
    assert walked.counts[VISITS] == WALK_VISITS_MAX


def test_a_walk_finds_items_up_to_a_bound() -> None:
    steps = []
    for n in range(WALK_HITS_MAX):
        steps += [Step((n + 9) << 40, row, 0) for row in (0, 3 * n + 1, 3 * n + 2, 3 * n + 3)]
    walked = Ring(steps).walk([0])
    assert 3 * WALK_HITS_MAX > WALK_FOUND_MAX
    assert walked.counts[FOUND] == WALK_FOUND_MAX
    assert int(walked.rows[0]) == steps[-3].row


def test_a_walk_starts_from_so_many_items_and_leaves_out_older_ones() -> None:
    steps = [Step(BOB, 50, 0), Step(BOB, 60, MINUTE)]
    assert "kin" in scores_of(Ring(steps).walk([*range(WALK_ITEMS_MAX - 1), 50]))[60]
    assert "kin" not in scores_of(Ring(steps).walk([*range(WALK_ITEMS_MAX), 50]))[60]


SMALL, LARGE = 1, 2


def walked_of(ring: Ring, tenants: Sequence[int], rows: Sequence[int], tenant: int) -> Walked:
    heads = [max((n for n, s in enumerate(ring.steps, 1) if s.row == row), default=0) for row in rows]
    own = Own(
        np.array(rows, np.int64), np.array(heads, np.int64), np.ones(len(rows)), np.zeros(1, np.int64),
        np.array(tenants, np.int32), tenant,
    )  # fmt: skip
    walked = make_room()
    walk(ring.memory.ints, first_word(ring.memory, STEPS), len(ring.steps), 0, own, walked)
    return walked


def test_another_tenant_that_floods_the_ring_takes_no_room_in_a_walk() -> None:
    few = [Step(BOB, row, row * MINUTE) for row in (1, 2, 3)]
    flood = [Step((n + 9) << 40, 10 + n % 90, 0) for n in range(sequences.LATELY_LOOKED_AT - len(few))]
    tenants = [SMALL] * 10 + [LARGE] * 90
    scores = scores_of(walked_of(Ring([*few, *flood]), tenants, [2], SMALL))
    assert set(scores) == {1, 2, 3}
    assert scores[3]["next"] == scores[3]["lately"] == 1.0
    assert len(scores_of(walked_of(Ring([*few, *flood]), tenants, [10], LARGE))) == 90


def test_behind_a_longer_flood_what_goes_on_is_not_told_and_what_follows_an_item_still_is() -> None:
    few = [Step(BOB, row, row * MINUTE) for row in (1, 2, 3)]
    flood = [Step((n + 9) << 40, 10 + n % 90, 0) for n in range(sequences.LATELY_LOOKED_AT)]
    tenants = [SMALL] * 10 + [LARGE] * 90
    scores = scores_of(walked_of(Ring([*few, *flood]), tenants, [2], SMALL))
    assert scores[3]["next"] == 1.0
    assert not any("lately" in named for named in scores.values())


def test_a_flood_as_long_as_the_ring_leaves_another_tenant_nothing() -> None:
    few = [Step(BOB, row, row * MINUTE) for row in (1, 2, 3)]
    flood = [Step((n + 9) << 40, 10 + n % 90, 0) for n in range(4_096)]
    assert scores_of(walked_of(Ring([*few, *flood], 4_096), [SMALL] * 10 + [LARGE] * 90, [2], SMALL)) == {}
