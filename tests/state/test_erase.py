"""Erasure: people go with everything that was kept about them, and nobody else notices."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Ticked, Tracked
from instanter.features.declaration import FeatureDeclaration
from instanter.sim.disk import SimulatedDisk
from instanter.state.checkpoint import Snapshot, load_checkpoint, write_checkpoint
from instanter.state.memory import IDLE_CELLS, State
from instanter.state.table import CELLS, CHUNKS, LIVE, SESSIONS, USED

from .contents import cell_at
from .shop import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SCHEMA,
    START_MS,
    VIEWED,
    empty_state,
    fold_all,
    message,
    open_shop,
    person,
    publish,
    random_event,
    ref,
    schema_of,
    tracked,
)

DIRECTORY = Path("/checkpoints")
COUNTED = FeatureDeclaration(name="views", on=(VIEWED,), aggregate="count")


def story(length: int, *, people: int, seed: int = 3, first: int = 0) -> list[Tracked]:
    rng = random.Random(seed)
    return [
        random_event(rng, rng.randrange(people), START_MS + number * 7 * MINUTE_MS, number)
        for number in range(first, first + length)
    ]


def reloaded(state: State) -> State:
    """The state as a checkpoint brings it back."""
    publish(state)
    disk, loaded = SimulatedDisk(), State(state.schema)
    load_checkpoint(disk, write_checkpoint(disk, DIRECTORY, Snapshot(state, position=7, at_ms=9, control={})), loaded)
    return loaded


def words_of(state: State, who: int) -> bytes:
    """A person's own words, without those that say where something lies."""
    at = cell_at(state, person(who))
    ints = state.tables.memory.ints
    return bytes(ints[at : at + 5].tobytes() + ints[at + 8 : at + state.schema.layout.cell_words].tobytes())


def test_an_erased_person_is_gone_and_comes_back_cold() -> None:
    state, never = open_shop(), open_shop()
    fold_all(state, [tracked(0, START_MS + n * HOUR_MS, number=n) for n in range(9)])
    assert state.erase([person(0), person(1), person(0)]) == 1
    assert (state.cell_row(person(0)), state.cells_used) == (-1, 0)
    assert state.tables.memory.regions[[CELLS, SESSIONS, CHUNKS], LIVE].tolist() == [0, 0, 0]
    again = [tracked(0, START_MS + 9 * HOUR_MS, number=3)]
    assert fold_all(state, again) == fold_all(never, again) == [0]
    assert words_of(state, 0) == words_of(never, 0)


def test_the_others_keep_their_words_and_items_what_was_counted() -> None:
    state = open_shop()
    fold_all(state, story(80, people=4))
    before = {who: words_of(state, who) for who in (0, 2, 3)}
    base = state.schema.layout.item_words
    items = state.tables.memory.ints[int(state.tables.memory.regions[3, 0]) :][: 10 * base].copy()
    assert state.erase([person(1)]) == 1
    assert {who: words_of(state, who) for who in (0, 2, 3)} == before
    assert (state.tables.memory.ints[int(state.tables.memory.regions[3, 0]) :][: 10 * base] == items).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), steps=st.lists(st.sampled_from(("fold", "erase", "tick", "reload")), max_size=20))
def test_the_hash_is_that_of_a_state_in_which_the_rows_never_moved(seed: int, steps: list[str]) -> None:
    """`live` keeps its free rows and reuses them; `plain` is loaded afresh before every step."""
    live, plain, rng = open_shop(), open_shop(), random.Random(seed)
    for number, step in enumerate([*steps, "reload"]):
        if step == "fold":
            events = story(12, people=6, seed=seed + number, first=100 * number)
            assert fold_all(live, events) == fold_all(plain, events)
        elif step == "erase":
            gone = [person(rng.randrange(6)) for _ in range(2)]
            assert live.erase(gone) == plain.erase(gone)
        elif step == "tick":
            tick = Ticked(START_MS + rng.randrange(3) * DAY_MS)
            live.tick(tick)
            plain.tick(tick)
        else:
            live = reloaded(live)
            publish(plain)
        assert live.hash() == plain.hash()
        assert live.cells_used == plain.cells_used
    assert reloaded(live).hash() == live.hash()


def test_rows_of_the_erased_are_used_again_and_nothing_leaks() -> None:
    state = empty_state(schema_of([COUNTED], cells=4))
    for turn in range(50):
        at_ms = START_MS + turn * DAY_MS
        assert fold_all(state, [tracked(who, at_ms, number=10 * turn + who) for who in range(4)]) == [0] * 4
        assert state.erase([person(who) for who in range(4)]) == 4
    assert state.tables.memory.regions[[CELLS, SESSIONS, CHUNKS], USED].tolist() == [4, 4, 4]


def test_a_checkpoint_being_written_still_holds_the_erased_as_they_were() -> None:
    state = open_shop()
    fold_all(state, story(60, people=5))
    publish(state)
    wanted = state.hash()
    disk, loaded = SimulatedDisk(), State(SCHEMA)
    snapshot = Snapshot(state, position=7, at_ms=9, control={})
    assert state.erase([person(1), person(3)]) == 2
    fold_all(state, story(30, people=7, seed=9, first=500))
    load_checkpoint(disk, write_checkpoint(disk, DIRECTORY, snapshot), loaded)
    assert loaded.hash() == wanted
    loaded.erase([person(1), person(3)])
    fold_all(loaded, story(30, people=7, seed=9, first=500))
    assert loaded.hash() == state.hash()


def test_people_are_erased_while_their_index_grows_and_moves() -> None:
    state, people = empty_state(schema_of([COUNTED], cells=9_000)), 9_000
    gone: set[int] = set()
    for first in range(0, people, 100):
        fold_all(state, [tracked(who, START_MS, number=who) for who in range(first, first + 100)], batch=100)
        erased = {who for who in range(first % 1_000, first + 100, 331) if who not in gone}
        assert state.erase([person(who) for who in erased]) == len(erased)
        gone |= erased
    assert state.cells_used == people - len(gone)
    assert {who for who in range(people) if state.cell_row(person(who)) < 0} == gone


def test_the_messages_of_a_person_are_known_before_they_go() -> None:
    state = open_shop()
    fold_all(state, [tracked(n % 2, START_MS + n, number=n) for n in range(40)])
    assert sorted(state.messages_of([person(0), person(5)])) == sorted(message(n) for n in range(0, 40, 2))
    state.erase([person(0)])
    assert state.messages_of([person(0)]) == []


def idle_people(state: State, before_ms: int, *, limit: int, calls: int) -> list[Any]:
    return [state.idle_cells(before_ms, limit) for _ in range(calls)]


def test_idle_people_are_found_in_turn_a_few_at_a_time() -> None:
    state = empty_state(schema_of([COUNTED], cells=20))
    fold_all(state, [tracked(who, START_MS + who * HOUR_MS, number=who) for who in range(20)])
    state.erase([person(2)])
    found = idle_people(state, START_MS + 6 * HOUR_MS, limit=2, calls=3)
    assert found == [[person(0), person(1)], [person(3), person(4)], [person(5)]]
    assert idle_people(state, START_MS, limit=2, calls=2) == [[], []]


def test_one_look_for_idle_people_is_bounded() -> None:
    people = IDLE_CELLS + 10
    state = empty_state(schema_of([], cells=people))
    fold_all(state, [tracked(who, START_MS, number=who) for who in range(people)], batch=128)
    found = idle_people(state, START_MS + 1, limit=people, calls=3)
    assert [len(keys) for keys in found] == [IDLE_CELLS, 10, IDLE_CELLS]


def test_an_item_that_only_the_erased_met_keeps_its_counts() -> None:
    state = open_shop()
    fold_all(state, [tracked(0, START_MS, number=1, items=["sofa"])])
    views = SCHEMA.layout.named("item_count")
    at = int(state.tables.memory.regions[3, 0]) + state.find_item(ref("sofa")) * SCHEMA.layout.item_words + views.offset
    state.erase([person(0)])
    assert state.tables.memory.ints[at] == 1
