from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import ItemUpserted, Ticked
from instanter.state.layout import SESSION_EVENTS
from instanter.state.memory import SWEEP_CELLS, State
from instanter.state.rows import cell_of
from instanter.state.table import (
    CELLS,
    CHUNKS,
    ENTRIES,
    LIVE,
    MIGRATED,
    SESSIONS,
    USED,
    address,
    allocate,
    find,
    grown,
    index_of,
    insert,
    make_index,
    make_memory,
    migrate,
    release,
    remove,
    rows_of,
    settled,
)

from .contents import cell_at, content, sessions_at
from .shop import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SCHEMA,
    START_MS,
    TENANT,
    UNKNOWN_ITEM,
    VIEWED,
    empty_state,
    fold_all,
    message,
    open_shop,
    person,
    ref,
    schema_of,
    tracked,
)

WORDS = (3, 2, 2, 2, 1, 3, 1)
# Many keys that begin at the same place of an index, so that they have to be probed for.
KEYS = st.one_of(st.integers(1, 40).map(lambda n: n * 4_096), st.integers(-(2**63), 2**63 - 1).filter(bool))


ROOM_MAX = 100_000
"""Growing again and again would take all memory there is."""

# The index.

INDEX_STEPS = ("grow", "grow much", "migrate", "finish", "settle", "remove")


@settings(max_examples=150)
@given(st.lists(st.one_of(KEYS, st.sampled_from(INDEX_STEPS)), max_size=120))
def test_an_index_is_a_dictionary_while_it_grows_and_moves(steps: list[Any]) -> None:
    index, known, rows = make_index(16), dict[int, int](), 0
    for step in steps:
        if isinstance(step, int):
            index = grown(index, room_for=1)
            assert find(index, step) == known.get(step, -1)
            if step not in known:
                insert(index, step, rows)
                known[step] = rows
                rows += 1
        elif step == "remove":
            for key in list(known)[::2]:
                remove(index, key)
                del known[key]
                assert find(index, key) == -1
        elif step.startswith("grow"):
            more = len(index.keys) * (4 if step == "grow much" else 1)
            index = grown(index, room_for=min(more, ROOM_MAX))
        elif step == "settle":
            index = settled(index)
        else:
            migrate(index, 3 if step == "migrate" else len(index.old_keys))
        assert index.meta[ENTRIES] == len(known)
        assert 2 * len(known) <= len(index.keys)
        assert {key: find(index, key) for key in known} == known


@settings(max_examples=50)
@given(st.lists(KEYS, unique=True, max_size=200))
def test_an_index_of_keys_knows_their_places(keys: list[int]) -> None:
    index = index_of(np.array(keys, np.int64))
    assert [find(index, key) for key in keys] == list(range(len(keys)))
    assert find(index, 12_345_678_901) == (keys.index(12_345_678_901) if 12_345_678_901 in keys else -1)


def test_an_index_moves_a_bounded_number_of_entries_at_a_time() -> None:
    index = index_of(np.arange(1, 3_000, dtype=np.int64))
    larger = grown(index, room_for=5_000)
    assert larger.meta[MIGRATED] == 0
    migrate(larger, 100)
    assert larger.meta[MIGRATED] == 100
    assert [find(larger, key) for key in (1, 1_500, 2_999, 3_000)] == [0, 1_499, 2_998, -1]


def test_the_old_arrays_of_a_large_index_go_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instanter.state.table.SCATTERED_PLACES", 1_024)
    index, known, sizes = make_index(1_024), dict[int, int](), list[int]()
    for key in range(1, 20_000):
        if key % 50 == 1:
            migrate(index, 500)
            index = grown(settled(index), room_for=50)
            sizes.append(len(index.old_keys))
        insert(index, key, 7 * key)
        known[key] = 7 * key
        if key % 3 == 0:
            remove(index, key - 2)
            del known[key - 2]
    assert index.meta[ENTRIES] == len(known)
    assert all(find(index, key) == known.get(key, -1) for key in range(1, 20_001))
    assert {1, 1_024, 2_048, 15 * 1_024, 16 * 1_024} <= set(sizes)
    assert all(before - after in (before - 1, 1_024) for before, after in pairwise(sizes) if after < before)


# Rows.


@settings(max_examples=100)
@given(st.lists(st.one_of(st.just("take"), st.integers(0, 30)), max_size=60))
def test_a_released_row_is_used_again_and_comes_back_empty(steps: list[Any]) -> None:
    memory = make_memory(words=WORDS, rows_max=(6, 1, 1, 1, 1, 1, 1))
    taken: list[int] = []
    used = 0
    for step in steps:
        if step == "take":
            row = allocate(memory, CELLS)
            assert (row == -1) == (len(taken) == 6)
            if row >= 0:
                assert row not in taken
                first = address(memory.regions, CELLS, row)
                assert not memory.ints[first : first + WORDS[CELLS]].any()
                memory.ints[first : first + WORDS[CELLS]] = 99
                taken.append(row)
        elif taken:
            release(memory, CELLS, taken.pop(step % len(taken)))
        used = max(used, len(taken))
        assert memory.regions[CELLS, LIVE] == len(taken)
        assert memory.regions[CELLS, USED] == used == len(rows_of(memory, CELLS))


# Room runs out.


def test_people_beyond_the_room_are_refused_and_counted_and_those_known_go_on() -> None:
    state = empty_state(schema_of(cells=4))
    # Each has two sessions, so that there is no session left over either.
    for number, at_ms in enumerate((START_MS, START_MS + HOUR_MS)):
        fold_all(state, [tracked(who, at_ms, number=10 * number + who) for who in range(4)])
    before = state.hash()
    assert fold_all(state, [tracked(who, START_MS, number=who + 50) for who in range(4, 9)]) == [4] * 5
    assert state.verdicts["table_full"] == 5
    assert state.hash() == before
    assert state.cell_row(person(7)) == -1
    for number in range(2, 9):
        at_ms = START_MS + number * HOUR_MS
        assert fold_all(state, [tracked(who, at_ms, number=10 * number + who) for who in range(4)]) == [0] * 4
    assert [int(state.tables.memory.ints[sessions_at(state, person(who))[0] + SESSION_EVENTS]) for who in range(4)] == [
        1
    ] * 4


def test_sessions_never_take_more_room_than_two_a_person() -> None:
    state = empty_state(schema_of(cells=3))
    fold_all(state, [tracked(n % 3, START_MS + n * HOUR_MS, number=n) for n in range(60)])
    assert state.tables.memory.regions[SESSIONS, LIVE] == 6
    assert state.tables.memory.regions[SESSIONS, USED] == 6


def test_without_room_for_message_ids_the_oldest_go_and_are_counted() -> None:
    state = empty_state(schema_of(cells=2))
    events = [tracked(0, START_MS + n, number=n) for n in range(200)]
    fold_all(state, events)
    assert state.tables.memory.regions[CHUNKS, LIVE] == state.schema.capacity.chunks
    assert set(fold_all(state, events[-40:])) == {1}
    # Nothing is left for the other, whose messages then cannot be remembered at all.
    assert fold_all(state, [tracked(1, START_MS, number=1), tracked(1, START_MS, number=1)]) == [0, 0]


def test_items_beyond_the_room_count_for_the_person_alone() -> None:
    state = empty_state(schema_of(items=4))
    fold_all(state, [tracked(0, START_MS + n, VIEWED, number=n, items=[f"item {n}"]) for n in range(5)])
    assert [state.find_item(ref(f"item {n}")) for n in range(5)] == [0, 1, -1, -1, -1]
    assert state.unpublished == 2
    views, recent = SCHEMA.layout.named("profile_count"), SCHEMA.layout.named("profile_recent")
    cell = cell_at(state, person(0))
    assert content(state, views.spec, cell + views.offset) == 5
    assert [held for _, held in content(state, recent.spec, cell + recent.offset)] == [
        ref(f"item {n}") for n in (4, 3, 2)
    ]


def test_items_of_the_catalogue_find_room_whatever_events_have_named() -> None:
    state = empty_state(schema_of(items=4))
    fold_all(state, [tracked(0, START_MS + n, VIEWED, number=n, items=[f"item {n}"]) for n in range(5)])
    for item_id in ("a", "b"):
        state.catalogue.upsert(ItemUpserted(1, TENANT, item_id, {"category": "c"}))
    assert len(state.catalogue.at_row) == 2


def test_catalogue_items_beyond_the_room_are_known_and_have_no_row() -> None:
    state = empty_state(schema_of(items=1))
    for item_id in ("a", "b"):
        state.catalogue.upsert(ItemUpserted(1, TENANT, item_id, {"category": "c"}))
    assert set(state.catalogue.items) == {ref("a"), ref("b")}
    assert len(state.catalogue.at_row) == 1
    assert fold_all(state, [tracked(0, START_MS, VIEWED, number=1, items=["a", "b"])]) == [0]


# Ticks.


def test_a_tick_frees_what_idle_people_held_and_leaves_what_was_counted() -> None:
    state = open_shop()
    fold_all(state, [tracked(who, START_MS + who * 12 * HOUR_MS, number=who, items=["sofa"]) for who in range(3)])
    assert state.tick(Ticked(START_MS + DAY_MS)) == 0
    assert state.tick(Ticked(START_MS + DAY_MS + 13 * HOUR_MS)) == 2
    assert [len(sessions_at(state, person(who))) for who in range(3)] == [0, 0, 1]
    assert state.tables.memory.regions[[SESSIONS, CHUNKS], LIVE].tolist() == [1, 1]
    views = SCHEMA.layout.named("profile_count")
    assert [content(state, views.spec, cell_at(state, person(who)) + views.offset) for who in range(3)] == [1, 1, 1]
    assert state.tick(Ticked(START_MS + DAY_MS + 13 * HOUR_MS)) == 0


def test_an_import_of_old_events_keeps_its_sessions_and_is_counted_once() -> None:
    """What counts for a tick is when an event was received, not when it happened."""
    state = empty_state()
    now_ms = START_MS + 300 * DAY_MS
    old = [tracked(0, START_MS + n * MINUTE_MS, number=n, received_ms=now_ms) for n in range(10)]
    fold_all(state, old[:5])
    assert state.tick(Ticked(now_ms)) == 0
    assert fold_all(state, old) == [1] * 5 + [0] * 5
    assert state.tables.memory.ints[sessions_at(state, person(0))[0] + SESSION_EVENTS] == 10


def test_ticks_reach_everybody_in_turn() -> None:
    people = SWEEP_CELLS + 5
    state = empty_state(schema_of([], cells=people))
    fold_all(state, [tracked(who, START_MS, number=who) for who in range(people)], batch=128)
    # Through all growth of the index.
    assert [state.cell_row(person(who)) for who in range(people)] == list(range(people))
    assert (state.cell_row(person(people)), state.cells_used) == (-1, people)
    late = Ticked(START_MS + 2 * DAY_MS)
    assert [state.tick(late) for _ in range(3)] == [SWEEP_CELLS, 5, 0]


def test_a_cell_is_made_once() -> None:
    state = State(SCHEMA)
    rows = [cell_of(state.tables.memory, state.tables.cell_index, message(n % 3)) for n in range(9)]
    assert rows == [0, 1, 2] * 3


def test_an_item_that_is_not_in_the_catalogue_has_aggregates_all_the_same() -> None:
    state = open_shop()
    fold_all(state, [tracked(0, START_MS, VIEWED, number=1, items=[UNKNOWN_ITEM])])
    assert state.find_item(ref(UNKNOWN_ITEM)) >= 0
    assert state.unpublished == 1
