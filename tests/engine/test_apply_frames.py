"""Frames of the log are folded from their bytes as the records that they hold are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.engine.partition import Halted, Noticed, Partition
from instanter.engine.recovery import CHUNK_RECORDS, catch_up
from instanter.events.envelope import CONTROL_PARTITION, LearnerDeclared, encode_record, read_record
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import References
from instanter.foundation.limits import FOLD_BATCH_EVENTS_MAX
from instanter.log.frames import Frame, Group, decode_run
from instanter.log.segment_log import SegmentLog
from instanter.sim.disk import SimulatedDisk
from instanter.state.cold_files import ColdPlace
from instanter.state.schema import Schema

from ..state.shop import DECLARATIONS, START_MS, schema_of
from .nonsense import payloads
from .test_folded import shop
from .test_halted import narrow, records
from .test_poison import POISONS, SCHEMA, tracked


def framed(found: Sequence[bytes], time_ms: int = START_MS) -> Sequence[Frame]:
    group = Group(start=32, segment=0, opening=b"")
    for payload in found:
        group.append(1, time_ms, payload)
    return decode_run(bytes(group.buffer), 32).frames


def plainly(partition: Partition, frames: Sequence[Frame]) -> list[Noticed]:
    return partition.apply(
        [read_record(frame.payload) for frame in frames], ends=[frame.end for frame in frames],
        times_ms=[frame.time_ms for frame in frames],
    )  # fmt: skip


def assert_alike(frames: Sequence[Frame], schema: Schema = SCHEMA, *, chunk: int = 10_000) -> list[Noticed]:
    plain = Partition(schema)
    wanted = plainly(plain, frames)
    for form in (frames, list(frames)):
        partition, noticed = Partition(schema), list[Noticed]()
        for first in range(0, len(form), chunk):
            for one in partition.apply_frames(form[first : first + chunk]):
                noticed.append(one._replace(place=one.place + first))
        assert noticed == wanted
        assert partition.hash() == plain.hash()
        assert partition.control_rows() == plain.control_rows()
        assert (partition.position, partition.records) == (plain.position, plain.records)
        assert (partition.passed_over, partition.state.verdicts) == (plain.passed_over, plain.state.verdicts)
    return wanted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), payloads), max_size=25), st.integers(1, 12))
def test_any_log_is_folded_alike(odd: list[tuple[int, bytes]], chunk: int) -> None:
    log = [encode_record(one) for one in shop()]
    for place, payload in odd:
        log.insert(place, payload)
    assert_alike(framed(log), chunk=chunk)


def test_events_of_several_batches_with_poison_and_repetitions_between() -> None:
    events = [tracked(number) for number in range(3 * FOLD_BATCH_EVENTS_MAX)]
    for place, poison in enumerate(POISONS.values()):
        events[17 * place + 100] = tracked(place, **poison)
    found = [encode_record(one) for one in shop()] + [encode_record(one) for one in (*events, *events[:50])]
    noticed = assert_alike(framed(found))
    assert len(noticed) == len(POISONS) + 50 + 6  # The shop's own six events come again.


def test_learners_hear_of_what_people_did() -> None:
    found = [encode_record(one) for one in shop()]
    assert any(isinstance(read_record(payload), LearnerDeclared) for payload in found)
    clicks = [
        encode_record(tracked(number, name="Product Clicked", decision_id="d_1")) for number in range(40)
    ]
    partition, heard = Partition(SCHEMA), list[int]()
    note = partition.learners.note
    partition.learners.note = lambda event, cells: (heard.append(event.message), note(event, cells))[1]
    partition.apply_frames(framed([*found, *clicks]))
    assert heard[-40:] == [1_000 + number for number in range(40)]


@given(seed=st.integers(0, 10_000), rooms=st.lists(st.integers(0, 6_000), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_whatever_the_disk_takes_the_rest_is_applied_later(seed: int, rooms: list[int]) -> None:
    frames = framed([encode_record(one) for one in records(seed, 120)], START_MS + 3_600_000)
    plain = Partition(schema_of(DECLARATIONS, cells=200, dedup_ids_max=24))
    plainly(plain, frames)
    disk = SimulatedDisk()
    partition = Partition(narrow(), ColdPlace(disk, Path("/cold")))
    at = turn = 0
    while at < len(frames):
        disk.capacity_bytes = sum(map(len, disk.files().values())) + rooms[turn % len(rooms)]
        turn += 1
        if turn > 60:
            disk.capacity_bytes = 1 << 30
        try:
            partition.apply_frames(frames[at:])
            at = len(frames)
        except Halted as halted:
            at += halted.applied
            assert partition.position == frames[at].position
    disk.capacity_bytes = 1 << 30
    assert partition.hash() == plain.hash()


def test_a_long_log_is_caught_up_with_as_a_short_one_is(tmp_path: Path) -> None:
    log = SegmentLog(RealDisk(), tmp_path, segment_bytes=1 << 16)
    for first in range(0, 2 * CHUNK_RECORDS + 10, 200):
        group = log.begin()
        for one in shop() if first == 0 else map(tracked, range(first, first + 200)):
            group.append(CONTROL_PARTITION, START_MS + first * 1_000, encode_record(one))
        log.commit(group)
    frames = list(log.read())
    assert len(frames) > CHUNK_RECORDS
    partition, plain = Partition(SCHEMA, references=References()), Partition(SCHEMA)
    applied, newest_ms = catch_up(partition, log)
    plainly(plain, frames)
    assert (applied, newest_ms) == (len(frames), frames[-1].time_ms)
    assert partition.hash() == plain.hash()
    assert msgspec.msgpack.encode(partition.control_rows()) == msgspec.msgpack.encode(plain.control_rows())
    log.close()
