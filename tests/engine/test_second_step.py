"""A change that fails in the midst of it, of each kind of record: nothing more is taken, aloud, and a start is whole.

No log brings that about as far as we know: the failure is put into the second step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.replay import Past
from instanter.events.envelope import Epoch, Erased, Keyed, LearnerDeclared, Record, Ticked, Tracked, Withheld
from instanter.events.folding import Change
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, Unavailable
from instanter.log.segments import SegmentReader
from instanter.state.checkpoint import list_checkpoints
from instanter.state.compiled import Ints

from .harness import append_unchecked, decide, event, open_engine, stock_shop, take, with_engine
from .nonsense import KINDS, SENSIBLE
from .test_folded import rebuilt, recovered
from .test_poison import SCHEMA, START_MS

PARTS_MAX = 10


class Midway(Exception):
    """What no second step raises."""


def fail_in(partition: Partition, kind: type[Record], place: int, error: Exception) -> None:
    """Let the change at that place of those of one record of this kind be made, and then raise."""
    prepare, fold = partition.parts.prepare, partition.state.fold

    def failing(record: Record, end: int) -> list[Change]:
        changes = prepare(record, end)
        if type(record) is kind and place < len(changes):
            changes[place] = _then(changes[place], error)
        return changes

    def failing_fold(events: Sequence[Tracked]) -> Ints:
        fold(events)
        raise error

    partition.parts.prepare = failing
    if kind is Tracked and place == 0:
        partition.state.fold = failing_fold


def _then(change: Change, error: Exception) -> Change:
    def change_and_raise() -> None:
        change()
        raise error

    return change_and_raise


def record_of(kind: type[Record], engine: Engine) -> Record:
    """One that makes sense here."""
    state = engine.partition.state
    return Epoch(START_MS, state.epoch + 1, state.epoch_hash) if kind is Epoch else SENSIBLE[kind]


def places(kind: type[Record]) -> int:
    """How many changes a record of that kind makes."""
    partition = Partition(SCHEMA)
    partition.apply([SENSIBLE[LearnerDeclared]], ends=[1])
    if kind is Tracked:
        return 1
    record = Epoch(START_MS, 1, "") if kind is Epoch else SENSIBLE[kind]
    if kind is Keyed:
        return len(Partition(SCHEMA).parts.prepare(record, 0))
    return len(partition.parts.prepare(record, 2))


WHERE = [(kind, place) for kind in KINDS for place in range(places(kind))]


def test_every_kind_but_one_that_changes_nothing_is_among_them():
    assert {kind for kind, _ in WHERE} == set(KINDS) - {Withheld}
    assert all(place < PARTS_MAX for _, place in WHERE)


async def begin(engine: Engine) -> None:
    await stock_shop(engine)
    await take(engine, *(event(number, person=f"p{number % 5}") for number in range(20)))
    await engine.journal.write([SENSIBLE[LearnerDeclared]], START_MS)
    await engine.checkpoint()


async def check_stopped(engine: Engine, root: Path) -> None:
    """Nothing is taken, decided or written any more."""
    position = engine.journal.next_position
    now_ms = engine.clock.now_ms()
    attempts: list[Callable[[], object]] = [
        lambda: engine.journal.append(Ticked(now_ms), now_ms), lambda: engine.journal.check_room(1),
        lambda: engine.journal.extend([(0, now_ms, b"\x91\x09", Ticked(now_ms))]),
        lambda: engine.partition.apply([Ticked(now_ms)], ends=[position]),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(Broken):
            attempt()
    for work in (take(engine, event(99)), engine.journal.write([Ticked(now_ms)], now_ms), engine.checkpoint()):
        with pytest.raises(Broken):
            await work
    with pytest.raises(Unavailable):
        await decide(engine)
    assert (engine.ready, engine.journal.writing, engine.journal.next_position) == (False, False, position)
    checkpoints = list_checkpoints(RealDisk(), root / "checkpoints")
    await engine.stop(Deadline(10_000))
    assert list_checkpoints(RealDisk(), root / "checkpoints") == checkpoints


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind, place in WHERE if kind is not Keyed])
def test_the_process_stops_aloud_and_the_next_start_is_whole(tmp_path: Path, kind: type[Record], place: int):
    clock = ManualClock(START_MS)

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        engine = open_engine(tmp_path, clock=clock)
        await engine.start()
        await begin(engine)
        fail_in(engine.partition, kind, place, ValueError("midway"))
        with pytest.raises(Broken):
            await append_unchecked(engine, record_of(kind, engine), partition=1 if kind is Tracked else 0xFFFF)
        assert engine.broken.startswith("folding stopped")
        assert engine.broken.endswith("ValueError: midway")
        assert kind is Tracked or f"in the midst of {kind.__name__}, which ends at" in engine.broken
        assert engine.partition.passed_over == 0, "it is no record that cannot be folded"
        await check_stopped(engine, tmp_path)

    asyncio.run(work())
    assert recovered(tmp_path) == rebuilt(tmp_path)

    async def look(engine: Engine) -> None:
        assert (engine.broken, engine.partition.passed_over) == ("", 0)
        await take(engine, event(999, person="somebody"))
        assert (await decide(engine))["placements"]["home.recommended"]["items"]

    with_engine(tmp_path, look, clock=clock)
    assert recovered(tmp_path) == rebuilt(tmp_path)


def test_a_log_without_a_key_yet_is_whole_at_the_next_start(tmp_path: Path):
    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        engine = open_engine(tmp_path, clock=ManualClock(START_MS))
        fail_in(engine.partition, Keyed, 0, ValueError("midway"))
        with pytest.raises(Broken):
            await engine.start()
        assert "in the midst of Keyed" in engine.broken
        await engine.abandon()

    asyncio.run(work())

    async def look(engine: Engine) -> bytes:
        await begin(engine)
        return engine.partition.references.key

    assert with_engine(tmp_path, look, clock=ManualClock(START_MS))
    assert recovered(tmp_path) == rebuilt(tmp_path)


@pytest.mark.parametrize(("kind", "place"), WHERE)
def test_a_replay_that_fails_says_where_and_is_of_no_use_afterwards(kind: type[Record], place: int):
    partition = Partition(SCHEMA)
    if kind is not Keyed:
        partition.apply([SENSIBLE[LearnerDeclared]], ends=[1])
    record = Epoch(START_MS, 1, "") if kind is Epoch else SENSIBLE[kind]
    fail_in(partition, kind, place, Midway())
    end = partition.position + 1
    with pytest.raises(Midway) as failed:
        partition.apply([record], ends=[end], times_ms=[START_MS])
    assert kind is Tracked or failed.value.__notes__ == [f"in the midst of {kind.__name__}, which ends at {end}"]
    assert partition.halfway
    with pytest.raises(Broken, match="in the midst"):
        partition.apply([Ticked(START_MS)], ends=[end + 1])


def test_the_past_begins_anew_where_a_replay_failed(tmp_path: Path):
    with_engine(tmp_path, begin, clock=ManualClock(START_MS))
    log = SegmentReader(RealDisk(), tmp_path / "log")
    end = max(frame.end for frame in log.read())
    past = Past(SCHEMA, log, disk=RealDisk(), checkpoints=tmp_path / "none")
    first = [frame.end for frame in log.read()][1]
    fail_in(past.at(first), Epoch, 0, Midway())
    with pytest.raises(Midway):
        past.at(end)
    assert past.at(end).hash() == rebuilt(tmp_path)


def test_who_hears_of_outcomes_and_fails_stops_the_partition_as_well():
    class Failing:
        open = 1

        def note(self, _event: Tracked, _cells: Sequence[int]) -> None:
            raise Midway

        def drop(self, _cells: object) -> None:
            raise Midway

    for record in (msgspec.structs.replace(SENSIBLE[Tracked], name="Product Clicked"), SENSIBLE[Erased]):
        partition = Partition(SCHEMA)
        partition.outcomes = Failing()
        with pytest.raises(Midway):
            partition.apply([record], ends=[1])
        assert partition.halfway
