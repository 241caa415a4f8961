"""Once: what a cell remembers against the simplest form of it, whatever the order and however many there are."""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, Ticked, Tracked
from instanter.foundation.limits import DEDUP_IDS_MAX
from instanter.sim.disk import SimulatedDisk
from instanter.state.checkpoint import CheckpointWriter, Snapshot, load_checkpoint
from instanter.state.dedup import WALKED_IDS_MAX
from instanter.state.layout import (
    CELL_CHUNK,
    CELL_IDS,
    CELL_OVERFLOW,
    CHUNK_COUNT,
    CHUNK_FIRST,
    CHUNK_IDS,
    CHUNK_NEXT,
)
from instanter.state.ledger import LEDGER_PAGES_MAX, close
from instanter.state.memory import State
from instanter.state.schema import Schema
from instanter.state.table import CHUNKS, LEDGERS, LIVE, ROWS_MAX, address

from .contents import cell_at
from .shop import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, empty_state, fold_all, person, publish, schema_of, tracked

DUPLICATE = 1


def often(*, cells: int = 1_024, **settings_: int) -> Schema:
    """A schema without features: all that is left is to tell what came before."""
    return schema_of((), cells=cells, **settings_)


class Simplest:
    """The messages of one person as a sorted list, all of it looked at each time."""

    def __init__(self, schema: Schema) -> None:
        self.window_ms, self.ids_max = (schema.settings[name] for name in ("dedup_window_ms", "dedup_ids_max"))
        self.newest_ms = self.overflow = 0
        self.known: list[tuple[int, int]] = []

    def take(self, event: Tracked) -> bool:
        """Whether the event is a duplicate."""
        self.newest_ms = max(self.newest_ms, event.happened_ms)
        horizon_ms = self.newest_ms - self.window_ms
        if event.happened_ms < horizon_ms:
            return False
        self.known = [known for known in self.known if known[0] >= horizon_ms]
        if event.message in {message for _, message in self.known}:
            return True
        bisect.insort(self.known, (event.happened_ms, event.message))
        if len(self.known) > self.ids_max:
            del self.known[0]
            self.overflow += 1
        return False


def remembered(state: State, who: int = 0) -> list[tuple[int, int]]:
    """(time, message) of all that the chunks of a person hold, sorted; all of them but the first are full."""
    memory, found = state.tables.memory, list[tuple[int, int]]()
    cell = cell_at(state, person(who))
    row = first = int(memory.ints[cell + CELL_CHUNK]) - 1
    while row >= 0:
        chunk = address(memory.regions, CHUNKS, row)
        count = int(memory.ints[chunk + CHUNK_COUNT])
        assert 0 < count <= CHUNK_IDS
        assert count == CHUNK_IDS or row == first
        words = memory.ints[chunk + CHUNK_FIRST : chunk + CHUNK_FIRST + 2 * count].tolist()
        found += zip(words[1::2], words[::2], strict=True)
        row = int(memory.ints[chunk + CHUNK_NEXT]) - 1
    assert len(found) == memory.ints[cell + CELL_IDS]
    return sorted(found)


def live(state: State, table: int) -> int:
    return int(state.tables.memory.regions[table, LIVE])


def without_ledgers(schema: Schema) -> State:
    state = empty_state(schema)
    state.tables.memory.regions[LEDGERS, ROWS_MAX] = 0
    return state


def assert_simplest(state: State, simplest: Simplest, who: int = 0) -> None:
    horizon_ms = simplest.newest_ms - simplest.window_ms
    assert [known for known in remembered(state, who) if known[0] >= horizon_ms] == simplest.known
    overflow = int(state.tables.memory.ints[cell_at(state, person(who)) + CELL_OVERFLOW])
    assert overflow == simplest.overflow == state.messages_forgotten


# In any order, of any size.


def _arrivals(seed: int, count: int, spread_h: int, batch: int) -> list[list[Tracked]]:
    """Events of one person over that many hours, in any order, some of them again; several at one moment."""
    chance = random.Random(seed)
    times_ms = sorted(START_MS + chance.randrange(spread_h * 60) * MINUTE_MS for _ in range(count))
    lag_ms = chance.choice((0, HOUR_MS, spread_h * HOUR_MS))
    events = [tracked(0, at_ms, number=n) for n, at_ms in enumerate(times_ms)]
    arrived = sorted(events, key=lambda event: event.happened_ms + chance.uniform(0, lag_ms))
    arrived = [one for event in arrived for one in [event, *chance.choices(events, k=chance.choice((0, 0, 0, 1, 2)))]]
    return [arrived[first : first + batch] for first in range(0, len(arrived), batch)]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 1_200), st.sampled_from((1, 20, 40, 200)), st.sampled_from((1, 16, 128)),
    st.sampled_from((0, 7, WALKED_IDS_MAX, WALKED_IDS_MAX + 1, 300, 500, DEDUP_IDS_MAX)),
)  # fmt: skip
def test_a_cell_remembers_what_the_simplest_form_does(
    seed: int, count: int, spread_h: int, batch: int, ids_max: int
) -> None:
    schema = often(dedup_ids_max=ids_max)
    state, walking, simplest = empty_state(schema), without_ledgers(schema), Simplest(schema)
    chance = random.Random(seed)
    for events in _arrivals(seed, count, spread_h, batch):
        wanted = [simplest.take(event) for event in events]
        assert [verdict == DUPLICATE for verdict in state.fold(events)] == wanted
        assert [verdict == DUPLICATE for verdict in walking.fold(events)] == wanted
        if chance.random() < 0.05:
            close(state.tables.memory, state.cell_row(person(0)))
    assert_simplest(state, simplest)
    assert remembered(walking) == remembered(state)
    assert walking.hash() == state.hash()
    assert live(walking, CHUNKS) == live(state, CHUNKS) == -(-len(remembered(state)) // CHUNK_IDS)


def test_by_default_it_is_4096_messages_a_person() -> None:
    state, events = empty_state(often()), [tracked(0, START_MS + n, number=n) for n in range(4_196)]
    random.Random(1).shuffle(events)
    simplest = Simplest(state.schema)
    fold_all(state, events, batch=128)
    for event in events:
        simplest.take(event)
    assert len(remembered(state)) == 4_096
    assert_simplest(state, simplest)
    assert live(state, LEDGERS) == LEDGER_PAGES_MAX


def test_what_was_lowered_since_forgets_nothing_that_it_remembered() -> None:
    schema = often()
    state, simplest = empty_state(schema), Simplest(schema)
    for first, ids_max in ((0, 4_096), (1_000, 200), (1_500, 4_096)):
        state.configure(Configured(START_MS, schema.settings | {"dedup_ids_max": ids_max}, schema.declared()))
        simplest.ids_max = max(ids_max, len(simplest.known)) if ids_max < len(simplest.known) else ids_max
        events = [tracked(0, START_MS + n, number=n) for n in range(first, first + 500)]
        assert fold_all(state, events) == [0] * 500
        for event in events:
            simplest.take(event)
    assert_simplest(state, simplest)


# Room.


def _busy_day(state: State, *, count: int = 4_000, day: int = 0, who: int = 0) -> None:
    at_ms = START_MS + day * DAY_MS
    fold_all(state, [tracked(who, at_ms + n * 1_000, number=day * 10_000 + n) for n in range(count)], batch=128)


def test_messages_that_are_long_expired_give_their_room_back() -> None:
    state = empty_state(often())
    _busy_day(state)
    assert (live(state, CHUNKS), live(state, LEDGERS)) == (-(-4_000 // CHUNK_IDS), LEDGER_PAGES_MAX)
    _busy_day(state, day=1, count=3)
    assert live(state, CHUNKS) > 600
    _busy_day(state, day=3, count=3)
    assert (live(state, CHUNKS), live(state, LEDGERS)) == (1, 0)
    assert len(remembered(state)) == 3


def test_where_an_old_rule_holds_they_give_no_room_back() -> None:
    """A log comes to the state that it came to: a longer window finds again what a shorter one had left there."""
    known = []
    for folding in (2, 3):
        schema = often(folding=folding)
        state = State(schema)
        for window_h, day, count in ((1, 0, 30), (1, 1, 1), (168, 0, 30)):
            settings_ = schema.settings | {"dedup_window_ms": window_h * HOUR_MS}
            state.configure(Configured(START_MS, settings_, schema.declared()))
            before = state.verdicts["duplicate"]
            _busy_day(state, count=count, day=day)
        known.append(state.verdicts["duplicate"] - before)
    assert known == [29, 0]


@pytest.mark.parametrize("how", ["sweep", "fold", "erase"])
def test_who_is_gone_leaves_no_ledger(how: str) -> None:
    state = empty_state(often())
    _busy_day(state, count=1_000)
    assert live(state, LEDGERS)
    tick = Ticked(START_MS + 5 * DAY_MS)
    if how == "sweep":
        assert state.tick(tick) == 1
    elif how == "fold":
        state.tables.idle[0] = START_MS + 4 * DAY_MS
        assert fold_all(state, [tracked(0, START_MS + 6 * DAY_MS, number=1)]) == [0]
        assert len(remembered(state)) == 1
    else:
        assert state.erase([person(0)]) == 1
    assert live(state, LEDGERS) == 0
    assert not state.tables.memory.ledgers.any()
    memory = state.tables.memory
    pages = memory.ints[address(memory.regions, LEDGERS, 0) : address(memory.regions, LEDGERS, LEDGER_PAGES_MAX)]
    assert len(pages[pages > LEDGER_PAGES_MAX]) == 0, "only the free list is left of them"


def test_where_no_page_is_left_for_a_ledger_nothing_else_changes() -> None:
    state = empty_state(often(cells=700))
    people = 20
    for who in range(people):
        _busy_day(state, count=500, who=who)
    with_ledger = int((state.tables.memory.ledgers > 0).sum())
    assert 0 < with_ledger < people
    for who in range(people):
        events = [tracked(who, START_MS + n * 1_000, number=n) for n in range(500)]
        assert set(fold_all(state, events)) == {DUPLICATE}


# Checkpoints.


def _reloaded(state: State, between: Sequence[Tracked] = ()) -> State:
    publish(state)
    disk, loaded = SimulatedDisk(), State(state.schema)
    snapshot = Snapshot(state, position=1, at_ms=1, control={})
    sections = snapshot.sections()
    file = [next(sections)]
    state.fold(between)
    memory = state.tables.memory
    assert 2 * int(memory.spill[0]) <= len(memory.spill), "two batches would have found room"
    file += sections
    snapshot.abandon()

    writer = CheckpointWriter(disk, Path("/checkpoints"), 1)
    for section in file:
        writer.write(section)
    load_checkpoint(disk, writer.finish(), loaded)
    return loaded


def test_a_checkpoint_carries_all_of_them() -> None:
    state = empty_state(often())
    _busy_day(state, count=5_000)
    loaded = _reloaded(state)
    assert loaded.hash() == state.hash()
    assert remembered(loaded) == remembered(state)
    events = [tracked(0, START_MS + n * 1_000, number=n) for n in range(5_000 - 4_096, 5_000)]
    assert set(fold_all(loaded, events, batch=128)) == {DUPLICATE}


def test_a_batch_that_frees_thousands_of_chunks_fits_into_what_is_saved_for_a_checkpoint() -> None:
    """Each of its events is of somebody who has been idle for long and remembered many messages."""
    people, each = 40, 1_000
    state = empty_state(often(cells=people * each // CHUNK_IDS))
    for who in range(people):
        _busy_day(state, count=each, who=who)
    before = state.hash()
    state.tables.idle[0] = START_MS + 30 * DAY_MS
    swept = state.hash()
    assert swept != before
    loaded = _reloaded(state, [tracked(who, START_MS + 31 * DAY_MS, number=who) for who in range(people)])
    assert loaded.hash() == swept
