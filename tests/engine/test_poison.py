"""A record that cannot be folded is passed over, the same in every replay; nothing else suffers, and it can come again.

There is no such record from our own door: these are put into the log behind it, as an older version or another writer
could have left them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.engine.loop import Engine
from instanter.engine.partition import Noticed, Partition
from instanter.engine.recovery import catch_up, recover
from instanter.engine.repair import RepairRequest
from instanter.events.envelope import Configured, Record, Tracked
from instanter.events.reject import POISON
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.limits import POISON_NOTED_PER_MINUTE_MAX
from instanter.log.segments import SegmentReader
from instanter.state.compiled import Ints
from instanter.state.memory import State

from .harness import append_unchecked, event, take, with_engine
from .test_quarantine import kept, listed, newest_record

START_MS = 1_700_000_000_000
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
BEGINNING = Configured(START_MS, dict(SCHEMA.settings), SCHEMA.declared())

POISONS = {
    "a message beyond 64 bits": {"message": 2**63 + 5},
    "an item beyond 64 bits": {"items": (2**63 + 5,)},
    "more prices than items": {"items": (5,), "prices": (1.0, 2.0)},
    "too many items": {"items": tuple(range(1, 2_000))},
    "a time beyond 64 bits": {"happened_ms": 2**63},
    "a time beyond all times": {"happened_ms": 2**62},
    "nobody": {"key": 0},
    "an item that is none": {"items": (5, 0)},
}


def tracked(number: int, **fields: object) -> Tracked:
    at_ms = START_MS + number * 1_000
    record = Tracked(at_ms, at_ms, "default", 1 + number % 7, 1_000 + number, "Product Viewed", items=(5 + number % 9,))
    return msgspec.structs.replace(record, **fields)


def folded(records: Sequence[Record], *, chunk: int = 10_000) -> tuple[Partition, list[int]]:
    """A partition after these, and the places that were passed over; position i is that of record i."""
    partition = Partition(SCHEMA)
    poison: list[int] = []
    for first in range(0, len(records), chunk):
        part = records[first : first + chunk]
        noticed = partition.apply(part, ends=range(first + 1, first + 1 + len(part)))
        poison += [first + one.place for one in noticed if one.code == POISON]
    return partition, poison


@pytest.mark.parametrize("reason", POISONS)
def test_the_others_count_as_if_it_had_never_been(reason: str):
    clean: list[Record] = [BEGINNING, *(tracked(number) for number in range(400))]
    records = [*clean[:201], tracked(999, **POISONS[reason]), *clean[201:]]
    partition, poison = folded(records)
    assert (poison, partition.passed_over, partition.position) == ([201], 1, len(records))
    assert partition.state.hash() == folded(clean)[0].state.hash()


@settings(max_examples=30)
@given(st.sets(st.integers(1, 299), max_size=12), st.integers(1, 300), st.sampled_from(sorted(POISONS)))
def test_it_is_passed_over_alike_however_the_log_is_cut(places: set[int], chunk: int, reason: str):
    records: list[Record] = [BEGINNING, *(tracked(number) for number in range(1, 300))]
    for place in places:
        records[place] = tracked(place, **POISONS[reason])
    whole, poison = folded(records)
    parts, again = folded(records, chunk=chunk)
    assert poison == again == sorted(places)
    assert whole.state.hash() == parts.state.hash()


class CountingState(State):
    """Remembers every batch that it was to fold."""

    def __init__(self) -> None:
        super().__init__(SCHEMA)
        self.tried: list[int] = []

    def fold(self, events: Sequence[Tracked]) -> Ints:
        self.tried += [event.message for event in events]
        return super().fold(events)


def test_no_record_is_tried_more_than_three_times():
    partition = Partition(SCHEMA)
    partition.state = state = CountingState()
    records = [tracked(number, **(POISONS["a message beyond 64 bits"] if number % 40 == 7 else {}))
               for number in range(300)]  # fmt: skip
    partition.apply(records, ends=range(1, 301))
    sound = [one.message for one in records if one.message < 2**63]
    assert max(state.tried.count(message) for message in sound) <= 3
    assert partition.passed_over == 8


class FailingState(State):
    """Fails when the columns are made already, as a defect in the midst of a change would."""

    def fold(self, events: Sequence[Tracked]) -> Ints:
        super().fold(events)
        raise ValueError("in the midst of it")


def test_a_failure_that_is_of_no_record_still_stops_the_partition():
    partition = Partition(SCHEMA)
    partition.state = FailingState(SCHEMA)
    with pytest.raises(ValueError, match="in the midst"):
        partition.apply([tracked(1)], ends=[1])
    assert partition.passed_over == 0


# With an engine.


async def append_poison(engine: Engine, number: int) -> int:
    """Put an event into the log whose record cannot be folded, though its body is sound; its position."""
    now_ms = engine.clock.now_ms()
    admitted = engine.intake._door.admit(event(number), kind=None, received_ms=now_ms, tenant="default")
    assert isinstance(admitted.record, Tracked)
    return await append_unchecked(engine, msgspec.structs.replace(admitted.record, message=2**63 + 5), partition=1)


def test_it_is_quarantined_with_its_position_and_counts_once_the_cause_is_gone(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        position = await append_poison(engine, 2)
        await take(engine, event(3))
        assert engine.partition.state.verdicts["applied"] == 2
        assert (engine.broken, engine.journal.unfolded) == ("", 0)
        (group,) = (await listed(engine)).groups
        assert (group.code, group.count) == ("poison", 1)
        assert "OverflowError" in group.message
        assert engine.meter.counts["events_noted.poison"] == 1
        (one,) = kept(tmp_path)
        assert one.entry.position == position
        done = await engine.repairs.repair(RepairRequest(), tenant="default", actor="tester")
        assert (done.passed, done.refused) == (1, {})
        assert engine.partition.state.verdicts["applied"] == 3
        assert newest_record(tmp_path).happened_ms == START_MS
        again = await engine.repairs.repair(RepairRequest(), tenant="default", actor="tester")
        assert (again.selected, (await listed(engine)).total) == (0, 0)

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_so_many_a_minute_have_an_entry_of_their_own_and_further_ones_are_told_with_the_next(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        poison = msgspec.structs.replace(newest_record(tmp_path), message=2**63 + 5)
        noticed = Noticed(0, POISON, "it cannot be folded")
        for number in range(POISON_NOTED_PER_MINUTE_MAX + 7):
            engine.quarantine.note(number, poison, noticed)
        await engine.quarantine.settled()
        assert engine.meter.counts["events_noted.poison"] == POISON_NOTED_PER_MINUTE_MAX + 7
        assert engine.meter.counts["events_noted_together"] == 7
        assert (await listed(engine)).total == POISON_NOTED_PER_MINUTE_MAX
        clock.advance(60_000)
        engine.quarantine.note(9, poison, noticed)
        await engine.quarantine.settled()
        assert kept(tmp_path)[-1].entry.more == 7

    clock = ManualClock(START_MS)
    with_engine(tmp_path, work, clock=clock)


def test_a_start_remembers_no_more_of_them_than_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("instanter.engine.recovery.POISON_NOTED_PER_MINUTE_MAX", 3)

    async def work(engine: Engine) -> None:
        for number in range(5):
            await append_poison(engine, number)

    with_engine(tmp_path, work, clock=ManualClock(START_MS), stop=False)
    log = SegmentReader(RealDisk(), tmp_path / "log")
    partition, recovery = recover(
        SCHEMA, log, log_start=0, log_end=1 << 62, disk=RealDisk(), checkpoints=tmp_path / "checkpoints")
    assert (partition.passed_over, len(recovery.passed_over)) == (5, 3)


def test_after_a_restart_the_state_is_the_same_and_it_is_not_quarantined_twice(tmp_path: Path):
    async def work(engine: Engine) -> str:
        await take(engine, event(1))
        await append_poison(engine, 2)
        await take(engine, event(3))
        await engine.quarantine.settled()
        return engine.partition.hash()

    async def look(engine: Engine) -> str:
        assert engine.partition.passed_over == 1
        assert (await listed(engine)).total == 1
        return engine.partition.hash()

    clock = ManualClock(START_MS)
    assert with_engine(tmp_path, work, clock=clock, stop=False) == with_engine(tmp_path, look, clock=clock)
    log = SegmentReader(RealDisk(), tmp_path / "log")
    rebuilt = Partition(SCHEMA)
    catch_up(rebuilt, log)
    recovered, _ = recover(
        SCHEMA, log, log_start=0, log_end=1 << 62, disk=RealDisk(), checkpoints=tmp_path / "checkpoints")
    assert (rebuilt.passed_over, rebuilt.hash()) == (1, recovered.hash())


def test_a_crash_before_the_entry_was_written_loses_it_not(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        await append_poison(engine, 2)
        await take(engine, event(3))

    async def look(engine: Engine) -> None:
        (group,) = (await listed(engine)).groups
        assert (group.code, group.count) == ("poison", 1)

    clock = ManualClock(START_MS)
    with_engine(tmp_path, work, clock=clock, stop=False)
    for path in (tmp_path / "quarantine").iterdir():
        path.unlink()
    with_engine(tmp_path, look, clock=clock)
