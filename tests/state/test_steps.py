"""Steps: what becomes one, how far they are walked, and what becomes of them. `test_state_model` folds them, saves them
and erases people in any interleaving, beside the same plain model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, Flag, ItemDeleted, ItemUpserted, Ticked, Tracked, retold
from instanter.features.declaration import FeatureDeclaration
from instanter.foundation.errors import Corrupt
from instanter.foundation.limits import STEP_ITEMS_MAX, STEPS_READ_MAX
from instanter.sim.disk import SimulatedDisk
from instanter.state import steps
from instanter.state.checkpoint import Snapshot, load_checkpoint, write_checkpoint
from instanter.state.cold_files import ColdPlace
from instanter.state.memory import VERDICTS, State
from instanter.state.recent import steps_of
from instanter.state.schema import Capacity, Schema
from instanter.state.table import BASE, ITEMS, STEPS, USED, rows_of

from .plain_steps import LOOKED_AT, PlainSteps
from .shop import (
    CLICKED,
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    ORDERED,
    START_MS,
    TENANT,
    VIEWED,
    empty_state,
    fold_all,
    message,
    person,
    publish,
    random_event,
    ref,
    schema_of,
    tracked,
)

DIRECTORY, COLD_DIRECTORY = Path("/checkpoints"), Path("/cold")
HEARD = (VIEWED, CLICKED, ORDERED)
WALKED = FeatureDeclaration(name="walked", on=HEARD, aggregate="sequences", scope="item")
BOUGHT = FeatureDeclaration(name="bought", on=(ORDERED,), aggregate="sequences", scope="item")
COUNTED = FeatureDeclaration(name="views", on=(VIEWED,), aggregate="count", scope="item")
BOTH = (WALKED, COUNTED, BOUGHT)
VIEW, CLICK, ORDER = 2, 3, 9


def room_for(declarations: Sequence[FeatureDeclaration] = BOTH, *, kept: int = 40, room: int = 1_024,
             cells: int = 64, cold: int = 0) -> Schema:  # fmt: skip
    schema = schema_of(declarations, steps_kept=kept)
    return msgspec.structs.replace(schema, capacity=Capacity(cells=cells, items=64, cold=cold, steps=room))


def models(*declarations: FeatureDeclaration, kept: int = 40) -> list[PlainSteps]:
    return [PlainSteps(one.name, one.on, kept) for one in declarations]


def fold(state: State, events: Sequence[Tracked], told: Sequence[PlainSteps] = ()) -> None:
    """Fold, and tell the models what became of it."""
    for event, verdict in zip(events, fold_all(state, events), strict=True):
        for model in told:
            model.take(event, VERDICTS[verdict])


def story(length: int, *, people: int = 5, seed: int = 3, first: int = 0) -> list[Tracked]:
    rng = random.Random(seed)
    return [
        random_event(rng, rng.randrange(people), START_MS + number * 7 * MINUTE_MS, number)
        for number in range(first, first + length)
    ]


def acts(*told: tuple[str, str], who: int = 0) -> list[Tracked]:
    """What one person does, a second apart: names of events, and the items with blanks between."""
    return [
        tracked(who, START_MS + n, name, number=1_000 * who + n, items=items.split())
        for n, (name, items) in enumerate(told)
    ]


def said(state: State, name: str = "walked") -> list[tuple[int, int]]:
    """Item and code of every step that is kept, the oldest first."""
    ints, ring = state.tables.memory.ints, state.ring(name)
    keys = [*rows_of(state.tables.memory, ITEMS)[:, 0].tolist(), 0]
    numbers = [n for n in range(1, steps.written(ints, ring) + 1) if steps.is_kept(ints, ring, n)]
    return [(keys[steps.item_at(ints, ring, n)], steps.code_at(ints, ring, n)) for n in numbers]


def owners_in(state: State) -> set[int]:
    """Whose steps the rings hold, as far as they say it."""
    rings = [rows_of(state.tables.memory, table)[1:] for table in (STEPS, STEPS + 1)]
    words = np.concatenate(rings).view(np.uint64)
    return set((words[:, 0] >> np.uint64(40) << np.uint64(32) | words[:, 3] >> np.uint64(32)).tolist())


def saved(state: State, disk: SimulatedDisk) -> Path:
    publish(state)
    return write_checkpoint(disk, DIRECTORY, Snapshot(state, position=7, at_ms=9, control={}))


def reloaded(state: State, schema: Schema | None = None) -> State:
    disk, loaded = SimulatedDisk(), State(schema or state.schema)
    load_checkpoint(disk, saved(state, disk), loaded)
    return loaded


# What is a step.


def test_one_interest_told_by_several_events_is_one_step_and_a_second_view_a_second() -> None:
    state = empty_state(room_for())
    fold(state, acts((VIEWED, "a"), (CLICKED, "a"), (ORDERED, "a"), (VIEWED, "b"), (VIEWED, "b"), (CLICKED, "a")))
    assert said(state) == [(ref("a"), VIEW), (ref("b"), VIEW), (ref("b"), VIEW)]
    assert said(state, "bought") == [(ref("a"), ORDER)]


@pytest.mark.parametrize("between", [LOOKED_AT - 1, LOOKED_AT])
def test_an_item_is_looked_for_among_the_newest_steps_of_the_person(between: int) -> None:
    state = empty_state(room_for())
    fold(state, acts((VIEWED, "a"), *((VIEWED, f"i{n}") for n in range(between)), (ORDERED, "a")))
    assert len(said(state)) == 1 + between + (between >= LOOKED_AT)


def test_the_items_of_an_event_are_steps_in_their_order_each_once() -> None:
    state = empty_state(room_for())
    fold(state, acts((VIEWED, "b"), (ORDERED, "a b c a c"), (ORDERED, "b")))
    assert said(state) == [(ref("b"), VIEW), (ref("a"), ORDER), (ref("c"), ORDER), (ref("b"), ORDER)]
    assert said(state, "bought") == [(ref(one), ORDER) for one in "abcb"]


def test_of_an_event_with_many_items_the_first_ones_are_steps() -> None:
    state = empty_state(room_for(kept=1_000))
    fold(state, acts((VIEWED, " ".join(f"i{n}" for n in range(STEP_ITEMS_MAX - 1)))))
    fold(state, acts((VIEWED, " ".join(f"i{n}" for n in range(STEP_ITEMS_MAX))), who=1))
    assert len(said(state)) == 2 * STEP_ITEMS_MAX - 1
    fold(state, [tracked(2, START_MS, number=9, items=[f"i{n % 31}" for n in range(40)])])
    assert len(said(state)) == 2 * STEP_ITEMS_MAX - 1 + 31


def test_bots_late_events_repetitions_and_what_is_told_again_are_no_steps() -> None:
    state = empty_state(room_for())
    seen = tracked(0, START_MS + DAY_MS, number=1, items=["a"])
    late = tracked(0, START_MS + DAY_MS - HOUR_MS, number=2, items=["b"])
    bot = tracked(1, START_MS + DAY_MS, number=3, items=["c"], flags=Flag.BOT)
    fold(state, [seen, seen, late, bot, retold(seen, name=ORDERED, first_told=4)])
    assert said(state) == [(ref("a"), VIEW)]


def test_who_has_not_agreed_to_the_purpose_takes_no_step() -> None:
    other = msgspec.structs.replace(BOUGHT, purpose="advertising")
    state = empty_state(room_for((WALKED, other)))
    ordered = tracked(0, START_MS, ORDERED, number=1, items=["a"])
    fold(state, [msgspec.structs.replace(ordered, denied=("advertising",))])
    fold(state, [msgspec.structs.replace(ordered, message=message(2), denied=("personalization",))])
    assert (len(said(state)), len(said(state, "bought"))) == (1, 1)


def test_an_item_for_which_there_is_no_room_is_no_step() -> None:
    schema = room_for()
    state = empty_state(msgspec.structs.replace(schema, capacity=Capacity(cells=64, items=2)))
    fold(state, acts((VIEWED, "a"), (VIEWED, "b")))
    assert said(state) == [(ref("a"), VIEW)]


# How much is kept.


def test_a_stream_without_end_takes_no_more_than_the_ring_has() -> None:
    state, told = empty_state(room_for(kept=50)), models(WALKED, BOUGHT, kept=50)
    words = len(state.tables.memory.ints)
    for turn in range(12):
        fold(state, story(200, seed=turn, first=200 * turn), told)
        publish(state)
        for model in told:
            model.as_of = len(model.steps)
            model.assert_agreement(state)
        assert max(state.tables.memory.regions[[STEPS, STEPS + 1], USED]) <= 51
    assert len(told[0].steps) > 10 * 50
    assert len(state.tables.memory.ints) == words


def test_a_ring_that_keeps_nothing_takes_nothing() -> None:
    state = empty_state(room_for(kept=0))
    fold(state, story(100))
    assert (said(state), said(state, "bought")) == ([], [])
    assert reloaded(state).hash() == state.hash()


@settings(max_examples=40, deadline=None)
@given(kept=st.lists(st.integers(0, 60), min_size=1, max_size=4), seed=st.integers(0, 100))
def test_how_many_steps_are_kept_can_change(kept: list[int], seed: int) -> None:
    """The newest stay; what was let go does not come back, and who reads the log anew comes to the same."""
    schema = room_for(kept=kept[0])
    live, anew = empty_state(schema), empty_state(schema)
    for turn, count in enumerate(kept):
        before = said(live)
        for state in (live, anew):
            state.configure(Configured(START_MS, schema.settings | {"steps_kept": count}, schema.declared()))
        staying = before[max(len(before) - count, 0) :]
        assert [one for one in said(live) if one != (0, 0)] == [one for one in staying if one != (0, 0)]
        for state in (live, anew):
            fold(state, story(40, seed=seed + turn, first=40 * turn))
        assert len(said(live)) <= count
        live = reloaded(live)
        publish(anew)
        assert live.hash() == anew.hash()


# Walking.


def test_what_is_written_after_an_epoch_is_told_apart() -> None:
    state = empty_state(room_for())
    ints, ring = state.tables.memory.ints, state.ring("walked")
    word = state.schema.layout.named("walked").offset
    fold(state, acts((VIEWED, "a"), (VIEWED, "b")))
    publish(state)
    fold(state, acts((VIEWED, "c"), (VIEWED, "a"), who=1))
    assert (steps.written(ints, ring), steps.as_of(ints, ring)) == (4, 2)
    row = state.find_item(ref("a"))
    assert state.published[row * state.schema.layout.item_words + word] == 1
    assert (steps.after(ints, ring, 1), steps.after(ints, ring, 2), steps.after(ints, ring, 3)) == (2, 0, 4)
    assert (steps.earlier(ints, ring, 4), steps.before(ints, ring, 4), steps.before(ints, ring, 3)) == (1, 3, 0)


def test_the_newest_steps_of_a_person_are_those_of_all_their_cells() -> None:
    state = empty_state(room_for())
    one = [tracked(0, START_MS + 2 * n, number=n, items=[f"i{n}"]) for n in range(20)]
    other = [tracked(1, START_MS + 2 * n + 1, number=100 + n, items=[f"j{n}"]) for n in range(3)]
    fold(state, one + other)
    found = steps_of(state, [person(0), person(1), person(9)], "walked")
    wanted = sorted(one + other, key=lambda event: -event.happened_ms)[:STEPS_READ_MAX]
    assert found.times_ms.tolist() == [event.happened_ms for event in wanted]
    assert found.refs.tolist() == [event.items[0] for event in wanted]
    assert found.rows.tolist() == [state.find_item(event.items[0]) for event in wanted]
    assert set(found.codes.tolist()) == {VIEW}
    assert found.numbers[0] == 20
    assert [len(column) for column in steps_of(state, [person(9)], "walked")] == [0] * 5
    assert steps_of(state, [person(1)], "walked", 2).refs.tolist() == [ref("j2"), ref("j1")]
    with pytest.raises(KeyError):
        steps_of(state, [person(0)], "views")


def test_people_on_disk_are_read_there() -> None:
    state = State(room_for(cells=4, cold=50), ColdPlace(SimulatedDisk(), COLD_DIRECTORY))
    state.configure(Configured(START_MS, {}, state.schema.declared()))
    for who in range(12):
        fold(state, [tracked(who, START_MS + who, number=who, items=["a"])])
    assert state.cells_cold >= 8
    found = steps_of(state, [person(who) for who in range(12)], "walked")
    assert found.times_ms.tolist() == [START_MS + who for who in reversed(range(12))]


# Erasure.


def test_the_steps_of_an_erased_person_say_nothing_and_lead_on() -> None:
    state, told = empty_state(room_for()), models(WALKED, BOUGHT)
    fold(state, story(60), told)
    assert state.erase([person(1), person(3), person(99)]) == 2
    for model in told:
        model.erase(person(1))
        model.erase(person(3))
        model.assert_agreement(state)
    assert not owners_in(state) & {steps.owner_of(person(1)), steps.owner_of(person(3))}
    fold(state, story(30, seed=9, first=60), told)
    for model in told:
        model.assert_agreement(state)


def test_people_on_disk_are_erased_from_the_ring_like_all_others() -> None:
    disk = SimulatedDisk()
    small = State(room_for(cells=4, cold=50), ColdPlace(disk, COLD_DIRECTORY))
    small.configure(Configured(START_MS, {}, small.schema.declared()))
    large = empty_state(room_for())
    for state in (small, large):
        fold(state, story(120, people=12))
    assert small.cells_cold > 0
    assert small.hash() == large.hash()
    gone = [person(who) for who in range(0, 12, 2)]
    reads = small.read_at_use
    assert small.erase(gone) == large.erase(gone) == 6
    assert small.read_at_use == reads, "nobody was read from disk for it"
    assert small.hash() == large.hash()
    assert said(small) == said(large)
    assert (0, 0) in said(small)


def test_many_steps_are_erased_while_a_checkpoint_is_written() -> None:
    """More than there is room to put aside at once; the checkpoint holds them as they were."""
    schema = room_for(kept=60_000, room=60_000)
    state = empty_state(schema)
    fold_all(state, [tracked(n % 2, START_MS + n, number=n, items=["a", "b", "c"]) for n in range(20_000)], batch=128)
    publish(state)
    wanted = state.hash()
    disk, loaded = SimulatedDisk(), State(schema)
    snapshot = Snapshot(state, position=7, at_ms=9, control={})
    assert state.erase([person(0)]) == 1
    load_checkpoint(disk, write_checkpoint(disk, DIRECTORY, snapshot), loaded)
    assert loaded.hash() == wanted
    loaded.erase([person(0)])
    assert loaded.hash() == state.hash()
    assert said(state).count((0, 0)) == 30_000


def test_who_is_swept_or_idle_keeps_the_steps() -> None:
    state, told = empty_state(room_for()), models(WALKED)
    fold(state, story(30), told)
    state.tick(Ticked(START_MS + 100 * DAY_MS))
    told[0].assert_agreement(state)


# Rows of items.


def test_an_item_with_a_step_keeps_its_row_when_it_is_deleted() -> None:
    state = empty_state(room_for((WALKED,), kept=3))
    for item in ("a", "b"):
        state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item, {"price": 1}))
    fold(state, acts((VIEWED, "a")))
    publish(state)
    row = state.find_item(ref("a"))
    for item in ("a", "b"):
        state.catalogue.delete(ItemDeleted(START_MS, TENANT, item))
    assert (state.find_item(ref("a")), state.find_item(ref("b"))) == (row, -1)
    fold(state, acts(*((VIEWED, f"i{n}") for n in range(9)), who=1))
    assert state.find_item(ref("a")) == row, "though the ring keeps no step of it any more"
    fold(state, acts((VIEWED, "a"), who=2))
    assert said(state)[-1] == (ref("a"), VIEW)


def test_a_feature_that_counts_no_more_leaves_no_step_that_names_a_row() -> None:
    schema = room_for((WALKED, BOUGHT))
    state = empty_state(schema)
    state.catalogue.upsert(ItemUpserted(START_MS, TENANT, "a", {"price": 1}))
    fold(state, acts((VIEWED, "a"), (ORDERED, "b")))
    publish(state)
    bought = tuple(one for one in schema.declared() if one[0] == "bought")
    state.configure(Configured(START_MS, {}, bought))
    state.catalogue.delete(ItemDeleted(START_MS, TENANT, "a"))
    assert state.find_item(ref("a")) == -1
    assert (said(state), said(state, "bought")) == ([], [(ref("b"), ORDER)])
    state.configure(Configured(START_MS, {}, schema.declared()))
    fold(state, acts((VIEWED, "c"), who=1))
    assert said(state) == [(ref("c"), VIEW)]
    assert steps_of(state, [person(0)], "walked").refs.tolist() == []


# Checkpoints.


def test_a_checkpoint_opens_under_another_configuration_as_if_the_log_were_read_anew() -> None:
    then, now = room_for((WALKED, BOUGHT)), room_for((BOUGHT, COUNTED))
    live, anew = empty_state(then), State(now)
    anew.configure(Configured(START_MS, {}, then.declared()))
    for state in (live, anew):
        fold(state, story(80))
        publish(state)
    opened = reloaded(live, now)
    publish(anew)
    for state in (opened, anew):
        state.configure(Configured(START_MS, {}, now.declared()))
        fold(state, story(40, seed=5, first=80))
    assert said(opened, "bought") == said(anew, "bought")
    assert len(said(opened, "bought")) > 10
    assert opened.hash() == anew.hash()


def test_a_checkpoint_from_before_there_were_steps_opens_and_they_count_from_then_on() -> None:
    then, now = schema_of((COUNTED,), steps_kept=0), room_for((COUNTED, WALKED))
    live = empty_state(then)
    fold(live, story(40))
    opened, told = reloaded(live, now), models(WALKED)
    opened.configure(Configured(START_MS, now.settings, now.declared()))
    fold(opened, story(40, seed=5, first=40), told)
    told[0].assert_agreement(opened)
    assert len(told[0].steps) > 10
    assert said(reloaded(opened)) == said(opened)


@pytest.mark.parametrize(("word", "value"), [(0, 10_000), (0, -1), (1, 99), (2, -5), (2, 3), (4, 60), (4, -1)])
def test_what_no_fold_has_written_is_no_ring(word: int, value: int) -> None:
    """Whatever stands in the file, no walk leaves the ring and no row is met that there is not."""
    state = empty_state(room_for())
    fold(state, story(30))
    publish(state)
    ring = int(state.tables.memory.regions[STEPS, BASE])
    state.tables.memory.ints[ring + word] = value
    disk = SimulatedDisk()
    path = write_checkpoint(disk, DIRECTORY, Snapshot(state, position=7, at_ms=9, control={}))
    with pytest.raises(Corrupt, match="does not fit"):
        load_checkpoint(disk, path, State(state.schema))


def test_links_that_lead_nowhere_lead_to_none() -> None:
    state: Any = empty_state(room_for(kept=8))
    fold(state, story(60))
    ring = state.ring("walked")
    ints = state.tables.memory.ints
    newest = steps.written(ints, ring)
    rows_of(state.tables.memory, STEPS)[1:, 2:] = -1
    for step in range(newest - 7, newest + 1):
        assert steps.earlier(ints, ring, step) == steps.before(ints, ring, step) == steps.after(ints, ring, step) == 0
