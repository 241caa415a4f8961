from __future__ import annotations

import errno
import random
import struct
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.events.envelope import ItemPatched, Ticked, Tracked
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, Corrupt
from instanter.sim.disk import PowerLost, SimulatedDisk
from instanter.state import aggregations
from instanter.state.checkpoint import (
    MAGIC,
    VERSION,
    CheckpointWriter,
    Snapshot,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    write_checkpoint,
)
from instanter.state.layout import Scope
from instanter.state.memory import State
from instanter.state.schema import Schema
from instanter.state.table import CHUNKS, SESSIONS

from ..conftest import Figures
from .contents import cell_at, content, item_at, placed_in, sessions_at
from .shop import (
    DAY_MS,
    DECLARATIONS,
    HOUR_MS,
    ITEMS,
    MINUTE_MS,
    SCHEMA,
    START_MS,
    TENANT,
    VIEWED,
    fold_all,
    open_shop,
    person,
    publish,
    random_event,
    ref,
    schema_of,
    tracked,
)

DIRECTORY = Path("/checkpoints")
PATH = checkpoint_path(DIRECTORY, 7)
HEADER = struct.Struct("<IIB")
MANIFEST, END = 1, 5
CONTROL = {"links": [[1, 2]]}


def story(length: int = 60, *, people: int = 4, seed: int = 3) -> list[Tracked]:
    rng = random.Random(seed)
    return [random_event(rng, rng.randrange(people), START_MS + n * 7 * MINUTE_MS, n) for n in range(length)]


def lived_in(schema: Schema = SCHEMA, events: list[Tracked] | None = None) -> State:
    """A state at an epoch, as a checkpoint needs it."""
    state = open_shop(schema)
    fold_all(state, story() if events is None else events)
    publish(state)
    return state


def saved(state: State, *, position: int = 7) -> bytes:
    disk = SimulatedDisk()
    path = write_checkpoint(disk, DIRECTORY, Snapshot(state, position=position, at_ms=9, control=CONTROL))
    return disk.files()[path]


def opened(contents: bytes, schema: Schema = SCHEMA) -> State:
    disk, state = SimulatedDisk(), State(schema)
    disk.put(PATH, contents)
    load_checkpoint(disk, PATH, state)
    return state


def sections_of(contents: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(offset, kind, payload)."""
    offset = len(MAGIC)
    while offset < len(contents):
        length, _, kind = HEADER.unpack_from(contents, offset)
        yield offset, kind, contents[offset + HEADER.size : offset + HEADER.size + length]
        offset += HEADER.size + length


def section(kind: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


@pytest.fixture(scope="module")
def contents() -> bytes:
    """The bytes of one small checkpoint."""
    return saved(lived_in(events=story(12, people=2)))


def test_a_reopened_state_is_the_same_and_goes_on_the_same() -> None:
    state = lived_in()
    loaded = opened(saved(state))
    assert loaded.hash() == state.hash()
    assert list(loaded.catalogue.items.values()) == list(state.catalogue.items.values())
    assert (loaded.epoch, loaded.epoch_hash, loaded.epoch_ms) == (state.epoch, state.epoch_hash, state.epoch_ms)
    assert loaded.active == state.active
    assert (loaded.published == state.published).all()
    for one in (state, loaded):
        one.tick(Ticked(START_MS + 40 * HOUR_MS))
        fold_all(one, story(80, seed=4))
        publish(one)
    assert loaded.hash() == state.hash()
    assert loaded.epoch_hash == state.epoch_hash


def test_the_manifest_and_the_control_rows_come_back() -> None:
    disk = SimulatedDisk()
    path = write_checkpoint(disk, DIRECTORY, Snapshot(lived_in(), position=7, at_ms=9, control=CONTROL))
    manifest, control = load_checkpoint(disk, path, State(SCHEMA))
    assert (manifest.version, manifest.position, manifest.at_ms, control) == (VERSION, 7, 9, CONTROL)
    assert manifest.settings == SCHEMA.settings


def test_a_checkpoint_of_nothing_opens() -> None:
    state = State(SCHEMA)
    loaded = opened(saved(state))
    assert loaded.hash() == state.hash()
    assert not loaded.catalogue.items


def test_a_checkpoint_needs_an_epoch_right_before_it() -> None:
    state = open_shop()
    state.fold([tracked(0, START_MS, VIEWED, number=1, items=["sofa"])])
    with pytest.raises(AssertionError, match="epoch"):
        Snapshot(state, position=1, at_ms=1, control={})


# While the fold goes on.


@pytest.mark.parametrize("seed", range(4))
def test_a_checkpoint_is_of_its_one_position_whatever_is_done_while_it_is_written(seed: int, tmp_path: Path) -> None:
    """Thousands of people, so that each table is copied in many slices with folding and sweeping between them."""
    rng, people = random.Random(seed), 3_000
    schema = schema_of(cells=people)
    state = open_shop(schema)
    fold_all(state, [random_event(rng, who, START_MS + rng.randrange(DAY_MS), who) for who in range(people)], batch=128)
    publish(state)
    wanted, published = state.hash(), state.published.tobytes()
    snapshot, disk = Snapshot(state, position=7, at_ms=9, control=CONTROL), RealDisk()
    writer = CheckpointWriter(disk, tmp_path, 7)
    slices = number = 0
    for part in snapshot.sections():
        writer.write(part)
        slices += 1
        for _ in range(rng.randrange(3)):
            number += 128
            batch = [random_event(rng, rng.randrange(people), START_MS + rng.randrange(3 * DAY_MS), people + number + n)
                     for n in range(128)]  # fmt: skip
            state.fold(batch)
        if rng.random() < 0.1:
            state.tick(Ticked(START_MS + rng.randrange(4 * DAY_MS)))
            publish(state)
            state.catalogue.patch(ItemPatched(1, TENANT, "sofa", {"price": rng.random()}))
    snapshot.abandon()
    assert slices > 20
    assert state.hash() != wanted
    loaded = State(schema)
    load_checkpoint(disk, writer.finish(), loaded)
    assert loaded.hash() == wanted
    assert loaded.published.tobytes() == published
    assert loaded.catalogue.get(TENANT, "sofa").fields == ITEMS["sofa"]


@pytest.mark.parametrize("minutes", [
    pytest.param(-9 * 24 * 60, id="later than any window"), pytest.param(-25 * 60, id="later than a day"),
    pytest.param(-5 * 60, id="later than a session"), pytest.param(-25, id="of the session before"),
    pytest.param(-15, id="joins two sessions"), pytest.param(-1, id="of the session"),
    pytest.param(1, id="goes on"), pytest.param(60, id="begins a session"), pytest.param(3 * 24 * 60, id="days on"),
])  # fmt: skip
@pytest.mark.parametrize("messages", [1, 6, 7, 255])
def test_the_first_event_after_a_checkpoint_was_begun_is_not_in_it(minutes: int, messages: int) -> None:
    newest_ms, numbers = START_MS + 20 * DAY_MS, count()
    times_ms = [newest_ms - 31 * MINUTE_MS - n for n in range(messages)] + [newest_ms]
    state = lived_in(events=[
        tracked(0, at_ms, VIEWED, number=next(numbers), items=["sofa"]) for at_ms in sorted(times_ms)
    ])  # fmt: skip
    wanted = state.hash()
    snapshot, disk = Snapshot(state, position=7, at_ms=9, control={}), SimulatedDisk()
    assert fold_all(state, [
        tracked(0, newest_ms + minutes * MINUTE_MS, VIEWED, number=next(numbers), items=["lamp"])
    ]) != [1]  # fmt: skip
    loaded = State(SCHEMA)
    load_checkpoint(disk, write_checkpoint(disk, DIRECTORY, snapshot), loaded)
    assert loaded.hash() == wanted != state.hash()


def test_a_late_event_of_a_session_cut_at_its_length_is_not_in_a_checkpoint_begun_before_it() -> None:
    schema, numbers = schema_of(session_length_max_ms=2 * HOUR_MS), count()
    minutes = [*range(0, 120, 20), 119, 125]
    state = lived_in(schema, [tracked(0, START_MS + m * MINUTE_MS, VIEWED, number=next(numbers)) for m in minutes])
    wanted = state.hash()
    snapshot, disk = Snapshot(state, position=7, at_ms=9, control={}), SimulatedDisk()
    state.fold([tracked(0, START_MS + 118 * MINUTE_MS, VIEWED, number=next(numbers), items=["sofa"])])
    assert len(sessions_at(state, person(0))) == 2
    loaded = State(schema)
    load_checkpoint(disk, write_checkpoint(disk, DIRECTORY, snapshot), loaded)
    assert loaded.hash() == wanted != state.hash()


def test_rows_that_were_free_are_free_again_after_a_reload() -> None:
    state = lived_in(events=[tracked(who, START_MS, VIEWED, number=who) for who in range(9)])
    assert state.tick(Ticked(START_MS + 2 * DAY_MS)) == 9
    snapshot, disk = Snapshot(state, position=7, at_ms=9, control={}), SimulatedDisk()
    tail = [tracked(who, START_MS + 2 * DAY_MS + who, VIEWED, number=20 + who) for who in range(9)]
    fold_all(state, tail)
    loaded = State(SCHEMA)
    load_checkpoint(disk, write_checkpoint(disk, DIRECTORY, snapshot), loaded)
    fold_all(loaded, tail)
    assert loaded.hash() == state.hash()
    for table in (SESSIONS, CHUNKS):
        assert loaded.tables.memory.regions[table].tolist() == state.tables.memory.regions[table].tolist()


def test_a_sweep_of_all_people_while_a_checkpoint_is_written_finds_room_for_every_row() -> None:
    people = 4_000
    state = open_shop(schema_of(cells=people))
    for number in range(12):
        at_ms = START_MS + number * HOUR_MS
        fold_all(state, [tracked(who, at_ms, number=number * people + who) for who in range(people)], batch=128)
    publish(state)
    wanted = state.hash()
    snapshot, disk = Snapshot(state, position=7, at_ms=9, control={}), SimulatedDisk()
    writer = CheckpointWriter(disk, DIRECTORY, 7)
    sections = snapshot.sections()
    writer.write(next(sections))
    assert state.tick(Ticked(START_MS + 3 * DAY_MS)) == people
    assert state.tables.memory.spill[0] <= len(state.tables.memory.spill)
    for part in sections:
        writer.write(part)
    snapshot.abandon()
    loaded = State(state.schema)
    load_checkpoint(disk, writer.finish(), loaded)
    assert loaded.hash() == wanted
    assert state.hash() != wanted


def test_several_pairings_of_different_events_find_room_while_a_checkpoint_is_written() -> None:
    together = next(declaration for declaration in DECLARATIONS if declaration.name == "item_together")
    names = [f"Read {n}" for n in range(6)]
    pairings = [
        msgspec.structs.replace(together, name=f"together_{n}", on=(name,), k=2) for n, name in enumerate(names)
    ]
    state, numbers = open_shop(schema_of(pairings, cells=128, items=32_768)), count()

    def views(minutes: int, name: str) -> list[Tracked]:
        return [
            tracked(who, START_MS + minutes * MINUTE_MS, name, number=next(numbers), items=[f"{who} {minutes} {name}"])
            for who in range(128)
        ]

    for minutes in (*range(8), *range(45, 53)):
        for name in names:
            state.fold(views(minutes, name))
    publish(state)
    wanted = state.hash()
    snapshot, disk = Snapshot(state, position=7, at_ms=9, control={}), SimulatedDisk()
    writer = CheckpointWriter(disk, DIRECTORY, 7)
    sections = snapshot.sections()
    writer.write(next(sections))
    # Each of these joins two sessions, which have eight items of every name.
    assert set(state.fold(views(26, names[0])).tolist()) == {0}
    spill = state.tables.memory.spill
    assert spill[0] > 128 * 6 * 16 * state.schema.layout.item_words
    assert spill[0] <= len(spill)
    for part in sections:
        writer.write(part)
    snapshot.abandon()
    loaded = State(state.schema)
    load_checkpoint(disk, writer.finish(), loaded)
    assert loaded.hash() == wanted


def test_a_checkpoint_given_up_leaves_nothing_and_the_next_one_is_whole() -> None:
    state, disk = lived_in(), SimulatedDisk()
    snapshot = Snapshot(state, position=6, at_ms=9, control={})
    writer = CheckpointWriter(disk, DIRECTORY, 6)
    writer.write(next(snapshot.sections()))
    fold_all(state, story(40, seed=8))
    snapshot.abandon()
    writer.give_up()
    assert disk.files() == {}
    publish(state)
    assert opened(saved(state)).hash() == state.hash()


# Damage.


@pytest.mark.row("R3")
def test_every_flipped_bit_is_detected(contents: bytes, figures: Figures) -> None:
    rng, disk, state = random.Random(11), SimulatedDisk(), State(SCHEMA)
    flips, found = 10_000, 0
    for _ in range(flips):
        place, bit = rng.randrange(len(contents)), 1 << rng.randrange(8)
        damaged = bytearray(contents)
        damaged[place] ^= bit
        disk.put(PATH, bytes(damaged))
        with pytest.raises(Corrupt) as raised:
            load_checkpoint(disk, PATH, state)
        assert raised.value.file == str(PATH)
        assert raised.value.offset <= place
        found += 1
    figures(flips=flips, found=found)


@pytest.mark.row("R3")
def test_every_flipped_bit_of_a_header_is_detected(contents: bytes) -> None:
    disk, state = SimulatedDisk(), State(SCHEMA)
    headers = [range(offset, offset + HEADER.size) for offset, _, _ in sections_of(contents)]
    for place in [*range(len(MAGIC)), *(place for header in headers for place in header)]:
        for bit in range(8):
            damaged = bytearray(contents)
            damaged[place] ^= 1 << bit
            disk.put(PATH, bytes(damaged))
            with pytest.raises(Corrupt):
                load_checkpoint(disk, PATH, state)


@pytest.mark.row("R3")
def test_every_cut_is_detected(contents: bytes) -> None:
    disk, state, rng = SimulatedDisk(), State(SCHEMA), random.Random(12)
    edges = [offset + shift for offset, _, _ in sections_of(contents) for shift in (-1, 0, 1, 4, 8, 9, 10)]
    places = {0, *edges, len(contents) - 1, *(rng.randrange(len(contents)) for _ in range(300))}
    for place in sorted(place for place in places if 0 <= place < len(contents)):
        disk.put(PATH, contents[:place])
        with pytest.raises(Corrupt) as raised:
            load_checkpoint(disk, PATH, state)
        assert (raised.value.file, raised.value.offset <= place) == (str(PATH), True)


def test_a_file_that_goes_on_after_its_end_is_damaged(contents: bytes) -> None:
    for tail in (b"\0", bytes(9), bytes(4_096), b"more", contents[len(MAGIC) :][:50]):
        with pytest.raises(Corrupt):
            opened(contents + tail)


def test_a_missing_end_is_named(contents: bytes) -> None:
    with pytest.raises(Corrupt, match="the end is missing"):
        opened(contents[: -HEADER.size])


def test_a_missing_manifest_is_named(contents: bytes) -> None:
    parts = list(sections_of(contents))
    without = MAGIC + b"".join(section(kind, payload) for _, kind, payload in parts if kind != MANIFEST)
    with pytest.raises(Corrupt, match="the manifest is missing"):
        opened(without)
    with pytest.raises(Corrupt, match="missing"):
        opened(MAGIC)


@pytest.mark.parametrize(("kind", "payload"), [
    (0, b""), (9, b"?"), (2, b"abc"), (2, struct.pack("<II", 0, 0) + b"1234567"), (2, struct.pack("<II", 77, 0)),
    (4, b"\xff"), (4, b"\x92\xa5links\x91" + b"\x91" * 9_000), (4, msgspec.msgpack.encode(["links", 5])),
])  # fmt: skip
def test_a_section_that_says_nothing_is_damage(contents: bytes, kind: int, payload: bytes) -> None:
    at = len(contents) - HEADER.size
    with pytest.raises(Corrupt) as raised:
        opened(contents[:at] + section(kind, payload) + contents[at:])
    assert raised.value.offset == at


@pytest.mark.row("R3")
@pytest.mark.parametrize(("table", "row", "words"), [(0, 0, 5), (0, 999, 400), (0, -3, 400), (77, 0, 400), (4, 0, 400)])
def test_a_row_that_was_set_aside_and_is_none_is_damage(
    contents: bytes, table: int, row: int, words: int
) -> None:
    at = len(contents) - HEADER.size
    aside = struct.pack("<qq", table, row) + bytes(words * 8)
    with pytest.raises(Corrupt, match="section does not fit"):
        opened(contents[:at] + section(3, aside) + contents[at:])


@pytest.mark.row("R3")
@pytest.mark.parametrize("manifest", [
    b"", b"\xa1\x99", b"\x81\xa7version\xa1\x99", b"\x82\xa7version\x01\xa1x" + b"\x91" * 9_000,
])  # fmt: skip
def test_a_manifest_that_says_nothing_is_damage(contents: bytes, manifest: bytes) -> None:
    _, *others = sections_of(contents)
    with pytest.raises(Corrupt, match="the manifest does not fit"):
        opened(MAGIC + section(MANIFEST, manifest) + b"".join(section(kind, rest) for _, kind, rest in others))


@pytest.mark.row("R3")
@pytest.mark.parametrize("wrong", [
    {"regions": []}, {"regions": [[0]] * 4}, {"regions": [[0, -1, 9, 0, 0, 0, 0]] * 4},
    {"regions": [[0, 9, 9, 0, 2, 0, 3]] * 4}, {"regions": [[0, 9, 9, 0, 2, 3, 1]] * 4},
    {"regions": [[0, 1, 9, 0, 2, 0, 1]] * 4}, {"epoch_hash": "no hash"}, {"epoch_hash": "\u0660"},
    {"columns": [{"name": "x", "version": "1", "scope": 9, "offset": 0, "words": 1}]},
    {"columns": [{"name": "x", "version": "1", "scope": 1, "offset": -1, "words": 1}]},
    {"columns": [{"name": "x", "version": "1", "scope": 1, "offset": 1, "words": 1 << 40}]},
    {"sweep_from": "x"}, {"epoch": None},
], ids=range(13))  # fmt: skip
def test_a_manifest_by_which_no_rows_can_lie_is_damage(contents: bytes, wrong: dict[str, Any]) -> None:
    (_, _, manifest), *others = sections_of(contents)
    told = msgspec.msgpack.encode(msgspec.msgpack.decode(manifest) | wrong)
    parts = [section(MANIFEST, told), *(section(kind, rest) for _, kind, rest in others)]
    with pytest.raises(Corrupt):
        opened(MAGIC + b"".join(parts))


def test_a_newer_version_is_refused_in_one_sentence(contents: bytes) -> None:
    (_, _, manifest), *others = sections_of(contents)
    newer = msgspec.msgpack.decode(manifest) | {"version": VERSION + 1}
    for shape in (newer, {"version": VERSION + 1, "regions": "have another shape"}):
        parts = [section(MANIFEST, msgspec.msgpack.encode(shape)), *(section(kind, rest) for _, kind, rest in others)]
        with pytest.raises(Broken) as raised:
            opened(MAGIC + b"".join(parts))
        assert not isinstance(raised.value, Corrupt)
        assert str(raised.value) == f"{PATH} has format {VERSION + 1}; this program reads up to {VERSION}"


def test_a_checkpoint_of_more_people_than_there_is_room_for_is_refused() -> None:
    contents = saved(lived_in(events=story(40, people=20)))
    with pytest.raises(Broken, match=r"holds \d+ people, there is room for 10: raise state\.memory_mb"):
        opened(contents, schema_of(cells=10))


# Another set of features.


def _changed_declarations() -> list[Any]:
    """In another order, without two, with two changed and one new."""
    changed = {"profile_decayed": {"half_life": "3h"}, "session_count": {"on": ("Nobody Counts This",)}}
    kept = [
        msgspec.structs.replace(declaration, **changed.get(declaration.name, {}))
        for declaration in DECLARATIONS if declaration.name not in ("item_mean", "profile_recent")
    ]  # fmt: skip
    return [msgspec.structs.replace(kept[0], name="brand_new"), *reversed(kept)]


def test_another_set_of_features_takes_over_what_is_declared_alike_and_starts_the_rest_at_zero() -> None:
    state = lived_in()
    schema = schema_of(_changed_declarations())
    loaded = opened(saved(state), schema)
    fresh = {"brand_new", "profile_decayed", "session_count"}
    taken = 0
    for who in range(4):
        pairs = [(Scope.PROFILE, cell_at(state, person(who)), cell_at(loaded, person(who)))]
        for old, new in zip(sessions_at(state, person(who)), sessions_at(loaded, person(who)), strict=True):
            pairs.append((Scope.SESSION, old, new))
        for item_id in ITEMS:
            pairs.append((Scope.ITEM, item_at(state, ref(item_id)), item_at(loaded, ref(item_id))))
        for scope, old, new in pairs:
            for placed in placed_in(loaded, scope):
                words = loaded.tables.memory.ints[new + placed.offset : new + placed.offset + placed.spec.words]
                if placed.spec.name in fresh:
                    assert not words.any()
                else:
                    before = state.schema.layout.named(placed.spec.name)
                    assert content(loaded, placed.spec, new + placed.offset) == content(
                        state, before.spec, old + before.offset
                    )
                    taken += bool(words.any())
    assert taken > 100
    fold_all(loaded, [tracked(0, START_MS + 20 * DAY_MS, VIEWED, number=10_000, items=["sofa"])])


def test_a_feature_that_comes_back_after_a_checkpoint_without_it_starts_at_zero() -> None:
    without = schema_of([d for d in DECLARATIONS if d.name != "profile_count"])
    state = opened(saved(opened(saved(lived_in()), without)), SCHEMA)
    views = SCHEMA.layout.named("profile_count")
    assert views.spec.aggregation is aggregations.COUNT
    assert [content(state, views.spec, cell_at(state, person(who)) + views.offset) for who in range(4)] == [0] * 4


# Errors of the disk.


def _write(disk: SimulatedDisk, state: State, position: int) -> None:
    """As the engine does: whatever happens, the snapshot ends."""
    snapshot = Snapshot(state, position=position, at_ms=9, control=CONTROL)
    try:
        writer = CheckpointWriter(disk, DIRECTORY, position)
        for part in snapshot.sections():
            writer.write(part)
    finally:
        snapshot.abandon()
    writer.finish()


def _operations(state: State) -> dict[str, int]:
    disk = SimulatedDisk()
    _write(disk, state, 2)
    return dict(disk.calls)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, None])
def test_whatever_fails_a_file_with_the_right_name_is_whole_and_the_one_before_stays(code: int | None) -> None:
    before, after = lived_in(), lived_in(events=[*story(), *story(30, seed=9)])
    hashes = {1: before.hash(), 2: after.hash()}
    for operation, calls in _operations(after).items():
        for at in range(1, calls + 1):
            for unsynced_bytes in (0, 1_000, 10**9):
                disk = SimulatedDisk()
                _write(disk, before, 1)
                disk.fail(operation, code, at=at)
                with pytest.raises((OSError, PowerLost)):
                    _write(disk, after, 2)
                if code is None:
                    disk.crash(unsynced_bytes=unsynced_bytes)
                positions = list_checkpoints(disk, DIRECTORY)
                assert positions in ([1], [2, 1])
                for position in positions:
                    loaded = State(SCHEMA)
                    load_checkpoint(disk, checkpoint_path(DIRECTORY, position), loaded)
                    assert loaded.hash() == hashes[position]
                _write(disk, after, 3)
                assert list_checkpoints(disk, DIRECTORY) == [3, *positions]
                if code is not None:
                    break


def test_short_writes_are_carried_on() -> None:
    disk, state = SimulatedDisk(), lived_in()
    disk.write_bytes_max = 1_000
    _write(disk, state, 7)
    loaded = State(SCHEMA)
    load_checkpoint(disk, PATH, loaded)
    assert loaded.hash() == state.hash()


def test_a_full_disk_leaves_no_checkpoint_and_a_retry_succeeds_once_there_is_room() -> None:
    disk, state = SimulatedDisk(), lived_in()
    disk.capacity_bytes = 5_000
    with pytest.raises(OSError, match="No space"):
        _write(disk, state, 7)
    assert list_checkpoints(disk, DIRECTORY) == []
    disk.capacity_bytes = 1 << 30
    _write(disk, state, 7)
    assert list_checkpoints(disk, DIRECTORY) == [7]


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("00000000000000000007.ckpt", "00000000000000000009.tmp", "notes.ckpt", "8.ckpt.bak"):
        (tmp_path / name).write_bytes(b"")
    assert list_checkpoints(RealDisk(), tmp_path) == [7]
