"""People on disk: a state with hardly any memory is what one with all of it is, at every moment."""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, Ticked, Tracked
from instanter.features.declaration import FeatureDeclaration
from instanter.features.view import Reader
from instanter.foundation import limits
from instanter.foundation.errors import Broken, Corrupt, DiskFull
from instanter.foundation.limits import COLD_RECORD_BYTES_MAX, DEDUP_IDS_MAX
from instanter.sim.disk import PowerLost, SimulatedDisk
from instanter.state.checkpoint import (
    CheckpointWriter,
    Snapshot,
    checkpoint_path,
    cold_files_kept,
    list_checkpoints,
    load_checkpoint,
    people_on_disk,
    write_checkpoint,
)
from instanter.state.cold import COLD_WORDS, ColdWork, Emptying, MovingOut, warm_up
from instanter.state.cold_files import (
    ALIGNED_BYTES,
    ColdPlace,
    Stored,
    cold_path,
    file_of,
    list_cold_files,
    offset_of,
)
from instanter.state.fetched import ColdRecord
from instanter.state.layout import CELL_KEY, CHUNK_WORDS
from instanter.state.ledger import PAGE_WORDS
from instanter.state.memory import State
from instanter.state.schema import Schema
from instanter.state.table import CELLS, COLD, LIVE, address, allocate, insert, make_index, make_memory, rows_of

from .shop import (
    DAY_MS,
    DECLARATIONS,
    HOUR_MS,
    ITEMS,
    MINUTE_MS,
    START_MS,
    TENANT,
    VIEWED,
    ItemUpserted,
    fold_all,
    message,
    person,
    publish,
    random_event,
    schema_of,
    tracked,
)

DIRECTORY, COLD_DIRECTORY = Path("/checkpoints"), Path("/cold")
COUNTED = FeatureDeclaration(name="views", on=(VIEWED,), aggregate="count")
PEOPLE = 12
FULL = os.environ.get("INSTANTER_FULL") == "1"


def small(declarations: Any = DECLARATIONS, *, cells: int = 4, cold: int = 100, **settings_: int) -> Schema:
    schema = schema_of(declarations, cells=cells, **({"dedup_ids_max": 24} | settings_))
    return msgspec.structs.replace(
        schema, capacity=msgspec.structs.replace(schema.capacity, cold=cold)
    )


def large(declarations: Any = DECLARATIONS, **settings_: int) -> Schema:
    return schema_of(declarations, cells=200, **({"dedup_ids_max": 24} | settings_))


def on(disk: SimulatedDisk, schema: Schema | None = None) -> State:
    return State(schema or small(), ColdPlace(disk, COLD_DIRECTORY))


def opened(state: State) -> State:
    """With features in force and a catalogue."""
    state.configure(Configured(START_MS, {}, state.schema.declared()))
    for item_id, fields in ITEMS.items():
        state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item_id, fields))
    return state


def story(length: int, *, people: int = PEOPLE, seed: int = 3, first: int = 0) -> list[Tracked]:
    rng = random.Random(seed)
    return [
        random_event(rng, rng.randrange(people), START_MS + number * 7 * MINUTE_MS, number)
        for number in range(first, first + length)
    ]


def saved(disk: SimulatedDisk, state: State, *, position: int) -> Path:
    publish(state)
    return write_checkpoint(disk, DIRECTORY, Snapshot(state, position=position, at_ms=9, control={}))


def scrubbed(state: State) -> None:
    while state.scrub():
        pass


def bytes_of(key: int) -> bytes:
    return struct.pack("<q", key)


def cold_bytes(disk: SimulatedDisk) -> bytes:
    return b"".join(content for path, content in disk.files().items() if path.parent == COLD_DIRECTORY)


def begin_leaving(state: State, count: int) -> MovingOut | None:
    """So many people who are in memory are to be written to disk."""
    cold, memory = state.cold, state.tables.memory
    rows = cold._idle_longest(memory, count, np.empty(0, np.int64))
    idle_ms = int(state.tables.idle[0])
    work = cold._moving(memory, rows, state.configured, idle_ms, state._relieve, patient=True) if len(rows) else None
    return work and work.apart()


def in_memory(state: State) -> int:
    return int(state.tables.memory.regions[CELLS, LIVE])


# Equal with and without.


STEPS = st.lists(st.tuples(
    st.sampled_from((
        "fold", "fold", "fold", "erase", "tick", "read", "upkeep", "reload", "configure", "publish",
        "ask", "ask", "arrive", "look", "compact", "leave", "leave", "empty", "work", "settle", "settle",
    )),
    st.integers(0, 1_000),
), min_size=1, max_size=25)  # fmt: skip


class Pair:
    """One state that has room for everybody and one that has hardly any, told the same."""

    def __init__(self, cells: int) -> None:
        self.disk = SimulatedDisk()
        self.schema = small(cells=cells)
        self.large = opened(State(large()))
        self.small = opened(on(self.disk, self.schema))
        self.position = 0
        self.clock_ms = START_MS
        self.coming: list[dict[ColdRecord, Stored | None]] = []
        self.begun: list[tuple[ColdWork, bool]] = []
        """Steps of upkeep that a thread is at, and whether it has come to their end."""

    def both(self, what: Callable[[State], Any]) -> Any:
        ours, theirs = what(self.small), what(self.large)
        assert ours == theirs
        return ours

    def fold(self, number: int) -> None:
        rng = random.Random(number)
        events = []
        for n in range(rng.randrange(1, 40)):
            self.clock_ms += rng.choice((1, MINUTE_MS, 20 * MINUTE_MS, HOUR_MS))
            lag_ms = rng.choice((0, 0, 0, 10 * MINUTE_MS, 5 * HOUR_MS, 2 * DAY_MS))
            who = rng.randrange(PEOPLE)
            event = random_event(rng, who, self.clock_ms - lag_ms, rng.randrange(300) * PEOPLE + who)
            events.append(msgspec.structs.replace(event, received_ms=self.clock_ms))
            assert n < 128
        self.both(lambda state: state.fold(events).tolist())

    def read(self, number: int) -> None:
        keys = [person(number % PEOPLE), person(number // 7 % PEOPLE), person(99)]
        reader = Reader(self.schema, DECLARATIONS)
        self.both(lambda state: str(reader.person(state, keys, self.clock_ms)))
        self.both(lambda state: sorted(state.messages_of([person(number % PEOPLE)])))

    def ask(self, number: int) -> None:
        """A thread reads some people; what it read arrives later."""
        unread = self.small.unread([person(who) for who in range(number % 7, PEOPLE)])
        self.coming.append(self.small.fetch(unread) if unread else {})

    def arrive(self, number: int) -> None:
        if self.coming:
            self.small.keep_fetched(self.coming.pop(number % len(self.coming)))

    def look(self, number: int) -> None:
        """As often as it takes for the disk to have read everybody."""
        unread = self.small.unread([person(who) for who in range(number % 5, PEOPLE)])
        while unread:
            unread = self.small.fetch_now(unread)

    def compact(self, number: int) -> None:
        """Everybody on disk moves to another file."""
        files = self.small.cold.files
        files._distrusted |= {one for one, live in files.live.items() if live > 0}
        for _ in range(100):
            self.small.upkeep()

    def leave(self, number: int) -> None:
        """Somebody who may be idle begins to move out."""
        work = begin_leaving(self.small, 1 + number % 3)
        if work is not None:
            self.begun.append((work, False))

    def empty(self, number: int) -> None:
        """A file that nobody appends to begins to be emptied."""
        files = self.small.cold.files
        kept = {one for one, live in files.live.items() if live > 0 and one != files.number}
        if kept and self.small.cells_cold:
            lying = self.small.cold._lying_in(self.small.tables.memory, sorted(kept)[number % len(kept)])
            self.begun.append((Emptying(files, lying), False))

    def work(self, number: int) -> None:
        """The thread comes to the end of a step."""
        if self.begun:
            place = number % len(self.begun)
            work, done = self.begun[place]
            if not done:
                work.run()
            self.begun[place] = work, True

    def settle(self, number: int) -> None:
        """What the thread has done is taken over."""
        done = [one for one in self.begun if one[1]]
        if done:
            one = done[number % len(done)]
            self.begun.remove(one)
            following = self.small.end_upkeep(one[0])
            if following is not None:
                self.begun.append((following, False))

    def settle_all(self) -> None:
        while self.begun:
            self.work(0)
            self.settle(0)

    def tick(self, number: int) -> None:
        self.clock_ms += number % 3 * 10 * HOUR_MS
        tick = Ticked(self.clock_ms)
        for state in (self.small, self.large):
            state.tick(tick)

    def configure(self, number: int) -> None:
        """Some features stop, or begin again from nothing."""
        rng = random.Random(number)
        declared = [one for one in self.schema.declared() if rng.random() < 0.8]
        for state in (self.small, self.large):
            state.configure(Configured(self.clock_ms, {}, tuple(declared)))

    def reload(self, number: int) -> None:
        self.position += 1
        path = saved(self.disk, self.small, position=self.position)
        publish(self.large)
        self.coming.clear()
        self.begun.clear()
        self.small = on(self.disk, self.schema)
        load_checkpoint(self.disk, path, self.small)

    def erase(self, number: int) -> None:
        keys = [person(number % PEOPLE), person(number % 50)]
        self.both(lambda state: state.erase(keys))
        if self.small.cold.files.writing:
            assert self.small.begin_scrub() is None
        elif number % 2:
            scrubbed(self.small)

    def upkeep(self, number: int) -> None:
        for _ in range(number % 20):
            self.small.upkeep()

    def publish(self, number: int) -> None:
        for state in (self.small, self.large):
            publish(state)


@settings(max_examples=400 if FULL else 12, deadline=None)
@given(cells=st.sampled_from((3, 5, 8)), steps=STEPS)
def test_hardly_any_memory_is_as_good_as_all_of_it(cells: int, steps: list[tuple[str, int]]) -> None:
    pair = Pair(cells)
    for step, number in steps:
        getattr(pair, step)(number)
        assert pair.small.hash() == pair.large.hash()
        assert pair.small.cells_used == pair.large.cells_used
        assert in_memory(pair.small) <= cells
    assert pair.small.hash(order_free=True) == pair.large.hash(order_free=True)
    assert pair.small.verdicts == pair.large.verdicts or any(step == "reload" for step, _ in steps)
    pair.settle_all()
    assert pair.small.hash() == pair.large.hash()
    assert not pair.small.cold.files.writing
    assert sum(pair.small.cold.files.live.values()) == pair.small.cells_cold
    pair.small.erase([person(who) for who in range(PEOPLE)])
    scrubbed(pair.small)
    assert not any(bytes_of(person(who)) in cold_bytes(pair.disk) for who in range(PEOPLE))


def test_reading_somebody_who_lies_on_disk_changes_nothing_and_moves_nobody() -> None:
    state, plain = opened(on(SimulatedDisk())), opened(State(large()))
    for one in (state, plain):
        fold_all(one, story(60), batch=4)
    keys = [person(who) for who in range(3)]
    assert any(state.cell_row(key) < 0 for key in keys)
    memory, cold = state.tables.memory, state.cold
    before = [array.tobytes() for array in (*memory, *state.tables.cell_index, *cold.index)], cold.moved_out
    reader, now_ms = Reader(state.schema, DECLARATIONS), START_MS + 8 * HOUR_MS
    assert str(reader.person(state, keys, now_ms)) == str(reader.person(plain, keys, now_ms))
    assert ([array.tobytes() for array in (*memory, *state.tables.cell_index, *cold.index)], cold.moved_out) == before


def test_what_was_read_ahead_is_used_and_the_disk_is_not_asked_again() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(60), batch=4)
    unread = state.unread([person(who) for who in range(PEOPLE)])
    assert len(unread) == state.cells_cold > 0
    assert state.fetch_now(unread) == unread, "the disk begins to read"
    assert state.fetch_now(unread) == []
    assert state.unread([person(who) for who in range(PEOPLE)]) == []
    before, reader = state.read_at_use, Reader(state.schema, DECLARATIONS)
    reader.person(state, [unread[0].key], START_MS)
    state.warm([unread[1].key])
    assert state.read_at_use == before
    moved = state.unread([person(who) for who in range(PEOPLE)])[0]
    reader.person(state, [moved.key], START_MS)
    assert state.read_at_use == before + 1


@pytest.mark.parametrize("how", ["erase", "fold", "compact"])
def test_what_was_read_of_somebody_who_is_not_there_any_more_is_forgotten(how: str) -> None:
    """Erased, come back or moved: before it arrives, and after it."""
    pair = Pair(4)
    pair.fold(5)
    state = pair.small
    unread = state.unread([person(who) for who in range(PEOPLE)])
    there = unread[0]
    for arrives_first in (True, False):
        read = state.fetch(unread)
        if arrives_first:
            state.keep_fetched(read)
            assert state.cold.fetched.find(there) is not None
            if how == "erase":
                state.erase([there.key])
            elif how == "fold":
                state.warm([there.key])
            else:
                pair.compact(0)
        state.keep_fetched({there: read[there]} if there in read else {there: Stored(0, np.zeros(1, np.int64))})
        assert state.fetch_now([there]) == []
        assert state.cold.fetched.find(there) is None


def test_a_damaged_record_is_no_news_before_somebody_uses_it() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(60), batch=4)
    there = state.unread([person(who) for who in range(PEOPLE)])[0]
    disk.overwrite(cold_path(COLD_DIRECTORY, file_of(there.place)), offset_of(there.place), bytes(8))
    assert state.fetch([there]) == {}
    assert (state.fetch_now([there]), state.fetch_now([there])) == ([there], [])
    assert state.unread([there.key]) == [there]
    with pytest.raises(Corrupt, match="checksum"):
        Reader(state.schema, DECLARATIONS).person(state, [there.key], START_MS)


def test_nobody_is_refused_for_being_new() -> None:
    disk = SimulatedDisk()
    state = on(disk, small([COUNTED], cells=20, cold=1_000))
    state.configure(Configured(START_MS, {}, state.schema.declared()))
    assert set(fold_all(state, [tracked(who, START_MS + who, number=who) for who in range(500)], batch=128)) == {0}
    assert (state.cells_used, in_memory(state) <= 20, state.has_room) == (500, True, True)
    assert state.verdicts["table_full"] == 0


def test_who_was_idle_longest_goes_and_who_came_last_stays() -> None:
    state = on(SimulatedDisk(), small([COUNTED], cells=32, cold=1_000))
    fold_all(state, [tracked(who, START_MS + who * MINUTE_MS, number=who) for who in range(400)], batch=4)
    inside = {who for who in range(400) if state.cell_row(person(who)) >= 0}
    assert len(inside) > 16
    assert min(inside) >= 360


def test_no_step_of_upkeep_moves_more_people_than_the_bound() -> None:
    schema = small([COUNTED], cells=32 * limits.COLD_MOVED_MAX, cold=100_000)
    state = on(SimulatedDisk(), schema)
    fold_all(state, [tracked(who, START_MS + who, number=who) for who in range(schema.capacity.cells)], batch=128)
    steps, before = [], state.cells_cold
    while state.upkeep():
        steps.append(state.cells_cold - before)
        before = state.cells_cold
    assert max(steps) == limits.COLD_MOVED_MAX
    assert len(steps) > 1


def test_a_file_of_people_is_closed_at_its_size_and_all_of_them_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instanter.state.cold_files.COLD_FILE_BYTES", 8_192)
    disk = SimulatedDisk()
    state, plain = on(disk, small([COUNTED], cells=8, cold=1_000)), State(schema_of([COUNTED], cells=1_000))
    events = [tracked(who, START_MS + who, number=who) for who in range(300)]
    assert fold_all(state, events, batch=4) == fold_all(plain, events, batch=4) == [0] * 300
    sizes = [len(content) for path, content in disk.files().items() if path.parent == COLD_DIRECTORY]
    assert len(sizes) > 3
    assert max(sizes) < 2 * 8_192
    assert state.hash() == plain.hash()


def test_the_largest_person_that_can_be_declared_is_no_larger_than_a_record_and_comes_back() -> None:
    """As many features as there may be, of the largest kind, and as many messages as any log may say."""
    declared = [FeatureDeclaration(name=f"f{number}", on=(VIEWED,), aggregate="windowed", window=f"{limits.TILES_MAX}h",
                                   tiles=limits.TILES_MAX) for number in range(limits.FEATURES_MAX // 2)]  # fmt: skip
    declared += [FeatureDeclaration(name=f"s{number}", on=(VIEWED,), aggregate="top_k", by="item", k=limits.TOP_K_MAX,
                                    scope="session") for number in range(limits.FEATURES_MAX // 2)]  # fmt: skip
    schema = small(declared, cells=2, cold=8, dedup_ids_max=limits.DEDUP_IDS_MAX)
    layout, chunks = schema.layout, 2 * limits.DEDUP_IDS_MAX
    words = 2 * layout.cell_words + 2 * 2 * layout.session_words + chunks * CHUNK_WORDS
    assert 8 * words < limits.COLD_RECORD_BYTES_MAX, "a feature twice as large would fit too"
    disk = SimulatedDisk()
    state, plain = opened(on(disk, schema)), opened(State(large(declared, dedup_ids_max=limits.DEDUP_IDS_MAX)))
    events = [tracked(who, START_MS + who * MINUTE_MS, number=who) for who in (1, 2, 3, 1)]
    assert fold_all(state, events, batch=1) == fold_all(plain, events, batch=1)
    assert len(cold_bytes(disk)) > 8 * layout.cell_words
    assert state.hash() == plain.hash()


def test_a_record_that_says_it_is_larger_than_any_is_damage_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    state = on(disk, small([COUNTED], cells=4, cold=100))
    fold_all(state, [tracked(who, START_MS + who, number=who) for who in range(9)], batch=1)
    monkeypatch.setattr("instanter.state.cold_files.COLD_RECORD_BYTES_MAX", 64)
    with pytest.raises(Corrupt, match="checksum does not match"):
        state.fold([tracked(0, START_MS + HOUR_MS, number=50)])


def test_without_a_place_on_disk_room_is_refused_as_ever_and_nothing_is_prepared() -> None:
    state = opened(State(small()))
    assert fold_all(state, [tracked(who, START_MS, number=who) for who in range(6)]) == [0] * 4 + [4] * 2
    state.warm([person(0), person(5)])
    assert (state.upkeep(), state.scrub(), state.cold) == (False, False, None)


def test_idle_people_on_disk_are_found_too() -> None:
    state = on(SimulatedDisk(), small([COUNTED], cells=8, cold=1_000))
    fold_all(state, [tracked(who, START_MS + who * HOUR_MS, number=who) for who in range(40)], batch=4)
    found = [key for _ in range(8) for key in state.idle_cells(START_MS + 35 * HOUR_MS, 10)]
    assert sorted(set(found)) == sorted(person(who) for who in range(35))


def test_the_messages_of_people_on_disk_are_known() -> None:
    state = opened(on(SimulatedDisk()))
    fold_all(state, [tracked(n % 9, START_MS + n, number=n) for n in range(90)], batch=9)
    assert state.cells_cold >= 5
    for who in range(9):
        assert sorted(state.messages_of([person(who)])) == sorted(message(n) for n in range(who, 90, 9))


def test_who_was_brought_back_lies_nowhere_else_and_their_file_is_emptied_and_removed() -> None:
    disk = SimulatedDisk()
    state = on(disk, small([COUNTED], cells=8, cold=1_000))
    for turn in range(6):
        fold_all(state, [tracked(who, START_MS + turn * HOUR_MS, number=turn * 60 + who) for who in range(60)], batch=4)
        state.cold.files._close()
    wanted = state.hash()
    assert len(list_cold_files(disk, COLD_DIRECTORY)) == 6
    while state.upkeep():
        pass
    assert state.cold.files.retain(set()) != []
    assert len(list_cold_files(disk, COLD_DIRECTORY)) <= 3
    assert state.hash() == wanted
    assert sum(state.cold.files.needed().values()) < 2 * state.cells_cold + 60
    there = int((rows_of(state.tables.memory, COLD)[:, 0] != 0).sum())
    assert sum(state.cold.files.live.values()) == state.cells_cold == there


# Beside the loop.


def four_people(disk: SimulatedDisk) -> State:
    """All of them in memory, which has room for no more."""
    state = opened(on(disk, small([COUNTED])))
    fold_all(state, [tracked(who, START_MS, number=who) for who in range(4)])
    assert in_memory(state) == 4
    return state


def keys_in_memory(state: State) -> set[int]:
    return {int(key) for key in rows_of(state.tables.memory, CELLS)[:, CELL_KEY] if key}


def test_who_is_being_written_is_in_memory_until_that_is_done() -> None:
    state = four_people(SimulatedDisk())
    wanted, leaving = state.hash(), begin_leaving(state, 2)
    assert (in_memory(state), state.cells_cold) == (4, 0)
    leaving.run()
    assert (in_memory(state), state.cells_cold, state.hash()) == (4, 0, wanted)
    assert state.end_upkeep(leaving) is None
    assert (in_memory(state), state.cells_cold, state.hash()) == (2, 2, wanted)


def test_who_does_something_while_being_written_stays_in_memory() -> None:
    state, plain = four_people(SimulatedDisk()), opened(State(large([COUNTED])))
    fold_all(plain, [tracked(who, START_MS, number=who) for who in range(4)])
    leaving = begin_leaving(state, 4)
    leaving.run()
    for one in (state, plain):
        fold_all(one, [tracked(2, START_MS, number=9)])
    state.end_upkeep(leaving)
    assert keys_in_memory(state) == {person(2)}
    assert state.cold.files.live.total() == state.cells_cold == 3
    assert state.hash() == plain.hash()


@pytest.mark.parametrize("written_first", [True, False])
def test_who_is_erased_while_being_written_is_on_no_disk_afterwards(written_first: bool) -> None:
    disk = SimulatedDisk()
    state = four_people(disk)
    leaving = begin_leaving(state, 4)
    if written_first:
        leaving.run()
    assert state.erase([person(1)]) == 1
    assert state.begin_scrub() is None, "the record may not be there yet"
    if not written_first:
        leaving.run()
    state.end_upkeep(leaving)
    assert state.cells_used == 3
    assert bytes_of(person(1)) in cold_bytes(disk)
    scrubbed(state)
    assert bytes_of(person(1)) not in cold_bytes(disk)


def test_who_leaves_under_a_configuration_that_is_in_force_no_more_stays() -> None:
    state = four_people(SimulatedDisk())
    leaving = begin_leaving(state, 4)
    leaving.run()
    state.configure(Configured(START_MS, {}, ()))
    state.end_upkeep(leaving)
    assert (in_memory(state), state.cells_cold) == (4, 0)


def test_whoever_needs_room_while_a_thread_writes_takes_the_next_file() -> None:
    disk = SimulatedDisk()
    state = four_people(disk)
    leaving = begin_leaving(state, 2)
    fold_all(state, [tracked(who, START_MS, number=who) for who in range(4, 8)])
    assert state.cells_cold == 4
    leaving.run()
    state.end_upkeep(leaving)
    assert state.cells_used == 8
    assert list_cold_files(disk, COLD_DIRECTORY) == [1, 2]
    assert state.cold.files.number == 2
    assert state.cold.files.live == {1: 0, 2: 4}
    assert state.cold.files.retain(set()) == [1]


def test_a_file_that_somebody_is_written_to_is_not_removed() -> None:
    disk = SimulatedDisk()
    state = four_people(disk)
    leaving = begin_leaving(state, 2)
    leaving.run()
    state.cold.files._close()
    assert state.cold.files.retain(set()) == []
    state.end_upkeep(leaving)
    assert state.cold.files.live == {1: 2}


class MeddlingDisk(SimulatedDisk):
    """Something happens while a file is being synced."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] | None = None

    def attempt_sync(self, inode: Any) -> None:
        super().attempt_sync(inode)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


def test_whoever_needs_room_while_a_file_is_synced_does_not_wait_for_that() -> None:
    disk = MeddlingDisk()
    state = four_people(disk)
    fold_all(state, [tracked(4, START_MS, number=4)])
    disk.meanwhile = lambda: fold_all(state, [tracked(5, START_MS, number=5)])
    saved(disk, state, position=1)
    assert state.cold.files.number == 2


def test_what_was_written_during_a_sync_is_synced_by_the_next_one() -> None:
    disk = MeddlingDisk()
    state = four_people(disk)
    fold_all(state, [tracked(4, START_MS, number=4)])

    def meanwhile() -> None:
        leaving = begin_leaving(state, 2)
        leaving.run()
        state.end_upkeep(leaving)
        state.cold.files._close()

    disk.meanwhile = meanwhile
    saved(disk, state, position=1)
    assert list(state.cold.files.live) == [1]
    path, wanted = saved(disk, state, position=2), state.hash()
    disk.crash()
    loaded = on(disk, small([COUNTED]))
    load_checkpoint(disk, path, loaded)
    assert loaded.hash() == wanted


def test_whoever_comes_back_before_they_are_read_in_a_file_that_is_gone_by_then_is_no_damage() -> None:
    disk = SimulatedDisk()
    state = four_people(disk)
    fold_all(state, [tracked(4, START_MS, number=4)])
    files, memory = state.cold.files, state.tables.memory
    files._close()
    emptying = Emptying(files, state.cold._lying_in(memory, 1))
    (gone,) = [one.key for one in emptying._people]
    disk.unlink(cold_path(COLD_DIRECTORY, 1))
    emptying.run()
    with pytest.raises(Corrupt):
        state.end_upkeep(emptying)
    state.erase([gone])
    assert state.end_upkeep(emptying) is None


def test_a_file_that_cannot_be_opened_to_be_synced_is_trusted_and_synced_later() -> None:
    disk = SimulatedDisk()
    state = four_people(disk)
    fold_all(state, [tracked(4, START_MS, number=4)])
    disk.fail("open", errno.EMFILE)
    with pytest.raises(OSError):
        state.cold.files.sync({1})
    assert state.cold.files._distrusted == set()
    before = disk.calls["sync"]
    state.cold.files.sync({1})
    assert disk.calls["sync"] == before + 1


def test_a_file_that_was_removed_holds_nobody_who_was_erased() -> None:
    disk = SimulatedDisk()
    state = four_people(disk)
    for turn in range(2):
        fold_all(state, [tracked(8 * turn + who, START_MS + turn, number=8 * turn + who) for who in range(8)])
        state.cold.files._close()
    state.erase([person(1)])
    step = state.begin_scrub()
    disk.unlink(cold_path(COLD_DIRECTORY, step.number))
    scrubbed(state)
    assert not state.scrubbing


def test_a_step_of_overwriting_that_was_made_twice_counts_once() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    for turn in range(3):
        fold_all(state, story(60, seed=turn, first=100 * turn), batch=4)
        state.cold.files._close()
    state.erase([person(2)])
    steps = [state.begin_scrub(), state.begin_scrub()]
    for step in steps:
        step.run()
        state.end_upkeep(step)
    assert state.scrubbing
    scrubbed(state)
    assert bytes_of(person(2)) not in cold_bytes(disk)


def test_a_late_step_of_an_earlier_pass_takes_no_file_off_the_next_one() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(60), batch=4)
    state.erase([person(2)])
    late = [state.begin_scrub()]
    late[0].run()
    scrubbed(state)
    state.erase([person(3)])
    before = state.begin_scrub()
    state.end_upkeep(late[0])
    after = state.begin_scrub()
    assert (after.number, after.offset) == (before.number, before.offset)
    scrubbed(state)
    assert bytes_of(person(3)) not in cold_bytes(disk)


# Checkpoints.


def test_a_checkpoint_in_the_making_is_of_one_position_while_people_come_and_go() -> None:
    for steps_before in range(8 if FULL else 4):
        disk = SimulatedDisk()
        state, plain = opened(on(disk)), opened(State(large()))
        before, after = story(120), story(120, seed=8, first=300)
        fold_all(state, before, batch=6)
        fold_all(plain, before)
        publish(state)
        wanted = plain.hash()
        snapshot = Snapshot(state, position=7, at_ms=9, control={})
        writer = CheckpointWriter(disk, DIRECTORY, 7)
        sections = snapshot.sections()
        for _ in range(steps_before):
            writer.write(next(sections, b""))
        fold_all(state, after, batch=6)
        while state.upkeep():
            pass
        state.erase([person(3)])
        for part in sections:
            writer.write(part)
        snapshot.sync_cold()
        snapshot.abandon()
        path = writer.finish()
        disk.crash()
        loaded = on(disk)
        load_checkpoint(disk, path, loaded)
        assert loaded.hash() == wanted
        fold_all(loaded, after, batch=6)
        loaded.erase([person(3)])
        assert loaded.hash() == state.hash()


def test_files_that_a_kept_checkpoint_names_stay() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(100), batch=6)
    path = saved(disk, state, position=1)
    named, wanted = cold_files_kept(disk, DIRECTORY), state.hash()
    assert named
    state.erase([person(who) for who in range(PEOPLE)])
    fold_all(state, story(100, seed=5, first=500), batch=6)
    state.cold.files._close()
    fold_all(state, story(100, seed=6, first=900), batch=6)
    state.cold.files.retain(cold_files_kept(disk, DIRECTORY))
    assert named <= set(list_cold_files(disk, COLD_DIRECTORY))
    loaded = on(disk)
    load_checkpoint(disk, path, loaded)
    assert loaded.hash() == wanted
    disk.unlink(path)
    state.cold.files.retain(cold_files_kept(disk, DIRECTORY))
    assert not named & set(list_cold_files(disk, COLD_DIRECTORY))


def test_another_layout_opens_people_on_disk() -> None:
    disk = SimulatedDisk()
    state, plain = opened(on(disk)), opened(State(large()))
    for one in (state, plain):
        fold_all(one, story(150), batch=6)
    path = saved(disk, state, position=1)
    other = [msgspec.structs.replace(DECLARATIONS[0], name="brand_new"), *reversed(DECLARATIONS[3:])]
    loaded, direct, plain_disk = on(disk, small(other)), State(large(other)), SimulatedDisk()
    load_checkpoint(disk, path, loaded)
    load_checkpoint(plain_disk, saved(plain_disk, plain, position=1), direct)
    for one in (loaded, direct):
        one.configure(Configured(START_MS, {}, one.schema.declared()))
    assert loaded.hash() == direct.hash()
    for one in (loaded, direct):
        fold_all(one, story(100, seed=9, first=300), batch=6)
    assert loaded.hash() == direct.hash()
    loaded.cold.files._distrusted |= set(loaded.cold.files.needed())
    while loaded.upkeep():
        pass
    assert loaded.hash() == direct.hash()


def test_with_less_memory_than_before_a_checkpoint_opens_and_the_idle_lie_on_disk() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk, small(cells=10)))
    fold_all(state, story(150), batch=6)
    state.erase([person(2)])
    path, wanted = saved(disk, state, position=1), state.hash()
    loaded = on(disk, small(cells=4))
    load_checkpoint(disk, path, loaded)
    assert loaded.hash() == wanted
    assert in_memory(loaded) <= 4 < in_memory(state)
    assert loaded.epoch_hash == state.epoch_hash
    assert (loaded.published == state.published).all()
    for one in (loaded, state):
        fold_all(one, story(100, seed=5, first=300), batch=6)
        publish(one)
    assert (loaded.hash(), loaded.epoch_hash) == (state.hash(), state.epoch_hash)
    again = on(disk, small(cells=4))
    load_checkpoint(disk, saved(disk, loaded, position=2), again)
    assert again.hash() == loaded.hash()


def test_whoever_only_looks_writes_elsewhere() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(100), batch=6)
    path = saved(disk, state, position=1)
    before = cold_bytes(disk)
    looking = State(small(), ColdPlace(disk, Path("/elsewhere"), inherited=COLD_DIRECTORY))
    load_checkpoint(disk, path, looking)
    more = story(100, seed=5, first=300)
    for one in (looking, state):
        fold_all(one, more, batch=6)
        one.erase([person(1)])
    scrubbed(looking)
    assert looking.hash() == state.hash()
    assert cold_bytes(disk).startswith(before) or len(list_cold_files(disk, COLD_DIRECTORY)) > 1
    assert list_cold_files(disk, Path("/elsewhere"))


def test_people_on_disk_of_whom_nobody_says_where_are_refused() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(100), batch=6)
    path = saved(disk, state, position=1)
    with pytest.raises(Broken, match="people on disk, and it was not said where"):
        load_checkpoint(disk, path, State(large()))


# Crashes and errors.


def work(disk: SimulatedDisk) -> None:
    """Fold, save, fold, save: what is interrupted."""
    state = opened(on(disk))
    for position in (1, 2):
        fold_all(state, story(60, seed=position, first=100 * position), batch=6)
        state.upkeep()
        saved(disk, state, position=position)
        state.cold.files.retain(cold_files_kept(disk, DIRECTORY))
    state.erase([person(2)])
    scrubbed(state)


def hashes() -> dict[int, tuple[str, str]]:
    """By position: the hash then, and without person 2."""
    wanted = {}
    for position in (1, 2):
        plain = opened(State(large()))
        for first in range(1, position + 1):
            fold_all(plain, story(60, seed=first, first=100 * first))
        before = plain.hash()
        plain.erase([person(2)])
        wanted[position] = before, plain.hash()
    return wanted


@pytest.mark.slow
def test_whenever_the_power_goes_every_checkpoint_that_counts_is_whole() -> None:
    reference = SimulatedDisk()
    work(reference)
    wanted = hashes()
    for operation in ("write", "sync", "sync_directory", "rename", "overwrite", "open"):
        calls = reference.calls[operation]
        for at in range(1, calls + 1, 1 if FULL else calls // 5 + 1):
            for unsynced_bytes in (0, 700):
                disk = SimulatedDisk()
                disk.fail(operation, None, at=at)
                with pytest.raises(PowerLost):
                    work(disk)
                disk.crash(unsynced_bytes=unsynced_bytes)
                for position in list_checkpoints(disk, DIRECTORY):
                    loaded = on(disk)
                    load_checkpoint(disk, checkpoint_path(DIRECTORY, position), loaded)
                    erasing = disk.calls["overwrite"] > 0
                    assert erasing or loaded.hash() == wanted[position][0]
                    loaded.erase([person(2)])
                    scrubbed(loaded)
                    assert loaded.hash() == wanted[position][1]
                    fold_all(loaded, story(30, seed=4, first=600), batch=6)
                    publish(loaded)
                    saved(disk, loaded, position=9)


def test_while_the_disk_takes_nobody_who_is_in_memory_goes_on_and_newcomers_wait() -> None:
    disk = SimulatedDisk()
    state, plain = opened(on(disk)), opened(State(large()))
    fold_all(state, [tracked(who, START_MS, number=who) for who in range(4)])
    disk.capacity_bytes = sum(map(len, disk.files().values()))
    with pytest.raises(DiskFull):
        state.fold([tracked(5, START_MS, number=5)])
    assert (state.cells_used, state.has_room) == (4, False)
    assert fold_all(state, [tracked(who, START_MS + HOUR_MS, number=10 + who) for who in range(4)]) == [0] * 4
    disk.capacity_bytes = 1 << 30
    assert fold_all(state, [tracked(5, START_MS, number=5)]) == [0]
    assert state.has_room
    fold_all(plain, [tracked(who, START_MS, number=who) for who in range(4)])
    fold_all(plain, [tracked(who, START_MS + HOUR_MS, number=10 + who) for who in range(4)])
    fold_all(plain, [tracked(5, START_MS, number=5)])
    assert state.hash() == plain.hash()


def test_a_write_that_was_given_up_half_way_leaves_nothing_that_is_read() -> None:
    disk, rng = SimulatedDisk(), random.Random(1)
    state, plain = opened(on(disk)), opened(State(large()))
    for number, event in enumerate(story(200)):
        if number % 3 == 0:
            disk.capacity_bytes = sum(map(len, disk.files().values())) + rng.randrange(6_000)
        try:
            state.fold([event])
        except DiskFull:
            disk.capacity_bytes = 1 << 30
            state.fold([event])
        plain.fold([event])
        disk.capacity_bytes = 1 << 30
    assert state.hash() == plain.hash()


def test_a_file_whose_sync_failed_is_named_by_no_checkpoint_until_everybody_has_moved_out() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(100), batch=6)
    wanted = state.hash()
    publish(state)
    for _ in range(2):
        snapshot = Snapshot(state, position=1, at_ms=9, control={})
        if not state.cold.files._distrusted:
            disk.fail("sync", errno.EIO)
        with pytest.raises(OSError):
            snapshot.sync_cold()
        snapshot.abandon()
    (bad,) = state.cold.files._distrusted
    while state.upkeep():
        pass
    path = saved(disk, state, position=2)
    disk.unlink(cold_path(COLD_DIRECTORY, bad))
    loaded = on(disk)
    load_checkpoint(disk, path, loaded)
    assert loaded.hash() == wanted


def test_a_checkpoint_says_who_lay_on_disk_at_its_position_whatever_moved_while_it_was_written() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(80), batch=6)
    publish(state)
    rows = rows_of(state.tables.memory, COLD)
    then = {(int(row[0]), int(row[1])) for row in rows if row[0]}
    snapshot = Snapshot(state, position=1, at_ms=9, control={})
    writer = CheckpointWriter(disk, DIRECTORY, 1)
    coming = iter(story(60, seed=9, first=500))
    for section in snapshot.sections():
        writer.write(section)
        fold_all(state, [event for event, _ in zip(coming, range(4), strict=False)], batch=4)
    snapshot.sync_cold()
    snapshot.abandon()
    path = writer.finish()
    now = {(int(row[0]), int(row[1])) for row in rows_of(state.tables.memory, COLD) if row[0]}
    assert then != now
    assert {tuple(one) for one in people_on_disk(disk, path).tolist()} == then


# Damage.


def outcome(disk: SimulatedDisk, path: Path, loaded: State) -> str:
    """The hash, or the file that is damaged."""
    try:
        load_checkpoint(disk, path, loaded)
        return loaded.hash()
    except Corrupt as error:
        return error.file


def test_every_flipped_bit_of_a_record_is_named_or_changes_nothing() -> None:
    disk, rng = SimulatedDisk(), random.Random(5)
    state = opened(on(disk))
    fold_all(state, story(80), batch=6)
    path, wanted = saved(disk, state, position=1), state.hash()
    (number,) = list_cold_files(disk, COLD_DIRECTORY)
    file = cold_path(COLD_DIRECTORY, number)
    whole = disk.files()[file]
    named = 0
    for _ in range(4_000 if FULL else 200):
        at = rng.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        disk.put(file, bytes(flipped))
        loaded = on(disk)
        found = outcome(disk, path, loaded)
        assert found in (wanted, str(file))
        named += found == str(file)
    assert named > 20


def test_a_missing_or_cut_file_is_found_when_the_checkpoint_is_opened() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(80), batch=6)
    path = saved(disk, state, position=1)
    file = cold_path(COLD_DIRECTORY, 1)
    whole = disk.files()[file]
    last = max(int(place) & 0xFFFFFFFF for place in rows_of(state.tables.memory, COLD)[:, 1]) * ALIGNED_BYTES
    for content in (b"", whole[:10], whole[:last], whole[: last + 20], b"x" * len(whole)):
        disk.put(file, content)
        with pytest.raises(Corrupt, match=str(file)):
            load_checkpoint(disk, path, on(disk))
    disk.unlink(file)
    with pytest.raises(Corrupt, match=str(file)):
        load_checkpoint(disk, path, on(disk))


# Erasure.


def test_no_cold_file_holds_the_erased_not_even_where_they_lay_before() -> None:
    disk = SimulatedDisk()
    state, plain = opened(on(disk)), opened(State(large()))
    for turn in range(5):
        events = [tracked(who, START_MS + turn * HOUR_MS, number=turn * PEOPLE + who) for who in range(PEOPLE)]
        for one in (state, plain):
            fold_all(one, events, batch=4)
    path = saved(disk, state, position=1)
    gone = [person(who) for who in (0, 5, PEOPLE - 1)]
    assert all(bytes_of(key) in cold_bytes(disk) for key in gone)
    assert state.erase(gone) == plain.erase(gone) == 3
    scrubbed(state)
    assert not any(bytes_of(key) in cold_bytes(disk) for key in gone)
    assert bytes_of(person(1)) in cold_bytes(disk)
    assert state.hash() == plain.hash()
    disk.crash()
    older = on(disk)
    load_checkpoint(disk, path, older)
    older.hash()
    older.erase(gone)
    assert older.hash() == plain.hash()


def test_who_comes_back_after_an_erasure_is_not_overwritten_with_it() -> None:
    disk = SimulatedDisk()
    state, plain = opened(on(disk)), opened(State(large()))
    for one in (state, plain):
        fold_all(one, [tracked(who, START_MS, number=who) for who in range(PEOPLE)], batch=4)
        assert one.erase([person(0)]) == 1
        fold_all(one, [tracked(who, START_MS + HOUR_MS, number=50 + who) for who in range(PEOPLE)], batch=4)
    assert state.cell_row(person(0)) < 0
    scrubbed(state)
    assert state.hash() == plain.hash()
    assert state.cells_used == PEOPLE


def test_erasing_goes_on_where_a_crash_left_it() -> None:
    reference = SimulatedDisk()
    state = opened(on(reference))
    fold_all(state, story(80), batch=6)
    path = saved(reference, state, position=1)
    contents = reference.files()
    key = next(int(key) for key in rows_of(state.tables.memory, COLD)[:, 0] if key)
    for at in range(1, 8):
        disk = SimulatedDisk()
        for name, content in contents.items():
            disk.put(name, content)
        loaded = on(disk)
        load_checkpoint(disk, path, loaded)
        loaded.erase([key])
        disk.fail("overwrite", None, at=at)
        try:
            scrubbed(loaded)
        except PowerLost:
            disk.crash()
        again = on(disk)
        load_checkpoint(disk, path, again)
        again.erase([key])
        scrubbed(again)
        assert bytes_of(key) not in cold_bytes(disk)
        assert again.hash() == loaded.hash()


def test_a_scan_that_finds_nobody_writes_nothing() -> None:
    disk = SimulatedDisk()
    state = opened(on(disk))
    fold_all(state, story(80), batch=6)
    before = disk.calls["overwrite"]
    state.erase([person(1_000)])
    assert state.scrubbing
    scrubbed(state)
    assert disk.calls["overwrite"] == before
    assert np.asarray(state.scrub()).item() is False


def test_who_remembers_as_many_messages_as_one_may_goes_to_disk_and_comes_back() -> None:
    disk = SimulatedDisk()
    busy = [tracked(0, START_MS + n * 1_000, number=n) for n in range(DEDUP_IDS_MAX)]
    others = [tracked(1 + n % 400, START_MS + DAY_MS, number=10_000 + n) for n in range(800)]
    schema = small([COUNTED], cells=200, cold=1_000, dedup_ids_max=DEDUP_IDS_MAX)
    state = opened(on(disk, schema))
    roomy = opened(State(schema_of([COUNTED], cells=1_000, dedup_ids_max=DEDUP_IDS_MAX)))
    for one in (state, roomy):
        fold_all(one, [*busy, *others], batch=100)
    assert state.cell_row(person(0)) < 0, "on disk"
    assert state.hash() == roomy.hash()
    assert 8 * 2 * DEDUP_IDS_MAX < max(map(len, disk.files().values())) < COLD_RECORD_BYTES_MAX
    assert set(fold_all(state, busy, batch=100)) == {1}
    assert state.hash() == roomy.hash()


def test_warming_up_writes_nothing_beyond_a_memory_without_room_for_people_on_disk() -> None:
    """Kernels look at no bounds: what lies behind belongs to somebody else."""
    memory = make_memory(words=(20, 10, CHUNK_WORDS, 5, 20, COLD_WORDS, PAGE_WORDS), rows_max=(8, 8, 8, 8, 1, 0, 0))
    around = np.full(len(memory.ints) + 1_000, 7, np.int64)
    ints = around[: len(memory.ints)]
    ints[:] = 0
    memory = memory._replace(ints=ints, reals=ints.view(np.float64))
    cells = make_index(256)
    for key in (1, 2):
        row = allocate(memory, CELLS)
        ints[address(memory.regions, CELLS, row) + CELL_KEY] = key
        insert(cells, key, row)
    warm_up(memory, cells)
    assert set(around[len(ints) :]) == {7}
