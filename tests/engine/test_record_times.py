"""Records that tell of a time which their frames cannot be of: refused at the door, passed over in a log, always alike.

Such a record must not turn time, nor let people expire, nor stop a start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import recover
from instanter.engine.replay import Past
from instanter.events.envelope import Decided, Epoch, Erased, Flag, Keyed, Record, Ticked, Tracked
from instanter.events.folding import APART_MS_MAX, TIME_MS_MAX
from instanter.events.reject import POISON
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.log.segments import SegmentReader

from .harness import append_unchecked, decide, event, stock_shop, take, with_engine
from .nonsense import KINDS, SENSIBLE
from .test_folded import append_payloads, rebuilt, recovered, shop
from .test_poison import SCHEMA, START_MS, tracked
from .test_quarantine import listed

YEAR_MS = 365 * 86_400_000
AHEAD = (START_MS + APART_MS_MAX + 1, START_MS + 3 * YEAR_MS, TIME_MS_MAX, TIME_MS_MAX + 1, 2**63 - 1)
BEHIND = (START_MS - APART_MS_MAX - 1, START_MS - 3 * YEAR_MS, 0, -1, -TIME_MS_MAX, -TIME_MS_MAX - 1, -(2**63))
ABSURD = AHEAD + BEHIND
ASKED = (Decided, Epoch)
"""These may be of any time that is one."""


def times_of(kind: type[Record]) -> list[str]:
    return [name for name in kind.__struct_fields__ if name.endswith("_ms") and name != "window_ms"]


def dated(kind: type[Record], name: str, at_ms: int) -> Record:
    """One that makes sense but for one of its times."""
    return msgspec.structs.replace(SENSIBLE[kind], **{name: at_ms})


def applied(partition: Partition, records: Sequence[Record], *, time_ms: int = START_MS) -> list[str]:
    """Why records were passed over."""
    ends = range(partition.position + 1, partition.position + 1 + len(records))
    noticed = partition.apply(records, ends=ends, times_ms=[time_ms] * len(records))
    return [one.reason for one in noticed if one.code == POISON]


def begun() -> Partition:
    partition = Partition(SCHEMA)
    assert not applied(partition, [one for one in shop() if not isinstance(one, Tracked)])
    assert not applied(partition, [tracked(number) for number in range(6)])
    return partition


def is_refused(kind: type[Record], name: str, at_ms: int) -> bool:
    if name == "until_ms" or kind in ASKED:
        return abs(at_ms) > TIME_MS_MAX
    if name == "received_ms":
        return True
    return at_ms > START_MS + APART_MS_MAX or at_ms < (-TIME_MS_MAX if kind is Tracked else 0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Keyed])
def test_what_is_of_another_time_changes_nothing_and_nobody_expires(kind: type[Record]):
    for name in times_of(kind):
        for at_ms in ABSURD:
            partition = begun()
            before, people = partition.hash(), partition.state.cells_used
            why = applied(partition, [dated(kind, name, at_ms)])
            if is_refused(kind, name, at_ms):
                assert len(why) == 1, (name, at_ms)
                assert partition.hash() == before
            elif kind is not Erased:
                assert partition.state.cells_used >= people
            assert partition.state.tables.idle[0] <= START_MS
            again = msgspec.structs.replace(tracked(3), received_ms=START_MS)
            applied(partition, [again])
            erased = kind is Erased and not why
            assert erased or partition.state.verdicts["duplicate"] == 1, "what they sent is remembered"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Keyed and kind not in ASKED])
def test_a_time_at_the_bound_is_folded(kind: type[Record]):
    name = "received_ms" if kind is Tracked else "at_ms"
    least_ms = START_MS - APART_MS_MAX if kind is Tracked else 0
    for bound_ms, further in ((START_MS + APART_MS_MAX, 1), (least_ms, -1)):
        assert applied(begun(), [dated(kind, name, bound_ms)]) == []
        (why,) = applied(begun(), [dated(kind, name, bound_ms + further)])
        assert "of another time than its frame" in why


def test_an_event_that_is_told_again_was_received_long_ago():
    old = tracked(9, received_ms=START_MS - 3 * YEAR_MS, happened_ms=START_MS - 3 * YEAR_MS, first_told=7)
    assert len(applied(begun(), [old])) == 1
    assert applied(begun(), [msgspec.structs.replace(old, flags=Flag.RETOLD)]) == []


def test_neighbours_of_an_event_that_is_of_another_time_count_in_their_order():
    events = [tracked(number) for number in range(20)]
    strange = tracked(90, happened_ms=TIME_MS_MAX)
    partition, clean = Partition(SCHEMA), Partition(SCHEMA)
    noticed = partition.apply([*events[:11], strange, *events[11:]], ends=range(1, 22), times_ms=[START_MS] * 21)
    assert [one.place for one in noticed] == [11]
    clean.apply(events, ends=range(1, 21), times_ms=[START_MS] * 20)
    assert partition.state.hash() == clean.state.hash()


# With an engine.


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ASKED])
def test_the_door_refuses_it_before_it_is_in_the_log(tmp_path: Path, kind: type[Record]):
    async def work(engine: Engine) -> None:
        position = engine.partition.position
        name = "received_ms" if kind is Tracked else "at_ms"
        for at_ms in (*AHEAD, -1):
            record = dated(kind, name, at_ms)
            with pytest.raises(RequestRejected) as refused:
                await engine.journal.write([record], START_MS)
            assert (refused.value.code, refused.value.status) == ("unfit_record", 422)
            with pytest.raises(RequestRejected, match="cannot be kept"):
                engine.journal.append(record, START_MS)
        await engine.journal.settled()
        assert (engine.partition.position, engine.partition.passed_over) == (position, 0)

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


async def begin(engine: Engine) -> None:
    await stock_shop(engine)
    await take(engine, *(event(number, person=f"p{number % 5}") for number in range(20)))
    await engine.consent("default", "anonymous:p1", {"personalization": False}, actor="tester")


def every_kind() -> Iterator[Record]:
    for kind in KINDS:
        for name in times_of(kind):
            yield from (dated(kind, name, at_ms) for at_ms in ABSURD if kind is not Erased)


strange = st.sampled_from(KINDS).flatmap(lambda kind: st.builds(
    dated, st.just(kind), st.sampled_from(times_of(kind)), st.sampled_from(ABSURD) | st.integers(-(2**63), 2**63 - 1)
))  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(strange, min_size=1, max_size=40))
@example(list(every_kind()))
def test_a_log_of_absurd_times_is_served_alike_after_a_start_and_a_rebuild(
    tmp_path_factory: pytest.TempPathFactory, odd: list[Record]
):
    root, clock = tmp_path_factory.mktemp("times"), ManualClock(START_MS)

    async def leave(engine: Engine) -> tuple[str, int]:
        await begin(engine)
        passed_over, people = engine.partition.passed_over, engine.partition.state.cells_used
        for record in odd:
            await engine.journal.folded(await append_unchecked(engine, record))
        assert engine.broken == ""
        if not any(isinstance(record, Erased) for record in odd):
            assert engine.partition.state.cells_used >= people
            await engine.eraser.retain()
            assert {engine.subjects.find("default", f"anonymous:p{number}") for number in range(5)}.isdisjoint({0})
            assert engine.consent_of("default", "anonymous:p1") == {"personalization": False}
        passed_over = engine.partition.passed_over - passed_over
        await engine.quarantine.settled()
        told = [group for group in (await listed(engine)).groups if group.code == POISON]
        assert sum(group.count for group in told) >= min(passed_over, 1)
        assert all("Error: " in group.message for group in told), "the quarantine says why"
        return engine.partition.hash(), passed_over

    async def look(engine: Engine) -> int:
        assert engine.broken == ""
        await take(engine, event(999, person="somebody"))
        assert (await decide(engine))["placements"]["home.recommended"]["items"]
        return engine.partition.passed_over

    live, passed_over = with_engine(root, leave, clock=clock, stop=False)
    assert live == recovered(root) == rebuilt(root)
    assert with_engine(root, look, clock=clock) == passed_over
    assert recovered(root) == rebuilt(root)
    log = SegmentReader(RealDisk(), root / "log")
    _, recovery = recover(
        SCHEMA, log, log_start=0, log_end=1 << 62, disk=RealDisk(), checkpoints=root / "checkpoints")
    assert recovery.newest_ms <= START_MS, "no record but its frame says what time it is"
    past = Past(SCHEMA, log, disk=RealDisk(), checkpoints=root / "none")
    end = max(frame.end for frame in SegmentReader(RealDisk(), root / "log").read())
    assert past.at(end).hash() == rebuilt(root)


def test_a_tick_from_the_end_of_time_lets_nobody_be_forgotten(tmp_path: Path):
    clock = ManualClock(START_MS)
    with_engine(tmp_path, begin, clock=clock)
    append_payloads(tmp_path, [msgspec.msgpack.encode(Ticked(TIME_MS_MAX))], at_ms=START_MS)

    async def look(engine: Engine) -> None:
        assert engine.partition.passed_over == 1
        await take(engine, event(3, person="p3"))
        assert engine.partition.state.verdicts["duplicate"] == 1
        (group,) = (await listed(engine)).groups
        assert "of another time than its frame" in group.message

    with_engine(tmp_path, look, clock=clock)
